"""What a node says on its event stream, in the words of the measurements.

The stream (``GET /v1/events``, server-sent events) carries messages ``{"at_ms", "kind", "data"}``. `interpret` is pure,
so a journal's rows can be read by it as well.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from siteshift.lab.measure import DIAGNOSIS, HIGHLIGHT, NOTE, SUSPICION, WRITE, NodeEvent, SharesAt

Message = Mapping[str, Any]
LINE_BYTES = 1 << 20
"""The longest message; a decision about a thousand services stays below it."""


async def node_messages(socket: Path) -> AsyncIterator[Message]:
    """Messages from now on, until the caller stops or the node ends the stream. Raises `aiohttp.ClientError`."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    connector = aiohttp.UnixConnector(path=str(socket))
    headers = {"Accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get("http://node/v1/events", headers=headers, read_bufsize=LINE_BYTES) as answer,
    ):
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


@dataclass(slots=True)
class Interpreter:
    """Turns messages into events; remembers which generations moved shares and which diagnoses are known."""

    events: list[NodeEvent] = field(default_factory=list)
    desired: list[SharesAt] = field(default_factory=list)
    _moving: set[int] = field(default_factory=set)
    _diagnosed: set[tuple[str, str, str]] = field(default_factory=set)
    _phases: dict[str, str] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Read one message; kinds that say nothing about a run are left out."""
        at_ms, data = int(message.get("at_ms", 0)), message.get("data", {})
        match message.get("kind"):
            case "life":
                self._life(at_ms, data)
            case "belief":
                self._belief(at_ms, data)
            case "decision":
                self._decision(at_ms, data)
            case "enacted":
                self._enacted(at_ms, data)
            case "standby_report":
                self._standby(at_ms, str(data["member"]), str(data["phase"]))
            case "standby_activate":
                self._add(at_ms, NOTE, f"standby {data['member']} is started", _site_of(data["member"]))
            case "notice":
                self._add(at_ms, NOTE, f"{data['code']}: {data['text']}")
            case _:
                pass

    def _add(self, at_ms: int, kind: str, text: str, site: str = "") -> None:
        self.events.append(NodeEvent(at_ms=at_ms, kind=kind, text=text, site=site))

    def _life(self, at_ms: int, data: Message) -> None:
        site, life = str(data["site"]), str(data["to"])
        if life == "suspect":
            self._add(at_ms, SUSPICION, f"{site} is suspected", site)
        else:
            is_leaving = life in ("draining", "drained")  # a site that comes back has a reason too: that it was left by
            because = f" ({data['because']})" if is_leaving and data.get("because") else ""
            self._add(at_ms, HIGHLIGHT, f"{site}: {life}{because}", site)

    def _standby(self, at_ms: int, member: str, phase: str) -> None:
        """Drivers are asked again and again; only what is new is said."""
        if self._phases.get(member) != phase:
            self._phases[member] = phase
            self._add(at_ms, NOTE, f"standby {member} is {phase}", _site_of(member))

    def _belief(self, at_ms: int, data: Message) -> None:
        named = {(str(d["code"]), str(d["site"] or ""), str(d["member"] or "")): str(d["reason"]) for d in data["diagnoses"]}
        for key in named.keys() - self._diagnosed:
            code, site, member = key
            kind = DIAGNOSIS if site and not member else NOTE
            self._add(at_ms, kind, f"{code} {member or site}: {named[key]}", site)
        self._diagnosed = set(named)

    def _decision(self, at_ms: int, data: Message) -> None:
        for service in data["services"]:
            after = service["after_bp"]
            before = service.get("before_bp", after)
            if before != after:
                self._moving.add(int(data["generation"]))
            if before == after and "before_bp" in service:
                continue
            self.desired.append(SharesAt(at_ms=at_ms, shares_bp={str(site): int(bp) for site, bp in after.items()}))
            shares = ", ".join(f"{site} {bp / 100:g} %" for site, bp in after.items())
            self._add(at_ms, NOTE, f"decides generation {data['generation']}: {shares}")

    def _enacted(self, at_ms: int, data: Message) -> None:
        generation = int(data["generation"])
        moves = generation in self._moving and data["outcome"] == "applied"
        text = f"{data['enactor']}: generation {generation} {data['outcome']}"
        self._add(at_ms, WRITE if moves else NOTE, text)


def interpret(messages: Iterable[Message]) -> Interpreter:
    """Read many messages."""
    interpreter = Interpreter()
    for message in messages:
        interpreter.take(message)
    return interpreter


def _site_of(member: str) -> str:
    parts = member.split("/")
    return parts[1] if len(parts) == 3 else ""
