"""Sees everything and says nothing: turns steps, moves and traffic into the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from siteshift.core.beliefs.life import AWAY
from siteshift.core.controller import Decision
from siteshift.core.invariants import Violation
from siteshift.core.messages.commands import ActivateStandby, Answer, Command, Record, RetireStandby, Tell
from siteshift.core.messages.events import Event
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import Picture
from siteshift.core.model.override import forced_view
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.sim.record import Broken, Injury, Move, Second, Shed

if TYPE_CHECKING:
    from siteshift.sim.node import Node
    from siteshift.sim.world import World

HEALTHY_PM = 970
"""A pool whose true goodput is at least this is healthy: what the default policy would not leave."""
DEAD_PM = 500
"""One whose true goodput is below this is sick: sending it more is wrong."""
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
        self._world: World | None = None
        self._desired: Steering | None = None
        self._bad: frozenset[SiteId] = frozenset()
        self._emptied: set[tuple[ServiceId, SiteId]] = set()

    def bind(self, world: World) -> None:
        """The world it sees."""
        self._world = world

    # -- nodes ----------------------------------------------------------------------------------------------------

    def stepped(
        self, node: Node, before: ControllerState, event: Event, decision: Decision, broken: tuple[Violation, ...]
    ) -> None:
        """One step of a node's core."""
        assert self._world is not None
        after, now_ms = decision.state, self._world.clock.now_ms
        for violation in broken:
            self.violations.append(Broken(at_ms=now_ms, node=node.spec.id, law=violation.law, text=violation.text))
            self._world.line(node.spec.id, "violation", f"law {violation.law}: {violation.text} at {type(event).__name__}")
        if before.picture is not after.picture:
            self._believes(node, before.picture, after.picture)
        if before.steering is not after.steering and before.steering != after.steering:
            self._decided(node, before, after, _reasons(decision))
        for command in decision.commands:
            self._commanded(node, command)
        tells = [f"{c.severity.value} {c.code}: {c.text}" for c in decision.commands if isinstance(c, Tell)]
        for text in sorted(tells):
            self._world.line(node.spec.id, "tell", text)

    def _believes(self, node: Node, before: Picture, after: Picture) -> None:
        assert self._world is not None
        old, new = _belief(before), _belief(after)
        if old != new:
            self._world.line(node.spec.id, "belief", new)
        if self._world.leader() is node:
            bad = frozenset(site for (_, site), pool in after.pools.items() if pool.standing in SICK)
            self.detected += [(self._world.clock.now_ms, site) for site in sorted(bad - self._bad)]
            self._bad = bad

    def _decided(
        self, node: Node, state_before: ControllerState, state: ControllerState, reasons: Mapping[str, object]
    ) -> None:
        assert self._world is not None
        before, after = state_before.steering, state.steering
        lines = "; ".join(entry.line() for entry in after.services if before.of(entry.service) != entry)
        self._world.line(node.spec.id, "decision", f"generation {after.generation} term {after.term}: {lines}", reasons)
        for entry in after.services:
            old = before.of(entry.service)
            if old is None or dict(old.shares_bp) != dict(entry.shares_bp) or old.shed_bp != entry.shed_bp:
                forced = forced_view(state.overrides, entry.service, node.now_ms)
                self.moved(
                    by=node.spec.id,
                    entry=entry,
                    before_bp=dict(old.shares_bp) if old is not None else {},
                    generation=after.generation,
                    forced=tuple(forced.drained_sites) if not forced.shares_bp else tuple(entry.shares_bp),
                    lent=self._lent(entry, state_before),
                    went_back=after.generation <= before.generation,
                )
        self._desired = after

    def _lent(self, entry: ServiceSteering, before: ControllerState) -> tuple[SiteId, ...]:
        """The sites that were left and wait for their return, and may have helped out since."""
        for site in entry.shares_bp:
            key = (entry.service, site)
            if before.track(*key).life not in AWAY:
                self._emptied.discard(key)
            elif before.steering_share(*key) == 0:
                self._emptied.add(key)
        return tuple(site for site in entry.shares_bp if (entry.service, site) in self._emptied)

    def moved(
        self,
        *,
        by: str,
        entry: ServiceSteering,
        before_bp: Mapping[SiteId, int],
        generation: int = 0,
        forced: tuple[SiteId, ...] = (),
        lent: tuple[SiteId, ...] = (),
        went_back: bool = False,
    ) -> None:
        """Somebody who leads changed desired shares. Pilots call this too.

        ``forced``: sites a person decided about. ``lent``: ones that were left before, and serve only while the others cannot.
        """
        assert self._world is not None
        truth = {site: self._world.truth_pm(entry.service, site) for site in entry.shares_bp}
        stays = (*lent, self._shed_to(entry))
        wrong = "a generation went backwards" if went_back else _wrong(before_bp, entry.shares_bp, truth, forced, stays)
        move = Move(
            at_ms=self._world.clock.now_ms,
            by=by,
            service=entry.service,
            before_bp=dict(before_bp),
            after_bp=dict(entry.shares_bp),
            shed_bp=entry.shed_bp,
            truth_pm=truth,
            generation=generation,
            wrong=wrong if before_bp else "",
        )
        self.moves.append(move)
        if move.wrong:
            self._world.line(by, "note", f"wrong move: {entry.service}: {move.wrong}")

    def _shed_to(self, entry: ServiceSteering) -> SiteId | None:
        """The site where the shed part stays for want of an answer."""
        assert self._world is not None
        has_answer = bool(self._world.spec.topology.service_by_id[entry.service].shed_answers)
        return entry.shed_at if entry.shed_bp and not has_answer else None

    def _commanded(self, node: Node, command: Command) -> None:
        assert self._world is not None
        match command:
            case ActivateStandby(member=member):
                self._world.line(node.spec.id, "command", f"activate {member}")
            case RetireStandby(member=member):
                self._world.line(node.spec.id, "command", f"retire {member}")
            case Answer(asking=asking, severity=severity, findings=findings):
                codes = ",".join(finding.code.value for finding in findings)
                said = {"findings": [f"{f.severity.value} {f.code.value}: {f.text}" for f in findings]}
                self._world.line(node.spec.id, "answer", f"{asking}: {severity.value} {codes}".rstrip(), said)
            case Record(kind="findings", data=data):
                self._world.line(node.spec.id, "finding", _found(data), data)
            case Record(kind="life", data=data):
                self._world.line(node.spec.id, "life", _lived(data), data)
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


def _wrong(
    before_bp: Mapping[SiteId, int],
    after_bp: Mapping[SiteId, int],
    truth_pm: Mapping[SiteId, int],
    forced: tuple[SiteId, ...],
    stays: tuple[SiteId | None, ...],
) -> str:
    """Why a move was wrong: a healthy site left, a sick one sent more, nobody left to answer. Empty: it was not.

    The site that keeps what is shed, for want of an answer, is not left: its users stay. Nor is one left that was drained
    before, helped out, and goes on waiting for its return (``stays``: both kinds).
    Growing shares of a degraded site are no wrong move when everybody else is no better.
    """
    if not any(after_bp.values()):
        return "an empty answer set"
    best = max(truth_pm.values(), default=0)
    for site, bp in after_bp.items():
        before = before_bp.get(site, 0)
        if site in forced:
            continue
        if bp == 0 and before > 0 and site not in stays and truth_pm[site] >= HEALTHY_PM:
            return f"{site} is healthy and was left"
        if bp > before and truth_pm[site] < DEAD_PM and best >= DEAD_PM:
            return f"{site} is sick ({truth_pm[site]} pm) and got more"
    return ""
