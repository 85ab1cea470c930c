"""DNS over UDP, and over TCP where an answer is truncated: a responder made with dnspython, and a BIND that limits rates."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.dns_servers import bind
from servers.ports import free_port
from siteshift.adapters.probes.dns_exchange import DnsExchange
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind

from .peers import tcp_peer, udp_peer
from .probing import first_result, probing, spec

NAME = "www.shop.example."


def responder(*addresses: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Callable[[bytes], bytes]:
    """Answers ``NAME`` with these addresses, any other name with NXDOMAIN."""
    turns = 0

    def reply(data: bytes) -> bytes:
        nonlocal turns
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        if query.question[0].name.to_text() != NAME:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer.to_wire(max_size=65_535)
        answer.set_rcode(rcode)
        turned = addresses[turns % len(addresses) :] + addresses[: turns % len(addresses)] if addresses else ()
        turns += 1
        if turned:
            kind = "AAAA" if ":" in turned[0] else "A"
            answer.answer.append(dns.rrset.from_text(NAME, 30, "IN", kind, *turned))
        return answer.to_wire(max_size=65_535)

    return reply


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_expected_addresses_pass_in_any_order(address: str) -> None:
    async with udp_peer(responder("10.1.0.1", "10.2.0.1"), address=address) as (port, _):
        one = spec(ProbeKind.DNS, port, address=address, dns_name="www.shop.example", dns_expect=("10.2.0.1", "10.1.0.1"))
        async with probing(one) as seen:
            await seen.until(lambda _: True, times=5)
    assert {(result.outcome, result.fault) for result in seen.results} == {(Outcome.PASS, Fault.NONE)}


async def test_a_part_of_the_expected_addresses_passes() -> None:
    async with udp_peer(responder("2001:db8::1")) as (port, _):
        result = await first_result(
            spec(ProbeKind.DNS, port, dns_name=NAME, dns_type="AAAA", dns_expect=("2001:db8::1", "2001:db8::2"))
        )
    assert result.outcome is Outcome.PASS, result.detail


async def test_a_foreign_address_is_bad_content() -> None:
    async with udp_peer(responder("10.1.0.1", "192.0.2.66")) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_expect=("10.1.0.1",)))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)
    assert "192.0.2.66" in result.detail


async def test_an_empty_answer_is_bad_content() -> None:
    async with udp_peer(responder()) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN])
async def test_an_error_code_is_a_bad_status(rcode: dns.rcode.Rcode) -> None:
    async with udp_peer(responder(rcode=rcode)) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)
    assert dns.rcode.to_text(rcode) in result.detail


async def test_noise_is_a_protocol_fault() -> None:
    async with udp_peer(lambda data: data[:2] + b"noise" * 5) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL)


async def test_an_answer_to_another_query_is_not_an_answer() -> None:
    good = responder("10.1.0.1")

    def stale(data: bytes) -> bytes:
        answer = good(data)
        return bytes([answer[0] ^ 0xFF]) + answer[1:]

    async with udp_peer(stale) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, timeout_ms=300))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT)


async def test_many_names_of_one_server_are_told_apart() -> None:
    async with udp_peer(responder("10.1.0.1")) as (port, _):
        names = [NAME if n % 2 else f"n{n}.shop.example" for n in range(20)]
        probes = [spec(ProbeKind.DNS, port, name=f"p{n}", dns_name=name) for n, name in enumerate(names)]
        async with probing(*probes) as seen:
            for n in range(20):
                result = await seen.until(lambda result, n=n: result.probe == f"p{n}", times=2)  # type: ignore[misc]
                assert result.outcome is (Outcome.PASS if n % 2 else Outcome.FAIL)


async def test_a_server_that_is_not_there_is_refused() -> None:
    async with udp_peer(lambda _: None) as (port, _):
        pass
    result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)


async def test_a_name_that_cannot_be_asked_is_our_fault() -> None:
    result = await first_result(spec(ProbeKind.DNS, 53, dns_name="a..b"))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)


async def test_the_twin_asks_for_the_name_that_cannot_be() -> None:
    async with udp_peer(responder("10.1.0.1")) as (port, _):
        one = spec(ProbeKind.DNS, port, dns_name=NAME, twin=HttpCheck(host="never.shop.example"), interval_ms=20)
        async with probing(one) as seen:
            result = await seen.until(lambda result: result.must_fail)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)


async def test_an_answer_beyond_its_bound_is_a_protocol_error(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [f"10.1.{n // 250}.{n % 250}" for n in range(1_000)]
    many = responder(*addresses)
    async with udp_peer(many) as (port, _):
        one = spec(ProbeKind.DNS, port, dns_name="www.shop.example", timeout_ms=10_000)
        result = await first_result(one)
        assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
        monkeypatch.setattr("siteshift.adapters.probes.dns_exchange.MAX_ANSWER_BYTES", 1 << 16)
        assert (await first_result(one)).outcome is Outcome.PASS


async def test_a_verdict_names_only_some_of_many_foreign_addresses() -> None:
    async with udp_peer(responder(*(f"10.1.0.{n}" for n in range(1, 100)))) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name="www.shop.example", dns_expect=("10.2.0.1",)))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)
    assert len(result.detail) < 250


@given(st.binary(max_size=300))
def test_noise_is_no_answer_and_raises_nothing(noise: bytes) -> None:
    exchange = DnsExchange(spec(ProbeKind.DNS, 53, dns_name="www.shop.example"))
    query = exchange.request()
    for data in (noise, query[:2] + noise, query + noise, query[:2] + b"\x81\x80" + query[4:] + noise):
        verdict = exchange.weigh(data)
        assert verdict is None or verdict[0] is Outcome.FAIL


Reply = Callable[[dns.message.Message, bool], dns.message.Message]
"""From a query, and whether it came over TCP, to an answer."""


@contextlib.asynccontextmanager
async def both(reply: Reply) -> AsyncIterator[tuple[int, list[bool]]]:
    """A server over UDP and TCP on one port, and which way it was asked, in order."""
    ways: list[bool] = []

    def over_udp(data: bytes) -> bytes:
        ways.append(False)
        return reply(dns.message.from_wire(data), False).to_wire(max_size=65_535)

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        ways.append(True)
        answer = reply(dns.message.from_wire(query), True).to_wire(max_size=65_535)
        for piece in (len(answer).to_bytes(2, "big")[:1], len(answer).to_bytes(2, "big")[1:] + answer[:20], answer[20:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with udp_peer(over_udp, port=free_port()) as (port, _), tcp_peer(over_tcp, port=port):
        yield port, ways


def answered(query: dns.message.Message, *addresses: str, kind: str = "A") -> dns.message.Message:
    answer = dns.message.make_response(query)
    if addresses:
        answer.answer.append(dns.rrset.from_text(NAME, 30, "IN", kind, *addresses))
    return answer


def truncated(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.TC
    return answer


async def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    def reply(query: dns.message.Message, over_tcp: bool) -> dns.message.Message:
        return answered(query, "10.1.0.1") if over_tcp else truncated(query)

    async with both(reply) as (port, ways):
        async with probing(spec(ProbeKind.DNS, port, dns_name=NAME, dns_expect=("10.1.0.1",))) as seen:
            await seen.until(lambda result: result.outcome is Outcome.PASS, times=3)
        assert {result.outcome for result in seen.results} == {Outcome.PASS}
        assert ways[:6] == [False, True] * 3


async def test_over_tcp_an_answer_is_judged_as_well() -> None:
    def reply(query: dns.message.Message, over_tcp: bool) -> dns.message.Message:
        return answered(query, "10.9.9.9") if over_tcp else truncated(query)

    async with both(reply) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_expect=("10.1.0.1",)))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)
    assert "10.9.9.9" in result.detail


async def test_an_answer_larger_than_a_datagram_passes() -> None:
    many = tuple(f"10.1.{number // 250}.{number % 250 + 1}" for number in range(150))

    def reply(query: dns.message.Message, over_tcp: bool) -> dns.message.Message:
        return answered(query, *many) if over_tcp else truncated(query)

    async with both(reply) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_expect=many))
    assert result.outcome is Outcome.PASS, result.detail


@pytest.mark.parametrize("case", ["no TCP", "closes", "hangs", "too long", "truncated again", "another question"])
async def test_a_server_that_truncates_and_gives_no_answer_over_tcp_is_not_called_gone(case: str) -> None:
    """It answers over UDP: whatever is wrong, it does not refuse its users."""

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if case == "hangs":
            await reader.read()
        elif case == "too long":
            writer.write(b"\xff\xff" + bytes(100))
            await reader.read()
        elif case == "truncated again":
            answer = truncated(dns.message.from_wire(query)).to_wire()
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await reader.read()
        elif case == "another question":
            writer.write(b"\0\x0c" + bytes([query[0] ^ 1]) + query[1:2] + b"\x80" + bytes(9))
            await reader.read()
        writer.close()

    faults = {
        "no TCP": Fault.BAD_CONTENT,
        "closes": Fault.BAD_CONTENT,
        "hangs": Fault.TIMEOUT,
        "too long": Fault.PROTOCOL,
        "truncated again": Fault.PROTOCOL,
        "another question": Fault.PROTOCOL,
    }
    async with contextlib.AsyncExitStack() as stack:
        udp = udp_peer(lambda data: truncated(dns.message.from_wire(data)).to_wire(), port=free_port())
        port, _ = await stack.enter_async_context(udp)
        if case != "no TCP":
            await stack.enter_async_context(tcp_peer(over_tcp, port=port))
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, timeout_ms=500))
    assert (result.outcome, result.fault) == (Outcome.FAIL, faults[case]), result.detail


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
async def test_a_server_without_edns_is_asked_without_it(rcode: dns.rcode.Rcode) -> None:
    asked: list[int] = []

    def reply(query: dns.message.Message, over_tcp: bool) -> dns.message.Message:
        asked.append(query.edns)
        if query.edns < 0:
            return answered(query, "10.1.0.1")
        refusal = dns.message.make_response(query)
        refusal.use_edns(-1)
        refusal.set_rcode(rcode)
        return refusal

    async with both(reply) as (port, _), probing(spec(ProbeKind.DNS, port, dns_name=NAME)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS, times=3)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}
    assert asked[:4] == [0, -1, -1, -1], "once found out, it is asked so from the start"


async def test_a_server_that_refuses_the_form_of_every_question_fails() -> None:
    async with udp_peer(responder(rcode=dns.rcode.FORMERR)) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)


@pytest.mark.parametrize("what", ["truncated", "REFUSED", "SERVFAIL", "NXDOMAIN", "FORMERR", "nothing in it"])
async def test_of_an_anchor_any_answer_proves_the_way(what: str) -> None:
    def reply(query: dns.message.Message, over_tcp: bool) -> dns.message.Message:
        assert not over_tcp
        answer = truncated(query) if what == "truncated" else dns.message.make_response(query)
        answer.set_rcode(dns.rcode.from_text(what) if what.isupper() else dns.rcode.NOERROR)
        return answer

    async with both(reply) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_any_answer=True))
    assert result.outcome is Outcome.PASS, result.detail


@pytest.mark.parametrize("noise", [b"", b"x" * 5, "echo", "another id"])
async def test_what_is_no_answer_proves_nothing(noise: bytes | str) -> None:
    def reply(data: bytes) -> bytes:
        if noise == "echo":
            return data
        return bytes([data[0] ^ 1]) + data[1:2] + b"\x80" + data[3:] if isinstance(noise, str) else noise

    async with udp_peer(reply) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_any_answer=True, timeout_ms=500))
    assert result.outcome is Outcome.FAIL, result.detail


@pytest.mark.parametrize(
    ("kind", "expect", "answer"),
    [
        ("CNAME", "Pool.Shop.Example", "pool.shop.example."),
        ("CNAME", "pool.shop.example.", "pool.shop.example."),
        ("MX", "10 mail.shop.example", "10 mail.shop.example."),
        ("NS", "ns1.shop.example", "ns1.shop.example."),
        ("PTR", "host.shop.example", "host.shop.example."),
        ("SRV", "0 5 443 a.shop.example", "0 5 443 a.shop.example."),
        ("SOA", "ns1.shop.example host.shop.example 1 2 3 4 5", "ns1.shop.example. host.shop.example. 1 2 3 4 5"),
        ("AAAA", "2001:DB8:0::1", "2001:db8::1"),
        ("TXT", "v=1", '"v=1"'),
    ],
)
async def test_an_expected_value_matches_with_and_without_the_dot_at_its_end(kind: str, expect: str, answer: str) -> None:
    async with both(lambda query, _: answered(query, answer, kind=kind)) as (port, _):
        result = await first_result(spec(ProbeKind.DNS, port, dns_name=NAME, dns_type=kind, dns_expect=(expect,)))
    assert result.outcome is Outcome.PASS, result.detail


async def test_a_bind_that_limits_rates_passes(tmp_path: Path) -> None:
    """With ``slip 1`` every answer beyond the first of a second is truncated and empty."""
    with bind(tmp_path, rate_limit="responses-per-second 1; slip 1;") as server:
        one = spec(ProbeKind.DNS, server.port, dns_name="ns1.example.test", dns_expect=("127.0.0.1",), interval_ms=20)
        async with probing(one) as seen:
            await seen.until(lambda result: result.outcome is Outcome.PASS, times=30)
        stopped = [result.detail for result in seen.results if result.outcome is not Outcome.PASS]
        limited = dns.query.udp(dns.message.make_query("ns1.example.test", "A"), server.host, 5, server.port)
    assert stopped == []
    assert limited.flags & dns.flags.TC, "it did limit us"
