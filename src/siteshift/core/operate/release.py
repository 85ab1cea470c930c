"""Letting go of what was forced: undrain, pool, lift. The real state shows again (law 5).

A site that the evidence says is down gets nothing by being undrained: its drain only stops being a person's. Whoever
asks for that is told, and has to confirm the digest of the offer that says so, as for any other target that is not up (the
gate's weight of `TARGET_UNHEALTHY`).
"""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.severities import WEIGHTS
from siteshift.core.decide.situations import situation_of
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.approval import canonical
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, OverrideKind, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.override import Override
from siteshift.core.model.setup import Setup
from siteshift.core.model.spelling import unknown
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.core.operate.approval import refusal, settle
from siteshift.core.operate.deciding import join
from siteshift.core.operate.envelope import fold_goal
from siteshift.core.operate.goal import goal_of
from siteshift.core.operate.goals import live, supersede, without_superseded
from siteshift.core.plan.fold import empty_plan
from siteshift.core.plan.foreseen import planned
from siteshift.core.state.adoption import acknowledged
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import BINDING, GoalTrack

_SEVERITY = {Signal.DEAD: WEIGHTS[FindingCode.TARGET_UNHEALTHY].person, Signal.SICK: Severity.ALLOWED}
_WORDS = {Signal.DEAD: "down", Signal.SICK: "degraded"}


def undrain(draft: Draft, asking: OperatorRequest, site: SiteId, service: ServiceId | None) -> Answer:
    """Lift the drains of a site and let it come back, also before its hold-down is over."""
    if (track := _under_way(draft, asking)) is not None:
        return join(draft, asking, track, None)
    state = draft.state
    drains = [e for e in state.overrides if e.kind is OverrideKind.DRAIN and e.site == site]
    gone = [entry for entry in drains if service is None or entry.service == service]
    if service is not None and not gone and drains:
        wide = drains[0]
        text = f"{site} is drained for all services by override {wide.id} of {wide.owner}"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, override=wide.id),))
    left = [key for key, track in state.tracks.items() if key[1] == site and service in (None, key[0]) and track.left_because]
    if not gone and not left:
        text = f"{site} is not drained"
        found: dict[str, int | str] = {"site": site, "already": 1}
        if any(state.is_held(entry.id, site) for entry in draft.setup.topology.services if service in (None, entry.id)):
            text += f"; it is held as it was found: `siteshift ack {site}` lets it go"
            del found["already"]
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, **found),))
    tracks = {**state.tracks, **{key: replace(state.tracks[key], is_return_asked=True) for key in left}}
    looked_at = frozenset((entry.id, site) for entry in draft.setup.topology.services if service in (None, entry.id))
    adoption = acknowledged(state.adoption, looked_at, draft.setup.topology)
    after = replace(_without(state, gone), tracks=tracks, adoption=adoption)
    return _release(draft, asking, after, _unwell(after, draft.setup, draft.now_ms, site, service))


def pool(draft: Draft, asking: OperatorRequest, member: MemberId) -> Answer:
    """Lift the depool of one member."""
    if (track := _under_way(draft, asking)) is not None:
        return join(draft, asking, track, None)
    gone = [e for e in draft.state.overrides if e.kind is OverrideKind.DEPOOL and e.member == member]
    adoption = draft.state.adoption
    is_held = adoption is not None and member in adoption.members_out
    if not gone and not is_held:
        text = f"{member} is not depooled"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, already=1),))
    if adoption is not None:
        adoption = replace(adoption, members_out=adoption.members_out - {member})
    return _release(draft, asking, replace(_without(draft.state, gone), adoption=adoption), ())


def lift(draft: Draft, asking: OperatorRequest, override: str) -> Answer:
    """Lift one override, whatever it is."""
    if (track := _under_way(draft, asking)) is not None:
        return join(draft, asking, track, None)
    gone = [entry for entry in draft.state.overrides if entry.id == override]
    if not gone:
        text = unknown("override", override, [entry.id for entry in draft.state.overrides])
        return refusal(asking, (finding(FindingCode.UNKNOWN_NAME, Severity.REFUSED, text, name=override),))
    after, made = _without(draft.state, gone), gone[0]
    found: tuple[Finding, ...] = ()
    if made.kind is OverrideKind.DRAIN and made.site is not None:
        found = _unwell(after, draft.setup, draft.now_ms, made.site, made.service)
    return _release(draft, asking, after, found)


def _under_way(draft: Draft, asking: OperatorRequest) -> GoalTrack | None:
    """The same release, asked for before and not over. A lift is known by its override, which is gone by then."""
    goal = goal_of(asking, draft.setup, draft.state.overrides)
    if not goal.override:
        return live(draft.state, goal.digest)
    owner = canonical(goal.owner)
    same = (t for t in draft.state.goals.values() if t.goal.override == goal.override and canonical(t.goal.owner) == owner)
    return next((track for track in same if track.state in BINDING), None)


def _without(state: ControllerState, gone: list[Override]) -> ControllerState:
    """The state to plan from: goals end with their overrides, and hold nothing any more."""
    ids = {entry.id for entry in gone}
    goals = {key: track for key, track in state.goals.items() if track.override not in ids}
    return replace(state, overrides=tuple(entry for entry in state.overrides if entry not in gone), goals=goals)


def _unwell(
    state: ControllerState, setup: Setup, now_ms: int, site: SiteId, service: ServiceId | None
) -> tuple[Finding, ...]:
    """What the evidence holds against a site that is to be released, one finding for each service."""
    found: list[Finding] = []
    for entry in setup.topology.services:
        if entry.pool_at(site) is None or service not in (None, entry.id):
            continue
        signal = situation_of(state, setup, entry, now_ms).signals[site]
        if signal not in _SEVERITY:
            continue
        text = (
            f"{entry.id} at {site} is {_WORDS[signal]} by the evidence: released, it gets nothing before it is well, "
            "and then comes back by itself"
        )
        numbers: dict[str, int | str] = {"service": entry.id, "site": site}
        if _SEVERITY[signal] is Severity.NEEDS_APPROVAL:
            numbers["approvals_needed"] = WEIGHTS[FindingCode.TARGET_UNHEALTHY].approvals
        found.append(finding(FindingCode.TARGET_UNHEALTHY, _SEVERITY[signal], text, **numbers))
    return tuple(found)


def _release(draft: Draft, asking: OperatorRequest, after: ControllerState, found: tuple[Finding, ...]) -> Answer:
    """Take the state after, if who asks confirmed what the evidence says against it (``found``)."""
    goal = goal_of(asking, draft.setup, draft.state.overrides)
    after, replaced = without_superseded(after, goal)
    found = (*replaced, *found)
    plan = planned(draft, after, None)
    if found:
        plan = replace(plan or empty_plan(Cause.RELEASE), findings=found)
    folded = fold_goal(goal, plan, found, state=after, setup=draft.setup, now_ms=draft.now_ms)
    return settle(draft, asking, folded, lambda track: _let_go(draft, asking, after, track))


def _let_go(draft: Draft, asking: OperatorRequest, after: ControllerState, track: GoalTrack | None) -> Answer:
    """Letting go is its first step: from then on nothing but its envelope keeps a person's hand on what comes back."""
    draft.set(overrides=after.overrides, tracks=after.tracks, adoption=after.adoption)
    if track is not None:
        supersede(draft, track.goal)
        draft.set_goal(replace(track, is_started=True, approvals=track.in_use()))
        draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "running"})
    return Answer(asking=asking.id, severity=Severity.ALLOWED)
