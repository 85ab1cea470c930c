"""The lab that stays up: ways in, and a prompt for faults."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console

from siteshift.lab.control import ControlError
from siteshift.lab.faults import (
    FAULTS,
    Fault,
    FaultImpossible,
    MemberCrash,
    MemberFlap,
    SlowMember,
    effect_of,
    name_of,
    parse_fault,
    words_of,
)
from siteshift.lab.node_client import NodeClient, NodeSilent
from siteshift.lab.spec import SERVICE_NAME, ClientSpec
from siteshift.lab.world import Lab, LabShape


async def stay(console: Console, folder: Path, load: int) -> None:
    """Start the lab and obey until told to end. Raises `ChildFailed`, `NodeSilent`, `FolderTaken` and `FolderUnusable`."""
    async with Lab(LabShape(folder=folder, clients=ClientSpec(load_rps=load))) as lab:
        await lab.start_node()
        async with NodeClient(lab.api_socket) as node:
            try:
                await node.until_fresh(deadline_s=20)
            except NodeSilent:
                if not lab.children["node"].is_running:
                    raise lab.children.failed("node") from None
                raise
            await lab.start_clients()
            _print_ways_in(console, lab)
            await prompt(console, lab, sys.stdin)


def _print_ways_in(console: Console, lab: Lab) -> None:
    socket = lab.api_socket
    console.print("The lab is up: three sites under load, one node, its DNS.", style="bold")
    console.print(f"  status   siteshift --socket {socket} status", markup=False, soft_wrap=True)
    console.print(f"  drain    siteshift --socket {socket} drain pangyo --reason 'try it' --wait", markup=False, soft_wrap=True)
    console.print(f"  live     siteshift --socket {socket} top", markup=False, soft_wrap=True)
    console.print(f"  DNS      dig @{lab.spec.dns} -p {lab.spec.dns_port} {SERVICE_NAME}", markup=False)
    console.print(f"  files    {lab.spec.path}", markup=False)
    console.print("Type a fault: crash@pangyo, hang@gasan, errors:30%@pangyo, latency:1500@anyang;")
    console.print("the same with 'undo' before it; 'load 400'; 'help'; or 'quit'.")
    console.print("A number of errors without % is per mille of all requests; latency is in ms.")


async def prompt(console: Console, lab: Lab, source: TextIO | None) -> None:
    """Obey line by line, from a terminal, a pipe or a file. ``quit`` ends it, and Ctrl-D on a terminal; else the lab stays."""
    is_terminal = source is not None and source.isatty()
    async for line in _lines(source):
        words = line.split()
        if words in (["quit"], ["exit"]):
            return
        if words:
            await obey(console, lab, words)
    if not is_terminal:
        console.print("Nothing more to read; the lab stays up until Ctrl-C.")
        await asyncio.Event().wait()


async def _lines(source: TextIO | None) -> AsyncIterator[str]:
    if source is None:  # it was closed before we began
        return
    if not _can_be_waited_for(source):
        for line in source:
            yield line
        return
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    try:
        while line_read := await reader.readline():
            yield line_read.decode(errors="replace")
    finally:
        transport.close()


def _can_be_waited_for(source: TextIO) -> bool:
    """A file, and /dev/null, cannot be waited for (``epoll_ctl`` refuses them with EPERM), and never has to be."""
    with select.epoll() as poll:
        try:
            poll.register(source.fileno(), select.EPOLLIN)
        except PermissionError:
            return False
    return True


async def obey(console: Console, lab: Lab, words: list[str]) -> None:
    """Do what was typed, or say why not; the lab stays up whatever it was."""
    try:
        if words[0] == "load" and len(words) == 2 and words[1].isascii() and words[1].isdigit():
            await lab.set_load(int(words[1]))
            console.print(f"done: load {int(words[1])}")
        elif words[0] == "undo" and len(words) == 2:
            await _undo(console, lab, _fault(lab, words[1]))
        elif words in (["help"], ["?"]):
            _print_help(console, lab)
        elif len(words) == 1:
            fault = _fault(lab, words[0])
            await lab.apply(fault)
            effect = effect_of(fault)
            console.print(f"done: {words_of(fault)}" + (f": {effect}" if effect else ""), markup=False, soft_wrap=True)
        else:
            console.print("not understood; `help` says what is", markup=False)
    except FaultImpossible as error:
        console.print(str(error), markup=False)
    except ControlError as error:
        console.print(f"the site does not answer; if it crashed or hangs, undo that first ({error})", markup=False)


async def _undo(console: Console, lab: Lab, fault: Fault) -> None:
    """Take a fault back, if there is one of its kind."""
    if not lab.wrongs.like(fault):
        there = ", ".join(words_of(one) for one in lab.wrongs) or "nothing"
        text = f"there is no {name_of(fault)} at {fault.site or 'any site'} to undo; what is wrong now: {there}"
        console.print(text, markup=False, soft_wrap=True)
        return
    await lab.undo(fault)
    console.print(f"done: undo {name_of(fault)}@{fault.site or 'everywhere'}", markup=False)


def _print_help(console: Console, lab: Lab) -> None:
    """All there is to type."""
    console.print("FAULT@SITE or FAULT:NUMBER@SITE; `undo FAULT@SITE`; `load REQUESTS_PER_S`; `quit`", markup=False)
    console.print(f"faults: {', '.join(FAULTS)}", markup=False)
    console.print("numbers: errors in per cent of all requests (30%) or per mille (300), latency in added ms (1500),")
    console.print("slow_member in per mille of the usual time (10000). Faults of a member hit the first of its site;")
    console.print("health_page_broken also takes @everywhere.")
    console.print(f"sites: {', '.join(site.id for site in lab.spec.sites)}", markup=False)


def _fault(lab: Lab, text: str) -> Fault:
    """The fault that was typed, at the site that was named. Raises `FaultImpossible` also for a site the lab does not have."""
    fault = parse_fault(text, site="", member="")
    sites = {site.id: site for site in lab.spec.sites}
    if fault.site and fault.site not in sites:
        raise FaultImpossible(f"unknown site {fault.site!r}; known: {', '.join(sites)}")
    if isinstance(fault, SlowMember | MemberCrash | MemberFlap):
        return replace(fault, member=sites[fault.site].members[0].name)
    return fault
