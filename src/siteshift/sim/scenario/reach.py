"""How far a run of a world can get at the most: an upper bound beyond that is met by every run, however bad.

Bounds err upwards: what is refused could not have been missed, and not all that cannot be missed is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from siteshift.core.messages.requests import DepoolRequest
from siteshift.core.model.codes import MemberRole
from siteshift.sim.criteria.conduct import Blind, Diagnosed, NewLeader, StandbyOpen, Told
from siteshift.sim.criteria.criterion import Criterion
from siteshift.sim.criteria.moves import Drains, Moves, Reversals, WrongMoves
from siteshift.sim.criteria.outcome import Decided, Detected, HalfMoved, LossSeconds, LostSeconds, Moved, PeakUtilisation
from siteshift.sim.faults.acts import Ask, Heal, Note, Reload, TimedEvent
from siteshift.sim.faults.world import Surge
from siteshift.sim.world.spec import WorldSpec

MOVE_MS = 100
"""Half of the 200 ms between hastened checks (`JudgePolicy`): shares of a service move no oftener than there is news."""
MARGIN = 2
"""For what is not reckoned here: chance in arrivals, balancers that ask a second server, a share that is not the nominal one."""
LEFT_PARTS = 100
"""A site that was moved before may have a hundredth of its traffic when it fails; with less it counts as left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The world of a scenario, what happens in it, and how long."""

    world: WorldSpec
    events: tuple[TimedEvent, ...]
    lasts_ms: int
    warm_up_ms: int

    @property
    def _faults(self) -> list[TimedEvent]:
        return [event for event in self.events if not isinstance(event.act, Ask | Heal | Note | Reload)]

    def begins_ms(self, label: str) -> int:
        """The instant of the event with this name; without a name of the first fault, or zero."""
        if label:
            return next((event.at_ms for event in self.events if event.label == label), 0)
        return min((event.at_ms for event in self._faults), default=0)

    def rest_ms(self, label: str) -> int:
        """From that instant to the end."""
        return max(0, self.lasts_ms - self.begins_ms(label))

    def moves(self, from_ms: int, until_ms: int) -> int:
        """So many moves of all services, within an interval."""
        span_ms = min(until_ms, self.lasts_ms) - max(from_ms, -self.warm_up_ms)
        return max(1, len(self.world.topology.services) * max(0, span_ms) // MOVE_MS)

    def loss_ms(self, label: str) -> int:
        """All requests of all sites from an event to the end, in ms of the traffic of the site that has least."""
        shares = [pool.nominal_bp for service in self.world.topology.services for pool in service.pools if pool.nominal_bp]
        begins_ms = self.begins_ms(label)
        was_moved = any(event.at_ms < begins_ms and not isinstance(event.act, Note) for event in self.events)
        parts = LEFT_PARTS if was_moved or not shares else MARGIN * 10_000 // min(shares)
        return round(self.rest_ms(label) * parts * self._growth())

    def utilisation_pm(self) -> int:
        """All demand at once, tried again as often as users do, at the pool that has least capacity for it."""
        is_depooled = any(isinstance(event.act, Ask) and isinstance(event.act.request, DepoolRequest) for event in self.events)
        found = 0.0
        for service in self.world.topology.services:
            tries = 1 + self.world.clients_of(service.id).retries
            for pool in service.pools:
                active = sum(member.capacity_rps for member in pool.members if member.role is MemberRole.ACTIVE)
                least = min((member.capacity_rps for member in pool.members), default=1)
                capacity = least if is_depooled or not active else active
                found = max(found, self.world.load_of(service.id).peak_rps * tries * self._growth() / max(1, capacity))
        return round(1_000 * MARGIN * found)

    def _growth(self) -> float:
        """How many times the least demand the greatest is: by the curve of a day, and by surges one upon another."""
        growth = 1.0
        for load in self.world.loads.values():
            growth = max(growth, max(load.curve_pm) / max(1, min(load.curve_pm)))
        for event in self.events:
            if isinstance(event.act, Surge):
                growth *= max(1.0, event.act.factor_pm / 1_000)
        return growth


def beyond_reach(criterion: Criterion, span: Span) -> str:
    """Why no run of this length and world gets as far as the limit, with the greatest that says something; empty: one can."""
    match criterion:
        case Detected() | Decided() | HalfMoved() | Moved() | NewLeader() | StandbyOpen():
            return _late(criterion.at_most_ms, span.rest_ms(criterion.after))
        case Told() | Diagnosed() | Blind():
            return _late(criterion.within_ms, span.rest_ms(criterion.after))
        case LostSeconds(at_most_ms=most) | LossSeconds(at_most_ms=most) if most >= span.loss_ms(criterion.after):
            least_s = _s(span.loss_ms(criterion.after))
            return f"allows more than all users of all sites can lose until the end: say less than {least_s} s"
        case Moves(at_most=most, from_ms=from_ms, until_ms=until_ms) if most >= span.moves(from_ms, until_ms):
            return f"allows more than can be moved in that time: say less than {span.moves(from_ms, until_ms)}"
        case WrongMoves(at_most=most) | Drains(at_most=most) | Reversals(at_most=most) if most >= _moves(span):
            return f"allows more than can be moved in that time: say less than {_moves(span)}"
        case PeakUtilisation(at_most_pm=most) if most >= span.utilisation_pm():
            return f"allows more than all users at one site: say less than {span.utilisation_pm() / 10:g} %"
        case _:
            return ""


def _moves(span: Span) -> int:
    return span.moves(-span.warm_up_ms, span.lasts_ms)


def _late(limit_ms: int, rest_ms: int) -> str:
    if limit_ms <= rest_ms:
        return ""
    return f"allows more time than is left until the end: say at most {_s(rest_ms)} s"


def _s(span_ms: int) -> str:
    return f"{span_ms / 1_000:g}"
