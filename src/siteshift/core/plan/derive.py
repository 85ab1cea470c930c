"""One pass over the state: lives, standbys, allocation, steps. What the executor does now, and a plan does ahead.

Written as a generator that yields after every bounded piece of work (one service, or one slice of the allocation), so that a
plan for a thousand services never holds the loop. `reconcile` runs it to the end; `plan.fold` runs it over a predicted state.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from siteshift.core.beliefs.life import Signal
from siteshift.core.beliefs.lives import update_lives_of
from siteshift.core.decide.allocate_all import Demands, allot_sliced, demands_sliced
from siteshift.core.decide.carrying import carrying_raised, raise_at_ms
from siteshift.core.decide.demand import Allocation, StandbyUse
from siteshift.core.decide.envelope import note_progress, with_suspended, without_goals
from siteshift.core.decide.held_back import held_back
from siteshift.core.decide.member_weights import taken_out_now
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situations_sliced
from siteshift.core.decide.steering import Target, target_of
from siteshift.core.decide.used import utilisation_of
from siteshift.core.enact.standby import tend_standbys
from siteshift.core.model.codes import FindingCode, Severity, SiteLife
from siteshift.core.model.finding import Finding
from siteshift.core.model.plan import Step, Wait
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId
from siteshift.core.plan.apply import apply_step
from siteshift.core.plan.next_step import SharesGoal, StandbyGoal, may_open_standby, may_write_at_all, next_step
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import highest_found, to_pass

Slices = Generator[None, None, None]
"""Work in slices: nothing is returned, every yield is a chance to do something else."""

WARM_AFTER_MS = 300
"""Suspicion younger than this starts nothing: most single failures are gone by then (DESIGN §4, `confirm_for`)."""
FIRST_READINGS_MS = 30_000
"""How long a node that remembers nothing waits for every data plane to be read before it steers the first time. A plane
answers within its deadline (5 s) and is asked again every few seconds; one that is dead must not keep the others waiting."""
RESTLESS_MS = 30_000
"""The short TTL stays this long after the last unrest."""
RESTLESS_AFTER_MS = 300


def deriving(draft: Draft, services: tuple[Service, ...]) -> Slices:
    """Derive and take the next steps of these services; the others keep their steering."""
    yield from updating_lives(draft, services)
    situations = yield from situations_sliced(draft, services)
    asked = yield from demands_sliced(situations)
    if may_write_at_all(draft) and not draft.state.picture.blind:
        before = draft.state
        yield from _opening_standbys(draft, situations, asked)
        if draft.state is not before:
            situations = yield from situations_sliced(draft, services)
            asked = yield from demands_sliced(situations)
    now = yield from allot_sliced(asked, draft.setup, standby=StandbyUse.NONE)
    yield from _steering(draft, situations, now)


def updating_lives(draft: Draft, services: tuple[Service, ...]) -> Slices:
    """The lives of these services' sites, as far as the present beliefs carry them."""
    for service in services:
        update_lives_of(draft, service)
        yield


def _opening_standbys(draft: Draft, situations: Mapping[ServiceId, Situation], asked: Demands) -> Slices:
    """Open what the target needs, and what it would need if the suspicion turned out true (DESIGN §4)."""
    imagined = {service: _if_suspects_fell(draft, situation) for service, situation in situations.items()}
    wanted = yield from demands_sliced(imagined, asked)
    planned = yield from allot_sliced(wanted, draft.setup, standby=StandbyUse.ALLOWED)
    for service, situation in situations.items():
        allocation = planned.of(service)
        if allocation is None or not may_open_standby(draft, situation):
            continue
        goal = StandbyGoal(wanted=tend_standbys(draft, situation, allocation.standby_needed_rps))
        while isinstance(found := next_step(draft, situation, goal), Step):
            apply_step(draft, situation, found)
        yield


