"""What no world of the sweep may show. Each rule is a function of a run; what it finds is one sentence, or nothing.

``worse``      loses more than nothing done by over 2 s of the struck sites' traffic (a late answer is half a loss)
``turns``      a site's desired share turns more often than once per fault and once per heal. A world that is fuller in calm than
               the policy allows begins with something to do: once there, too
``overload``   a site that nothing harms is above its limit for over 10 s after the TTL tail. One that was above before may be
               full; where nothing done has it above as long, it may stay
``refill``     a site is given as much as it failed at for its load, or more, less than 30 s after it failed
``not-home``   healed, shares are neither the nominal ones nor those of the calm before. In a world as full as that it is enough
               that no site is above its limit and everybody is served
``wrong``      a wrong move (`results.record.Truth`)
``law``        a law broken

Nobody who only sees what a node sees could tell some worlds apart: `unknowable` says which by what the world is, never by how
it went.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, SiteId
from siteshift.sim.criteria.moves import NOTICEABLE_BP
from siteshift.sim.fuzz.swarm import NEAR_PERCENT
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.results.record import HEALTHY_PM, Broken, Move, Record, Second
from siteshift.sim.sweep.factors import CALM_S, FULL_PM, Combination

TAIL_S = {"dns": 60, "both": 60, "balancer": 30}
"""So long after a fault or a heal nobody can have arranged everything: for caches that stretch the TTL; behind a balancer, for a
standby's cold start."""
OVER_S = 10
"""So long a survivor may be above its limit after that."""
ROUNDING_PM = 20
"""Shares are whole per mille and demand is chance: so much above the limit is not above it."""
QUIET_S = 30
"""A site that failed is not brought back to what it failed at before it has been quiet for so long."""
LAST_S = 5
"""What is so at the end is the mean of so long."""
MARKED_MOST_PM = 20
"""So many worlds may lose more than nothing done and be marked as unknowable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the rules look at: one run, its twin in which nothing is done, and what the world is.

    ``limit_pm``: the utilisation that the policy allows. ``nominal_bp``: by site. ``struck_rps``: the calm traffic of the sites
    that something strikes.
    """

    combination: Combination
    record: Record
    nothing: Record
    limit_pm: int
    nominal_bp: Mapping[SiteId, int]
    struck_rps: float
    _series: dict[int, dict[SiteId, list[Second]]] = field(default_factory=dict)

    @property
    def beside(self) -> BesideNothing:
        return BesideNothing(ours=self.record.loss, nothing=self.nothing.loss, site_rps=self.struck_rps)

    @property
    def strikes_ms(self) -> list[int]:
        """When faults strike."""
        return [event_ms(event["at_s"]) for event in self.combination.events()]

    @property
    def heals_ms(self) -> list[int]:
        """When they heal."""
        return [event_ms(event["until_s"]) for event in self.combination.events()]

    @property
    def is_overfull(self) -> bool:
        """Whether sites are fuller in calm than the policy allows."""
        return FULL_PM[self.combination.value("load")] > self.limit_pm

    def by_site(self, record: Record) -> Mapping[SiteId, list[Second]]:
        """The seconds of each site."""
        if id(record) not in self._series:
            found: dict[SiteId, list[Second]] = {}
            for row in record.seconds:
                found.setdefault(row.site, []).append(row)
            self._series[id(record)] = found
        return self._series[id(record)]

    def in_calm(self, site: SiteId, value: Callable[[Second], float]) -> float:
        """A mean over the last 20 s before the first fault."""
        rows = self.by_site(self.record)[site]
        return fmean(value(row) for row in rows if CALM_S - 20 < row.at_ms / 1_000 <= CALM_S)


def event_ms(value_s: object) -> int:
    """An instant of the scenario."""
    assert isinstance(value_s, int | float)
    return round(value_s * 1_000)


Rule = Callable[[Observed], str]
"""What a run shows that it may not; empty: nothing."""


