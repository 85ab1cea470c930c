"""The standard gRPC health check (grpc.health.v1), its two one-field messages encoded by hand.

Where TLS is spoken or a PROXY header is sent, connections are ours and not the library's (`tunnel`).
"""

from __future__ import annotations

import grpc
import grpc.aio

from siteshift.adapters.probes.slot import PASSED, Verdict, failed, lost
from siteshift.adapters.probes.tunnel import Tunnel
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec

MAX_MESSAGE_BYTES = 4_096
"""A status is two bytes; the library's own limit is 4 MiB."""

METHOD = "/grpc.health.v1.Health/Check"

_SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

_CONNECT_FAULTS = (
    ("connection refused", Fault.REFUSED),
    ("connection reset", Fault.RESET),
    ("socket closed", Fault.RESET),
    ("no route to host", Fault.UNREACHABLE),
    ("network is unreachable", Fault.UNREACHABLE),
)
"""What stands in the text of UNAVAILABLE, in order; gRPC gives no other sign of the cause."""


def encode_service(service: str) -> bytes:
    """A HealthCheckRequest: field 1, the name (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""
    name = service.encode()
    if not name:
        return b""
    size = len(name)
    varint = bytearray()
    while size > 0x7F:
        varint.append(size & 0x7F | 0x80)
        size >>= 7
    varint.append(size)
    return b"\x0a" + bytes(varint) + name


def decode_status(message: bytes) -> int:
    """The status of a HealthCheckResponse: field 1; absent means 0, UNKNOWN. Other fields are passed over.

    Raises ValueError for what is no message (https://protobuf.dev/programming-guides/encoding/).
    """
    status = at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                value, at = _varint(message, at)
                status = value if key >> 3 == 1 else status
            case 2:
                size, at = _varint(message, at)
                at += size
            case 1 | 5 as kind:
                at += 8 if kind == 1 else 4
            case _:
                raise ValueError(f"no message: {message[:40]!r}")
    if at > len(message):
        raise ValueError(f"a message that is cut off: {message[:40]!r}")
    return status


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of at most ten bytes, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError(f"a number without end: {message[:40]!r}")


class GrpcHealthVisit:
    """Asks one service's health; the channel is kept with ``keep_alive`` as long as the runs succeed."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        self._request = encode_service(spec.grpc_service)
        host = f"[{spec.address}]" if ":" in spec.address else spec.address
        self._where = f"{host}:{spec.port}"
        self._authority = spec.grpc_authority or (spec.tls.server_name if spec.tls is not None else "") or self._where
        self._tunnel = Tunnel(spec, ("h2",)) if spec.speaks_tls or spec.proxy_protocol is not None else None
        self._channel: grpc.aio.Channel | None = None

    async def once(self) -> Verdict:
        if self._tunnel is not None:
            if unfit := self._tunnel.unfit():
                return unfit
            await self._tunnel.open()
        channel, self._channel = self._channel or self._open(), None
        keep = False
        try:
            call = channel.unary_unary(METHOD)
            answer = await call(self._request, timeout=self._spec.timeout_ms / 1_000)
            keep = self._spec.keep_alive
            return self._judge(bytes(answer))
        except grpc.aio.AioRpcError as problem:
            return (self._tunnel.trouble if self._tunnel is not None else None) or verdict_of_rpc(problem)
        finally:
            # A channel that failed backs off before it connects again; the next run must see the target, not that.
            if keep and self._channel is None:
                self._channel = channel
            else:
                await channel.close()

    def _open(self) -> grpc.aio.Channel:
        options: list[tuple[str, object]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.default_authority", self._authority),
            # The library sees no TLS; some servers (Kestrel) refuse a request whose scheme is not that of its connection.
            ("grpc.http2_scheme", "https" if self._spec.speaks_tls else "http"),
        ]
        where = self._where if self._tunnel is None else f"unix-abstract:{self._tunnel.name}"
        return grpc.aio.insecure_channel(where, options=options)

    def _judge(self, answer: bytes) -> Verdict:
        try:
            status = decode_status(answer)
        except ValueError as problem:
            return failed(Fault.PROTOCOL, str(problem))
        if status == _SERVING:
            return self._tunnel.certificate if self._tunnel is not None else PASSED
        return failed(Fault.BAD_STATUS, f"health {_STATUS_NAMES.get(status, status)}")

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()
        if self._tunnel is not None:
            await self._tunnel.close()


def verdict_of_rpc(problem: grpc.aio.AioRpcError) -> Verdict:
    """What a failed call says about the target."""
    code, text = problem.code(), (problem.details() or "").splitlines()[0:1]
    detail = f"{code.name}: {text[0][:160] if text else ''}"
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return failed(Fault.TIMEOUT, detail)
        case grpc.StatusCode.UNAVAILABLE:
            lower = detail.lower()
            for sign, fault in _CONNECT_FAULTS:
                if sign in lower:
                    return failed(fault, detail)
            return failed(Fault.RESET, detail)
        case grpc.StatusCode.CANCELLED:
            return lost(detail)
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            return failed(Fault.PROTOCOL, detail)
        case _:
            return failed(Fault.BAD_STATUS, detail)