def _if_suspects_fell(draft: Draft, situation: Situation) -> Situation:
    """The situation as it would be if every site suspected for a while were lost. One that is only overloaded is none."""
    if not situation.policy.warm_on_suspicion or situation.is_blind:
        return situation
    lost = {
        site
        for site, track in situation.tracks.items()
        if track.life is SiteLife.SUSPECT
        and situation.signals[site] is not Signal.OVERLOADED
        and draft.due(track.since_ms + WARM_AFTER_MS)
    }
    if not lost or len(lost) == len(situation.tracks):
        return situation
    tracks = {s: replace(t, life=SiteLife.DRAINING) if s in lost else t for s, t in situation.tracks.items()}
    signals = {s: Signal.DEAD if s in lost else signal for s, signal in situation.signals.items()}
    return replace(situation, tracks=tracks, signals=signals)


def _steering(draft: Draft, situations: Mapping[ServiceId, Situation], now: Allocation) -> Slices:
    """Ask every service for its next step; what the gates let through becomes one new generation."""
    entries: dict[ServiceId, ServiceSteering] = {}
    documents: list[Mapping[str, object]] = []
    for service, situation in situations.items():
        allocation = now.of(service)
        if allocation is None:
            continue
        if draft.state.steering.decided_for(situation.service) is None:
            entries[service] = situation.current
            documents.append({"service": service, "cause": "first", "after_bp": dict(situation.current.shares_bp)})
            continue
        wanted = target_of(situation, allocation)
        target = without_goals(situation, wanted)
        situation = _with_notes(draft, situation)
        found = next_step(draft, situation, SharesGoal(target=target, mode=situation.mode))
        lifts = () if draft.is_forecast else held_back(situation, is_switched_off=draft.state.is_switched_off)
        say_findings(draft, situation, (*with_suspended(situation, found.findings), *lifts))
        entries[service] = after = _taken(draft, situation, found)
        note_progress(draft, situation, wanted, after, found.findings)
        if isinstance(found, Step) and after != situation.current:
            documents.append(_document(situation, target, after, found))
        yield
    if may_write_at_all(draft) and not awaits_readings(draft):
        new_generation(draft, entries, documents)


def _taken(draft: Draft, situation: Situation, found: Step | Wait) -> ServiceSteering:
    """The steering with the step taken. A wait says when to look again."""
    if may_write_at_all(draft) and (taken_out := taken_out_now(situation)) != situation.transition.taken_out:
        draft.set_transition(situation.service.id, taken_out=taken_out)
    if isinstance(found, Wait):
        draft.waits[situation.service.id] = found
        if found.until_ms is not None:
            draft.due(found.until_ms)
        return situation.current
    return apply_step(draft, situation, found)


def awaits_readings(draft: Draft) -> bool:
    """Whether the first steering must wait: nothing is remembered, and a plane that could tell was not read yet."""
    state = draft.state
    if state.steering.generation > 0:
        return False
    unread = [ref for ref in draft.setup.planes if state.plane(ref.id).read_back is None]
    return bool(unread) and not draft.due(state.started_ms + FIRST_READINGS_MS)


def new_generation(draft: Draft, entries: dict[ServiceId, ServiceSteering], documents: list[Mapping[str, object]]) -> None:
    """Number what changed past ours, and past what a person said to take over.

    A plane that is configured to make something else of the steering than before has our number and not our content: it gets
    a new one too.
    """
    steering = draft.state.steering
    known = {entry.service: entry for entry in steering.services} | entries
    ordered = sorted(draft.setup.topology.services, key=lambda service: service.tier)
    services = tuple(known[service.id] for service in ordered if service.id in known)
    if highest_found(draft.state) > steering.generation:
        return  # a plane that is ahead tells of what we forgot: it is read, and taken over, first
    foreign_generation = to_pass(draft.state)
    mappings = {plane.id: plane.mapping for plane in draft.setup.planes if plane.mapping}
    mapped_anew = [name for name, mapping in mappings.items() if steering.mappings.get(name, mapping) != mapping]
    if services == steering.services and foreign_generation < steering.generation and not mapped_anew:
        return
    generation = max(steering.generation, foreign_generation) + 1
    new = replace(
        steering,
        generation=generation,
        term=draft.state.term or steering.term,
        decided_at_ms=draft.now_ms,
        services=services,
        mappings=mappings,
    )
    draft.set(steering=new)
    draft.remembers = True
    if draft.is_forecast:
        return
    data = {"generation": generation, "digest": new.digest(), "services": documents}
    draft.record("decision", data | ({"mapped_anew": mapped_anew} if mapped_anew else {}))


