"""One generation of the zone, ready to answer: a fast path for what was asked before, a careful one for the rest.

A steering is answered by building a new `ServedZone` and swapping it in, so weights live on the very next query and no
query ever sees half of two generations. Answers to questions about steered names are kept pre-encoded, twice. By the
whole query without its id, for names in lower case: the reply is the id and one piece. By the query's *shape*, for names
in mixed case and for EDNS options: lower case up to the end of the name (lengths and header fields never look like
capitals in a query that got into the table, so lowering them cannot make a strange query pass for a known one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.adapters.dns.embedded_query import (
    AA,
    CD,
    CLASS_ANY,
    CLASS_IN,
    EDNS_PAYLOAD,
    HEADER_BYTES,
    QR,
    RD,
    TC,
    Edns,
    Kind,
    Query,
    Rcode,
    read_query,
    refuse_bytes,
)
from siteshift.adapters.dns.embedded_records import (
    OWNER_IS_QUESTION,
    FixedNodes,
    FixedSet,
    SteeredName,
    owner_wire,
)
from siteshift.adapters.dns.embedded_slots import FIXED, SLOTS, STEP, Walk

SHAPES_MAX = 64
"""Ways of asking for one name that are kept pre-encoded (type, flags, payload size): a stranger cannot fill memory."""
CHAIN_MAX = 8
"""CNAMEs followed within the zone."""
STREAM_BYTES_MAX = 65_535
DS = 43

Section = tuple[int, bytes]
"""Number of records, and their wire form."""
Packed = tuple[bytes, bytes]
"""A reply but for id and question: the ten header bytes after the id, and what follows the question."""
Replies = tuple[Walk, tuple[Packed, ...]]
"""All replies to one way of asking, and the walk that picks among them."""
EMPTY: Section = (0, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The contents of a reply before size limits."""

    rcode: Rcode = Rcode.NOERROR
    flags: int = 0
    answer: Section = EMPTY
    authority: Section = EMPTY
    additional: Section = EMPTY


