"""Every rule, allowed and refused; and who may pass what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from core.decide.build import (
    ACTIVE,
    ALL_UP,
    ANYANG,
    GASAN,
    LEFT,
    NORMAL,
    NOW_MS,
    PANGYO,
    SPARE,
    UP,
    context,
    pictures,
    proposal,
    service,
    shares,
    steering,
)
from siteshift.core.decide.gate import RULES, Cause, Move, examine, verdict
from siteshift.core.decide.proposal import Permit
from siteshift.core.decide.severities import WEIGHTS
from siteshift.core.model.approval import Accepted, Envelope
from siteshift.core.model.codes import DataKind, FindingCode, Mode, Severity, StandbyPhase, Standing, WhenStoreLost
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS, ServicePolicy
from siteshift.core.model.remedy import REMEDIES
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import MemberId, SiteId

GO, ASK, NO = Severity.ALLOWED, Severity.NEEDS_APPROVAL, Severity.REFUSED
C = FindingCode
DOWN, SUSPECT, DEGRADED, UNKNOWN = Standing.DOWN, Standing.SUSPECT, Standing.DEGRADED, Standing.UNKNOWN
DEAD = {"cause": Cause.DEAD, "dead_sites": frozenset({PANGYO})}
PERSON = {"cause": Cause.PERSON}
BACK = {"cause": Cause.FAILBACK, "before": steering(LEFT), "after": steering(shares(500, 5_700, 3_800))}
PANGYO_DOWN = {"pools": pictures(DOWN, UP, UP)}
WITH_SPARE = steering(LEFT, members_pm={**ACTIVE, SPARE: 1_000})


@dataclass(frozen=True)
class Case:
    """One sentence about one rule. ``expect`` None: the rule has nothing to say."""

    says: str
    code: FindingCode
    expect: Severity | None
    proposal: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)


def policy(**changes: Any) -> dict[str, Any]:
    return {"policy": ServicePolicy(refuge_same_fate=True, **changes)}


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


ONLY_PANGYO = steering(shares(10_000, 0, 0))
NOBODY = steering(shares(0, 0, 0), shed_bp=10_000)
TO_GASAN = steering(shares(0, 10_000, 0))
MOVED = (Move(at_ms=NOW_MS - MINUTE_MS, moved_bp=1_000, cause=Cause.DEGRADED),)
BUSY = {"utilisation_pm": {GASAN: 950, ANYANG: 800}}
SHEDS = steering(shares(0, 5_000, 3_000), shed_bp=2_000)
KEEPS_SHED = {
    "cause": Cause.REBALANCE,
    "before": replace(steering(shares(0, 2_000, 2_000), shed_bp=6_000), shed_at=PANGYO),
    "after": steering(shares(3_000, 4_000, 3_000)),
}
WRITABLE = {"service": service(DataKind.WRITABLE)}

CASES = [
    Case("another site serves", C.LAST_SERVING_SITE, None),
    Case("nobody would answer", C.LAST_SERVING_SITE, NO, {"before": ONLY_PANGYO, "after": NOBODY}),
    Case("a person cannot force it", C.LAST_SERVING_SITE, NO, {"before": ONLY_PANGYO, "after": NOBODY, **PERSON}),
    Case("not even a dead site goes for nobody", C.LAST_SERVING_SITE, NO, {**DEAD, "after": NOBODY}, PANGYO_DOWN),
    Case(
        "the last one up goes to one that is down",
        C.LAST_SERVING_SITE,
        NO,
        {"before": ONLY_PANGYO, "after": TO_GASAN, **PERSON},
        {"pools": pictures(UP, DOWN, UP)},
    ),
    Case("unknown is not down", C.LAST_SERVING_SITE, None, {"after": TO_GASAN}, {"pools": pictures(UP, UNKNOWN, UP)}),
    Case("two of two", C.MIN_SERVING_SITES, None, {}, policy(min_serving_sites=2)),
    Case("two of three", C.MIN_SERVING_SITES, ASK, {}, policy(min_serving_sites=3)),
    Case("a dead site did not serve", C.MIN_SERVING_SITES, None, DEAD, {**PANGYO_DOWN, **policy(min_serving_sites=3)}),
    Case("survivors below the limit", C.CAPACITY_SHORT, None, {}, {"utilisation_pm": {GASAN: 900, ANYANG: 500}}),
    Case("a survivor above the limit", C.CAPACITY_SHORT, NO, {}, BUSY),
    Case("a dead site is no excuse for overload", C.CAPACITY_SHORT, NO, DEAD, {**PANGYO_DOWN, **BUSY}),
    Case("a person needs two approvers", C.CAPACITY_SHORT, ASK, PERSON, BUSY),
    Case(
        "one that is tight already and gains nothing is told",
        C.CAPACITY_SHORT,
        GO,
        {"after": steering(shares(3_000, 3_000, 4_000))},
        BUSY,
    ),
    Case(
        "a person takes a member out where it is tight",
        C.CAPACITY_SHORT,
        ASK,
        {**PERSON, "after": steering(NORMAL, members_pm={key: 1_000 for key in ACTIVE if "gasan" not in key})},
        BUSY,
    ),
    Case(
        "what is its own in calm a site may have back, as long as it carries that",
        C.CAPACITY_SHORT,
        None,
        {"cause": Cause.FAILBACK, "before": steering(shares(5_000, 2_999, 2_000), shed_bp=1), "after": steering(NORMAL)},
        {"utilisation_pm": {GASAN: 1_000}},
    ),
    Case(
        "its own is too much when it does not carry that",
        C.CAPACITY_SHORT,
        NO,
        {"cause": Cause.FAILBACK, "before": steering(shares(5_000, 2_999, 2_000), shed_bp=1), "after": steering(NORMAL)},
        {"utilisation_pm": {GASAN: 1_001}},
    ),
    Case(
        "more than its own is added",
        C.CAPACITY_SHORT,
        NO,
        {"cause": Cause.FAILBACK, "before": steering(NORMAL), "after": steering(shares(4_999, 3_001, 2_000))},
        BUSY,
    ),
    Case(
        "a person is asked also for what is a site's own",
        C.CAPACITY_SHORT,
        ASK,
        {**PERSON, "before": steering(shares(5_000, 2_999, 2_000), shed_bp=1), "after": steering(NORMAL)},
        BUSY,
    ),
    Case("nothing is shed", C.SHED_NEEDED, None),
    Case("leaving a sick site sheds openly", C.SHED_NEEDED, GO, {"after": SHEDS}),
    Case("coming back must not shed", C.SHED_NEEDED, NO, {"after": SHEDS, "cause": Cause.REBALANCE}),
    Case("a person is asked", C.SHED_NEEDED, ASK, {"after": SHEDS, **PERSON}),
    Case("less is shed than before", C.SHED_NEEDED, None, {"before": SHEDS, "cause": Cause.STANDBY}),
    Case("the standby is cold", C.STANDBY_NOT_READY, NO, {"after": WITH_SPARE}),
    Case("nobody sends to cold standby", C.STANDBY_NOT_READY, NO, {"after": WITH_SPARE, **PERSON}),
    Case(
        "the standby is ready",
        C.STANDBY_NOT_READY,
        None,
        {"after": WITH_SPARE},
        {"standby_phase": {SPARE: StandbyPhase.READY}},
    ),
    Case("the standby serves already", C.STANDBY_NOT_READY, None, {"before": WITH_SPARE, "after": WITH_SPARE}),
    Case("half in ten minutes", C.VELOCITY, None),
    Case("more than half in ten minutes", C.VELOCITY, ASK, {}, {"moved": MOVED}),
    Case("the window has passed", C.VELOCITY, None, {}, {"moved": (replace(MOVED[0], at_ms=NOW_MS - HOUR_MS),)}),
    Case("a person's moves do not count", C.VELOCITY, None, {}, {"moved": (replace(MOVED[0], cause=Cause.PERSON),)}),
    Case("a person is exempt", C.VELOCITY, GO, PERSON, {"moved": MOVED}),
    Case("a dead site does not count", C.VELOCITY, None, DEAD, {**PANGYO_DOWN, "moved": MOVED}),
    Case("the way back is paced by its ramp", C.VELOCITY, GO, BACK, {"policy": ServicePolicy(velocity_bp=100)}),
    Case("the way back does not use it up", C.VELOCITY, None, {}, {"moved": (replace(MOVED[0], cause=Cause.FAILBACK),)}),
    Case("the sixth removal", C.REMOVALS_PER_HOUR, None, {}, {"removals_ms": (NOW_MS - 1,) * 5}),
    Case("the seventh removal", C.REMOVALS_PER_HOUR, ASK, {}, {"removals_ms": (NOW_MS - 1,) * 6}),
    Case("an hour later", C.REMOVALS_PER_HOUR, None, {}, {"removals_ms": (NOW_MS - HOUR_MS,) * 6}),
    Case("a dead site goes all the same", C.REMOVALS_PER_HOUR, GO, DEAD, {"removals_ms": (NOW_MS - 1,) * 6}),
    Case("a person removes as needed", C.REMOVALS_PER_HOUR, None, PERSON, {"removals_ms": (NOW_MS - 1,) * 6}),
    Case("as much as may go unattended", C.SHARE_NEEDS_PERSON, None, {}, policy(max_unattended_bp=5_000)),
    Case("more than may go unattended", C.SHARE_NEEDS_PERSON, ASK, {}, policy(max_unattended_bp=4_999)),
    Case("a dead site goes unattended", C.SHARE_NEEDS_PERSON, GO, DEAD, {**PANGYO_DOWN, **policy(max_unattended_bp=1)}),
    Case("what survivors give back is no drain", C.SHARE_NEEDS_PERSON, None, BACK, policy(max_unattended_bp=1)),
    Case("the refuge may share the fate", C.SAME_FATE, None),
    Case("the refuge shares the fate", C.SAME_FATE, ASK, {}, {"policy": ServicePolicy()}),
    Case("better there than dead", C.SAME_FATE, GO, DEAD, {"policy": ServicePolicy(), **PANGYO_DOWN}),
    Case("the refuge is elsewhere", C.SAME_FATE, None, {"after": TO_GASAN}, {"policy": ServicePolicy()}),
    Case("nothing failed", C.SAME_FATE, None, PERSON, {"policy": ServicePolicy()}),
    Case("stateless data goes anywhere", C.DATA_ROLE, None),
    Case("the role is not known", C.DATA_ROLE, NO, WRITABLE),
    Case("the role is not known, a person may know", C.DATA_ROLE, ASK, {**WRITABLE, **PERSON}),
    Case("not promoted", C.DATA_ROLE, NO, {**WRITABLE, **PERSON}, {"data_role": {GASAN: False, ANYANG: False}}),
    Case("not promoted, and the old one is dead", C.DATA_ROLE, NO, {**WRITABLE, **DEAD}, PANGYO_DOWN),
    Case("promoted", C.DATA_ROLE, None, WRITABLE, {"data_role": {GASAN: True, ANYANG: True}}),
    Case("frozen, and still protected", C.CHANGE_FREEZE, GO, {}, {"is_frozen": True}),
    Case("frozen, and a site is dead", C.CHANGE_FREEZE, GO, DEAD, {"is_frozen": True, **PANGYO_DOWN}),
    Case("frozen, nobody comes back", C.CHANGE_FREEZE, NO, BACK, {"is_frozen": True}),
    Case("frozen, a person is asked", C.CHANGE_FREEZE, ASK, PERSON, {"is_frozen": True}),
    Case("not frozen", C.CHANGE_FREEZE, None, BACK),
    Case("held as found, nobody gets more", C.HELD_AS_ADOPTED, NO, BACK, {"held_sites": frozenset({PANGYO})}),
    Case("held as found, and still protected", C.HELD_AS_ADOPTED, GO, {}, {"held_sites": frozenset({GASAN})}),
    Case("held as found, and a site is dead", C.HELD_AS_ADOPTED, GO, DEAD, {"held_sites": frozenset({GASAN}), **PANGYO_DOWN}),
    Case("held as found, a person knows", C.HELD_AS_ADOPTED, GO, {**BACK, **PERSON}, {"held_sites": frozenset({PANGYO})}),
    Case("another site is held as found", C.HELD_AS_ADOPTED, None, BACK, {"held_sites": frozenset({GASAN})}),
    Case("held down", C.HOLD_DOWN, NO, BACK, {"hold_until_ms": {PANGYO: NOW_MS + 1}}),
    Case("held down long enough", C.HOLD_DOWN, None, BACK, {"hold_until_ms": {PANGYO: NOW_MS}}),
    Case("a person need not wait", C.HOLD_DOWN, GO, {**BACK, **PERSON}, {"hold_until_ms": {PANGYO: NOW_MS + 1}}),
    Case("a refuge from the dead is told", C.HOLD_DOWN, GO, DEAD, {**PANGYO_DOWN, "hold_until_ms": {GASAN: NOW_MS + 1}}),
    Case("all targets are up", C.TARGET_UNHEALTHY, None),
    Case("the target is suspect", C.TARGET_UNHEALTHY, NO, {}, {"pools": pictures(DEGRADED, SUSPECT, UP)}),
    Case("better suspect than dead", C.TARGET_UNHEALTHY, GO, DEAD, {"pools": pictures(DOWN, SUSPECT, UP)}),
    Case("never from dead to dead", C.TARGET_UNHEALTHY, NO, DEAD, {"pools": pictures(DOWN, DOWN, UP)}),
    Case("a person is asked", C.TARGET_UNHEALTHY, ASK, PERSON, {"pools": pictures(UP, DEGRADED, UP)}),
    Case("a share instead of all that is shed there", C.TARGET_UNHEALTHY, None, {**KEEPS_SHED, "keeps_shed": True}, PANGYO_DOWN),
    Case("what is shed has an answer, so it is more", C.TARGET_UNHEALTHY, NO, KEEPS_SHED, PANGYO_DOWN),
    Case("everything is known", C.NO_FRESH_EVIDENCE, None),
    Case("the target is unknown", C.NO_FRESH_EVIDENCE, NO, {}, {"pools": pictures(DEGRADED, UNKNOWN, UP)}),
    Case("the source is unknown", C.NO_FRESH_EVIDENCE, NO, {}, {"pools": pictures(UNKNOWN, UP, UP)}),
    Case("a person may leave the unknown", C.NO_FRESH_EVIDENCE, GO, PERSON, {"pools": pictures(UNKNOWN, UP, UP)}),
    Case("a person is asked to enter it", C.NO_FRESH_EVIDENCE, ASK, PERSON, {"pools": pictures(UP, UNKNOWN, UP)}),
    Case("better unknown than dead", C.NO_FRESH_EVIDENCE, GO, DEAD, {"pools": pictures(DOWN, UNKNOWN, UP)}),
    Case("automatic", C.MODE_OBSERVE, None),
    Case("observed", C.MODE_OBSERVE, NO, {}, {"mode": Mode.OBSERVE}),
    Case("observed, and dead", C.MODE_OBSERVE, NO, DEAD, {**PANGYO_DOWN, "mode": Mode.OBSERVE}),
    Case("observed, by hand", C.MODE_OBSERVE, NO, PERSON, {"mode": Mode.OBSERVE}),
    Case("recommended", C.MODE_RECOMMEND, ASK, {}, {"mode": Mode.RECOMMEND}),
    Case("recommended, and dead", C.MODE_RECOMMEND, ASK, DEAD, {**PANGYO_DOWN, "mode": Mode.RECOMMEND}),
    Case("a person has decided", C.MODE_RECOMMEND, None, PERSON, {"mode": Mode.RECOMMEND}),
    Case("an override ends", C.MODE_RECOMMEND, GO, {**BACK, "cause": Cause.RELEASE}, {"mode": Mode.RECOMMEND}),
    Case("leading", C.NOT_LEADER, None),
    Case("not leading", C.NOT_LEADER, NO, PERSON, {"is_leader": False}),
    Case("not leading, and dead", C.NOT_LEADER, NO, DEAD, {**PANGYO_DOWN, "is_leader": False}),
    Case("the store is there", C.STORE_LOST, None),
    Case("the store is lost", C.STORE_LOST, NO, PERSON, {"store_ok": False}),
    Case("the store is lost, a dead site stays", C.STORE_LOST, NO, DEAD, {**PANGYO_DOWN, "store_ok": False}),
    Case(
        "the store is lost, a dead site may be left",
        C.STORE_LOST,
        GO,
        DEAD,
        {**PANGYO_DOWN, "store_ok": False, **policy(when_store_lost=WhenStoreLost.EVACUATE_DEAD_SITE)},
    ),
    Case(
        "but not by half of the nodes",
        C.STORE_LOST,
        NO,
        DEAD,
        {
            **PANGYO_DOWN,
            "store_ok": False,
            "nodes_agreeing": 1,
            "nodes_total": 2,
            **policy(when_store_lost=WhenStoreLost.EVACUATE_DEAD_SITE),
        },
    ),
    Case(
        "and a sick one not at all",
        C.STORE_LOST,
        NO,
        {},
        {"store_ok": False, **policy(when_store_lost=WhenStoreLost.EVACUATE_DEAD_SITE)},
    ),
    Case("seeing", C.BLIND, None),
    Case("blind", C.BLIND, NO, {}, {"blind": True}),
    Case("blind, and dead as it seems", C.BLIND, NO, DEAD, {**PANGYO_DOWN, "blind": True}),
    Case("blind, a person may see", C.BLIND, ASK, PERSON, {"blind": True}),
    Case("one fault", C.GLOBAL_FAULT, None),
    Case("everything fails alike", C.GLOBAL_FAULT, NO, DEAD, {**PANGYO_DOWN, "global_fault": True}),
    Case("everything fails, a person is asked", C.GLOBAL_FAULT, ASK, PERSON, {"global_fault": True}),
    Case("switched on", C.SWITCHED_OFF, None),
    Case("switched off", C.SWITCHED_OFF, NO, DEAD, {**PANGYO_DOWN, "switched_off": True}),
    Case("switched off, people go on", C.SWITCHED_OFF, GO, PERSON, {"switched_off": True}),
    Case("something changes", C.NOTHING_TO_DO, None),
    Case("nothing changes", C.NOTHING_TO_DO, GO, {"after": steering(NORMAL)}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code.value}: {case.says}")
def test_rule(case: Case) -> None:
    found = [entry for entry in examine(proposal(**case.proposal), context(**case.context)) if entry.code is case.code]
    assert {entry.severity for entry in found} == ({case.expect} if case.expect else set())
    for entry in found:
        assert entry.text
        assert entry.remedy.startswith(REMEDIES[case.code])


def test_nothing_stands_in_the_way_of_a_plain_move() -> None:
    assert examine(proposal(), context()) == ()
    assert verdict(()) is GO


def test_a_dead_site_is_left_through_everything_that_is_only_caution() -> None:
    found = examine(
        proposal(**DEAD, after=steering(shares(0, 5_000, 3_000), shed_bp=2_000)),
        context(
            pools=pictures(DOWN, SUSPECT, UNKNOWN),
            policy=ServicePolicy(min_serving_sites=3, max_unattended_bp=1, velocity_bp=1, removals_per_hour=0),
            is_frozen=True,
            moved=MOVED,
            removals_ms=(NOW_MS,),
            hold_until_ms={GASAN: NOW_MS + 1},
        ),
    )
    assert verdict(found) is GO
    assert len(found) >= 6


@pytest.mark.parametrize(
    ("after", "exempt"),
    [
        (steering(LEFT), True),
        (steering(shares(0, 3_000, 2_000), shed_bp=5_000), True),
        (steering(shares(0, 2_000, 8_000)), True),
        (steering(shares(0, 400, 9_600)), False),
        (steering(shares(0, 0, 10_000)), False),
        (steering(shares(6_000, 2_000, 2_000)), False),
    ],
    ids=["all", "to nobody", "a little between survivors", "much between survivors", "two sites", "back into it"],
)
def test_an_evacuation_is_off_the_dead_and_of_hardly_anything_else(after: ServiceSteering, exempt: bool) -> None:
    assert proposal(**DEAD, after=after).evacuates is exempt
    frozen = context(**PANGYO_DOWN, hold_until_ms={GASAN: NOW_MS + 1, ANYANG: NOW_MS + 1})
    assert verdict(examine(proposal(**DEAD, after=after), frozen)) is (GO if exempt else NO)


def test_standby_that_comes_up_relieves_what_is_shed() -> None:
    shed = steering(shares(0, 5_000, 3_000), shed_bp=2_000)
    assert proposal(**DEAD, before=shed, after=steering(shares(0, 7_500, 2_500))).evacuates
    assert not proposal(**DEAD, before=shed, after=steering(shares(0, 8_500, 1_500))).evacuates


def permit(code: FindingCode, approved_by: tuple[str, ...] = (), **numbers: int | str) -> Permit:
    """An envelope in force that takes one finding upon itself."""
    accepted = Accepted(code=code, numbers=numbers)
    envelope = Envelope(bounds=(), shed_max_bp={}, accepted=(accepted,))
    return Permit(envelope=envelope, confirmed_by="kim", approved_by=approved_by)


def test_an_approval_lifts_exactly_what_was_accepted_with_it() -> None:
    recommended = context(mode=Mode.RECOMMEND)
    assert verdict(examine(proposal(), recommended)) is ASK
    approved = proposal(permits=(permit(C.MODE_RECOMMEND, ("lee",)),))
    (found,) = (entry for entry in examine(approved, recommended) if entry.code is C.MODE_RECOMMEND)
    assert (found.severity, "approved by lee" in found.text) == (GO, True)
    assert verdict(examine(proposal(permits=(permit(C.VELOCITY, ("lee",)),)), recommended)) is ASK


@pytest.mark.parametrize(("site", "accepted_pm", "expected"), [(GASAN, 1_200, GO), (GASAN, 700, ASK), (ANYANG, 1_200, ASK)])
def test_an_overload_is_accepted_at_one_site_and_up_to_a_number(site: SiteId, accepted_pm: int, expected: Severity) -> None:
    tight = context(**BUSY)
    taken = permit(C.CAPACITY_SHORT, ("lee",), site=site, utilisation_pm=accepted_pm)
    assert verdict(examine(proposal(**PERSON, permits=(taken,)), tight)) is expected


def test_an_overload_asked_for_takes_one_other_person_and_what_is_proposed_one_at_all() -> None:
    found = examine(proposal(**PERSON), context(**BUSY))
    assert [entry.approvals_needed for entry in found if entry.code is C.CAPACITY_SHORT] == [1]
    found = examine(proposal(), context(mode=Mode.RECOMMEND))
    assert [entry.approvals_needed for entry in found if entry.code is C.MODE_RECOMMEND] == [1]
    found = examine(proposal(**PERSON, after=SHEDS), context())
    assert [entry.approvals_needed for entry in found if entry.code is C.SHED_NEEDED] == [0]


def test_approval_does_not_lift_the_last_serving_site() -> None:
    taken = permit(C.LAST_SERVING_SITE, ("lee", "park"))
    forced = proposal(**PERSON, before=ONLY_PANGYO, after=NOBODY, permits=(taken,))
    assert verdict(examine(forced, context())) is NO


def test_every_rule_is_reported_at_once() -> None:
    found = examine(proposal(), context(mode=Mode.OBSERVE, is_leader=False, blind=True, switched_off=True, **BUSY))
    assert {C.MODE_OBSERVE, C.NOT_LEADER, C.BLIND, C.SWITCHED_OFF, C.CAPACITY_SHORT} <= {e.code for e in found}


def test_every_code_has_a_remedy_and_every_rule_a_weight() -> None:
    assert set(REMEDIES) == set(FindingCode)
    assert {case.code for case in CASES} == set(WEIGHTS)
    assert len(RULES) == len(WEIGHTS)


def test_every_rule_is_shown_silent_and_speaking() -> None:
    for code in WEIGHTS:
        told = {case.expect for case in CASES if case.code is code}
        assert None in told and len(told) > 1, code


def test_a_member_nobody_knows_is_no_trouble() -> None:
    odd = steering(LEFT, members_pm={**ACTIVE, MemberId("web/gone/x"): 5})
    assert verdict(examine(proposal(after=odd), context(pools=ALL_UP))) is GO
