"""What operators ask for: granted, needs approval, or refused with a code. Only a granted request changes the state.

A person's request goes through the same look-ahead and the same gate as an automatic move. It is answered with the plan, the
envelope and their digest; the request comes again with that digest, and then its steps are held to the envelope (law 13).
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from siteshift.core.decide.occasion import cannot_be_sent
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.enact.planes import take_over
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import (
    AckRequest,
    ApproveRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    ModeRequest,
    OperatorRequest,
    PlaneInRequest,
    PlaneOutRequest,
    PoolRequest,
    RevokeRequest,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import Goal
from siteshift.core.model.codes import FindingCode, LeftBecause, Mode, OverrideKind, Severity
from siteshift.core.model.finding import Finding, finding, verdict
from siteshift.core.model.override import Override, make_override
from siteshift.core.model.setup import Setup
from siteshift.core.model.spelling import unknown
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.operate.approval import refusal, settle
from siteshift.core.operate.deciding import approve, join, take_back
from siteshift.core.operate.envelope import fold_goal
from siteshift.core.operate.goal import goal_of
from siteshift.core.operate.goals import live, supersede, without_superseded
from siteshift.core.operate.planes import put_in, why_not_out
from siteshift.core.operate.release import lift, pool, undrain
from siteshift.core.plan.foreseen import planned
from siteshift.core.state.adoption import acknowledged
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft, Planner
from siteshift.core.state.goals import GoalTrack


def answer(draft: Draft, asking: OperatorRequest) -> bool:
    """Answer one request; True when it changed the state."""
    before = draft.state
    found = _forbids(draft.state, draft.setup, asking)
    reply = refusal(asking, found) if found else _answer(draft, asking)
    draft.commands.append(reply)
    draft.record("answer", _document(asking, reply))
    if draft.state is before:
        return False
    draft.remembers = True
    return True


def look_at(
    state: ControllerState, setup: Setup, asking: OperatorRequest, now_ms: int, *, plan_now: Planner | None = None
) -> Answer:
    """What the answer would be, with the plan; nothing is changed (``--dry-run``, and the screen before a drain)."""
    scratch = Draft(state=state, setup=setup, now_ms=now_ms, plan_now=plan_now)
    found = _forbids(state, setup, asking)
    return refusal(asking, found) if found else _answer(scratch, asking)


def _forbids(state: ControllerState, setup: Setup, asking: OperatorRequest) -> tuple[Finding, ...]:
    """What makes a request impossible before it is looked at.

    What cannot be remembered is not granted: it would be gone with the next restart (law 12). The off switch works all
    the same: it makes nothing happen, and must not wait for a disk (law 16).
    """
    if state.is_store_usable or isinstance(asking.request, SwitchOffRequest):
        return unknown_names(asking, setup)
    text = "the store is lost: what is asked for now could not be remembered"
    return (*unknown_names(asking, setup), finding(FindingCode.STORE_LOST, Severity.REFUSED, text))


def _answer(draft: Draft, asking: OperatorRequest) -> Answer:
    request = asking.request
    match request:
        case DrainRequest(site=site, service=service):
            return _force(draft, asking, OverrideKind.DRAIN, site=site, service=service)
        case SharesRequest(service=service, shares_bp=shares):
            if cannot := cannot_be_sent(_situation(draft, service), shares):
                return refusal(asking, cannot)
            return _force(draft, asking, OverrideKind.SHARES, service=service, shares_bp=dict(shares))
        case DepoolRequest(member=member):
            service = draft.setup.topology.members[member].service
            return _force(draft, asking, OverrideKind.DEPOOL, service=service, member=member)
        case FreezeRequest(service=service):
            return _force(draft, asking, OverrideKind.FREEZE, service=service)
        case ModeRequest(service=service, mode=mode):
            return _force(draft, asking, OverrideKind.MODE, service=service, mode=mode)
        case PlaneOutRequest(plane=plane):
            if (why := why_not_out(draft.state, draft.setup, plane)) is not None:
                return refusal(asking, (why,))
            return _force(draft, asking, OverrideKind.PLANE_OUT, plane=plane)
        case PlaneInRequest(plane=plane):
            return put_in(draft, asking, plane)
        case UndrainRequest(site=site, service=service):
            return undrain(draft, asking, site, service)
        case PoolRequest(member=member):
            return pool(draft, asking, member)
        case LiftRequest(override=override):
            return lift(draft, asking, override)
        case ApproveRequest(digest=digest):
            return approve(draft, asking, digest, _answer)
        case RevokeRequest(digest=digest, person=person):
            return take_back(draft, asking, digest, person)
        case AckRequest(plane=plane) if plane is not None:
            return _take_over(draft, asking, plane)
        case AckRequest(site=site, service=service):
            return _acknowledge(draft, asking, site, service)
        case SwitchOffRequest():
            return _switch(draft, asking, to_off=True)
        case SwitchOnRequest():
            return _switch(draft, asking, to_off=False)
        case _:
            assert_never(request)


def unknown_names(asking: OperatorRequest, setup: Setup) -> tuple[Finding, ...]:
    """Names in a request that mean nothing here."""
    topology, request = setup.topology, asking.request
    found: list[Finding] = []
    for kind, known in (
        ("site", topology.site_ids),
        ("service", tuple(topology.service_by_id)),
        ("member", tuple(topology.members)),
        ("plane", tuple(plane.id for plane in setup.planes)),
    ):
        name = getattr(request, kind, None)
        if name is not None and name not in known:
            found.append(finding(FindingCode.UNKNOWN_NAME, Severity.REFUSED, unknown(kind, name, known), name=name))
    for site in getattr(request, "shares_bp", ()):
        if site not in topology.site_ids:
            text = unknown("site", site, topology.site_ids)
            found.append(finding(FindingCode.UNKNOWN_NAME, Severity.REFUSED, text, name=site))
    return tuple(found) or _no_pool(asking, setup)


def _situation(draft: Draft, service: ServiceId) -> Situation:
    return situation_of(draft.state, draft.setup, draft.setup.topology.service_by_id[service], draft.now_ms)


def _no_pool(asking: OperatorRequest, setup: Setup) -> tuple[Finding, ...]:
    """Sites of a request at which its service has no servers: nothing could be moved there, or away."""
    request, services = asking.request, setup.topology.service_by_id
    match request:
        case SharesRequest(service=service, shares_bp=shares):
            sites = tuple(shares)
        case DrainRequest(site=site, service=service) | UndrainRequest(site=site, service=service) if service is not None:
            sites = (site,)
        case _:
            return ()
    without = [site for site in sites if services[service].pool_at(site) is None]
    text = f"{service} has no pool at {', '.join(without)}; it has one at {', '.join(services[service].sites)}"
    return (finding(FindingCode.NO_POOL, Severity.REFUSED, text, service=service, sites=",".join(without)),) if without else ()


_BRAKES = frozenset({OverrideKind.FREEZE, OverrideKind.MODE, OverrideKind.PLANE_OUT})
"""Overrides that move nothing: they say what siteshift may do by itself, and what it waits for. What the gate thinks of a move
under way must not keep a person from braking it; a move they permit meets the gate when it comes."""


def _force(
    draft: Draft,
    asking: OperatorRequest,
    kind: OverrideKind,
    *,
    service: ServiceId | None = None,
    site: SiteId | None = None,
    member: MemberId | None = None,
    shares_bp: dict[SiteId, int] | None = None,
    mode: Mode | None = None,
    plane: EnactorId | None = None,
) -> Answer:
    """Lay an override over the state, if the plan it leads to is allowed or approved."""
    life_ms = asking.life_ms
    made = make_override(
        id=f"o{draft.state.overrides_made + 1}",
        kind=kind,
        owner=asking.person,
        reason=asking.reason,
        ticket=asking.ticket,
        expires_ms=draft.now_ms + life_ms if life_ms is not None else asking.expires_ms,
        service=service,
        site=site,
        member=member,
        shares_bp=shares_bp,
        mode=mode,
        plane=plane,
        policy=draft.setup.policy,
        now_ms=draft.now_ms,
    )
    if isinstance(made, Finding):
        return refusal(asking, (made,))
    if kind in _BRAKES:
        return _lay(draft, asking, made, None)
    goal = goal_of(asking, draft.setup, draft.state.overrides)
    first = next((entry for entry in draft.state.overrides if entry.goal == goal.digest), None)
    if first is not None:
        track = live(draft.state, goal.digest)
        return join(draft, asking, track, first) if track is not None else _bind(draft, asking, goal, first)
    before, found = without_superseded(draft.state, goal)
    forced = replace(before, overrides=(*before.overrides, made))
    plan = planned(draft, forced, service)
    findings = (*found, *(plan.findings if plan is not None else ()))
    folded = fold_goal(goal, plan, findings, state=forced, setup=draft.setup, now_ms=draft.now_ms)
    made = replace(made, goal=goal.digest)
    return settle(draft, asking, folded, lambda track: _lay(draft, asking, made, track))


def _bind(draft: Draft, asking: OperatorRequest, goal: Goal, first: Override) -> Answer:
    """The same as is in force and was never confirmed: where it stands at the gate now, or a digest is given, it can be."""
    plan = planned(draft, draft.state, first.service)
    findings = plan.findings if plan is not None else ()
    if asking.digest is None and verdict(findings) is Severity.ALLOWED:
        return join(draft, asking, None, first)
    folded = fold_goal(goal, plan, findings, state=draft.state, setup=draft.setup, now_ms=draft.now_ms)
    return settle(draft, asking, folded, lambda track: _lay_bound(draft, asking, first, track))


def _lay_bound(draft: Draft, asking: OperatorRequest, first: Override, track: GoalTrack | None) -> Answer:
    if track is not None:
        supersede(draft, track.goal)
        draft.set_goal(replace(track, override=first.id, is_started=True, approvals=track.in_use()))
        draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "running", "override": first.id})
        bound = replace(first, approved_by=track.approvers(), plan_digest=track.digest)
        draft.set(overrides=tuple(bound if entry is first else entry for entry in draft.state.overrides))
        first = bound
    return Answer(asking=asking.id, severity=Severity.ALLOWED, override=first, note="it was in force, and is confirmed now")


def _lay(draft: Draft, asking: OperatorRequest, made: Override, track: GoalTrack | None) -> Answer:
    if track is not None:
        supersede(draft, track.goal)
        made = replace(made, approved_by=track.approvers(), plan_digest=track.digest)
        draft.set_goal(replace(track, override=made.id))
        draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "running", "override": made.id})
    draft.set(overrides=(*draft.state.overrides, made), overrides_made=draft.state.overrides_made + 1)
    return Answer(asking=asking.id, severity=Severity.ALLOWED, override=made)


def _acknowledge(draft: Draft, asking: OperatorRequest, site: SiteId | None, service: ServiceId | None) -> Answer:
    """A person has looked: the hold-down ends, a failback that waits for a person may begin, and what the site was found to carry
    when it failed under load counts no more.

    Without a site only what is held as found is meant: a site left on evidence is acknowledged by its name.
    """
    state = draft.state
    held = state.adoption.sites if state.adoption is not None else frozenset()
    asked = {key for key in held if site in (None, key[1]) and service in (None, key[0])}
    left = [k for k, t in state.tracks.items() if k[1] == site and service in (None, k[0]) and t.left_because]
    left += [k for k in asked if site is None and state.track(*k).left_because is LeftBecause.UNKNOWN]
    capped = [name for name, t in state.transitions.items() if site in t.carrying and service in (None, name)]
    if not left and not asked and not capped:
        text = f"nothing at {site or 'any site'} waits for an acknowledgement"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, site=site or "", already=1),))
    tracks = dict(state.tracks)
    for key in left:
        tracks[key] = replace(tracks[key], hold_until_ms=draft.now_ms, flaps=0, is_return_asked=True)
    draft.set(tracks=tracks, adoption=acknowledged(state.adoption, frozenset(asked), draft.setup.topology))
    for name in capped:
        carrying = {where: known for where, known in state.transition(name).carrying.items() if where != site}
        draft.set_transition(name, carrying=carrying)
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _take_over(draft: Draft, asking: OperatorRequest, plane: EnactorId) -> Answer:
    """A person has decided that a data plane is ours, whoever else has written to it."""
    if not take_over(draft, plane):
        text = f"{plane} is held by nobody else"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, plane=plane, already=1),))
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _switch(draft: Draft, asking: OperatorRequest, *, to_off: bool) -> Answer:
    if draft.state.is_switched_off == to_off:
        text = f"automatic action is already {'off' if to_off else 'on'}"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, already=1),))
    draft.set(is_switched_off=to_off)
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _document(asking: OperatorRequest, reply: Answer) -> dict[str, object]:
    return {
        "asking": asking.id,
        "person": asking.person,
        "peer": asking.peer,
        "via": asking.via,
        "rank": asking.rank,
        "request": type(asking.request).__name__,
        "about": {name: value for name, value in to_document(asking.request).items() if name != "type" and value is not None},
        "reason": asking.reason,
        "ticket": asking.ticket,
        "severity": reply.severity.value,
        "findings": [{"code": entry.code.value, "text": entry.text} for entry in reply.findings],
        "digest": reply.offer.digest if reply.offer else None,
        "confirmed": asking.digest,
        "approved_by": list(reply.approved_by),
        "note": reply.note,
        "override": reply.override.id if reply.override else None,
    }
