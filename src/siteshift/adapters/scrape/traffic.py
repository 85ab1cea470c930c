"""Traffic seen on pages of counters: what each site itself says it served, where no load balancer can be asked.

A page that does not answer, or does not know the counter, makes its site *unknown* for this window: no sample, not zero;
and its next answer opens a new window. A site with several pages is known when all of them are. Each series of a counter is
held against itself (`gains`): one that restarts, vanishes or is relabelled is no traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from yarl import URL

from siteshift.adapters.http_exchange import Cause, NoAnswer, Question, exchange
from siteshift.adapters.probes.http_reply import HttpBounds
from siteshift.adapters.scrape.exposition import Found, Series, slices_of
from siteshift.adapters.scrape.gains import Gains
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import AdapterError, Permanent, Retryable
from siteshift.ports import Clock, TrafficSample

PAGE = HttpBounds(body_bytes=4 * 1024 * 1024, framing_bytes=256 * 1024)
"""A page larger than this, packed or unpacked, is refused: 60,000 series, and more than a second of reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapePage:
    """One page and the site it counts for."""

    site: SiteId
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeSetup:
    """What to read. Only series with all of ``labels`` count; empty names of counters: not counted.

    ``seconds_counter`` counts the seconds that requests took; ``headers`` may carry a token (given resolved).
    """

    id: str
    service: ServiceId
    pages: tuple[ScrapePage, ...]
    counter: str
    error_counter: str = ""
    seconds_counter: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one page showed at one instant: its series that count, by metric."""

    at_ms: int
    series: Mapping[str, Sequence[Series]]


@dataclass(frozen=True, slots=True)
class _Gained:
    """What one page counted in one window. ``seconds`` None: not known."""

    at_ms: int
    window_ms: int
    requests: float
    errors: float
    seconds: float | None


@dataclass(slots=True)
class _Window:
    """A page that answers: its counters as they were shown last."""

    at_ms: int
    requests: Gains = field(default_factory=Gains)
    errors: Gains = field(default_factory=Gains)
    seconds: Gains = field(default_factory=Gains)


class ScrapeTrafficMeter:
    """`ports.TrafficMeter` over pages. The first answer of a page only opens its window."""

    def __init__(self, setup: ScrapeSetup, clock: Clock) -> None:
        self._setup = setup
        self._clock = clock
        self._windows: dict[ScrapePage, _Window] = {}

    async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:
        """Samples of the sites whose pages all answered. Raises `AdapterError` when no page did."""
        pages = self._setup.pages
        results = await asyncio.gather(*(self._read(page, deadline_ms) for page in pages), return_exceptions=True)
        unknown: set[SiteId] = set()
        gained: dict[SiteId, list[_Gained]] = {}
        errors: list[AdapterError] = []
        for page, result in zip(pages, results, strict=True):
            if isinstance(result, AdapterError):
                self._windows.pop(page, None)
                errors.append(result)
                unknown.add(page.site)
                continue
            if isinstance(result, BaseException):
                raise result
            gain = self._gain(page, result)
            if gain is None:
                unknown.add(page.site)
            else:
                gained.setdefault(page.site, []).append(gain)
        if len(errors) == len(pages):
            raise errors[0]
        return [self._sample(site, gains) for site, gains in gained.items() if site not in unknown]

    async def close(self) -> None:
        """Nothing is kept between readings."""

    def _gain(self, page: ScrapePage, reading: _Reading) -> _Gained | None:
        """What the page counted since it was read last; None where that is not known."""
        setup = self._setup
        known = self._windows.get(page)
        window = self._windows[page] = known or _Window(reading.at_ms)
        window_ms, window.at_ms = reading.at_ms - window.at_ms, reading.at_ms
        requests = window.requests.take(reading.series[setup.counter], window_ms)
        errors = window.errors.take(reading.series.get(setup.error_counter, ()), window_ms)
        seconds = window.seconds.take(reading.series.get(setup.seconds_counter, ()), window_ms)
        if known is None or requests is None or errors is None:
            return None
        return _Gained(reading.at_ms, window_ms, requests, errors, seconds)

    def _sample(self, site: SiteId, gains: Sequence[_Gained]) -> TrafficSample:
        requests = sum(gain.requests for gain in gains)
        errors = sum(gain.errors for gain in gains)
        seconds = [gain.seconds for gain in gains if gain.seconds is not None]
        is_timed = bool(self._setup.seconds_counter) and len(seconds) == len(gains) and round(requests) > 0
        return TrafficSample(
            service=self._setup.service,
            site=site,
            at_ms=max(gain.at_ms for gain in gains),
            window_ms=max(gain.window_ms for gain in gains),
            requests=round(requests),
            errors=round(min(errors, requests)),
            latency_ms=round(sum(seconds) * 1_000 / requests) if is_timed else None,
        )

    async def _read(self, page: ScrapePage, deadline_ms: int) -> _Reading:
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                found = await self._found(await self._fetch(page, deadline_ms))
        except TimeoutError:
            raise Retryable(f"not read within {deadline_ms} ms", **self._about(page)) from None
        except ValueError as error:
            raise Permanent(str(error), **self._about(page)) from None
        for name, series in found.series.items():
            if series is None:
                raise Permanent(f"the page has no metric {name}", **self._about(page))
            if not series and name in found.odd:
                raise Permanent(f"{name} is {found.odd[name]}, which no counter is", **self._about(page))
        return _Reading(self._clock.now_ms(), {name: list(self._ours(series)) for name, series in found.series.items()})

    async def _fetch(self, page: ScrapePage, deadline_ms: int) -> str:
        question = Question(url=URL(page.url), headers=self._setup.headers)
        try:
            status, body = await exchange(question, deadline_ms=deadline_ms, bounds=PAGE)
        except NoAnswer as error:
            kind = Permanent if error.cause is Cause.ASKED_WRONGLY else Retryable
            raise kind(str(error), **self._about(page)) from None
        if status != 200:
            raise Permanent(f"status {status}", **self._about(page))
        if len(body) >= PAGE.body_bytes:
            raise Permanent(f"the page is larger than {PAGE.body_bytes} bytes", **self._about(page))
        return body.decode("utf-8", "replace")

    async def _found(self, text: str) -> Found:
        """Read the page, with turns for others between. Raises ValueError."""
        setup = self._setup
        found = Found(dict.fromkeys(filter(None, (setup.counter, setup.error_counter, setup.seconds_counter))))
        for piece in slices_of(text):
            found.read(piece)
            await asyncio.sleep(0)
        return found

    def _ours(self, series: Sequence[Series] | None) -> Iterator[Series]:
        """The series with our labels."""
        wanted = self._setup.labels.items()
        return (entry for entry in series or () if all(entry.labels.get(name) == value for name, value in wanted))

    def _about(self, page: ScrapePage) -> dict[str, str]:
        return {"system": f"traffic meter {self._setup.id}", "operation": "read", "target": page.url}
