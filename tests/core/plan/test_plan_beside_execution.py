"""What is planned is what is done: step by step, for every act and every kind of data plane."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.playbook import DOWN, WEB, A, G, P, Playbook, three_sites
from siteshift.core.absorb import absorb
from siteshift.core.beliefs.picture import refresh_picture
from siteshift.core.messages.events import PlanFolded, ReportArrived
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, Request, SharesRequest, UndrainRequest
from siteshift.core.model.codes import Severity, StepKind
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.plan import TRIFLES, Plan, Step
from siteshift.core.model.setup import PlaneKind, PlaneRef, Setup
from siteshift.core.model.units import EnactorId, MemberId
from siteshift.core.plan.fold import fold
from siteshift.core.plan.foreseen import basis_of
from siteshift.core.plan.predict import EXPECTED_STANDBY_MS
from siteshift.core.state.draft import Draft, Licence

DOCUMENT = Path(__file__).parents[3] / "docs" / "PLANNING.md"
DNS, LB = PlaneKind.DNS, PlaneKind.BALANCER


@dataclass(frozen=True)
class Planes:
    """One kind of data planes to run a playbook on."""

    name: str
    kinds: tuple[PlaneKind, ...]
    answers_itself: bool = False

    def setup(self) -> Setup:
        planes = tuple(
            PlaneRef(id=EnactorId(f"plane{i}"), services=(WEB,), kind=kind, answers_itself=self.answers_itself)
            for i, kind in enumerate(self.kinds)
        )
        return replace(three_sites(), planes=planes)


PLANES = (
    Planes("BIND", (DNS,)),
    Planes("embedded DNS", (DNS,), answers_itself=True),
    Planes("HAProxy", (LB, LB)),
    Planes("HAProxy agent-check", (LB,), answers_itself=True),
    Planes("DNS and HAProxy", (DNS, LB, LB)),
)


def served(planes: Planes) -> Playbook:
    book = Playbook(setup=planes.setup(), standby_ms=EXPECTED_STANDBY_MS)
    book.run(20_000)
    book.steps.clear()
    return book


def drained(planes: Planes) -> Playbook:
    book = served(planes)
    granted(book, DrainRequest(site=P))
    book.run(200_000)
    book.is_metered = False  # whole requests in half seconds would make the demand waver, which is news
    book.steps.clear()
    return book


def granted(book: Playbook, request: Request) -> Plan:
    answer = book.ask(request)
    assert answer.severity is Severity.ALLOWED, answer.findings
    return answer.plans[0]


def failed_over(book: Playbook) -> Plan:
    """The plan folded on the evidence that is about to come, and then the evidence."""
    book.believe(P, DOWN)
    views = {**book.beliefs}
    report = VantageReport(
        vantage=next(iter(book.state.reports)),
        site=G,
        at_ms=book.now_ms,
        sequence=10_000,
        self_check=book.self_check,
        views=views,
    )
    event = ReportArrived(at_ms=book.now_ms, report=report)
    draft = Draft(state=book.state, setup=book.setup, now_ms=book.now_ms)
    absorb(draft, event)
    refresh_picture(draft)
    plan = fold(draft.state, book.setup, book.now_ms, licence=Licence.AS_GRANTED)
    assert plan is not None
    book._sequence = 10_000
    book.feed(event)
    return plan


Act = tuple[str, Callable[[Planes], Playbook], Callable[[Playbook], Plan]]
ACTS: tuple[Act, ...] = (
    ("drain", served, lambda book: granted(book, DrainRequest(site=P))),
    ("undrain", drained, lambda book: granted(book, UndrainRequest(site=P))),
    ("failover", served, failed_over),
    ("forced shares", served, lambda book: granted(book, SharesRequest(service=WEB, shares_bp={P: 3500, G: 3500, A: 3000}))),
    ("depool", served, lambda book: granted(book, DepoolRequest(member=MemberId("web/pangyo/m1")))),
)


def deeds(steps: tuple[Step, ...] | list[Step]) -> list[tuple[object, ...]]:
    """What is done, in order. Standbys say one by one that they are ready; the plan expects them together."""
    found: list[Step] = []
    for step in steps:
        last = found[-1] if found else None
        if last is not None and step.kind is last.kind is StepKind.POOL and step.after_bp == last.after_bp:
            weights = {**last.weights_pm, **step.weights_pm}
            found[-1] = replace(last, weights_pm=weights, members=tuple(sorted(weights)))
        elif not step.is_wait:
            found.append(step)
    return [step.deed for step in found]


@pytest.mark.parametrize("planes", PLANES, ids=lambda planes: planes.name)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act[0])
def test_what_is_done_is_what_was_planned_step_by_step(planes: Planes, act: Act) -> None:
    _, prepared, acted = act
    book = prepared(planes)
    plan = acted(book)
    book.run(plan.expected_ms + 120_000)
    assert not book.violations
    assert not plan.is_cut
    assert deeds(book.steps) == deeds(plan.steps)
    assert not book.recorded("plan_changed")
    entry = book.state.steering.of(WEB)
    assert entry is not None
    assert dict(entry.shares_bp) == plan.after[WEB]


@pytest.mark.parametrize("planes", PLANES, ids=lambda planes: planes.name)
def test_ttls_are_planned_only_where_dns_steers(planes: Planes) -> None:
    plan = granted(served(planes), DrainRequest(site=P))
    touches = {step.kind for step in plan.steps} & {StepKind.LOWER_TTL, StepKind.RESTORE_TTL, StepKind.AWAIT_TTL}
    lowered = any(step.ttl_s is not None for step in plan.steps)
    assert (bool(touches), lowered, plan.ttl_tail_ms > 0) == ((DNS in planes.kinds,) * 3)


def test_a_step_that_was_not_planned_is_journalled_with_the_fact_that_changed() -> None:
    book = served(PLANES[0])
    plan = granted(book, DrainRequest(site=P))
    book.run(3_000)
    book.believe(G, DOWN)
    book.run(20_000)
    changed = book.recorded("plan_changed")
    assert changed[0].data["service"] == WEB
    assert changed[0].data["changed"][0].startswith("evidence at gasan: well > ")  # type: ignore[index]
    assert changed[0].data["expected"][0]["after_bp"] in [dict(step.after_bp) for step in plan.steps]  # type: ignore[index]
    assert changed[0].data["instead"][0]["step"] != "" and len(changed) == 1  # type: ignore[index]


def test_a_plan_folded_anew_tells_what_it_changes_of_the_one_in_force() -> None:
    book = served(PLANES[0])
    granted(book, DrainRequest(site=P))
    book.run(1_000)
    book.demand_rps = 110
    book.run(8_000)
    fresh = fold(book.state, book.setup, book.now_ms, licence=Licence.AS_GRANTED)
    basis = basis_of(book.state, book.setup, None)
    before = len(book.recorded("plan_changed"))
    book.feed(PlanFolded(at_ms=book.now_ms, basis="of other facts", plan=fresh))
    assert len(book.recorded("plan_changed")) == before
    book.feed(PlanFolded(at_ms=book.now_ms, basis=basis, plan=fresh))
    assert fresh is not None
    assert book.state.expected[WEB].steps == tuple(s for s in fresh.steps if not s.is_wait and s.kind not in TRIFLES)


def table() -> list[str]:
    """One row for each act and kind of data planes: how many steps were planned and done, and whether they are the same."""
    rows = []
    for name, prepared, acted in ACTS:
        for planes in PLANES:
            book = prepared(planes)
            plan = acted(book)
            book.run(plan.expected_ms + 120_000)
            planned, done = deeds(plan.steps), deeds(book.steps)
            rows.append(f"| {name} | {planes.name} | {len(planned)} | {len(done)} | {'yes' if planned == done else 'NO'} |")
    return rows


def test_the_table_of_the_document_is_what_the_playbooks_give() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition("|---|---|---|---|---|\n")
    rows, _, after = rest.partition("<!-- steps")
    wanted = "".join(f"{row}\n" for row in table())
    if rows != wanted and os.environ.get("WRITE_DOCS"):
        DOCUMENT.write_text(f"{before}|---|---|---|---|---|\n{wanted}<!-- steps{after}", encoding="utf-8")
    assert rows == wanted, "docs/PLANNING.md is out of date: WRITE_DOCS=1 pytest tests/core/plan -k table"
