"""A suspicion has the meters of its target read at once; nothing else has."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import NODE, START_MS, SUSPECT, UP, WEB, G, P, three_sites
from siteshift.core.controller import step
from siteshift.core.messages.commands import ReadMeters
from siteshift.core.messages.events import ReportArrived
from siteshift.core.model.evidence import SelfCheck, TargetView, VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import VantageId, pool_target
from siteshift.core.state.controller_state import initial_state

METERED = replace(three_sites(), metered=frozenset({WEB}))


def looks(setup: Setup, view: TargetView, *, vantage: VantageId = NODE, reports: int = 1) -> list[ReadMeters]:
    """What is asked of meters when so many reports in a row hold this of Pangyo."""
    state, found = initial_state(now_ms=START_MS), []
    views = {pool_target(WEB, P): view, pool_target(WEB, G): UP}
    check = SelfCheck(anchors_ok=1, anchors_total=1)
    for number in range(reports):
        at_ms = START_MS + 100 * number
        report = VantageReport(vantage=vantage, site=G, at_ms=at_ms, sequence=number + 1, self_check=check, views=views)
        decision = step(state, ReportArrived(at_ms=at_ms, report=report), setup)
        state = decision.state
        found += [command for command in decision.commands if isinstance(command, ReadMeters)]
    return found


def test_a_suspicion_has_the_meters_of_its_target_read_within_a_fifth_of_a_second() -> None:
    (look,) = looks(METERED, SUSPECT)
    assert look.places == ((WEB, P),)
    assert look.deadline_ms == 200


def test_as_long_as_it_is_suspected_each_report_asks_again() -> None:
    assert len(looks(METERED, SUSPECT, reports=3)) == 3


def test_what_is_up_is_not_asked_about() -> None:
    assert looks(METERED, UP) == []


def test_a_service_that_nobody_meters_is_not_asked_about() -> None:
    assert looks(replace(METERED, metered=frozenset()), SUSPECT) == []


def test_what_another_vantage_suspects_is_its_own_to_ask() -> None:
    assert looks(METERED, SUSPECT, vantage=VantageId("c2")) == []
