"""What is said on a byte stream and what a good answer is: HTTP, send/expect, or nothing at all. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

from siteshift.adapters.probes.http1 import NotHttp, Peer, encode_request, host_header, read_reply
from siteshift.adapters.probes.http_check import compiled
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec

MAX_EXPECT_BYTES = 64 * 1024

MAX_KNOWN = 64
MAX_KNOWN_BYTES = 2_048
"""Replies remembered per check, and the longest that is."""


class Weighed(NamedTuple):
    """A verdict, and whether the connection may carry the next run."""

    verdict: Verdict
    reusable: bool


_PASSED_KEEP = Weighed(PASSED, reusable=True)
_PASSED_CLOSE = Weighed(PASSED, reusable=False)


class Talk(Protocol):
    """``request`` is sent once connected; empty: nothing is sent. not ``listens``: being connected is the pass.

    ``known``: what whole replies were weighed as before; look there first, for that costs no call.
    """

    known: dict[bytes, Weighed]
    request: bytes
    listens: bool

    def weigh(self, data: bytes, peer: Peer) -> Weighed | None:
        """Judge all that was received so far; None: not enough yet."""


@lru_cache(maxsize=1024)
def _known_replies(_check: HttpCheck, _keep_alive: bool) -> dict[bytes, Weighed]:
    """Complete replies weighed before, shared by all probes of one check: the same bytes get the same verdict.

    Servers of one kind answer alike within a second (the Date header), so nearly every reply of a healthy pool is
    known; looking one up costs 0.1 µs, reading one 2.5 µs.
    """
    return {}


class HttpTalk:
    """One HTTP exchange."""

    __slots__ = ("_check", "_keep", "_method", "_plain", "known", "listens", "request")

    def __init__(self, spec: ProbeSpec) -> None:
        self.known = _known_replies(spec.http, spec.keep_alive)
        default_port = 443 if spec.kind is ProbeKind.HTTPS else 80
        self._check = compiled(spec.http)
        self._method = spec.http.method
        self._keep = spec.keep_alive
        self.request = encode_request(
            spec.http,
            host=host_header(spec.address, spec.port, default_port),
            keep="keep-alive" if spec.keep_alive else "close",
        )
        self.listens = True
        self._plain = not (self._check.looks_at_body or self._check.looks_at_headers)

    def weigh(self, data: bytes, peer: Peer) -> Weighed | None:
        known = self.known.get(data)
        if known is not None:
            return known
        if not data:
            return Weighed(failed(Fault.RESET, "closed without an answer"), reusable=False)
        weighed = self._weigh(data, peer)
        if weighed is not None and peer is Peer.OPEN and len(data) <= MAX_KNOWN_BYTES:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            self.known[data] = weighed
        return weighed

    def _weigh(self, data: bytes, peer: Peer) -> Weighed | None:
        if not self._keep and self._plain and data.startswith(b"HTTP/1.") and b"\r\n\r\n" in data:
            # The connection is closed anyway: the body is not waited for, as with HAProxy's own check.
            status = data[9:12]
            if status.isdigit() and not status.startswith(b"1"):
                verdict = self._check.of_status(int(status))
                return _PASSED_CLOSE if verdict is PASSED else Weighed(verdict, reusable=False)
        try:
            reply = read_reply(data, method=self._method, peer=peer)
        except NotHttp as problem:
            return Weighed(failed(Fault.PROTOCOL, str(problem)), reusable=False)
        if reply is None:
            return None
        if self._plain:
            verdict = self._check.of_status(reply.status)
        else:
            headers = reply.headers() if self._check.looks_at_headers else []
            verdict = self._check.of_whole(reply.status, headers, reply.body)
        keep = self._keep and reply.reusable
        if verdict is PASSED:
            return _PASSED_KEEP if keep else _PASSED_CLOSE
        return Weighed(verdict, reusable=keep)


class ExpectTalk:
    """Send some bytes (or none), then wait until ``expect`` is in what comes back (or for nothing)."""

    __slots__ = ("_expect", "known", "listens", "request")

    def __init__(self, spec: ProbeSpec) -> None:
        self.request = spec.send
        self._expect = spec.expect
        self.known: dict[bytes, Weighed] = {}
        self.listens = bool(spec.expect)

    def weigh(self, data: bytes, peer: Peer) -> Weighed | None:
        if self._expect in data:
            return _PASSED_KEEP if peer is Peer.OPEN else _PASSED_CLOSE
        if peer is Peer.OPEN and len(data) < MAX_EXPECT_BYTES:
            return None
        if not data:
            return Weighed(failed(Fault.RESET, "closed without an answer"), reusable=False)
        return Weighed(failed(Fault.BAD_CONTENT, f"answer lacks {self._expect[:40]!r}: {data[:40]!r}"), reusable=False)
