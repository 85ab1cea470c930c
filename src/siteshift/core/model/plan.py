"""The nouns of a plan: steps, waits, what survivors will carry, and the digest an approval binds (law 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import StepKind
from siteshift.core.model.digest import digest_of
from siteshift.core.model.finding import Finding
from siteshift.core.model.units import MemberId, ServiceId, SiteId

Shares = Mapping[SiteId, int]
"""Shares in basis points by site."""

WAITING = frozenset(
    {
        StepKind.AWAIT_READY,
        StepKind.PROOF,
        StepKind.VERIFY,
        StepKind.SETTLE,
        StepKind.SOAK,
        StepKind.AWAIT_TTL,
        StepKind.WATCH_RESIDUAL,
        StepKind.HOLD,
    }
)
"""Steps in which nothing is done but waiting."""


TRIFLES = frozenset({StepKind.LOWER_TTL, StepKind.RESTORE_TTL, StepKind.WEIGH, StepKind.SEND_ON})
"""Steps that alone are no plan: siteshift takes them all the time, and nobody is asked."""


class WaitCode(StrEnum):
    """What the next step of a service waits for."""

    NOTHING_LEFT = "nothing_left"
    BLIND = "blind"
    PLANES = "planes"
    SETTLE = "settle"
    HELD_DOWN = "held_down"
    GATE = "gate"
    STANDBY_READY = "standby_ready"
    STANDBY_PROOF = "standby_proof"
    TTL = "ttl"
    RESIDUAL = "residual"
    SOAK = "soak"
    CALM = "calm"
    ROOM = "room"


WAIT_STEP: Mapping[WaitCode, StepKind] = {
    WaitCode.BLIND: StepKind.HOLD,
    WaitCode.PLANES: StepKind.VERIFY,
    WaitCode.SETTLE: StepKind.SETTLE,
    WaitCode.HELD_DOWN: StepKind.HOLD,
    WaitCode.GATE: StepKind.HOLD,
    WaitCode.STANDBY_READY: StepKind.AWAIT_READY,
    WaitCode.STANDBY_PROOF: StepKind.PROOF,
    WaitCode.TTL: StepKind.AWAIT_TTL,
    WaitCode.RESIDUAL: StepKind.WATCH_RESIDUAL,
    WaitCode.SOAK: StepKind.SOAK,
    WaitCode.CALM: StepKind.SETTLE,
    WaitCode.ROOM: StepKind.HOLD,
}
"""How a wait is listed in a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a service takes no step now. ``until_ms``: when the clock alone ends it; None: something has to happen."""

    service: ServiceId
    code: WaitCode
    until_ms: int | None = None
    findings: tuple[Finding, ...] = ()
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one service: what one new generation, or one order to a standby, changes.

    ``weights_pm``: the members whose weight changes, 0 for one that is taken out; ``members``: their names, or the standbys
    that are started or sent home. ``ttl_s``, ``dead_sites``: the new ones, where they change. What is missing to 10,000 in the
    shares is shed.
    In a plan ``at_ms`` counts from its beginning, ``wait_ms`` is how long the step is expected to take before the next,
    and ``utilisation_pm`` is what each site's open capacity carries after it.
    """

    kind: StepKind
    service: ServiceId
    before_bp: Shares
    after_bp: Shares
    members: tuple[MemberId, ...] = ()
    weights_pm: Mapping[MemberId, int] = field(default_factory=dict)
    ttl_s: int | None = None
    dead_sites: frozenset[SiteId] | None = None
    shed_bp: int = 0
    shed_at: SiteId | None = None
    cause: Cause | None = None
    findings: tuple[Finding, ...] = ()
    at_ms: int = 0
    wait_ms: int = 0
    utilisation_pm: Mapping[SiteId, int] = field(default_factory=dict)

    @property
    def is_wait(self) -> bool:
        return self.kind in WAITING

    @property
    def deed(self) -> tuple[object, ...]:
        """What is done, without when and why: two steps with the same deed are the same to every data plane."""
        return (
            self.kind,
            self.service,
            dict(self.before_bp),
            dict(self.after_bp),
            self.members,
            dict(self.weights_pm),
            self.ttl_s,
            self.dead_sites,
        )


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
    ``expected_ms``: until the last step of the last service, services side by side.
    ``waits``: what each service waits for at the end; ``NOTHING_LEFT`` where it is where it should be.
    ``is_cut``: there would be more steps than a plan may have; those left out are planned when these are done.
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
    waits: Mapping[ServiceId, Wait] = field(default_factory=dict)
    is_cut: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.steps

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Every member the plan starts, retires, takes out or puts back, in order."""
        return tuple(dict.fromkeys(member for step in self.steps for member in step.members))

    @property
    def digest(self) -> str:
        """SHA-256, first 16 hex digits, over what an approver decides about: cause, end, shed, members a person takes out.

        Not over the steps, loads, TTLs and times: they become fewer and waver while the plan is carried out.
        """
        matter: dict[str, object] = {
            "cause": self.cause.value,
            "after": {service: dict(shares) for service, shares in self.after.items()},
            "shed_bp": dict(self.shed_bp),
            "members": sorted(
                member
                for step in self.steps
                if step.cause is Cause.PERSON
                for member, pm in step.weights_pm.items()
                if not pm
            ),
        }
        if self.caveats:
            matter["caveats"] = list(self.caveats)
        return digest_of(matter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A plan folded beforehand, and the digest of the facts it was folded from: it holds while they are the same."""

    basis: str
    plan: Plan | None
