"""The figures of a run are counted as their words say."""

from __future__ import annotations

from pathlib import Path

from lab.a_fault import CAPACITIES, EVENTS, FAULT_MS, bins
from siteshift.lab.measure import Milestones, measure, shares_seen, utilisation
from siteshift.lab.timeline import Bin, SiteCount, Timeline, TimelineWriter, totals


def figures(**change: float) -> Milestones:
    return measure(
        bins(**{"moved_after_s": 4, **change}),  # type: ignore[arg-type]
        EVENTS,
        CAPACITIES,
        site="pangyo",
        fault_ms=FAULT_MS,
        until_ms=30_000,
    )


def test_milestones_count_from_the_first_bad_request_after_the_fault() -> None:
    found = figures()
    assert found.first_bad_ms == 10_040
    assert found.after_ms(found.suspicion_ms) == 360
    assert found.after_ms(found.diagnosis_ms) == 860
    assert found.after_ms(found.first_write_ms) == 910


def test_what_did_not_happen_is_none() -> None:
    found = measure(bins(moved_after_s=99), [], [], site="pangyo", fault_ms=FAULT_MS, until_ms=30_000)
    assert (found.suspicion_ms, found.first_write_ms, found.t95_ms) == (None, None, None)
    assert found.after_ms(found.t95_ms) is None
    assert found.lost_by_our_move == 0


def test_t95_is_when_nineteen_of_twenty_requests_are_well_placed() -> None:
    found = figures()
    assert found.t95_ms is not None
    assert 13_500 <= found.t95_ms <= 14_000


def test_losses_are_those_of_the_span_and_ours_are_those_at_healthy_sites_after_our_write() -> None:
    found = figures(spilled=1)
    assert found.offered == 2_000
    assert found.lost == 40 * 5 + 160
    assert found.lost_by_our_move == 160
    assert figures().lost_by_our_move == 0


def test_utilisation_is_against_the_capacity_open_at_that_moment() -> None:
    found = dict(utilisation(bins(moved_after_s=4), CAPACITIES, "gasan"))
    assert found[9_000] == 750
    assert found[29_000] == 833
    assert figures().survivor_peak_pm == 833


def test_a_site_without_open_capacity_has_no_utilisation() -> None:
    assert max(at_ms for at_ms, _ in utilisation(bins(moved_after_s=4), CAPACITIES, "pangyo")) < 12_000


def test_seen_shares_are_placed_where_requests_were_sent_or_else_served() -> None:
    assert shares_seen(bins(moved_after_s=4))[50][1] == {"pangyo": 5_000, "gasan": 3_000, "anyang": 2_000}
    behind = [Bin(at_ms=0, offered=4, sites={"lb": SiteCount(sent=4), "gasan": SiteCount(served=4)})]
    assert shares_seen(behind)[0][1] == {"gasan": 10_000}


def test_the_timeline_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    timeline = Timeline(path)
    assert timeline.refresh() == []
    writer = TimelineWriter(path)
    first, second, *_ = bins(moved_after_s=1)
    writer.write(first)
    assert timeline.refresh() == [first]
    with path.open("a") as file:
        file.write('{"at_ms": 1')
    assert timeline.refresh() == []
    with path.open("a") as file:
        file.write('00, "sites": {}}\n')
    assert [entry.at_ms for entry in timeline.refresh()] == [100]
    writer.write(second)
    timeline.refresh()
    writer.close()
    assert len(timeline.bins) == 3
    assert totals(timeline.bins)["pangyo"].sent == 10
