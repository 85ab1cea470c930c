"""What a person reads: where the shed part goes, and since when a vantage is silent."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import DOWN, NODE, PLANE, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.explain import status_document, why_document
from siteshift.core.messages.events import ReadBackArrived, ReportArrived
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.evidence import SelfCheck, VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import Drift
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId
from siteshift.core.plan.fold import fold

SHED_ANSWERS = ("192.0.2.99",)


def overfull(setup: Setup) -> Playbook:
    """More demand than the survivors and their standbys carry, and pangyo dead."""
    book = Playbook(setup=setup)
    book.demand_rps = 130
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(30_000)
    return book


def with_shed_answers(setup: Setup) -> Setup:
    topology = setup.topology
    services = tuple(replace(service, shed_answers=SHED_ANSWERS) for service in topology.services)
    return replace(setup, topology=replace(topology, services=services))


def why(book: Playbook, site: SiteId) -> str:
    return "\n".join(why_document(book.state, book.setup, site, book.now_ms)["services"][WEB]["lines"])


def test_without_an_answer_for_it_the_shed_part_is_said_to_stay_at_the_dead_site() -> None:
    book = overfull(three_sites())
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    assert service["shed_bp"] > 0
    assert service["shed_stays"] == {"site": P, "planes": [PLANE]}
    assert "still comes here by dns, which has no other answer for it (`shed_answers`)" in why(book, P)
    assert "shed_answers" not in why(book, G)


def test_with_an_answer_of_its_own_the_shed_part_stays_nowhere() -> None:
    book = overfull(with_shed_answers(three_sites()))
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    assert service["shed_bp"] > 0
    assert service["shed_stays"] is None
    assert "shed_answers" not in why(book, P)


def test_a_load_balancer_that_turns_the_shed_part_away_needs_no_answer() -> None:
    setup = three_sites()
    planes = tuple(replace(plane, sheds=frozenset({WEB})) for plane in setup.planes)
    book = overfull(replace(setup, planes=planes))
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    assert (service["shed_bp"] > 0, service["shed_stays"]) == (True, None)


def test_the_plan_says_where_the_shed_part_would_go() -> None:
    for setup, stays in ((three_sites(), True), (with_shed_answers(three_sites()), False)):
        book = overfull(setup)
        plan = fold(book.state, book.setup, book.now_ms)
        assert plan is not None
        (shed,) = (entry.text for entry in plan.findings if entry.code == "SHED_NEEDED")
        assert ("so it would go on being sent to pangyo" in shed) is stays


def test_a_site_that_a_hand_gave_a_share_again_is_not_shown_as_drained() -> None:
    """Row A6 of what was found by trying: `set server be_web/pangyo-s1 state ready` after a drain."""
    book = Playbook()
    book.run(60_000)
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    assert (service["sites"][P]["life"], service["sites"][P]["delivered_by"]) == ("drained", [])
    drift = Drift(enactor=PLANE, what="be_web/pangyo-s1", wanted="maint", found="ready", ours=True)
    reading = replace(book.reading(PLANE), shares_bp={WEB: {P: 5_000, G: 3_000, A: 2_000}}, drifts=(drift,))
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    assert (service["sites"][P]["life"], service["sites"][P]["actual_bp"]) == ("draining", 5_000)
    text = "dns still sends 50 % here: be_web/pangyo-s1 is ready, we wrote maint"
    assert [entry["text"] for entry in service["sites"][P]["delivered_by"]] == [text]
    assert f"not drained: {text}" in why(book, P)


def test_a_silent_vantage_is_named_with_the_instant_of_its_last_report() -> None:
    """The reason stands still while the time goes on, so that nothing is recorded anew each second."""
    setup = three_sites()
    vantages = (*setup.topology.vantages, (VantageId("c9"), A))
    book = Playbook(setup=replace(setup, topology=replace(setup.topology, vantages=vantages)))
    book.run(5_000)
    check = SelfCheck(anchors_ok=2, anchors_total=2)
    other = VantageReport(
        vantage=VantageId("c9"), site=None, at_ms=book.now_ms, sequence=1, views={}, self_check=check
    )
    book.feed(ReportArrived(at_ms=book.now_ms, report=other))
    last_ms = book.now_ms
    book.run(12_000)
    found = [entry for entry in book.state.picture.diagnoses if entry.code == "STALE"]
    assert [(entry.reason, entry.since_ms) for entry in found] == [("c9 does not report any more", last_ms)]
    assert NODE in book.state.picture.credible


def with_login(book: Playbook) -> Playbook:
    """A shop (web) that depends on checkout, which depends on login, each at every site."""
    (web,) = book.setup.topology.services
    login, checkout = ServiceId("login"), ServiceId("checkout")

    def twin(name: ServiceId, needs: tuple[ServiceId, ...]) -> Service:
        def moved(pool: Pool) -> Pool:
            active = (member for member in pool.members if member.role is MemberRole.ACTIVE)
            members = (replace(m, service=name, id=MemberId(f"{name}/{m.site}/{m.name}")) for m in active)
            return replace(pool, service=name, members=tuple(members))

        pools = tuple(moved(pool) for pool in web.pools)
        return replace(web, id=name, names=(f"{name}.example",), pools=pools, depends_on=needs)

    services = (replace(web, depends_on=(checkout,)), twin(checkout, (login,)), twin(login, ()))
    setup = replace(book.setup, topology=replace(book.setup.topology, services=services))
    return Playbook(setup=setup)


def test_why_says_that_something_a_service_depends_on_is_down_at_the_site() -> None:
    """Login was down at pangyo and the shop's own checks passed: `why` said nothing of it."""
    book = with_login(Playbook())
    book.run(60_000)
    assert "depends on" not in why(book, P)
    book.believe(P, DOWN, ServiceId("login"))
    book.believe(P, UP)
    book.run(5_000)
    said = why(book, P)
    assert "depends on login by checkout, which is down here" in said
    assert "siteshift why login" in said
    assert "depends on" not in why(book, G)
    status = status_document(book.state, book.setup, book.now_ms)
    rows = {entry["service"]: entry["sites"][P]["needs"] for entry in status["services"]}
    assert rows == {"web": "depends on login (down) at pangyo", "checkout": "depends on login (down) at pangyo", "login": ""}


def test_services_that_depend_on_one_another_in_a_circle_are_told_once_each() -> None:
    book = with_login(Playbook())
    web, checkout, login = book.setup.topology.services
    services = (web, checkout, replace(login, depends_on=(checkout.id,)))
    book = Playbook(setup=replace(book.setup, topology=replace(book.setup.topology, services=services)))
    book.run(60_000)
    book.believe(P, DOWN, ServiceId("login"))
    book.believe(P, UP)
    book.run(5_000)
    assert why(book, P).count("depends on login") == 1
