"""TLS as it comes off the wire: long certificate flights, tiny segments, records without end."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from siteshift.adapters.probes.certificate import TlsClient
from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, TlsCheck

from .peers import Answer, keeps_saying, never, tcp_peer
from .pki import Authority
from .probing import first_result, probing, spec

BODY = b"all is well " * 20_000
OK = b"HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: %d\r\n\r\n%s" % (b"x" * 9_000, len(BODY), BODY)
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("flight_bytes", [15_000, 17_000, 33_000, 90_000])
@pytest.mark.parametrize("kind", [ProbeKind.TLS, ProbeKind.HTTPS, ProbeKind.JOURNEY])
@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_certificate_flight_of_any_size_passes(
    authority: Authority, kind: ProbeKind, keep_alive: bool, flight_bytes: int
) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    context = authority.server("web.example", flight_bytes=flight_bytes)
    check = HttpCheck(body_match="well $", header_match=(("x-long", "^x+$"),))
    one = {"http": check, "steps": (check,)} if kind is not ProbeKind.TLS else {}
    async with (
        tcp_peer(never if kind is ProbeKind.TLS else keeps_saying(OK), tls=context) as port,
        probing(
            spec(kind, port, tls=tls, keep_alive=keep_alive, timeout_ms=10_000, **one), limits=ProberLimits(renew_after=2)
        ) as seen,
    ):
        await seen.until(lambda result: result.outcome is not Outcome.LOST, times=4)
    assert {result.outcome for result in seen.results} <= {Outcome.PASS, Outcome.LOST}, seen.results


def in_pieces(port: int, piece_bytes: int) -> Answer:
    """A relay that hands on what the server says in tiny segments."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def forth() -> None:
            while data := await reader.read(65_536):
                far_writer.write(data)

        task = asyncio.create_task(forth())
        try:
            while data := await far_reader.read(65_536):
                for at in range(0, len(data), piece_bytes):
                    writer.write(data[at : at + piece_bytes])
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            far_writer.transport.abort()

    return relay


@pytest.mark.parametrize(("flight_bytes", "piece_bytes"), [(0, 1), (33_000, 100)])
@pytest.mark.parametrize("kind", [ProbeKind.HTTPS, ProbeKind.JOURNEY])
async def test_tiny_segments_pass(authority: Authority, kind: ProbeKind, flight_bytes: int, piece_bytes: int) -> None:
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    context = authority.server("web.example", flight_bytes=flight_bytes)
    check = HttpCheck(body_match="hello")
    async with (
        tcp_peer(keeps_saying(SHORT), tls=context) as port,
        tcp_peer(in_pieces(port, piece_bytes)) as relay_port,
        probing(spec(kind, relay_port, tls=tls, keep_alive=True, timeout_ms=20_000, http=check, steps=(check,))) as seen,
    ):
        await seen.until(lambda result: result.outcome is not Outcome.LOST, times=3)
    assert {result.outcome for result in seen.results} <= {Outcome.PASS, Outcome.LOST}, seen.results


@pytest.mark.parametrize("tls_bytes", [64 * 1024, ProberLimits().tls_bytes])
async def test_records_without_end_are_a_protocol_error(authority: Authority, tls_bytes: int) -> None:
    """Session tickets, as many as a server likes: valid TLS, and never a byte of an answer.

    The second case is the negative control: where the bound is higher than what comes, only the time-out ends it.
    """
    context = authority.server("web.example")
    context.num_tickets = 800
    tls = TlsCheck(server_name="web.example", ca_file=authority.ca_file)
    async with tcp_peer(never, tls=context) as port:
        one = spec(ProbeKind.HTTPS, port, tls=tls, keep_alive=True, timeout_ms=4_000)
        result = await first_result(one, limits=ProberLimits(tls_bytes=tls_bytes))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL if tls_bytes == 64 * 1024 else Fault.TIMEOUT)


def test_a_server_cannot_ask_for_one_handshake_after_another() -> None:
    """TLS 1.2 lets a server ask for a new one at any time; each would cost us a millisecond or two."""
    assert TlsClient(TlsCheck(verify=False), ()).context().options & ssl.OP_NO_RENEGOTIATION


ENDLESS = {
    "pieces of a message": b"\x16\x03\x03\x00\x01\x02",
    "empty handshake records": b"\x16\x03\x03\x00\x00",
    "changes of cipher": b"\x14\x03\x03\x00\x01\x01",
    "warnings": b"\x15\x03\x03\x00\x02\x01\x5a",
    "application data": b"\x17\x03\x03\x00\x01x",
    "a certificate of 16 MB": b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + b"x" * (16 * 1024 - 4),
}


@pytest.mark.parametrize("case", ENDLESS)
@pytest.mark.parametrize("kind", [ProbeKind.TLS, ProbeKind.HTTPS, ProbeKind.JOURNEY])
async def test_a_handshake_without_end_fails(kind: ProbeKind, case: str) -> None:
    records = ENDLESS[case] * (4_000_000 // len(ENDLESS[case]))
    tls = TlsCheck(server_name="web.example", verify=False)
    async with tcp_peer(keeps_saying(records)) as port:
        result = await first_result(spec(kind, port, tls=tls, steps=(HttpCheck(),), timeout_ms=5_000))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
