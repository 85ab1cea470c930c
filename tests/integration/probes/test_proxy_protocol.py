"""PROXY headers, taken by a real HAProxy that accepts nothing else, whichever way a check goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer
from servers.ports import free_port
from siteshift.adapters.probes.proxy_header import proxy_header
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, ProxyProtocol, TlsCheck

from .peers import tcp_peer
from .pki import Authority
from .probing import DEADLINE_S, first_result, probing, spec
from .test_grpc import grpc_peer

CHECK = HttpCheck(body_match="^well$")
PLAIN_WAYS: dict[str, Callable[[int], ProbeSpec]] = {
    "http": lambda port: spec(ProbeKind.HTTP, port, http=CHECK),
    "http, kept": lambda port: spec(ProbeKind.HTTP, port, http=CHECK, keep_alive=True),
    "http, redirects": lambda port: spec(ProbeKind.HTTP, port, http=HttpCheck(follow_redirects=1)),
    "journey": lambda port: spec(ProbeKind.JOURNEY, port, steps=(CHECK, CHECK)),
    "tcp": lambda port: spec(ProbeKind.TCP, port, send=b"GET / HTTP/1.0\r\n\r\n", expect=b"200 OK"),
}
ANY = TlsCheck(verify=False)
TLS_WAYS: dict[str, Callable[[int], ProbeSpec]] = {
    "https": lambda port: spec(ProbeKind.HTTPS, port, http=CHECK, tls=ANY),
    "https, kept": lambda port: spec(ProbeKind.HTTPS, port, http=CHECK, tls=ANY, keep_alive=True),
    "journey": lambda port: spec(ProbeKind.JOURNEY, port, steps=(CHECK,), tls=ANY),
    "tls": lambda port: spec(ProbeKind.TLS, port, tls=ANY),
}


def with_header(one: ProbeSpec, version: ProxyProtocol | None) -> ProbeSpec:
    return ProbeSpec(**{**{name: getattr(one, name) for name in one.__slots__}, "proxy_protocol": version})


@contextlib.asynccontextmanager
async def behind(folder: Path, bind: str, *, more: str = "", header: bool = True) -> AsyncIterator[int]:
    """A HAProxy whose port takes connections with a PROXY header only (or only without one)."""
    port = free_port()
    server = HaproxyServer(folder)
    await server.start(
        f"""
backend web
  http-request return status 200 content-type text/plain string well
frontend proxied
  bind 127.0.0.1:{port} {"accept-proxy" if header else ""} {bind}
  default_backend web
{more}
"""
    )
    try:
        yield port
    finally:
        await server.stop()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pki")
    (folder / "both.pem").write_bytes(b"".join(Authority(folder).leaf("web.example")))
    return str(folder / "both.pem")


@pytest.mark.parametrize("version", [*ProxyProtocol, None])
@pytest.mark.parametrize("way", PLAIN_WAYS)
async def test_haproxy_takes_the_header_and_no_check_without_it(tmp_path: Path, way: str, version: ProxyProtocol | None) -> None:
    async with behind(tmp_path, "") as port, probing(with_header(PLAIN_WAYS[way](port), version)) as seen:
        result = await seen.until(lambda _: True, times=3 if version else 1)
    assert result.outcome is (Outcome.PASS if version else Outcome.FAIL), result.detail


@pytest.mark.parametrize("version", [*ProxyProtocol, None])
@pytest.mark.parametrize("way", TLS_WAYS)
async def test_with_tls_it_comes_before_the_handshake(
    tmp_path: Path, pem: str, way: str, version: ProxyProtocol | None
) -> None:
    async with behind(tmp_path, f"ssl crt {pem}") as port, probing(with_header(TLS_WAYS[way](port), version)) as seen:
        result = await seen.until(lambda _: True, times=3 if version else 1)
    assert result.outcome is (Outcome.PASS if version else Outcome.FAIL), result.detail


@pytest.mark.parametrize("version", ProxyProtocol)
@pytest.mark.parametrize("tls", [None, ANY])
async def test_a_grpc_health_check_says_it_too(tmp_path: Path, pem: str, version: ProxyProtocol, tls: TlsCheck | None) -> None:
    async with grpc_peer() as inner:
        more = f"  use_backend grpc\nbackend grpc\n  server s 127.0.0.1:{inner} proto h2\n"
        bind = f"ssl crt {pem} alpn h2" if tls else "proto h2"
        async with behind(tmp_path, bind, more=more) as port:
            one = spec(ProbeKind.GRPC, port, grpc_service="shop", tls=tls, proxy_protocol=version)
            result = await first_result(one)
            assert result.outcome is Outcome.PASS, result.detail
            result = await first_result(with_header(one, None))
            assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.RESET), result.detail


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("version", ProxyProtocol)
async def test_the_header_is_that_of_the_protocol(address: str, version: ProxyProtocol) -> None:
    came = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(20)
        came.set_result((data + await reader.read(200), writer.get_extra_info("peername")[1]))
        writer.write(b"ok")

    async with tcp_peer(answer, address=address) as port:
        one = spec(ProbeKind.TCP, port, address=address, send=b"hello", expect=b"ok", proxy_protocol=version, interval_ms=60_000)
        result = await first_result(one)
        data, our_port = await came
    assert result.outcome is Outcome.PASS, result.detail
    family = "TCP6" if ":" in address else "TCP4"
    header = {
        ProxyProtocol.V1: f"PROXY {family} {address} {address} {our_port} {port}\r\n".encode(),
        ProxyProtocol.V2: b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
    assert data.startswith(header[version])
    assert data.removeprefix(header[version]) in (b"hello", b"")


class _Ends:
    """A connection between these."""

    def __init__(self, ours: tuple[str, int], theirs: tuple[str, int]) -> None:
        self._ours, self._theirs = ours, theirs

    def getsockname(self) -> tuple[str, int]:
        return self._ours

    def getpeername(self) -> tuple[str, int]:
        return self._theirs


def test_a_scope_is_no_part_of_the_address() -> None:
    ends = _Ends(("fe80::1%eth0", 40_000), ("fe80::2%eth0", 80))
    assert proxy_header(ProxyProtocol.V1, ends) == b"PROXY TCP6 fe80::1 fe80::2 40000 80\r\n"


@pytest.mark.parametrize("version", ProxyProtocol)
async def test_it_is_what_haproxys_own_checks_send(tmp_path: Path, version: ProxyProtocol) -> None:
    came: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait((await reader.read(200), writer.get_extra_info("peername")[1]))

    word = "send-proxy" if version is ProxyProtocol.V1 else "send-proxy-v2"
    async with tcp_peer(answer) as port:
        server = HaproxyServer(tmp_path)
        try:
            await server.start(f"backend web\n  server s 127.0.0.1:{port} {word} check check-send-proxy inter 100\n")
            async with asyncio.timeout(DEADLINE_S):
                theirs, their_port = await came.get()
        finally:
            await server.stop()
    assert proxy_header(version, _Ends(("127.0.0.1", their_port), ("127.0.0.1", port))) == theirs
