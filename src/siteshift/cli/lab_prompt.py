"""The lab that stays up: ways in, and a prompt for faults."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from siteshift.lab.control import ControlError
from siteshift.lab.faults import Fault, FaultImpossible, apply, parse_fault, undo
from siteshift.lab.node_client import NodeClient
from siteshift.lab.spec import SERVICE_NAME, ClientSpec
from siteshift.lab.world import Lab, LabShape


async def stay(console: Console, folder: Path, load: int) -> None:
    """Start the lab and obey until told to end. Raises `ChildFailed` and `NodeSilent`."""
    async with Lab(LabShape(folder=folder, clients=ClientSpec(load_rps=load))) as lab:
        await lab.start_node()
        async with NodeClient(lab.api_socket) as node:
            await node.until_fresh(deadline_s=20)
            await lab.start_clients()
            _print_ways_in(console, lab)
            await _prompt(console, lab)


def _print_ways_in(console: Console, lab: Lab) -> None:
    socket = lab.api_socket
    console.print("The lab is up: three sites under load, one node, its DNS.", style="bold")
    console.print(f"  status   siteshift --socket {socket} status", markup=False, soft_wrap=True)
    console.print(f"  drain    siteshift --socket {socket} drain pangyo --reason 'try it' --wait", markup=False, soft_wrap=True)
    console.print(f"  live     siteshift --socket {socket} top", markup=False, soft_wrap=True)
    console.print(f"  DNS      dig @{lab.spec.dns} -p {lab.spec.dns_port} {SERVICE_NAME}", markup=False)
    console.print(f"  files    {lab.spec.path}", markup=False)
    console.print("Type a fault: crash@pangyo, hang@gasan, errors:300@pangyo, latency:1500@anyang;")
    console.print("the same with 'undo' before it; 'load 400'; or 'quit'.")
    console.print("Errors are per mille of all requests, latency is in ms.")


async def _prompt(console: Console, lab: Lab) -> None:
    """Read commands; without a terminal, just stay."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():
        await asyncio.Event().wait()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        words = line.decode(errors="replace").split()
        if words in (["quit"], ["exit"]):
            return
        if words:
            await obey(console, lab, words)


async def obey(console: Console, lab: Lab, words: list[str]) -> None:
    """Do what was typed, or say why not; the lab stays up whatever it was."""
    try:
        if words[0] == "load" and len(words) == 2 and words[1].isdigit():
            await lab.set_load(int(words[1]))
        elif words[0] == "undo" and len(words) == 2:
            await undo(lab, _fault(lab, words[1]))
        elif len(words) == 1:
            await apply(lab, _fault(lab, words[0]))
        else:
            console.print("not understood; see above", markup=False)
            return
        console.print("done")
    except FaultImpossible as error:
        console.print(str(error), markup=False)
    except ControlError as error:
        console.print(f"the site does not answer; if it crashed or hangs, undo that first ({error})", markup=False)


def _fault(lab: Lab, text: str) -> Fault:
    """The fault that was typed. Raises `FaultImpossible` also for a site that the lab does not have."""
    fault = parse_fault(text, site="pangyo", member="p1")
    known = [site.id for site in lab.spec.sites]
    if fault.site and fault.site not in known:
        raise FaultImpossible(f"unknown site {fault.site!r}; known: {', '.join(known)}")
    return fault