def _with_notes(draft: Draft, situation: Situation) -> Situation:
    """The situation with what was noted of it: unrest keeps the TTL short, a relief and a probing of load end by the clock."""
    _note_unrest(draft, situation)
    _tend_carrying(draft, situation)
    if any(situation.is_put_to_the_proof(pool) for pool in situation.service.pools):
        draft.due(situation.halving_ms)
    transition = draft.state.transition(situation.service.id)
    return situation if transition is situation.transition else replace(situation, transition=transition)


def _tend_carrying(draft: Draft, situation: Situation) -> None:
    """Let capped sites have a little more when they were quiet; what follows from it is decided at once."""
    for known in situation.transition.carrying.values():
        if known.cap_rps is not None:
            draft.due(raise_at_ms(situation, known))
    raised = carrying_raised(situation)
    if raised != situation.transition.carrying:
        draft.set_transition(situation.service.id, carrying=raised)
        draft.due(draft.now_ms + 1)


def _note_unrest(draft: Draft, situation: Situation) -> None:
    """Keep the TTL short while something is suspect or in transition."""
    transition = situation.transition
    is_suspect = any(
        track.life is SiteLife.SUSPECT and draft.due(track.since_ms + RESTLESS_AFTER_MS) for track in situation.tracks.values()
    )
    is_moving = any(t.life in (SiteLife.DRAINING, SiteLife.RETURNING) for t in situation.tracks.values())
    if (is_suspect or is_moving) and draft.due(transition.restless_until_ms - RESTLESS_MS // 2 + 1):
        transition = draft.set_transition(situation.service.id, restless_until_ms=draft.now_ms + RESTLESS_MS)
    draft.due(transition.restless_until_ms)


HEARD = frozenset({FindingCode.ROOM_HELD_BACK})
"""Findings that stop nothing and that somebody is notified of: a person could do something about it, and nobody else."""


def say_findings(draft: Draft, situation: Situation, findings: tuple[Finding, ...]) -> None:
    """What stands in the way, and what people have to hear although it does not: kept in the state, said once when it changes."""
    standing = tuple(entry for entry in findings if entry.severity is not Severity.ALLOWED or entry.code in HEARD)
    before = situation.transition.findings
    if standing == before:
        return
    draft.set_transition(situation.service.id, findings=standing)
    if {e.subject for e in standing} == {e.subject for e in before}:
        return
    documents = [{"code": e.code.value, "severity": e.severity.value, "text": e.text} for e in standing]
    draft.record("findings", {"service": situation.service.id, "findings": documents})
    known = {e.subject for e in before}
    for entry in standing:
        if entry.subject not in known and entry.code is not FindingCode.ENVELOPE_LEFT:  # told with its way out (`operate.goals`)
            verdict, (code, about) = Severity.NEEDS_APPROVAL if entry.code in HEARD else entry.severity, entry.subject
            draft.tell(verdict, code, entry.text, service=situation.service.id, about=about)


def _document(situation: Situation, target: Target, after: ServiceSteering, step: Step) -> dict[str, object]:
    """What changed for one service, in a form the journal keeps and `why` reads."""
    before = situation.current
    members = before.members_pm.keys() | after.members_pm.keys()
    changed = sorted(m for m in members if before.members_pm.get(m) != after.members_pm.get(m))
    return {
        "service": situation.service.id,
        "step": step.kind.value,
        "cause": step.cause.value if step.cause else None,
        "before_bp": dict(before.shares_bp),
        "after_bp": dict(after.shares_bp),
        "target_bp": dict(target.shares_bp),
        "shed_bp": after.shed_bp,
        "because": {site: why.value for site, why in target.because.items()},
        "signals": {site: signal.value for site, signal in situation.signals.items()},
        "ttl_s": after.ttl_s,
        "members": {m: after.members_pm.get(m, 0) for m in changed},
        "dead_sites": sorted(after.dead_sites),
        "demand_rps": situation.demand_rps,
        "utilisation_pm": utilisation_of(situation, after),
        "findings": [entry.code.value for entry in step.findings],
    }