class ServedZone:
    """Answers queries from fixed records and steered names. Owned by one event loop; nothing here waits."""

    def __init__(
        self,
        *,
        origin: bytes,
        fixed: FixedNodes,
        soa: FixedSet,
        negative_ttl_s: int,
        steered: Mapping[bytes, SteeredName],
    ) -> None:
        self._origin = origin
        self._fixed = fixed
        self._steered = steered
        self._soa = FixedSet(kind=soa.kind, ttl_s=min(soa.ttl_s, negative_ttl_s), rdatas=soa.rdatas)
        self._cuts = frozenset(name for name, sets in fixed.items() if Kind.NS in sets and name != origin)
        self._whole: dict[bytes, tuple[Walk, tuple[bytes, ...]]] = {}
        self._known: dict[bytes, Replies] = {}
        self._shapes: dict[bytes, int] = {}
        self.internal_errors = 0

    def respond(self, data: bytes) -> bytes | None:
        """The reply to one datagram; None for silence. Never raises."""
        known = self._whole.get(data[2:])
        if known is None:
            return self._respond_otherwise(data)
        walk, replies = known
        at = walk.at = (walk.at + STEP) % SLOTS  # `Walk.step`, written out: a call is a hundredth of a query
        variant = walk.table[at]
        walk.counts[variant] += 1
        return data[:2] + replies[variant]

    def respond_stream(self, data: bytes) -> bytes | None:
        """The reply to one message of a TCP stream: never truncated. Never raises."""
        try:
            query = read_query(data)
            if not isinstance(query, Query):
                return query
            return _message(data, query, _pack(self._draft(query), query, STREAM_BYTES_MAX))
        except Exception:
            self.internal_errors += 1
            return refuse_bytes(data, Rcode.SERVFAIL)

    def _respond_otherwise(self, data: bytes) -> bytes | None:
        """By shape, and if that is unknown too, from the beginning. A bug in there must not stop the server."""
        end = data.find(0, HEADER_BYTES)
        known = self._known.get(data[2:end].lower() + data[end:])
        if known is not None:
            walk, packed = known
            head, tail = packed[walk.step()]
            return data[:2] + head + data[HEADER_BYTES : end + 5] + tail
        try:
            return self._respond_slowly(data)
        except Exception:
            self.internal_errors += 1
            return refuse_bytes(data, Rcode.SERVFAIL)

    def _respond_slowly(self, data: bytes) -> bytes | None:
        query = read_query(data)
        if not isinstance(query, Query):
            return query
        if query.shape is not None:
            known = self._known.get(query.shape) or self._learn(query, query.shape)
            if known is not None:
                walk, packed = known
                return _message(data, query, packed[walk.step()])
        return _message(data, query, _pack(self._draft(query), query, query.payload))

    def _learn(self, query: Query, shape: bytes) -> Replies | None:
        """Keep the replies to this way of asking for a steered name pre-encoded; None: it is not worth it."""
        steered = self._steered.get(query.name)
        shapes = self._shapes.get(query.name, 0)
        if steered is None or query.qclass != CLASS_IN or query.qtype >= Kind.TSIG or shapes >= SHAPES_MAX:
            return None
        self._shapes[query.name] = shapes + 1
        known = self._known[shape] = self._replies(query, steered)
        walk, packed = known
        question = query.name + query.question[len(query.name) :]
        self._whole[shape] = walk, tuple(head + question + tail for head, tail in packed)
        return known

    def _replies(self, query: Query, steered: SteeredName) -> Replies:
        chosen = None if query.edns and query.edns.version else steered.sets.get(query.qtype)
        if chosen is None or self._cut_above(query.name) is not None:
            return Walk(FIXED, 1, 0), (_pack(self._draft(query), query, query.payload),)
        drafts = (
            Draft(flags=AA, answer=(len(variant.tails), variant.wire(OWNER_IS_QUESTION))) for variant in chosen.variants
        )
        return chosen.walk, tuple(_pack(draft, query, query.payload) for draft in drafts)

    def _draft(self, query: Query) -> Draft:
        if query.edns is not None and query.edns.version > 0:
            return Draft(rcode=Rcode.BADVERS)
        if query.qclass not in (CLASS_IN, CLASS_ANY) or not self._holds(query.name):
            return Draft(rcode=Rcode.REFUSED)
        if query.qtype in (Kind.AXFR, Kind.IXFR):
            return Draft(rcode=Rcode.REFUSED)
        if query.qtype in (Kind.MAILA, Kind.MAILB, Kind.OPT, Kind.TSIG, 0):
            return Draft(rcode=Rcode.NOTIMP)
        return self._answer(query)

    def _answer(self, query: Query) -> Draft:
        """Follow the name through CNAMEs to data, a delegation, or nothing."""
        name = query.name
        owner = OWNER_IS_QUESTION
        count, wire = EMPTY
        for _ in range(CHAIN_MAX):
            cut = self._cut_above(name)
            if cut is not None and not (cut == name and query.qtype == DS):
                return self._referral(query, cut, (count, wire))
            node = self._node_for(name)
            if node is None:
                return self._negative(query, Rcode.NXDOMAIN, (count, wire))
            found, additional = self._data_at(node, owner, query)
            if found[0]:
                return Draft(flags=AA, answer=(count + found[0], wire + found[1]), additional=additional)
            alias = self._fixed[node].get(Kind.CNAME)
            if alias is None:
                return self._negative(query, Rcode.NOERROR, (count, wire))
            count, wire = count + 1, wire + alias.wire(owner)
            name = alias.rdatas[0].lower()
            if not self._holds(name):
                break
            owner = owner_wire(query.name, name, self._origin)
        return Draft(flags=AA, answer=(count, wire))

    def _data_at(self, node: bytes, owner: bytes, query: Query) -> tuple[Section, Section]:
        """The answer a node has for this type, and the glue that goes with it."""
        sets = self._fixed[node]
        steered = self._steered.get(node)
        wanted = query.qtype
        fixed = [sets[kind] for kind in sets if wanted in (kind, Kind.ANY)]
        count = sum(len(one.rdatas) for one in fixed)
        wire = b"".join(one.wire(owner) for one in fixed)
        for family, chosen in (steered.sets if steered else {}).items():
            if wanted in (family, Kind.ANY):
                variant = chosen.variants[chosen.walk.step()]
                count, wire = count + len(variant.tails), wire + variant.wire(owner)
        servers = [one for one in fixed if one.kind == Kind.NS]
        return (count, wire), self._glue(query, servers[0]) if servers else EMPTY

    def _referral(self, query: Query, cut: bytes, answer: Section) -> Draft:
        servers = self._fixed[cut][Kind.NS]
        owner = owner_wire(query.name, cut, self._origin)
        flags = AA if answer[0] else 0
        authority = (len(servers.rdatas), servers.wire(owner))
        return Draft(flags=flags, answer=answer, authority=authority, additional=self._glue(query, servers))

    def _negative(self, query: Query, rcode: Rcode, answer: Section) -> Draft:
        """NXDOMAIN or no data: the SOA tells how long to remember it (RFC 2308 §3)."""
        soa = self._soa.wire(owner_wire(query.name, self._origin, self._origin))
        return Draft(rcode=rcode, flags=AA, answer=answer, authority=(1, soa))

    def _glue(self, query: Query, servers: FixedSet) -> Section:
        """Addresses of those name servers that live in this zone."""
        count, wire = EMPTY
        for target in servers.rdatas:
            name = target.lower()
            for kind in (Kind.A, Kind.AAAA):
                found = self._fixed.get(name, {}).get(kind)
                if found is not None:
                    count += len(found.rdatas)
                    wire += found.wire(owner_wire(query.name, name, self._origin))
        return count, wire

    def _holds(self, name: bytes) -> bool:
        return any(name[at:] == self._origin for at in _label_starts(name))

    def _node_for(self, name: bytes) -> bytes | None:
        """The node that answers for a name: itself, or the wildcard below its closest encloser (RFC 4592)."""
        if name in self._fixed:
            return name
        for at in _label_starts(name):
            if name[at:] in self._fixed:
                wild = b"\x01*" + name[at:]
                return wild if wild in self._fixed else None
        return None

    def _cut_above(self, name: bytes) -> bytes | None:
        """The highest delegation at or above a name."""
        if not self._cuts:
            return None
        above = [name[at:] for at in _label_starts(name) if name[at:] in self._cuts]
        return above[-1] if above else None


