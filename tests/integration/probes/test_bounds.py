"""Unknown is not down: what the prober cannot do, or did too late itself, is lost and not failed. And its bounds."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind

from .peers import keeps_saying, never, says, tcp_peer, udp_peer
from .probing import DEADLINE_S, LAGGED, first_result, probing, spec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def test_beyond_the_socket_limit_probes_are_lost() -> None:
    async with tcp_peer(never) as port:
        probes = [spec(ProbeKind.HTTP, port, name=f"p{n}", timeout_ms=60_000) for n in range(5)]
        async with probing(*probes, limits=ProberLimits(sockets=3)) as seen:
            result = await seen.until(lambda _: True, times=2)
            assert seen.prober.figures().sockets_open == 3
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
    assert "limit" in result.detail


async def test_beyond_the_limit_of_visits_probes_are_lost() -> None:
    async with tcp_peer(never) as port:
        probes = [spec(ProbeKind.JOURNEY, port, name=f"p{n}", steps=(HttpCheck(),), timeout_ms=60_000) for n in range(4)]
        async with probing(*probes, limits=ProberLimits(visits=2)) as seen:
            result = await seen.until(lambda _: True, times=2)
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_sockets_are_given_back() -> None:
    before = open_files()
    async with tcp_peer(says(OK)) as port, udp_peer(lambda data: data) as (udp_port, _):
        probes = [
            spec(ProbeKind.HTTP, port, name="new"),
            spec(ProbeKind.HTTP, port, name="kept", keep_alive=True),
            spec(ProbeKind.JOURNEY, port, name="journey", steps=(HttpCheck(),), keep_alive=True),
            spec(ProbeKind.UDP, udp_port, name="flow", send=b"x"),
            spec(ProbeKind.UDP, udp_port, name="shared", send=b"x", keep_alive=True),
            spec(ProbeKind.COMMAND, 0, name="command", command=("true",)),
        ]
        async with probing(*probes) as seen:
            for one in probes:
                await seen.until(lambda result, one=one: result.probe == one.id, times=3)  # type: ignore[misc]
    async with asyncio.timeout(DEADLINE_S):
        while open_files() > before:  # noqa: ASYNC110 - the peers' sockets close in their own time
            await asyncio.sleep(0.01)


async def test_a_bad_expression_or_address_is_our_fault() -> None:
    bad = spec(ProbeKind.HTTP, 80, http=HttpCheck(body_match="("))
    result = await first_result(bad)
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
    result = await first_result(spec(ProbeKind.TCP, 80, address="web.example"))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
    assert "web.example" in result.detail


async def test_a_standstill_of_our_own_loop_is_not_a_timeout_of_the_target() -> None:
    async with tcp_peer(never) as port, probing(spec(ProbeKind.HTTP, port, timeout_ms=500)) as seen:
        await seen.until(lambda result: result.fault is Fault.TIMEOUT)
        since = len(seen.results)
        async with asyncio.timeout(DEADLINE_S):
            while seen.prober.figures().pending == 0:  # noqa: ASYNC110 - the next run has to start
                await asyncio.sleep(0.001)
        time.sleep(1.0)  # noqa: ASYNC251 - this is the standstill
        result = await seen.until(lambda _: True, since=since)
        assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
        assert LAGGED in result.detail
        await seen.until(lambda result: result.fault is Fault.TIMEOUT, since=since)
    assert seen.prober.figures().stalls >= 1


async def test_answers_that_waited_through_a_standstill_pass() -> None:
    async with serving_elsewhere() as port, probing(spec(ProbeKind.HTTP, port, timeout_ms=300)) as seen:
        await seen.until(lambda _: True)
        for _ in range(3):
            since = len(seen.results)
            time.sleep(0.6)  # noqa: ASYNC251 - this is the standstill
            await seen.until(lambda _: True, times=2, since=since)
    assert Outcome.FAIL not in {result.outcome for result in seen.results}


SERVER = """
import asyncio
async def serve(reader, writer):
    while await reader.read(4096):
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class serving_elsewhere:  # noqa: N801 - used like a function
    """A server in a process of its own: it goes on while our loop stands still, and can be paused."""

    async def __aenter__(self) -> int:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)  # noqa: ASYNC220
        assert self.process.stdout is not None
        return int(await asyncio.to_thread(self.process.stdout.readline))

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.wait)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def test_a_paused_process_is_a_timeout_and_passes_when_it_goes_on() -> None:
    elsewhere = serving_elsewhere()
    async with elsewhere as port:
        one = spec(ProbeKind.HTTP, port, keep_alive=True, timeout_ms=300)
        async with probing(one) as seen:
            await seen.until(lambda result: result.outcome is Outcome.PASS)
            elsewhere.process.send_signal(signal.SIGSTOP)
            result = await seen.until(lambda result: result.outcome is Outcome.FAIL)
            assert result.fault is Fault.TIMEOUT
            elsewhere.process.send_signal(signal.SIGCONT)
            await seen.until(lambda result: result.outcome is Outcome.PASS, since=len(seen.results))


