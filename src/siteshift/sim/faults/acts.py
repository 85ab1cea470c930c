"""What happens when: faults, their healing, people's requests, reloads and notes, on the scenario's time line."""

from __future__ import annotations

from dataclasses import dataclass

from siteshift.core.messages.requests import Request
from siteshift.core.model.policy import Policy
from siteshift.sim.faults.control import NodeFault
from siteshift.sim.faults.world import WorldFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """Heal the fault of the event with this label."""

    label: str


PROPOSED = "proposed"
"""Instead of a digest: what siteshift itself proposes at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A person asks a node for something (``leader``: whoever leads; else a node's id). The answer is in the transcript.

    ``expires_after_ms`` None: the policy's default. ``confirms``: they look at the plan first, and give the digest of what they
    saw; ``approved_by`` are the others who approve it at once. What lifts, approves or takes back another request may give the
    ``name:`` of that ask instead of an override's id or a digest; ``proposed`` is what siteshift proposes.
    """

    request: Request
    person: str = "operator"
    reason: str = "scenario"
    ticket: str = "T-1"
    node: str = "leader"
    expires_after_ms: int | None = None
    digest: str | None = None
    confirms: bool = False
    approved_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """All nodes take another policy: one event for each (law 15)."""

    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line in the transcript; nothing happens."""

    text: str


Fault = WorldFault | NodeFault
Act = Fault | Heal | Ask | Reload | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEvent:
    """One thing at an instant of the scenario. ``until_ms`` heals a fault by itself; ``label`` names it for `Heal`."""

    at_ms: int
    act: Act
    until_ms: int | None = None
    label: str = ""
