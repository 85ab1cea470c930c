"""One series among several that restarts, vanishes, comes or is relabelled: what its page is believed to have counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.counter_pages import CounterPages, counter_pages
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.scrape.exposition import Series
from siteshift.adapters.scrape.gains import GONE_MOST, Gains
from siteshift.adapters.scrape.traffic import ScrapePage, ScrapeSetup, ScrapeTrafficMeter
from siteshift.core.model.units import ServiceId, SiteId

GASAN = SiteId("gasan")
DEADLINE_MS = 10_000
WINDOW_MS = 500
METRICS = ("requests", "errors", "seconds")

Shown = Mapping[str, float]
"""Values by the process that counts them."""


@pytest.fixture
async def pages() -> AsyncIterator[CounterPages]:
    async with counter_pages((GASAN,)) as found:
        yield found


class Reader:
    """One page whose three counters show the same series."""

    def __init__(self, pages: CounterPages) -> None:
        self._pages, self._clock = pages, ManualClock()
        setup = ScrapeSetup(
            id="pages",
            service=ServiceId("web"),
            pages=(ScrapePage(site=GASAN, url=pages.url(GASAN)),),
            counter="requests",
            error_counter="errors",
            seconds_counter="seconds",
        )
        self._meter = ScrapeTrafficMeter(setup, self._clock)

    async def sees(self, shown: Shown) -> tuple[int, int, int | None] | None:
        """Requests, errors and milliseconds a request; None: unknown."""
        lines = [f'{metric}{{pid="{pid}"}} {value}' for metric in METRICS for pid, value in shown.items()]
        self._pages.shown[GASAN].text = "\n".join((*(f"# TYPE {metric} counter" for metric in METRICS), *lines, ""))
        self._clock.advance(WINDOW_MS)
        samples = await self._meter.sample(deadline_ms=DEADLINE_MS)
        return next(((one.requests, one.errors, one.latency_ms) for one in samples), None)


CASES: dict[str, tuple[Shown, ...]] = {
    "vanishes": ({"1": 700_025},),
    "restarts": ({"1": 700_025, "2": 0},),
    "is relabelled": ({"1": 700_025, "two": 650_000},),
    "becomes smaller, and not small": ({"1": 700_025, "2": 640_000},),
    "comes beside what is there": ({"1": 700_025, "2": 650_000, "3": 900_000},),
    "is missing for a while": ({"1": 700_000}, {"1": 700_000}, {"1": 700_025, "2": 650_000}),
    "is missing for so long that much came": ({"1": 700_000}, {"1": 700_000}, {"1": 700_025, "2": 690_000}),
    "is no number for a while": ({"1": 700_000, "2": float("nan")}, {"1": 700_025, "2": 650_000}),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_other_series_say_what_came_when_one(pages: CounterPages, case: str) -> None:
    reader = Reader(pages)
    await reader.sees({"1": 700_000, "2": 650_000})
    for shown in CASES[case][:-1]:
        await reader.sees(shown)
    assert await reader.sees(CASES[case][-1]) == (25, 25, 1_000)


async def test_a_process_that_began_anew_is_counted_from_zero(pages: CounterPages) -> None:
    reader = Reader(pages)
    await reader.sees({"1": 700_000, "2": 650_000})
    assert await reader.sees({"1": 700_025, "2": 12}) == (37, 37, 1_000), "under the same labels"
    assert await reader.sees({"1": 700_025, "3": 12}) == (12, 12, 1_000), "under others"


async def test_the_first_error_of_a_site_counts_at_once(pages: CounterPages) -> None:
    """Libraries make a series when it is first counted."""
    reader = Reader(pages)
    await reader.sees({})
    assert await reader.sees({"500": 40}) == (40, 40, 1_000)


@pytest.mark.parametrize("after", [{}, {"three": 700_000, "four": 650_000}])
async def test_a_page_of_which_nothing_goes_on_is_unknown_for_a_window(pages: CounterPages, after: Shown) -> None:
    reader = Reader(pages)
    await reader.sees({"1": 700_000, "2": 650_000})
    assert await reader.sees(after) is None
    later = {pid: value + 25 for pid, value in after.items()}
    assert await reader.sees(later) == ((50, 50, 1_000) if after else (0, 0, None))


async def test_two_processes_that_answer_in_turn_for_one_address_make_no_traffic(pages: CounterPages) -> None:
    reader = Reader(pages)
    seen = [await reader.sees({"a": 700_000 + n} if n % 2 else {"b": 650_000 + n}) for n in range(9)]
    assert all(one is None or one[0] <= 2 for one in seen)


async def test_a_page_as_busy_as_that_may_begin_with_more(pages: CounterPages) -> None:
    """A hundred processes that are restarted at once have counted more than a small number in half a second."""
    reader = Reader(pages)
    await reader.sees({"1": 0})
    await reader.sees({"1": 5_000})
    assert await reader.sees({"2": 4_800}) == (4_800, 4_800, 1_000)


values = st.integers(0, 10_000_000)
pages_shown = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(st.lists(pages_shown, min_size=2, max_size=8), st.integers(0, 2_000))
def test_a_gain_is_never_more_than_what_goes_on_gained_and_what_may_have_come(readings: list[Shown], window_ms: int) -> None:
    gains = Gains()
    pace = 0.0
    for number, shown in enumerate(readings):
        gain = gains.take([Series(labels={"pid": pid}, value=value) for pid, value in shown.items()], window_ms)
        before = readings[number - 1] if number else {}
        if number == 0:
            assert gain == 0
            continue
        goes_on = sum(value - before[pid] for pid, value in shown.items() if pid in before and value >= before[pid])
        anew = sum(pid not in before or value < before[pid] for pid, value in shown.items())
        if gain is not None:
            assert goes_on <= gain <= goes_on + anew * max(100, 3 * pace * max(1, window_ms)) + 1e-6
            pace = max(gain / max(1, window_ms), pace * 0.98)


def test_what_is_gone_is_remembered_within_bounds() -> None:
    gains = Gains()
    for number in range(GONE_MOST + 50):
        gains.take([Series(labels={"pid": str(number)}, value=1)], WINDOW_MS)
    assert len(gains._gone) == GONE_MOST
