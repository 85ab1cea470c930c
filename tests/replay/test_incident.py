"""What a record's troubles become in a scenario: one event for what failed together, named as widely as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.messages.events import SeenTraffic
from siteshift.core.model.codes import Fault, Hardness, MemberRole, Standing
from siteshift.core.model.evidence import Evidence, TargetView
from siteshift.core.model.units import MemberId, SiteId, TargetId
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.tracks import TrafficTrack
from siteshift.replay.counted import Counted, means
from siteshift.replay.incident import Entry, Incident, _faults, _Spell, _Trouble, _trouble, assumed, late_ms
from siteshift.replay.what_if import _scaled

SETUP = three_sites()
TIMEOUT_MS = SETUP.policy.judge.timeout_ms
SERVICE = SETUP.topology.service_by_id[WEB]
CRASH = _Trouble("crash")


def actives(site: SiteId) -> list[MemberId]:
    return [m.id for m in SETUP.topology.members.values() if m.site == site and m.role is MemberRole.ACTIVE]


def spells(site: SiteId, members: list[MemberId], from_ms: int, until_ms: int | None, trouble: _Trouble = CRASH) -> list[_Spell]:
    return [_Spell(WEB, site, member, trouble, from_ms + 100 * n, until_ms) for n, member in enumerate(members)]


def faults(*found: list[_Spell]) -> list[Entry]:
    return list(_faults([spell for some in found for spell in some], SETUP, 0))


def test_all_members_of_a_site_that_fail_together_are_the_site() -> None:
    (event,) = faults(spells(P, actives(P), 1_000, 61_000))
    assert event == {"at_s": 1, "fault": "crash", "site": P, "name": "trouble 1", "until_s": 61}


def test_some_of_them_are_named() -> None:
    (event,) = faults(spells(P, actives(P)[:1], 0, None))
    assert event == {"at_s": 0, "fault": "crash", "site": P, "members": [actives(P)[0]], "name": "trouble 1"}


def test_what_fails_later_elsewhere_or_otherwise_is_another_event() -> None:
    late = spells(G, actives(G), 10_000, None)
    other = spells(A, actives(A), 0, None, _Trouble("hang"))
    assert [(e["fault"], e["site"], e["at_s"]) for e in faults(spells(P, actives(P), 0, None), other, late)] == [
        ("crash", P, 0), ("hang", A, 0), ("crash", G, 10),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hardness", "score_pm", "kind", "arguments"),
    [
        (Hardness.HARD, 0, "crash", {}),
        (Hardness.SILENT, 0, "hang", {}),
        (Hardness.GREY, 700, "errors", {"rate_percent": 30}),
        (Hardness.SLOW, 0, "latency", {"add_s": 0.65, "part_percent": 100}),
    ],
)
def test_a_trouble_is_named_by_what_its_checks_say(hardness: Hardness, score_pm: int, kind: str, arguments: Entry) -> None:
    view = TargetView(standing=Standing.DOWN, score_pm=score_pm, hardness=hardness)
    found = _trouble(view, SERVICE, TIMEOUT_MS)
    assert (found.kind, dict(found.arguments)) == (kind, arguments)


def test_a_late_answer_comes_between_its_objective_and_its_check_s_timeout_for_later_it_was_none() -> None:
    """500 ms and 800 ms: what is taken for twice the objective would be played as silence."""
    assert (SERVICE.slo_latency_ms, TIMEOUT_MS) == (500, 800)
    assert late_ms(500, 800) == 650
    assert late_ms(500, 5_000) == 2_750
    assert late_ms(500, 400) == 1_000, "a check that waits less never says late: the record's own configuration was another"


def test_as_many_answers_are_late_as_the_record_says() -> None:
    said = Evidence(fault=Fault.SLOW, detail="over 500 ms", alike=6, failed=9, checks=30, since_ms=0)
    view = TargetView(standing=Standing.DEGRADED, score_pm=1_000, hardness=Hardness.SLOW, evidence=said)
    assert dict(_trouble(view, SERVICE, TIMEOUT_MS).arguments) == {"add_s": 0.65, "part_percent": 20}


def test_members_that_are_ill_together_are_so_by_their_mean() -> None:
    two = actives(P)[:2]
    late = [_Trouble("latency", (("add_s", 0.65), ("part_percent", part))) for part in (20, 40)]
    (event,) = faults([_Spell(WEB, P, member, trouble, 0, None) for member, trouble in zip(two, late, strict=True)])
    assert (event["add_s"], event["part_percent"]) == (0.65, 30)


def test_a_scenario_says_what_was_assumed_of_late_answers_and_nothing_where_none_were() -> None:
    late = spells(P, actives(P), 0, None, _Trouble("latency", (("add_s", 0.65), ("part_percent", 20))))
    (line,) = assumed(late, SETUP)
    assert line.startswith("assumed: late answers of web come after 0.65 s, the middle of their objective (0.5 s)")
    assert list(assumed(spells(P, actives(P), 0, None), SETUP)) == []


def test_a_check_that_fails_where_users_are_served_is_a_broken_check() -> None:
    view = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.HARD, is_contradicted=True)
    assert _trouble(view, SERVICE, TIMEOUT_MS).kind == "check_fails"


def test_demand_is_the_mean_of_half_a_minute_and_not_of_what_a_silence_lies_between() -> None:
    counted = [(500 * n, 50, 500) for n in range(1, 200)]
    assert [round(rate) for _, rate in means(counted)] == [100, 100, 100]
    torn = [*counted[:40], *[(at + 120_000, n, w) for at, n, w in counted[:40]]]
    assert list(means(torn)) == []


def test_counts_go_on_as_they_were_where_the_record_has_no_reading() -> None:
    counted = Counted()
    counted.told(0, {(WEB, P): TrafficTrack(at_ms=0, rate_mrps=40_000, last_mrps=0), (WEB, G): TrafficTrack(0, 60_000, 0)})
    counted.told(86_400_000, {(WEB, P): TrafficTrack(at_ms=86_400_000, rate_mrps=140_000, last_mrps=0)})
    found = list(counted.rates(WEB, 86_400_000 + 60_000))
    assert {round(rate) for at_ms, rate in found if at_ms < 86_400_000} == {100}
    assert [round(rate) for at_ms, rate in found if at_ms >= 86_400_000] == [200, 200]
    assert len(found) < 10, "a long time says no more than its ends"
    counted.pause(WEB)
    assert list(counted.rates(WEB, 10**9)) == found, "what was not heard does not go on"


def capped(**changes: object) -> Carrying:
    said: dict[str, int | None] = {
        "failed_rps": 58, "answered_rps": 30, "cap_rps": 28, "proven_rps": 28, "open_rps": 60, "failed_at_ms": 5_000,
        "hold_ms": 30_000, "until_ms": 35_000,
    }  # fmt: skip
    return Carrying(**{**said, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "is_cut"),
    [
        (capped(), True),
        (capped(proven_rps=33), True),
        (capped(proven_rps=34), False),
        (capped(cap_rps=None), False),
        (capped(answered_rps=0), False),
        (capped(failed_rps=60, answered_rps=48), False),
    ],
)
def test_a_pool_that_carries_less_than_the_file_says_lost_capacity_until_it_is_quiet_with_a_tenth_more(
    known: Carrying, is_cut: bool
) -> None:
    """Its checks were silent, and the file said that the whole site hung: played again all of it was shed."""
    book = Playbook(setup=SETUP)
    book.run(5_000)
    state = book.state.changed(transitions={WEB: book.state.transition(WEB).changed(carrying={P: known})})
    incident = Incident()
    incident._look(state, book.setup, 9_000)
    found = {spell.member: (spell.trouble, spell.from_ms) for spell in incident._ill.values()}
    lost = (_Trouble("cap_cut", (("factor_percent", 50),)), 5_000)
    assert found == (dict.fromkeys(actives(P), lost) if is_cut else {})
    if is_cut:
        assert list(assumed(list(incident._ill.values()), book.setup)) == [
            f"assumed: {P} carried what it answered of {WEB} as it failed, until quiet with a tenth more"
        ]


HUNG = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.SILENT, since_ms=5_000)


@pytest.mark.parametrize(
    ("answered", "kind", "lasts_ms"),
    [(0, "hang", 16_000), (12, "cap_cut", 263_000), (None, "cap_cut", 263_000)],
)
def test_a_hang_is_no_capacity_that_was_lost_where_a_meter_shows_that_nobody_was_answered(
    answered: int | None, kind: str, lasts_ms: int
) -> None:
    """16 s of silence became 263 s of less capacity: as long as the site was not trusted again. None: nobody counted."""
    book = Playbook(setup=SETUP)
    book.run(5_000)
    cut = {WEB: book.state.transition(WEB).changed(carrying={P: capped()})}
    for member in actives(P):
        book.beliefs[TargetId(f"member:{member}")] = HUNG
    book.report()
    state = book.state.changed(transitions=cut)
    incident = Incident(last_ms=600_000)
    incident._look(state, book.setup, 5_000)
    for at_ms in range(5_500, 21_000, 500) if answered is not None else ():
        sample = SeenTraffic(service=WEB, site=P, window_ms=500, requests=25, errors=25 - answered, answered=answered)
        incident._served.setdefault((WEB, P), []).append((at_ms, sample))
    for member in actives(P):
        book.beliefs[TargetId(f"member:{member}")] = UP
    book.now_ms += 1_000
    book.report()
    incident._look(book.state.changed(transitions=cut), book.setup, 21_000)
    incident._look(book.state, book.setup, 268_000)
    found = {(spell.trouble.kind, spell.from_ms, spell.until_ms) for spell in incident._told_apart()}
    assert found == {(kind, 5_000, 5_000 + lasts_ms)}


def test_a_cold_standby_is_no_server_that_crashed() -> None:
    book = Playbook(setup=SETUP)
    book.run(5_000)
    incident = Incident()
    incident._look(book.state, book.setup, 9_000)
    assert incident._ill == {}


def test_a_meter_of_other_shares_counts_all_parts_alike_and_knows_nothing_of_a_site_that_nobody_asked() -> None:
    """Twice the requests and as many answers were a site that fails."""
    seen = SeenTraffic(service=WEB, site=P, window_ms=500, requests=20, errors=2, answered=18, passed_on=4)
    assert _scaled(seen, 40) == replace(seen, requests=40, errors=4, answered=36, passed_on=8)
    nobody = replace(seen, requests=0, errors=0, answered=0, passed_on=0)
    assert _scaled(nobody, 40) == replace(nobody, requests=40, answered=None)
