"""HTTP on raw sockets: what passes, what fails, and as what."""

from __future__ import annotations

import asyncio
import re

import pytest
from aiohttp import web

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind

from .peers import closed_port, closes, keeps_saying, never, resets, says, tcp_peer, web_peer
from .probing import first_result, probing, spec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def health(_request: web.Request) -> web.Response:
    return web.Response(text="all is well", headers={"X-Role": "primary"})


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_healthy_server_passes_over_both_families(keep_alive: bool, address: str) -> None:
    async with web_peer(web.get("/health", health), address=address) as port:
        one = spec(ProbeKind.HTTP, port, address=address, keep_alive=keep_alive, http=HttpCheck(path="/health"))
        async with probing(one) as seen:
            result = await seen.until(lambda result: result.outcome is Outcome.PASS, times=3)
    assert result.fault is Fault.NONE
    assert result.latency_us > 0
    assert result.started_ms <= result.at_ms
    assert {result.outcome for result in seen.results} == {Outcome.PASS}


PASSES = [
    HttpCheck(path="/health", statuses=((200, 299),)),
    HttpCheck(path="/missing", statuses=((404, 404), (410, 410))),
    HttpCheck(path="/health", body_match="all is w.ll"),
    HttpCheck(path="/health", body_not_match="error|fatal"),
    HttpCheck(path="/health", header_match=(("x-role", "^primary$"),)),
    HttpCheck(path="/moved", statuses=((302, 302),), header_match=(("location", "/health"),)),
    HttpCheck(path="/moved", follow_redirects=1, body_match="all is well"),
    HttpCheck(path="/twice", follow_redirects=2, body_match="all is well"),
    HttpCheck(path="/mirror", method="POST", body=b"ping", host="web.example", headers=(("X-Key", "k"),),
              body_match="^POST web.example k ping$"),
    HttpCheck(path="/mirror", method="HEAD"),
    HttpCheck(path="/chunks", body_match="^one two three$"),
]  # fmt: skip

FAILS = [
    (HttpCheck(path="/missing"), Fault.BAD_STATUS),
    (HttpCheck(path="/health", body_match="degraded"), Fault.BAD_CONTENT),
    (HttpCheck(path="/health", body_not_match="well"), Fault.BAD_CONTENT),
    (HttpCheck(path="/health", header_match=(("x-role", "replica"),)), Fault.BAD_CONTENT),
    (HttpCheck(path="/health", header_match=(("x-absent", ""),)), Fault.BAD_CONTENT),
    (HttpCheck(path="/moved"), Fault.BAD_STATUS),
    (HttpCheck(path="/twice", follow_redirects=1), Fault.BAD_STATUS),
    (HttpCheck(path="/away", follow_redirects=1), Fault.PROTOCOL),
]


async def mirror(request: web.Request) -> web.Response:
    body = await request.text()
    return web.Response(text=f"{request.method} {request.headers['Host']} {request.headers.get('X-Key')} {body}")


async def chunks(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    for word in (b"one ", b"two ", b"three"):
        await answer.write(word)
    await answer.write_eof()
    return answer


def redirect(where: str) -> web.Response:
    return web.Response(status=302, headers={"Location": where})


async def moved(_request: web.Request) -> web.Response:
    return redirect("/health")


async def twice(_request: web.Request) -> web.Response:
    return redirect("/moved")


async def away(_request: web.Request) -> web.Response:
    return redirect("http://127.0.0.9/health")


ROUTES = [
    web.get("/health", health),
    web.get("/moved", moved),
    web.get("/twice", twice),
    web.get("/away", away),
    web.get("/chunks", chunks),
    web.route("*", "/mirror", mirror),
]


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("check", PASSES, ids=lambda check: f"{check.method}-{check.path}")
async def test_a_check_that_holds_passes(check: HttpCheck, keep_alive: bool) -> None:
    async with (
        web_peer(*ROUTES) as port,
        probing(spec(ProbeKind.HTTP, port, http=check, keep_alive=keep_alive)) as seen,
    ):
        result = await seen.until(lambda _: True, times=2)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize(("check", "fault"), FAILS)
async def test_a_check_that_does_not_hold_fails_with_its_fault(check: HttpCheck, fault: Fault, keep_alive: bool) -> None:
    async with web_peer(*ROUTES) as port:
        result = await first_result(spec(ProbeKind.HTTP, port, http=check, keep_alive=keep_alive))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail
    assert result.detail


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (resets, Fault.RESET),
        (closes, Fault.RESET),
        (never, Fault.TIMEOUT),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), Fault.PROTOCOL),
        (says(b"HTTP/1.1 200 OK\r\nContent-"), Fault.PROTOCOL),
        (says(b"HTTP/1.1 abc OK\r\n\r\n"), Fault.PROTOCOL),
        (says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), Fault.BAD_STATUS),
    ],
)
async def test_a_broken_peer_fails_with_its_fault(answer: object, fault: Fault) -> None:
    async with tcp_peer(answer) as port:  # type: ignore[arg-type]
        result = await first_result(spec(ProbeKind.HTTP, port, timeout_ms=1_000))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail


async def test_a_closed_port_is_refused_at_once() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.HTTP, port, timeout_ms=10_000))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)
    assert result.latency_us < 10_000_000


async def test_an_answer_in_pieces_is_put_together() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            for at in range(len(OK)):
                writer.write(OK[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0)

    async with tcp_peer(in_pieces) as port:
        check = HttpCheck(body_match="^hello$")
        result = await first_result(spec(ProbeKind.HTTP, port, http=check, keep_alive=True))
    assert result.outcome is Outcome.PASS, result.detail


async def test_a_kept_connection_is_used_again() -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await keeps_saying(OK)(reader, writer)

    async with tcp_peer(count) as port, probing(spec(ProbeKind.HTTP, port, keep_alive=True)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS, times=5)
    assert connections <= 2  # it may have been its turn to be renewed


@pytest.mark.parametrize("how", ["between the runs", "on the next request", "with a reset on the next request"])
async def test_a_kept_connection_that_the_server_gave_up_is_not_a_failure(how: str) -> None:
    connections = 0

    async def once_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(4096)
        writer.write(OK)
        await writer.drain()
        if how != "between the runs":
            await reader.read(4096)
        if "reset" in how:
            writer.transport.abort()
        else:
            writer.close()

    async with tcp_peer(once_each) as port, probing(spec(ProbeKind.HTTP, port, keep_alive=True)) as seen:
        await seen.until(lambda _: True, times=6)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}
    assert connections >= 6


async def test_a_server_that_only_fails_on_fresh_connections_fails() -> None:
    async with tcp_peer(closes) as port, probing(spec(ProbeKind.HTTP, port, keep_alive=True)) as seen:
        result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.RESET)


async def test_a_slow_pass_is_a_pass_that_says_slow() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with tcp_peer(slowly) as port:
        result = await first_result(spec(ProbeKind.HTTP, port, slo_latency_ms=20))
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.SLOW)
    assert result.latency_us >= 50_000


async def test_a_request_larger_than_the_socket_takes_at_once_is_sent_whole() -> None:
    body = b"x" * 3_000_000

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head)
        assert found
        await reader.readexactly(int(found[1]))
        writer.write(OK)

    async with tcp_peer(count) as port:
        check = HttpCheck(method="POST", body=body)
        result = await first_result(spec(ProbeKind.HTTP, port, http=check, timeout_ms=10_000))
    assert result.outcome is Outcome.PASS, result.detail
