"""What servers that ask one after another may be told, so that widening comes before narrowing (law 2). Pure but for
time.

A server is *heard* when it asked within ``stale_after_ms``; one that is not heard (not in HAProxy, or HAProxy is
gone) holds nobody up. A server may be told to give less only when every heard server that shall get more was told so,
and somebody serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.adapters.haproxy.server_state import AdminState
from siteshift.adapters.haproxy.targets import Target


@dataclass(slots=True, kw_only=True)
class Told:
    """What one server was told last. ``target`` None: it asked, but there was no steering yet."""

    target: Target | None = None
    generation: int | None = None
    asked_ms: int


@dataclass(slots=True, kw_only=True)
class Rollout:
    """One backend on its way to its targets."""

    stale_after_ms: int
    targets: Mapping[str, Target] = field(default_factory=dict)
    generation: int | None = None
    told: dict[str, Told] = field(default_factory=dict)

    def begin(self, targets: Mapping[str, Target], generation: int) -> None:
        """From now on these are the targets."""
        self.targets, self.generation = targets, generation

    def tell(self, server: str, now_ms: int) -> Target | None:
        """What to answer the server that asks now; None: nothing that changes anything."""
        told = self.told.setdefault(server, Told(asked_ms=now_ms))
        told.asked_ms = now_ms
        target = self.targets.get(server)
        if target is not None and (not self._narrows(server, target) or self._widened(now_ms)):
            told.target, told.generation = target, self.generation
        return told.target

    def heard(self, now_ms: int) -> dict[str, Told]:
        """The servers that asked lately."""
        return {server: told for server, told in self.told.items() if now_ms - told.asked_ms <= self.stale_after_ms}

    def settled(self, now_ms: int) -> bool:
        """Whether every server that is heard was told its target, and at least one is heard."""
        heard = self.heard(now_ms)
        return bool(heard) and all(told.generation == self.generation for told in heard.values())

    def _narrows(self, server: str, target: Target) -> bool:
        if target.admin is not AdminState.READY:
            return True
        before = self.told[server].target
        return before is not None and before.admin is AdminState.READY and (before.weight or 0) > (target.weight or 0)

    def _widened(self, now_ms: int) -> bool:
        heard = self.heard(now_ms)
        waiting = [
            server
            for server, target in self.targets.items()
            if server in heard and heard[server].generation != self.generation and not self._narrows(server, target)
        ]
        serving = any(told.target is not None and told.target.admin is AdminState.READY for told in heard.values())
        return serving and not waiting
