"""Whatever a page of counters, a hook or a webhook's receiver answers, it is that source's error, in bounds and in time."""

from __future__ import annotations

import asyncio
import functools
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import pytest
from yarl import URL

from siteshift.adapters import http_exchange
from siteshift.adapters.http_exchange import Cause, NoAnswer, Question, encoded, exchange
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.adapters.probes.http_reply import HttpBounds, ReplyReader
from siteshift.adapters.scrape.exposition import series_of
from siteshift.adapters.scrape.traffic import ScrapePage, ScrapeSetup, ScrapeTrafficMeter
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.core.model.notice import AlertSeverity, Notice
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId, ServiceId, SiteId
from siteshift.errors import AdapterError

DEADLINE_MS = 20_000
SHORT_MS = 400
BOUNDS = HttpBounds(body_bytes=1_000_000)
OK = b"HTTP/1.1 200 OK\r\n"
MEMBER = Member(
    id=MemberId("web/gasan/g1"),
    service=ServiceId("web"),
    site=SiteId("gasan"),
    name="g1",
    address="127.0.0.1",
    port=80,
    capacity_rps=10,
)


def sized(body: bytes, *headers: bytes) -> list[bytes]:
    head = b"".join(header + b"\r\n" for header in headers)
    return [OK + head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body]


@functools.cache
def bomb() -> bytes:
    """A hundred megabytes in half a one."""
    return gzip.compress(b"\0" * 100_000_000, compresslevel=1)


