"""What the embedded server is told about its zone. Names are text; relative names hang below the origin."""

from __future__ import annotations

from dataclasses import dataclass

import dns.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRecord:
    """One record that is never steered: the addresses of name servers, an MX, a delegation.

    ``name`` is relative to the origin (``@`` is the origin itself) or absolute with a final dot; ``value`` is the
    presentation form (RFC 1035 §5) of the data.
    """

    name: str
    kind: str
    value: str
    ttl_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneConfig:
    """The zone an embedded server is authoritative for.

    ``listen`` are (address, port) pairs served over UDP and TCP alike; port 0 takes a free one. On a host with several
    addresses list each: an answer from a wildcard socket may leave by another address than the one that was asked.
    ``negative_ttl_s`` is how long "no such name" may be remembered (RFC 2308 §5); short, so that a new name shows soon.
    """

    origin: str
    ns_names: tuple[str, ...]
    listen: tuple[tuple[str, int], ...]
    soa_mname: str = ""
    soa_rname: str = ""
    records: tuple[StaticRecord, ...] = ()
    ns_ttl_s: int = 3_600
    negative_ttl_s: int = 30

    @property
    def origin_name(self) -> dns.name.Name:
        return dns.name.from_text(self.origin)

    def absolute(self, name: str) -> dns.name.Name:
        """The full name of a relative or absolute text."""
        return dns.name.from_text(name, origin=self.origin_name)

    def holds(self, name: dns.name.Name) -> bool:
        """Whether a full name lies in this zone."""
        return name.is_subdomain(self.origin_name)
