"""Criteria on what the controller moved: how often, how far, back and forth, and whether it was right to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.criteria.criterion import Evidence, Judged, criterion
from siteshift.sim.criteria.outcome import FOREVER_MS, seconds
from siteshift.sim.results.record import Move

NOTICEABLE_BP = 200
"""Two per cent of a service's traffic: less is the rounding of an allocation, not a move back and forth."""


def _count(name: str, demand: str, found: int, at_most: int, unit: str) -> Judged:
    shown = f"at most {at_most}" if at_most else "no"
    return Judged(name=name, demand=f"{shown} {demand}", found=f"{found} {unit}", is_met=found <= at_most)


def _first_reason(moves: Iterable[Move]) -> str:
    found = next(iter(moves), None)
    return f" (first at {seconds(found.at_ms)}: {found.wrong})" if found else ""


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class WrongMoves:
    """Moves that took half of a healthy site's due, sent more to a sick one, went back in generation or emptied an answer."""

    NAME: ClassVar[str] = "wrong_moves"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        wrong = evidence.record.wrong_moves
        judged = _count(self.NAME, "wrong moves", len(wrong), self.at_most, "wrong")
        return Judged(name=self.NAME, demand=judged.demand, found=judged.found + _first_reason(wrong), is_met=judged.is_met)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LawsBroken:
    """Laws of the design broken by any node, as their checkers tell."""

    NAME: ClassVar[str] = "laws_broken"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        broken = evidence.record.violations
        first = f": law {broken[0].law} at {seconds(broken[0].at_ms)}, {broken[0].text}" if broken else ""
        return Judged(
            name=self.NAME,
            demand="no law broken",
            found=f"{len(broken)} broken{first}",
            is_met=len(broken) <= self.at_most,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Changes of desired shares, in the whole run or an interval."""

    NAME: ClassVar[str] = "moves"
    at_most: int
    from_ms: int = -FOREVER_MS
    until_ms: int = FOREVER_MS

    def judge(self, evidence: Evidence) -> Judged:
        found = [move for move in evidence.moves if self.from_ms <= move.at_ms < self.until_ms]
        when = "" if self.until_ms == FOREVER_MS else f" between {seconds(self.from_ms)} and {seconds(self.until_ms)}"
        return _count(self.NAME, f"moves{when}", len(found), self.at_most, "moves")


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Drains:
    """Times a site was emptied of a service."""

    NAME: ClassVar[str] = "drains"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        found = [
            f"{move.service} left {site} at {seconds(move.at_ms)}"
            for move in evidence.moves
            for site, before in move.before_bp.items()
            if before > 0 and move.after_bp.get(site, 0) == 0
        ]
        judged = _count(self.NAME, "drains", len(found), self.at_most, "drains")
        detail = f": {found[0]}" if found else ""
        return Judged(name=self.NAME, demand=judged.demand, found=judged.found + detail, is_met=judged.is_met)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class SitesHit:
    """Sites that ever lost their whole share of a service by our doing."""

    NAME: ClassVar[str] = "sites_removed"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        found = {
            site
            for move in evidence.moves
            for site, before in move.before_bp.items()
            if before > 0 and move.after_bp.get(site, 0) == 0
        }
        names = f": {', '.join(sorted(found))}" if found else ""
        return Judged(
            name=self.NAME,
            demand=f"at most {self.at_most} sites removed" if self.at_most else "no site removed",
            found=f"{len(found)}{names}",
            is_met=len(found) <= self.at_most,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Reversals:
    """Times the share of a service at a site turned from falling to rising or back: leaving and coming back is one."""

    NAME: ClassVar[str] = "reversals"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        worst, where = 0, ""
        for (service, site), deltas in _deltas(evidence.moves).items():
            turns = sum(1 for one, next_one in pairwise(deltas) if (one < 0) != (next_one < 0))
            if turns > worst:
                worst, where = turns, f" of {service} at {site}"
        return _count(self.NAME, "turns of a site's share", worst, self.at_most, f"turns{where}")


def _deltas(moves: Iterable[Move]) -> dict[tuple[ServiceId, SiteId], list[int]]:
    found: dict[tuple[ServiceId, SiteId], list[int]] = {}
    for move in moves:
        for site in {**move.before_bp, **move.after_bp}:
            delta = move.after_bp.get(site, 0) - move.before_bp.get(site, 0)
            if abs(delta) >= NOTICEABLE_BP:
                found.setdefault((move.service, site), []).append(delta)
    return found


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class FirstMove:
    """The first move comes no sooner than this instant (a full window of observation first)."""

    NAME: ClassVar[str] = "first_move_after_s"
    at_ms: int

    def judge(self, evidence: Evidence) -> Judged:
        first = next((move.at_ms for move in evidence.moves), None)
        return Judged(
            name=self.NAME,
            demand=f"no move before {seconds(self.at_ms)}",
            found="no move" if first is None else f"first at {seconds(first)}",
            is_met=first is None or first >= self.at_ms,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Shed:
    """The highest part of a service's demand that was shed openly from an instant on, in per cent."""

    NAME: ClassVar[str] = "shed"
    service: ServiceId | None = None
    at_most_bp: int = 10_000
    at_least_bp: int = 0
    from_ms: int = -FOREVER_MS

    def judge(self, evidence: Evidence) -> Judged:
        before: dict[ServiceId, int] = {}
        found = 0
        for move in (move for move in evidence.moves if self.service in (None, move.service)):
            if move.at_ms < self.from_ms:
                before[move.service] = move.shed_bp
            else:
                found = max(found, move.shed_bp)
        found = max(found, *before.values(), 0)
        whose = self.service or "any service"
        since = f" from {seconds(self.from_ms)} on" if self.from_ms > -FOREVER_MS else ""
        limits = []
        if self.at_least_bp:
            limits.append(f"at least {self.at_least_bp / 100:g} %")
        if self.at_most_bp < 10_000:
            limits.append(f"at most {self.at_most_bp / 100:g} %")
        return Judged(
            name=self.NAME,
            demand=f"shed of {whose}{since}: {', '.join(limits) or 'any'}",
            found=f"{found / 100:g} %",
            is_met=self.at_least_bp <= found <= self.at_most_bp,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class ShedLowestFirst:
    """A more critical service is never shed more than a less critical one."""

    NAME: ClassVar[str] = "shed_lowest_first"
    is_demanded: bool

    def judge(self, evidence: Evidence) -> Judged:
        tiers = {service.id: service.tier for service in evidence.world.topology.services}
        shed: dict[ServiceId, int] = dict.fromkeys(tiers, 0)
        wrong = ""
        moves = evidence.moves
        for number, move in enumerate(moves):
            shed[move.service] = move.shed_bp
            if number + 1 < len(moves) and moves[number + 1].at_ms == move.at_ms:
                continue
            for one in tiers:
                for other in tiers:
                    if tiers[one] < tiers[other] and shed[one] > shed[other] and not wrong:
                        wrong = f"{one} {shed[one] / 100:g} % and {other} {shed[other] / 100:g} % at {seconds(move.at_ms)}"
        return Judged(name=self.NAME, demand="the least critical service is shed first", found=wrong or "kept", is_met=not wrong)
