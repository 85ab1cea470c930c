"""OperatorRequest one server for one name, as a client would: for looking after a write, for `status` and for the lab."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.TXT

from siteshift.adapters.dns.exchange import NoReply, NotSent, Server, Transport, exchange
from siteshift.errors import Retryable

PAYLOAD_BYTES = 1_232


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said about one name and type. ``values`` are in presentation form, in the order of the reply.

    ``rcode`` is its text (``NOERROR``, ``NXDOMAIN``, ...); no values with NOERROR means no data of this type.
    """

    rcode: str
    values: tuple[str, ...] = ()
    ttl_s: int = 0


async def look(
    server: Server,
    name: str,
    kind: str = "A",
    *,
    deadline_ms: int,
    transport: Transport = Transport.UDP,
) -> Answer:
    """Ask one server for ``name``. A truncated reply is asked for again by TCP within the same deadline.

    Raises `Retryable` when there is no usable reply: unknown, not absent.
    """
    qname = dns.name.from_text(name)
    rdtype = dns.rdatatype.from_text(kind)
    query = dns.message.make_query(qname, rdtype, use_edns=0, payload=PAYLOAD_BYTES)
    query.flags &= ~dns.flags.RD
    started = asyncio.get_running_loop().time()
    try:
        reply = await _ask(query, server, transport, deadline_ms)
        if reply.flags & dns.flags.TC:
            passed_ms = int((asyncio.get_running_loop().time() - started) * 1000)
            reply = await _ask(query, server, Transport.TCP, max(1, deadline_ms - passed_ms))
    except (NotSent, NoReply, dns.exception.DNSException) as error:
        raise Retryable(
            str(error) or type(error).__name__, system=f"dns {server.name}", operation="look", target=f"{name} {kind}"
        ) from error
    return _answer(reply, qname, rdtype)


async def _ask(
    query: dns.message.QueryMessage, server: Server, transport: Transport, deadline_ms: int
) -> dns.message.Message:
    wire = await exchange(query.to_wire(), server, transport, deadline_ms=deadline_ms)
    reply = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
    if not query.is_response(reply):
        raise NoReply(f"the reply of {server} does not belong to the question")
    return reply


def _answer(reply: dns.message.Message, qname: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
    """The records of the type asked for at the end of the name's aliases."""
    values: list[str] = []
    ttls: list[int] = []
    name = qname
    for rrset in reply.answer:
        if rrset.name != name:
            continue
        if rrset.rdtype == rdtype:
            values += [_text(rdata) for rdata in rrset]
            ttls.append(rrset.ttl)
        elif rrset.rdtype == dns.rdatatype.CNAME:
            name = rrset[0].target
    return Answer(
        rcode=dns.rcode.to_text(reply.rcode()),
        values=tuple(values),
        ttl_s=min(ttls, default=0),
    )


def _text(rdata: dns.rdata.Rdata) -> str:
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(rdata.strings).decode("utf-8", "backslashreplace")
    return str(rdata)
