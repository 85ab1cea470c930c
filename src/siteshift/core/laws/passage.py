"""One step as the checkers of the laws see it, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from siteshift.core.messages.commands import Command
from siteshift.core.messages.events import Event
from siteshift.core.model.codes import LeftBecause, Standing
from siteshift.core.model.override import forced_view
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.state.adoption import AdoptedFrom
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken law, by its number in DESIGN §3."""

    law: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One step as the checkers see it."""

    before: ControllerState
    event: Event
    after: ControllerState
    commands: tuple[Command, ...]
    setup: Setup

    @property
    def now_ms(self) -> int:
        return max(self.event.at_ms, self.before.started_ms)

    @property
    def adopts(self) -> bool:
        """Whether this step takes over what the planes carry (`core.lifecycle.adopt`); it decides nothing."""
        was, now = self.before.adoption, self.after.adoption
        return now is not None and now.found is AdoptedFrom.PLANES and (was is None or was.since_ms != now.since_ms)

    def changes(self) -> Iterator[tuple[Service, ServiceSteering, ServiceSteering]]:
        """Services whose steering changed, with what it was and what it is. Taking over what is found is no change.

        What a new configuration names no more was taken out by its file, not by a decision: it does not count as a change.
        """
        if self.before.steering.generation == self.after.steering.generation or self.adopts:
            return
        for service in self.setup.topology.services:
            old, new = self.before.steering.of(service.id), self.after.steering.of(service.id)
            if old is not None and new is not None and old.within(service) != new:
                yield service, old.within(service), new

    def goals(self, service: Service) -> Iterator[GoalTrack]:
        """What was in force of a service's goals when this step was made: as it is after, and what arrived by it, as before.

        A goal whose override ended with this step, by the clock or by a person, binds it no more: the shares go back.
        """
        ended = {entry.id for entry in self.before.overrides} - {entry.id for entry in self.after.overrides}
        for digest, after in self.after.goals.items():
            before = self.before.goals.get(digest)
            if service.id in after.goal.services and after.override not in ended:
                is_over = after.state in (GoalState.REACHED, GoalState.ENDED)
                yield before if is_over and before is not None and before.digest == after.digest else after

    def standing(self, service: Service, site: SiteId) -> Standing:
        pool = self.after.picture.pools.get((service.id, site))
        return pool.standing if pool is not None else Standing.UNKNOWN

    def member_standing(self, service: Service, member: MemberId) -> Standing:
        views = (self.after.picture.pools.get((service.id, site)) for site in service.sites)
        found = next((view for pool in views if pool is not None and (view := pool.members.get(member)) is not None), None)
        return found.standing if found is not None else Standing.UNKNOWN

    def is_overloaded(self, service: Service, site: SiteId) -> bool:
        return self.after.picture.overload_of(service.id, site) is not None

    def is_forced(self, service: Service) -> bool:
        """Whether a person has a hand in this service's shares: forced now, let go just now, asked to return, or a member taken
        out and its site gives for that."""
        forced = forced_view(self.after.overrides, service.id, self.now_ms)
        were = forced_view(self.before.overrides, service.id, self.before.started_ms)
        asked = any(
            self.after.track(service.id, site).is_return_asked
            or self.after.track(service.id, site).left_because is LeftBecause.PERSON
            for site in service.sites
        )
        without = {m.site for pool in service.pools for m in pool.members if m.id in forced.depooled}
        losing = set(self._losing(service))
        gives = bool(losing) and losing <= without
        return bool(forced.drained_sites or forced.shares_bp or were.drained_sites or were.shares_bp or asked or gives)

    def _losing(self, service: Service) -> Iterator[SiteId]:
        old, new = self.before.steering.of(service.id), self.after.steering.of(service.id)
        if old is not None and new is not None:
            yield from (site for site, bp in old.shares_bp.items() if new.shares_bp.get(site, 0) < bp)


Checker = Callable[[Passage], Iterator[Violation]]
"""Judges one step on its own; shares the nouns with the deciders, not their reasoning."""