def worse(run: Observed) -> str:
    """Loses more than nothing done by over 2 s of the struck sites' traffic."""
    return f"{run.beside.more_s():.1f} s more lost than with nothing done" if run.beside.is_worse else ""


def turns(run: Observed) -> str:
    """A share turns more often than once per fault and once per heal."""
    strikes_ms, heals_ms = run.strikes_ms, run.heals_ms
    phases = (
        ("in calm", -(10**9), strikes_ms[0], int(run.is_overfull)),
        ("under fault", strikes_ms[0], heals_ms[0], len(strikes_ms)),
        ("after the heal", heals_ms[0], 10**9, len(heals_ms)),
    )
    said = []
    for site, instants in turns_of(run.record.moves).items():
        for name, from_ms, until_ms, most in phases:
            found = sum(from_ms <= at_ms < until_ms for at_ms in instants)
            if found > most:
                said.append((found - most, f"{site} {found} times {name}"))
    return f"share turns: {max(said)[1]}" if said else ""


def turns_of(moves: Sequence[Move]) -> dict[SiteId, list[int]]:
    """When the desired share of each site turned by what is noticeable, up after down or down after up. Steps add up."""
    shares: dict[SiteId, list[tuple[int, int]]] = {}
    for move in moves:
        for site, bp in move.after_bp.items():
            shares.setdefault(site, [(move.at_ms, move.before_bp.get(site, bp))]).append((move.at_ms, bp))
    return {site: _turns(course) for site, course in shares.items()}


def _turns(course: Sequence[tuple[int, int]]) -> list[int]:
    low = high = course[0][1]
    rises: bool | None = None
    found: list[int] = []
    for at_ms, bp in course:
        low, high = min(low, bp), max(high, bp)
        if rises is not True and bp - low >= NOTICEABLE_BP:
            found += [at_ms] if rises is False else []
            rises, high = True, bp
        elif rises is not False and high - bp >= NOTICEABLE_BP:
            found += [at_ms] if rises is True else []
            rises, low = False, bp
    return found


def overload(run: Observed) -> str:
    """A site that nothing harms is above its limit for over 10 s after the tail of caches."""
    worst: tuple[int, str] = (0, "")
    for site, rows in run.by_site(run.record).items():
        if site in run.combination.harmed():
            continue
        was_pm = run.in_calm(site, lambda row: row.utilisation_pm)
        most_pm = (WHOLE_PM if was_pm > run.limit_pm else run.limit_pm) + ROUNDING_PM
        seconds, peak_pm = longest_above(rows, most_pm, run)
        anyway, _ = longest_above(run.by_site(run.nothing)[site], most_pm, run)
        if seconds > max(OVER_S, anyway):
            worst = max(worst, (seconds, f"{site} above {most_pm / 10:g} % for {seconds} s, up to {peak_pm / 10:.0f} %"))
    return worst[1]


def longest_above(rows: Sequence[Second], most_pm: int, run: Observed) -> tuple[int, int]:
    """The longest time above a utilisation, tails of caches left out, in s; and the highest of all."""
    tail_ms = TAIL_S[run.combination.value("entry")] * 1_000
    instants = [*run.strikes_ms, *run.heals_ms]
    longest = now = peak_pm = 0
    for row in rows:
        is_tail = row.at_ms < instants[0] or any(at_ms <= row.at_ms < at_ms + tail_ms for at_ms in instants)
        now = now + 1 if row.utilisation_pm > most_pm and not is_tail else 0
        longest = max(longest, now)
        peak_pm = max(peak_pm, row.utilisation_pm if now else 0)
    return longest, peak_pm


