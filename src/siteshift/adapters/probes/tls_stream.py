"""The same conversations inside TLS, with the records in memory: the socket stays ours, OpenSSL never sees it.

A handshake costs 1.3-2.5 ms of CPU, a probe on a kept connection 0.06 ms: HTTPS is probed on kept connections, renewed
now and then (`ProberLimits.renew_after`) so that a new certificate is seen.
"""

from __future__ import annotations

import datetime
import ssl
from errno import ECONNRESET, EPROTO

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.certificate import TlsClient, verdict_of_tls, verdict_on
from siteshift.adapters.probes.poller import BROKEN
from siteshift.adapters.probes.slot import Slot, failed
from siteshift.adapters.probes.stream import READ_BYTES, Phase, StreamCarrier
from siteshift.adapters.probes.talk import Talk
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeKind, TlsCheck, bare_name


class TooManyRecords(OSError):
    """The peer sent more in one run than any handshake and answer need."""


class TlsCarrier(StreamCarrier):
    """A `StreamCarrier` with TLS between. Raises OSError or ssl.SSLError for a bad CA file."""

    __slots__ = ("_alpn", "_check", "_client", "_incoming", "_left_bytes", "_outgoing", "_tls", "_unflushed")

    _drained_by_short_read = False

    def __init__(self, slot: Slot, bench: Workbench, address: SocketAddress, talk: Talk) -> None:
        super().__init__(slot, bench, address, talk)
        spec = slot.spec
        self._check = spec.tls or TlsCheck()
        self._alpn = self._check.alpn if spec.kind is ProbeKind.TLS else ("http/1.1",)
        self._client = TlsClient(self._check, self._alpn)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._unflushed = b""
        self._left_bytes = 0

    def start(self) -> None:
        self._left_bytes = self._bench.limits.tls_bytes
        super().start()

    def _reconnect(self) -> None:
        if unfit := self._client.unfit():
            self._settle(unfit)
        else:
            super()._reconnect()

    def _on_connected(self) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unflushed = b""
        spec = self.slot.spec
        name = bare_name(self._check.server_name or spec.http.host or spec.address)
        self._tls = self._client.context().wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._line = self
        self._phase = Phase.SHAKING
        self._shake()

    def _on_shaking(self) -> None:
        """An edge is told once: take all that is there (a long chain of certificates is more than one read)."""
        try:
            for _ in range(self._turn_reads):
                self._fill()
            self._come_back()
        except BlockingIOError:
            pass
        except OSError as problem:
            self._broken(problem)
            return
        self._shake()

    def _shake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush_or_break()
            return
        except ssl.SSLEOFError:
            self._settle(failed(Fault.RESET, "closed during the TLS handshake"))
            return
        except ssl.SSLError as problem:
            self._flush_or_break()  # the alert, so that the server knows why
            if self._phase is Phase.SHAKING:
                self._settle(verdict_of_tls(problem))
            return
        if not self._flush_or_break():
            return
        chosen = self._tls.selected_alpn_protocol()
        if self._check.alpn and chosen not in self._check.alpn:
            self._settle(failed(Fault.PROTOCOL, f"the server chose ALPN {chosen}"))
            return
        now = datetime.datetime.now(datetime.UTC)
        self._passed = verdict_on(self._tls.getpeercert(binary_form=True), self._check, now)
        self._begin()
        if self._phase is Phase.AWAITING:
            self._receive(0)

    def _fill(self) -> None:
        """Move what the socket has into the incoming records.

        Raises BlockingIOError when there is nothing, `TooManyRecords` when there was too much in this run.
        """
        assert self._sock is not None
        data = self._sock.recv(READ_BYTES)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            most = self._bench.limits.tls_bytes
            raise TooManyRecords(EPROTO, f"more than {most} bytes of TLS records")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        """Send outgoing records; what the socket does not take now goes with the next call."""
        assert self._sock is not None
        self._unflushed += self._outgoing.read()
        while self._unflushed:
            try:
                sent = self._sock.send(self._unflushed)
            except BlockingIOError:
                return
            self._unflushed = self._unflushed[sent:]

    def _flush_or_break(self) -> bool:
        try:
            self._flush()
        except OSError as problem:
            self._broken(problem)
            return False
        return True

    def _push(self) -> None:
        if self._unflushed and self._flush_or_break() and self._unflushed:
            return
        super()._push()

    def send(self, data: bytes, /) -> int:
        """As a `stream.Line`."""
        assert self._tls is not None
        try:
            sent = self._tls.write(data)
        except ssl.SSLError as problem:
            raise ConnectionResetError(ECONNRESET, f"TLS: {problem.reason}") from None
        self._flush()
        return sent

    def recv(self, size: int, /) -> bytes:
        """As a `stream.Line`."""
        assert self._tls is not None
        for _ in range(self._turn_reads):
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as problem:
                if "ALERT" in (problem.reason or ""):
                    raise  # with TLS 1.3 a server looks at our certificate after the handshake, and says so here
                # A broken record: the bytes before it were judged already, what is left cannot be.
                return b""
        self._come_back()  # so many records and not a byte in them: tickets, new keys
        raise BlockingIOError

    def _on_idle(self, events: int) -> None:
        """A TLS 1.3 server sends session tickets when it likes: those are no reason to hang up."""
        if events & BROKEN:
            self._hang_up()
            return
        try:
            self.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            pass
        self._hang_up()

    def _broken(self, problem: OSError) -> None:
        if isinstance(problem, TooManyRecords):
            self._settle(failed(Fault.PROTOCOL, str(problem.strerror)))
        elif isinstance(problem, ssl.SSLError) and not self._may_try_again:
            self._settle(verdict_of_tls(problem))
        else:
            super()._broken(problem)

    def _hang_up(self) -> None:
        self._tls = None
        super()._hang_up()
