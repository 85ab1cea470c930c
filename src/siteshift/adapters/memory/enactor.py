"""The in-memory `Enactor`: a data plane in a dictionary that can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import MarkClaim, Origin, PlaneMark, claim_of, is_of
from siteshift.core.model.steering import Drift, EnactResult, ReadBack, ServiceSteering, Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.errors import Retryable
from siteshift.ports import Clock


class Misbehaviour(StrEnum):
    """What a data plane may do to its enactor."""

    NONE = "none"
    SLOW = "slow"
    """Takes `MemoryPlane.slow_ms` to write; with a shorter deadline the outcome is ambiguous, though it was written."""
    AMBIGUOUS_WRITTEN = "ambiguous_written"
    AMBIGUOUS_LOST = "ambiguous_lost"
    STALE = "stale"
    """Claims to hold a newer generation, whatever comes."""
    FAILING = "failing"
    REFUSING = "refusing"
    UNREADABLE = "unreadable"
    """Writes work; reading back does not."""
    GONE = "gone"
    """Neither writes nor reads work, as with a socket that is gone."""


@dataclass(slots=True)
class MemoryPlane:
    """The plane itself; several enactors may write to it, as several nodes do. Mutable: it is the outside world."""

    steering: Steering | None = None
    mark: PlaneMark | None = None
    """Who wrote the steering."""
    shares_bp: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    edited: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    misbehaviour: Misbehaviour = Misbehaviour.NONE
    writes_left: int | None = None
    """The misbehaviour ends after this many writes; None: it stays."""
    slow_ms: int = 0
    writes: int = 0
    """Writes that reached the plane and changed it."""

    def misbehave(self, how: Misbehaviour, *, writes: int | None = None, slow_ms: int = 0) -> None:
        """Misbehave from now on, or for so many writes."""
        self.misbehaviour, self.writes_left, self.slow_ms = how, writes, slow_ms

    def edit_by_hand(self, service: ServiceId, shares_bp: Mapping[SiteId, int]) -> None:
        """Somebody changes a service behind siteshift's back."""
        self.edited[service] = dict(shares_bp)

    def forget(self) -> None:
        """The plane restarts without memory of any steering; what it serves stays, its generation is gone."""
        self.steering = self.mark = None

    def _take_misbehaviour(self) -> Misbehaviour:
        how = self.misbehaviour
        if how is not Misbehaviour.NONE and self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left <= 0:
                self.misbehaviour, self.writes_left = Misbehaviour.NONE, None
        return how


