"""A plan as people read it and as programs do: every number that was decided about stands in both, in its unit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.playbook import WEB, A, G, P, Playbook
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity, StepKind
from siteshift.core.model.finding import finding
from siteshift.core.model.plan import Plan, Step, SurvivorLoad, Wait, WaitCode
from siteshift.core.model.units import MemberId
from siteshift.core.plan.fold import empty_plan
from siteshift.core.plan.render import DONE_WHEN, render, to_document

FROM, TO = {P: 5_000, G: 3_000, A: 2_000}, {P: 0, G: 5_250, A: 4_000}
M1, S1 = MemberId("web/pangyo/m1"), MemberId("web/gasan/s1")


def step(kind: StepKind, **more: object) -> Step:
    return replace(Step(kind=kind, service=WEB, before_bp=TO, after_bp=TO), **more)  # type: ignore[arg-type]


def load(site: str, **more: int) -> SurvivorLoad:
    numbers = {"capacity_rps": 60, "before_rps": 30, "after_rps": 52, "utilisation_pm": 875, **more}
    return SurvivorLoad(service=WEB, site=site, **numbers)  # type: ignore[arg-type]


STEPS = (
    step(StepKind.ACTIVATE_STANDBY, members=(S1,)),
    step(StepKind.AWAIT_READY, wait_ms=10_000),
    step(StepKind.MOVE, before_bp=FROM, at_ms=10_000, ttl_s=5, utilisation_pm={G: 875}, members=(S1,), weights_pm={S1: 1_000}),
    step(StepKind.AWAIT_TTL, at_ms=10_000, wait_ms=30_500),
    step(StepKind.DEPOOL, at_ms=40_500, members=(M1,), weights_pm={M1: 0}),
    step(StepKind.RETIRE_STANDBY, at_ms=40_500, members=(S1,)),
    step(StepKind.WEIGH, at_ms=40_500, members=(M1,), weights_pm={M1: 505}),
    step(StepKind.CLOSE_SITE, at_ms=40_500, dead_sites=frozenset({P, A})),
    step(StepKind.OPEN_SITE, at_ms=40_500, dead_sites=frozenset()),
)
PLAN = Plan(
    cause=Cause.PERSON,
    services=(WEB,),
    steps=STEPS,
    before={WEB: FROM},
    after={WEB: TO},
    loads=(
        load(P, before_rps=50, after_rps=0, utilisation_pm=0),
        load(G),
        load(A, capacity_rps=0, before_rps=20, after_rps=40, utilisation_pm=9_999),
    ),
    shed_bp={WEB: 750},
    ttl_tail_ms=30_000,
    expected_ms=40_500,
)


def cells(lines: tuple[str, ...], *heads: str) -> list[tuple[str, ...]]:
    """The rows of the table with these heads, each cell from where its head begins: they stand under one another."""
    first = next(number for number, line in enumerate(lines) if line.startswith(heads[0]))
    starts: list[int] = []
    for head in heads:
        starts.append(lines[first].index(head, starts[-1] + 1 if starts else 0))
    ends = [*(start - 2 for start in starts[1:]), None]
    rows = lines[first + 1 : lines.index("", first)]
    assert all(row[end : end + 2].strip() == "" for row in rows for end in ends if end is not None)
    return [tuple(row[start:end].rstrip() for start, end in zip(starts, ends, strict=True)) for row in rows]


def test_a_plan_on_the_screen_tells_shares_and_loads() -> None:
    lines = render(PLAN)
    assert lines[:8] == (
        f"plan {PLAN.digest}: person, web",
        "",
        "service  site    share now  then    rps now  then  of  used",
        "web      pangyo  50 %       0 %     50       0     60  0 %",
        "web      gasan   30 %       52.5 %  30       52    60  88 %",
        "web      anyang  20 %       40 %    20       40    0   none",
        "web      (shed)             7.5 %",
        "",
    )
    assert lines[-2:] == ("", "old answers live on for up to 30 s; the whole is expected to take 40.5 s")


def test_a_plan_on_the_screen_tells_each_step_what_it_changes_how_long_it_takes_and_when_it_is_done() -> None:
    moved = "pangyo 50 % > 0 %, gasan 30 % > 52.5 %, anyang 20 % > 40 %, web/gasan/s1 at 100 %, TTL 5 s"
    assert cells(render(PLAN), "step", "service", "what", "wait", "done when") == [
        ("1 activate_standby", "web", "web/gasan/s1 starts", "", "their drivers accepted the start"),
        ("2 await_ready", "web", "", "10 s", "their drivers say ready"),
        ("3 move", "web", moved, "", "read back everywhere, and no survivor got worse"),
        ("4 await_ttl", "web", "", "30.5 s", "the old answers have run out"),
        ("5 depool", "web", "web/pangyo/m1 out", "", "read back everywhere"),
        ("6 retire_standby", "web", "web/gasan/s1 goes home", "", "they carry nothing and are back in standby"),
        ("7 weigh", "web", "web/pangyo/m1 at 50.5 %", "", "read back everywhere"),
        ("8 close_site", "web", "closed: anyang, pangyo", "", "no cookie leads there any more"),
        ("9 open_site", "web", "closed: none", "", "read back everywhere"),
    ]


def test_a_site_that_carries_nothing_and_can_carry_nothing_is_not_called_full() -> None:
    idle = replace(PLAN, loads=(load(P, capacity_rps=0, before_rps=0, after_rps=0, utilisation_pm=0),))
    rows = cells(render(idle), "service", "site", "share now", "then", "rps now", "then", "of", "used")
    assert rows[0] == ("web", "pangyo", "50 %", "0 %", "0", "0", "0", "-")
    assert [row[1] for row in rows] == ["pangyo", "(shed)"], "of the others no load is known"


def test_nothing_is_said_of_shedding_where_nothing_is_shed() -> None:
    for shed_bp in ({}, {WEB: 0}):
        assert not any("(shed)" in line for line in render(replace(PLAN, shed_bp=shed_bp)))


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_plan_that_is_cut_says_that_there_is_more(is_cut: bool) -> None:
    said = "there are more steps than a plan may have; the rest is planned when these are done"
    assert (said in render(replace(PLAN, is_cut=is_cut))) is is_cut
    assert to_document(replace(PLAN, is_cut=is_cut))["is_cut"] is is_cut


def test_the_rules_touched_are_told_the_worst_first_with_what_to_do() -> None:
    told = finding(FindingCode.SHED_NEEDED, Severity.ALLOWED, "worth saying")
    asked = finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, "too little room", approvals_needed=1)
    refused = finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, "the last site")
    lines = render(replace(PLAN, findings=(told, asked, refused)))
    assert lines[-5:] == (
        "refused LAST_SERVING_SITE: the last site",
        f"    {refused.remedy}",
        "needs_approval CAPACITY_SHORT: too little room",
        f"    {asked.remedy}",
        "allowed SHED_NEEDED: worth saying",
    )
    nothing = replace(empty_plan(Cause.PERSON), findings=(refused,))
    assert render(nothing) == ("nothing to do: the steering already is as wanted", *lines[-5:-3])


def test_the_document_of_a_plan_has_every_number_of_it() -> None:
    refused = finding(FindingCode.VELOCITY, Severity.REFUSED, "too much in an hour", moved_bp=4_000)
    waits = {WEB: Wait(service=WEB, code=WaitCode.SOAK, until_ms=99)}
    document = json.loads(json.dumps(to_document(replace(PLAN, findings=(refused,), waits=waits))))
    steps = document.pop("steps")
    assert document == {
        "digest": PLAN.digest,
        "cause": "person",
        "services": ["web"],
        "before_bp": {"web": {"pangyo": 5_000, "gasan": 3_000, "anyang": 2_000}},
        "after_bp": {"web": {"pangyo": 0, "gasan": 5_250, "anyang": 4_000}},
        "shed_bp": {"web": 750},
        "ttl_tail_ms": 30_000,
        "expected_ms": 40_500,
        "is_cut": False,
        "waits": {"web": {"code": "soak", "until_ms": 99}},
        "loads": [
            {"service": "web", "site": site, "capacity_rps": of, "before_rps": now, "after_rps": then, "utilisation_pm": used}
            for site, of, now, then, used in (
                ("pangyo", 60, 50, 0, 0),
                ("gasan", 60, 30, 52, 875),
                ("anyang", 0, 20, 40, 9_999),
            )
        ],
        "findings": [
            {
                "code": "VELOCITY",
                "severity": "refused",
                "text": "too much in an hour",
                "remedy": refused.remedy,
                "numbers": {"moved_bp": 4_000},
            }
        ],
    }
    assert [row["kind"] for row in steps] == [entry.kind.value for entry in STEPS]
    assert steps[2] == {
        "kind": "move",
        "service": "web",
        "before_bp": {"pangyo": 5_000, "gasan": 3_000, "anyang": 2_000},
        "after_bp": {"pangyo": 0, "gasan": 5_250, "anyang": 4_000},
        "members": ["web/gasan/s1"],
        "wait_ms": 0,
        "at_ms": 10_000,
        "ttl_s": 5,
        "weights_pm": {"web/gasan/s1": 1_000},
        "utilisation_pm": {"gasan": 875},
        "postcondition": "read back everywhere, and no survivor got worse",
    }


def test_every_kind_of_step_says_when_it_is_done() -> None:
    assert DONE_WHEN.keys() == set(StepKind)


def test_the_digest_is_of_what_is_approved_and_not_of_the_way_there() -> None:
    """Cause, end, what is shed and whom a person takes out. The steps, the loads and the times waver meanwhile."""
    same = replace(PLAN, steps=STEPS[:3], loads=(), ttl_tail_ms=0, expected_ms=1, before={WEB: TO}, is_cut=True)
    assert same.digest == PLAN.digest
    by_person = step(StepKind.DEPOOL, members=(M1,), weights_pm={M1: 0}, cause=Cause.PERSON)
    for other in (
        replace(PLAN, cause=Cause.DEAD),
        replace(PLAN, after={WEB: FROM}),
        replace(PLAN, shed_bp={WEB: 751}),
        replace(PLAN, caveats=("said besides",)),
        replace(PLAN, steps=(*STEPS, by_person)),
    ):
        assert other.digest != PLAN.digest
    back = replace(by_person, weights_pm={M1: 1_000})
    assert replace(PLAN, steps=(*STEPS, back)).digest == PLAN.digest, "it is taken out by nobody"


def test_a_drain_is_shown_with_the_load_of_every_site_that_serves_before_or_after() -> None:
    """100 rps: gasan and anyang carry the half that pangyo had, on what their servers and standbys are good for."""
    book = Playbook()
    book.run(20_000)
    plan = book.ask(DrainRequest(site=P)).plans[0]
    found = {entry.site: entry for entry in plan.loads}
    assert set(found) == {P, G, A}
    assert (found[P].before_rps, found[P].after_rps, found[P].capacity_rps, found[P].utilisation_pm) == (50, 0, 60, 0)
    for site, before_rps in ((G, 30), (A, 20)):
        entry, after_bp = found[site], plan.after[WEB][site]
        assert (entry.before_rps, entry.after_rps) == (before_rps, after_bp // 100)
        assert entry.capacity_rps in (40, 50, 60)
        assert entry.utilisation_pm == pytest.approx(after_bp * 100 / 10 / entry.capacity_rps, abs=1)
    assert sum(plan.after[WEB].values()) == 10_000