@dataclass(slots=True)
class Desk:
    """What the sockets answer from. Mutable: a new generation is put into service by replacing ``zone``."""

    zone: ServedZone


def _label_starts(name: bytes) -> list[int]:
    """Where the labels of a wire name start, the root included."""
    starts = [0]
    while name[starts[-1]]:
        starts.append(starts[-1] + 1 + name[starts[-1]])
    return starts


def _pack(draft: Draft, query: Query, limit: int) -> Packed:
    """Lay a draft into at most ``limit`` bytes: what does not fit goes, the additional part first (RFC 2181 §9)."""
    opt = _opt(query.edns, draft.rcode) if query.edns else b""
    room = limit - HEADER_BYTES - len(query.question) - len(opt)
    answer, authority, additional = draft.answer, draft.authority, draft.additional
    if len(answer[1]) + len(authority[1]) + len(additional[1]) > room:
        additional = EMPTY
    flags = QR | draft.flags | (query.flags & (RD | CD)) | (draft.rcode & 0xF)
    if len(answer[1]) + len(authority[1]) > room:
        flags |= TC
        answer = authority = EMPTY
    numbers = (flags, 1, answer[0], authority[0], additional[0] + (1 if opt else 0))
    head = b"".join(number.to_bytes(2, "big") for number in numbers)
    return head, answer[1] + authority[1] + additional[1] + opt


def _opt(edns: Edns, rcode: Rcode) -> bytes:
    """Our OPT record: version 0, our payload size, the DO bit as asked (RFC 6891 §6.1, RFC 3225 §3)."""
    ttl = (rcode >> 4) << 24 | (edns.flags & 0x8000)
    return b"\x00\x00\x29" + EDNS_PAYLOAD.to_bytes(2, "big") + ttl.to_bytes(4, "big") + b"\x00\x00"


def _message(data: bytes, query: Query, packed: Packed) -> bytes:
    return data[:2] + packed[0] + query.question + packed[1]
