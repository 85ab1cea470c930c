"""Keeps the journal within its bounds: what is old, or too much, is sealed into segments first and then let go of.

In this order, each durable before the next, so that a death at any point loses nothing and the next look goes on from there:

1. A segment is written beside its name, synced, read back, and renamed.
2. A row ``sealed`` names it and the end of its chain, in the journal itself.
3. The entries go, some at a time. The database refuses that without the row.

A segment ends before a checkpoint (setup, state and reasons as they are, once a day), so that what stays in the database can be
replayed and explained. Segments older than is kept, or beyond the room for them, are removed, which is on record too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from siteshift.adapters.store.segments import Segment, remove, segments_in, set_aside
from siteshift.adapters.store.sqlite_journal import PruneVerdict, SqliteJournal
from siteshift.config.setups import JournalSetup
from siteshift.errors import SiteshiftError
from siteshift.runtime.metrics import Metrics
from siteshift.runtime.node import Node

log = structlog.get_logger("siteshift.retention")

LOOK_EVERY_S = 600.0
"""The fastest journal grows by some 25 MB meanwhile: a tenth of what is kept by default."""
FIRST_LOOK_S = 60.0
"""Not in the minute in which a node that has just started looks for evidence."""
DAY_MS = 86_400_000
CHECKPOINT_ENTRIES = 200
"""Fewer entries are not worth a checkpoint of their own, which takes as much room as some dozens."""
CHECKPOINTS_KEPT = 8
"""The database holds at least so many when it is full, so that no seal has to take much more than it must."""
FULL_TO_PERCENT = 75
"""What is too large is brought down to this part of its bound, so that it is not done at every look."""
SEGMENT_BYTES = 64 * 1024 * 1024
"""Of text; some 6 MB of file, which is verified in seconds."""
BITE = 1_000
"""Entries that go at once: 20 ms, within the time a commit may wait."""
BREATH_S = 0.05
WRITTEN_WITHIN_S = 30.0
MIB = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Retention:
    """Looks after one node's journal. `configure` takes other bounds; `run` looks every ten minutes."""

    journal: SqliteJournal
    node: Node
    metrics: Metrics
    setup: JournalSetup
    look_every_s: float = LOOK_EVERY_S
    first_look_s: float = FIRST_LOOK_S
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _noted: int = 0
    """The end of the last segment that we noted: while that row is not on the disk nothing else is sealed."""

    def configure(self, setup: JournalSetup) -> None:
        """Other bounds from the next look on, which comes at once."""
        if setup != self.setup:
            self.setup = setup
            self._news.set()

    async def run(self) -> None:
        """Look, until cancelled. What fails is told to the log and the metrics, and tried again at the next look."""
        await self._trying(self._measure)
        await self._wait(self.first_look_s)
        while True:
            await self._trying(self.look)
            await self._wait(self.look_every_s)

    async def _trying(self, what: Callable[[], Awaitable[None]]) -> None:
        if not self.node.loop.state.is_store_usable:
            return
        try:
            await what()
        except SiteshiftError as error:
            self.node.on_error("retention", error)

    async def _wait(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    async def look(self) -> None:
        """Bring the journal within its bounds. Raises `SiteshiftError`; then everything is still somewhere, once at least."""
        await self._let_go()
        await self._checkpoint()
        while (through := await self._due_through()) > 0:
            await self._seal(through)
            await self._let_go()
        await self._remove_old()
        await self._measure()

    async def _measure(self) -> None:
        size, sealed = await self.journal.size(), await asyncio.to_thread(segments_in, self.folder)
        self.metrics.journal_sized(database_bytes=size.used_bytes, sealed_bytes=sum(segment.bytes for segment in sealed))

    @property
    def folder(self) -> Path:
        return Path(self.setup.folder)

    async def document(self) -> dict[str, Any]:
        """What is kept, and within which bounds."""
        extent, size = await self.journal.extent(), await self.journal.size()
        sealed = await asyncio.to_thread(segments_in, self.folder)
        return {
            "database": {
                "first": extent.base.sequence + 1,
                "last": extent.head.sequence,
                "first_ms": size.first_ms,
                "bytes": size.used_bytes,
                "follows": extent.base.digest,
                "keep_days": self.setup.keep_days,
                "keep_mb": self.setup.keep_mb,
            },
            "folder": self.setup.folder,
            "sealed_days": self.setup.sealed_days,
            "sealed_mb": self.setup.sealed_mb,
            "segments": [
                {"file": one.path.name, "first": one.first, "last": one.last, "day": one.day, "bytes": one.bytes}
                for one in sealed
            ],
        }

    # -- sealing ------------------------------------------------------------------------------------------------------

    async def _checkpoint(self) -> None:
        """A place to begin from, once a day, and oftener where much is written."""
        extent, size = await self.journal.extent(), await self.journal.size()
        at, at_ms = await self.journal.newest_checkpoint()
        since = extent.head.sequence - max(at, extent.base.sequence)
        entry_bytes = size.used_bytes // max(1, size.entries)
        is_much = since * entry_bytes > self.setup.keep_mb * MIB // CHECKPOINTS_KEPT
        if is_much or (since >= CHECKPOINT_ENTRIES and self.node.clock.now_ms() - at_ms >= DAY_MS):
            self.node.note_checkpoint()

    async def _due_through(self) -> int:
        """The entry before the last checkpoint that all must go to; 0: nothing must."""
        extent, size = await self.journal.extent(), await self.journal.size()
        wanted = extent.base.sequence
        keep_ms, now_ms = self.setup.keep_days * DAY_MS, self.node.clock.now_ms()
        if size.entries and size.first_ms < now_ms - keep_ms - DAY_MS:
            wanted = await self.journal.first_since(now_ms - keep_ms)
        if size.used_bytes > self.setup.keep_mb * MIB:
            over_bytes = size.used_bytes - self.setup.keep_mb * MIB * FULL_TO_PERCENT // 100
            wanted = max(wanted, extent.base.sequence + size.entries * over_bytes // size.used_bytes)
        if wanted <= extent.base.sequence:
            return 0
        checkpoint, _ = await self.journal.newest_checkpoint(until=wanted)
        return checkpoint - 1 if checkpoint - 1 > extent.base.sequence else 0

    async def _seal(self, through: int) -> None:
        await self._until_written(self._noted)
        await self._clear_the_way()
        segment, head = await self.journal.seal(self.folder, through, most_bytes=SEGMENT_BYTES)
        data = {"file": segment.path.name, "first": segment.first, "through": head.sequence, "digest": head.digest}
        self.node.executor.note("sealed", {**data, "bytes": segment.bytes})
        self._noted = head.sequence
        await self._until_written(head.sequence)
        log.info("sealed", file=segment.path.name, entries=head.sequence - segment.first + 1, bytes=segment.bytes)

    async def _clear_the_way(self) -> None:
        """Rename files of entries that no row says were sealed: a node died sealing them, or an older database was put back."""
        extent = await self.journal.extent()
        for segment in await asyncio.to_thread(segments_in, self.folder):
            if segment.last > extent.base.sequence:
                aside = await asyncio.to_thread(set_aside, segment, self.node.clock.now_ms())
                log.warning("a segment that is not on record was set aside", file=str(aside))
                self.node.executor.note("segment_set_aside", {"file": aside.name, "first": segment.first, "last": segment.last})

    async def _until_written(self, sequence: int) -> None:
        """Until the row that names the segment is on the disk. Raises `NotOnRecord`."""
        limit_s = asyncio.get_running_loop().time() + WRITTEN_WITHIN_S
        while (await self.journal.sealed()).sequence < sequence:
            if asyncio.get_running_loop().time() > limit_s:
                raise NotOnRecord(f"the seal of entry {sequence} is not on record after {WRITTEN_WITHIN_S:g} s")
            await asyncio.sleep(BREATH_S)

    async def _let_go(self) -> None:
        """What was sealed leaves the database, also what a death left half done."""
        sealed = (await self.journal.sealed()).sequence
        at = (await self.journal.extent()).base.sequence
        while at < sealed:
            at = min(sealed, at + BITE)
            result = await self.journal.prune(at)
            if result.verdict is PruneVerdict.NOT_SEALED:
                return
            await asyncio.sleep(BREATH_S)

    # -- segments -----------------------------------------------------------------------------------------------------

    async def _remove_old(self) -> None:
        segments = await asyncio.to_thread(segments_in, self.folder)
        base = (await self.journal.extent()).base.sequence
        for segment, because in self._too_many([one for one in segments if one.last <= base]):
            data = {"file": segment.path.name, "first": segment.first, "last": segment.last, "because": because}
            self.node.executor.note("segment_removed", data)
            await asyncio.to_thread(remove, segment)
            log.info("removed a sealed segment", file=segment.path.name, because=because)

    def _too_many(self, segments: list[Segment]) -> list[tuple[Segment, str]]:
        """The oldest that are older than is kept, or beyond the room; always from the beginning, so that no hole is left."""
        found: list[tuple[Segment, str]] = []
        room = None if self.setup.sealed_mb is None else self.setup.sealed_mb * MIB
        total = sum(segment.bytes for segment in segments)
        for segment in segments:
            if self.setup.sealed_days is not None and segment.day < self._oldest_day(self.setup.sealed_days):
                found.append((segment, f"older than sealed_days: {self.setup.sealed_days}"))
            elif room is not None and total > room:
                found.append((segment, f"more than sealed_mb: {self.setup.sealed_mb}"))
            else:
                break
            total -= segment.bytes
        return found

    def _oldest_day(self, days: int) -> str:
        now = datetime.fromtimestamp(self.node.clock.now_ms() / 1000, UTC)
        return f"{now - timedelta(days=days):%Y%m%d}"


class NotOnRecord(SiteshiftError):
    """A row that has to be durable is not."""
