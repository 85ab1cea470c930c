"""A connection of our own under a client that makes none to our liking: a local socket whose other end is the target.

The gRPC library always verifies, does not show the certificate it saw, tells a bad one from other trouble only in prose that
differs from version to version, and says no PROXY header. So wherever there is one or TLS is spoken, gRPC speaks plain text to
this socket, and header and records are made here. What happened at the far side is kept for the verdict: the client itself
only sees that the near side was closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import ssl

from siteshift.adapters.probes.address import parse_address
from siteshift.adapters.probes.certificate import TlsClient, verdict_of_tls, verdict_on
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http_visit import open_stream
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec, TlsCheck, bare_name

PIECE_BYTES = 16_384

MAX_RUN_BYTES = 256 * 1024
"""What the target may send in one run; an answer is a few hundred bytes, with all that HTTP/2 says beside it."""

_numbers = itertools.count()


class Tunnel:
    """One local socket, in the abstract name space: it leaves no file behind. ``name`` is without the leading NUL.

    ``trouble`` is what the far side of the last connection said, None when all went well; ``certificate`` is the
    verdict on the certificate of the last handshake.
    """

    def __init__(self, spec: ProbeSpec, alpn: tuple[str, ...]) -> None:
        self.name = f"siteshift-tls-{os.getpid()}-{next(_numbers)}"
        self.trouble: Verdict | None = None
        self.certificate: Verdict = PASSED
        self._address = parse_address(spec.address, spec.port)
        self._proxy_protocol = spec.proxy_protocol
        self._check = spec.tls or TlsCheck()
        self._server_name = bare_name(self._check.server_name or spec.grpc_authority) or spec.address
        self._client = TlsClient(self._check, alpn) if spec.speaks_tls else None
        self._left_bytes = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def unfit(self) -> Verdict | None:
        """A verdict where our own certificate is not valid now."""
        return self._client.unfit() if self._client is not None else None

    async def open(self) -> None:
        """Begin a run: listen, with nothing received yet. Nothing is sent to the target before somebody connects."""
        self.trouble = None
        self._left_bytes = MAX_RUN_BYTES
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accepted, f"\0{self.name}")

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.trouble = None
        context = self._client.context() if self._client is not None else None
        try:
            far_reader, far_writer = await open_stream(
                self._address, self._address.where[1], self._proxy_protocol, context, self._server_name
            )
        except ssl.SSLError as problem:
            self.trouble = verdict_of_tls(problem)
            return
        except ConnectionResetError:
            self.trouble = failed(Fault.RESET, "closed during the TLS handshake" if context is not None else "reset")
            return
        except OSError as problem:
            self.trouble = verdict_of(problem.errno, Reported.LATER)
            return
        if context is not None:
            spoken = far_writer.get_extra_info("ssl_object")
            now = datetime.datetime.now(datetime.UTC)
            self.certificate = verdict_on(spoken.getpeercert(binary_form=True), self._check, now)
        try:
            await asyncio.gather(_pump(reader, far_writer), self._pump_back(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async def _pump_back(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As `_pump`, for so many bytes a run. An alert is trouble: with TLS 1.3 it comes after the handshake."""
        try:
            while piece := await far_reader.read(PIECE_BYTES):
                self._left_bytes -= len(piece)
                if self._left_bytes < 0:
                    self.trouble = failed(Fault.PROTOCOL, f"more than {MAX_RUN_BYTES} bytes in one run")
                    break
                writer.write(piece)
                await writer.drain()
        except ssl.SSLError as problem:
            self.trouble = verdict_of_tls(problem)
        except OSError:
            pass  # the near side sees it
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Move bytes until either side ends; the other direction ends with it."""
    with contextlib.suppress(OSError, ssl.SSLError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
