"""The standby hook of one site and the outside anchors: tiny HTTP servers that must not die with a site.

``python -m siteshift.lab.hook --spec FILE --site ID`` answers on the site's hook address::

    POST /standby/activate?member=gs1   start it; ready after ``start_ms``
    POST /standby/retire?member=gs1     send it back to standby
    GET  /standby/phase?member=gs1      {"member": "gs1", "phase": "cold" | "starting" | "ready" | "failed"}

Every answer is the phase. ``--anchors`` instead of ``--site`` answers ``ok`` on every anchor address.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import uvloop

from siteshift.core.model.codes import MemberRole, StandbyPhase
from siteshift.lab.control import ControlError, ask, die_with_parent, parent_is_gone
from siteshift.lab.spec import LabSpec, SiteSpec, load_spec

SITE_DEADLINE_MS = 500
"""How long the hook waits for its site's process before it says that the member failed."""

Respond = Callable[[str, str], Awaitable[tuple[int, str]]]


class StandbyHook:
    """The phases of one site's standby members. What the site's process says about a listener wins over memory."""

    def __init__(self, spec: LabSpec, site: SiteSpec) -> None:
        self._control = spec.control(site.id)
        self._start_s = spec.start_ms / 1000
        self._phases = {m.name: StandbyPhase.COLD for m in site.members if m.role is MemberRole.STANDBY}
        self._starting: dict[str, asyncio.Task[None]] = {}

    async def respond(self, method: str, target: str) -> tuple[int, str]:
        """One HTTP request: status and body."""
        parts = urlsplit(target)
        member = parse_qs(parts.query).get("member", [""])[0].rsplit("/", 1)[-1]
        if member not in self._phases:
            return 404, json.dumps({"error": f"no standby member {member!r} here"})
        match method, parts.path:
            case "POST", "/standby/activate":
                await self._activate(member)
            case "POST", "/standby/retire":
                await self._retire(member)
            case "GET", "/standby/phase":
                await self._look(member)
            case _:
                return 404, json.dumps({"error": "unknown call"})
        return 200, json.dumps({"member": member, "phase": self._phases[member]})

    async def _activate(self, member: str) -> None:
        await self._look(member)
        if self._phases[member] in (StandbyPhase.COLD, StandbyPhase.FAILED):
            self._phases[member] = StandbyPhase.STARTING
            self._starting[member] = asyncio.get_running_loop().create_task(self._start(member), name=f"start {member}")

    async def _start(self, member: str) -> None:
        await asyncio.sleep(self._start_s)
        try:
            await ask(self._control, {"do": "open", "member": member}, deadline_ms=SITE_DEADLINE_MS)
        except ControlError:
            self._phases[member] = StandbyPhase.FAILED
        else:
            self._phases[member] = StandbyPhase.READY

    async def _retire(self, member: str) -> None:
        if task := self._starting.pop(member, None):
            task.cancel()
        try:
            await ask(self._control, {"do": "close", "member": member}, deadline_ms=SITE_DEADLINE_MS)
        except ControlError:
            self._phases[member] = StandbyPhase.FAILED
        else:
            self._phases[member] = StandbyPhase.COLD

    async def _look(self, member: str) -> None:
        """A site that restarted has cold standbys again, whatever we remember; one that is silent has failed."""
        if self._phases[member] is not StandbyPhase.READY:
            return
        try:
            stats = await ask(self._control, {"do": "stats"}, deadline_ms=SITE_DEADLINE_MS)
        except ControlError:
            self._phases[member] = StandbyPhase.FAILED
            return
        members = stats["members"]
        if isinstance(members, dict) and not members[member]["open"]:
            self._phases[member] = StandbyPhase.COLD


async def _anchor(_method: str, _target: str) -> tuple[int, str]:
    return 200, "ok"


async def _serve_http(address: str, port: int, respond: Respond) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await _answer(head, reader, writer, respond)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(talk, address, port)


async def _answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Respond) -> None:
    request_line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _version = request_line.split(" ", 2)
    headers = dict(field.lower().split(":", 1) for field in fields if ":" in field)
    await reader.readexactly(int(headers.get("content-length", "0")))
    status, body = await respond(method, target)
    reason = "OK" if status == 200 else "Not Found"
    writer.write(
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    await writer.drain()


async def _serve(spec: LabSpec, site: str | None) -> None:
    if site is None:
        servers = [await _serve_http(address, spec.port, _anchor) for address in spec.anchors]
    else:
        found = spec.site(site)
        servers = [await _serve_http(found.hook, spec.port, StandbyHook(spec, found).respond)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """The process. Dies with its parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--site")
    what.add_argument("--anchors", action="store_true")
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    die_with_parent()
    if parent_is_gone(options.parent):
        return
    uvloop.run(_serve(load_spec(options.spec), options.site))


if __name__ == "__main__":
    main()
