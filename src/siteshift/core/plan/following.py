"""Plan beside execution: while nothing changes, every step taken is the one that was planned. What differs is journalled.

A service is followed from the moment a plan for it is in force (a granted request, or `PlanFolded`) until its last step, or until
a step comes that was not planned. Trifles (TTLs, weights, what is sent on) are not held against a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.beliefs.lives import signal_of
from siteshift.core.beliefs.traffic import demand_rps
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import PlanFolded
from siteshift.core.model.codes import Severity, StandbyPhase, Standing, StepKind
from siteshift.core.model.override import forced_view
from siteshift.core.model.plan import TRIFLES, Plan, Step
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId
from siteshift.core.plan.foreseen import basis_of
from siteshift.core.plan.predict import why_silent
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.expected import Expected

UNKNOWN_FACT = "none that is known: the forecast was wrong"


def expect_granted(draft: Draft) -> None:
    """A request was granted: from now on its plan is what is expected."""
    reply = next((command for command in reversed(draft.commands) if isinstance(command, Answer)), None)
    if reply is not None and reply.severity is Severity.ALLOWED and reply.plans:
        expect(draft, reply.plans[0])


def absorb_plan(draft: Draft, event: PlanFolded) -> None:
    """A plan was folded anew. What it changes of one in force is journalled; one of other facts than now is not taken."""
    if event.plan is None or event.basis != basis_of(draft.state, draft.setup, None):
        return
    for service in event.plan.services:
        known = draft.state.expected.get(service)
        steps = _steps_of(event.plan, service)
        if known is not None and [s.deed for s in known.steps] != [s.deed for s in steps]:
            _journal(draft, service, known, known.steps[:1], steps[:1])
    expect(draft, event.plan)


def expect(draft: Draft, plan: Plan) -> None:
    """Put a plan in force for its services."""
    made = {
        service: Expected(steps=_steps_of(plan, service), facts=facts_of(draft.state, draft.setup, service, draft.now_ms))
        for service in plan.services
    }
    draft.set(expected={**draft.state.expected, **made})


def follow(draft: Draft, step: Step) -> None:
    """Hold a step that was taken against what was expected."""
    known = draft.state.expected.get(step.service)
    if known is None or step.kind in TRIFLES:
        return
    left = _without(known.steps, step)
    if left is None:
        _journal(draft, step.service, known, known.steps[:1], (step,))
    others = {service: entry for service, entry in draft.state.expected.items() if service != step.service}
    draft.set(expected=others if not left else {**others, step.service: replace(known, steps=left)})


def _steps_of(plan: Plan, service: ServiceId) -> tuple[Step, ...]:
    return tuple(s for s in plan.steps if s.service == service and not s.is_wait and s.kind not in TRIFLES)


def _without(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...] | None:
    """What is still to come after a step; None when it was not the next. Standbys that come one by one take their part of it."""
    if not steps:
        return None
    head, rest = steps[0], steps[1:]
    if _core(head) == _core(step):
        return rest
    left = {m: pm for m, pm in head.weights_pm.items() if step.weights_pm.get(m) != pm}
    is_part = step.kind is head.kind is StepKind.POOL and dict(head.after_bp) == dict(step.after_bp)
    if is_part and step.weights_pm.items() <= head.weights_pm.items():
        return (replace(head, weights_pm=left, members=tuple(sorted(left))), *rest)
    return None


def _core(step: Step) -> tuple[object, ...]:
    """The deed without the TTL that goes with it."""
    return replace(step, ttl_s=None).deed


def _journal(draft: Draft, service: ServiceId, known: Expected, expected: tuple[Step, ...], instead: tuple[Step, ...]) -> None:
    now = facts_of(draft.state, draft.setup, service, draft.now_ms)
    names = sorted(known.facts.keys() | now.keys())
    changed = [
        f"{name}: {known.facts.get(name, '-')} > {now.get(name, '-')}" for name in names if known.facts.get(name) != now.get(name)
    ]
    draft.record(
        "plan_changed",
        {
            "service": service,
            "expected": [_document(step) for step in expected],
            "instead": [_document(step) for step in instead],
            "changed": changed or [UNKNOWN_FACT],
        },
    )


def _document(step: Step) -> dict[str, object]:
    return {"step": step.kind.value, "after_bp": dict(step.after_bp), "members": list(step.members)}


def facts_of(state: ControllerState, setup: Setup, service: ServiceId, now_ms: int) -> Mapping[str, str]:
    """What the steps of a service follow from, by name, in words a person reads."""
    found = setup.topology.service_by_id[service]
    policy, forced = setup.policy.of(service), forced_view(state.overrides, service, now_ms)
    facts = {f"evidence at {site}": signal_of(state, policy, forced, service, site).value for site in found.sites}
    facts["demand"] = f"{demand_rps(state, found, setup.metered)} requests/s"
    facts["overrides"] = ", ".join(o.id for o in state.overrides if o.service in (None, service)) or "none"
    facts["setup"] = state.setup_digest
    facts["may act"] = f"term {state.term}, store {state.is_store_usable}, switched off {state.is_switched_off}"
    for plane in setup.planes_of(service):
        facts[f"data plane {plane.id}"] = why_silent(state.plane(plane.id)) or "answers"
    for pool in found.pools:
        seen = state.picture.pools.get((service, pool.site))
        for member, view in seen.members.items() if seen is not None else ():
            phase = state.standby(member).phase if member in state.standbys else None
            if view.standing is Standing.DOWN and phase in (None, StandbyPhase.PROVEN):
                facts[f"member {member}"] = "down"
            if phase is StandbyPhase.FAILED:
                facts[f"member {member}"] = "standby failed"
    return facts
