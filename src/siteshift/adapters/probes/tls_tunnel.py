"""TLS of our own under a client that has none to our liking: a local socket whose other end is the target.

The gRPC library always verifies, and does not show the certificate it saw. So where any certificate shall pass, or its
last day matters, gRPC speaks plain text to this socket and the records are made here. What happened at the far side is
kept for the verdict: the client itself only sees that the near side was closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import ssl

from siteshift.adapters.probes.certificate import context_for, verdict_of_tls, verdict_on
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec

PIECE_BYTES = 16_384

MAX_RUN_BYTES = 256 * 1024
"""What the target may send in one run; an answer is a few hundred bytes, with all that HTTP/2 says beside it."""

_numbers = itertools.count()


class TlsTunnel:
    """One local socket, in the abstract name space: it leaves no file behind. ``name`` is without the leading NUL.

    ``trouble`` is what the far side of the last connection said, None when all went well; ``certificate`` is the
    verdict on the certificate of the last handshake.
    """

    def __init__(self, spec: ProbeSpec, alpn: tuple[str, ...]) -> None:
        self.name = f"siteshift-tls-{os.getpid()}-{next(_numbers)}"
        self.trouble: Verdict | None = None
        self.certificate: Verdict = PASSED
        self._spec = spec
        self._context = context_for(spec.tls, alpn)
        self._left_bytes = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin a run: listen, with nothing received yet. Nothing is sent to the target before somebody connects."""
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
        spec = self._spec
        self.trouble = None
        try:
            name = spec.tls.server_name or spec.address
            far_reader, far_writer = await asyncio.open_connection(
                spec.address, spec.port, ssl=self._context, server_hostname=name
            )
        except ssl.SSLError as problem:
            self.trouble = verdict_of_tls(problem)
            return
        except ConnectionResetError:
            self.trouble = failed(Fault.RESET, "closed during the TLS handshake")
            return
        except OSError as problem:
            self.trouble = verdict_of(problem.errno, Reported.LATER)
            return
        spoken = far_writer.get_extra_info("ssl_object")
        self.certificate = verdict_on(spoken.getpeercert(binary_form=True), spec.tls, datetime.datetime.now(datetime.UTC))
        try:
            await asyncio.gather(_pump(reader, far_writer), self._pump_back(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async def _pump_back(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As `_pump`, for so many bytes a run."""
        with contextlib.suppress(OSError, ssl.SSLError):
            while piece := await far_reader.read(PIECE_BYTES):
                self._left_bytes -= len(piece)
                if self._left_bytes < 0:
                    self.trouble = failed(Fault.PROTOCOL, f"more than {MAX_RUN_BYTES} bytes in one run")
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Move bytes until either side ends; the other direction ends with it."""
    with contextlib.suppress(OSError, ssl.SSLError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
