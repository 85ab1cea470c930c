"""TLS and HTTPS: handshake, chain, name, end of life, ALPN, kept connections."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, TlsCheck

from .peers import closed_port, closes, keeps_saying, never, says, tcp_peer, web_peer
from .pki import Authority
from .probing import first_result, probing, spec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_good_certificate_passes(authority: Authority, address: str) -> None:
    async with tcp_peer(never, address=address, tls=authority.server("web.example", address)) as port:
        for name in ("web.example", ""):
            tls = TlsCheck(server_name=name, ca_file=authority.ca_file, min_days_left=30)
            result = await first_result(spec(ProbeKind.TLS, port, address=address, tls=tls))
            assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


async def test_a_name_the_certificate_does_not_cover_is_a_bad_certificate(authority: Authority) -> None:
    async with tcp_peer(never, tls=authority.server("web.example")) as port:
        tls = TlsCheck(server_name="other.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.TLS, port, tls=tls))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail
    assert "other.example" in result.detail


async def test_an_unknown_authority_is_a_bad_certificate(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    async with tcp_peer(never, tls=stranger.server("web.example")) as port:
        tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.TLS, port, tls=tls))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE)


async def test_a_certificate_that_ended_is_a_bad_certificate(authority: Authority) -> None:
    async with tcp_peer(never, tls=authority.server("web.example", days=-2)) as port:
        tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.TLS, port, tls=tls))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE)
    assert "expired" in result.detail


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", [ProbeKind.TLS, ProbeKind.HTTPS])
async def test_a_certificate_about_to_end_passes_with_a_warning(authority: Authority, verify: bool, kind: ProbeKind) -> None:
    async with tcp_peer(keeps_saying(OK), tls=authority.server("web.example", days=10)) as port:
        tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file, verify=verify, min_days_left=14)
        async with probing(spec(kind, port, tls=tls, keep_alive=True)) as seen:
            result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE)
    assert "in 10 days" in result.detail


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("kind", [ProbeKind.HTTPS, ProbeKind.JOURNEY])
async def test_the_warning_comes_on_every_run_of_a_visit_too(
    authority: Authority, kind: ProbeKind, keep_alive: bool, verify: bool
) -> None:
    """Redirects and journeys go by another way than plain checks; a kept connection has no handshake to look at."""
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file, verify=verify, min_days_left=14)
    check = HttpCheck(path="/health", follow_redirects=1)
    more = {"steps": (check,)} if kind is ProbeKind.JOURNEY else {"http": check}
    async with (
        web_peer(web.get("/health", health), tls=authority.server("web.example", days=10)) as port,
        probing(spec(kind, port, tls=tls, keep_alive=keep_alive, **more)) as seen,
    ):
        result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail
    assert "in 10 days" in result.detail


async def test_without_verification_any_certificate_passes(authority: Authority) -> None:
    async with tcp_peer(never, tls=authority.server("web.example", days=-2)) as port:
        result = await first_result(spec(ProbeKind.TLS, port, tls=TlsCheck(server_name="x.example", verify=False)))
    assert result.outcome is Outcome.PASS


async def test_alpn_is_agreed_or_a_protocol_fault(authority: Authority) -> None:
    async with tcp_peer(never, tls=authority.server("web.example", alpn=("h2",))) as port:
        tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file, alpn=("h2", "http/1.1"))
        assert (await first_result(spec(ProbeKind.TLS, port, tls=tls))).outcome is Outcome.PASS
    async with tcp_peer(never, tls=authority.server("web.example")) as port:
        result = await first_result(spec(ProbeKind.TLS, port, tls=tls))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL)


async def test_a_peer_without_tls_is_a_protocol_fault() -> None:
    async with tcp_peer(says(b"220 mail.example ready\r\n" * 3)) as port:
        result = await first_result(spec(ProbeKind.TLS, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail


async def test_a_handshake_cut_off_is_a_reset() -> None:
    async with tcp_peer(closes) as port:
        result = await first_result(spec(ProbeKind.TLS, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.RESET), result.detail


async def test_a_handshake_that_hangs_times_out() -> None:
    async with tcp_peer(never) as port:
        result = await first_result(spec(ProbeKind.TLS, port, timeout_ms=300))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT)


async def test_a_closed_port_is_refused() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.TLS, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)


async def test_an_authority_file_that_is_not_there_is_our_fault() -> None:
    result = await first_result(spec(ProbeKind.TLS, 443, tls=TlsCheck(ca_file="/nonexistent/ca.pem")))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
    assert "ca.pem" in result.detail


async def test_send_and_expect_inside_tls(authority: Authority) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    async with tcp_peer(keeps_saying(b"+PONG\r\n"), tls=authority.server("web.example")) as port:
        one = spec(ProbeKind.TLS, port, tls=tls, send=b"PING\r\n", expect=b"+PONG", keep_alive=True)
        async with probing(one) as seen:
            await seen.until(lambda _: True, times=4)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}


async def health(_request: web.Request) -> web.Response:
    return web.Response(text="all is well " * 4_000)


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("redirects", [0, 1])
async def test_https_passes_with_a_body_of_many_records(authority: Authority, keep_alive: bool, redirects: int) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    check = HttpCheck(path="/health", body_match="well $", follow_redirects=redirects)
    async with (
        web_peer(web.get("/health", health), tls=authority.server("web.example")) as port,
        probing(spec(ProbeKind.HTTPS, port, tls=tls, http=check, keep_alive=keep_alive)) as seen,
    ):
        result = await seen.until(lambda _: True, times=4)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


@pytest.mark.parametrize("redirects", [0, 1])
async def test_https_with_a_wrong_name_is_a_bad_certificate(authority: Authority, redirects: int) -> None:
    tls = TlsCheck(server_name="other.example", ca_file=authority.ca_file)
    check = HttpCheck(path="/health", follow_redirects=redirects)
    async with web_peer(web.get("/health", health), tls=authority.server("web.example")) as port:
        result = await first_result(spec(ProbeKind.HTTPS, port, tls=tls, http=check))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail


async def test_https_status_is_judged(authority: Authority) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    async with web_peer(web.get("/health", health), tls=authority.server("web.example")) as port:
        result = await first_result(spec(ProbeKind.HTTPS, port, tls=tls, http=HttpCheck(path="/gone")))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)


async def test_a_kept_connection_shakes_hands_anew_now_and_then(authority: Authority) -> None:
    handshakes = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal handshakes
        handshakes += 1
        await keeps_saying(OK)(reader, writer)

    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    async with tcp_peer(count, tls=authority.server("web.example")) as port:
        one = spec(ProbeKind.HTTPS, port, tls=tls, keep_alive=True, interval_ms=50)
        async with probing(one, limits=ProberLimits(renew_after=4)) as seen:
            await seen.until(lambda _: True, times=12)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}
    assert 3 <= handshakes <= 6


async def test_a_kept_connection_that_the_server_closed_is_not_a_failure(authority: Authority) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    async with (
        tcp_peer(says(OK), tls=authority.server("web.example")) as port,
        probing(spec(ProbeKind.HTTPS, port, tls=tls, keep_alive=True)) as seen,
    ):
        await seen.until(lambda _: True, times=5)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}