def answers() -> dict[str, Callable[[], Iterator[bytes] | list[bytes]]]:
    """Name → the pieces of what the other side sends; endless ones are endless."""
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    return {
        "nothing": list,
        "no http": lambda: [b"220 mail.example.test ESMTP\r\n"],
        "bomb": lambda: sized(bomb(), b"Content-Encoding: gzip"),
        "packed nonsense": lambda: sized(b"no gzip", b"Content-Encoding: gzip"),
        "half a pack": lambda: sized(gzip.compress(b"requests_total 1\n")[:-9], b"Content-Encoding: gzip"),
        "unknown packing": lambda: sized(b"x", b"Content-Encoding: br"),
        "abc": lambda: sized(b"requests_total abc\n"),
        "infinite": lambda: sized(b"requests_total +Inf\n"),
        "underscore": lambda: sized(b"requests_total 1_0\n"),
        "huge": lambda: sized(b"requests_total 1e308\nrequests_total 1e308\n"),
        "deep": lambda: sized(b"[" * 4_000),
        "long line": lambda: sized(b"requests_total{" + b'a="b",' * 100_000 + b"} 1\n"),
        "redirect": lambda: [b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"],
        "cut short": lambda: [OK + b"Content-Length: 1000\r\n\r\nrequests_total 1\n"],
        "two lengths": lambda: [OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
        "minus six": lambda: [chunked + b"-6\r\nready\r\n0\r\n\r\n"],
        "tiny chunks": lambda: _endless(chunked, b"1\r\nx\r\n" * 500),
        "chunk size": lambda: _endless(chunked, b"0" * 4_000),
        "endless body": lambda: _endless(OK + b"\r\n", b"#" * 10_000 + b"\n"),
        "endless head": lambda: _endless(OK, b"X-More: " + b"x" * 1_000 + b"\r\n"),
        "interim": lambda: _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    }


def _endless(first: bytes, more: bytes) -> Iterator[bytes]:
    yield first
    yield from repeat(more)


@asynccontextmanager
async def serving(pieces: Callable[[], Any], *, pause_s: float = 0.0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends this whatever it is asked; its URL, and the first lines of what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


def meter_at(url: str) -> ScrapeTrafficMeter:
    setup = ScrapeSetup(
        id="pages",
        service=ServiceId("web"),
        pages=(ScrapePage(site=SiteId("gasan"), url=f"{url}/metrics"),),
        counter="requests_total",
    )
    return ScrapeTrafficMeter(setup, ManualClock())


async def scrape(url: str, deadline_ms: int) -> object:
    """Two readings: only then is there a figure."""
    meter = meter_at(url)
    await meter.sample(deadline_ms=deadline_ms)
    return await meter.sample(deadline_ms=deadline_ms)


async def ask_phase(url: str, deadline_ms: int) -> object:
    hook = HttpHook(id=DriverId("hook"), activate_url=url, retire_url=url, phase_url=f"{url}/phase")
    return await HttpHookStandby(hook).phase(MEMBER, deadline_ms=deadline_ms)


async def post(url: str, deadline_ms: int) -> object:
    notifier = WebhookNotifier(url, node="c1")
    return await notifier.notify(Notice(severity=AlertSeverity.INFO, code="X", text="x"), at_ms=1, deadline_ms=deadline_ms)


HEAD_IS_FINE = {
    name for name in answers() if name not in {"nothing", "no http", "redirect", "two lengths", "endless head", "interim"}
}
"""A webhook's receiver has taken the message when it says 200, whatever it says after that."""


@pytest.mark.parametrize("name", sorted(answers()))
@pytest.mark.parametrize("source", [scrape, ask_phase, post])
async def test_what_is_odd_is_the_error_of_that_source(source: Callable[[str, int], Awaitable[object]], name: str) -> None:
    async with serving(answers()[name]) as (url, asked), asyncio.timeout(60):
        if source is post and name in HEAD_IS_FINE:
            assert await source(url, DEADLINE_MS) is None
        else:
            with pytest.raises(AdapterError) as caught:
                await source(url, DEADLINE_MS)
            assert len(str(caught.value)) < 1_000
    assert {line.split()[1] for line in asked} <= {b"/metrics", b"/phase", b"/"}, "redirects are not followed"


@pytest.mark.parametrize("source", [scrape, ask_phase, post])
async def test_a_drip_is_over_at_the_deadline(source: Callable[[str, int], Awaitable[object]]) -> None:
    async with serving(lambda: _endless(OK[:-2], b"\r\nX: y"), pause_s=0.01) as (url, _):
        began = time.monotonic()
        with pytest.raises(AdapterError, match=f"within {SHORT_MS} ms"):
            await source(url, SHORT_MS)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(("body_bytes", "is_bounded"), [(1_000_000, True), (10**9, False)])
async def test_a_bomb_costs_no_more_memory_than_the_bound(body_bytes: int, is_bounded: bool) -> None:
    bounds = HttpBounds(body_bytes=body_bytes)
    async with serving(answers()["bomb"]) as (url, _):
        tracemalloc.start()
        try:
            _, content = await exchange(Question(url=URL(url)), deadline_ms=60_000, bounds=bounds)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (len(content) <= 1_000_000) is is_bounded
    assert (peak < 20_000_000) is is_bounded, peak


@pytest.mark.parametrize(("read_bytes", "is_bounded"), [(8_192, True), (10**8, False)])
async def test_a_turn_of_the_loop_reads_a_piece_and_no_more(
    monkeypatch: pytest.MonkeyPatch, read_bytes: int, is_bounded: bool
) -> None:
    fed: list[int] = [0]
    turns = 0

    class Watching(ReplyReader):
        def feed(self, data: bytes) -> Any:
            fed.append(len(data))
            return super().feed(data)

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(http_exchange, "READ_BYTES", read_bytes)
    monkeypatch.setattr(http_exchange, "ReplyReader", Watching)
    async with serving(answers()["endless body"]) as (url, _):
        counting = asyncio.create_task(count())
        await exchange(Question(url=URL(url)), deadline_ms=DEADLINE_MS, bounds=BOUNDS)
        counting.cancel()
    assert (max(fed) <= 8_192) is is_bounded
    assert turns >= len(fed) - 1, "others have a turn after each piece"


async def test_a_page_is_read_in_slices_with_turns_for_others() -> None:
    page = b'requests_total{path="/"} 1\n' * 20_000
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    found = meter_at("http://127.0.0.1:9")
    counting = asyncio.create_task(count())
    await found._found(page.decode())
    counting.cancel()
    assert turns >= len(page) // 8_192


def test_labels_are_read_in_one_pass() -> None:
    """Ten thousand of them on one line took as many copies of it."""
    line = "m{" + ",".join(f'l{n}="x"' for n in range(1_500)) + "} 1"
    (one,) = series_of(line, "m") or ()
    assert len(one.labels) == 1_500


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://127.0.0.1/", {}),
        ("/only/a/path", {}),
        ("http://127.0.0.1/", {"X-Token": "a\r\nX-Other: b"}),
        ("http://127.0.0.1/", {"X Token": "a"}),
        ("http://127.0.0.1/", {"X-Token": "토큰"}),
        (f"http://{'x' * 70}.test/", {}),
    ],
)
async def test_what_cannot_be_asked_is_told_before_anything_is_sent(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(NoAnswer) as caught:
        await exchange(Question(url=URL(url), headers=headers), deadline_ms=DEADLINE_MS, bounds=BOUNDS)
    assert caught.value.cause is Cause.ASKED_WRONGLY
    assert not caught.value.was_sent
    assert "Token" not in str(caught.value), "a header may be a secret"


def test_a_request_says_whom_it_asks_and_who_asks() -> None:
    question = Question(url=URL("http://us%20er:pa%3Ass@[::1]:8080/a%2Fb?c=d"), method="POST", body=b"{}")
    head, _, body = encoded(question).partition(b"\r\n\r\n")
    assert body == b"{}"
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a%2Fb?c=d HTTP/1.1"
    assert "Host: [::1]:8080" in lines
    assert "Authorization: Basic dXMgZXI6cGE6c3M=" in lines
    assert "Content-Length: 2" in lines
