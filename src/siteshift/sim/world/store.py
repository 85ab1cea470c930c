"""A model of etcd: members in sites, a lease on the leader's key, guarded writes; slow, stopped, cut off.

A node reaches the store when it reaches a member that stands with a majority of members alive and connected. The leader's
key belongs to its holder until its lease runs out; the term is the revision at which it was taken. Writes are guarded
by the key (term) and by the generation stored. Where links lose packets a call takes longer, or too long: the node's own way to
the member it asks, and that member's to as many others as make a majority (`link`). What is not answered in time was not done; in
real life it may have been. Elections among the members are not modelled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from siteshift.core.model.units import SiteId, VantageId
from siteshift.sim.world.link import one_exchange
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
    lots: random.Random
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
        """Whether a node at this site can use the store: no link in the way is cut."""
        return self._asked_by(site) is not None

    def _asked_by(self, site: SiteId) -> SiteId | None:
        """The member that a node at this site asks: one with a majority, the best one to reach."""
        members = self.spec.sites
        alive = self._alive()
        able: list[tuple[int, SiteId]] = []
        for near in alive:
            if near != site and not self.net.is_open(site, near):
                continue
            peers = [m for m in alive if m == near or self.net.is_open(near, m)]
            if 2 * len(peers) > len(members):
                able.append((self._loss_pm(site, near), near))
        return min(able, key=lambda one: one[0])[1] if able else None

    def _alive(self) -> list[SiteId]:
        return [m for m in self.spec.sites if m not in self._stopped and m not in self._dark]

    def _loss_pm(self, one: SiteId, other: SiteId) -> int:
        return 0 if one == other else self.net.loss_pm(one, other)

    def late_by_ms(self, site: SiteId) -> int | None:
        """How much later than usual a call from this site is answered; None: not in time."""
        near, within_ms = self._asked_by(site), self.spec.deadline_ms
        if near is None:
            return None
        if self.net.is_whole:
            return 0
        asked_ms = one_exchange(self.lots, self._loss_pm(site, near), within_ms)
        told = [one_exchange(self.lots, self._loss_pm(near, other), within_ms) for other in self._alive()]
        agreed = sorted(late_ms for late_ms in told if late_ms is not None)
        needed = len(self.spec.sites) // 2
        if asked_ms is None or len(agreed) <= needed:
            return None
        late_ms = asked_ms + agreed[needed]
        return late_ms if late_ms < within_ms else None

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
