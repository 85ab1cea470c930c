"""Faults are values with a name, a default size and a place."""

from __future__ import annotations

import pytest

from siteshift.lab.faults import (
    FAULTS,
    BlackHole,
    Crash,
    Errors,
    Fault,
    FaultImpossible,
    HealthPageBroken,
    Latency,
    MemberCrash,
    MemberFlap,
    SlowMember,
    Wrongs,
    name_of,
    parse_fault,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("crash", Crash(site="pangyo")),
        ("crash@gasan", Crash(site="gasan")),
        ("black_hole", BlackHole(site="pangyo")),
        ("errors", Errors(site="pangyo", rate_pm=300)),
        ("errors:50@anyang", Errors(site="anyang", rate_pm=50)),
        ("errors:30%@anyang", Errors(site="anyang", rate_pm=300)),
        ("errors:0", Errors(site="pangyo", rate_pm=0)),
        ("latency:1500", Latency(site="pangyo", added_ms=1_500)),
        ("slow_member", SlowMember(site="pangyo", member="p1", slowdown_pm=10_000)),
        ("member_flap", MemberFlap(site="pangyo", member="p1")),
        ("health_page_broken", HealthPageBroken(site="pangyo")),
        ("health_page_broken@everywhere", HealthPageBroken(site="")),
    ],
)
def test_a_fault_is_read_from_the_words_of_the_command_line(text: str, fault: Fault) -> None:
    assert parse_fault(text, site="pangyo", member="p1") == fault


@pytest.mark.parametrize(
    "text",
    ["flood", "errors:many", "errors:", "", "crash:-1", "crash:5", "crash@", "errors:1001", "errors:101%", "errors:%", "hang:5%"],
)
def test_words_without_sense_are_refused(text: str) -> None:
    with pytest.raises(FaultImpossible):
        parse_fault(text, site="pangyo", member="p1")


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_has_a_name_that_leads_back_to_it(name: str) -> None:
    assert name_of(parse_fault(name, site="pangyo", member="p1")) == name


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("errors@gasan", "errors:300@gasan"),
        ("crash@gasan", "crash@gasan"),
        ("slow_member", "slow_member:10000@pangyo (p1)"),
        ("health_page_broken@everywhere", "health_page_broken@everywhere"),
    ],
)
def test_a_fault_is_told_with_everything_it_was_given_by_default(text: str, whole: str) -> None:
    assert words_of(parse_fault(text, site="pangyo", member="p1")) == whole


def test_where_no_site_is_the_usual_one_it_has_to_be_named() -> None:
    with pytest.raises(FaultImpossible, match="where"):
        parse_fault("crash", site="", member="p1")


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([Errors(site="p"), Latency(site="p")], [Latency(site="p")]),
        ([Errors(site="p"), Latency(site="g")], [Errors(site="p"), Latency(site="g")]),
        ([Errors(site="p"), MemberFlap(site="p", member="p1"), Crash(site="p")], [Crash(site="p")]),
        ([BlackHole(site="p"), Crash(site="p")], [BlackHole(site="p"), Crash(site="p")]),
        ([MemberCrash(site="p", member="p1"), MemberFlap(site="p", member="p1")], [MemberFlap(site="p", member="p1")]),
        ([Errors(site="p"), SlowMember(site="p", member="p1")], [Errors(site="p"), SlowMember(site="p", member="p1")]),
        ([Errors(site="p"), HealthPageBroken()], [HealthPageBroken()]),
        ([Errors(site="p"), Errors(site="p", rate_pm=50)], [Errors(site="p", rate_pm=50)]),
    ],
)
def test_what_is_wrong_now_is_what_no_later_fault_took_the_place_of(done: list[Fault], left: list[Fault]) -> None:
    wrongs = Wrongs()
    for fault in done:
        wrongs.add(fault)
    assert list(wrongs) == left


def test_a_fault_is_taken_back_at_its_place_and_everywhere_is_every_place() -> None:
    wrongs = Wrongs()
    wrongs.add(HealthPageBroken())
    wrongs.add(Crash(site="p"))
    assert wrongs.like(Crash(site="g")) == []
    assert wrongs.like(HealthPageBroken(site="p")) == [HealthPageBroken()]
    wrongs.remove(Crash(site="p"))
    assert list(wrongs) == [HealthPageBroken()]
