"""Runs a world: `simulate` builds it, plays the timed events, lets time pass, and hands back the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from siteshift.core.messages.requests import ApproveRequest, LiftRequest, OperatorRequest, Request, RevokeRequest
from siteshift.core.model.policy import Policy
from siteshift.core.model.units import VantageId
from siteshift.core.operate.answer import look_at
from siteshift.core.state.goals import BINDING
from siteshift.sim.faults.acts import PROPOSED, Ask, Fault, Heal, Note, Reload, TimedEvent
from siteshift.sim.faults.control import NodeFault
from siteshift.sim.nodes.cluster import Cluster, cluster_in
from siteshift.sim.nodes.node import Node
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.results.record import Injury, Record
from siteshift.sim.run.milestones import reckon
from siteshift.sim.world.spec import WorldSpec
from siteshift.sim.world.world import World

WARM_UP_MS = 60_000
"""Before the scenario's zero: caches fill, nodes elect a leader, read their planes and learn what is normal."""
AFTER_HEAL_MS = 60_000
APPROVER = "approver"
"""The rank of whoever approves."""
ADMIN = "admin"
"""The rank of whoever takes another's approval back."""


class Pilot(Protocol):
    """Another controller in the same world: the informed oracle, a model of a peer. It may use everything of `World`."""

    def start(self, world: World, witness: Witness) -> None:
        """Called once before time begins: plan on ``world.clock``, watch ``world.watchers``, write ``world.planes`` by
        ``world.change_plane``, start standbys by ``world.standbys``; tell moves to ``witness.moved``."""


def simulate(
    spec: WorldSpec,
    policy: Policy,
    events: Sequence[TimedEvent] = (),
    *,
    seed: int = 1,
    duration_ms: int,
    warm_up_ms: int = WARM_UP_MS,
    pilots: Sequence[Pilot] = (),
    probe_one_by_one: Sequence[VantageId] = (),
) -> Record:
    """Play ``events`` from ``-warm_up_ms`` to ``duration_ms``. Nodes named in ``probe_one_by_one`` never rest.

    A world without nodes (``spec.nodes`` empty) is steered by its pilots alone. Raises KeyError for events about unknown
    names and LookupError for store faults in a world without a store.
    """
    world = World(spec, seed=seed, start_ms=-warm_up_ms)
    witness = Witness()
    witness.bind(world)
    cluster = cluster_in(world, policy, witness, probe_one_by_one=probe_one_by_one)
    player = _Player(cluster, witness)
    for event in sorted(events, key=lambda one: one.at_ms):
        player.plan(event)
    for node in cluster.nodes:
        node.start()
    for pilot in pilots:
        pilot.start(world, witness)
    _plan_second(world, witness)
    world.clock.run_until(duration_ms)
    for node in cluster.nodes:
        node.wake_prober()
    world.flow.settle(duration_ms)
    witness.second(duration_ms, duration_ms % 1_000 or 1_000)
    return _record(cluster, witness, seed=seed, duration_ms=duration_ms)


