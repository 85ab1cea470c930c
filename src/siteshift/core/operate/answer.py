"""What operators ask for: granted, needs approval, or refused with a code. Only a granted request changes the state.

A person's request goes through the same look-ahead and the same gate as an automatic move. What needs approval is
answered with the plan and its digest; the request comes again with that digest (and, where two persons are needed,
their names), and holds only for exactly that plan (law 13).
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

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
    PoolRequest,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import FindingCode, LeftBecause, Mode, OverrideKind, Severity
from siteshift.core.model.finding import Finding, finding, verdict
from siteshift.core.model.override import Override, make_override
from siteshift.core.model.plan import Plan
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.operate.approval import approvers, bound, refusal
from siteshift.core.operate.release import lift, pool, undrain
from siteshift.core.plan.foreseen import planned
from siteshift.core.state.adoption import acknowledged
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft, Planner


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
            return _force(draft, asking, OverrideKind.SHARES, service=service, shares_bp=dict(shares))
        case DepoolRequest(member=member):
            service = draft.setup.topology.members[member].service
            return _force(draft, asking, OverrideKind.DEPOOL, service=service, member=member)
        case FreezeRequest(service=service):
            return _force(draft, asking, OverrideKind.FREEZE, service=service)
        case ModeRequest(service=service, mode=mode):
            return _force(draft, asking, OverrideKind.MODE, service=service, mode=mode)
        case UndrainRequest(site=site, service=service):
            return undrain(draft, asking, site, service)
        case PoolRequest(member=member):
            return pool(draft, asking, member)
        case LiftRequest(override=override):
            return lift(draft, asking, override)
        case ApproveRequest(digest=digest):
            return _approve(draft, asking, digest)
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
            text = f"there is no {kind} {name!r}; known: {', '.join(known)}"
            found.append(finding(FindingCode.UNKNOWN_NAME, Severity.REFUSED, text, name=name))
    for site in getattr(request, "shares_bp", ()):
        if site not in topology.site_ids:
            text = f"there is no site {site!r}; known: {', '.join(topology.site_ids)}"
            found.append(finding(FindingCode.UNKNOWN_NAME, Severity.REFUSED, text, name=site))
    return tuple(found)


_BRAKES = frozenset({OverrideKind.FREEZE, OverrideKind.MODE})
"""Overrides that move nothing: they say what siteshift may do by itself. What the gate thinks of a move under way must
not keep a person from braking it; a move they permit meets the gate when it comes."""


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
) -> Answer:
    """Lay an override over the state, if the plan it leads to is allowed or approved."""
    made = make_override(
        id=f"o{draft.state.overrides_made + 1}",
        kind=kind,
        owner=asking.person,
        reason=asking.reason,
        ticket=asking.ticket,
        expires_ms=asking.expires_ms,
        service=service,
        site=site,
        member=member,
        shares_bp=shares_bp,
        mode=mode,
        policy=draft.setup.policy,
        now_ms=draft.now_ms,
    )
    if isinstance(made, Finding):
        return refusal(asking, (made,))
    if kind in _BRAKES:
        return _grant(draft, asking, made, None, ())
    forced = replace(draft.state, overrides=(*draft.state.overrides, made))
    plan = planned(draft, forced, service)
    findings = bound(asking, plan)
    severity = verdict(findings)
    plans = (plan,) if plan is not None else ()
    if severity is not Severity.ALLOWED:
        return Answer(asking=asking.id, severity=severity, findings=findings, plans=plans)
    return _grant(draft, asking, made, plan, findings)


def _grant(
    draft: Draft, asking: OperatorRequest, made: Override, plan: Plan | None, findings: tuple[Finding, ...]
) -> Answer:
    made = replace(made, approved_by=approvers(asking), plan_digest=plan.digest if plan else None)
    draft.set(overrides=(*draft.state.overrides, made), overrides_made=draft.state.overrides_made + 1)
    plans = (plan,) if plan is not None else ()
    return Answer(asking=asking.id, severity=Severity.ALLOWED, findings=findings, plans=plans, override=made)


def _approve(draft: Draft, asking: OperatorRequest, digest: str) -> Answer:
    """Approve the plan that waits: for what may not act by itself (law 6), or what a rule wants a person for."""
    plan = planned(draft, draft.state, None)
    if plan is None:
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, "no plan is waiting"),))
    if plan.digest != digest:
        text = f"the plan you looked at ({digest}) is not the plan of now ({plan.digest})"
        stale = finding(FindingCode.STALE_DIGEST, Severity.REFUSED, text, given=digest, now=plan.digest)
        return Answer(asking=asking.id, severity=Severity.REFUSED, findings=(stale,), plans=(plan,))
    people = tuple(dict.fromkeys((asking.person, *asking.approved_by)))
    findings = bound(replace(asking, digest=digest), plan)
    severity = verdict(findings)
    if severity is not Severity.ALLOWED:
        return Answer(asking=asking.id, severity=severity, findings=findings, plans=(plan,))
    for service in plan.services:
        draft.set_transition(service, approved=plan, approved_by=people)
    return Answer(asking=asking.id, severity=severity, findings=findings, plans=(plan,))


def _acknowledge(draft: Draft, asking: OperatorRequest, site: SiteId | None, service: ServiceId | None) -> Answer:
    """A person has looked: the hold-down ends, and a failback that waits for a person may begin.

    Without a site only what is held as found is meant: a site left on evidence is acknowledged by its name.
    """
    state = draft.state
    held = state.adoption.sites if state.adoption is not None else frozenset()
    asked = {key for key in held if site in (None, key[1]) and service in (None, key[0])}
    left = [k for k, t in state.tracks.items() if k[1] == site and service in (None, k[0]) and t.left_because]
    left += [k for k in asked if site is None and state.track(*k).left_because is LeftBecause.UNKNOWN]
    if not left and not asked:
        text = f"nothing at {site or 'any site'} waits for an acknowledgement"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, site=site or ""),))
    tracks = dict(state.tracks)
    for key in left:
        tracks[key] = replace(tracks[key], hold_until_ms=draft.now_ms, flaps=0, is_return_asked=True)
    draft.set(tracks=tracks, adoption=acknowledged(state.adoption, frozenset(asked), draft.setup.topology))
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _take_over(draft: Draft, asking: OperatorRequest, plane: EnactorId) -> Answer:
    """A person has decided that a data plane is ours, whoever else has written to it."""
    if not take_over(draft, plane):
        text = f"{plane} is held by nobody else"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, plane=plane),))
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _switch(draft: Draft, asking: OperatorRequest, *, to_off: bool) -> Answer:
    if draft.state.is_switched_off == to_off:
        text = f"automatic action is already {'off' if to_off else 'on'}"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text),))
    draft.set(is_switched_off=to_off)
    return Answer(asking=asking.id, severity=Severity.ALLOWED)


def _document(asking: OperatorRequest, reply: Answer) -> dict[str, object]:
    return {
        "asking": asking.id,
        "person": asking.person,
        "request": type(asking.request).__name__,
        "reason": asking.reason,
        "ticket": asking.ticket,
        "severity": reply.severity.value,
        "findings": [{"code": entry.code.value, "text": entry.text} for entry in reply.findings],
        "digest": reply.plans[0].digest if reply.plans else None,
        "override": reply.override.id if reply.override else None,
    }
