"""Sending one update and saying what became of it. See `Fate`: nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import dns.update

from siteshift.adapters.dns.exchange import NoReply, NotSent, Server, Transport, exchange

UDP_BYTES_MAX = 1_232
"""A larger message would travel in fragments, which many networks drop: it goes by TCP."""


class Fate(StrEnum):
    """What became of an update."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    """A prerequisite did not hold: the fence reads otherwise. Nothing changed."""
    REFUSED = "refused"
    """The server will not take it, now or later. Nothing changed."""
    FAILED = "failed"
    """Nothing changed; it may be tried again."""
    UNKNOWN = "unknown"
    """Sent, but no answer that can be trusted."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The fate, and the words for it."""

    fate: Fate
    detail: str = ""


_OVERTAKEN = {dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN}
_WORDS = {
    dns.rcode.REFUSED: "REFUSED: its policy does not let this key or address update these names",
    dns.rcode.NOTAUTH: "NOTAUTH: it is not authoritative for the zone, or does not accept the key",
    dns.rcode.NOTZONE: "NOTZONE: a name lies outside the zone",
    dns.rcode.FORMERR: "FORMERR: it cannot read the update",
    dns.rcode.NOTIMP: "NOTIMP: it does not do updates",
}


async def send_update(
    message: dns.update.UpdateMessage, wire: bytes, server: Server, transport: Transport, *, deadline_ms: int
) -> Sent:
    """Send once and judge the reply. ``wire`` is the signed form of ``message``."""
    way = Transport.TCP if len(wire) > UDP_BYTES_MAX else transport
    try:
        reply = await exchange(wire, server, way, deadline_ms=deadline_ms)
    except NotSent as error:
        return Sent(Fate.FAILED, str(error))
    except NoReply as error:
        return Sent(Fate.UNKNOWN, str(error))
    return judge_reply(message, reply, server)


def judge_reply(message: dns.update.UpdateMessage, wire: bytes, server: Server) -> Sent:
    """What a reply says. An unsigned reply to a signed update may deny, but cannot confirm."""
    try:
        reply = dns.message.from_wire(wire, keyring=message.keyring, request_mac=message.mac, ignore_trailing=True)
    except dns.tsig.PeerBadKey:
        return Sent(Fate.REFUSED, f"{server}: BADKEY: it does not know TSIG key {message.keyname}")
    except dns.tsig.PeerBadSignature:
        return Sent(Fate.REFUSED, f"{server}: BADSIG: TSIG key {message.keyname} has another secret there")
    except dns.tsig.PeerBadTime:
        return Sent(Fate.REFUSED, f"{server}: BADTIME: its clock and ours differ too much")
    except dns.tsig.PeerError as error:
        return Sent(Fate.REFUSED, f"{server}: {error}")
    except (dns.exception.DNSException, ValueError) as error:
        return _judge_unsigned(message, wire, server, str(error) or type(error).__name__)
    return _judge_rcode(message, reply, server, "")


def _judge_unsigned(message: dns.update.UpdateMessage, wire: bytes, server: Server, doubt: str) -> Sent:
    """A reply whose signature is missing or wrong. PowerDNS refuses without signing: a bare refusal is believed, for
    the fence is read again before the next write; a confirmation is not."""
    unknown = Sent(Fate.UNKNOWN, f"{server}: a reply that cannot be trusted: {doubt}")
    try:
        reply = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return unknown
    if reply.had_tsig or reply.rcode() == dns.rcode.NOERROR:
        return unknown
    return _judge_rcode(message, reply, server, " (unsigned)")


def _judge_rcode(
    message: dns.update.UpdateMessage, reply: dns.message.Message, server: Server, manner: str
) -> Sent:
    if reply.opcode() != message.opcode() or reply.id != message.id or not reply.flags & dns.flags.QR:
        return Sent(Fate.UNKNOWN, f"{server}: a reply to something else")
    rcode = reply.rcode()
    if rcode == dns.rcode.NOERROR:
        if message.keyname is not None and not reply.had_tsig:
            return Sent(Fate.UNKNOWN, f"{server}: NOERROR without a signature")
        return Sent(Fate.DONE)
    if rcode in _OVERTAKEN:
        return Sent(Fate.OVERTAKEN, f"{server}: {dns.rcode.to_text(rcode)}{manner}")
    if rcode in _WORDS:
        return Sent(Fate.REFUSED, f"{server}: {_WORDS[rcode]}{manner}")
    return Sent(Fate.FAILED, f"{server}: {dns.rcode.to_text(rcode)}{manner}")
