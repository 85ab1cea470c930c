"""The lab's processes are real, its faults are real, and nothing of it outlives it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lab.scripted_dns import scripted_dns
from lab.waiting import until, until_answer
from siteshift.cli.lab_prompt import obey, prompt
from siteshift.lab.control import ControlError
from siteshift.lab.faults import (
    BlackHole,
    Crash,
    Errors,
    FaultImpossible,
    Hang,
    HealthPageBroken,
    Latency,
    MemberCrash,
    MemberFlap,
    ProbeLie,
)
from siteshift.lab.spec import ClientSpec
from siteshift.lab.timeline import totals
from siteshift.lab.world import Lab, LabShape


def quick(**clients: int) -> LabShape:
    """A lab whose clients are few and whose standbys start quickly."""
    return LabShape(clients=ClientSpec(load_rps=200, users=100, resolvers=100, **clients), start_ms=50)  # type: ignore[arg-type]


async def get(address: str, port: int, path: str, *, method: str = "GET", deadline_s: float = 5.0) -> tuple[int, str]:
    """One exchange on a new connection: status and the whole answer."""
    async with asyncio.timeout(deadline_s):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        writer.close()
    return int(head[9:12]), (head + body).decode()


async def test_sites_serve_on_their_front_and_on_every_active_member() -> None:
    async with Lab(quick()) as lab:
        for site in lab.spec.sites:
            status, text = await get(site.front, lab.spec.port, "/work")
            assert status == 200
            assert f"X-Site: {site.id}" in text
            for member in site.members[:4]:
                status, text = await get(member.address, member.port, "/healthz")
                assert (status, f"X-Member: {member.name}" in text) == (200, True)


async def test_a_journey_needs_the_token_it_was_given() -> None:
    async with Lab(quick()) as lab:
        front = lab.spec.sites[0].front
        _, text = await get(front, lab.spec.port, "/login")
        token = text.rsplit("token=", 1)[1]
        assert (await get(front, lab.spec.port, f"/fetch?token={token}"))[0] == 200
        assert (await get(front, lab.spec.port, "/fetch?token=wrong"))[0] == 403
        assert (await get(front, lab.spec.port, "/nowhere"))[0] == 404


async def test_a_crashed_site_refuses_and_comes_back() -> None:
    async with Lab(quick()) as lab:
        front = lab.spec.site("pangyo").front
        await lab.apply(Crash(site="pangyo"))
        with pytest.raises(ConnectionRefusedError):
            await get(front, lab.spec.port, "/healthz")
        assert (await get(lab.spec.site("gasan").front, lab.spec.port, "/healthz"))[0] == 200
        await lab.undo(Crash(site="pangyo"))
        assert (await get(front, lab.spec.port, "/healthz"))[0] == 200


async def test_a_hanging_site_accepts_and_says_nothing() -> None:
    async with Lab(quick()) as lab:
        front = lab.spec.site("pangyo").front
        await lab.apply(Hang(site="pangyo"))
        with socket.create_connection((front, lab.spec.port), timeout=5):
            pass
        with pytest.raises(TimeoutError):
            await get(front, lab.spec.port, "/healthz", deadline_s=0.3)
        await lab.undo(Hang(site="pangyo"))
        assert (await get(front, lab.spec.port, "/healthz"))[0] == 200


async def test_errors_lies_broken_pages_and_latency() -> None:
    async with Lab(quick()) as lab:
        front, port = lab.spec.site("pangyo").front, lab.spec.port

        async def pages() -> tuple[int, int]:
            return (await get(front, port, "/healthz"))[0], (await get(front, port, "/work"))[0]

        await lab.apply(Errors(site="pangyo", rate_pm=1_000))
        assert await pages() == (500, 500)
        await lab.undo(Errors(site="pangyo"))
        assert await pages() == (200, 200)
        await lab.apply(ProbeLie(site="pangyo"))
        assert await pages() == (200, 500)
        await lab.undo(ProbeLie(site="pangyo"))
        await lab.apply(HealthPageBroken())
        assert await pages() == (500, 200)
        assert (await get(lab.spec.site("gasan").front, port, "/healthz"))[0] == 500
        await lab.undo(HealthPageBroken())
        await lab.apply(Latency(site="pangyo", added_ms=600))
        with pytest.raises(TimeoutError):
            await get(front, port, "/healthz", deadline_s=0.3)


async def test_one_member_crashes_and_the_front_goes_around_it() -> None:
    async with Lab(quick()) as lab:
        site = lab.spec.site("pangyo")
        fault = MemberCrash(site="pangyo", member="p1")
        await lab.apply(fault)
        with pytest.raises(ConnectionRefusedError):
            await get(site.members[0].address, lab.spec.port, "/healthz")
        served_by = {(await get(site.front, lab.spec.port, "/work"))[1].split("X-Member: ")[1][:2] for _ in range(8)}
        assert served_by == {"p2", "p3", "p4"}
        await lab.undo(fault)
        assert (await get(site.members[0].address, lab.spec.port, "/healthz"))[0] == 200


async def test_a_flapping_member_goes_down_and_up_until_it_settles() -> None:
    async with Lab(quick()) as lab:
        member = lab.spec.site("pangyo").members[0]
        fault = MemberFlap(site="pangyo", member="p1", down_ms=60, up_ms=60)

        def serves() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((member.address, member.port)) == 0

        await lab.apply(fault)
        for _ in range(2):
            await until(lambda: not serves(), "the member goes down")
            await until(serves, "the member comes up")
        await lab.undo(fault)
        assert serves()


async def test_a_black_hole_needs_a_network_namespace() -> None:
    async with Lab(quick()) as lab:
        with pytest.raises(FaultImpossible):
            await lab.apply(BlackHole(site="pangyo"))


async def test_a_standby_is_cold_until_its_hook_opens_it() -> None:
    async with Lab(quick()) as lab:
        site = lab.spec.site("gasan")
        standby = site.members[4]

        async def phase(verb: str = "GET", call: str = "phase") -> str:
            _, text = await get(site.hook, lab.spec.port, f"/standby/{call}?member={standby.name}", method=verb)
            return str(json.loads(text.split("\r\n\r\n")[1])["phase"])

        assert await phase() == "cold"
        with pytest.raises(ConnectionRefusedError):
            await get(standby.address, standby.port, "/healthz")
        assert await phase("POST", "activate") == "starting"
        await until_answer(phase, "ready")
        assert (await get(standby.address, standby.port, "/healthz"))[0] == 200
        assert (await lab.capacities())["gasan"] == site.capacity_rps(standby.role) // 2 + 80
        await lab.apply(Crash(site="gasan"))
        assert await phase() == "failed"
        await lab.undo(Crash(site="gasan"))
        assert await phase("POST", "retire") == "cold"


async def test_clients_count_what_is_served_and_what_a_crash_loses() -> None:
    async with Lab(quick()) as lab:
        fronts = [site.front for site in lab.spec.sites]
        async with scripted_dns((lab.spec.dns, lab.spec.dns_port), fronts, ttl_s=1):
            await lab.start_clients()

            def served(site: str) -> int:
                lab.timeline.refresh()
                found = totals(lab.timeline.bins)
                return found[site].served if site in found else 0

            await until(lambda: all(served(site) > 20 for site in lab.site_ids), "every site serves")
            assert sum(entry.lost for entry in lab.timeline.bins) == 0
            await lab.apply(Crash(site="pangyo"))
            await until(lambda: lost(lab, "pangyo", "refused") > 20, "the crash loses requests")
            assert any(entry.first_bad_ms for entry in lab.timeline.bins)
            assert {site for site in lab.site_ids if lost(lab, site)} == {"pangyo"}


async def test_clients_wait_for_a_hanging_site_only_until_their_deadline() -> None:
    async with (
        Lab(quick(deadline_ms=200)) as lab,
        scripted_dns((lab.spec.dns, lab.spec.dns_port), [lab.spec.sites[0].front], ttl_s=1),
    ):
        await lab.start_clients()
        await lab.apply(Hang(site="pangyo"))
        await until(lambda: lost(lab, "pangyo", "deadline") > 20, "users give up")


def lost(lab: Lab, site: str, reason: str | None = None) -> int:
    """Requests lost at a site since the start, for one reason or any."""
    lab.timeline.refresh()
    found = totals(lab.timeline.bins)
    if site not in found:
        return 0
    return found[site].lost_total if reason is None else found[site].lost.get(reason, 0)


async def test_no_process_and_no_folder_outlives_the_block() -> None:
    async with Lab(quick()) as lab:
        pids, folder = lab.children.pids, lab.spec.path
        assert len(pids) == 6
        await lab.apply(Hang(site="gasan"))
    assert not [pid for pid in pids if alive(pid)]
    assert not folder.exists()


async def test_nothing_outlives_an_exception() -> None:
    pids: list[int] = []
    with pytest.raises(RuntimeError, match="in the middle"):
        async with Lab(quick()) as lab:
            pids = lab.children.pids
            raise RuntimeError("in the middle")
    assert not [pid for pid in pids if alive(pid)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_nothing_outlives_a_killed_lab(number: signal.Signals, tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib\n"
        "from siteshift.lab.world import Lab, LabShape\n"
        "async def main():\n"
        f"    async with Lab(LabShape(folder=pathlib.Path({str(tmp_path)!r}))) as lab:\n"
        "        print(*lab.children.pids, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await process.stdout.readline()).split()]
    assert len(pids) == 6
    process.send_signal(number)
    await asyncio.wait_for(process.wait(), 30)
    await until(lambda: not any(alive(pid) for pid in pids), "every child is gone")


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_two_labs_run_side_by_side() -> None:
    async with Lab(quick()) as one, Lab(quick()) as other:
        assert one.spec.sites[0].front != other.spec.sites[0].front
        await one.apply(Crash(site="pangyo"))
        assert (await get(other.spec.sites[0].front, other.spec.port, "/healthz"))[0] == 200


async def test_a_site_that_does_not_answer_is_an_error_not_a_wait() -> None:
    async with Lab(quick()) as lab:
        await lab.apply(Crash(site="pangyo"))
        with pytest.raises(ControlError):
            await lab.apply(Errors(site="pangyo"))


async def test_users_who_try_again_lose_less() -> None:
    """Half of the answers lead to a dead site; another try asks DNS again, where the answers take turns."""
    lost_part = {}
    for retries in (0, 3):
        async with Lab(quick(retries=retries, reuse_pm=0)) as lab:
            fronts = [lab.spec.site("pangyo").front, lab.spec.site("gasan").front]
            async with scripted_dns((lab.spec.dns, lab.spec.dns_port), fronts, ttl_s=0):
                await lab.apply(Crash(site="pangyo"))
                await lab.start_clients()
                await until(lambda lab=lab: offered(lab) > 300, "there was load")  # type: ignore[misc]
                lost_part[retries] = lost(lab, "pangyo") / offered(lab)
    assert lost_part[0] > 0.3
    assert lost_part[3] < lost_part[0] / 2


def offered(lab: Lab) -> int:
    """Requests begun since the start."""
    lab.timeline.refresh()
    return sum(entry.offered for entry in lab.timeline.bins)


async def test_the_load_can_be_changed_while_it_runs() -> None:
    async with (
        Lab(quick()) as lab,
        scripted_dns((lab.spec.dns, lab.spec.dns_port), [lab.spec.sites[0].front], ttl_s=5),
    ):
        await lab.start_clients()
        await until(lambda: offered(lab) > 50, "there is load")
        await lab.set_load(0)
        quiet_from = len(lab.timeline.bins) + 3
        await until(lambda: bool(lab.timeline.refresh()) and len(lab.timeline.bins) > quiet_from + 5, "time passes")
        assert sum(entry.offered for entry in lab.timeline.bins[quiet_from:]) <= 1
        await lab.set_load(400)
        before = offered(lab)
        await until(lambda: offered(lab) > before + 50, "there is load again")


async def test_the_prompt_outlives_what_is_typed_wrong_and_says_so() -> None:
    async with Lab(quick()) as lab:
        console = Console(file=io.StringIO(), width=80)
        for typed in ("crash@pangio", "undo crash@pangio", "nonsense at all", "crash@pangyo", "errors:300@pangyo"):
            await obey(console, lab, typed.split())
        assert isinstance(console.file, io.StringIO)
        said = console.file.getvalue()
        assert said.count("unknown site 'pangio'; known: pangyo, gasan, anyang") == 2
        assert said.count("done") == 1, "nothing is called done that was not"
        assert "the site does not answer" in said
        assert (await get(lab.spec.sites[1].front, lab.spec.port, "/work"))[0] == 200


async def test_the_prompt_reads_a_pipe_and_names_what_it_did_and_where() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"help\ncrash\nerrors@gasan\nmember_crash@gasan\nundo hang@anyang\nundo errors@gasan\n")
    os.write(writing, b"undo crash@gasan\nquit\n")
    os.close(writing)
    async with Lab(quick()) as lab:
        console = Console(file=io.StringIO(), width=160)
        async with asyncio.timeout(20):
            await prompt(console, lab, os.fdopen(reading))
        assert isinstance(console.file, io.StringIO)
        said = console.file.getvalue()
        assert "health_page_broken" in said and "sites: pangyo, gasan, anyang" in said
        assert "where? write crash@SITE" in said, "nobody crashes a site that was not named"
        first = lab.spec.sites[1].members[0].name
        for done in ("errors:300@gasan: 30 % of its answers are errors", f"member_crash@gasan ({first})", "undo errors@gasan"):
            assert f"done: {done}\n" in said
        assert "there is no hang at anyang to undo; what is wrong now: errors:300@gasan, member_crash" in said
        assert "there is no crash at gasan to undo; what is wrong now: member_crash" in said
        assert (await get(lab.spec.sites[0].front, lab.spec.port, "/work"))[0] == 200


async def test_a_lab_whose_input_ends_stays_up_and_says_so(tmp_path: Path) -> None:
    (typed := tmp_path / "typed").write_text("errors:20%@gasan\n")
    async with Lab(quick()) as lab:
        console = Console(file=io.StringIO(), width=160)
        with typed.open() as source:
            staying = asyncio.create_task(prompt(console, lab, source))
            assert isinstance(console.file, io.StringIO)
            said = console.file
            await until(lambda: "stays up until Ctrl-C" in said.getvalue(), "it said that there is nothing more")
            assert "done: errors:200@gasan: 20 % of its answers are errors" in said.getvalue() and not staying.done()
            staying.cancel()
