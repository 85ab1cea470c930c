"""A data plane out of service and back in: what people say of it, and what that must not mean."""

from __future__ import annotations

from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.codes import FindingCode, OverrideKind, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import EnactorId
from siteshift.core.operate.approval import refusal
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import taken_out_by


def why_not_out(state: ControllerState, setup: Setup, plane: EnactorId) -> Finding | None:
    """Why a plane cannot be taken out of service: it is already, or a service would have none that moves its users."""
    if (made := taken_out_by(state, plane)) is not None:
        text = f"{plane} is out of service already, by override {made.id} of {made.owner}"
        return finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, plane=plane, override=made.id, already=1)
    alone = [
        service.id
        for service in setup.topology.services
        if plane in (planes := [entry.id for entry in setup.planes_of(service.id)])
        and all(other == plane or taken_out_by(state, other) is not None for other in planes)
    ]
    if not alone:
        return None
    services = ", ".join(alone)
    text = f"{plane} is the last data plane in service for {services}: without it a move would be called done and move nobody"
    return finding(FindingCode.LAST_PLANE, Severity.REFUSED, text, plane=plane, services=",".join(alone))


def put_in(draft: Draft, asking: OperatorRequest, plane: EnactorId) -> Answer:
    """A plane carries users again: it is read at once, and what is decided waits for it."""
    state = draft.state
    kept = tuple(entry for entry in state.overrides if entry.kind is not OverrideKind.PLANE_OUT or entry.plane != plane)
    if len(kept) == len(state.overrides):
        text = f"{plane} is in service"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, plane=plane, already=1),))
    draft.set(overrides=kept)
    draft.set_plane(plane, next_read_ms=draft.now_ms, next_try_ms=draft.now_ms)
    return Answer(asking=asking.id, severity=Severity.ALLOWED)
