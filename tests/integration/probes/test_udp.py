"""UDP request and reply: by a flow of its own each run, and over the shared socket."""

from __future__ import annotations

import socket

import pytest

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProbeKind

from .peers import udp_peer
from .probing import first_result, probing, spec


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_answer_passes(keep_alive: bool, address: str) -> None:
    async with udp_peer(lambda data: b"pong " + data, address=address) as (port, _):
        one = spec(ProbeKind.UDP, port, address=address, send=b"ping", expect=b"pong ping", keep_alive=keep_alive)
        async with probing(one) as seen:
            await seen.until(lambda _: True, times=4)
    assert {(result.outcome, result.fault) for result in seen.results} == {(Outcome.PASS, Fault.NONE)}


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_wrong_answer_is_bad_content(keep_alive: bool) -> None:
    async with udp_peer(lambda _: b"busy") as (port, _):
        result = await first_result(spec(ProbeKind.UDP, port, send=b"ping", expect=b"pong", keep_alive=keep_alive))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_silence_is_a_timeout(keep_alive: bool) -> None:
    async with udp_peer(lambda _: None) as (port, _):
        result = await first_result(spec(ProbeKind.UDP, port, send=b"ping", timeout_ms=300, keep_alive=keep_alive))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT)


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_port_nobody_has_is_refused(keep_alive: bool, address: str) -> None:
    async with udp_peer(lambda _: None, address=address) as (port, _):
        pass
    one = spec(ProbeKind.UDP, port, address=address, send=b"ping", keep_alive=keep_alive, timeout_ms=10_000)
    result = await first_result(one)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)


async def test_a_refusal_on_the_shared_socket_harms_nobody_else() -> None:
    async with udp_peer(lambda _: None) as (gone, _):
        pass
    async with udp_peer(lambda data: data) as (port, _):
        bad = spec(ProbeKind.UDP, gone, name="bad", send=b"ping", keep_alive=True, interval_ms=50)
        good = [spec(ProbeKind.UDP, port, name=f"good{n}", send=b"%d" % n, expect=b"%d" % n, keep_alive=True) for n in range(3)]
        async with probing(bad, good[0]) as seen:
            await seen.until(lambda result: result.probe == "good0", times=6)
            await seen.until(lambda result: result.probe == "bad", times=6)
    assert {r.fault for r in seen.results if r.probe == "bad"} == {Fault.REFUSED}
    assert {r.outcome for r in seen.results if r.probe == "good0"} == {Outcome.PASS}


@pytest.mark.parametrize(("keep_alive", "ports"), [(False, 6), (True, 1)])
async def test_a_flow_of_its_own_has_a_fresh_source_port_each_run(keep_alive: bool, ports: int) -> None:
    async with udp_peer(lambda data: data) as (port, peer):
        async with probing(spec(ProbeKind.UDP, port, send=b"x", keep_alive=keep_alive)) as seen:
            await seen.until(lambda _: True, times=6)
        sources = {source[1] for source in peer.sources[:6]}
    assert len(sources) >= ports - 1 if ports > 1 else len(sources) == 1


def test_the_machine_has_ipv6_on_loopback() -> None:
    """The tests above need it: say so plainly when it is missing."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
