"""What a plan is told besides its steps, before anybody says yes: room that is missing, data planes that will not follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from siteshift.core.decide.gate import examine
from siteshift.core.decide.gate_input import context_of, proposal_for
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target, with_shares
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.plan import Shares
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.plan.predict import Forecast
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState
from siteshift.core.state.plane_queries import in_service

_GRANTED = frozenset({GoalState.RUNNING, GoalState.REACHED})
"""What was accepted with a goal in these states still holds; a suspended one is offered afresh."""


def room_findings(situation: Situation, target: Target, start_bp: Shares) -> list[Finding]:
    """What a drain leaves undone: the last site, or demand the survivors cannot carry (laws 1 and 7).

    What was confirmed with the drain that is in force is told, and asked of nobody again.
    """
    service = situation.service.id
    away = [site for site in situation.service.sites if situation.away(site)]
    if away and len(away) == len(situation.service.sites):
        text = f"{service}: {', '.join(away)} would be all of its sites; the last serving site is never removed"
        return [finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, text, sites=",".join(away))]
    stays_bp = sum(target.shares_bp.get(site, 0) for site in away)
    if stays_bp and situation.forced.drained_sites:
        moved_bp = sum(start_bp.get(site, 0) for site in away) - stays_bp
        text = (
            f"{service}: the survivors can take {moved_bp / 100:.1f} % of the demand within their limit, "
            f"{stays_bp / 100:.1f} % would stay at {', '.join(away)}"
        )
        numbers: dict[str, int | str] = {"service": service, "moved_bp": moved_bp, "stays_bp": stays_bp, "approvals_needed": 0}
        return [_unless_granted(situation, away, finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, text, **numbers))]
    if target.shed_bp:
        text = f"{service}: {target.shed_bp / 100:.1f} % of the demand finds no room and would be shed"
        if target.shed_at is not None and not situation.has_shed_answer:
            text += f"; nothing answers it (`shed_answers`), so it would go on being sent to {target.shed_at}"
        numbers = {"service": service, "shed_bp": target.shed_bp, "approvals_needed": 0}
        return [_unless_granted(situation, away, finding(FindingCode.SHED_NEEDED, Severity.NEEDS_APPROVAL, text, **numbers))]
    return []


def _unless_granted(situation: Situation, away: Iterable[SiteId], found: Finding) -> Finding:
    """The finding, only told where the drains in force accepted it: every site that is left, by the goal behind its override.

    A drain asked for now has an override and no goal yet: whoever asks for it confirms it themselves.
    """
    behind = {track.override: track for track in situation.goals if track.state in _GRANTED}
    tracks = [behind.get(made.id) if (made := situation.forced.by.get(site)) is not None else None for site in away]
    if not tracks or not all(track is not None and track.envelope.accepts(found) for track in tracks):
        return found
    owners = ", ".join(dict.fromkeys(track.goal.owner for track in tracks if track is not None))
    return replace(found, severity=Severity.ALLOWED, text=f"{found.text}; confirmed by {owners}")


def stuck_findings(draft: Draft, situation: Situation, target: Target) -> list[Finding]:
    """What stops a person from having a site left when none of its traffic can go anywhere: said first."""
    current_bp = situation.current.shares_bp
    stays = any(current_bp.get(site, 0) for site in situation.forced.drained_sites)
    if not stays or dict(target.shares_bp) != dict(current_bp):
        return []
    end = with_shares(situation.current, target, target.shares_bp)
    found = examine(proposal_for(situation, end, Cause.PERSON), context_of(draft, situation, situation.mode, end))
    return [entry for entry in found if entry.severity is not Severity.ALLOWED]


def changed_by_hand(state: ControllerState, setup: Setup, service: ServiceId) -> list[Finding]:
    """What somebody else changed on a data plane that the plan writes: left until now, put back by the first step."""
    found = []
    for plane in setup.planes_of(service):
        reading = state.plane(plane.id).read_back
        for drift in reading.drifts if reading is not None else ():
            text = f"{plane.id}: {drift.what} is {drift.found} by another hand; the first write makes it {drift.wanted} again"
            found.append(finding(FindingCode.CHANGED_BY_HAND, Severity.ALLOWED, text, plane=plane.id, what=drift.what))
    return found


def obstructed(state: ControllerState, setup: Setup, service: ServiceId, end_bp: Shares) -> list[Finding]:
    """What on a data plane no write changes. Where it closes a site to which the plan sends users, who asks has to confirm: that
    plane will not follow.
    """
    found = []
    for plane in in_service(state, setup.planes_of(service)):
        reading = state.plane(plane.id).read_back
        for obstacle in reading.obstacles if reading is not None else ():
            if obstacle.service != service:
                continue
            is_closed = obstacle.closes is not None and end_bp.get(obstacle.closes, 0) > 0
            text = f"{plane.id}: {obstacle}"
            numbers: dict[str, int | str] = {"plane": plane.id, "what": obstacle.what}
            if is_closed:
                text = f"{plane.id} can send nobody to {obstacle.closes}: {obstacle}"
                numbers["approvals_needed"] = 0
            severity = Severity.NEEDS_APPROVAL if is_closed else Severity.ALLOWED
            found.append(finding(FindingCode.PLANE_OBSTACLE, severity, text, **numbers))
    return found


def silent_planes(forecast: Forecast, service: ServiceId) -> list[Finding]:
    """Data planes that carry the service and will not confirm: the plan would begin and then wait for them.

    A warning: who drains because things are broken must not first mend what is broken.
    """
    found = []
    for plane in forecast.setup.planes_of(service):
        if plane.id in forecast.silent:
            why = forecast.silent[plane.id]
            text = f"{service}: data plane {plane.id} would not follow, {why}; what comes after waits for it"
            numbers: dict[str, int | str] = {"plane": plane.id, "approvals_needed": 0}
            found.append(finding(FindingCode.DATA_PLANE_UNKNOWN, Severity.NEEDS_APPROVAL, text, **numbers))
    return found
