"""TCP: connect, and send/expect."""

from __future__ import annotations

import asyncio

import pytest

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProbeKind

from .peers import closed_port, closes, keeps_saying, never, resets, says, tcp_peer
from .probing import first_result, probing, spec


async def greets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ready\r\n")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_listening_port_passes(address: str) -> None:
    async with tcp_peer(never, address=address) as port:
        result = await first_result(spec(ProbeKind.TCP, port, address=address))
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE)


async def test_a_closed_port_is_refused() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.TCP, port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)


async def test_a_greeting_is_expected_without_sending() -> None:
    async with tcp_peer(greets) as port:
        assert (await first_result(spec(ProbeKind.TCP, port, expect=b"220 "))).outcome is Outcome.PASS
        worse = await first_result(spec(ProbeKind.TCP, port, expect=b"554 ", timeout_ms=300))
    assert (worse.outcome, worse.fault) == (Outcome.FAIL, Fault.TIMEOUT)


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_what_is_sent_is_answered(keep_alive: bool) -> None:
    async with tcp_peer(keeps_saying(b"+PONG\r\n")) as port:
        one = spec(ProbeKind.TCP, port, send=b"PING\r\n", expect=b"+PONG", keep_alive=keep_alive)
        async with probing(one) as seen:
            await seen.until(lambda _: True, times=4)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (says(b"-LOADING\r\n"), Fault.BAD_CONTENT),
        (closes, Fault.RESET),
        (resets, Fault.RESET),
        (never, Fault.TIMEOUT),
    ],
)
async def test_a_wrong_answer_fails_with_its_fault(answer: object, fault: Fault) -> None:
    async with tcp_peer(answer) as port:  # type: ignore[arg-type]
        result = await first_result(spec(ProbeKind.TCP, port, send=b"PING\r\n", expect=b"+PONG", timeout_ms=1_000))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail


@pytest.mark.parametrize("expected", [b"220 ", b"nothing like it"])
async def test_after_a_pass_goodbye_is_said_and_the_connection_ends_in_peace(expected: bytes) -> None:
    heard: list[bytes | type[Exception]] = []

    async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        if expected != b"220 ":
            writer.write(b"x" * 70_000)
        try:
            heard.append(await reader.read())
        except ConnectionResetError as problem:
            heard.append(type(problem))

    async with tcp_peer(mail) as port:
        one = spec(ProbeKind.TCP, port, expect=expected, goodbye=b"QUIT\r\n")
        async with probing(one) as seen:
            result = await seen.until(lambda _: True, times=2)
    assert result.outcome is (Outcome.PASS if expected == b"220 " else Outcome.FAIL)
    assert heard[0] == (b"QUIT\r\n" if expected == b"220 " else ConnectionResetError)
