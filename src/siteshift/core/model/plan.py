"""The nouns of a plan: steps, what survivors will carry, and the digest an approval binds (law 13)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import StepKind
from siteshift.core.model.finding import Finding
from siteshift.core.model.units import MemberId, ServiceId, SiteId

Shares = Mapping[SiteId, int]
"""Shares in basis points by site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step for one service. ``wait_ms`` is how long it is expected to take; the postcondition ends it.

    The part of the shares that is missing to 10,000 is shed during the step.
    """

    kind: StepKind
    service: ServiceId
    before_bp: Shares
    after_bp: Shares
    members: tuple[MemberId, ...] = ()
    wait_ms: int = 0
    precondition: str
    postcondition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivorLoad:
    """What a site carries of a service before and after, against what it can carry (standby of the plan included)."""

    service: ServiceId
    site: SiteId
    capacity_rps: int
    before_rps: int
    after_rps: int
    utilisation_pm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Desired minus actual, as ordered steps, to be looked at before it hurts.

    ``ttl_tail_ms``: how long resolvers may go on giving the old answer, by the TTL handed out so far (law 9).
    ``expected_ms``: the sum of all waits, steps of different services side by side.
    """

    cause: Cause
    services: tuple[ServiceId, ...]
    steps: tuple[Step, ...]
    before: Mapping[ServiceId, Shares]
    after: Mapping[ServiceId, Shares]
    loads: tuple[SurvivorLoad, ...]
    shed_bp: Mapping[ServiceId, int]
    ttl_tail_ms: int
    expected_ms: int
    findings: tuple[Finding, ...] = ()
    caveats: tuple[str, ...] = ()
    """What else an approver decides about, where shares and steps do not tell it."""

    @property
    def is_empty(self) -> bool:
        return not self.steps

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Every member the plan starts or retires, in order."""
        return tuple(dict.fromkeys(member for step in self.steps for member in step.members))

    @property
    def digest(self) -> str:
        """SHA-256, first 16 hex digits, over everything an approver decides about: cause, shares, shed, steps and caveats.

        Not over findings, loads and times: they waver while the plan is the same.
        """
        matter: dict[str, object] = {
            "cause": self.cause.value,
            "before": {service: dict(shares) for service, shares in self.before.items()},
            "after": {service: dict(shares) for service, shares in self.after.items()},
            "shed_bp": dict(self.shed_bp),
            "steps": [
                [step.kind.value, step.service, dict(step.before_bp), dict(step.after_bp), list(step.members)]
                for step in self.steps
            ],
        }
        if self.caveats:
            matter["caveats"] = list(self.caveats)
        text = json.dumps(matter, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
