"""DNS over UDP: the query is encoded once by dnspython; an answer seen before is recognised by its bytes.

A pass is NOERROR with at least one record of the type asked, and, where ``dns_expect`` names values, none that is
not named: a steered name may answer with any part of its addresses, but never with a foreign one.
"""

from __future__ import annotations

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
"""We offer 1,232 bytes; servers that do not listen send what was usual before. 64 KiB would hold the loop for 50 ms."""

MAX_FOREIGN = 4
"""Addresses named in a verdict."""


class DnsExchange:
    """One query. Raises ValueError for a name or type that cannot be asked."""

    __slots__ = ("_good", "_id", "_name", "_query", "_type", "_wanted")

    def __init__(self, spec: ProbeSpec) -> None:
        try:
            self._name = dns.name.from_text(spec.dns_name)
            self._type = dns.rdatatype.from_text(spec.dns_type)
            self._wanted = {dns.rdata.from_text(dns.rdataclass.IN, self._type, value) for value in spec.dns_expect}
            self._query = dns.message.make_query(self._name, self._type, use_edns=0, payload=1232).to_wire()
        except dns.exception.DNSException as problem:
            raise ValueError(f"cannot ask {spec.dns_name} {spec.dns_type}: {problem}") from None
        self._id = 0
        self._good: set[bytes] = set()

    def request(self) -> bytes:
        self._id, query = with_fresh_id(self._query)
        return query

    def weigh(self, data: bytes) -> Verdict | None:
        if len(data) < 12:
            return failed(Fault.PROTOCOL, f"{len(data)} bytes are no DNS message")
        if int.from_bytes(data[:2], "big") != self._id:
            return None
        if len(data) > MAX_ANSWER_BYTES:
            return failed(Fault.PROTOCOL, f"an answer of {len(data)} bytes, and 1,232 were asked for")
        rest = data[2:]
        if rest in self._good:
            return PASSED
        verdict = self._judge(data)
        if verdict is PASSED:
            if len(self._good) >= KNOWN_ANSWERS:
                self._good.clear()
            self._good.add(rest)
        return verdict

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
