"""The working copy of one step. It lives only inside `controller.step`; nobody else ever sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from siteshift.core.messages.commands import Command, Record, Tell
from siteshift.core.model.codes import Severity
from siteshift.core.model.notice import Notice, severity_of
from siteshift.core.model.plan import Foreseen, Plan, Step, Wait
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.goals import GoalTrack
from siteshift.core.state.tracks import ServiceTransition, SiteTrack, StandbyTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuestion:
    """What a plan is asked for: the state it begins from, and the service it is about (None: all)."""

    state: ControllerState
    only: ServiceId | None


Planner = Callable[[PlanQuestion], Plan | None]


class Licence(Enum):
    """How the gate's questions are answered: as they were so far, or as if a person had said yes to this plan."""

    AS_GRANTED = "as_granted"
    AS_IF_APPROVED = "as_if_approved"


@dataclass(slots=True, kw_only=True)
class Draft:
    """State under change, the commands so far, and the earliest instant that will matter.

    ``steps`` are those taken, ``waits`` what each service that was looked at waits for now. ``is_forecast``: nobody will read
    its journal. ``foreseen``: plans folded beforehand; ``plan_now`` makes one that was not, where that is not `plan.fold`'s.
    """

    state: ControllerState
    setup: Setup
    now_ms: int
    commands: list[Command] = field(default_factory=list)
    wake_at_ms: int = NEVER_MS
    remembers: bool = False
    licence: Licence = Licence.AS_GRANTED
    is_forecast: bool = False
    foreseen: tuple[Foreseen, ...] = ()
    plan_now: Planner | None = None
    steps: list[Step] = field(default_factory=list)
    waits: dict[ServiceId, Wait] = field(default_factory=dict)

    def set(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.state = self.state.changed(**changes)

    def due(self, at_ms: int) -> bool:
        """Whether an instant has come; one that has not is remembered as a reason to wake."""
        if at_ms <= self.now_ms:
            return True
        self.wake_at_ms = min(self.wake_at_ms, at_ms)
        return False

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        self.commands.append(Record(kind=kind, data=data))

    def tell(
        self,
        verdict: Severity,
        code: str,
        text: str,
        *,
        service: ServiceId | None = None,
        site: SiteId | None = None,
        member: MemberId | None = None,
        plane: EnactorId | None = None,
        about: str = "",
        since_ms: int = 0,
    ) -> None:
        """Tell people. A condition is kept under its key until its end is told (`core.notices`)."""
        facts: dict[str, Any] = {
            "severity": severity_of(code, verdict),
            "code": code,
            "text": text,
            "service": service,
            "site": site,
            "member": member,
            "plane": plane,
            "about": about,
            "since_ms": since_ms or self.now_ms,
        }
        self.commands.append(Tell(**facts))
        notice = Notice(**facts)
        if not notice.is_event:
            self.set(told={**self.state.told, notice.key: notice})
            self.remembers = True

    def set_track(self, service: ServiceId, site: SiteId, track: SiteTrack) -> None:
        self.set(tracks={**self.state.tracks, (service, site): track})
        self.remembers = True

    def set_transition(self, service: ServiceId, **changes: Any) -> ServiceTransition:
        """Change a service's transition; what is durable of it is remembered with the next write."""
        transition = self.state.transition(service).changed(**changes)
        self.set(transitions={**self.state.transitions, service: transition})
        return transition

    def set_goal(self, track: GoalTrack) -> None:
        self.set(goals={**self.state.goals, track.goal.digest: track})
        self.remembers = True

    def set_plane(self, enactor: EnactorId, **changes: Any) -> None:
        track = self.state.plane(enactor).changed(**changes)
        self.set(planes={**self.state.planes, enactor: track})

    def set_standby(self, member: MemberId, **changes: Any) -> StandbyTrack:
        track = self.state.standby(member).changed(**changes)
        self.set(standbys={**self.state.standbys, member: track})
        return track
