"""What is asked in DNS and what a good answer is: the query is encoded once by dnspython; an answer seen before is
recognised by its bytes. No I/O; `dns_carrier` carries it.

A pass is NOERROR with at least one record of the type asked, and, where ``dns_expect`` names values, none that is
not named: a steered name may answer with any part of its addresses, but never with a foreign one. With
``dns_any_answer`` every answer passes: one that is truncated, refused or empty has come all the way too.
"""

from __future__ import annotations

from enum import Enum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from siteshift.adapters.probes.datagram_carrier import with_fresh_id
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec

KNOWN_ANSWERS = 32
"""Good answers remembered per probe; parsing one costs 0.2 ms, comparing its bytes nothing."""


MAX_ANSWER_BYTES = 4_096
"""We offer 1,232 bytes over UDP; servers that do not listen send what was usual before. Over TCP as many: 250 addresses.

Each KiB costs 2 ms and more to parse; 64 KiB would hold the loop for 150.
"""

_HEADER_BYTES = 12
_RESPONSE, _TRUNCATED = 0x80, 0x02
_NO_EDNS = frozenset({1, 4})
"""FORMERR and NOTIMP: what servers that do not know EDNS answer (RFC 6891 section 7)."""


class Again(Enum):
    """An answer that is none yet, and how to ask for one."""

    OVER_TCP = "truncated: the answer is longer, or the server limits rates (RFC 2181 section 9)"
    WITHOUT_EDNS = "the server does not know EDNS"


MAX_FOREIGN = 4
"""Addresses named in a verdict."""


class DnsExchange:
    """One query. Raises ValueError for a name or type that cannot be asked."""

    __slots__ = ("_any_answer", "_good", "_id", "_is_plain", "_name", "_query", "_type", "_wanted")

    def __init__(self, spec: ProbeSpec) -> None:
        try:
            self._name = dns.name.from_text(spec.dns_name)
            self._type = dns.rdatatype.from_text(spec.dns_type)
            self._wanted = {_rdata(self._type, value) for value in spec.dns_expect}
            self._query = dns.message.make_query(self._name, self._type, use_edns=0, payload=1232).to_wire()
        except dns.exception.DNSException as problem:
            raise ValueError(f"cannot ask {spec.dns_name} {spec.dns_type}: {problem}") from None
        self._any_answer = spec.dns_any_answer
        self._is_plain = False
        self._id = 0
        self._good: set[bytes] = set()

    def request(self) -> bytes:
        self._id, query = with_fresh_id(self._query)
        return query

    def ask_plainly(self) -> None:
        """From now on without EDNS."""
        self._is_plain = True
        self._query = dns.message.make_query(self._name, self._type, use_edns=False).to_wire()

    def again(self, data: bytes) -> Again | None:
        """Whether and how to ask once more because of this datagram."""
        if self._any_answer or len(data) < _HEADER_BYTES or not self._is_ours(data) or not data[2] & _RESPONSE:
            return None
        if data[2] & _TRUNCATED:
            return Again.OVER_TCP
        return Again.WITHOUT_EDNS if data[3] & 0x0F in _NO_EDNS and not self._is_plain else None

    def weigh(self, data: bytes) -> Verdict | None:
        if len(data) < _HEADER_BYTES:
            return failed(Fault.PROTOCOL, f"{len(data)} bytes are no DNS message")
        if not self._is_ours(data):
            return None
        if self._any_answer and data[2] & _RESPONSE:
            return PASSED
        if len(data) > MAX_ANSWER_BYTES:
            return failed(Fault.PROTOCOL, f"an answer of {len(data)} bytes, and at most {MAX_ANSWER_BYTES} are read")
        rest = data[2:]
        if rest in self._good:
            return PASSED
        verdict = self._judge(data)
        if verdict is PASSED:
            if len(self._good) >= KNOWN_ANSWERS:
                self._good.clear()
            self._good.add(rest)
        return verdict

    def _is_ours(self, data: bytes) -> bool:
        return int.from_bytes(data[:2], "big") == self._id

    def _judge(self, data: bytes) -> Verdict:
        try:
            answer = dns.message.from_wire(data, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError) as problem:
            return failed(Fault.PROTOCOL, f"not a DNS answer: {problem}")
        if not answer.flags & dns.flags.QR or not answer.question or answer.question[0].name != self._name:
            return failed(Fault.PROTOCOL, "the answer is to another question")
        if answer.rcode() != dns.rcode.NOERROR:
            return failed(Fault.BAD_STATUS, f"rcode {dns.rcode.to_text(answer.rcode())}")
        found = {rdata for rrset in answer.answer if rrset.rdtype == self._type for rdata in rrset}
        if not found:
            return failed(Fault.BAD_CONTENT, "the answer has no record of this type")
        if self._wanted and (foreign := found - self._wanted):
            return failed(Fault.BAD_CONTENT, f"answered {', '.join(sorted(map(str, foreign))[:MAX_FOREIGN])[:200]}")
        return PASSED


def _rdata(kind: dns.rdatatype.RdataType, value: str) -> dns.rdata.Rdata:
    """A value as in a zone file of the root: a name is whole whether or not a dot ends it, as it is on the wire."""
    return dns.rdata.from_text(dns.rdataclass.IN, kind, value, origin=dns.name.root, relativize=False)
