"""What a scenario demands of a run: named criteria, each a small class over the `Record`.

A criterion's fields are its arguments, written in the file by the rule of `scenario.fields` (per cent, seconds). Where only
one is given, it is the first: ``t95_s: 120`` is ``t95_s: {at_most_s: 120}``. A criterion says what it demanded, what it
found, and whether that is enough; it never decides what to demand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

from siteshift.core.model.policy import Policy
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.results.record import Line, Milestones, Move, Record, Second
from siteshift.sim.world.spec import WorldSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One criterion on one run."""

    name: str
    demand: str
    found: str
    is_met: bool


@dataclass(kw_only=True)
class Evidence:
    """A record with the world and policy it came from, and the look-ups that criteria share.

    ``instants`` are the events of the file by their names.
    """

    record: Record
    world: WorldSpec
    policy: Policy
    warm_up_ms: int
    instants: Mapping[str, int]

    @cached_property
    def by_place(self) -> dict[tuple[ServiceId, SiteId], list[Second]]:
        """The series of each service at each site."""
        found: dict[tuple[ServiceId, SiteId], list[Second]] = {}
        for second in self.record.seconds:
            found.setdefault((second.service, second.site), []).append(second)
        return found

    @cached_property
    def services(self) -> list[ServiceId]:
        return list(dict.fromkeys(second.service for second in self.record.seconds))

    @cached_property
    def moves(self) -> list[Move]:
        """Changes of desired shares; the very first steering changes nothing (it is what the planes have)."""
        return [move for move in self.record.moves if move.before_bp]

    def lines(self, *kinds: str) -> Iterable[Line]:
        """Lines of the transcript of these kinds."""
        return (line for line in self.record.transcript if line.kind in kinds)

    def instant(self, label: str) -> int | None:
        """When the event of this name came; without a name the first fault, or zero where there is none."""
        if label:
            return self.instants.get(label)
        return self.record.injuries[0].at_ms if self.record.injuries else 0

    def milestones(self, label: str) -> Milestones | None:
        """What followed the injury of this name; without a name the first."""
        return next((entry for entry in self.record.milestones if label in ("", entry.label)), None)

    def total(self, field: Callable[[Second], float], from_ms: int, until_ms: int, site: SiteId | None = None) -> float:
        """The sum of a figure over all services within an interval, at one site or everywhere."""
        return sum(
            field(second)
            for (_, at), series in self.by_place.items()
            if site in (None, at)
            for second in series
            if from_ms <= second.at_ms < until_ms
        )

    def harmed(self, site: SiteId, at_ms: int) -> bool:
        """Whether an injury lies upon a site at an instant."""
        return any(
            site in entry.sites and entry.at_ms <= at_ms and (entry.healed_ms is None or at_ms < entry.healed_ms)
            for entry in self.record.injuries
        )

    def mean(
        self, places: Iterable[tuple[ServiceId, SiteId]], field: Callable[[Second], float], from_ms: int, until_ms: int
    ) -> float:
        """The mean of a figure over places and seconds within an interval; 0 when there are none."""
        values = [
            field(second) for place in places for second in self.by_place.get(place, ()) if from_ms <= second.at_ms < until_ms
        ]
        return sum(values) / len(values) if values else 0.0


class Criterion(Protocol):
    """One demand. ``NAME`` is what the file says; the docstring is what people read."""

    NAME: ClassVar[str]

    def judge(self, evidence: Evidence) -> Judged:
        """What the run shows."""


CRITERIA: dict[str, type[Criterion]] = {}
"""Every criterion by its name."""


def criterion(made: type[Criterion]) -> type[Criterion]:
    """Register a criterion under its name."""
    assert made.NAME not in CRITERIA, made.NAME
    CRITERIA[made.NAME] = made
    return made
