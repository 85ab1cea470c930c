"""Reading a DNS query off the wire (RFC 1035 §4, RFC 6891). Nothing a stranger sends can raise here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class Rcode(IntEnum):
    """Response codes the embedded server uses."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Kind(IntEnum):
    """Record types the embedded server treats by name."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    TXT = 16
    AAAA = 28
    OPT = 41
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255


CLASS_IN = 1
CLASS_ANY = 255
HEADER_BYTES = 12
NAME_BYTES_MAX = 255
EDNS_PAYLOAD = 1_232
"""Fits an IPv6 packet at the least MTU (DNS flag day 2020): neither fragments nor large amplification."""
PLAIN_PAYLOAD = 512
OPT_FIXED_BYTES = 11
"""An OPT record without options: root name, type, payload, flags, length."""

QR = 0x8000
OPCODE = 0x7800
AA = 0x0400
TC = 0x0200
RD = 0x0100
CD = 0x0010

_HEADER = struct.Struct("!HHHHHH")
_TYPE_CLASS = struct.Struct("!HH")
_FIXED = struct.Struct("!HHIH")


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a query. ``flags`` holds the DO bit (0x8000)."""

    payload: int
    version: int
    flags: int


@dataclass(frozen=True, slots=True)
class Query:
    """One well-formed query. ``question`` is as it came (case kept); ``name`` is its name in wire form, lower case.

    ``shape`` is the query without id and EDNS options, in lower case up to the end of the name: queries of one shape
    have one reply. None when more follows the question than an OPT record.
    """

    flags: int
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: Edns | None
    shape: bytes | None

    @property
    def payload(self) -> int:
        """Bytes an answer by UDP may have."""
        if self.edns is None:
            return PLAIN_PAYLOAD
        return min(max(self.edns.payload, PLAIN_PAYLOAD), EDNS_PAYLOAD)


def refuse_bytes(data: bytes, rcode: Rcode) -> bytes:
    """A reply of a bare header: for what cannot be read or is not done here."""
    flags = (data[2] << 8 | data[3]) & (OPCODE | RD | CD)
    return data[:2] + struct.pack("!HHHHH", QR | flags | rcode, 0, 0, 0, 0)


def read_query(data: bytes) -> Query | bytes | None:
    """The query, or the reply to something that is none, or None when silence is right.

    Silence: shorter than a header, or itself a response (answering those makes two servers talk for ever).
    """
    if len(data) < HEADER_BYTES:
        return None
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        return None
    if flags & OPCODE:
        return refuse_bytes(data, Rcode.NOTIMP)
    end = _end_of_name(data, HEADER_BYTES)
    if questions != 1 or end is None or end + 4 > len(data):
        return refuse_bytes(data, Rcode.FORMERR)
    qtype, qclass = _TYPE_CLASS.unpack_from(data, end)
    name = data[HEADER_BYTES:end].lower()
    question = data[HEADER_BYTES : end + 4]
    if answers == authorities == additionals == 0:
        shape = data[2 : end - 1].lower() + data[end - 1 :] if end + 4 == len(data) else None
        return Query(flags, question, name, qtype, qclass, None, shape)
    rest = _read_rest(data, end + 4, answers + authorities, additionals)
    if rest is None:
        return refuse_bytes(data, Rcode.FORMERR)
    edns, usual = rest
    opt = data[end + 4 : end + 4 + OPT_FIXED_BYTES - 2] + b"\x00\x00"
    shape = data[2 : end - 1].lower() + data[end - 1 : end + 4] + opt if usual else None
    return Query(flags, question, name, qtype, qclass, edns, shape)


def _end_of_name(data: bytes, at: int) -> int | None:
    """Where an uncompressed name ends; None when it is broken. A question has nothing before it to point to."""
    start = at
    size = len(data)
    while at < size:
        length = data[at]
        at += 1
        if length == 0:
            return at if at - start <= NAME_BYTES_MAX else None
        if length > 63:
            return None
        at += length
    return None


def _skip_name(data: bytes, at: int) -> int | None:
    """Where a name that may end in a pointer ends."""
    size = len(data)
    while at < size:
        length = data[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length > 63:
            return None
        at += 1 + length
    return None


def _read_rest(data: bytes, at: int, skipped: int, additionals: int) -> tuple[Edns | None, bool] | None:
    """What follows the question: the OPT record if any, and whether that is all. None: malformed."""
    edns: Edns | None = None
    for index in range(skipped + additionals):
        owner = at
        end = _skip_name(data, at)
        if end is None or end + 10 > len(data):
            return None
        rtype, rclass, ttl, length = _FIXED.unpack_from(data, end)
        at = end + 10 + length
        if at > len(data):
            return None
        if rtype != Kind.OPT:
            continue
        if index < skipped or edns is not None or end != owner + 1:
            return None
        edns = Edns(payload=rclass, version=ttl >> 16 & 0xFF, flags=ttl & 0xFFFF)
    return edns, edns is not None and skipped == 0 and additionals == 1 and at == len(data)
