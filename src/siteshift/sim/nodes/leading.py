"""Standing for leader: campaign, keep the lease, step down before it can have ended. What a store adapter does in real life.

A new leader takes over what the last one remembered (steering, overrides, hold-downs) and keeps its own beliefs; the
planes it has to read anew before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from siteshift.sim.world.spec import NodeSpec
from siteshift.sim.world.world import World

BEFORE_END_MS = 200
"""A leader stops this long before its lease can have ended on its own monotonic clock."""


class CampaigningNode(Protocol):
    """What a candidacy needs of its node."""

    @property
    def spec(self) -> NodeSpec: ...

    def later(self, at_ms: int, do: Callable[[], None]) -> None:
        """At an instant of the world, if it lives then."""

    def term_is(self, term: int | None) -> None:
        """It leads with this term, or no more."""

    def store_is(self, *, usable: bool, detail: str = "") -> None:
        """Whether the store answers."""

    def takes_over(self, document: Mapping[str, Any] | None) -> None:
        """A new leader: what the last one remembered is its own now."""


class Candidate:
    """One node's dealings with the leader's key."""

    def __init__(self, node: CampaigningNode, world: World) -> None:
        self._node = node
        self._world = world
        self._store = world.store
        self._place = world.spec.nodes.index(node.spec)
        self._term: int | None = None
        self._kept_ms = 0
        self._watching_ms = 0

    @property
    def term(self) -> int | None:
        return self._term

    def start(self) -> None:
        """Begin: first try soon, each node at its own moment."""
        self._term = None
        self._watching_ms = self._world.clock.now_ms
        self._node.later(self._world.clock.now_ms + 10 + 20 * self._place, self._turn)

    def _turn(self) -> None:
        """Ask now, hear after the way there and back, and again after the keepalive interval."""
        clock, store = self._world.clock, self._store
        asked_ms = clock.now_ms
        self._give_up_in_time(asked_ms)
        late_ms = store.late_by_ms(self._node.spec.site)
        if late_ms is not None:
            self._node.later(asked_ms + store.call_ms + late_ms, lambda: self._hear(asked_ms))
        elif store.is_reachable(self._node.spec.site):
            self._node.later(asked_ms + store.spec.deadline_ms, self._not_in_time)
        else:
            self._node.store_is(usable=False, detail="no majority of the store answers")
        self._node.later(asked_ms + store.spec.keepalive_ms, self._turn)

    def _not_in_time(self) -> None:
        self._node.store_is(usable=False, detail="the store does not answer in time")

    def _give_up_in_time(self, now_ms: int) -> None:
        end_ms = self._kept_ms + self._store.spec.lease_ms - BEFORE_END_MS
        if self._term is not None and now_ms >= end_ms:
            self.lose("its lease may have ended")
        elif self._term is not None and self._watching_ms < end_ms:
            self._watching_ms = end_ms
            self._node.later(end_ms, lambda: self._give_up_in_time(self._world.clock.now_ms))

    def _hear(self, asked_ms: int) -> None:
        node, store, now_ms = self._node, self._store, self._world.clock.now_ms
        if self._term is not None and asked_ms >= self._kept_ms:
            if store.keep(node.spec.id, self._term, asked_ms):
                self._kept_ms = asked_ms
            else:
                self.lose("the store gave its key away")
        node.store_is(usable=True)
        if self._term is None:
            found = store.campaign(node.spec.id, now_ms)
            if found is not None:
                self._term, self._kept_ms = found.term, asked_ms
                node.takes_over(store.document)
                self._world.line(node.spec.id, "term", f"leads with term {found.term}")
                node.term_is(found.term)

    def lose(self, why: str) -> None:
        """No leader any more."""
        self._term = None
        self._world.line(self._node.spec.id, "term", f"leads no more: {why}")
        self._node.term_is(None)
