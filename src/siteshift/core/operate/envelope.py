"""The envelope of a goal, from the steps of the plan that carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.used import utilisation_of
from siteshift.core.model.approval import (
    BOUND,
    RELEASES,
    SHARE_MARGIN_BP,
    UTILISATION_MARGIN_PM,
    Accepted,
    Bounds,
    Direction,
    Envelope,
    Goal,
    Offer,
    Verb,
)
from siteshift.core.model.codes import Severity, StepKind
from siteshift.core.model.finding import Finding
from siteshift.core.model.plan import Plan, Shares, Step
from siteshift.core.model.policy import MINUTE_MS
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, ServiceId
from siteshift.core.state.controller_state import ControllerState

START_WITHIN_MS = 15 * MINUTE_MS
"""From the confirmation to the first step, approvals included: what was looked at longer ago is looked at again."""
LATE_MS = 30 * MINUTE_MS
"""How much later than planned a goal may be reached, beside twice its planned time: somebody looks at something on the way."""

_MARGINS = {"utilisation_pm": UTILISATION_MARGIN_PM, "shed_bp": SHARE_MARGIN_BP, "stays_bp": SHARE_MARGIN_BP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a goal comes to now: the plan, its findings, exactly what is predicted, and the offer with its margins."""

    plan: Plan | None
    findings: tuple[Finding, ...]
    predicted: Envelope
    offer: Offer


def fold_goal(
    goal: Goal, plan: Plan | None, findings: tuple[Finding, ...], *, state: ControllerState, setup: Setup, now_ms: int
) -> Folded:
    """What is shown to a person, and what a digest they give is compared with."""
    predicted = envelope_of(goal, plan, findings, state=state, setup=setup, now_ms=now_ms)
    offer = Offer(goal=goal, envelope=with_margins(predicted, goal, setup))
    return Folded(plan=plan, findings=findings, predicted=predicted, offer=offer)


def envelope_of(
    goal: Goal, plan: Plan | None, findings: Iterable[Finding], *, state: ControllerState, setup: Setup, now_ms: int
) -> Envelope:
    """Exactly what the steps of the plan do, without margins. A service of the goal without steps stays as it is."""
    services = [s for s in setup.topology.services if s.id in {*goal.services, *(plan.services if plan else ())}]
    bounds: list[Bounds] = []
    shed_bp: dict[ServiceId, int] = {}
    for service in services:
        steps = [step for step in plan.steps if step.service == service.id] if plan is not None else []
        bounds += _bounds(service, steps, state, setup, now_ms)
        shed_bp[service.id] = _shed_bp(service, steps, plan, state)
    steps_of_all = plan.steps if plan is not None else ()
    members = {m: Direction.IN for step in steps_of_all if step.kind is StepKind.ACTIVATE_STANDBY for m in step.members}
    if goal.verb in (Verb.DEPOOL, Verb.POOL):
        members |= dict.fromkeys(goal.members, Direction.OUT if goal.verb is Verb.DEPOOL else Direction.IN)
    planes = dict.fromkeys(plane.id for service in services for plane in setup.planes_of(service.id))
    late_ms = LATE_MS + (2 * plan.expected_ms if plan is not None else 0)
    return Envelope(
        bounds=tuple(bounds),
        shed_max_bp=shed_bp,
        members=members,
        planes=tuple(planes),
        accepted=tuple(_accepted(entry) for entry in findings if entry.severity is Severity.NEEDS_APPROVAL),
        not_before_ms=now_ms,
        start_by_ms=now_ms + START_WITHIN_MS,
        ends_at_ms=now_ms + START_WITHIN_MS + late_ms,
    )


def _bounds(
    service: Service, steps: list[Step], state: ControllerState, setup: Setup, now_ms: int
) -> list[Bounds]:
    situation = situation_of(state, setup, service, now_ms)
    rows: list[Shares] = [situation.current.shares_bp, *(step.after_bp for step in steps)]
    used = [step.utilisation_pm for step in steps] or [utilisation_of(situation, situation.current)]
    return [
        Bounds(
            service=service.id,
            site=site,
            share_min_bp=min(row.get(site, 0) for row in rows),
            share_max_bp=max(row.get(site, 0) for row in rows),
            utilisation_max_pm=max(row.get(site, 0) for row in used),
        )
        for site in service.sites
    ]


def _shed_bp(service: Service, steps: list[Step], plan: Plan | None, state: ControllerState) -> int:
    """The most that is shed on the way and at the end."""
    current = state.steering.of(service.id)
    on_the_way = [step.shed_bp for step in steps]
    at_end = plan.shed_bp.get(service.id, 0) if plan is not None else 0
    return max(current.shed_bp if current is not None else 0, at_end, *on_the_way, 0)


def _accepted(entry: Finding) -> Accepted:
    numbers = {key: number for key, number in entry.numbers.items() if key in BOUND}
    return Accepted(code=entry.code, numbers=numbers, approvals_needed=entry.approvals_needed or 0)


def with_margins(predicted: Envelope, goal: Goal, setup: Setup) -> Envelope:
    """What is approved of a prediction: a little more on every side, and what the policy lets every site carry anyway."""
    bounds = tuple(
        replace(
            b,
            share_min_bp=max(0, _least_bp(b, goal)),
            share_max_bp=min(WHOLE_BP, _most_bp(b, goal, setup)),
            utilisation_max_pm=max(
                setup.policy.of(b.service).max_utilisation_pm, b.utilisation_max_pm + UTILISATION_MARGIN_PM
            ),
        )
        for b in predicted.bounds
    )
    shed_bp = {service: min(WHOLE_BP, bp + SHARE_MARGIN_BP) if bp else 0 for service, bp in predicted.shed_max_bp.items()}
    accepted = tuple(replace(entry, numbers=_with_margin(entry.numbers)) for entry in predicted.accepted)
    return replace(predicted, bounds=bounds, shed_max_bp=shed_bp, accepted=accepted)


def _least_bp(b: Bounds, goal: Goal) -> int:
    """Down to nothing where the goal is to take a site out: the rest that was foreseen is what the others had no room for."""
    if b.site in goal.sites and goal.verb is Verb.DRAIN:
        return 0
    return b.share_min_bp - _margin_bp(b, b.share_min_bp, goal)


def _most_bp(b: Bounds, goal: Goal, setup: Setup) -> int:
    """Up to its nominal share where the goal is to let a site back."""
    nominal_bp = 0
    if b.site in goal.sites and goal.verb in RELEASES:
        pool = setup.topology.service_by_id[b.service].pool_at(b.site)
        nominal_bp = pool.nominal_bp if pool is not None else 0
    return max(b.share_max_bp, nominal_bp) + _margin_bp(b, b.share_max_bp, goal)


def _margin_bp(b: Bounds, share_bp: int, goal: Goal) -> int:
    """What a share may miss its prediction by. A site that only takes over is filled up to its limit, so with a tenth more
    demand its part is a tenth less: that much demand may breathe. How far it is used is bound apart from that."""
    return SHARE_MARGIN_BP if b.site in goal.sites else SHARE_MARGIN_BP + share_bp // 10


def _with_margin(numbers: Mapping[str, int | str]) -> dict[str, int | str]:
    return {key: number if isinstance(number, str) else number + _MARGINS.get(key, 0) for key, number in numbers.items()}


def begun_at(envelope: Envelope, fresh: Envelope) -> Envelope:
    """An envelope that was shown, with the instants counted from its confirmation."""
    return replace(
        envelope, not_before_ms=fresh.not_before_ms, start_by_ms=fresh.start_by_ms, ends_at_ms=fresh.ends_at_ms
    )
