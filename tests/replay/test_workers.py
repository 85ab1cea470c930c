"""Workers that never ran: writes end, readings tell what was written, standbys take as long as they took."""

from __future__ import annotations

from siteshift.core.messages.commands import ActivateStandby, AskStandby, Enact, ReadPlane, RetireStandby
from siteshift.core.messages.events import EnactFinished, ReadBackArrived, StandbyReported, Ticked
from siteshift.core.model.codes import EnactOutcome, StandbyPhase
from siteshift.core.model.steering import EnactResult, ServiceSteering, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.replay.workers import Workers

DNS, SPARE = EnactorId("dns"), MemberId("web/gasan/s1")
WEB = ServiceSteering(service=ServiceId("web"), shares_bp={SiteId("gasan"): 10_000}, members_pm={}, ttl_s=30)
STEERING = Steering(generation=4, term=1, decided_at_ms=0, services=(WEB,))


def applied(at_ms: int) -> EnactFinished:
    result = EnactResult(enactor=DNS, generation=4, outcome=EnactOutcome.APPLIED, at_ms=at_ms)
    return EnactFinished(at_ms=at_ms, result=result)


def test_a_write_takes_as_long_as_the_last_recorded_one() -> None:
    workers = Workers()
    workers.follow(Ticked(at_ms=1_000), (Enact(enactor=DNS, steering=STEERING),))
    workers.follow(applied(1_070), ())
    workers.take_over(2_000)
    workers.carry_out((Enact(enactor=DNS, steering=STEERING),), 5_000)
    assert workers.next_ms() == 5_070
    event = workers.take_due()
    assert isinstance(event, EnactFinished)
    assert event.result.outcome is EnactOutcome.APPLIED


def test_a_reading_tells_what_the_plane_has_by_then() -> None:
    workers = Workers()
    workers.carry_out((ReadPlane(enactor=DNS),), 0)
    empty = workers.take_due()
    assert isinstance(empty, ReadBackArrived)
    assert empty.read_back.generation is None
    workers.carry_out((Enact(enactor=DNS, steering=STEERING), ReadPlane(enactor=DNS)), 100)
    assert isinstance(workers.take_due(), EnactFinished)
    after = workers.take_due()
    assert isinstance(after, ReadBackArrived)
    assert (after.read_back.generation, after.read_back.shares_bp["web"]) == (4, {"gasan": 10_000})


def test_what_was_out_when_the_ways_parted_is_answered() -> None:
    workers = Workers()
    workers.follow(Ticked(at_ms=0), (Enact(enactor=DNS, steering=STEERING), ReadPlane(enactor=DNS)))
    workers.take_over(10)
    assert {type(workers.take_due()), type(workers.take_due())} == {EnactFinished, ReadBackArrived}
    assert workers.next_ms() is None


def phase(workers: Workers, at_ms: int) -> StandbyPhase:
    workers.carry_out((AskStandby(member=SPARE),), at_ms)
    event = workers.take_due()
    assert isinstance(event, StandbyReported)
    return event.phase


def test_a_standby_is_ready_after_as_long_as_one_took_before() -> None:
    workers = Workers()
    workers.follow(Ticked(at_ms=0), (ActivateStandby(member=SPARE, deadline_ms=9_000),))
    workers.follow(StandbyReported(at_ms=3_000, member=SPARE, phase=StandbyPhase.READY), ())
    workers.follow(Ticked(at_ms=4_000), (RetireStandby(member=SPARE),))
    workers.take_over(5_000)
    assert phase(workers, 5_000) is StandbyPhase.COLD
    workers.carry_out((ActivateStandby(member=SPARE, deadline_ms=99_000),), 10_000)
    assert phase(workers, 11_000) is StandbyPhase.STARTING
    assert phase(workers, 13_000) is StandbyPhase.READY
    workers.carry_out((RetireStandby(member=SPARE),), 14_000)
    assert phase(workers, 14_000) is StandbyPhase.COLD
