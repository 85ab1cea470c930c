"""Values of DNS records, read as the servers and the prober will read them."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype


def record_fault(kind: str, value: str) -> str:
    """What is wrong with a value in presentation form; empty when nothing is."""
    try:
        dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), value, origin=dns.name.root)
    except (dns.exception.DNSException, ValueError):
        return f"`{value[:40]}` is not the value of {'an' if kind[0] in 'AM' else 'a'} {kind} record"
    return ""
