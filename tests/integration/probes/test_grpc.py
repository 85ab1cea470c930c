"""The gRPC health protocol, against grpcio's own health service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from servers.haproxy_server import HaproxyServer
from servers.ports import free_port
from siteshift.adapters.probes.grpc_health import decode_status, encode_service
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, TlsCheck

from .peers import closed_port, never, says, tcp_peer
from .pki import Authority
from .probing import first_result, probing, spec

STATUS = health_pb2.HealthCheckResponse.ServingStatus


@contextlib.asynccontextmanager
async def grpc_peer(
    *, address: str = "127.0.0.1", credentials: grpc.ServerCredentials | None = None, implements: bool = True
) -> AsyncIterator[int]:
    """A gRPC server whose ``shop`` serves and whose ``mail`` does not."""
    server = grpc.aio.server()
    if implements:
        servicer = health.aio.HealthServicer()
        await servicer.set("", STATUS.SERVING)
        await servicer.set("shop", STATUS.SERVING)
        await servicer.set("mail", STATUS.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    where = f"[{address}]:0" if ":" in address else f"{address}:0"
    port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.mark.parametrize("service", ["", "shop", "a-long-name" * 20])
def test_the_messages_are_those_of_the_protocol(service: str) -> None:
    assert encode_service(service) == health_pb2.HealthCheckRequest(service=service).SerializeToString()
    for status in STATUS.values():
        assert decode_status(health_pb2.HealthCheckResponse(status=status).SerializeToString()) == status


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("service", ["", "shop"])
async def test_a_serving_service_passes(service: str, keep_alive: bool, address: str) -> None:
    async with grpc_peer(address=address) as port:
        one = spec(ProbeKind.GRPC, port, address=address, grpc_service=service, keep_alive=keep_alive)
        async with probing(one) as seen:
            result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


@pytest.mark.parametrize(("service", "word"), [("mail", "NOT_SERVING"), ("unknown", "NOT_FOUND")])
async def test_a_service_that_does_not_serve_is_a_bad_status(service: str, word: str) -> None:
    async with grpc_peer() as port:
        result = await first_result(spec(ProbeKind.GRPC, port, grpc_service=service))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)
    assert word in result.detail


async def test_a_server_without_the_health_service_is_a_bad_status() -> None:
    async with grpc_peer(implements=False) as port:
        result = await first_result(spec(ProbeKind.GRPC, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)
    assert "UNIMPLEMENTED" in result.detail


async def test_a_closed_port_is_refused_and_seen_to_open() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.GRPC, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED), result.detail


async def test_a_peer_that_hangs_times_out() -> None:
    async with tcp_peer(never) as port:
        result = await first_result(spec(ProbeKind.GRPC, port, timeout_ms=500))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT), result.detail


async def test_a_peer_that_speaks_something_else_fails() -> None:
    async with tcp_peer(says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")) as port:
        result = await first_result(spec(ProbeKind.GRPC, port))
    assert result.outcome is Outcome.FAIL
    assert result.fault in (Fault.RESET, Fault.PROTOCOL), result.detail


async def test_over_tls_the_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.leaf("shop.example")
    credentials = grpc.ssl_server_credentials([(key, cert)])
    async with grpc_peer(credentials=credentials) as port:
        good = TlsCheck(server_name="shop.example", ca_file=authority.ca_file)
        assert (await first_result(spec(ProbeKind.GRPC, port, tls=good))).outcome is Outcome.PASS
        bad = TlsCheck(server_name="other.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.GRPC, port, tls=bad))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("case", ["unknown authority", "another name", "ended"])
async def test_a_certificate_that_is_not_trusted_is_a_bad_certificate(tmp_path: Path, case: str, keep_alive: bool) -> None:
    authority = Authority(tmp_path)
    name = "other.example" if case == "another name" else "shop.example"
    tls = TlsCheck(server_name=name, ca_file="" if case == "unknown authority" else authority.ca_file)
    async with (
        grpc_peer(credentials=credentials_of(authority, days=-2 if case == "ended" else 90)) as port,
        probing(spec(ProbeKind.GRPC, port, tls=tls, keep_alive=keep_alive)) as seen,
    ):
        result = await seen.until(lambda _: True, times=2)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail


AUTHORITIES = [("", "", "127.0.0.1:{port}"), ("shop.example:8443", "", "shop.example:8443"), ("", "tls.example", "tls.example")]


@pytest.mark.parametrize(("authority", "server_name", "sent"), AUTHORITIES)
@pytest.mark.parametrize("over_tls", [False, True])
async def test_the_authority_is_what_a_proxy_chooses_by(
    tmp_path: Path, authority: str, server_name: str, sent: str, over_tls: bool
) -> None:
    """A real HAProxy that lets no other authority through."""
    if server_name and not over_tls:
        sent = "127.0.0.1:{port}"
    cert = tmp_path / "both.pem"
    cert.write_bytes(b"".join(Authority(tmp_path).leaf("shop.example")))
    async with grpc_peer() as inner:
        server = HaproxyServer(tmp_path)
        port = free_port()
        bind = f"ssl crt {cert} alpn h2" if over_tls else "proto h2"
        host = sent.format(port=port)
        await server.start(
            f"""
