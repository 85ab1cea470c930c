"""Criteria on what users got: how soon they were out of harm's way, what they lost, how full the survivors were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.criteria.criterion import Evidence, Judged, criterion
from siteshift.sim.results.record import LostTo, Milestones, Record, Second

FOREVER_MS = 10**12


def seconds(value_ms: float | None) -> str:
    """``12.3 s``; ``never`` when it did not happen."""
    return "never" if value_ms is None else f"{value_ms / 1000:.4g} s"


def percent(value_pm: float) -> str:
    return f"{value_pm / 10:.4g} %"


def _after(label: str) -> str:
    return f' after "{label}"' if label else " after the first fault"


def _within(
    evidence: Evidence, name: str, what: str, after: str, at_most_ms: int, field: Callable[[Milestones], int | None]
) -> Judged:
    found = evidence.milestones(after)
    took_ms = field(found) if found else None
    demand = f"{what} within {seconds(at_most_ms)}{_after(after)}"
    if found is not None and took_ms is None and _was_empty(evidence, found.site, evidence.instant(after) or 0):
        return Judged(name=name, demand=demand, found=f"nearly nobody was at {found.site} any more", is_met=True)
    is_met = took_ms is not None and took_ms <= at_most_ms
    return Judged(name=name, demand=demand, found=seconds(took_ms), is_met=is_met)


EMPTY_BP = 100
"""A site with less of the traffic than this has been left."""


def _was_empty(evidence: Evidence, site: SiteId, at_ms: int) -> bool:
    """Whether a site had been left before an instant."""
    places = [(service, site) for service in evidence.services]
    return evidence.mean(places, lambda s: s.seen_bp, at_ms - SHARE_WINDOW_MS, at_ms) < EMPTY_BP


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The leading node calls a harmed site bad within so many seconds."""

    NAME: ClassVar[str] = "detect_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        return _within(evidence, self.NAME, "detected", self.after, self.at_most_ms, lambda m: m.detect_ms)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The harmed site's desired share falls within so many seconds."""

    NAME: ClassVar[str] = "decide_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        return _within(evidence, self.NAME, "decided", self.after, self.at_most_ms, lambda m: m.decide_ms)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class HalfMoved:
    """Half of the harmed site's requests go elsewhere within so many seconds."""

    NAME: ClassVar[str] = "t50_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        return _within(evidence, self.NAME, "half of the requests elsewhere", self.after, self.at_most_ms, lambda m: m.t50_ms)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """95 % of the harmed site's requests go elsewhere within so many seconds."""

    NAME: ClassVar[str] = "t95_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        return _within(evidence, self.NAME, "95 % of the requests elsewhere", self.after, self.at_most_ms, lambda m: m.t95_ms)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LostSeconds:
    """Requests lost after a fault, shed ones too (late ones are answered), in seconds of the failed site's traffic."""

    NAME: ClassVar[str] = "lost_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        found = evidence.milestones(self.after)
        lost_ms = found.lost_s(late_weight=0) * 1000 if found else None
        return Judged(
            name=self.NAME,
            demand=f"at most {seconds(self.at_most_ms)} of the site's traffic lost{_after(self.after)}",
            found=seconds(lost_ms),
            is_met=lost_ms is not None and lost_ms <= self.at_most_ms,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LossSeconds:
    """The loss after a fault as it is judged (failed + shed + late/2), in seconds of the failed site's traffic."""

    NAME: ClassVar[str] = "loss_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        found = evidence.milestones(self.after)
        loss_ms = found.lost_s() * 1000 if found else None
        return Judged(
            name=self.NAME,
            demand=f"a loss of at most {seconds(self.at_most_ms)} of the site's traffic{_after(self.after)}",
            found=seconds(loss_ms),
            is_met=loss_ms is not None and loss_ms <= self.at_most_ms,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LostPart:
    """The part of all requests of an interval that was lost (openly shed ones apart), in per cent."""

    NAME: ClassVar[str] = "lost_percent"
    at_most_percent: float
    from_ms: int = 0
    until_ms: int = FOREVER_MS

    def judge(self, evidence: Evidence) -> Judged:
        lost = evidence.total(lambda s: s.lost, self.from_ms, self.until_ms)
        offered = evidence.total(lambda s: s.offered, self.from_ms, self.until_ms)
        found = 100 * lost / max(1.0, offered)
        return Judged(
            name=self.NAME,
            demand=f"at most {percent(10 * self.at_most_percent)} of requests lost{_interval(self.from_ms, self.until_ms)}",
            found=percent(10 * found),
            is_met=found <= self.at_most_percent,
        )


def _interval(from_ms: int, until_ms: int) -> str:
    if until_ms == FOREVER_MS:
        return f" from {seconds(from_ms)} on" if from_ms else ""
    return f" between {seconds(from_ms)} and {seconds(until_ms)}"


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LostAtSite:
    """The part of the requests that one site got in an interval and that were lost, in per cent."""

    NAME: ClassVar[str] = "lost_at_site_percent"
    at_most_percent: float
    site: SiteId
    from_ms: int = 0
    until_ms: int = FOREVER_MS

    def judge(self, evidence: Evidence) -> Judged:
        lost = evidence.total(lambda s: s.lost, self.from_ms, self.until_ms, self.site)
        offered = evidence.total(lambda s: s.offered, self.from_ms, self.until_ms, self.site)
        found = 100 * lost / max(1.0, offered)
        where = f"of {self.site}'s requests lost{_interval(self.from_ms, self.until_ms)}"
        return Judged(
            name=self.NAME,
            demand=f"at most {percent(10 * self.at_most_percent)} {where}",
            found=percent(10 * found),
            is_met=found <= self.at_most_percent,
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class LostToOverload:
    """The part of all requests that met a full queue, in per cent: what cannot be carried is shed openly, not timed out."""

    NAME: ClassVar[str] = "overload_percent"
    at_most_percent: float

    def judge(self, evidence: Evidence) -> Judged:
        record = evidence.record
        found = 100 * record.lost.get(LostTo.OVERLOAD, 0.0) / max(1.0, record.offered)
        return Judged(
            name=self.NAME,
            demand=f"at most {percent(10 * self.at_most_percent)} of requests lost to overload",
            found=percent(10 * found),
            is_met=found <= self.at_most_percent,
        )


class ShareOf(StrEnum):
    """Three different facts about a share."""

    DESIRED = "desired"
    ACTUAL = "actual"
    SEEN = "seen"


_FIELDS: dict[ShareOf, Callable[[Second], float]] = {
    ShareOf.DESIRED: lambda s: s.desired_bp,
    ShareOf.ACTUAL: lambda s: s.actual_bp,
    ShareOf.SEEN: lambda s: s.seen_bp,
}
SHARE_WINDOW_MS = 5_000
"""Shares are judged over five seconds from the instant on, so that no single second decides."""


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A site's share of a service's traffic at an instant: desired, actual or (by default) seen."""

    NAME: ClassVar[str] = "share"
    site: SiteId
    at_ms: int
    at_most_bp: int | None = None
    at_least_bp: int | None = None
    of: ShareOf = ShareOf.SEEN
    service: ServiceId | None = None

    def judge(self, evidence: Evidence) -> Judged:
        services = [self.service] if self.service else evidence.services
        places = [(service, self.site) for service in services]
        start_ms = min(self.at_ms, evidence.record.duration_ms - SHARE_WINDOW_MS)
        found = evidence.mean(places, _FIELDS[self.of], start_ms, start_ms + SHARE_WINDOW_MS)
        limits = []
        if self.at_most_bp is not None:
            limits.append(f"at most {self.at_most_bp / 100:g} %")
        if self.at_least_bp is not None:
            limits.append(f"at least {self.at_least_bp / 100:g} %")
        whose = f" of {self.service}" if self.service else ""
        return Judged(
            name=self.NAME,
            demand=f"{self.site}'s {self.of} share{whose} at {seconds(self.at_ms)}: {', '.join(limits)}",
            found=f"{found / 100:.4g} %",
            is_met=(self.at_most_bp is None or found <= self.at_most_bp)
            and (self.at_least_bp is None or found >= self.at_least_bp),
        )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class PeakUtilisation:
    """The highest load of a site that was not harmed, from an instant on, in per cent of the capacity open there."""

    NAME: ClassVar[str] = "utilisation_percent"
    at_most_pm: int
    from_ms: int = -FOREVER_MS

    def judge(self, evidence: Evidence) -> Judged:
        peaks = self._peaks(evidence.record) if self.from_ms > -FOREVER_MS else evidence.record.peak_utilisation_pm
        since = f" from {seconds(self.from_ms)} on" if self.from_ms > -FOREVER_MS else ""
        site = max(peaks, key=lambda entry: peaks[entry], default=None)
        found_pm = peaks[site] if site is not None else 0
        return Judged(
            name=self.NAME,
            demand=f"no healthy site above {percent(self.at_most_pm)} of its capacity{since}",
            found=f"{percent(found_pm)} at {site}" if site else "no figures",
            is_met=found_pm <= self.at_most_pm,
        )

    def _peaks(self, record: Record) -> dict[SiteId, int]:
        found: dict[SiteId, int] = {}
        for second in record.seconds:
            if second.at_ms >= self.from_ms and not _is_harmed(record, second):
                found[second.site] = max(found.get(second.site, 0), second.utilisation_pm)
        return found


def _is_harmed(record: Record, second: Second) -> bool:
    """Whether a fault that had not ended by then harmed the site."""
    return any(
        injury.at_ms <= second.at_ms and (injury.healed_ms is None or second.at_ms < injury.healed_ms)
        for injury in record.injuries
        if second.site in injury.sites
    )


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class NeverEmpty:
    """At every second every name that a data plane carries had an answer: some site's actual share was above nothing."""

    NAME: ClassVar[str] = "empty_answers"
    at_most: int

    def judge(self, evidence: Evidence) -> Judged:
        sums: dict[tuple[ServiceId, int], int] = {}
        planes = evidence.world.planes
        carried = {s.id for s in evidence.world.topology.services if any(s.id in p.services or not p.services for p in planes)}
        for second in (second for second in evidence.record.seconds if second.service in carried):
            key = (second.service, second.at_ms)
            sums[key] = sums.get(key, 0) + second.actual_bp
        empty = sum(1 for value in sums.values() if value == 0)
        return Judged(
            name=self.NAME,
            demand=f"at most {self.at_most} seconds with an empty answer" if self.at_most else "never an empty answer",
            found=f"{empty} s",
            is_met=empty <= self.at_most,
        )