class MemoryEnactor:
    """Enacts on a `MemoryPlane` by the rules of the port."""

    def __init__(
        self,
        id: EnactorId,
        topology: Topology,
        clock: Clock,
        plane: MemoryPlane | None = None,
        *,
        origin: Origin | None = None,
    ) -> None:
        self._id = id
        self._origin = origin
        self._clock = clock
        self._services = tuple(service.id for service in topology.services)
        self.plane = plane if plane is not None else MemoryPlane()
        if not self.plane.shares_bp:
            self.plane.shares_bp = {
                service.id: {pool.site: pool.nominal_bp for pool in service.pools} for service in topology.services
            }

    @property
    def id(self) -> EnactorId:
        return self._id

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        await asyncio.sleep(0)
        found = self.plane.steering
        match self.plane._take_misbehaviour():
            case Misbehaviour.FAILING | Misbehaviour.GONE:
                return self._result(steering, EnactOutcome.FAILED, "told to fail")
            case Misbehaviour.REFUSING:
                return self._result(steering, EnactOutcome.REFUSED, "told to refuse")
            case Misbehaviour.STALE:
                return self._result(steering, EnactOutcome.STALE, "told to be ahead", steering.generation + 1)
            case Misbehaviour.AMBIGUOUS_LOST:
                return self._result(steering, EnactOutcome.AMBIGUOUS, "told to lose the write and the answer")
            case Misbehaviour.AMBIGUOUS_WRITTEN:
                self._write_if_newer(steering)
                return self._result(steering, EnactOutcome.AMBIGUOUS, "told to lose the answer")
            case Misbehaviour.SLOW if self.plane.slow_ms > deadline_ms:
                await asyncio.sleep(deadline_ms / 1000)
                self._write_if_newer(steering)
                return self._result(steering, EnactOutcome.AMBIGUOUS, "told to be slow")
            case Misbehaviour.SLOW:
                await asyncio.sleep(self.plane.slow_ms / 1000)
                found = self.plane.steering
            case _:
                pass
        if claim_of(self.plane.mark, self._own(steering), taken_over=steering.taken_over) is MarkClaim.FOREIGN:
            detail = f"it carries {self.plane.mark}: two controllers write to it"
            return replace(self._result(steering, EnactOutcome.REFUSED, detail), found_mark=self.plane.mark)
        if found is not None and steering.generation == found.generation and steering.digest() == found.digest():
            return self._result(steering, EnactOutcome.APPLIED, "already there", found.generation)
        if not self._write_if_newer(steering):
            assert found is not None
            return self._result(steering, EnactOutcome.STALE, "older than what is there", found.generation)
        return self._result(steering, EnactOutcome.APPLIED, "", steering.generation)

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        await asyncio.sleep(0)
        plane = self.plane
        if plane.misbehaviour in (Misbehaviour.UNREADABLE, Misbehaviour.GONE):
            raise Retryable("told not to answer", system=f"memory {self._id}", operation="read back")
        if plane.misbehaviour is Misbehaviour.SLOW and plane.slow_ms > deadline_ms:
            await asyncio.sleep(deadline_ms / 1000)
            raise Retryable("too slow", system=f"memory {self._id}", operation="read back")
        actual = {service: dict(plane.edited.get(service, plane.shares_bp[service])) for service in self._services}
        drifts = tuple(
            Drift(
                enactor=self._id,
                what=f"shares of {service}",
                wanted=str(plane.shares_bp[service]),
                found=str(edited),
                ours=True,
            )
            for service, edited in plane.edited.items()
        )
        return ReadBack(
            enactor=self._id,
            at_ms=self._clock.now_ms(),
            generation=plane.steering.generation if plane.steering and self._is_ours(plane.mark) else None,
            mark=plane.mark,
            shares_bp=actual,
            drifts=drifts,
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _own(self, steering: Steering) -> PlaneMark:
        term = steering.term if self._origin is not None else None
        return PlaneMark(generation=steering.generation, term=term, origin=self._origin)

    def _is_ours(self, mark: PlaneMark | None) -> bool:
        return self._origin is None or is_of(mark, self._origin)

    def _write_if_newer(self, steering: Steering) -> bool:
        """Take a newer steering; a service it leads nowhere keeps what it has. False: not newer, nothing changed."""
        plane = self.plane
        if plane.steering is not None and steering.generation <= plane.steering.generation:
            return False
        if claim_of(plane.mark, self._own(steering), taken_over=steering.taken_over) is not MarkClaim.FREE:
            return False
        for entry in steering.services:
            if entry.service in plane.shares_bp and (delivered := _delivered(entry)):
                plane.shares_bp[entry.service] = delivered
        plane.edited.clear()
        plane.steering, plane.mark = steering, self._own(steering)
        plane.writes += 1
        return True

    def _result(
        self, steering: Steering, outcome: EnactOutcome, detail: str, found_generation: int | None = None
    ) -> EnactResult:
        return EnactResult(
            enactor=self._id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self._clock.now_ms(),
            detail=detail,
            found_generation=found_generation,
        )


def _delivered(entry: ServiceSteering) -> dict[SiteId, int]:
    """What a plane without shed answers delivers: shed demand stays where it was. Empty: it leads nowhere."""
    shares = {site: share_bp for site, share_bp in entry.shares_bp.items() if share_bp > 0}
    if entry.shed_at is not None and entry.shed_bp > 0:
        shares[entry.shed_at] = shares.get(entry.shed_at, 0) + entry.shed_bp
    return shares
