"""Data planes: fenced by generation, slow, lossy, ambiguous, edited by hand, forgetful. They decide nothing.

A plane compares the generation of every write with its own and refuses an older one. It delivers the shares it was
given; demand that is shed stays where it was (``shed_at``) unless the service has answers for it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import Drift, EnactResult, ReadBack, ServiceSteering, Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import WHOLE_BP, MemberId, ServiceId, SiteId
from siteshift.sim.world.spec import PlaneSpec

INITIAL_TTL_S = 30


class Trouble(StrEnum):
    """How a plane misbehaves."""

    NONE = "none"
    DOWN = "down"
    """Writes and reads fail at once; what it delivers stays."""
    DEAD = "dead"
    """It delivers nothing either: DNS does not answer, a balancer forwards nothing."""
    SLOW = "slow"
    """Writes and reads take longer; beyond their deadline a write is ambiguous and happens all the same."""
    LOSES_WRITES = "loses_writes"
    """The write is lost on the way, nobody says so: ambiguous, not done."""
    LOSES_ANSWERS = "loses_answers"
    """The write is done, its answer is lost: ambiguous."""
    REFUSING = "refusing"
    """Writes are refused (a key that is not valid any more)."""
    UNREADABLE = "unreadable"
    """Writes work, readings do not."""


@dataclass(slots=True)
class Plane:
    """One data plane as it runs. Several nodes may write to it."""

    spec: PlaneSpec
    topology: Topology
    lots: random.Random
    generation: int | None = None
    steering: Steering | None = None
    shares_bp: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    """What it delivers, per service; the sum may be less than the whole: the rest is shed by an answer of its own."""
    members_pm: dict[ServiceId, Mapping[MemberId, int]] = field(default_factory=dict)
    ttl_s: dict[ServiceId, int] = field(default_factory=dict)
    edits: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    trouble: Trouble = Trouble.NONE
    add_ms: int = 0
    part_pm: int = 1_000
    is_dark: bool = False
    """Its site is dark: it neither answers nor delivers."""
    changes: int = 0
    """Counts what changes its delivery, for caches of what it delivers."""
    refused_stale: int = 0

    def __post_init__(self) -> None:
        self._back_to_nominal()

    @property
    def services(self) -> tuple[ServiceId, ...]:
        return self.spec.services or tuple(service.id for service in self.topology.services)

    def _back_to_nominal(self) -> None:
        for name in self.services:
            service = self.topology.service_by_id[name]
            self.shares_bp[name] = {pool.site: pool.nominal_bp for pool in service.pools}
            self.members_pm[name] = {}
            self.ttl_s[name] = INITIAL_TTL_S

    @property
    def is_delivering(self) -> bool:
        return not self.is_dark and self.trouble is not Trouble.DEAD

    def delivered_bp(self, service: ServiceId) -> Mapping[SiteId, int]:
        """What it delivers to new askers now; empty: it answers nothing."""
        return self.edits.get(service) or self.shares_bp[service]

    def sends_on_bp(self, service: ServiceId, site: SiteId) -> Mapping[SiteId | None, int] | None:
        """What this balancer does, beside a site, with what comes there. None: it keeps it for the site's own members.

        Else the parts that go to each site, and (under None) to the sorry page; as `adapters.haproxy.targets` does it.
        """
        entry = self.steering.of(service) if self.steering is not None and service not in self.edits else None
        if entry is None:
            shares = self.delivered_bp(service)
            return None if shares.get(site, 0) > 0 or not shares else dict[SiteId | None, int](shares.items())
        if entry.shares_bp.get(site, 0) > 0:
            return None
        return entry.residual_bp(site, answers_shed=bool(self.topology.service_by_id[service].shed_answers))

    # -- what nodes do --------------------------------------------------------------------------------------------

    def hits(self, how: Trouble) -> bool:
        """Whether this call meets the trouble."""
        if self.trouble is not how:
            return False
        return self.part_pm >= 1_000 or self.lots.randrange(1_000) < self.part_pm

    def write(self, steering: Steering, at_ms: int) -> EnactResult:
        """Take a steering, unless it is older than what is there."""
        found = self.generation
        if found is not None and steering.generation < found:
            self.refused_stale += 1
            return self.result(steering, EnactOutcome.STALE, at_ms, "older than what is there", found)
        if found == steering.generation and self.steering is not None and self.steering.digest() != steering.digest():
            self.refused_stale += 1
            return self.result(steering, EnactOutcome.STALE, at_ms, "another steering has this generation", found)
        for entry in steering.services:
            if entry.service in self.shares_bp:
                self.shares_bp[entry.service] = self._delivery(entry)
                self.members_pm[entry.service] = dict(entry.members_pm)
                self.ttl_s[entry.service] = entry.ttl_s
        if found != steering.generation:
            self.edits.clear()
        self.generation, self.steering = steering.generation, steering
        self.changes += 1
        return self.result(steering, EnactOutcome.APPLIED, at_ms, "", steering.generation)

    def _delivery(self, entry: ServiceSteering) -> dict[SiteId, int]:
        shares = {site: bp for site, bp in entry.shares_bp.items() if bp > 0}
        has_answer = bool(self.topology.service_by_id[entry.service].shed_answers)
        if entry.shed_bp > 0 and not has_answer:
            home = entry.shed_at if entry.shed_at is not None else max(shares, key=lambda site: shares[site], default=None)
            if home is not None:
                shares[home] = shares.get(home, 0) + entry.shed_bp
        return shares or self.shares_bp[entry.service]

    def read(self, at_ms: int) -> ReadBack:
        """What is there, with what people changed."""
        drifts = tuple(
            Drift(
                enactor=self.spec.id,
                what=f"shares of {service}",
                wanted=_text(self.shares_bp[service]),
                found=_text(edit),
                ours=True,
            )
            for service, edit in self.edits.items()
        )
        shares = {name: dict(self.delivered_bp(name)) for name in self.services}
        return ReadBack(enactor=self.spec.id, at_ms=at_ms, generation=self.generation, shares_bp=shares, drifts=drifts)

    def result(self, steering: Steering, outcome: EnactOutcome, at_ms: int, detail: str, found: int | None = None) -> EnactResult:
        """How a write ended."""
        return EnactResult(
            enactor=self.spec.id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=at_ms,
            detail=detail,
            found_generation=found,
        )

    # -- what faults do -------------------------------------------------------------------------------------------

    def misbehave(self, how: Trouble, *, add_ms: int, part_pm: int) -> None:
        """From now on."""
        self.trouble, self.add_ms, self.part_pm = how, add_ms, part_pm
        self.changes += 1

    def edit(self, service: ServiceId, shares_bp: Mapping[SiteId, int] | None) -> None:
        """Somebody changes a service behind our back; None takes it back."""
        if shares_bp is None:
            self.edits.pop(service, None)
        else:
            self.edits[service] = dict(shares_bp)
        self.changes += 1

    def forget(self) -> None:
        """Reloaded from its own file: nominal shares and no generation."""
        self.generation = self.steering = None
        self.edits.clear()
        self._back_to_nominal()
        self.changes += 1

    def delete_plan(self) -> None:
        """The live plan is gone: no generation, and nothing to answer with."""
        self.generation = self.steering = None
        self.edits.clear()
        for name in self.services:
            self.shares_bp[name] = {}
        self.changes += 1


def _text(shares_bp: Mapping[SiteId, int]) -> str:
    return ",".join(f"{site}={bp}" for site, bp in sorted(shares_bp.items()))


def parts_of(shares_bp: Mapping[SiteId, int], sites: tuple[SiteId, ...]) -> list[float]:
    """Shares as parts of one, in the order of the sites."""
    return [shares_bp.get(site, 0) / WHOLE_BP for site in sites]
