"""The steering document: what every data plane shall do, with the generation that fences it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import PlaneMark
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, EnactorId, MemberId, ServiceId, SiteId


def scaled(weights: Mapping[SiteId, int], total_bp: int) -> dict[SiteId, int]:
    """Shares by weight that make exactly so much; the heaviest takes what does not divide."""
    whole = sum(weights.values()) or 1
    shares = {site: weight * total_bp // whole for site, weight in weights.items()}
    if shares:
        shares[max(shares, key=lambda site: shares[site])] += total_bp - sum(shares.values())
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSteering:
    """What one service shall do.

    ``shares_bp`` over sites plus ``shed_bp`` make 10,000. A site with share 0 is drained. ``shed_bp`` is demand nobody
    can carry: it is answered with the service's ``shed_answers`` where configured, else it stays where it was
    (``shed_at``). ``members_pm`` is the relative weight (0-1000) of each member that may serve, by goodput; a member
    that is absent gets nothing (depooled, down, or a standby that is not open). ``onward_bp`` is where a load balancer
    beside a drained site sends what still comes there: what each site gained, in basis points of the demand; empty: by
    the shares. ``dead_sites`` have no share and answer nothing: a load balancer keeps away even the users that a cookie
    or a table leads there, whom a drained site still serves. What is shed may stay with one, where nothing answers it.
    """

    service: ServiceId
    shares_bp: Mapping[SiteId, int]
    members_pm: Mapping[MemberId, int]
    ttl_s: int
    shed_bp: int = 0
    shed_at: SiteId | None = None
    onward_bp: Mapping[SiteId, int] = field(default_factory=dict)
    dead_sites: frozenset[SiteId] = frozenset()

    def line(self) -> str:
        """A canonical line of text: equal steering, equal line."""
        shares = ",".join(f"{site}={bp}" for site, bp in sorted(self.shares_bp.items()))
        members = ",".join(f"{member}={pm}" for member, pm in sorted(self.members_pm.items()))
        onward = ",".join(f"{site}={bp}" for site, bp in sorted(self.onward_bp.items()))
        text = f"{self.service} ttl={self.ttl_s} shed={self.shed_bp}@{self.shed_at or '-'} {shares} {members}"
        dead = f" dead={','.join(sorted(self.dead_sites))}" if self.dead_sites else ""
        return f"{text}{f' onward={onward}' if onward else ''}{dead}"

    def within(self, service: Service) -> ServiceSteering:
        """The same steering for the service as a configuration has it now: what it names no more is gone from it.

        The share of a site that is gone comes to those that are left, by their shares; with none left, by their nominal ones.
        """
        sites, members = frozenset(service.sites), service.member_ids
        keeps_shed = self.shed_at is None or self.shed_at in sites
        named = {*self.shares_bp, *self.onward_bp, *self.dead_sites}
        if keeps_shed and sites >= named and members >= self.members_pm.keys():
            return self
        kept = {site: bp for site, bp in self.shares_bp.items() if site in sites}
        shed_bp, shed_at = (self.shed_bp, self.shed_at) if keeps_shed else (0, None)
        weights = kept if any(kept.values()) else {pool.site: pool.nominal_bp for pool in service.pools}
        return replace(
            self,
            shares_bp=kept if kept == self.shares_bp and keeps_shed else scaled(weights, WHOLE_BP - shed_bp),
            members_pm={member: pm for member, pm in self.members_pm.items() if member in members},
            shed_bp=shed_bp,
            shed_at=shed_at,
            onward_bp={site: bp for site, bp in self.onward_bp.items() if site in sites},
            dead_sites=self.dead_sites & sites,
        )

    def brings_bp(self, site: SiteId) -> int:
        """What comes to a site where nothing answers the shed part: its share, and what is shed there."""
        return self.shares_bp.get(site, 0) + (self.shed_bp if self.shed_at == site else 0)

    def residual_bp(self, site: SiteId, *, answers_shed: bool) -> dict[SiteId | None, int]:
        """How what still comes to a drained site is divided: parts by site, and under None by the answer for what is shed.

        Where nothing answers it, what is shed stays here and fails. Only ratios count.
        """
        takers = self.onward_bp if self.onward_bp or (self.shed_bp and not answers_shed) else self.shares_bp
        parts: dict[SiteId | None, int] = {to: bp for to, bp in takers.items() if bp > 0 and self.shares_bp.get(to, 0) > 0}
        if self.shed_bp:
            parts[None if answers_shed else site] = self.shed_bp
        return parts or {to: bp for to, bp in self.shares_bp.items() if bp > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """All services under one generation. ``term`` is the leader's term that decided it.

    ``taken_over`` goes with one write to one plane: the mark of somebody else that a person lets it replace.
    ``mappings``: what each plane was configured to make of it (`PlaneRef.mapping`).
    """

    generation: int
    term: int
    decided_at_ms: int
    services: tuple[ServiceSteering, ...]
    taken_over: PlaneMark | None = None
    mappings: Mapping[EnactorId, str] = field(default_factory=dict)

    def of(self, service: ServiceId) -> ServiceSteering | None:
        for entry in self.services:
            if entry.service == service:
                return entry
        return None

    def decided_for(self, service: Service) -> ServiceSteering | None:
        """What was decided for a service as a configuration has it now. None: nothing, or nothing that comes to a site it has;
        what was decided for other sites says nothing of these, and the service is like a new one."""
        entry = self.of(service.id)
        if entry is None or not any(entry.brings_bp(site) > 0 for site in service.sites):
            return None
        return entry.within(service)

    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) over the canonical lines; the generation is not part of it."""
        text = "\n".join(entry.line() for entry in self.services)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Something on a data plane that differs from what we wrote. ``ours`` tells whether we own the object."""

    enactor: EnactorId
    what: str
    wanted: str
    found: str
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Something on a data plane that keeps it from following, and that no write of ours changes.

    ``closes`` is the site that users cannot be sent to there because of it; None: shares only come out otherwise.
    """

    what: str
    text: str
    remedy: str
    service: ServiceId
    closes: SiteId | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.text}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a data plane really has: the *actual* facts.

    ``generation`` is the one found there (None: none, or the plane cannot hold one and has forgotten it).
    ``shares_bp`` is what the plane would deliver now, per service and site; empty for services it does not carry.
    ``mark`` is who wrote that, where the plane tells. When it is another cluster's or node's, ``generation`` is None: a
    number that somebody else counts is none of ours to pass.
    """

    enactor: EnactorId
    at_ms: int
    generation: int | None
    shares_bp: Mapping[ServiceId, Mapping[SiteId, int]]
    drifts: tuple[Drift, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    mark: PlaneMark | None = None
    members_bp: Mapping[MemberId, int] = field(default_factory=dict)
    """The part of its service's traffic each member would get, from planes that know members; empty from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnactResult:
    """How one write ended. ``found_generation`` is set when the plane told it; ``found_mark`` when somebody else's stands
    there, which was not overwritten."""

    enactor: EnactorId
    generation: int
    outcome: EnactOutcome
    at_ms: int
    detail: str = ""
    found_generation: int | None = None
    found_mark: PlaneMark | None = None
