"""``GET``: status, why, plan, overrides, journal, health and metrics. Nothing here changes anything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from siteshift.api.answers import plan_document
from siteshift.api.identity import ASKER
from siteshift.api.problems import problem, reply
from siteshift.api.shown import Shown
from siteshift.core.explain import override_document
from siteshift.core.explain_goals import goals_document, offer_document
from siteshift.core.invariants import single_site_dependencies
from siteshift.core.model.spelling import unknown
from siteshift.core.model.units import SiteId
from siteshift.errors import JournalBroken
from siteshift.ports import Journal, JournalEntry
from siteshift.runtime.broadcast import Subscriber
from siteshift.runtime.node import Node

JOURNAL_PAGE = 1_000
MOST = 2**53 - 1
"""The largest whole number every JSON reader keeps; as milliseconds it is the year 287396."""
KEEP_ALIVE_S = 15.0
"""How often an idle event stream shows that it lives: a listener whose machine is gone is noticed by that."""
STREAMS_PER_PERSON = 16
"""A quarter of all (`limits.api_subscribers`): nobody takes the streams of everybody else."""
STREAM_BUFFER_BYTES = 16_384
"""So much waits in memory, and as much in the kernel, for a listener that does not read; then its time to read runs."""
AHEAD_MS = 5_000
"""An instant this far ahead is now by the clock of who asks: two machines that keep time by NTP differ by less."""
LOOK_S = 1.0
"""How soon the place of a listener that hung up is free."""


Kept = Callable[[], Awaitable[dict[str, Any]]]
"""Tells what is kept of the journal."""


async def nothing_known() -> dict[str, Any]:
    """For a journal that nobody looks after: it is kept whole."""
    return {"segments": []}


@dataclass(slots=True, kw_only=True)
class Looks:
    """Handlers of everything that only looks."""

    node: Node
    journal: Journal
    version: str
    shown: Shown
    kept: Kept = nothing_known
    _streams: Counter[str] = field(default_factory=Counter)
    """Person → event streams they have open."""

    async def health(self, request: web.Request) -> web.Response:
        """Alive: the loop answers."""
        del request
        return reply({"status": "ok", "version": self.version})

    async def ready(self, request: web.Request) -> web.Response:
        """Ready to do the job: it sees, it has seen enough to act, and its store is usable. If not, why not."""
        del request
        state, unready = self.node.loop.state, self.node.unready
        document = {
            "ready": not unready,
            "fresh": state.is_fresh,
            "blind": state.picture.blind,
            "store_usable": state.is_store_usable,
            "because": list(unready),
        }
        return reply(document, status=503 if unready else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        del request
        body = self.node.gauges.metrics.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(self, request: web.Request) -> web.Response:
        del request
        return reply(self.node.status())

    async def members(self, request: web.Request) -> web.Response:
        """Every member: state, weight, evidence, and who took it out."""
        del request
        return reply(self.node.members())

    async def plan(self, request: web.Request) -> web.Response:
        """What is under way or waits for a person; null when nothing would change."""
        del request
        folded = await self.node.proposal()
        if folded is None or folded.plan is None:
            return reply({"plan": None, "offer": None})
        self.shown.note(folded.offer, self.node.clock.now_ms())
        return reply({"plan": plan_document(folded.plan, folded.offer), "offer": offer_document(folded.offer)})

    async def approvals(self, request: web.Request) -> web.Response:
        """Goals that wait for approvals or are carried out, and those of the last day that are over."""
        del request
        return reply({"goals": goals_document(self.node.loop.state, self.node.clock.now_ms())})

    async def overrides(self, request: web.Request) -> web.Response:
        del request
        now_ms = self.node.clock.now_ms()
        return reply({"overrides": [override_document(entry, now_ms) for entry in self.node.loop.state.overrides]})

    async def fate(self, request: web.Request) -> web.Response:
        """What stands in one site only although leaving that site needs it (law 17)."""
        del request
        return reply({"lonely": list(single_site_dependencies(self.node.loop.setup))})

    async def why(self, request: web.Request) -> web.Response:
        """Why a site gets what it gets: now, or from the record at a past instant (``at_ms``)."""
        site = request.match_info["site"]
        known = self.node.loop.setup.topology.site_ids
        if site not in known:
            return problem(404, "UNKNOWN_NAME", "no such site", unknown("site", site, known))
        at_ms = _number(request, "at_ms")
        if at_ms is None:
            return reply(self.node.why(SiteId(site)))
        now_ms = self.node.clock.now_ms()
        if at_ms > now_ms + AHEAD_MS:
            detail = f"the record goes until {_utc(now_ms)}: nothing is known of {_utc(at_ms)}"
            return problem(400, "IN_THE_FUTURE", "that instant is in the future", detail)
        return reply(await self._why_at(site, at_ms))

    async def _why_at(self, site: str, at_ms: int) -> dict[str, Any]:
        """The newest word of the record on each service at a site, at or before an instant.

        ``belief`` and each service say of which instant they are (``at_ms``, ``since_ms``): a diagnosis is recorded when it
        changes, reasons when a generation is decided. What is newer than the generation led to no other one.
        Every generation has one on each service at each site, so the newest generation's are all there is to read.
        """
        found: dict[str, JournalEntry] = {}
        generation: object = None
        async for entry in self.journal.newest("why", until_ms=at_ms):
            generation = generation or entry.data["generation"]
            if entry.data["generation"] != generation:
                break
            if entry.data["site"] == site:
                found.setdefault(str(entry.data["service"]), entry)
        belief = await anext(aiter(self.journal.newest("belief", until_ms=at_ms)), None)
        return {
            "site": site,
            "at_ms": at_ms,
            "belief": {"at_ms": belief.at_ms, **belief.data} if belief else None,
            "services": {
                service: {
                    "since_ms": entry.at_ms,
                    "sequence": entry.sequence,
                    "generation": entry.data["generation"],
                    "lines": entry.data["lines"],
                }
                for service, entry in found.items()
            },
        }

    async def read_journal(self, request: web.Request) -> web.Response:
        """Entries in order, at most a thousand a page; ``after`` goes on. ``kind`` chooses, ``without`` leaves out."""
        since_ms, until_ms = _number(request, "since_ms") or 0, _number(request, "until_ms")
        after = _number(request, "after") or 0
        limit = _number(request, "limit", least=1, most=JOURNAL_PAGE) or JOURNAL_PAGE
        kinds, without = set(request.query.getall("kind", [])), set(request.query.getall("without", []))
        rows: list[dict[str, Any]] = []
        async for entry in self.journal.read(since_ms=since_ms, until_ms=until_ms):
            if entry.sequence <= after or (kinds and entry.kind not in kinds) or entry.kind in without:
                continue
            rows.append(entry_document(entry))
            if len(rows) >= limit:
                break
        return reply({"entries": rows, "after": rows[-1]["sequence"] if rows else after})

    async def kept_journal(self, request: web.Request) -> web.Response:
        """What is in the database, what was sealed, and the bounds."""
        del request
        return reply(await self.kept())

    async def verify_journal(self, request: web.Request) -> web.Response:
        """Walk the hash chain."""
        del request
        try:
            return reply({"holds": True, "entries": await self.journal.verify()})
        except JournalBroken as error:
            return reply({"holds": False, "sequence": error.sequence, "detail": str(error)})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: everything that is recorded, as it happens."""
        if self.node.broadcast.is_full:
            detail = f"{self.node.broadcast.limit} streams are open, which is `limits.api_subscribers`; try again later"
            return problem(503, "TOO_MANY_STREAMS", "too many event streams", detail)
        person = request[ASKER].person
        if self._streams[person] >= STREAMS_PER_PERSON:
            detail = f"{person} has {STREAMS_PER_PERSON} streams open; close one of them"
            return problem(503, "TOO_MANY_STREAMS", "too many event streams", detail)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        messages = self.node.subscribe()
        self._streams[person] += 1
        _keep_little(request.transport)
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            quiet_s = 0.0
            while request.transport is not None:
                message = await _next(messages)
                quiet_s = 0.0 if message else quiet_s + LOOK_S
                if message or quiet_s >= KEEP_ALIVE_S:
                    await response.write(message or b": still here\n\n")
                    quiet_s = 0.0
        except ConnectionError:
            pass
        finally:
            await messages.aclose()
            self._streams[person] -= 1
        return response


