"""What is remembered of a goal: who asked, the envelope it is bound by, who approved, and how far it is. Durable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.approval import Approval, ApprovalState, Envelope, Goal, Left, Offer, Verb, canonical
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import ServiceId


class GoalState(StrEnum):
    """``waiting``: for approvals, nothing has happened. ``suspended``: nothing of it moves until a fresh envelope is approved.

    ``reached``: it stays bound by its envelope for as long as its override lives. ``ended``: kept for the record alone.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    REACHED = "reached"
    ENDED = "ended"


BINDING = frozenset({GoalState.RUNNING, GoalState.SUSPENDED, GoalState.REACHED})
"""States in which the goal's steps are held against its envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalTrack:
    """One goal. ``asking`` is the request that was confirmed; it is carried out when enough persons approved.

    ``fresh``: the envelope of now, offered because the one approved was left; it takes ``approvals`` of its own, and
    ``is_fresh_confirmed`` by who asked. ``at_target``: services that are where the goal wants them. ``left`` is the bound
    that was left, ``ended_because`` why the goal is over.
    """

    goal: Goal
    asking: OperatorRequest
    state: GoalState
    since_ms: int
    envelope: Envelope
    approvals: tuple[Approval, ...] = ()
    is_started: bool = False
    at_target: frozenset[ServiceId] = frozenset()
    override: str | None = None
    left: Left | None = None
    fresh: Envelope | None = None
    is_fresh_confirmed: bool = False
    ended_because: str = ""

    @property
    def digest(self) -> str:
        """Of what was approved, or waits to be."""
        return Offer(goal=self.goal, envelope=self.envelope).digest

    @property
    def fresh_digest(self) -> str | None:
        return Offer(goal=self.goal, envelope=self.fresh).digest if self.fresh is not None else None

    @property
    def is_proposed(self) -> bool:
        """Whether siteshift wants it, not a person: then it is lifted over the gate by its approval, and held by nothing."""
        return self.goal.verb is Verb.PROPOSED

    def binds(self, service: ServiceId) -> bool:
        return self.state in BINDING and not self.is_proposed and service in self.goal.services

    def approvers(self, digest: str | None = None) -> tuple[str, ...]:
        """Who approves an offer, by default the one in force; never who asked."""
        wanted, owner = digest or self.digest, canonical(self.goal.owner)
        people = {canonical(a.person): a.person for a in self.approvals if a.digest == wanted and a.counts}
        return tuple(person for name, person in people.items() if name != owner)

    def used(self) -> tuple[Approval, ...]:
        """Its approvals once it is reached."""
        return tuple(_turned(a, ApprovalState.USED) for a in self.approvals)

    def lapsed(self) -> tuple[Approval, ...]:
        """Its approvals once their time is over."""
        return tuple(_turned(a, ApprovalState.LAPSED) for a in self.approvals)

    def in_use(self) -> tuple[Approval, ...]:
        """Its approvals once the first step was made."""
        return tuple(_turned(a, ApprovalState.IN_USE) for a in self.approvals)


def narrowed(goal: Goal, topology: Topology) -> Goal | None:
    """The goal as far as the configuration still has what it names; None when nothing of it is left."""
    if not (topology.members.keys() >= set(goal.members) and set(topology.site_ids) >= set(goal.shares_bp)):
        return None
    there = [topology.service_by_id[name] for name in goal.services if name in topology.service_by_id]
    if goal.sites:
        there = [service for service in there if any(service.pool_at(site) for site in goal.sites)]
    sites = tuple(site for site in goal.sites if any(service.pool_at(site) for service in there))
    if goal.verb is Verb.SHARES:
        sites = tuple(site for service in there for site in service.sites)
    return replace(goal, services=tuple(service.id for service in there), sites=sites) if there else None


def _turned(approval: Approval, state: ApprovalState) -> Approval:
    return replace(approval, state=state) if approval.counts else approval
