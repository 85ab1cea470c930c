"""A scenario played for real: the lab's processes from the same file as the simulator's world, and both sides' figures.

What can be real: crash and hang of a site, crash and flapping of members, errors, latency, a lying or broken health page, surge,
and the node killed; each with its return. Everything else is refused by name. The simulated side is the lab's world, not
the scenario's: one service, one node at Anyang, its own DNS, standbys that start as fast as the lab's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from siteshift.config.model.policy import JUDGE_FIELDS, SERVICE_POLICY_FIELDS
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.units import SiteId
from siteshift.errors import SiteshiftError
from siteshift.lab import faults as real
from siteshift.lab.recording import Recording
from siteshift.lab.setup import NodeOptions
from siteshift.lab.shape import LabShape
from siteshift.lab.spec import ClientSpec as LabClients
from siteshift.lab.world import Lab
from siteshift.sim.faults import world as sim
from siteshift.sim.faults.acts import Heal, Note, TimedEvent
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.world.spec import Entry, WorldSpec
from siteshift.sim.world.worlds import WEB, standard_world

QUIET_S = 12.0
"""Healthy load before the first event: the node learns the demand."""
FAR_PM = 300
"""A difference of more than this part needs an explanation, and the model mending."""
T95_BP, T95_WINDOW_S = 500, 3
NAMED = re.compile(r"([A-Z_]+)\(([^@)]*)@([^)]*)\)")
"""A diagnosis in a line of the transcript: its code, the service or member, the site."""


class CannotDrill(SiteshiftError):
    """Something in the scenario cannot be real here; says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One side. Times in ms after the first fault; None: it did not happen while watched. ``lost_s``: of the site's traffic.

    ``lost`` got no good answer, ``late`` one after the service's latency objective; both from the user's first try on.
    """

    detect_ms: int | None
    decide_ms: int | None
    t95_ms: int | None
    lost: float
    lost_s: float
    late: float
    survivor_peak_pm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """Both sides of one scenario over ``watched_ms``."""

    id: str
    site: SiteId
    watched_ms: int
    simulated: Seen
    real: Seen


def is_far(simulated: float | None, found: float | None, least: float) -> bool:
    """Whether two figures differ by more than `FAR_PM`. Below ``least`` both are as good as nothing."""
    if simulated is None or found is None:
        return simulated is not found
    if max(simulated, found) <= least:
        return False
    return abs(simulated - found) * 1_000 > FAR_PM * max(simulated, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Real:
    """One event as the lab does it: a fault with its undoing, a load, or the node's death."""

    at_ms: int
    fault: real.Fault | None = None
    is_undone: bool = False
    load_pm: int | None = None
    kills_node: bool = False
    starts_node: bool = False


def plan_real(events: Sequence[TimedEvent], watched_ms: int) -> list[_Real]:
    """The events the lab can do, within the time watched, in order. Raises `CannotDrill` naming what it cannot do."""
    planned: list[_Real] = []
    labels = {event.label: event for event in events if event.label}
    for event in events:
        act = event.act
        if isinstance(act, Note):
            continue
        if isinstance(act, Heal):
            planned += _acts(labels[act.label], event.at_ms, heals=True)
            continue
        planned += _acts(event, event.at_ms, heals=False)
        if event.until_ms is not None:
            planned += _acts(event, event.until_ms, heals=True)
    return sorted((one for one in planned if one.at_ms < watched_ms), key=lambda one: one.at_ms)


def _acts(event: TimedEvent, at_ms: int, *, heals: bool) -> list[_Real]:
    match event.act:
        case sim.Surge(factor_pm=factor_pm):
            return [_Real(at_ms=at_ms, load_pm=1_000 if heals else factor_pm)]
        case CtlKill():
            return [_Real(at_ms=at_ms, starts_node=heals, kills_node=not heals)]
        case _:
            return [_Real(at_ms=at_ms, fault=fault, is_undone=heals) for fault in _faults(event)]


def _faults(event: TimedEvent) -> list[real.Fault]:
    match event.act:
        case sim.Crash(site=site, members=members, fraction=1.0):
            return [real.MemberCrash(site=site, member=_name(m)) for m in members] or [real.Crash(site=site)]
        case sim.Flap(site=site, members=members, down_ms=down_ms, up_ms=up_ms) if members:
            return [real.MemberFlap(site=site, member=_name(m), down_ms=down_ms, up_ms=up_ms) for m in members]
        case sim.Hang(site=site, members=(), fraction=1.0):
            return [real.Hang(site=site)]
        case sim.Errors(site=site, members=(), fraction=1.0, rate_pm=rate_pm, probes_see_pm=1_000):
            return [real.Errors(site=site, rate_pm=rate_pm)]
        case sim.Latency(site=site, members=(), fraction=1.0, add_ms=add_ms, part_pm=1_000):
            return [real.Latency(site=site, added_ms=add_ms)]
        case sim.ProbeLie(site=site, members=(), fraction=1.0, rate_pm=1_000):
            return [real.ProbeLie(site=site)]
        case sim.CheckFails(site=site, members=(), fraction=1.0, rate_pm=1_000):
            return [real.HealthPageBroken(site=site)]
        case act:
            raise CannotDrill(f"the lab cannot have this for real: {event.label or type(act).__name__} ({act})")


