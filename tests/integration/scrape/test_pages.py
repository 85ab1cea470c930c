"""Traffic read from pages: what a page does not say is unknown, and what it says wrongly is an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Never

import pytest

from servers.counter_pages import CounterPages, counter_pages, scrape_setup
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.scrape.exposition import series_of
from siteshift.adapters.scrape.traffic import ScrapeTrafficMeter
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import AdapterError, Permanent, Retryable

WEB = ServiceId("web")
PANGYO, GASAN = SiteId("pangyo"), SiteId("gasan")
DEADLINE_MS = 10_000


@pytest.fixture
async def pages() -> AsyncIterator[CounterPages]:
    async with counter_pages((PANGYO, GASAN)) as found:
        yield found


@pytest.fixture
async def meter(pages: CounterPages) -> AsyncIterator[ScrapeTrafficMeter]:
    made = ScrapeTrafficMeter(scrape_setup(pages, WEB), ManualClock())
    yield made
    await made.close()


async def seen(meter: ScrapeTrafficMeter) -> dict[str, tuple[int, int]]:
    return {entry.site: (entry.requests, entry.errors) for entry in await meter.sample(deadline_ms=DEADLINE_MS)}


async def test_a_page_that_does_not_answer_makes_its_site_unknown_and_no_other(
    pages: CounterPages, meter: ScrapeTrafficMeter
) -> None:
    await seen(meter)
    pages.count(GASAN, requests=7, errors=1)
    pages.shown[PANGYO].status = 503
    assert await seen(meter) == {GASAN: (7, 1)}
    pages.shown[PANGYO].status = 200
    pages.count(PANGYO, requests=100)
    assert await seen(meter) == {GASAN: (0, 0)}, "its first answer opens a new window"
    pages.count(PANGYO, requests=5)
    assert await seen(meter) == {PANGYO: (5, 0), GASAN: (0, 0)}


async def test_a_counter_that_became_smaller_was_reset(pages: CounterPages, meter: ScrapeTrafficMeter) -> None:
    pages.count(PANGYO, requests=1_000, errors=10)
    await seen(meter)
    pages.shown[PANGYO].requests, pages.shown[PANGYO].errors = 6, 2
    assert (await seen(meter))[PANGYO] == (6, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing here\nother_total 5\n",
        "requests_total{service=web} 5\n",
        "requests_total NaN\n",
        "requests_total -1\n",
        "requests_total many\n",
        'requests_total{service="web"}\n',
        "<html>404</html>",
    ],
)
async def test_a_page_that_says_nothing_readable_is_unknown(
    pages: CounterPages, meter: ScrapeTrafficMeter, text: str
) -> None:
    await seen(meter)
    pages.shown[PANGYO].text = text or " "
    assert await seen(meter) == {GASAN: (0, 0)}


async def test_when_no_page_says_anything_it_is_an_error_with_the_reason(
    pages: CounterPages, meter: ScrapeTrafficMeter
) -> None:
    for page in pages.shown.values():
        page.text = "other_total 1\n"
    with pytest.raises(Permanent, match="the page has no metric requests_total"):
        await meter.sample(deadline_ms=DEADLINE_MS)
    for page in pages.shown.values():
        page.text = "x" * (5 * 1024 * 1024)
    with pytest.raises(AdapterError, match="larger than"):
        await meter.sample(deadline_ms=DEADLINE_MS)


async def test_pages_that_cannot_be_read_in_time_are_given_up_at_the_deadline(pages: CounterPages) -> None:
    """They came whole and in time; what takes so long is to read them."""

    class Endless(ScrapeTrafficMeter):
        async def _found(self, text: str) -> Never:  # type: ignore[override]
            await asyncio.Event().wait()
            raise AssertionError(text)

    made = Endless(scrape_setup(pages, WEB), ManualClock())
    async with asyncio.timeout(60):
        with pytest.raises(Retryable, match="not read within 2000 ms"):
            await made.sample(deadline_ms=2_000)
    await made.close()


def test_a_metric_that_is_announced_and_has_no_series_is_zero_and_not_missing() -> None:
    assert series_of("# TYPE requests counter\n", "requests_total") == []
    assert series_of("# HELP requests_total All of them.\n", "requests_total") == []
    assert series_of("# TYPE requests_total_size counter\nrequests_totally 5\n", "requests_total") is None


def test_labels_may_hold_anything_that_can_be_quoted() -> None:
    (one,) = series_of('m{a="x\\"} y",b="1,2\\n", c = "\\\\" , } 4.5 17\n', "m") or ()
    assert dict(one.labels) == {"a": 'x"} y', "b": "1,2\n", "c": "\\"}
    assert one.value == 4.5
    assert [entry.value for entry in series_of("m 1\nm{} 2\n", "m") or ()] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        'm {a="b"} 5',
        'm\t{ a = "b" }\t5',
        '  m{a="b"} 5',
        'm{a="b",} 5 1700000000000',
        'm{"a"="b"} 5',
        '{"m",a="b"} 5',
        '{"m","a"="b"} 5',
        ' { "m" , a = "b" , } 5',
        '{a="b","m"} 5',
    ],
)
def test_blanks_and_quoted_names_are_read_as_prometheus_reads_them(line: str) -> None:
    (one,) = series_of(f'other 1\n{{"mm",a="b"}} 7\n{line}\n', "m") or ()
    assert (dict(one.labels), one.value) == ({"a": "b"}, 5)


def test_quoted_names_may_hold_what_plain_ones_cannot() -> None:
    page = '# TYPE "m" counter\n{"m","service.name"="we\\"b"} 5\n{"x","m"="1"} 6\n{y="\\"m\\""} broken\n'
    assert [(dict(one.labels), one.value) for one in series_of(page, "m") or ()] == [({"service.name": 'we"b'}, 5)]
    assert series_of('# TYPE "m" counter\n', "m") == []
    assert series_of('{"x"} 5\n', "m") is None


def test_two_metrics_in_one_line_are_no_line() -> None:
    with pytest.raises(ValueError, match="labels cannot be read"):
        series_of('{"m","n"} 5\n', "m")


@pytest.mark.parametrize("value", ["NaN", "nan", "+Inf", "-1", "1e300"])
def test_a_value_that_no_counter_has_costs_that_series_and_no_other(value: str) -> None:
    assert [one.value for one in series_of(f'm{{a="1"}} {value}\nm{{a="2"}} 7\n', "m") or ()] == [7]
