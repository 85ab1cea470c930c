"""A plan: the steps the executor will take, found by taking them over a predicted state until nothing is left to do.

The same derivation that acts (`plan.derive`) runs over what is expected (`plan.predict`), with the clock set to the next
instant that matters. So what is shown is what happens, as long as nothing happens that is not expected. `Fold.advance` does a
bounded piece of it; `fold` all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from siteshift.core.decide.allocate_all import allot_sliced, demands_sliced
from siteshift.core.decide.demand import StandbyUse
from siteshift.core.decide.situations import situations_sliced
from siteshift.core.decide.steering import target_of
from siteshift.core.model.cause import Cause
from siteshift.core.model.plan import Plan, Shares
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId
from siteshift.core.plan.derive import Slices, deriving
from siteshift.core.plan.listing import Listing
from siteshift.core.plan.predict import Forecast, forecast_of, next_expected_ms, predicting
from siteshift.core.plan.warnings import changed_by_hand, obstructed, room_findings, silent_planes, stuck_findings
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft, Licence

MOST_STEPS = 40
"""Steps of one service in one plan; a way back has five, a careful drain ten. At the bound the plan says it is cut."""
MOST_PASSES = 400
"""Derivations in one fold: no plan of a real service needs a tenth."""
HORIZON_MS = 7_200_000
"""Nothing is planned further ahead: twice the longest hold-down."""
MOST_IDLE = 4
"""Looks in a row that find nothing to do and nothing that the clock would end: what is left waits for an event."""


@dataclass(slots=True, kw_only=True)
class Fold:
    """A plan in the making. ``only``: the service it is asked for; those that share room with it are folded beside it."""

    state: ControllerState
    setup: Setup
    now_ms: int
    only: ServiceId | None = None
    licence: Licence = Licence.AS_IF_APPROVED
    plan: Plan | None = None
    is_done: bool = False
    _slices: Iterator[None] | None = field(default=None)

    def advance(self) -> bool:
        """Do one bounded piece: one service, or one slice of the allocation. True when the plan is there (or None)."""
        if self._slices is None:
            self._slices = iter(self._folding())
        if not self.is_done:
            self.is_done = next(self._slices, _END) is _END
        return self.is_done

    def _folding(self) -> Slices:
        services = sharing_room(self.setup, self.only)
        forecast = forecast_of(self.state, self.setup, services, self.now_ms)
        listing = Listing(began_ms=self.now_ms)
        state, now_ms, idle = self.state, self.now_ms, 0
        for _ in range(MOST_PASSES):
            state = yield from predicting(forecast, state, now_ms)
            draft = Draft(state=state, setup=self.setup, now_ms=now_ms, licence=self.licence, is_forecast=True)
            before = draft.state
            yield from deriving(draft, services)
            state = draft.state
            yield from listing.note(draft, before)
            if listing.longest >= MOST_STEPS:
                listing.is_cut = True
                break
            if _is_news(before, state):
                idle = 0
                continue
            has_end = any(wait.until_ms is not None and wait.until_ms > now_ms for wait in draft.waits.values())
            idle = 0 if has_end and draft.wake_at_ms < NEVER_MS else idle + 1
            next_ms = min(draft.wake_at_ms, next_expected_ms(forecast, state, now_ms))
            if next_ms > self.now_ms + HORIZON_MS or idle > MOST_IDLE:
                break
            now_ms = max(next_ms, now_ms + 1)
        else:
            listing.is_cut = True
        yield from self._finish(forecast, listing, state, now_ms)

    def _finish(self, forecast: Forecast, listing: Listing, state: ControllerState, now_ms: int) -> Slices:
        """The plan with what is to be said of its end: room, planes that will not confirm."""
        draft = Draft(state=state, setup=self.setup, now_ms=now_ms)
        situations = yield from situations_sliced(draft, forecast.services)
        use = StandbyUse.NONE if state.picture.blind else StandbyUse.ALLOWED  # nobody could see a standby become ready
        ends = yield from allot_sliced((yield from demands_sliced(situations)), self.setup, standby=use)
        for service, situation in situations.items():
            allocation = ends.of(service)
            if allocation is None:
                continue
            before = self.state.steering.of(service)
            start_bp: Shares = before.shares_bp if before is not None else situation.current.shares_bp
            target = target_of(situation, allocation)
            findings = [] if listing.acts(service) else stuck_findings(draft, situation, target)
            findings += room_findings(situation, target, start_bp)
            if listing.acts(service):
                findings += silent_planes(forecast, service)
                findings += changed_by_hand(self.state, self.setup, service)
                findings += obstructed(self.state, self.setup, service, target.shares_bp)
            listing.end(situation, start_bp, findings)
            yield
        self.plan = yield from listing.plan(only=self.only, standing=self.state.transitions)


_END = object()


def _is_news(before: ControllerState, after: ControllerState) -> bool:
    """Whether a look changed anything that another look at the same instant could go on from."""
    if before.steering is not after.steering:
        return True
    if before.tracks is not after.tracks and before.tracks != after.tracks:
        return True
    if before.standbys is after.standbys:
        return False
    return (
        any(
            track.phase is not after.standby(member).phase or track.proof_since_ms != after.standby(member).proof_since_ms
            for member, track in before.standbys.items()
        )
        or before.standbys.keys() != after.standbys.keys()
    )


def sharing_room(setup: Setup, only: ServiceId | None) -> tuple[Service, ...]:
    """The services a change to one can touch: those that stand at a site whose capacity all of them share."""
    services = setup.topology.services
    if only is None:
        return services
    limited = {site.id for site in setup.topology.sites if site.capacity_rps is not None}
    found, sites = {only}, set(setup.topology.service_by_id[only].sites) & limited
    while True:
        more = {service.id for service in services if service.id not in found and sites.intersection(service.sites)}
        if not more:
            return tuple(service for service in services if service.id in found)
        found |= more
        sites |= {site for service in services if service.id in more for site in service.sites} & limited


def fold(
    state: ControllerState,
    setup: Setup,
    now_ms: int,
    *,
    only: ServiceId | None = None,
    licence: Licence = Licence.AS_IF_APPROVED,
) -> Plan | None:
    """The plan from here to the end of what the state asks for; None when nothing would change."""
    folding = Fold(state=state, setup=setup, now_ms=now_ms, only=only, licence=licence)
    while not folding.advance():
        pass
    return folding.plan


def empty_plan(cause: Cause) -> Plan:
    """A plan without steps: something is to be approved although nothing would move."""
    return Plan(cause=cause, services=(), steps=(), before={}, after={}, loads=(), shed_bp={}, ttl_tail_ms=0, expected_ms=0)
