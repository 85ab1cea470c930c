"""Sees everything and says nothing: turns steps, moves and traffic into the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siteshift.core.controller import Decision
from siteshift.core.invariants import Violation
from siteshift.core.messages.commands import ActivateStandby, Answer, Command, Record, RetireStandby, Tell
from siteshift.core.messages.events import Event
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import Picture
from siteshift.core.model.override import forced_view
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId, VantageId
from siteshift.core.state.controller_state import ControllerState
from siteshift.sim.results.record import SICK_PM, Broken, Injury, Move, Second, Shed, Truth
from siteshift.sim.world.world import World

SICK = (Standing.DOWN, Standing.DEGRADED)


class Witness:
    """What is written down while a run goes on. Also the place where pilots tell their moves."""

    def __init__(self) -> None:
        self.violations: list[Broken] = []
        self.moves: list[Move] = []
        self.injuries: list[Injury] = []
        self.seconds: list[Second] = []
        self.sheds: list[Shed] = []
        self.detected: list[tuple[int, SiteId]] = []
        """When a leader's picture began to call something at a site bad."""
        self.peaks: dict[SiteId, int] = {}
        self.laid: dict[str, str] = {}
        """The override that was laid for a request, by the request's id."""
        self._world: World | None = None
        self._desired: Steering | None = None
        self._bad: frozenset[SiteId] = frozenset()
        self._stays: dict[ServiceId, tuple[SiteId, int] | None] = {}
        """What of the last move's shed part stays where it was."""

    def bind(self, world: World) -> None:
        """The world it sees."""
        self._world = world

    # -- nodes ----------------------------------------------------------------------------------------------------

    def stepped(
        self, node: VantageId, before: ControllerState, event: Event, decision: Decision, broken: tuple[Violation, ...]
    ) -> None:
        """One step of a node's core, at the event's instant (siteshift time of the node)."""
        assert self._world is not None
        after, now_ms = decision.state, self._world.clock.now_ms
        for violation in broken:
            self.violations.append(Broken(at_ms=now_ms, node=node, law=violation.law, text=violation.text))
            self._world.line(node, "violation", f"law {violation.law}: {violation.text} at {type(event).__name__}")
        if before.picture is not after.picture:
            self._believes(node, before.picture, after.picture)
        if before.steering is not after.steering and before.steering != after.steering:
            self._decided(node, before, after, event.at_ms, _reasons(decision))
        for command in decision.commands:
            self._commanded(node, command)
        tells = [f"{c.severity.value} {c.state.value} {c.code}: {c.text}" for c in decision.commands if isinstance(c, Tell)]
        for text in sorted(tells):
            self._world.line(node, "tell", text)

    def _believes(self, node: VantageId, before: Picture, after: Picture) -> None:
        assert self._world is not None
        old, new = _belief(before), _belief(after)
        if old != new:
            self._world.line(node, "belief", new)
        if self._world.leader() == node:
            bad = frozenset(site for (_, site), pool in after.pools.items() if pool.standing in SICK)
            self.detected += [(self._world.clock.now_ms, site) for site in sorted(bad - self._bad)]
            self._bad = bad

    def _decided(
        self,
        node: VantageId,
        state_before: ControllerState,
        state: ControllerState,
        time_ms: int,
        reasons: Mapping[str, object],
    ) -> None:
        assert self._world is not None
        before, after = state_before.steering, state.steering
        lines = "; ".join(entry.line() for entry in after.services if before.of(entry.service) != entry)
        self._world.line(node, "decision", f"generation {after.generation} term {after.term}: {lines}", reasons)
        for entry in after.services:
            old = before.of(entry.service)
            if old is None or dict(old.shares_bp) != dict(entry.shares_bp) or old.shed_bp != entry.shed_bp:
                forced = forced_view(state.overrides, entry.service, time_ms)
                self.moved(
                    by=node,
                    entry=entry,
                    before_bp=dict(old.shares_bp) if old is not None else {},
                    generation=after.generation,
                    forced=tuple(forced.drained_sites) if not forced.shares_bp else tuple(entry.shares_bp),
                    went_back=after.generation <= before.generation,
                )
        self._desired = after

    def moved(
        self,
        *,
        by: str,
        entry: ServiceSteering,
        before_bp: Mapping[SiteId, int],
        generation: int = 0,
        forced: tuple[SiteId, ...] = (),
        went_back: bool = False,
    ) -> None:
        """Somebody who leads changed desired shares. Pilots call this too.

        ``forced``: sites a person decided about.
        """
        assert self._world is not None
        world, service = self._world, entry.service
        truth = {site: world.truth(service, site) for site in entry.shares_bp}
        before = _with_stay(before_bp, self._stays.get(service))
        self._stays[service] = self._stay(entry)
        after = _with_stay(entry.shares_bp, self._stays[service])
        left = tuple(
            site
            for site, true in truth.items()
            if true.is_healthy and site not in forced and after[site] < self._least_bp(service, site) <= before.get(site, 0)
        )
        bears_bp = {site: self._bears_bp(service, site, true) for site, true in truth.items()}
        wrong = "a generation went backwards" if went_back else _wrong(before_bp, entry.shares_bp, truth, bears_bp, forced, left)
        move = Move(
            at_ms=self._world.clock.now_ms,
            by=by,
            service=entry.service,
            before_bp=dict(before_bp),
            after_bp=dict(entry.shares_bp),
            shed_bp=entry.shed_bp,
            truth=truth,
            left=left if before_bp else (),
            forced=forced,
            generation=generation,
            wrong=wrong if before_bp else "",
        )
        self.moves.append(move)
        if move.wrong:
            self._world.line(by, "note", f"wrong move: {entry.service}: {move.wrong}")

    def _stay(self, entry: ServiceSteering) -> tuple[SiteId, int] | None:
        """The site where the shed part stays for want of an answer, and how much that is."""
        assert self._world is not None
        has_answer = bool(self._world.spec.topology.service_by_id[entry.service].shed_answers)
        return (entry.shed_at, entry.shed_bp) if entry.shed_bp and entry.shed_at and not has_answer else None

    def _least_bp(self, service: ServiceId, site: SiteId) -> float:
        """Half of what a healthy site should have: its nominal share, or what it carries of the demand if that is less."""
        assert self._world is not None
        flow, now_ms = self._world.flow, self._world.clock.now_ms
        population = next(one for one in flow.populations if one.service.id == service)
        pool = flow.pool(service, site)
        carries_rps = sum(server.capacity_rps for server in pool.servers if server.is_alive)
        carries_bp = WHOLE_BP * carries_rps / max(1.0, population.demand_rps(now_ms))
        return max(1.0, min(pool.pool.nominal_bp, carries_bp) / 2)

    def _bears_bp(self, service: ServiceId, site: SiteId, true: Truth) -> float:
        """The share that a site would bear if it were asked for it; none where what is asked does not arrive or mostly fails."""
        assert self._world is not None
        flow, now_ms = self._world.flow, self._world.clock.now_ms
        demand_rps = next(one for one in flow.populations if one.service.id == service).demand_rps(now_ms)
        pool = flow.pool(service, site)
        is_sound = true.is_reached and site not in self._world.dark_sites and pool.answers_pm() >= SICK_PM
        return WHOLE_BP * pool.bears_rps() / max(1.0, demand_rps) if is_sound else 0.0

    def _commanded(self, node: VantageId, command: Command) -> None:
        assert self._world is not None
        match command:
            case ActivateStandby(member=member):
                self._world.line(node, "command", f"activate {member}")
            case RetireStandby(member=member):
                self._world.line(node, "command", f"retire {member}")
            case Answer(asking=asking, severity=severity, findings=findings, override=override):
                if override is not None:
                    self.laid[asking] = override.id
                codes = ",".join(finding.code.value for finding in findings)
                said = {"findings": [f"{f.severity.value} {f.code.value}: {f.text}" for f in findings]}
                self._world.line(node, "answer", f"{asking}: {severity.value} {codes}".rstrip(), said)
            case Record(kind="findings", data=data):
                self._world.line(node, "finding", _found(data), data)
            case Record(kind="life", data=data):
                self._world.line(node, "life", _lived(data), data)
            case _:
                pass

    # -- traffic --------------------------------------------------------------------------------------------------

    def second(self, at_ms: int, window_ms: int) -> None:
        """A second ended."""
        assert self._world is not None
        rows = self._world.flow.close_second(at_ms, window_ms, self.desired())
        self.seconds += rows
        self.sheds += self._world.flow.close_sheds(at_ms)
        harmed = {site for injury in self.injuries if injury.healed_ms is None for site in injury.sites}
        for row in rows:
            if row.site not in harmed:
                self.peaks[row.site] = max(self.peaks.get(row.site, 0), row.utilisation_pm)

    def desired(self) -> dict[ServiceId, Mapping[SiteId, int]]:
        """What whoever led last wants."""
        if self._desired is None:
            return {}
        return {entry.service: entry.shares_bp for entry in self._desired.services}


