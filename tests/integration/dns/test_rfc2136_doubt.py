"""Replies that lie, break or half-answer: what may be believed of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import pytest

from contract.enactor_suite import WEB, steer, suite_topology
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.resolve import look
from siteshift.adapters.dns.rfc2136 import Rfc2136Enactor
from siteshift.adapters.dns.rfc2136_records import (
    RRSETS_PER_MESSAGE,
    Rfc2136Config,
    UpdateKey,
    WantedName,
    batches,
    update_message,
)
from siteshift.adapters.dns.rfc2136_send import Fate, judge_reply
from siteshift.adapters.dns.targets import Family
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.units import EnactorId
from siteshift.errors import Retryable

from .rfc2136_world import DEADLINE_MS, KEY

SERVER = Server(name="s", host="127.0.0.1", port=53)
Script = Callable[[dns.message.Message], dns.message.Message | bytes | None]


def signed_update() -> dns.update.UpdateMessage:
    message, _ = update_message(Rfc2136Config(zone="example.test", primary=SERVER, key=KEY), (), expect=None, fence="gen=1")
    return message


def unsigned(message: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    """The header of a reply and nothing else."""
    flags = 0x8000 | message.opcode() << 11 | rcode
    return message.id.to_bytes(2, "big") + flags.to_bytes(2, "big") + bytes(8)


@pytest.mark.parametrize(
    ("rcode", "fate"),
    [
        (dns.rcode.NOERROR, Fate.UNKNOWN),
        (dns.rcode.NXRRSET, Fate.OVERTAKEN),
        (dns.rcode.YXRRSET, Fate.OVERTAKEN),
        (dns.rcode.REFUSED, Fate.REFUSED),
        (dns.rcode.NOTAUTH, Fate.REFUSED),
        (dns.rcode.NOTZONE, Fate.REFUSED),
        (dns.rcode.SERVFAIL, Fate.FAILED),
    ],
)
def test_an_unsigned_reply_may_deny_but_not_confirm(rcode: dns.rcode.Rcode, fate: Fate) -> None:
    message = signed_update()
    assert judge_reply(message, unsigned(message, rcode), SERVER).fate is fate


def test_without_a_key_a_plain_confirmation_counts() -> None:
    config = Rfc2136Config(zone="example.test", primary=SERVER)
    message, _ = update_message(config, (), expect="gen=1", fence="gen=2")
    assert judge_reply(message, unsigned(message, dns.rcode.NOERROR), SERVER).fate is Fate.DONE


def test_garbage_strangers_and_forgeries_leave_doubt() -> None:
    message = signed_update()
    other = signed_update()
    forged = dns.message.make_response(message)
    forged.use_tsig(dns.tsig.Key(KEY.name, "d3Jvbmc=", KEY.algorithm))
    forged.request_mac = message.mac
    for wire in (
        b"\x00" * 3,
        message.id.to_bytes(2, "big") + b"\xff" * 40,
        unsigned(other, dns.rcode.REFUSED) if other.id != message.id else b"",
        message.to_wire(),
        forged.to_wire(),
    ):
        assert judge_reply(message, wire, SERVER).fate is Fate.UNKNOWN


@pytest.mark.parametrize("label", ["s", "a-name-of-some-length.and-another-label"])
@pytest.mark.parametrize(("v4", "v6"), [(1, 0), (16, 16)])
def test_every_message_fits_and_none_is_tiny(label: str, v4: int, v6: int) -> None:
    config = Rfc2136Config(zone="example.test", primary=SERVER, key=KEY)
    addresses = {
        Family.V4: tuple(f"192.0.2.{n}" for n in range(v4)),
        Family.V6: tuple(f"2001:db8::{n}" for n in range(v6)),
    }
    wanted = [
        WantedName(name=dns.name.from_text(f"{label}{n}.example.test."), service=WEB, ttl_s=30, addresses=addresses)
        for n in range(550)
    ]
    parts = list(batches(wanted, config.zone_name))
    assert [one for part in parts for one in part] == wanted
    sizes = [len(update_message(config, part, expect="gen=1", fence="gen=2")[1]) for part in parts]
    assert max(sizes) <= 65_535
    if len(parts) > 1:
        assert len(parts[0]) == RRSETS_PER_MESSAGE // 2 or sizes[0] > 24_000


def test_a_key_that_cannot_be_used_is_refused_at_once() -> None:
    for key in (UpdateKey(name="k", secret="not base64!"), UpdateKey(name="k", secret=KEY.secret, algorithm="rot13")):
        config = Rfc2136Config(zone="example.test", primary=SERVER, key=key)
        with pytest.raises(ValueError):
            Rfc2136Enactor(EnactorId("zone"), suite_topology(), config, ManualClock())


def test_the_secret_is_not_in_the_configurations_text() -> None:
    assert KEY.secret not in repr(Rfc2136Config(zone="example.test", primary=SERVER, key=KEY))


class _Scripted(asyncio.DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self._script = script
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._script(dns.message.from_wire(data))
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply if isinstance(reply, bytes) else reply.to_wire(), addr)


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Server]:
    """A UDP server that answers as the script says."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Scripted(script), local_addr=("127.0.0.1", 0))
    try:
        yield Server(name="scripted", host="127.0.0.1", port=transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def answering(query: dns.message.Message, text: str | None) -> dns.message.Message:
    """A reply with one record, or without."""
    reply = dns.message.make_response(query)
    question = query.question[0]
    if text is not None:
        reply.answer = [dns.rrset.from_text(question.name, 30, "IN", question.rdtype, text)]
    return reply


def half_broken(query: dns.message.Message) -> dns.message.Message:
    """SOA and fence are fine, addresses are not."""
    match query.question[0].rdtype:
        case dns.rdatatype.SOA:
            return answering(query, "ns1. hostmaster. 1 1 1 1 1")
        case dns.rdatatype.TXT:
            return answering(query, '"gen=3 term=1 digest=ab"')
        case _:
            reply = answering(query, None)
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply


def enactor(server: Server) -> Rfc2136Enactor:
    config = Rfc2136Config(zone="example.test", primary=server, transport=Transport.UDP)
    return Rfc2136Enactor(EnactorId("zone"), suite_topology(), config, ManualClock())


async def test_a_server_that_answers_half_of_it_counts_as_not_answering() -> None:
    async with scripted(half_broken) as server:
        with pytest.raises(Retryable, match="SERVFAIL"):
            await enactor(server).read_back(deadline_ms=DEADLINE_MS)


async def test_a_confirmation_that_gets_lost_is_resolved_by_reading() -> None:
    """The update is carried out but its reply never arrives: ambiguous; the next call finds it there."""
    updates: list[dns.message.Message] = []

    def forgetful(query: dns.message.Message) -> dns.message.Message | None:
        if isinstance(query, dns.update.UpdateMessage):
            updates.append(query)
            return None
        return answering(query, f'"gen=1 term=1 digest={steer(1).digest()}"' if updates else None)

    async with scripted(forgetful) as server:
        writer = enactor(server)
        first = await writer.enact(steer(1), deadline_ms=300)
        assert first.outcome is EnactOutcome.AMBIGUOUS, first
        second = await writer.enact(steer(1), deadline_ms=DEADLINE_MS)
        assert (second.outcome, second.detail) == (EnactOutcome.APPLIED, "already there")
        assert len(updates) == 1


async def test_datagrams_that_are_not_the_reply_are_waited_past() -> None:
    """Another id, then a reply to another question: neither is taken for the answer."""

    def confused(query: dns.message.Message) -> bytes:
        return (query.id ^ 1).to_bytes(2, "big") + answering(query, "192.0.2.1").to_wire()[2:]

    def elsewhere(query: dns.message.Message) -> dns.message.Message:
        other = dns.message.make_query("other.test", "A")
        other.id = query.id
        return answering(other, "192.0.2.66")

    async with scripted(confused) as server:
        with pytest.raises(Retryable, match="no reply"):
            await look(server, "web.example.test", deadline_ms=200)
    async with scripted(elsewhere) as server:
        with pytest.raises(Retryable, match="does not belong"):
            await look(server, "web.example.test", deadline_ms=DEADLINE_MS)


async def test_a_fence_that_many_hands_wrote_is_nobodys() -> None:
    def two(query: dns.message.Message) -> dns.message.Message:
        reply = answering(query, None)
        question = query.question[0]
        texts = ('"gen=1 term=1 digest=ab"', '"gen=2 term=1 digest=cd"')
        reply.answer = [dns.rrset.from_text(question.name, 0, "IN", "TXT", *texts)]
        return reply

    async with scripted(two) as server:
        result = await enactor(server).enact(steer(3), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.REFUSED and "changed by hand" in result.detail


async def test_a_steering_to_nowhere_leaves_the_records_and_says_so() -> None:
    zone: dict[str, list[str]] = {"fence": []}

    def serving(query: dns.message.Message) -> dns.message.Message:
        if isinstance(query, dns.update.UpdateMessage):
            touched = {str(rrset.name) for rrset in query.update}
            zone["touched"] = sorted(touched)
            zone["fence"] = [f'"gen=5 term=1 digest={steer(5, (0, 0, 0)).digest()}"']
            return dns.message.make_response(query)
        match query.question[0].rdtype:
            case dns.rdatatype.SOA:
                return answering(query, "ns1. hostmaster. 1 1 1 1 1")
            case dns.rdatatype.TXT:
                return answering(query, zone["fence"][0] if zone["fence"] else None)
            case dns.rdatatype.A:
                return answering(query, "192.0.2.30")
            case _:
                return answering(query, None)

    async with scripted(serving) as server:
        writer = enactor(server)
        assert (await writer.enact(steer(5, (0, 0, 0)), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert zone["touched"] == ["_siteshift.example.test.", "chat.example.test."]
        read = await writer.read_back(deadline_ms=DEADLINE_MS)
        (kept,) = [drift for drift in read.drifts if drift.what.startswith("web.")]
        assert "leads nowhere" in kept.wanted and "192.0.2.30" in kept.found
        assert read.shares_bp[WEB]
