"""A model of etcd: members in sites, a lease on the leader's key, guarded writes; slow, stopped, cut off.

A node reaches the store when it reaches a member that stands with a majority of members alive and connected. The leader's
key belongs to its holder until its lease runs out; the term is the revision at which it was taken. Writes are guarded
by the key (term) and by the generation stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from siteshift.core.model.units import SiteId, VantageId
from siteshift.sim.world.network import Net
from siteshift.sim.world.spec import StoreSpec


class Wrote(Enum):
    """How a guarded write ended."""

    DONE = "done"
    NOT_LEADER = "not_leader"
    STALE = "stale"
    UNREACHABLE = "unreachable"


@dataclass(slots=True)
class Leadership:
    """The leader's key."""

    node: VantageId
    term: int
    until_ms: int


@dataclass(slots=True)
class SharedStore:
    """The store as it runs. ``document`` is the last durable state written by a leader."""

    spec: StoreSpec
    net: Net
    document: Mapping[str, Any] | None = None
    generation: int = -1
    add_ms: int = 0
    leadership: Leadership | None = None
    _revision: int = 0
    _stopped: set[SiteId] = field(default_factory=set)
    _dark: set[SiteId] = field(default_factory=set)
    _quorum_back_ms: int = 0

    @property
    def call_ms(self) -> int:
        """How long a call takes, the way apart."""
        return self.spec.write_ms + self.add_ms

    def stop(self, members: tuple[SiteId, ...]) -> None:
        """These members die (empty: all)."""
        self._stopped.update(members or self.spec.sites)

    def restart(self, members: tuple[SiteId, ...]) -> None:
        """They come back with what they had."""
        self._stopped.difference_update(members or self.spec.sites)

    def darken(self, site: SiteId) -> None:
        self._dark.add(site)

    def relight(self, site: SiteId) -> None:
        self._dark.discard(site)

    def is_reachable(self, site: SiteId) -> bool:
        """Whether a node at this site can use the store."""
        members = self.spec.sites
        alive = [m for m in members if m not in self._stopped and m not in self._dark]
        for near in alive:
            if near != site and not self.net.is_open(site, near):
                continue
            peers = [m for m in alive if m == near or self.net.is_open(near, m)]
            if 2 * len(peers) > len(members):
                return True
        return False

    def campaign(self, node: VantageId, now_ms: int) -> Leadership | None:
        """Take the leader's key if nobody holds it; the present holder keeps it. None: somebody else leads."""
        held = self.leadership
        if held is not None and held.until_ms > now_ms and held.node != node:
            return None
        if held is None or held.until_ms <= now_ms:
            self._revision += 1
            self.leadership = Leadership(node, self._revision, now_ms + self.spec.lease_ms)
        else:
            held.until_ms = now_ms + self.spec.lease_ms
        return self.leadership

    def keep(self, node: VantageId, term: int, now_ms: int) -> bool:
        """Renew the lease; False: it is not this node's any more."""
        held = self.leadership
        if held is None or held.node != node or held.term != term or held.until_ms <= now_ms:
            return False
        held.until_ms = now_ms + self.spec.lease_ms
        return True

    def save(self, node: VantageId, term: int, generation: int, document: Mapping[str, Any], now_ms: int) -> Wrote:
        """Write the durable state, guarded by the leader's key and by the generation."""
        held = self.leadership
        if held is None or held.node != node or held.term != term or held.until_ms <= now_ms:
            return Wrote.NOT_LEADER
        if generation < self.generation:
            return Wrote.STALE
        self.document, self.generation = document, generation
        return Wrote.DONE