def _reasons(decision: Decision) -> Mapping[str, object]:
    """What the core wrote down about a decision, for reports."""
    return next((c.data for c in decision.commands if isinstance(c, Record) and c.kind == "decision"), {})


def _found(data: Mapping[str, Any]) -> str:
    """What stands in the way of a service's plan."""
    said = "; ".join(f"{entry['severity']} {entry['code']}: {entry['text']}" for entry in data["findings"])
    return f"{data['service']}: {said or 'nothing stands in the way'}"


def _lived(data: Mapping[str, Any]) -> str:
    """A service at a site began another part of its life."""
    because = f" because {data['because']}" if data.get("because") else ""
    return f"{data['service']}/{data['site']}: {data['from']} to {data['to']}{because}"


def _belief(picture: Picture) -> str:
    """One line: blind, the standing of every site, the named faults."""
    if picture.blind:
        return "blind"
    sites = " ".join(f"{site}={standing.value}" for site, standing in picture.sites.items())
    named = sorted({f"{d.code.value}({d.member or d.service or ''}@{d.site or ''})" for d in picture.diagnoses})
    return f"{sites} {' '.join(named)}".rstrip()


def _with_stay(shares_bp: Mapping[SiteId, int], stay: tuple[SiteId, int] | None) -> dict[SiteId, int]:
    """The shares of users: the shed part that stays somewhere is that site's."""
    found = dict(shares_bp)
    if stay is not None:
        found[stay[0]] = found.get(stay[0], 0) + stay[1]
    return found


def _wrong(
    before_bp: Mapping[SiteId, int],
    after_bp: Mapping[SiteId, int],
    truth: Mapping[SiteId, Truth],
    bears_bp: Mapping[SiteId, float],
    forced: tuple[SiteId, ...],
    left: tuple[SiteId, ...],
) -> str:
    """Why a move was wrong: a healthy site left, a sick one sent more, nobody left to answer. Empty: it was not.

    Growing shares of a sick site are no wrong move when everybody else is sick too. Nor is giving one that is only short of
    capacity what it bears: so it comes back.
    """
    if not any(after_bp.values()):
        return "an empty answer set"
    if left:
        return f"{left[0]} is healthy and was left"
    is_anybody_well = not all(true.is_sick for true in truth.values())
    for site, true in truth.items():
        has_more = after_bp[site] > max(before_bp.get(site, 0), bears_bp[site])
        if true.is_sick and is_anybody_well and site not in forced and has_more:
            return f"{site} is sick ({true}) and got more"
    return ""
