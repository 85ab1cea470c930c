"""A plan before it hurts: its steps in order, its loads, its digest, its face."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from core.decide.build import ANYANG, GASAN, LEFT, NORMAL, PANGYO, SPARE, WEB, member, shares, steering
from siteshift.core.decide.gate import Cause
from siteshift.core.model.codes import FindingCode, MemberRole, Severity, StepKind
from siteshift.core.model.finding import finding
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.units import WHOLE_BP, ServiceId
from siteshift.core.plan.plan import Plan, PlanInputs, ServiceChange, draw_plan, render, to_document

K = StepKind
SPARE_MEMBER = member(GASAN, "spare", MemberRole.STANDBY)
ROOMY = {PANGYO: 2_000, GASAN: 2_000, ANYANG: 2_000}
TIGHT_NOW = {PANGYO: 0, GASAN: 500, ANYANG: 300}
TIGHT_THEN = {PANGYO: 0, GASAN: 1_000, ANYANG: 300}
FREE = shares(0, 7_300, 2_700)


def change(**changes: Any) -> ServiceChange:
    fields: dict[str, Any] = {
        "service": WEB,
        "policy": ServicePolicy(),
        "before": steering(NORMAL),
        "after_bp": LEFT,
        "demand_rps": 1_000,
        "capacity_now_rps": ROOMY,
    }
    return ServiceChange(**{**fields, **changes})


def plan(cause: Cause, *changes: ServiceChange) -> Plan:
    return draw_plan(PlanInputs(cause=cause, changes=changes))


def kinds(drawn: Plan) -> list[StepKind]:
    return [step.kind for step in drawn.steps]


DEAD = change(
    after_bp=FREE,
    dead_sites=frozenset({PANGYO}),
    capacity_now_rps=TIGHT_NOW,
    capacity_rps=TIGHT_THEN,
    open_standby=(SPARE_MEMBER,),
)
HOME = change(before=steering(LEFT, ttl_s=5), after_bp=NORMAL, retire=(SPARE_MEMBER,))


def test_a_dead_site_is_left_first_and_the_rest_follows_the_standby() -> None:
    drawn = plan(Cause.DEAD, DEAD)
    assert kinds(drawn) == [
        K.MOVE,
        K.LOWER_TTL,
        K.ACTIVATE_STANDBY,
        K.AWAIT_READY,
        K.PROOF,
        K.MOVE,
        K.VERIFY,
        K.AWAIT_TTL,
        K.WATCH_RESIDUAL,
        K.RESTORE_TTL,
    ]
    assert drawn.steps[0].after_bp == shares(0, 4_500, 2_700)
    assert drawn.steps[0].wait_ms == 0
    assert drawn.steps[5].after_bp == FREE
    assert drawn.members == (SPARE,)


def test_a_living_site_is_left_in_steps_after_the_standby_is_proven() -> None:
    drawn = plan(Cause.PERSON, replace(DEAD, dead_sites=frozenset(), capacity_now_rps={**TIGHT_NOW, PANGYO: 2_000}))
    assert kinds(drawn)[:4] == [K.LOWER_TTL, K.ACTIVATE_STANDBY, K.AWAIT_READY, K.PROOF]
    moves = [step for step in drawn.steps if step.kind is K.MOVE]
    assert len(moves) > 1
    left = [step.after_bp[PANGYO] for step in moves]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_with_much_room_a_living_site_is_left_in_one_step() -> None:
    drawn = plan(Cause.PERSON, change())
    assert kinds(drawn) == [K.LOWER_TTL, K.MOVE, K.VERIFY, K.AWAIT_TTL, K.WATCH_RESIDUAL, K.RESTORE_TTL]


def test_the_way_back_is_the_ramp_of_the_policy_and_the_standby_goes_last() -> None:
    drawn = plan(Cause.FAILBACK, HOME)
    assert kinds(drawn) == [K.MOVE] * 5 + [K.VERIFY, K.AWAIT_TTL, K.RETIRE_STANDBY, K.RESTORE_TTL]
    assert [step.after_bp[PANGYO] for step in drawn.steps[:5]] == [50, 250, 1_250, 2_500, 5_000]
    assert all(step.wait_ms == ServicePolicy().soak_ms for step in drawn.steps[:5])


def test_a_site_that_had_nothing_is_proven_with_a_little_first() -> None:
    drawn = plan(Cause.PERSON, change(before=steering(shares(10_000, 0, 0)), after_bp=shares(4_000, 6_000, 0)))
    proof = next(step for step in drawn.steps if step.kind is K.PROOF)
    assert proof.after_bp == shares(9_900, 100, 0)


def test_the_old_ttl_runs_out_even_when_the_new_one_is_short() -> None:
    handed_out_before = change(before=steering(NORMAL, ttl_s=5), old_ttl_left_ms=21_000)
    for changed, tail_ms in ((change(), 30_000), (handed_out_before, 21_000)):
        drawn = plan(Cause.PERSON, changed)
        assert drawn.ttl_tail_ms == tail_ms
        assert [step.wait_ms for step in drawn.steps if step.kind is K.AWAIT_TTL] == [tail_ms]
    assert K.LOWER_TTL not in kinds(plan(Cause.PERSON, handed_out_before))


@pytest.mark.parametrize("changed", [DEAD, HOME, change(), change(after_bp=shares(0, 4_000, 2_000), shed_bp=4_000)])
@pytest.mark.parametrize("cause", list(Cause))
def test_every_step_begins_where_the_one_before_ended(cause: Cause, changed: ServiceChange) -> None:
    drawn = plan(cause, changed)
    at = dict(changed.before.shares_bp)
    for step in drawn.steps:
        assert step.before_bp == at
        assert step.kind in (K.MOVE, K.PROOF) or step.after_bp == at
        assert all(share_bp >= 0 for share_bp in step.after_bp.values())
        assert sum(step.after_bp.values()) <= WHOLE_BP
        assert step.precondition
        assert step.postcondition
        at = dict(step.after_bp)
    assert at == dict(changed.after_bp)


def test_standby_alone_and_nothing_at_all() -> None:
    warm = plan(Cause.STANDBY, change(after_bp=NORMAL, open_standby=(SPARE_MEMBER,)))
    assert kinds(warm) == [K.ACTIVATE_STANDBY, K.AWAIT_READY]
    nothing = plan(Cause.PERSON, change(after_bp=NORMAL))
    assert nothing.is_empty
    assert nothing.services == ()
    assert render(nothing)[0].startswith("nothing to do")


def test_loads_are_told_against_what_the_sites_will_carry() -> None:
    loads = {load.site: load for load in plan(Cause.DEAD, DEAD).loads}
    assert (loads[GASAN].before_rps, loads[GASAN].after_rps, loads[GASAN].capacity_rps) == (300, 730, 1_000)
    assert loads[GASAN].utilisation_pm == 730
    assert loads[ANYANG].utilisation_pm == 900
    assert loads[PANGYO].after_rps == 0


def test_services_go_side_by_side_and_the_slowest_tells_the_time() -> None:
    other = replace(change(), service=ServiceId("mail"), policy=ServicePolicy(proof_ms=60_000))
    both = plan(Cause.PERSON, change(), other)
    assert both.services == (WEB, ServiceId("mail"))
    assert kinds(both)[:4] == [K.LOWER_TTL, K.LOWER_TTL, K.MOVE, K.MOVE]
    assert both.expected_ms == plan(Cause.PERSON, other).expected_ms
    assert both.expected_ms > plan(Cause.PERSON, change()).expected_ms


def test_the_digest_is_of_what_is_decided_and_of_nothing_else() -> None:
    one = plan(Cause.DEAD, DEAD)
    told = finding(FindingCode.VELOCITY, Severity.ALLOWED, "much")
    same = draw_plan(PlanInputs(cause=Cause.DEAD, changes=(replace(DEAD, standby_expected_ms=1),), findings=(told,)))
    assert one.digest == same.digest
    assert len(one.digest) == 16
    others = [
        plan(Cause.PERSON, DEAD),
        plan(Cause.DEAD, replace(DEAD, after_bp=shares(0, 7_299, 2_701))),
        plan(Cause.DEAD, replace(DEAD, shed_bp=1)),
        plan(Cause.DEAD, replace(DEAD, before=steering(shares(5_001, 2_999, 2_000)))),
        plan(Cause.DEAD, replace(DEAD, open_standby=(member(GASAN, "other", MemberRole.STANDBY),))),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 6


def test_a_person_sees_shares_loads_waits_and_rules() -> None:
    told = (
        finding(FindingCode.VELOCITY, Severity.ALLOWED, "moves much"),
        finding(FindingCode.CAPACITY_SHORT, Severity.REFUSED, "gasan is tight"),
    )
    drawn = draw_plan(PlanInputs(cause=Cause.DEAD, changes=(replace(DEAD, shed_bp=10),), findings=told))
    text = "\n".join(render(drawn))
    for word in (drawn.digest, "50 %", "73 %", "730", "1000", "(shed)", "0.1 %", "await_ttl", "30 s", SPARE):
        assert word in text
    lines = render(drawn)
    refused = next(i for i, line in enumerate(lines) if "CAPACITY_SHORT" in line)
    allowed = next(i for i, line in enumerate(lines) if "VELOCITY" in line)
    assert refused < allowed
    assert told[1].remedy in lines[refused + 1]


def test_a_program_sees_the_same() -> None:
    drawn = plan(Cause.DEAD, DEAD)
    document = json.loads(json.dumps(to_document(drawn)))
    assert document["digest"] == drawn.digest
    assert document["after_bp"]["web"] == {"pangyo": 0, "gasan": 7_300, "anyang": 2_700}
    assert [step["kind"] for step in document["steps"]] == [kind.value for kind in kinds(drawn)]
    assert document["loads"][1]["utilisation_pm"] == 730
