"""Traffic seen on pages of counters: what each site itself says it served, where no load balancer can be asked.

A page that does not answer, or does not know the counter, makes its site *unknown* for this window: no sample, not zero;
and its next answer opens a new window. A site with several pages is known when all of them are. A counter that became
smaller was reset: what it shows since then is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yarl import URL

from siteshift.adapters.http_exchange import Cause, NoAnswer, Question, exchange
from siteshift.adapters.probes.http_reply import HttpBounds
from siteshift.adapters.scrape.exposition import Found, Series, slices_of
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
class _Counts:
    """What one page showed at one instant."""

    at_ms: int
    requests: float
    errors: float
    seconds: float


class ScrapeTrafficMeter:
    """`ports.TrafficMeter` over pages. The first answer of a page only opens its window."""

    def __init__(self, setup: ScrapeSetup, clock: Clock) -> None:
        self._setup = setup
        self._clock = clock
        self._before: dict[ScrapePage, _Counts] = {}

    async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:
        """Samples of the sites whose pages all answered. Raises `AdapterError` when no page did."""
        pages = self._setup.pages
        results = await asyncio.gather(*(self._read(page, deadline_ms) for page in pages), return_exceptions=True)
        unknown: set[SiteId] = set()
        windows: dict[SiteId, list[tuple[_Counts, _Counts]]] = {}
        errors: list[AdapterError] = []
        for page, result in zip(pages, results, strict=True):
            before = self._before.pop(page, None)
            if isinstance(result, AdapterError):
                errors.append(result)
                unknown.add(page.site)
                continue
            if isinstance(result, BaseException):
                raise result
            self._before[page] = result
            if before is None:
                unknown.add(page.site)
            else:
                windows.setdefault(page.site, []).append((before, result))
        if len(errors) == len(pages):
            raise errors[0]
        return [self._sample(site, pairs) for site, pairs in windows.items() if site not in unknown]

    async def close(self) -> None:
        """Nothing is kept between readings."""

    def _sample(self, site: SiteId, pairs: list[tuple[_Counts, _Counts]]) -> TrafficSample:
        requests = sum(_gained(before.requests, now.requests) for before, now in pairs)
        errors = sum(_gained(before.errors, now.errors) for before, now in pairs)
        seconds = sum(_gained(before.seconds, now.seconds) for before, now in pairs)
        is_timed = bool(self._setup.seconds_counter) and round(requests) > 0
        return TrafficSample(
            service=self._setup.service,
            site=site,
            at_ms=max(now.at_ms for _, now in pairs),
            window_ms=max(now.at_ms - before.at_ms for before, now in pairs),
            requests=round(requests),
            errors=round(min(errors, requests)),
            latency_ms=round(seconds * 1_000 / requests) if is_timed else None,
        )

    async def _read(self, page: ScrapePage, deadline_ms: int) -> _Counts:
        setup = self._setup
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                found = await self._found(await self._fetch(page, deadline_ms))
        except TimeoutError:
            raise Retryable(f"not read within {deadline_ms} ms", **self._about(page)) from None
        except ValueError as error:
            raise Permanent(str(error), **self._about(page)) from None
        try:
            return _Counts(
                at_ms=self._clock.now_ms(),
                requests=self._sum(found, setup.counter),
                errors=self._sum(found, setup.error_counter),
                seconds=self._sum(found, setup.seconds_counter),
            )
        except ValueError as error:
            raise Permanent(str(error), **self._about(page)) from None

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

    def _sum(self, found: Found, name: str) -> float:
        """A counter's series with our labels, added up. Raises ValueError when the page does not know the counter."""
        if not name:
            return 0.0
        series = found.series[name]
        if series is None:
            raise ValueError(f"the page has no metric {name}")
        return sum(entry.value for entry in series if self._counts(entry))

    def _counts(self, series: Series) -> bool:
        return all(series.labels.get(name) == value for name, value in self._setup.labels.items())

    def _about(self, page: ScrapePage) -> dict[str, str]:
        return {"system": f"traffic meter {self._setup.id}", "operation": "read", "target": page.url}


def _gained(before: float, now: float) -> float:
    return now - before if now >= before else now
