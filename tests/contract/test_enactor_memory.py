"""The contract of `ports.Enactor` for the in-memory twin, and what it does when told to misbehave."""

import pytest

from contract.enactor_suite import (
    ANYANG,
    DEADLINE_MS,
    GASAN,
    PANGYO,
    WEB,
    EnactorPlane,
    SharedPlaneContract,
    enact,
    steer,
    suite_topology,
)
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.enactor import MemoryEnactor, MemoryPlane, Misbehaviour
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.units import EnactorId
from siteshift.errors import Retryable

NOMINAL = {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
DRAINED = (0, 6_000, 4_000)


class TestMemoryEnactor(SharedPlaneContract):
    @pytest.fixture
    def plane(self) -> EnactorPlane:
        topology, clock, shared = suite_topology(), ManualClock(), MemoryPlane()
        return EnactorPlane(
            writer=lambda: MemoryEnactor(EnactorId("memory"), topology, clock, shared),
            signed=lambda origin: MemoryEnactor(EnactorId("memory"), topology, clock, shared, origin=origin),
        )


@pytest.fixture
def enactor() -> MemoryEnactor:
    return MemoryEnactor(EnactorId("memory"), suite_topology(), ManualClock())


async def generation_of(enactor: MemoryEnactor) -> int | None:
    return (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation


@pytest.mark.parametrize(
    ("how", "outcome", "written"),
    [
        (Misbehaviour.FAILING, EnactOutcome.FAILED, None),
        (Misbehaviour.GONE, EnactOutcome.FAILED, None),
        (Misbehaviour.REFUSING, EnactOutcome.REFUSED, None),
        (Misbehaviour.STALE, EnactOutcome.STALE, None),
        (Misbehaviour.AMBIGUOUS_LOST, EnactOutcome.AMBIGUOUS, None),
        (Misbehaviour.AMBIGUOUS_WRITTEN, EnactOutcome.AMBIGUOUS, 1),
    ],
)
async def test_it_misbehaves_once_and_then_works(
    enactor: MemoryEnactor, how: Misbehaviour, outcome: EnactOutcome, written: int | None
) -> None:
    enactor.plane.misbehave(how, writes=1)
    assert await enact(enactor, steer(1)) is outcome
    assert await generation_of(enactor) == written
    assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
    assert enactor.plane.writes == 1


async def test_it_misbehaves_until_told_otherwise(enactor: MemoryEnactor) -> None:
    enactor.plane.misbehave(Misbehaviour.FAILING)
    for _ in range(3):
        assert await enact(enactor, steer(1)) is EnactOutcome.FAILED
    enactor.plane.misbehave(Misbehaviour.NONE)
    assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED


async def test_slowness_beyond_the_deadline_is_ambiguous_though_written(enactor: MemoryEnactor) -> None:
    enactor.plane.misbehave(Misbehaviour.SLOW, slow_ms=5)
    assert (await enactor.enact(steer(1), deadline_ms=1)).outcome is EnactOutcome.AMBIGUOUS
    with pytest.raises(Retryable):
        await enactor.read_back(deadline_ms=1)
    assert await enact(enactor, steer(2)) is EnactOutcome.APPLIED


@pytest.mark.parametrize("how", [Misbehaviour.UNREADABLE, Misbehaviour.GONE])
async def test_unreadable_is_an_exception_not_an_absence(enactor: MemoryEnactor, how: Misbehaviour) -> None:
    enactor.plane.misbehave(how)
    with pytest.raises(Retryable):
        await enactor.read_back(deadline_ms=DEADLINE_MS)


async def test_an_edit_by_hand_is_a_drift_until_the_next_generation(enactor: MemoryEnactor) -> None:
    assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
    enactor.plane.edit_by_hand(WEB, {PANGYO: 10_000})
    assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
    read = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert read.shares_bp[WEB] == {PANGYO: 10_000}
    assert [drift.what for drift in read.drifts] == ["shares of web"]
    assert await enact(enactor, steer(2, DRAINED)) is EnactOutcome.APPLIED
    read = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert read.shares_bp[WEB] == {GASAN: 6_000, ANYANG: 4_000} and not read.drifts


async def test_a_plane_that_restarts_keeps_serving_without_a_generation(enactor: MemoryEnactor) -> None:
    assert await enact(enactor, steer(7, DRAINED)) is EnactOutcome.APPLIED
    enactor.plane.forget()
    read = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert (read.generation, read.shares_bp[WEB]) == (None, {GASAN: 6_000, ANYANG: 4_000})


async def test_before_any_steering_it_serves_nominal_shares(enactor: MemoryEnactor) -> None:
    read = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert (read.generation, read.shares_bp[WEB]) == (None, NOMINAL)
