"""How soon a fault could be known at all: Lorden's bound at the probe rate and false-alarm budget that were used.

No rule with so few false alarms detects sooner in the worst case (Lorden, Ann. Math. Statist. 42, 1971). Evidence comes at the
fast interval once a first check has failed, so the wait for that failure, at the calm interval, comes on top. The bound is
that of one node's stream; `benchmarks/bench_judge.py` reckons the same way.

Lorden's samples are independent. Failures within one blip (a paused process, a lost packet) are not, however many checks see
it: so nothing is known before the blip would be over, ``confirm_for`` after the first failure.
"""

from __future__ import annotations

from siteshift.core.judge.cusum import SECONDS_A_YEAR, lorden_bound_samples
from siteshift.core.judge.evidence import confirm_ms
from siteshift.core.model.codes import Hardness, MemberRole
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import SiteId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.faults.world import Crash, Errors, Hang, Latency
from siteshift.sim.world.servers import Down

BASE_RATE = 0.0013
"""How often a check of a healthy target fails: the noise of `benchmarks/bench_judge.py` (a pause each half hour, and 0.1 %)."""
CERTAIN = 0.999
MOST_FAST = 12
"""Members that are probed fast at a time, at most: the probe-load budget."""


def failing_rate(event: TimedEvent, slo_ms: int) -> float | None:
    """The part of a pool's checks that fail because of this fault; None: not a fault the bound is for."""
    match event.act:
        case Crash(fraction=fraction) | Hang(fraction=fraction):
            rate = fraction
        case Errors(fraction=fraction, rate_pm=rate_pm, probes_see_pm=seen_pm):
            rate = fraction * rate_pm * seen_pm / 1e6
        case Latency(fraction=fraction, add_ms=add_ms, part_pm=part_pm):
            rate = fraction * part_pm / 1e3 if add_ms >= slo_ms > 0 else 0.0
        case _:
            return None
    members = getattr(event.act, "members", ())
    return min(rate, CERTAIN) if rate > BASE_RATE and not members else None


def hardness_of_event(event: TimedEvent) -> Hardness:
    """What the failing checks look like."""
    match event.act:
        case Crash(how=Down.REFUSED):
            return Hardness.HARD
        case Crash() | Hang():
            return Hardness.SILENT
        case Latency():
            return Hardness.SLOW
        case _:
            return Hardness.GREY


def bound_ms(rate: float, members: int, judge: JudgePolicy, hardness: Hardness = Hardness.HARD) -> int:
    """The least mean delay for a fault that fails this part of the checks of a pool of ``members``."""
    fast_hz = min(members, MOST_FAST) * 1_000 / judge.fast_interval_ms
    calm_hz = members * 1_000 / judge.interval_ms
    between_alarms = fast_hz * SECONDS_A_YEAR / judge.false_alarms_per_year
    samples = lorden_bound_samples(BASE_RATE, rate, between_alarms)
    first_ms = 1_000 / (calm_hz * rate)
    return round(first_ms + max(1_000 * samples / fast_hz, confirm_ms(hardness, judge)))


def bound_for(event: TimedEvent, topology: Topology, judge: JudgePolicy) -> int | None:
    """The bound for one fault of a scenario, in ms; None where it does not apply."""
    site: SiteId | None = getattr(event.act, "site", None)
    service = getattr(event.act, "service", None)
    pools = [pool for pool in topology.pools.values() if pool.site == site and service in (None, pool.service)]
    if not pools:
        return None
    rate = failing_rate(event, topology.service_by_id[pools[0].service].slo_latency_ms)
    if rate is None:
        return None
    members = sum(member.role is MemberRole.ACTIVE for member in pools[0].members)
    return bound_ms(rate, members, judge, hardness_of_event(event))
