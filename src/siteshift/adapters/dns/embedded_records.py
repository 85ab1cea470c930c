"""The zone's contents in wire form: fixed RRsets, steered RRsets, and how they are laid into a message."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from siteshift.adapters.dns.embedded_query import HEADER_BYTES
from siteshift.adapters.dns.embedded_slots import SLOTS, VARIANTS_MAX, Walk, slot_table
from siteshift.adapters.dns.targets import AnswerShare, Family, packed
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.core.model.units import ServiceId, SiteId

OWNER_IS_QUESTION = b"\xc0\x0c"
_FIXED = struct.Struct("!HHIH")
TTL_MAX_S = 2**31 - 1
"""RFC 2181 §8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSet:
    """An RRset that is always answered whole."""

    kind: int
    ttl_s: int
    rdatas: tuple[bytes, ...]

    def wire(self, owner: bytes) -> bytes:
        return b"".join(owner + record_tail(self.kind, self.ttl_s, rdata) for rdata in self.rdatas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the answers a steered RRset can give: a site's addresses in one order. ``site`` None: shed."""

    site: SiteId | None
    tails: tuple[bytes, ...]

    def wire(self, owner: bytes) -> bytes:
        return b"".join(owner + tail for tail in self.tails)


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredSet:
    """A steered RRset of one family with its walk (the only thing here that changes, see `Walk`)."""

    variants: tuple[Variant, ...]
    walk: Walk

    def shares_bp(self) -> dict[SiteId, int]:
        """What it delivers: the slots each site has. Counted in the table itself, not remembered from the asking."""
        slots: dict[SiteId, int] = {}
        for index, variant in enumerate(self.variants):
            if variant.site is not None:
                slots[variant.site] = slots.get(variant.site, 0) + self.walk.table.count(index)
        return slots


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredName:
    """A service's steered RRsets by type. All names of the service share this object, and so its walks."""

    service: ServiceId
    line: str
    ttl_s: int
    sets: dict[int, SteeredSet]


def record_tail(kind: int, ttl_s: int, rdata: bytes) -> bytes:
    """A record without its owner."""
    return _FIXED.pack(kind, 1, min(max(ttl_s, 0), TTL_MAX_S), len(rdata)) + rdata


def steered_set(shares: tuple[AnswerShare, ...], family: Family, ttl_s: int, start: int) -> SteeredSet:
    """The pre-encoded answers of one family and the table that picks among them. ``shares`` must not be empty."""
    room = VARIANTS_MAX // len(shares)
    rotations = tuple(min(len(share.addresses), room) for share in shares)
    variants: list[Variant] = []
    for share, turns in zip(shares, rotations, strict=True):
        tails = tuple(record_tail(family, ttl_s, packed(text)) for text in share.addresses)
        variants.extend(Variant(site=share.site, tails=tails[turn:] + tails[:turn]) for turn in range(turns))
    table = slot_table(tuple(share.share_bp for share in shares), rotations)
    return SteeredSet(variants=tuple(variants), walk=Walk(table, len(variants), start % SLOTS))


FixedNodes = dict[bytes, dict[int, FixedSet]]
"""Name in wire form → its RRsets by type. A name without any is an empty non-terminal: it exists, but has no data."""


def fixed_nodes(config: ZoneConfig) -> FixedNodes:
    """The static records of a zone. Raises ValueError for one that cannot be read or does not belong here."""
    found: FixedNodes = {}
    records = [*config.records]
    records += [StaticRecord(name="@", kind="NS", value=ns, ttl_s=config.ns_ttl_s) for ns in config.ns_names]
    for record in records:
        name = config.absolute(record.name)
        if not config.holds(name):
            raise ValueError(f"record {record.name} {record.kind} lies outside {config.origin}")
        try:
            kind = dns.rdatatype.from_text(record.kind)
            rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, record.value, origin=config.origin_name)
            wire = rdata.to_wire(origin=config.origin_name)
        except (dns.exception.DNSException, ValueError) as broken:
            raise ValueError(f"record {record.name} {record.kind} {record.value!r}: {broken}") from broken
        assert isinstance(wire, bytes)
        sets = found.setdefault(wire_of(name), {})
        old = sets.get(int(kind))
        rdatas = (*old.rdatas, wire) if old else (wire,)
        sets[int(kind)] = FixedSet(kind=int(kind), ttl_s=record.ttl_s, rdatas=tuple(dict.fromkeys(rdatas)))
    return found


def wire_of(name: dns.name.Name) -> bytes:
    """Wire form, lower case: the key of a node."""
    return name.canonicalize().to_wire() or b""


def owner_wire(question_name: bytes, node_name: bytes, origin: bytes) -> bytes:
    """The owner of a record elsewhere in the zone, compressed against the origin as it stands in the question."""
    if node_name == question_name:
        return OWNER_IS_QUESTION
    pointer = 0xC000 | HEADER_BYTES + len(question_name) - len(origin)
    return node_name[: len(node_name) - len(origin)] + pointer.to_bytes(2, "big")
