"""The arithmetic of quickest detection: log-likelihood ratios and alarm levels of a small bank of CUSUM tests.

Page's CUSUM (Biometrika 41, 1954) adds the log-likelihood ratio "faulty against healthy" of every sample and never falls
below zero; Lorden (1971) showed that no rule with the same rate of false alarms detects sooner in the worst case. Each
test asks for one kind of fault, given by the failure probability it is tuned for (`FAULT_RATE`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, log

CRASH, ERRORS, GREY, SLOW = range(4)
FAILURE_TESTS = (CRASH, ERRORS, GREY)
FAULT_RATE = (0.9, 0.3, 0.06, 0.3)
"""Failure probability (for SLOW: probability of an answer over the SLO) each test is tuned for."""
BUDGET_PART = (0.1, 0.1, 0.72, 0.08)
"""How the false-alarm budget is divided. GREY gets most: there a nat costs seconds, elsewhere milliseconds."""
REFUSED_STEPS = (0.25, 0.8, 0.42, 0.27)
REFUSED_NATS, PAIR_REFUSED_NATS, CROWD_REFUSED_NATS = (1.5, 4.0, 1.7, 1.5), (1.5, 1.5, 0.0, 1.5), (1.5, 2.5, 1.7, 1.5)
FEWEST_OF_CROWD = 13
"""What may be taken off a pooled alarm level, per test: so many failures' worth, at most so many nats (in a pool, in a pair,
in a pool of thirteen or more). Pooled alarms must also outlive `confirm_for`, rest on several members and find a better
sibling, which most alarms of the bare sums do not. How many do not was measured at these very levels by importance sampling
(`benchmarks/judge_rare.py`). A line cut for half a second looks most like a crash, so the crash test has least to give, and
`Pooled.unanswered` and `BURST_STEPS` keep such cuts from a verdict in pools of any size; in a pair there are too few members
to rest on. The grey test has little to give either: failures that come by themselves spread over the members of a pool of
four to six as a fault's do, and with 4 nats less three of them made a verdict, seven times a year."""
SECONDS_A_YEAR = 31_557_600
BURST_STEPS = 2.0
"""Two: one for what all failures of that second may have in common, one that came by itself."""
NEVER = 1 << 62
"""An instant that does not come, in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Steps (nats) per failing and passing sample, the alarm level, and the most one member may add, per test."""

    members: int
    base_rate: float
    up: tuple[float, float, float, float]
    down: tuple[float, float, float, float]
    level: tuple[float, float, float, float]
    cap: tuple[float, float, float, float]


def fault_rate(test: int, base_rate: float) -> float:
    """The rate a test is tuned for: its own, but at least three times the baseline, so that it stays a fault."""
    return max(FAULT_RATE[test], min(0.95, 3.0 * base_rate))


def alarm_level(samples_a_year: float, base_rate: float, fault: float, alarms_a_year: float) -> float:
    """The level (nats) at which a healthy stream alarms ``alarms_a_year`` times in ``samples_a_year``.

    Every excursion starts with a failure, so there are ``samples * base_rate`` of them. By Wald's likelihood-ratio
    identity one started at ``u = ln(fault / base)`` reaches ``h`` with probability ``e^(u - h) E[e^-overshoot]``; the
    overshoot of a walk whose upward steps are ``u`` is nearly uniform on (0, u): ``E = (1 - e^-u) / u`` (Siegmund,
    Sequential Analysis, 1985, ch. 10, in place of his Gaussian constant). Together: rate = samples (fault - base) / u e^-h.
    """
    step = log(fault / base_rate)
    return log(samples_a_year * (fault - base_rate) / (step * alarms_a_year))


def refused_nats(members: int, test: int, step: float) -> float:
    """What the further conditions on a pooled alarm are worth; see `REFUSED_STEPS`. ``step``: nats a failure brings."""
    most = PAIR_REFUSED_NATS if members == 2 else REFUSED_NATS if members < FEWEST_OF_CROWD else CROWD_REFUSED_NATS
    return min(most[test], REFUSED_STEPS[test] * step)


def member_part(members: int, test: int) -> float:
    """The greatest part of the alarm level that one member of a pool can bring in, whatever it does.

    A crash counts no member twice: two members are both needed, of three or four three, of more five. The slower tests
    may count a member's failures again, for `rest_part` of the level must come from the others.
    """
    if members <= 1:
        return inf
    if test != CRASH:
        return 0.9 if members <= 4 else 0.49
    if members == 2:
        return 0.6
    return 0.49 if members <= 4 else 0.24


def rest_part(members: int) -> float:
    """The part of the alarm level that must stand without the member that brought most: one sick member is one sick member."""
    if members <= 1:
        return 0.0
    return 0.4 if members <= 4 else 0.6


def blip_part(members: int) -> float:
    """The part of the alarm level that failures of a whole pool within one second bring, however many members fail."""
    return 0.95 if members <= 4 else 0.7


def burst_steps(members: int) -> float:
    """How many failures the heaviest second is worth when the evidence is weighed for a verdict.

    Of up to four members half a second takes two or three, so `blip_part` is enough. A larger pool seldom stands at zero:
    with a burst that brought most of the level it would take only the failures there are anyhow.
    """
    return inf if members <= 4 else BURST_STEPS


@lru_cache(maxsize=4096)
def tune(members: int, base_pm: int, slow_pm: int, interval_ms: int, alarms_a_year: float) -> Tuning:
    """Tuning for a stream of ``members``. Rates in per 10,000 (``base_pm`` 15 is 0.15 %) so that they can be cached."""
    base, slow = base_pm / 10_000, slow_pm / 10_000
    samples = 1.1 * members * SECONDS_A_YEAR * 1_000 / interval_ms
    up, down, level, cap = [], [], [], []
    for test in range(4):
        healthy = slow if test == SLOW else base
        fault = fault_rate(test, healthy)
        height = alarm_level(samples, healthy, fault, alarms_a_year * BUDGET_PART[test])
        if members > 1:
            height = max(2.0, height - refused_nats(members, test, log(fault / healthy)))
        up.append(log(fault / healthy))
        down.append(-log((1.0 - fault) / (1.0 - healthy)))
        level.append(height)
        cap.append(height * member_part(members, test))
    return Tuning(
        members=members,
        base_rate=base,
        up=(up[0], up[1], up[2], up[3]),
        down=(down[0], down[1], down[2], down[3]),
        level=(level[0], level[1], level[2], level[3]),
        cap=(cap[0], cap[1], cap[2], cap[3]),
    )


def lorden_bound_samples(base_rate: float, fault: float, samples_between_alarms: float) -> float:
    """Lorden's asymptotic lower bound on the worst mean delay, in samples: ln(ARL) over the Kullback-Leibler number."""
    information = fault * log(fault / base_rate) + (1.0 - fault) * (log((1.0 - fault) / (1.0 - base_rate)) if fault < 1 else 0.0)
    return log(samples_between_alarms) / information