def refill(run: Observed) -> str:
    """A site is given as much as it failed at, or more, within its quiet time."""
    for move in run.record.moves:
        for site, bp in move.after_bp.items():
            if bp <= move.before_bp.get(site, bp):
                continue
            rows = run.by_site(run.record)[site]
            lately = [r for r in rows if move.at_ms - QUIET_S * 1_000 < r.at_ms <= move.at_ms and fails(r)]
            if lately and bp >= (level_bp := min(row.seen_bp for row in lately)):
                ago_s = (move.at_ms - lately[-1].at_ms) / 1_000
                at_s = move.at_ms / 1_000
                return f"{site} given {bp / 100:.1f} % at {at_s:.0f} s, {ago_s:.0f} s after it failed at {level_bp / 100:.1f} %"
    return ""


def fails(row: Second) -> bool:
    """Whether a site fails at what it is asked: it is asked for more than it carries, and over 3 % of the answers are bad.

    One that is dead or sick fails at any load; whether it is well again is another question.
    """
    bad = row.lost + row.slow
    is_full = row.actual_bp > 0 and row.utilisation_pm > WHOLE_PM
    return is_full and bad > row.offered * (WHOLE_PM - HEALTHY_PM) / WHOLE_PM


def not_home(run: Observed) -> str:
    """Healed, shares are neither the nominal ones nor those of the calm before."""
    near_bp, from_ms = NEAR_PERCENT * 100, run.record.duration_ms - LAST_S * 1_000
    if run.is_overfull and _is_well(run, from_ms):
        return ""
    for site, rows in run.by_site(run.record).items():
        for what, value in _KINDS.items():
            homes = (run.nominal_bp[site], run.in_calm(site, value))
            found = fmean(value(row) for row in rows if row.at_ms > from_ms)
            if all(abs(found - home_bp) > near_bp for home_bp in homes):
                return f"{site} has {found / 100:.1f} % ({what}) at the end, nominal {homes[0] / 100:g} %"
    return ""


def _is_well(run: Observed, from_ms: int) -> bool:
    """Whether everybody is served from an instant on, no site is above its limit, and nothing is to be shed."""
    rows = [row for row in run.record.seconds if row.at_ms > from_ms]
    is_shed = any(shed.amount > 0 for shed in run.record.sheds if shed.at_ms > from_ms)
    desired_bp = sum(row.desired_bp for row in rows) / max(1, len({row.at_ms for row in rows}))
    is_full = any(row.utilisation_pm > run.limit_pm + ROUNDING_PM for row in rows)
    lost = sum(row.lost + row.slow for row in rows) / max(1.0, sum(row.offered for row in rows))
    return not is_shed and not is_full and desired_bp > WHOLE_BP - NOTICEABLE_BP and lost < (WHOLE_PM - HEALTHY_PM) / WHOLE_PM


_KINDS: Mapping[str, Callable[[Second], float]] = {
    "desired": lambda row: row.desired_bp,
    "actual": lambda row: row.actual_bp,
}


def law(run: Observed) -> str:
    """A law broken. No world excuses that."""
    broken: tuple[Broken, ...] = run.record.violations
    return f"law {broken[0].law} broken: {broken[0].text}" if broken else ""


def wrong(run: Observed) -> str:
    """A wrong move."""
    moves = run.record.wrong_moves
    return f"{len(moves)} wrong moves, first at {moves[0].at_ms / 1_000:.0f} s: {moves[0].wrong}" if moves else ""


RULES: Mapping[str, Rule] = {
    "worse": worse,
    "turns": turns,
    "overload": overload,
    "refill": refill,
    "not-home": not_home,
    "wrong": wrong,
    "law": law,
}
EXCUSED = frozenset({"worse", "wrong"})
"""What an unknowable world may show."""


def unknowable(one: Combination) -> str:
    """Why nobody could have known better in this world; empty: somebody could.

    The checks of one site break while its users are well, and nobody counts requests: all that a node sees is what it would see
    had the site died. Where further sites follow, or all break at once, that itself tells.
    """
    is_alone = any(strike.kind == "checks_one" for strike in one.strikes)
    return "checks of one site broken, nobody counts requests" if is_alone and one.value("meter") == "unmetered" else ""
