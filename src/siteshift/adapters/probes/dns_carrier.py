"""DNS over UDP, and once more over TCP or without EDNS where the first answer asks for it; all within one run's time."""

from __future__ import annotations

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.datagram_carrier import DatagramCarrier
from siteshift.adapters.probes.dns_exchange import MAX_ANSWER_BYTES, Again, DnsExchange
from siteshift.adapters.probes.slot import Slot, Verdict, failed
from siteshift.adapters.probes.stream import StreamCarrier
from siteshift.adapters.probes.talk import Weighed
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.codes import Fault

_NETWORK = frozenset({Fault.REFUSED, Fault.RESET, Fault.UNREACHABLE})


class DnsCarrier(DatagramCarrier):
    """A `DatagramCarrier` that asks again."""

    __slots__ = ("_dns", "_tcp", "_where")

    def __init__(self, slot: Slot, bench: Workbench, address: SocketAddress, exchange: DnsExchange) -> None:
        super().__init__(slot, bench, address, exchange)
        self._where = address
        self._dns = exchange
        self._tcp: StreamCarrier | None = None

    def accept(self, data: bytes) -> bool:
        match self._dns.again(data):
            case None:
                return super().accept(data)
            case Again.WITHOUT_EDNS:
                self.abort()
                self._dns.ask_plainly()
                self.start()
            case Again.OVER_TCP:
                self.abort()
                self._tcp = _TcpCarrier(self.slot, self._bench, self._where, _TcpTalk(self._dns))
                self._tcp.start()
        return True

    def abort(self) -> None:
        super().abort()
        if self._tcp is not None:
            self._tcp.abort()
            self._tcp = None


class _TcpCarrier(StreamCarrier):
    """One question over a connection of its own."""

    __slots__ = ()

    def _settle(self, verdict: Verdict) -> None:
        """A server that answers over UDP is there, and refuses nobody: what is missing is an answer that can be judged."""
        outcome, fault, detail = verdict
        if fault in _NETWORK:
            outcome, fault, detail = failed(Fault.BAD_CONTENT, f"the answer is truncated, and over TCP: {detail}")
        super()._settle((outcome, fault, detail))


class _TcpTalk:
    """A message behind its length (RFC 7766 section 8)."""

    __slots__ = ("_answer", "_exchange", "known", "listens", "request")

    def __init__(self, exchange: DnsExchange) -> None:
        query = exchange.request()
        self.request = len(query).to_bytes(2, "big") + query
        self.listens = True
        self.known: dict[bytes, Weighed] = {}
        self._exchange = exchange
        self._answer = bytearray()

    def begin(self, data: bytes) -> Weighed | None:
        return self.go_on(data)

    def go_on(self, data: bytes) -> Weighed | None:
        self._answer += data
        if len(self._answer) < 2:
            return None
        size = int.from_bytes(self._answer[:2], "big")
        if size > MAX_ANSWER_BYTES:
            return self._ended(f"an answer of {size} bytes over TCP, and at most {MAX_ANSWER_BYTES} are read")
        if len(self._answer) < 2 + size:
            return None
        message = bytes(self._answer[2 : 2 + size])
        if self._exchange.again(message) is Again.OVER_TCP:
            return self._ended("an answer over TCP that is truncated")
        verdict = self._exchange.weigh(message)
        return self._ended("the answer is to another question") if verdict is None else Weighed(verdict, reusable=False)

    def end(self) -> Verdict:
        return failed(Fault.PROTOCOL, "closed in the middle of an answer over TCP")

    @staticmethod
    def _ended(detail: str) -> Weighed:
        return Weighed(failed(Fault.PROTOCOL, detail), reusable=False)
