"""A run in stretches, one for each fault: from its start to the next one's, or to the end. No gain hides a loss elsewhere.

Faults that start in the same second share a stretch. What was lost before the first fault belongs to none.

A request counts in the second in which it became known what became of it (it failed, was shed, or was answered late), and a
second counts for the fault that starts in it. So what was asked before a fault and ends after it counts for that fault: at most
what waits then, in queues (`queue_ms`) and for the patience of its users. With the usual ones that is less than the two seconds
of traffic that everybody may lose (`peers.nothing.WORSE_S`), and it befalls whoever is compared, each with their own queues. What
an earlier fault still does while it lasts, and the way back after it, count where they happen: for all alike, but not as a
judgement of the later fault alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from siteshift.core.model.units import SiteId
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import Record

SECOND_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One fault as it starts, and the sites it truly harms (none: no site is to be left for it)."""

    at_ms: int
    label: str
    sites: tuple[SiteId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What follows one fault, or several that start together, up to the next."""

    label: str
    from_ms: int
    until_ms: int
    sites: tuple[SiteId, ...]

    def loss(self, record: Record) -> Loss:
        """What was lost in it, whoever steered."""
        rows = [row for row in record.seconds if self._holds(row.at_ms)]
        return Loss(
            failed=sum(row.lost for row in rows),
            shed=sum(row.amount for row in record.sheds if self._holds(row.at_ms)),
            late=sum(row.late for row in rows),
        )

    def _holds(self, at_ms: int) -> bool:
        """Whether a second that ends then counts here."""
        return self.from_ms < at_ms <= self.until_ms


def stretches(starts: Iterable[Start], end_ms: int) -> tuple[Stretch, ...]:
    """The stretches of a run that ends then. Whole seconds, so that each second counts once."""
    together: dict[int, list[Start]] = {}
    for start in sorted(starts, key=lambda one: one.at_ms):
        if start.at_ms < end_ms:
            together.setdefault(start.at_ms // SECOND_MS * SECOND_MS, []).append(start)
    begins = [*together, -(-end_ms // SECOND_MS) * SECOND_MS]
    return tuple(
        Stretch(label=_joined(found), from_ms=from_ms, until_ms=until_ms, sites=_sites(found))
        for (from_ms, found), until_ms in zip(together.items(), begins[1:], strict=True)
    )


def _joined(found: Sequence[Start]) -> str:
    return " + ".join(dict.fromkeys(start.label for start in found))


def _sites(found: Sequence[Start]) -> tuple[SiteId, ...]:
    return tuple(dict.fromkeys(site for start in found for site in start.sites))