def _keep_little(transport: asyncio.Transport | None) -> None:
    """Buffer little for this listener, so that it is soon noticed when it does not read."""
    if transport is not None:
        transport.set_write_buffer_limits(high=STREAM_BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)


async def _next(messages: Subscriber) -> bytes:
    """The next message; nothing when none came within `LOOK_S`."""
    try:
        async with asyncio.timeout(LOOK_S):
            return _sse(await anext(messages))
    except TimeoutError:
        return b""


def _sse(message: dict[str, Any]) -> bytes:
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return f"id: {message['sequence']}\nevent: {message['kind']}\ndata: {data}\n\n".encode()


def entry_document(entry: JournalEntry) -> dict[str, Any]:
    """A journal entry as a document."""
    return {
        "sequence": entry.sequence,
        "at_ms": entry.at_ms,
        "kind": entry.kind,
        "data": entry.data,
        "previous": entry.previous,
        "digest": entry.digest,
    }


class BadQuery(web.HTTPBadRequest):
    """A query parameter that does not fit."""

    def __init__(self, name: str, said: str, remedy: str) -> None:
        self.name, self.remedy = name, remedy
        super().__init__(text=f"{name}: {said}; {remedy}")


def _number(request: web.Request, name: str, *, least: int = 0, most: int = MOST) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise BadQuery(name, f"{text[:40]!r} is no such number", f"give a whole number from {least} to {most}")
    return int(text)


def _utc(at_ms: int) -> str:
    """``2026-05-13T13:44:05Z``; the number where it is no year of the calendar."""
    try:
        return f"{datetime.fromtimestamp(at_ms // 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
