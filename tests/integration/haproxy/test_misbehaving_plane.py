"""HAProxy gone, stopped or dying in the middle: nothing is guessed, and what is not known is said."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy
from servers.web_members import WebMember
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Fence
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.core.model.codes import EnactOutcome
from siteshift.errors import Ambiguous, Permanent, Retryable

from .planes import ANYANG, GASAN, PANGYO, WEB, WallClock, backend, global_plane, steering
from .relay import relay

DEADLINE_MS = 10_000
SHORT_MS = 300
"""Deadline of calls that must run into it."""
DRAINED = {PANGYO: 0, GASAN: 6000, ANYANG: 4000}


async def test_a_socket_that_is_gone_is_failed_and_unknown(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await lb.stop()
    result = await enactor.enact(steering(1, DRAINED), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.FAILED
    with pytest.raises(Retryable):
        await enactor.read_back(deadline_ms=DEADLINE_MS)


async def test_a_stopped_haproxy_has_not_been_written_to(lb: HaproxyServer, clock: WallClock) -> None:
    """It hangs at the first question: nothing was sent that changes anything."""
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    lb.freeze()
    result = await enactor.enact(steering(1, DRAINED), deadline_ms=SHORT_MS)
    assert result.outcome is EnactOutcome.FAILED
    with pytest.raises(Retryable):
        await enactor.read_back(deadline_ms=SHORT_MS)
    lb.thaw()
    assert (await enactor.enact(steering(1, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED


async def test_a_haproxy_stopped_after_the_changes_were_sent_is_ambiguous(
    lb: HaproxyServer, clock: WallClock, tmp_path: Path
) -> None:
    front = tmp_path / "relay.sock"
    async with relay(front, lb.socket, on="set server", act=lb.freeze):
        enactor = HaproxyEnactor(global_plane(f"unix:{front}"), clock)
        result = await enactor.enact(steering(1, DRAINED), deadline_ms=1000)
        assert result.outcome is EnactOutcome.AMBIGUOUS
        lb.thaw()
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert back.generation is None, "claimed but never said to be done"
        assert back.drifts == (), "we do not know what we wrote, so nobody is accused"
        assert (await enactor.enact(steering(1, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == DRAINED


async def test_a_haproxy_killed_while_it_is_written_to_is_ambiguous(lb: HaproxyServer, clock: WallClock, tmp_path: Path) -> None:
    front = tmp_path / "relay.sock"
    async with relay(front, lb.socket, on="set server", act=lambda: lb.signal(signal.SIGKILL)):
        enactor = HaproxyEnactor(global_plane(f"unix:{front}"), clock)
        result = await enactor.enact(steering(1, DRAINED), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.AMBIGUOUS


async def test_an_overtaken_writer_learns_of_it(lb: HaproxyServer, clock: WallClock, tmp_path: Path) -> None:
    """Somebody claims a newer generation between our claim and the end of our write."""
    front = tmp_path / "relay.sock"
    overtake = "experimental-mode on;set var proc.siteshift_lb_1_claim,iflt int(9)"

    def claim() -> None:
        """With a blocking client: the relay waits, as a paused writer would."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(lb.socket))
            sock.sendall(overtake.encode() + b"\n")
            while sock.recv(4096):
                pass

    async with relay(front, lb.socket, on="set server", act=claim):
        enactor = HaproxyEnactor(global_plane(f"unix:{front}"), clock)
        result = await enactor.enact(steering(8, DRAINED), deadline_ms=DEADLINE_MS)
    assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 9)


@pytest.mark.parametrize("fence", list(Fence))
async def test_a_reload_without_losing_a_connection_is_noticed_as_well(
    members: dict[str, WebMember], clock: WallClock, tmp_path: Path, fence: Fence, version: HaproxyVersion
) -> None:
    """The socket answers all the time; only the generation tells that another process has taken over."""
    async with haproxy(tmp_path, backend(members), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address, fence=fence), clock)
        assert (await enactor.enact(steering(3, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        await lb.reload()
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (back.generation, back.drifts) == (None, ())
        assert (await enactor.enact(steering(3, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (back.generation, back.shares_bp[WEB]) == (3, DRAINED)


async def test_a_restart_between_looking_and_writing_is_noticed(lb: HaproxyServer, clock: WallClock, tmp_path: Path) -> None:
    """What we looked at was another process: nothing is written by the old view, or it is ambiguous; never applied."""
    front = tmp_path / "relay.sock"
    direct = HaproxyEnactor(global_plane(lb.address), clock)
    nominal = {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
    for on in ("_claim,iflt int(2)", "set server"):
        assert (await direct.enact(steering(1, nominal), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        async with relay(front, lb.socket, on=on, act=lb.restart):
            enactor = HaproxyEnactor(global_plane(f"unix:{front}"), clock)
            result = await enactor.enact(steering(2, DRAINED), deadline_ms=DEADLINE_MS)
            assert result.outcome in (EnactOutcome.FAILED, EnactOutcome.AMBIGUOUS), result
            assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation is None
            assert (await enactor.enact(steering(2, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
            assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == DRAINED
        front.unlink()
        await lb.restart()


async def test_a_socket_without_admin_level_is_a_permanent_failure(lb: HaproxyServer, clock: WallClock, tmp_path: Path) -> None:
    folder = tmp_path / "operator"
    folder.mkdir()
    low = folder / "low.sock"
    sections = f"backend web\n  server p1 127.0.0.1:{lb.port}\nglobal\n  stats socket {low} level user\n"
    async with haproxy(folder, sections):
        api = RuntimeApi(f"unix:{low}", system="haproxy low")
        with pytest.raises(Permanent):
            await api.ask(["get var proc.siteshift_lb_1_claim"], deadline_ms=DEADLINE_MS)
        enactor = HaproxyEnactor(global_plane(f"unix:{low}"), clock)
        result = await enactor.enact(steering(1, DRAINED), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED


async def test_an_error_in_the_middle_of_a_line_does_not_stop_the_rest(lb: HaproxyServer) -> None:
    api = RuntimeApi(lb.address, system="haproxy lb-1")
    commands = [
        "set server web/p1 weight 1",
        "set server web/nobody weight 2",
        "set server nowhere/p1 weight 3",
        "set server web/p1 weight 999",
        "set server web/p2 weight 4",
    ]
    refused = await api.change(commands, deadline_ms=DEADLINE_MS)
    assert [(entry.command, entry.message) for entry in refused] == [
        (commands[1], "No such server."),
        (commands[2], "No such backend."),
        (commands[3], "Absolute weight can only be between 0 and 256 inclusive."),
    ]
    weights = await api.ask(["get var proc.nothing", "show servers state web"], deadline_ms=DEADLINE_MS)
    assert "variable not found" in weights[0].lower()
    assert [line.split()[7] for line in weights[1].splitlines()[2:4]] == ["1", "4"]


async def test_nothing_listening_is_retryable_and_silence_after_sending_is_ambiguous(lb: HaproxyServer) -> None:
    nobody = RuntimeApi("unix:/nonexistent/stats.sock", system="haproxy none")
    with pytest.raises(Retryable):
        await nobody.change(["set server web/p1 weight 1"], deadline_ms=DEADLINE_MS)
    api = RuntimeApi(lb.address, system="haproxy lb-1")
    lb.freeze()
    with pytest.raises(Ambiguous) as caught:
        await api.change(["set server web/p1 weight 1"], deadline_ms=SHORT_MS)
    lb.thaw()
    assert caught.value.system == "haproxy lb-1"
    assert caught.value.operation == "set server web/p1 weight 1"
