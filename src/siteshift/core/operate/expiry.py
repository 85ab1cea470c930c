"""The end of what people forced: told before it comes, and carried out when it has come."""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.situations import situation_of
from siteshift.core.model.codes import NoticeCode, OverrideKind, Severity
from siteshift.core.model.override import Override, expired, warn_at_ms
from siteshift.core.model.setup import Setup
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft


def expire_overrides(draft: Draft) -> None:
    """Take away what has run out, and say once of each that will soon what its end brings."""
    gone = expired(draft.state.overrides, draft.now_ms)
    for override in gone:
        draft.record("override_expired", {"id": override.id, "kind": override.kind.value, "owner": override.owner})
        text = f"override {override.id} of {override.owner} has expired"
        draft.tell(Severity.ALLOWED, NoticeCode.OVERRIDE_EXPIRED, text, about=override.id)
    if gone:
        draft.set(overrides=tuple(entry for entry in draft.state.overrides if entry not in gone))
        draft.remembers = True
    for override in draft.state.overrides:
        draft.due(override.expires_ms)
        if not override.end_told_ms and draft.due(warn_at_ms(override, draft.setup.policy.override_warn_ms)):
            _warn(draft, override)


def _warn(draft: Draft, override: Override) -> None:
    left_s = (override.expires_ms - draft.now_ms) // 1_000
    ticket = f", {override.ticket}" if override.ticket else ""
    text = (
        f"override {override.id} ({what(override)}) of {override.owner}{ticket} ends in {left_s} s: "
        f"{at_its_end(draft.state, draft.setup, override, draft.now_ms)}. "
        "To keep it, ask for it again with a new end"
    )
    told = replace(override, end_told_ms=draft.now_ms)
    draft.set(overrides=tuple(told if entry is override else entry for entry in draft.state.overrides))
    draft.remembers = True
    draft.record(
        "override_ends_soon",
        {"id": override.id, "kind": override.kind.value, "owner": override.owner, "expires_ms": override.expires_ms},
    )
    draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.OVERRIDE_ENDS_SOON, text, about=override.id)


def what(override: Override) -> str:
    """What is forced, in a few words."""
    service = override.service or "all services"
    match override.kind:
        case OverrideKind.DRAIN:
            return f"drain of {override.site}, {service}"
        case OverrideKind.DEPOOL:
            return f"depool of {override.member}"
        case OverrideKind.SHARES:
            return f"shares of {service}"
        case OverrideKind.FREEZE:
            return f"freeze of {service}"
        case OverrideKind.MODE:
            return f"mode {override.mode.value if override.mode else ''} of {service}"
        case OverrideKind.PLANE_OUT:
            return f"{override.plane} out of service"


def at_its_end(state: ControllerState, setup: Setup, override: Override, now_ms: int) -> str:
    """What happens when it runs out, as far as it can be told now."""
    match override.kind:
        case OverrideKind.DRAIN:
            return _at_the_end_of_a_drain(state, setup, override, now_ms)
        case OverrideKind.DEPOOL:
            return f"then {override.member} serves again as soon as its checks pass"
        case OverrideKind.SHARES:
            return "then the shares go back to what evidence and capacity say"
        case OverrideKind.FREEZE:
            return "then siteshift makes its changes by itself again"
        case OverrideKind.MODE:
            services = [override.service] if override.service else [service.id for service in setup.topology.services]
            modes = sorted({setup.policy.of(service).mode.value for service in services})
            return f"then the mode of the policy holds again ({', '.join(modes)})"
        case OverrideKind.PLANE_OUT:
            return f"then moves wait again for {override.plane} to confirm them"


def _at_the_end_of_a_drain(state: ControllerState, setup: Setup, override: Override, now_ms: int) -> str:
    """It returns by its ramp, whatever the failback policy is, for a person drained it; where it is ill, it stays away."""
    ill = []
    for service in setup.topology.services:
        if override.site is None or service.pool_at(override.site) is None or override.service not in (None, service.id):
            continue
        alone = replace(state, overrides=tuple(entry for entry in state.overrides if entry.id != override.id))
        signal = situation_of(alone, setup, service, now_ms).signals[override.site]
        if signal is Signal.FORCED_OUT:
            return f"{override.site} stays drained by another override"
        if signal is not Signal.WELL:
            ill.append(f"{service.id} ({signal.value.replace('_', ' ')})")
    if ill:
        return f"then only the evidence keeps traffic away from {override.site}: {', '.join(ill)} stays away until it is well"
    return f"then traffic returns to {override.site} by its ramp"