def _name(member: str) -> str:
    return member.rpartition("/")[2]


def shifted(scenario: Scenario) -> list[TimedEvent]:
    """The events, counted from the first one that is more than a note."""
    first_ms = min((event.at_ms for event in scenario.events if not isinstance(event.act, Note)), default=0)
    return [
        replace(event, at_ms=event.at_ms - first_ms, until_ms=None if event.until_ms is None else event.until_ms - first_ms)
        for event in scenario.events
        if event.at_ms >= first_ms
    ]


async def drill(scenario: Scenario, *, watched_ms: int, load_rps: int, tell: Callable[[str], None]) -> Drilled:
    """Play it on both sides. Raises `CannotDrill` before anything is started."""
    events = shifted(scenario)
    planned = plan_real(events, watched_ms)
    site = next((SiteId(one.fault.site) for one in planned if one.fault is not None and one.fault.site), SiteId("pangyo"))
    tell(f"for real, {watched_ms / 1000 + QUIET_S:.0f} s")
    found, start_ms = await _play(scenario, planned, site=site, watched_ms=watched_ms, load_rps=load_rps, tell=tell)
    tell(f"now simulated, with a node that starts in {start_ms / 1000:.1f} s as this one did")
    world = lab_world(scenario.world, load_rps, node_start_ms=start_ms)
    record = simulate(world, scenario.policy, events, seed=scenario.seed, duration_ms=watched_ms)
    return Drilled(
        id=scenario.id,
        site=site,
        watched_ms=watched_ms,
        simulated=simulated_side(record, site, load_rps),
        real=found,
    )


def lab_world(spec: WorldSpec, load_rps: int, *, node_start_ms: int = 0) -> WorldSpec:
    """The lab as the simulator knows it, with the scenario's users.

    As few as they are, resolvers and connections idle; its members serve no less beyond their knee; its node is a process
    that has to start.
    """
    lab = LabShape()
    made = standard_world(demand_rps=load_rps, nodes=1, entry=Entry.DNS, cold_start_ms=lab.start_ms)
    users = spec.clients_of(spec.topology.services[0].id)
    look_ups_rps = max(0.001, load_rps * (1_000 - users.reuse_pm) / 1_000)
    users = replace(
        users,
        connection_ms=round(lab.clients.users * 1_000 / look_ups_rps),
        resolver_idle_ms=round(lab.clients.resolvers * 1_000 / look_ups_rps),
    )
    return replace(
        made,
        clients={WEB: users},
        server=replace(made.server, queue_ms=lab.queue_ms, thrash_pm=0),
        nodes=tuple(replace(node, starts_in_ms=node_start_ms) for node in made.nodes),
    )


async def _play(
    scenario: Scenario, planned: Sequence[_Real], *, site: SiteId, watched_ms: int, load_rps: int, tell: Callable[[str], None]
) -> tuple[Seen, int]:
    """What was seen, and how long the node took to start (ms): it is ready to be asked about as soon as it probes."""
    users = scenario.world.clients_of(scenario.world.topology.services[0].id)
    clients = LabClients(
        load_rps=load_rps,
        reuse_pm=users.reuse_pm,
        stretch_pm=users.stretch_pm,
        stretch_s=users.stretch_ms // 1_000,
        deadline_ms=users.deadline_ms,
        retries=users.retries,
    )
    policy, judging = policy_sections(scenario.policy)
    shape = LabShape(clients=clients, node=NodeOptions(policy=policy, judging=judging), seed=scenario.seed or 1)
    async with Lab(shape) as lab:
        began_s = monotonic()
        await lab.start_node()
        start_ms = round((monotonic() - began_s) * 1_000)
        await lab.start_clients()
        async with Recording(lab) as recording:
            await asyncio.sleep(QUIET_S)
            fault_ms = recording.now_ms()
            for one in planned:
                await asyncio.sleep(max(0, fault_ms + one.at_ms - recording.now_ms()) / 1000)
                tell(f"{one.at_ms / 1000:.0f} s: {_told(one)}")
                await _do(lab, one, load_rps)
            await asyncio.sleep(max(0, fault_ms + watched_ms - recording.now_ms()) / 1000)
            found = recording.milestones(site=site, fault_ms=fault_ms, until_ms=fault_ms + watched_ms)
            share_bp = lab.spec.site(site).nominal_bp

    def after(at_ms: int | None) -> int | None:
        return None if at_ms is None else max(0, at_ms - fault_ms)

    seen = Seen(
        detect_ms=after(found.diagnosis_ms),
        decide_ms=after(found.first_write_ms),
        t95_ms=after(found.t95_ms),
        lost=found.lost,
        lost_s=found.lost / (load_rps * share_bp / 10_000),
        late=found.late,
        survivor_peak_pm=found.survivor_peak_pm,
    )
    return seen, start_ms