async def test_a_killed_process_is_refused_even_on_a_kept_connection() -> None:
    elsewhere = serving_elsewhere()
    async with elsewhere as port, probing(spec(ProbeKind.HTTP, port, keep_alive=True)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS, times=2)
        elsewhere.process.kill()
        result = await seen.until(lambda result: result.outcome is Outcome.FAIL)
    assert result.fault is Fault.REFUSED


async def test_a_sink_that_fails_harms_no_other_probe() -> None:
    async with tcp_peer(keeps_saying(OK)) as port:
        probes = [spec(ProbeKind.HTTP, port, name=name) for name in ("bad", "good")]
        async with probing(*probes) as seen:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            seen.raises_for = frozenset({"bad"})
            await seen.until(lambda result: result.probe == "good", times=5, since=len(seen.results))


def test_it_runs_on_uvloop_as_well() -> None:
    async def play() -> None:
        async with tcp_peer(keeps_saying(OK)) as port, udp_peer(lambda data: data) as (udp_port, _):
            probes = [
                spec(ProbeKind.HTTP, port, name="new"),
                spec(ProbeKind.HTTP, port, name="kept", keep_alive=True),
                spec(ProbeKind.JOURNEY, port, name="journey", steps=(HttpCheck(),)),
                spec(ProbeKind.UDP, udp_port, name="flow", send=b"x"),
                spec(ProbeKind.UDP, udp_port, name="shared", send=b"x", keep_alive=True),
                spec(ProbeKind.COMMAND, 0, name="command", command=("true",)),
            ]
            async with probing(*probes) as seen:
                for one in probes:
                    result = await seen.until(lambda result, one=one: result.probe == one.id, times=3)  # type: ignore[misc]
                    assert result.outcome is Outcome.PASS, result

    uvloop.run(play())


@pytest.fixture
def lonely(tmp_path: Path) -> str:
    """A program that probes from inside an empty network namespace and prints what it saw."""
    program = tmp_path / "lonely.py"
    program.write_text(
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from integration.probes.probing import first_result, spec\n"
        "from siteshift.core.model.probe import ProbeKind\n"
        "result = asyncio.run(first_result(spec(ProbeKind(sys.argv[1]), 80, address=sys.argv[2], send=b'x',\n"
        "    keep_alive=len(sys.argv) > 3)))\n"
        "print(result.outcome.value, result.fault.value, result.detail)\n"
    )
    return str(program)


@pytest.mark.parametrize(
    ("kind", "address", "kept"),
    [("tcp", "10.9.9.9", ()), ("tcp", "2001:db8::9", ()), ("udp", "10.9.9.9", ()), ("udp", "10.9.9.9", ("kept",))],
)
def test_without_a_route_of_our_own_there_is_no_evidence(lonely: str, kind: str, address: str, kept: tuple[str, ...]) -> None:
    assert ipaddress.ip_address(address)
    done = subprocess.run(
        ["unshare", "--net", sys.executable, lonely, kind, address, *kept],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"unshare (util-linux) and root are needed: {done.stderr}"
    assert done.stdout.startswith("lost local "), done.stdout


async def test_stopping_in_the_middle_of_many_visits_is_quiet() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with udp_peer(lambda _: None) as (port, _):
        probes = [spec(ProbeKind.UDP, port, name=f"p{n}", send=b"x", interval_ms=100, phase_ms=n % 100) for n in range(200)]
        async with probing(*probes) as seen, asyncio.timeout(DEADLINE_S):
            while seen.prober.figures().pending < 100:  # noqa: ASYNC110 - they have to pile up first
                await asyncio.sleep(0.001)
    assert not complaints
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")]