def _plan_second(world: World, witness: Witness) -> None:
    at_ms = (world.clock.now_ms // 1_000 + 1) * 1_000

    def close() -> None:
        world.flow.settle(at_ms)
        witness.second(at_ms, 1_000)
        _plan_second(world, witness)

    world.clock.at(at_ms, close)


class _Player:
    """Makes timed events happen."""

    def __init__(self, cluster: Cluster, witness: Witness) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._witness = witness
        self._acts: dict[str, TimedEvent] = {}
        self._asked: dict[str, _AskedFor] = {}
        self._open: dict[str, int] = {}
        """Injuries that last, by scope: their places in the witness's list."""

    def plan(self, event: TimedEvent) -> None:
        if event.label:
            self._acts[event.label] = event
        self._world.clock.at(event.at_ms, lambda: self._play(event))
        if event.until_ms is not None:
            self._world.clock.at(event.until_ms, lambda: self._heal(event))

    def _play(self, event: TimedEvent) -> None:
        world = self._world
        match event.act:
            case Note(text=text):
                world.line("world", "note", text)
            case Heal(label=label):
                self._heal(self._acts[label])
            case Reload(policy=policy):
                for node in self._cluster.nodes:
                    node.reload(f"reload at {event.at_ms}", policy)
            case Ask() as ask:
                self._ask(ask, event.label)
            case fault:
                self._strike(event, fault)

    def _strike(self, event: TimedEvent, fault: Fault) -> None:
        world = self._world
        self._end(fault)
        world.line("world", "fault", _told(fault))
        self._open[_scope(fault)] = len(self._witness.injuries)
        self._witness.injuries.append(
            Injury(
                label=event.label or fault.kind,
                kind=fault.kind,
                text=_told(fault),
                at_ms=world.clock.now_ms,
                sites=fault.sites,
            )
        )
        if isinstance(fault, NodeFault):
            fault.apply(self._cluster)
        else:
            fault.apply(world)

    def _heal(self, event: TimedEvent) -> None:
        fault = event.act
        if isinstance(fault, Heal | Ask | Reload | Note):
            return
        self._world.line("world", "fault", f"healed: {_told(fault)}")
        if isinstance(fault, NodeFault):
            fault.heal(self._cluster)
        else:
            fault.heal(self._world)
        self._end(fault)

    def _end(self, fault: Fault) -> None:
        """An injury ends where another of the same scope replaces it, or by healing: as what it harms does (`faults`)."""
        number = self._open.pop(_scope(fault), None)
        if number is not None:
            injuries = self._witness.injuries
            injuries[number] = replace(injuries[number], healed_ms=self._world.clock.now_ms)

    def _ask(self, ask: Ask, label: str) -> None:
        for node in self._cluster.named((ask.node,)):
            expires_ms = None if ask.expires_after_ms is None else node.now_ms + ask.expires_after_ms
            asking = OperatorRequest(
                id="",
                person=ask.person,
                request=self._resolved(ask.request, node),
                reason=ask.reason,
                ticket=ask.ticket,
                expires_ms=expires_ms,
                digest=ask.digest,
                rank=_rank(ask.request),
            )
            shown = look_at(node.state, node.setup, asking, node.now_ms).offer if ask.confirms else None
            if shown is not None:
                asking = replace(asking, digest=shown.digest, shown=shown)
            asked = self._put(node, asking)
            if label:
                self._asked[label] = _AskedFor(id=asked, goal=shown.goal.digest if shown is not None else "")
            for person in ask.approved_by if asking.digest is not None else ():
                request = ApproveRequest(digest=asking.digest or "")
                self._put(node, OperatorRequest(id="", person=person, request=request, reason=ask.reason, rank=APPROVER))

    def _resolved(self, request: Request, node: Node) -> Request:
        """The request with the ids and digests of this run where it gives the name of another ask."""
        match request:
            case LiftRequest(override=name) if (other := self._asked.get(name)) is not None:
                laid = self._witness.laid.get(other.id)
                found = (entry.id for entry in node.state.overrides if other.goal and entry.goal == other.goal)
                return LiftRequest(override=laid or next(found, name))
            case ApproveRequest(digest=name) | RevokeRequest(digest=name) if name == PROPOSED:
                asking = OperatorRequest(id="", person="", request=ApproveRequest(digest=""))
                offer = look_at(node.state, node.setup, asking, node.now_ms).offer
                under_way = (track.digest for track in node.state.goals.values() if track.is_proposed and track.state in BINDING)
                is_approval = isinstance(request, ApproveRequest) and offer is not None
                digest = offer.digest if is_approval and offer is not None else next(under_way, name)
                return replace(request, digest=digest)
            case ApproveRequest(digest=name) | RevokeRequest(digest=name) if (other := self._asked.get(name)) is not None:
                track = node.state.goals.get(other.goal)
                return replace(request, digest=(track.fresh_digest or track.digest) if track is not None else name)
            case _:
                return request

    def _put(self, node: Node, asking: OperatorRequest) -> str:
        node.asked += 1
        asking = replace(asking, id=f"{node.spec.id}-{node.asked}")
        self._world.line(node.spec.id, "note", f"{asking.person} asks {asking.id}: {asking.request}")
        node.ask(asking)
        return asking.id


def _rank(request: Request) -> str:
    """What whoever asks has to be for it."""
    match request:
        case ApproveRequest():
            return APPROVER
        case RevokeRequest(person=str()):
            return ADMIN
        case _:
            return ""


class _AskedFor(NamedTuple):
    """What was put to a node for an ask with a name: the request's id, and the digest of its goal where it was confirmed."""

    id: str
    goal: str


def _scope(fault: Fault) -> str:
    """What one fault replaces, and a healing ends; a fault that names none stands for itself."""
    return str(getattr(fault, "scope", "")) or _told(fault)


def _told(fault: Fault) -> str:
    return f"{fault.kind} {fault}"


def _record(cluster: Cluster, witness: Witness, *, seed: int, duration_ms: int) -> Record:
    world = cluster.world
    totals = world.flow.totals()
    sites_of = {service.id: service.sites for service in world.spec.topology.services}
    milestones = tuple(
        reckon(
            injury,
            site,
            end_ms=duration_ms if injury.healed_ms is None else min(duration_ms, injury.healed_ms + AFTER_HEAL_MS),
            sites_of=sites_of,
            detected=witness.detected,
            moves=witness.moves,
            seconds=witness.seconds,
            sheds=witness.sheds,
            paths=world.flow.paths,
        )
        for injury in witness.injuries
        for site in injury.sites
    )
    return Record(
        seed=seed,
        duration_ms=duration_ms,
        seconds=tuple(witness.seconds),
        sheds=tuple(witness.sheds),
        transcript=tuple(world.lines),
        violations=tuple(witness.violations),
        moves=tuple(witness.moves),
        injuries=tuple(witness.injuries),
        milestones=milestones,
        offered=totals.offered,
        served=totals.served,
        lost=totals.lost,
        late=totals.late,
        pending=totals.pending,
        peak_utilisation_pm=dict(witness.peaks),
        probes={node.spec.id: node.prober.count for node in cluster.nodes},
        facts=tuple(world.facts),
    )
