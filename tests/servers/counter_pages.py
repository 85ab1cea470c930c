"""Pages of counters, one for each site, as exporters show them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from siteshift.adapters.scrape.traffic import ScrapePage, ScrapeSetup
from siteshift.core.model.units import ServiceId, SiteId

LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Counted:
    """What one page shows. ``text``, when set, is shown instead."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    text: str = ""
    status: int = 200


@dataclass(slots=True)
class CounterPages:
    """The pages, and the server behind them."""

    shown: dict[str, Counted]
    port: int = 0
    _runner: web.AppRunner | None = field(default=None)

    def count(self, site: SiteId, *, requests: int = 0, errors: int = 0, seconds: float = 0.0) -> None:
        page = self.shown[site]
        page.requests, page.errors, page.seconds = page.requests + requests, page.errors + errors, page.seconds + seconds

    def url(self, site: SiteId) -> str:
        return f"http://{LOOPBACK}:{self.port}/{site}/metrics"

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/{site}/metrics", self._show)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        page = self.shown[request.match_info["site"]]
        return web.Response(text=page.text or _page(page), status=page.status)


def _page(page: Counted) -> str:
    other = 'requests_total{service="mail",code="200"} 1e6\nrequests_total_created 5\n'
    return (
        "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
        f'requests_total{{service="web",code="200",path="a\\"b}} c"}} {page.requests - page.errors} 1700000000000\n'
        f'requests_total{{code="500",service="web"}} {float(page.errors)} # {{trace="x"}} 1.0\n'
        f"{other}# TYPE errors_total counter\n"
        + (f'errors_total{{service="web"}} {page.errors}\n' if page.errors else "")
        + f'request_seconds_sum{{service="web"}} {page.seconds}\n'
    )


def scrape_setup(pages: CounterPages, service: ServiceId) -> ScrapeSetup:
    """Read all of them."""
    return ScrapeSetup(
        id="pages",
        service=service,
        pages=tuple(ScrapePage(site=SiteId(site), url=pages.url(SiteId(site))) for site in pages.shown),
        counter="requests_total",
        error_counter="errors_total",
        seconds_counter="request_seconds_sum",
        labels={"service": "web"},
    )


@asynccontextmanager
async def counter_pages(sites: Sequence[SiteId]) -> AsyncIterator[CounterPages]:
    """The pages of these sites, on a free port of loopback."""
    pages = CounterPages({site: Counted() for site in sites})
    await pages.start()
    try:
        yield pages
    finally:
        await pages.stop()
