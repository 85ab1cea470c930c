"""Idempotency keys: the same key and body get the same answer, however often a client repeats itself.

Kept for a day in memory, at most a thousand. Lost with the process, which is safe: every act is itself either
idempotent or refused as already done.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from aiohttp import web

KEEP_MS = 24 * 3_600_000
LIMIT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One answer and what it answered."""

    fingerprint: str
    status: int
    content_type: str
    text: str
    until_ms: int

    def again(self) -> web.Response:
        response = web.Response(status=self.status, content_type=self.content_type, text=self.text)
        response.headers["Idempotent-Replay"] = "true"
        return response


@dataclass(slots=True)
class Keys:
    """Answers by person and key."""

    _kept: OrderedDict[tuple[str, str], Kept] = field(default_factory=OrderedDict)
    _turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def turn(self, person: str, key: str) -> asyncio.Lock:
        """Held while a request is carried out: the same one sent again meanwhile waits and gets the same answer."""
        return self._turns.setdefault((person, key), asyncio.Lock())

    def find(self, person: str, key: str, now_ms: int) -> Kept | None:
        kept = self._kept.get((person, key))
        return kept if kept is not None and kept.until_ms > now_ms else None

    def keep(self, person: str, key: str, fingerprint: str, response: web.Response, now_ms: int) -> None:
        while len(self._kept) >= LIMIT:
            self._kept.popitem(last=False)
        self._kept[(person, key)] = Kept(
            fingerprint=fingerprint,
            status=response.status,
            content_type=response.content_type,
            text=response.text or "",
            until_ms=now_ms + KEEP_MS,
        )


def fingerprint_of(path: str, body: bytes) -> str:
    """What makes two requests the same."""
    return hashlib.sha256(path.encode() + b"\n" + body).hexdigest()
