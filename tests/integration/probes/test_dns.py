"""DNS over UDP, against a responder made with dnspython."""

from __future__ import annotations

from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.probes.dns_exchange import DnsExchange
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind

from .peers import udp_peer
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
