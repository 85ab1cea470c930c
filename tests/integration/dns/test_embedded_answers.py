"""What the embedded server answers, asked as a resolver asks."""

from collections.abc import AsyncIterator

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.update
import pytest

from contract.enactor_suite import ANYANG, GASAN, PANGYO
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.exchange import Server
from siteshift.adapters.dns.resolve import look
from siteshift.core.model.codes import EnactOutcome

from .embedded_world import ORIGIN, SHED_ADDRESS, WEB_ADDRESS, ask, serving, steer, values


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedDns]:
    async with serving(initial=steer(7)) as running:
        yield running
        assert running.internal_errors == 0


@pytest.fixture(params=["udp", "tcp"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def soa_of(reply: dns.message.Message) -> tuple[str, int, int]:
    """Owner, TTL and minimum of the SOA in the authority section."""
    (rrset,) = reply.authority
    assert rrset.rdtype == dns.rdatatype.SOA
    return rrset.name.to_text(), rrset.ttl, rrset[0].minimum


async def test_a_steered_name_answers_one_site_with_authority(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "web.example.test", way=way)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA and not reply.flags & dns.flags.RA
    assert set(values(reply)) <= set(WEB_ADDRESS.values()) and len(values(reply)) == 1
    assert reply.answer[0].ttl == 30


async def test_the_case_of_the_question_is_kept(server: EmbeddedDns, way: str) -> None:
    for spelling in ("WEB.eXample.TesT", "web.example.test", "wEb.ExAmPlE.tEsT"):
        reply = await ask(server, spelling, way=way)
        assert str(reply.question[0].name) == f"{spelling}."
        assert values(reply)


async def test_all_names_of_a_service_are_steered(server: EmbeddedDns) -> None:
    assert values(await ask(server, "deep.below.example.test"))
    assert values(await ask(server, "anything.edge.example.test"))


async def test_all_addresses_of_a_site_are_returned_and_rotated(server: EmbeddedDns, way: str) -> None:
    assert (await server.enact(steer(8, (10_000, 0, 0)), deadline_ms=5_000)).outcome is EnactOutcome.APPLIED
    replies = [values(await ask(server, "dual.example.test", way=way)) for _ in range(60)]
    assert {frozenset(reply) for reply in replies} == {frozenset({"198.51.100.1", "198.51.100.2", "198.51.100.3"})}
    assert {reply[0] for reply in replies} == {"198.51.100.1", "198.51.100.2", "198.51.100.3"}


async def test_ipv6_answers_come_from_sites_that_have_some(server: EmbeddedDns, way: str) -> None:
    firsts = {values(await ask(server, "dual.example.test", "AAAA", way=way), "AAAA")[0] for _ in range(60)}
    assert firsts == {"2001:db8::1", "2001:db8::2", "2001:db8::11"}


async def test_no_data_where_the_family_is_missing(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "web.example.test", "AAAA", way=way)
    assert reply.rcode() == dns.rcode.NOERROR and not reply.answer
    assert soa_of(reply) == ("example.test.", 30, 30)


async def test_no_such_name_says_so_with_the_soa(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "nobody.example.test", way=way)
    assert reply.rcode() == dns.rcode.NXDOMAIN and reply.flags & dns.flags.AA
    assert soa_of(reply) == ("example.test.", 30, 30)


async def test_an_empty_non_terminal_exists(server: EmbeddedDns) -> None:
    reply = await ask(server, "below.example.test")
    assert reply.rcode() == dns.rcode.NOERROR and not reply.answer


async def test_the_soa_carries_the_generation_as_serial(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, ORIGIN, "SOA", way=way)
    (soa,) = reply.answer[0]
    assert (soa.serial, str(soa.mname), str(soa.rname)) == (7, "ns1.example.test.", "noc.example.test.")


async def test_name_servers_come_with_glue(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, ORIGIN, "NS", way=way)
    assert values(reply, "NS") == ["ns1.example.test.", "ns2.elsewhere.test."]
    glue = {(str(rrset.name), rrset.rdtype.name, str(rrset[0])) for rrset in reply.additional}
    assert glue == {("ns1.example.test.", "A", "127.0.0.1"), ("ns1.example.test.", "AAAA", "::1")}


async def test_the_fence_tells_the_generation(server: EmbeddedDns) -> None:
    reply = await ask(server, "_siteshift.example.test", "TXT")
    assert values(reply, "TXT") == [f'"gen=7 term=1 digest={steer(7).digest()}"']


async def test_any_returns_what_is_there(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "dual.example.test", "ANY", way=way)
    assert values(reply, "A") and values(reply, "AAAA")
    apex = await ask(server, ORIGIN, "ANY", way=way)
    assert {rrset.rdtype.name for rrset in apex.answer} == {"SOA", "NS", "MX"}


async def test_an_alias_leads_to_a_steered_name(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "ALIAS.example.test", way=way)
    assert [(rrset.name.to_text(), rrset.rdtype.name) for rrset in reply.answer] == [
        ("ALIAS.example.test.", "CNAME"),
        ("web.example.test.", "A"),
    ]


async def test_an_alias_may_lead_away_or_in_circles(server: EmbeddedDns) -> None:
    assert values(await ask(server, "away.example.test"), "CNAME") == ["www.elsewhere.test."]
    assert (await ask(server, "loop.example.test")).rcode() == dns.rcode.NOERROR


async def test_a_delegation_is_a_referral_with_glue(server: EmbeddedDns, way: str) -> None:
    reply = await ask(server, "host.sub.example.test", way=way)
    assert reply.rcode() == dns.rcode.NOERROR and not reply.answer and not reply.flags & dns.flags.AA
    assert str(reply.authority[0].name) == "sub.example.test." and reply.authority[0].rdtype == dns.rdatatype.NS
    assert str(reply.additional[0][0]) == "203.0.113.53"


async def test_a_wildcard_answers_below_it_only(server: EmbeddedDns) -> None:
    assert values(await ask(server, "x.y.wild.example.test", "TXT"), "TXT") == ['"anything"']
    assert (await ask(server, "wild.example.test", "TXT")).rcode() == dns.rcode.NOERROR
    assert not (await ask(server, "wild.example.test", "TXT")).answer


@pytest.mark.parametrize("name", ["other.test", "test", "xexample.test", ".", "web.example.test.other"])
async def test_other_zones_are_refused(server: EmbeddedDns, way: str, name: str) -> None:
    reply = await ask(server, name, way=way)
    assert reply.rcode() == dns.rcode.REFUSED and not reply.flags & dns.flags.AA


async def test_transfers_are_refused(server: EmbeddedDns, way: str) -> None:
    for kind in ("AXFR", "IXFR"):
        message = dns.message.make_query(ORIGIN, kind, use_edns=False)
        reply = await ask(server, ORIGIN, way=way, message=message)
        assert reply.rcode() == dns.rcode.REFUSED and not reply.answer


async def test_other_classes_are_refused(server: EmbeddedDns) -> None:
    message = dns.message.make_query("version.bind", "TXT", "CH", use_edns=False)
    assert (await ask(server, "", message=message)).rcode() == dns.rcode.REFUSED


async def test_other_opcodes_are_not_implemented(server: EmbeddedDns, way: str) -> None:
    update = dns.update.UpdateMessage(ORIGIN)
    update.add("web", 30, "A", "192.0.2.66")
    assert (await ask(server, "", way=way, message=update)).rcode() == dns.rcode.NOTIMP
    notify = dns.message.make_query(ORIGIN, "SOA", use_edns=False)
    notify.set_opcode(dns.opcode.NOTIFY)
    assert (await ask(server, "", way=way, message=notify)).rcode() == dns.rcode.NOTIMP


async def test_edns_is_answered_with_edns(server: EmbeddedDns, way: str) -> None:
    for name, kind in (("web.example.test", "A"), ("nobody.example.test", "A"), ("other.test", "A")):
        message = dns.message.make_query(name, kind, use_edns=0, payload=4096, want_dnssec=True)
        reply = await ask(server, name, way=way, message=message)
        assert (reply.edns, reply.payload) == (0, 1232)
        assert reply.ednsflags & dns.flags.DO
        assert not reply.options


async def test_without_edns_there_is_none_in_the_reply(server: EmbeddedDns, way: str) -> None:
    assert (await ask(server, "web.example.test", way=way)).edns == -1


async def test_edns_options_are_ignored_not_echoed(server: EmbeddedDns) -> None:
    for data in (b"12345678", b"abcdefgh"):
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, data)
        message = dns.message.make_query("web.example.test", "A", use_edns=0, options=[cookie])
        reply = await ask(server, "", message=message)
        assert values(reply) and reply.edns == 0 and not reply.options


async def test_unknown_edns_versions_are_told_so(server: EmbeddedDns, way: str) -> None:
    message = dns.message.make_query("web.example.test", "A", use_edns=1)
    for _ in range(2):
        reply = await ask(server, "", way=way, message=message)
        assert reply.rcode() == dns.rcode.BADVERS and reply.edns == 0 and not reply.answer


async def test_too_much_for_a_datagram_is_cut_and_comes_whole_by_tcp(server: EmbeddedDns) -> None:
    small = await ask(server, "many.example.test")
    assert small.flags & dns.flags.TC and not small.answer
    larger = dns.message.make_query("many.example.test", "A", use_edns=0, payload=4096)
    reply = await ask(server, "", message=larger)
    assert not reply.flags & dns.flags.TC and len(values(reply)) == 40
    whole = await ask(server, "many.example.test", way="tcp")
    assert len(values(whole)) == 40
    host, port = server.addresses[0]
    looked = await look(Server(name="embedded", host=host, port=port), "many.example.test", deadline_ms=10_000)
    assert len(looked.values) == 40


async def test_the_recursion_and_checking_bits_come_back(server: EmbeddedDns, way: str) -> None:
    message = dns.message.make_query("web.example.test", "A", use_edns=False)
    message.flags |= dns.flags.CD
    reply = await ask(server, "", way=way, message=message)
    assert reply.flags & dns.flags.RD and reply.flags & dns.flags.CD


async def test_shed_demand_gets_the_shed_answer_where_there_is_one(server: EmbeddedDns) -> None:
    shedding = steer(9, (0, 3_000, 2_000), shed_bp=5_000, shed_at=PANGYO)
    assert (await server.enact(shedding, deadline_ms=5_000)).outcome is EnactOutcome.APPLIED
    assert {values(await ask(server, "shed.example.test"))[0] for _ in range(60)} == {
        SHED_ADDRESS,
        WEB_ADDRESS[GASAN],
        WEB_ADDRESS[ANYANG],
    }
    read = await server.read_back(deadline_ms=5_000)
    assert read.shares_bp["shed"] == {GASAN: 3_000, ANYANG: 2_000}
    assert read.shares_bp["web"] == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}


async def test_the_ttl_is_the_services(server: EmbeddedDns, way: str) -> None:
    await ask(server, "web.example.test", way=way)
    assert (await server.enact(steer(9, ttl_s=5), deadline_ms=5_000)).outcome is EnactOutcome.APPLIED
    assert (await ask(server, "web.example.test", way=way)).answer[0].ttl == 5


async def test_it_answers_on_ipv6_too() -> None:
    async with serving("::1", "127.0.0.1") as server:
        assert values(await ask(server, "web.example.test"))
        assert values(await ask(server, "web.example.test", way="tcp"))


async def test_before_any_steering_it_answers_by_nominal_shares() -> None:
    async with serving() as server:
        read = await server.read_back(deadline_ms=5_000)
        assert read.generation is None
        assert read.shares_bp["web"] == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
        assert values(await ask(server, "web.example.test"))
        fence = await ask(server, "_siteshift.example.test", "TXT")
        assert fence.rcode() == dns.rcode.NOERROR and not fence.answer
