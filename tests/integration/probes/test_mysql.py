"""MariaDB, a real one: a login and a goodbye count as no error of ours, and what is no MySQL is told from one that refuses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.haproxy_server import until
from servers.mariadb_server import USER, MariadbServer, mariadb
from siteshift.adapters.probes.mysql import verdict_of_error
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProbeKind, ProxyProtocol

from .peers import closed_port, never, resets, says, tcp_peer
from .probing import first_result, probing, spec

RUNS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariadbServer]:
    with mariadb(tmp_path_factory.mktemp("mariadb"), "--proxy-protocol-networks=127.0.0.1") as running:
        yield running


async def test_logins_that_say_goodbye_are_no_errors_and_resets_are(server: MariadbServer) -> None:
    before = [await server.count(name) for name in ("Aborted_connects", "Aborted_clients")]
    async with probing(spec(ProbeKind.MYSQL, server.port, mysql_user=USER, interval_ms=20)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS, times=RUNS)
        assert {result.outcome for result in seen.results} == {Outcome.PASS}, seen.results
        seen.prober.configure(())
    after = [await server.count(name) for name in ("Aborted_connects", "Aborted_clients")]
    assert after[0] - before[0] <= 1, "one may have been cut off when the prober stopped"
    assert after[1] - before[1] <= 1
    async with probing(spec(ProbeKind.TCP, server.port, expect=b"MariaDB", interval_ms=20)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS, times=RUNS)
    async def are_counted() -> bool:
        return await server.count("Aborted_connects") - after[0] >= RUNS // 2

    await until(are_counted, "resets are counted as errors")


@pytest.mark.parametrize("version", ProxyProtocol)
async def test_it_takes_a_proxy_header_first(server: MariadbServer, version: ProxyProtocol) -> None:
    result = await first_result(spec(ProbeKind.MYSQL, server.port, mysql_user=USER, proxy_protocol=version))
    assert result.outcome is Outcome.PASS, result.detail


@pytest.mark.parametrize("user", ["nobody-there", "locked"])
async def test_an_account_that_may_not_log_in_is_a_bad_status(server: MariadbServer, user: str) -> None:
    result = await first_result(spec(ProbeKind.MYSQL, server.port, mysql_user=user))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS), result.detail
    assert "1045" in result.detail


async def test_too_many_connections_are_a_bad_status(tmp_path: Path) -> None:
    with mariadb(tmp_path, "--max-connections=10") as full, contextlib.ExitStack() as held:
        taken = [await asyncio.open_connection("127.0.0.1", full.port) for _ in range(20)]
        held.callback(lambda: [writer.close() for _, writer in taken])
        async with probing(spec(ProbeKind.MYSQL, full.port, mysql_user=USER)) as seen:
            result = await seen.until(lambda result: result.outcome is Outcome.FAIL)
    assert (result.fault, "1040" in result.detail) == (Fault.BAD_STATUS, True), result.detail


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(1129, Outcome.LOST), (1130, Outcome.LOST), (1040, Outcome.FAIL), (1045, Outcome.FAIL), (1053, Outcome.FAIL)],
)
def test_what_the_server_holds_against_our_address_is_no_evidence_about_it(number: int, outcome: Outcome) -> None:
    packet = b"\xff" + number.to_bytes(2, "little") + b"#HY000Host '192.0.2.1' is blocked"
    assert verdict_of_error(packet)[0] is outcome
    assert verdict_of_error(packet)[2] == f"error {number}: Host '192.0.2.1' is blocked"


def framed(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


GREETING = framed(0, b"\x0a8.4.0\0" + bytes(40))


@pytest.mark.parametrize(
    ("plugin", "answer"),
    [(b"mysql_native_password", b""), (b"caching_sha2_password", b"\0")],
)
async def test_another_way_of_logging_in_is_gone_along_with(plugin: bytes, answer: bytes) -> None:
    """MySQL 8 by imitation: Debian has none to run. It asks for the account's own plugin, and a fast way ends with 0x01."""
    heard: list[bytes] = []

    async def imitate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def packet() -> bytes:
            head = await reader.readexactly(4)
            heard.append(payload := await reader.readexactly(int.from_bytes(head[:3], "little")))
            return payload

        writer.write(GREETING)
        await packet()
        writer.write(framed(2, b"\xfe" + plugin + b"\0" + bytes(20) + b"\0"))
        await packet()
        writer.write(framed(4, b"\x01\x03") + framed(5, b"\x00\x00\x00\x02\x00\x00\x00"))
        await packet()
        writer.close()

    async with tcp_peer(imitate) as port:
        result = await first_result(spec(ProbeKind.MYSQL, port, mysql_user=USER))
    assert result.outcome is Outcome.PASS, result.detail
    assert heard[1:3] == [answer, b"\x01"], "its answer, then the goodbye"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (never, Fault.TIMEOUT),
        (resets, Fault.TIMEOUT),
        (says(b""), Fault.TIMEOUT),
    ],
)
async def test_a_peer_that_waits_for_us_first_is_a_timeout(answer: object, fault: Fault) -> None:
    async with tcp_peer(answer) as port:  # type: ignore[arg-type]
        result = await first_result(spec(ProbeKind.MYSQL, port, mysql_user=USER, timeout_ms=300))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail


@pytest.mark.parametrize(
    ("greeting", "fault"),
    [
        (b"", Fault.RESET),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Fault.PROTOCOL),
        (b"220 mail.example ESMTP\r\n", Fault.PROTOCOL),
        (framed(0, b""), Fault.PROTOCOL),
        (framed(0, b"\x09old"), Fault.PROTOCOL),
        (b"\xff\xff\xff\x00" + bytes(100), Fault.PROTOCOL),
        (GREETING[:20], Fault.RESET),
        (GREETING, Fault.RESET),
        (GREETING + framed(2, b"\x07what"), Fault.PROTOCOL),
        (GREETING + framed(2, b"\xfeplugin\0") * 10, Fault.PROTOCOL),
        (GREETING + framed(2, b"\xff"), Fault.PROTOCOL),
        (framed(0, b"\xff\x10\x04Too many connections"), Fault.BAD_STATUS),
        (GREETING + framed(2, b"\x00\x00\x00") + b"more", Fault.PROTOCOL),
    ],
)
async def test_what_is_no_mysql_or_refuses_fails_with_its_fault(greeting: bytes, fault: Fault) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
        await reader.read()

    async with tcp_peer(answer) as port:
        result = await first_result(spec(ProbeKind.MYSQL, port, mysql_user=USER))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail


async def test_a_closed_port_is_refused() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.MYSQL, port, mysql_user=USER))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED)