async def _do(lab: Lab, one: _Real, load_rps: int) -> None:
    if one.fault is not None:
        await (lab.undo(one.fault) if one.is_undone else lab.apply(one.fault))
    if one.load_pm is not None:
        await lab.set_load(load_rps * one.load_pm // 1_000)
    if one.kills_node:
        lab.children.kill("node")
    if one.starts_node:
        await lab.start_node()


def _told(one: _Real) -> str:
    if one.fault is not None:
        return f"{'over: ' if one.is_undone else ''}{real.name_of(one.fault)} at {one.fault.site or 'every site'}"
    if one.load_pm is not None:
        return f"load at {one.load_pm / 10:g} %"
    return "the node is killed" if one.kills_node else "the node starts again"


def simulated_side(record: Record, site: SiteId, load_rps: int) -> Seen:
    """The simulator's figures, by the lab's definitions (`lab.feed`, `lab.measure`); but for ``lost_s``, whose site's traffic is
    what was seen before the fault, and in the lab the site's nominal share of the load."""
    share = next((row.seen_bp for row in record.seconds if row.site == site and row.at_ms >= -5_000), 0) / 10_000
    rows = [row for row in record.seconds if row.at_ms >= 0]
    lost = sum(row.lost for row in rows)
    return Seen(
        detect_ms=_detect_ms(record),
        decide_ms=_decide_ms(record),
        t95_ms=_t95_ms(record, site),
        lost=lost,
        lost_s=lost / max(1.0, load_rps * share),
        late=sum(row.late for row in rows),
        survivor_peak_pm=max((pm for name, pm in record.peak_utilisation_pm.items() if name != site), default=0),
    )


def _detect_ms(record: Record) -> int | None:
    """The first new diagnosis about a site."""
    known: set[tuple[str, ...]] = set()
    for line in record.transcript:
        if line.kind != "belief":
            continue
        named = {found for found in NAMED.findall(line.text) if found[2] and "/" not in found[1]}
        if named - known and line.at_ms >= 0:
            return line.at_ms
        known = named
    return None


def _decide_ms(record: Record) -> int | None:
    """The first write of a move that a data plane took."""
    moving = {f"generation {move.generation}" for move in record.moves if move.at_ms >= 0}
    taken = (line for line in record.transcript if line.kind == "plane" and line.text.endswith(": applied"))
    return next((line.at_ms for line in taken if line.text.partition(" from ")[0] in moving), None)


def _t95_ms(record: Record, site: SiteId) -> int | None:
    """As in the lab: from when on, over three seconds, 95 % of requests neither go to the site nor are lost."""
    instants = sorted({row.at_ms for row in record.seconds if row.at_ms >= 0})
    by_instant = {at_ms: [row for row in record.seconds if row.at_ms == at_ms] for at_ms in instants}
    for number in range(len(instants) - T95_WINDOW_S + 1):
        rows = [row for at_ms in instants[number : number + T95_WINDOW_S] for row in by_instant[at_ms]]
        offered = sum(row.offered for row in rows)
        there = sum(row.offered for row in rows if row.site == site)
        lost = sum(row.lost for row in rows)
        if max(there, lost) * 10_000 <= T95_BP * offered:
            return instants[number]
    return None


def policy_sections(policy: Policy) -> tuple[dict[str, object], dict[str, object]]:
    """What differs from the product's defaults, as sections ``policy`` and ``judging`` of a configuration file."""
    service = {key: _in_file(key, value) for key, value in _changed(policy.default, ServicePolicy(), SERVICE_POLICY_FIELDS)}
    judging = {key: _in_file(key, value) for key, value in _changed(policy.judge, JudgePolicy(), JUDGE_FIELDS)}
    return service, judging


def _changed(policy: object, default: object, names: dict[str, str]) -> list[tuple[str, tuple[str, Any]]]:
    pairs = [(key, (field, getattr(policy, field))) for key, field in names.items()]
    return [(key, (field, value)) for key, (field, value) in pairs if value != getattr(default, field)]


def _in_file(key: str, named: tuple[str, Any]) -> object:
    """A field's value in the file's unit."""
    field, value = named
    if isinstance(value, tuple):
        return [_in_file(key, (field, entry)) for entry in value]
    if key.endswith("_percent"):
        return value / (100 if field.endswith("_bp") else 10)
    if key.endswith("_s") and field.endswith("_ms"):
        return value / 1_000
    return getattr(value, "value", value)
