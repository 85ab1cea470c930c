"""Who is watched: the streams of a deployment's members, and the pooled streams of its pools and sites above them."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.judge.learning import Entry
from siteshift.core.judge.membership import make_siblings
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.stream import NO_OBJECTIVE_US, Stream
from siteshift.core.model.codes import DataKind, MemberRole
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import SiteId, TargetId, data_target, site_target


class Roster:
    """Made from a topology at the start and at each reload; standbys and data checks stand in no pooled stream.

    ``known`` streams go on: those of targets that are still there, in the same part, with the same SLO.
    """

    __slots__ = ("_known", "_policy", "entries", "group_of", "pools", "sites", "slo_us")

    def __init__(self, topology: Topology, policy: JudgePolicy, known: Mapping[TargetId, Stream] | None = None) -> None:
        self._policy = policy
        self._known = known or {}
        self.entries: dict[TargetId, Entry] = {}
        self.pools: list[Pooled] = []
        self.sites: list[Pooled] = []
        self.group_of: dict[TargetId, Pooled] = {}
        self.slo_us: dict[TargetId, int] = {}
        at_site: dict[SiteId, list[Stream]] = {site: [] for site in topology.site_ids}
        for service in topology.services:
            self._add_service(service, at_site)
        slowest_us = max((_slo_us(service) for service in topology.services), default=NO_OBJECTIVE_US)
        for site, streams in at_site.items():
            group = Pooled(len(self.group_of), site_target(site), site, streams, policy)
            self.group_of[group.target] = group
            self.slo_us[group.target] = slowest_us
            self.sites.append(group)
        make_siblings(self.sites)
        whole = {group.site: group for group in self.sites}
        for target, (stream, pooled, _) in self.entries.items():
            if pooled is not None:
                self.entries[target] = (stream, pooled, whole[pooled.site])

    def _add_service(self, service: Service, at_site: dict[SiteId, list[Stream]]) -> None:
        slo_us = _slo_us(service)
        family: list[Pooled] = []
        for pool in service.pools:
            streams = [self._stream(m.target, slo_us, is_pooled=m.role is MemberRole.ACTIVE) for m in pool.members]
            active = [s for s, m in zip(streams, pool.members, strict=True) if m.role is MemberRole.ACTIVE]
            group = Pooled(len(self.group_of), pool.target, pool.site, active, self._policy)
            self.group_of[pool.target] = group
            self.slo_us[pool.target] = slo_us
            family.append(group)
            at_site[pool.site].extend(active)
            for stream, member in zip(streams, pool.members, strict=True):
                self.entries[member.target] = (stream, group if member.role is MemberRole.ACTIVE else None, None)
        self.pools.extend(family)
        make_siblings(family)
        if service.data is DataKind.WRITABLE:
            for pool in service.pools:
                target = data_target(service.id, pool.site)
                self.entries[target] = (self._stream(target, slo_us, is_pooled=False), None, None)

    def _stream(self, target: TargetId, slo_us: int, *, is_pooled: bool) -> Stream:
        known = self._known.get(target)
        if known is not None and known.slo_us == slo_us and known.is_pooled is is_pooled:
            return known
        return Stream(target, self._policy, slo_us, is_pooled=is_pooled)


def _slo_us(service: Service) -> int:
    """What its answers may take in microseconds."""
    return service.slo_latency_ms * 1_000 if service.slo_latency_ms else NO_OBJECTIVE_US
