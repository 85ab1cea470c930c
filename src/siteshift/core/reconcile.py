"""Reconciling: look at the complete state and derive what should change.

The order is the flow of the design: overrides, picture, then `plan.derive` (lives, standbys, target shares, next step, gate,
steering), planes. Every part is derived anew each time; what is not yet possible is simply not done, and is tried at the next
event or at the instant noted in ``wake_at_ms``.
"""

from __future__ import annotations

from siteshift.core.beliefs.picture import refresh_picture
from siteshift.core.decide.allocate_all import run_to_end
from siteshift.core.enact.planes import reconcile_planes
from siteshift.core.lifecycle.adopt import adopt_planes, tell_adoption
from siteshift.core.model.codes import SiteLife, StandbyPhase, Standing
from siteshift.core.model.override import forced_view
from siteshift.core.operate.expiry import expire_overrides
from siteshift.core.operate.goals import offer_fresh, tend_goals
from siteshift.core.plan.derive import deriving, updating_lives
from siteshift.core.plan.following import follow
from siteshift.core.plan.next_step import may_write_at_all
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft

TROUBLED_SWEEP_MS, UNDER_WAY_SWEEP_MS, CALM_SWEEP_MS = 1_000, 2_500, 60_000
"""The whole is derived again at least this often: while something is believed to be wrong, while something is under way (a
drain, a way back, a standby, an override), and while nothing is. What waits for an instant names it (`Draft.due`); a sweep
finds what waits for measurements, which arrive too often to be news each."""


def reconcile(draft: Draft) -> None:
    """Derive everything that follows from the state but what the planes need, and write it into the draft."""
    if has_adopted := adopt_planes(draft):
        draft.due(draft.now_ms + 1)  # what is decided upon it is a step of its own
    tell_adoption(draft)
    expire_overrides(draft)
    refresh_picture(draft)
    tend_goals(draft)
    services = draft.setup.topology.services
    is_deciding = draft.state.is_fresh and not has_adopted
    run_to_end(deriving(draft, services) if is_deciding else updating_lives(draft, services))
    if is_deciding:
        offer_fresh(draft)
    for step in draft.steps:
        follow(draft, step)
    draft.due(draft.now_ms + _sweep_ms(draft.state))


def _sweep_ms(state: ControllerState) -> int:
    """How soon to derive the whole again, whatever happens."""
    picture = state.picture
    if picture.blind or picture.diagnoses or any(pool.standing is not Standing.UP for pool in picture.pools.values()):
        return TROUBLED_SWEEP_MS
    is_under_way = (
        state.overrides
        or not state.is_fresh
        or any(track.life is not SiteLife.SERVING for track in state.tracks.values())
        or any(track.phase is not StandbyPhase.COLD for track in state.standbys.values())
    )
    return UNDER_WAY_SWEEP_MS if is_under_way else CALM_SWEEP_MS


def tend_planes(draft: Draft) -> None:
    """Bring the data planes into step with the steering as it is, and read those that are due."""
    modes = {
        service.id: forced_view(draft.state.overrides, service.id, draft.now_ms).mode or draft.setup.policy.of(service.id).mode
        for service in draft.setup.topology.services
    }
    reconcile_planes(draft, modes, may_write_ms=0 if _may_write(draft) else NEVER_MS)


def _may_write(draft: Draft) -> bool:
    return draft.state.is_fresh and may_write_at_all(draft)