backend web
frontend calls
  bind 127.0.0.1:{port} {bind}
  http-request deny deny_status 421 unless {{ req.hdr(host) -m str {host} }}
  default_backend grpc
backend grpc
  server s 127.0.0.1:{inner} proto h2
"""
        )
        try:
            tls = TlsCheck(verify=False, server_name=server_name) if over_tls else None
            result = await first_result(spec(ProbeKind.GRPC, port, grpc_authority=authority, tls=tls))
            assert result.outcome is Outcome.PASS, result.detail
            result = await first_result(spec(ProbeKind.GRPC, port, grpc_authority="wrong.example", tls=tls))
            assert result.outcome is Outcome.FAIL
        finally:
            await server.stop()


@pytest.mark.parametrize(("tls", "scheme"), [(None, b"\x86"), (TlsCheck(verify=False), b"\x87")])
async def test_the_scheme_is_that_of_the_connection(tmp_path: Path, tls: TlsCheck | None, scheme: bytes) -> None:
    """Kestrel refuses a request whose scheme is another. On the wire: entries 6 and 7 of the static table (RFC 7541)."""
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\4\0\0\0\0\0")
        while data := await reader.read(4_096):
            heard.extend(data)

    context = Authority(tmp_path).server("shop.example", alpn=("h2",)) if tls else None
    async with tcp_peer(answer, tls=context) as port:
        await first_result(spec(ProbeKind.GRPC, port, tls=tls, grpc_authority="shop.example", timeout_ms=1_000))
    assert b"shop.example\x83" + scheme in heard, "authority, POST, scheme"


def credentials_of(authority: Authority, *, days: int = 90) -> grpc.ServerCredentials:
    cert, key = authority.leaf("shop.example", days=days)
    return grpc.ssl_server_credentials([(key, cert)])


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("days", [90, -2])
async def test_without_verification_any_certificate_passes(tmp_path: Path, days: int, keep_alive: bool) -> None:
    """Of an authority nobody knows, for another name, or ended."""
    async with grpc_peer(credentials=credentials_of(Authority(tmp_path), days=days)) as port:
        check = TlsCheck(server_name="other.example", verify=False)
        one = spec(ProbeKind.GRPC, port, tls=check, grpc_service="shop", keep_alive=keep_alive)
        async with probing(one) as seen:
            result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_certificate_about_to_end_passes_with_a_warning(tmp_path: Path, keep_alive: bool) -> None:
    authority = Authority(tmp_path)
    async with grpc_peer(credentials=credentials_of(authority, days=10)) as port:
        check = TlsCheck(server_name="shop.example", ca_file=authority.ca_file, min_days_left=14)
        async with probing(spec(ProbeKind.GRPC, port, tls=check, keep_alive=keep_alive)) as seen:
            result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail
    assert "in 10 days" in result.detail


async def test_with_days_to_count_the_certificate_is_verified_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with grpc_peer(credentials=credentials_of(authority)) as port:
        for check in (
            TlsCheck(server_name="other.example", ca_file=authority.ca_file, min_days_left=14),
            TlsCheck(server_name="shop.example", min_days_left=14),
        ):
            result = await first_result(spec(ProbeKind.GRPC, port, tls=check))
            assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail


async def test_through_our_own_tls_a_fault_keeps_its_name() -> None:
    unverified = TlsCheck(verify=False)
    with closed_port() as port:
        refused = await first_result(spec(ProbeKind.GRPC, port, tls=unverified))
    async with tcp_peer(never) as port:
        silent = await first_result(spec(ProbeKind.GRPC, port, tls=unverified, timeout_ms=500))
    async with grpc_peer() as port:
        plain = await first_result(spec(ProbeKind.GRPC, port, tls=unverified))
    assert [result.fault for result in (refused, silent, plain)] == [Fault.REFUSED, Fault.TIMEOUT, Fault.PROTOCOL], (
        refused.detail,
        silent.detail,
        plain.detail,
    )


async def test_through_our_own_tls_the_health_is_judged(tmp_path: Path) -> None:
    async with grpc_peer(credentials=credentials_of(Authority(tmp_path))) as port:
        one = spec(ProbeKind.GRPC, port, tls=TlsCheck(verify=False), grpc_service="mail")
        result = await first_result(one)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)


async def test_the_twin_asks_for_a_service_that_cannot_be() -> None:
    async with grpc_peer() as port:
        one = spec(ProbeKind.GRPC, port, grpc_service="shop", twin=HttpCheck(path="never"), interval_ms=20)
        async with probing(one) as seen:
            result = await seen.until(lambda result: result.must_fail)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)


@pytest.mark.parametrize(
    ("message", "status"),
    [(b"", 0), (b"\x08\x01", 1), (b"\x08\x02", 2), (b"\x12\x03abc\x08\x01", 1), (b"\x08\x00\x08\x01", 1), (b"\x08\x81\x00", 1)],
)
def test_fields_we_do_not_know_are_passed_over(message: bytes, status: int) -> None:
    assert decode_status(message) == status


@pytest.mark.parametrize("message", [b"\x08", b"\x08" + b"\x81" * 11, b"\x12\x7fabc", b"\x0f\x01", b"\x09\x01", b"\x08\x01\xff"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"message|number"):
        decode_status(message)


class Says(grpc.GenericRpcHandler):
    """Answers every call with these bytes."""

    def __init__(self, message: bytes) -> None:
        self._message = message

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_request: bytes, _context: object) -> bytes:
            return self._message

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.asynccontextmanager
async def grpc_saying(message: bytes, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Says(message),))
    port = server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_an_answer_that_is_no_message_is_a_protocol_error() -> None:
    async with grpc_saying(b"\x12\x7fabc") as port:
        result = await first_result(spec(ProbeKind.GRPC, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail


LONG = b"\x12\xc0\x9a\x0c" + b"x" * 200_000 + b"\x08\x01"
"""SERVING, after a field of 200,000 bytes that nobody knows."""


async def test_a_message_beyond_its_bound_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with grpc_saying(LONG) as port:
        result = await first_result(spec(ProbeKind.GRPC, port, timeout_ms=10_000))
        assert result.outcome is Outcome.FAIL, result.detail
        monkeypatch.setattr("siteshift.adapters.probes.grpc_health.MAX_MESSAGE_BYTES", 1 << 30)
        result = await first_result(spec(ProbeKind.GRPC, port, timeout_ms=10_000))
        assert result.outcome is Outcome.PASS, result.detail


async def test_so_does_what_comes_through_the_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There the bytes pass through our own loop, whatever the library makes of them."""
    cert, key = Authority(tmp_path).leaf("grpc.example")
    monkeypatch.setattr("siteshift.adapters.probes.grpc_health.MAX_MESSAGE_BYTES", 1 << 30)
    async with grpc_saying(LONG, grpc.ssl_server_credentials([(key, cert)])) as port:
        one = spec(ProbeKind.GRPC, port, tls=TlsCheck(server_name="grpc.example", verify=False), timeout_ms=10_000)
        monkeypatch.setattr("siteshift.adapters.probes.tunnel.MAX_RUN_BYTES", 64 * 1024)
        result = await first_result(one)
        assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
        monkeypatch.setattr("siteshift.adapters.probes.tunnel.MAX_RUN_BYTES", 1 << 40)
        result = await first_result(one)
        assert result.outcome is Outcome.PASS, result.detail
