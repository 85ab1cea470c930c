"""The laws of the design as checkers. The daemon, the simulator and the tests run the same ones after every step.

A checker sees the state before, the event, the decision and the setup, and judges on its own: it shares the nouns
with the deciders but not their reasoning. `docs/SAFETY.md` names each law's checker and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from siteshift.core.commands import ActivateStandby, Command, Enact, ReadPlane, Record, Remember, RetireStandby
from siteshift.core.decide.override import active, forced_view
from siteshift.core.events import Asked, EnactFinished, Event, ReadBackArrived, Reloaded
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.model.codes import EnactOutcome, MemberRole, Mode, SiteLife, StandbyPhase, Standing
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, SiteId, pool_target, site_target
from siteshift.core.setup import PartKind, Setup
from siteshift.core.state import ControllerState, LeftBecause
from siteshift.core.traffic import demand_rps, settled_bp


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

    def changes(self) -> Iterator[tuple[Service, ServiceSteering, ServiceSteering]]:
        """Services whose steering changed, with what it was and what it is."""
        if self.before.steering.generation == self.after.steering.generation:
            return
        for service in self.setup.topology.services:
            old, new = self.before.steering.of(service.id), self.after.steering.of(service.id)
            if old is not None and new is not None and old != new:
                yield service, old, new

    def standing(self, service: Service, site: SiteId) -> Standing:
        pool = self.after.picture.pools.get((service.id, site))
        return pool.standing if pool is not None else Standing.UNKNOWN

    def is_forced(self, service: Service) -> bool:
        """Whether a person has a hand in this service's shares: forced now, let go just now, or asked to return."""
        forced = forced_view(self.after.overrides, service.id, self.now_ms)
        were = forced_view(self.before.overrides, service.id, self.before.started_ms)
        asked = any(
            self.after.track(service.id, site).is_return_asked
            or self.after.track(service.id, site).left_because is LeftBecause.PERSON
            for site in service.sites
        )
        return bool(forced.drained_sites or forced.shares_bp or were.drained_sites or were.shares_bp or asked)


Checker = Callable[[Passage], Iterator[Violation]]


def check(
    before: ControllerState, event: Event, after: ControllerState, commands: tuple[Command, ...], setup: Setup
) -> tuple[Violation, ...]:
    """Every law that this step breaks; empty is what we want."""
    passage = Passage(before=before, event=event, after=after, commands=commands, setup=setup)
    return tuple(violation for checker in CHECKERS.values() for violation in checker(passage))


def law_1_last_site(p: Passage) -> Iterator[Violation]:
    """Never remove the last serving site; whoever serves after a change is not known to be dead while another is up."""
    for service, old, new in p.changes():
        served = [site for site, bp in new.shares_bp.items() if bp > 0]
        if not served:
            yield Violation(law=1, text=f"{service.id}: no site has a share")
        was_up = [s for s, bp in old.shares_bp.items() if bp > 0 and p.standing(service, s) is not Standing.DOWN]
        if served and was_up and all(p.standing(service, site) is Standing.DOWN for site in served):
            yield Violation(law=1, text=f"{service.id}: only dead sites are left with a share")


def law_2_widen_first(p: Passage) -> Iterator[Violation]:
    """Only standbys that were found ready get traffic, and nothing but a dead site is left onto a site that is down."""
    for service, old, new in p.changes():
        for pool in service.pools:
            for member in pool.members:
                phase = p.after.standby(member.id).phase
                is_open = phase in (StandbyPhase.READY, StandbyPhase.PROVEN)
                if member.role is MemberRole.STANDBY and member.id in new.members_pm and not is_open:
                    if member.id in old.members_pm and p.after.picture.blind:
                        continue
                    yield Violation(law=2, text=f"{member.id}: traffic to a standby that is {phase.value}")
            gained = new.shares_bp.get(pool.site, 0) > old.shares_bp.get(pool.site, 0)
            if gained and p.standing(service, pool.site) is Standing.DOWN and not p.is_forced(service):
                yield Violation(law=2, text=f"{service.id}: more traffic to {pool.site}, which is down")
    for command in p.commands:
        if isinstance(command, RetireStandby):
            still = any(command.member in entry.members_pm for entry in p.after.steering.services)
            if still:
                yield Violation(law=2, text=f"{command.member}: retired while it has a weight")


def law_3_unknown_is_not_down(p: Passage) -> Iterator[Violation]:
    """Blind, or without evidence for a site: no share changes that nobody forced."""
    for service, old, new in p.changes():
        if p.is_forced(service) or dict(old.shares_bp) == dict(new.shares_bp):
            continue
        if p.after.picture.blind:
            yield Violation(law=3, text=f"{service.id}: shares changed while blind")
        for site in service.sites:
            lost = new.shares_bp.get(site, 0) < old.shares_bp.get(site, 0)
            if lost and p.standing(service, site) is Standing.UNKNOWN:
                yield Violation(law=3, text=f"{service.id}: {site} lost share without evidence")


def law_4_doubt_yourself(p: Passage) -> Iterator[Violation]:
    """A fault that is everywhere, or seen by an isolated observer, is never a drain."""
    for service, old, new in p.changes():
        if p.is_forced(service) or service.id not in p.after.picture.global_fault:
            continue
        if dict(old.shares_bp) != dict(new.shares_bp):
            yield Violation(law=4, text=f"{service.id}: shares changed during a global fault")
    yield from _left_by_few(p)


def _left_by_few(p: Passage) -> Iterator[Violation]:
    """A site is left for evidence only on the word of most who can know, and never while all sites fail alike."""
    for service in p.setup.topology.services:
        for site in service.sites:
            now, was = p.after.track(service.id, site), p.before.track(service.id, site)
            is_left = now.life is SiteLife.DRAINING and was.life not in (SiteLife.DRAINING, SiteLife.DRAINED)
            if not is_left or now.left_because in (None, LeftBecause.PERSON):
                continue
            accusing, speaking = _votes(p, service, site)
            if speaking and 2 * accusing <= speaking:
                yield Violation(law=4, text=f"{service.id}: {site} left on the word of {accusing} of {speaking} vantages")
            words = [_votes(p, service, other, (Standing.DOWN,)) for other in service.sites]
            if len(words) > 1 and all(told and 2 * down > told for down, told in words):
                yield Violation(law=4, text=f"{service.id}: {site} left although every site is held to be down")


_BAD = (Standing.DOWN, Standing.DEGRADED)


def _votes(p: Passage, service: Service, site: SiteId, accusations: tuple[Standing, ...] = _BAD) -> tuple[int, int]:
    """How many of those who can know about a pool accuse it, and how many they are: counted from the reports alone.

    Those can know who reported lately, reach an anchor, are not known to be cut off, and stand elsewhere.
    """
    stale_ms = p.setup.policy.judge.report_stale_ms
    fresh = [
        report
        for report in p.after.reports.values()
        if p.now_ms - report.at_ms <= stale_ms
        and (report.self_check.anchors_ok > 0 or report.self_check.anchors_total == 0)
        and report.vantage not in p.after.picture.isolated
    ]
    outside = [report for report in fresh if report.site != site] or fresh
    accusing = speaking = 0
    for report in outside:
        pool, whole = report.views.get(pool_target(service.id, site)), report.views.get(site_target(site))
        if pool is None:
            continue
        speaking += 1
        accusing += any(view is not None and view.standing in accusations for view in (pool, whole))
    return accusing, speaking


def law_5_real_and_forced(p: Passage) -> Iterator[Violation]:
    """The picture is made of reports alone: no override shows in it."""
    if p.before.overrides == p.after.overrides and not isinstance(p.event, Asked):
        return
    topology, policy = p.setup.topology, p.setup.policy
    alone = diagnose(topology, policy, p.after.reports, p.now_ms, previous=p.before.picture)
    if {k: v.standing for k, v in alone.pools.items()} != {k: v.standing for k, v in p.after.picture.pools.items()}:
        yield Violation(law=5, text="an override changed what is believed")


def law_6_mode(p: Passage) -> Iterator[Violation]:
    """Without `auto`, shares change only by a person: forced, or a plan approved."""
    for service, old, new in p.changes():
        forced = forced_view(p.after.overrides, service.id, p.now_ms)
        mode = forced.mode or p.setup.policy.of(service.id).mode
        if mode is Mode.AUTO or p.is_forced(service) or dict(old.shares_bp) == dict(new.shares_bp):
            continue
        if p.after.motion(service.id).approved is None and p.before.motion(service.id).approved is None:
            yield Violation(law=6, text=f"{service.id}: moved in mode {mode.value} without approval")


def law_7_capacity(p: Passage) -> Iterator[Violation]:
    """No site that gains is left above the utilisation limit, unless two persons approved; what is shed is explicit."""
    for service, old, new in p.changes():
        total = sum(new.shares_bp.values()) + new.shed_bp
        if total != WHOLE_BP or new.shed_bp < 0 or min(new.shares_bp.values(), default=0) < 0:
            yield Violation(law=7, text=f"{service.id}: shares and shed make {total} bp")
        approvers = {who for o in active(p.after.overrides, p.now_ms) for who in o.approved_by}
        approvers |= set(p.after.motion(service.id).approved_by)
        if len(approvers) >= 2:
            continue
        demand = demand_rps(p.after, service, p.setup.metered)
        limit_pm = p.setup.policy.of(service.id).max_utilisation_pm
        for pool in service.pools:
            bp, had = new.shares_bp.get(pool.site, 0), old.shares_bp.get(pool.site, 0)
            if bp <= had or bp <= pool.nominal_bp:
                continue
            capacity = sum(m.capacity_rps for m in pool.members if m.id in new.members_pm)
            slack_rps = 1 + demand // 1000
            if bp * demand > (capacity * limit_pm // 1000 + slack_rps) * WHOLE_BP:
                load = bp * demand // WHOLE_BP
                yield Violation(law=7, text=f"{service.id}: {load} rps to {pool.site}, which carries {capacity}")


def law_8_seen(p: Passage) -> Iterator[Violation]:
    """A drain is called complete only when fresh measured traffic says so, where traffic is measured."""
    for service, site in _newly_drained(p):
        if service.id not in p.setup.metered:
            continue
        seen = settled_bp(p.after, service, p.now_ms)
        limit = p.setup.policy.of(service.id).residual_done_bp
        if seen is not None and seen.get(site, 0) > limit:
            yield Violation(law=8, text=f"{service.id}: {site} called drained with {seen[site]} bp still seen")


def law_9_old_ttl(p: Passage) -> Iterator[Violation]:
    """A drain is not complete before the TTL of the answers given earlier has run out; a move does not forget that TTL."""
    for service, old, new in p.changes():
        if any(bp > new.shares_bp.get(site, 0) for site, bp in old.shares_bp.items()):
            short_ms = p.now_ms + old.ttl_s * 1000 - p.after.motion(service.id).tail_until_ms
            if short_ms > 0:
                yield Violation(law=9, text=f"{service.id}: the answers given so far live {short_ms} ms longer than is known")
    for service, site in _newly_drained(p):
        moved_now = p.before.steering.of(service.id) != p.after.steering.of(service.id)
        tail_ms = (p.before if moved_now else p.after).motion(service.id).tail_until_ms  # a move made now has its own tail
        if p.now_ms < tail_ms:
            yield Violation(law=9, text=f"{service.id}: {site} called drained {tail_ms - p.now_ms} ms early")


def _newly_drained(p: Passage) -> Iterator[tuple[Service, SiteId]]:
    for service in p.setup.topology.services:
        for site in service.sites:
            now, was = p.after.track(service.id, site), p.before.track(service.id, site)
            if now.life is SiteLife.DRAINED and was.life is not SiteLife.DRAINED:
                yield service, site


def law_10_ambiguous(p: Passage) -> Iterator[Violation]:
    """After an ambiguous write the plane is read before it is written."""
    unsure = {
        enactor
        for enactor, track in p.before.planes.items()
        if track.outcome is EnactOutcome.AMBIGUOUS
        and (track.read_back is None or track.read_back.at_ms < track.ended_ms)
    }
    if isinstance(p.event, EnactFinished) and p.event.result.outcome is EnactOutcome.AMBIGUOUS:
        unsure.add(p.event.result.enactor)
    if isinstance(p.event, ReadBackArrived):
        unsure.discard(p.event.read_back.enactor)
    for command in p.commands:
        if isinstance(command, ReadPlane):
            unsure.discard(command.enactor)
        if isinstance(command, Enact) and command.enactor in unsure:
            yield Violation(law=10, text=f"{command.enactor}: written after an ambiguous write without a reading")


def law_11_generation(p: Passage) -> Iterator[Violation]:
    """Generations only grow; what is sent is the present one, under our term, and answers for every name."""
    old, new = p.before.steering, p.after.steering
    if new.generation < old.generation or (new != old and new.generation == old.generation):
        yield Violation(law=11, text=f"generation {old.generation} was followed by {new.generation}")
    for command in p.commands:
        if not isinstance(command, Enact):
            continue
        if command.steering.generation != new.generation or p.after.term is None:
            yield Violation(law=11, text=f"{command.enactor}: sent generation {command.steering.generation}")
        for entry in command.steering.services:
            if not any(entry.shares_bp.values()) or not entry.members_pm:
                yield Violation(law=11, text=f"{command.enactor}: empty answer set for {entry.service}")


def law_12_hold_still(p: Passage) -> Iterator[Violation]:
    """Without store or term nothing new is decided and nothing is written (the evacuation exception apart)."""
    if p.after.is_store_usable and p.after.term is not None:
        return
    if p.before.steering != p.after.steering:
        yield Violation(law=12, text="steering changed without the store or the term")
    for command in p.commands:
        if isinstance(command, Enact | ActivateStandby):
            yield Violation(law=12, text=f"{type(command).__name__} without the store or the term")


def law_13_approval(p: Passage) -> Iterator[Violation]:
    """An approval counts only for the digest it was given for."""
    if not isinstance(p.event, Asked) or p.event.asking.digest is None:
        return
    made = [o for o in p.after.overrides if o not in p.before.overrides]
    for override in made:
        if override.plan_digest not in (None, p.event.asking.digest):
            yield Violation(law=13, text=f"override {override.id} was granted for another plan than the one approved")


def law_14_only_ours(p: Passage) -> Iterator[Violation]:
    """Drift is reported, not crushed: a reading of the present generation with hand-made changes triggers no write."""
    if not isinstance(p.event, ReadBackArrived) or not p.event.read_back.drifts:
        return
    reading = p.event.read_back
    if reading.generation != p.after.steering.generation or p.before.steering != p.after.steering:
        return
    if p.before.plane(reading.enactor).confirmed_generation != reading.generation:
        return
    if any(isinstance(c, Enact) and c.enactor == reading.enactor for c in p.commands):
        yield Violation(law=14, text=f"{reading.enactor}: a change made by hand was overwritten")


def law_15_whole_configuration(p: Passage) -> Iterator[Violation]:
    """A reload is one event: afterwards the steering speaks of exactly the services of the setup."""
    if p.after.steering.generation == 0 or p.after.steering == p.before.steering:
        return
    wanted = {service.id for service in p.setup.topology.services}
    found = {entry.service for entry in p.after.steering.services}
    if wanted != found:
        yield Violation(law=15, text=f"steering speaks of {sorted(found)}, the setup of {sorted(wanted)}")
    if isinstance(p.event, Reloaded) and p.after.setup_digest != p.event.digest:
        yield Violation(law=15, text="the state does not name the configuration it runs under")


def law_16_on_record(p: Passage) -> Iterator[Violation]:
    """Every steering is recorded and remembered before it is written; switched off, nothing moves by itself."""
    if p.before.steering == p.after.steering:
        return
    kinds = [command.kind for command in p.commands if isinstance(command, Record)]
    if "decision" not in kinds:
        yield Violation(law=16, text=f"generation {p.after.steering.generation} has no journal entry")
    if not p.commands or not isinstance(p.commands[0], Remember):
        yield Violation(law=16, text=f"generation {p.after.steering.generation} is written before it is remembered")
    if not p.after.is_switched_off:
        return
    for service, old, new in p.changes():
        if dict(old.shares_bp) != dict(new.shares_bp) and not p.is_forced(service):
            yield Violation(law=16, text=f"{service.id}: moved by itself while switched off")


def law_17_no_part_only_there(p: Passage) -> Iterator[Violation]:
    """A site is not left with the only data plane, standby driver or notifier that could leave it standing in it.

    Judged on the setup when it is taken: what would be lost together with a site must exist elsewhere too. A single
    node has no elsewhere; what that means for each site `siteshift fate` tells.
    """
    if not isinstance(p.event, Reloaded) or len({site for _, site in p.setup.topology.vantages}) < 2:
        return
    for fault in lonely_parts(p.setup):
        yield Violation(law=17, text=fault)


def lonely_parts(setup: Setup) -> tuple[str, ...]:
    """What stands in one site only although leaving that site needs it. The basis of `siteshift fate`."""
    found: list[str] = []
    for service in setup.topology.services:
        places = {plane.site for plane in setup.planes_of(service.id)}
        if len(service.sites) > 1 and len(places) == 1 and None not in places:
            found.append(f"{service.id}: every data plane that steers it stands in {next(iter(places))}")
    for kind in (PartKind.STANDBY_DRIVER, PartKind.NOTIFIER):
        parts = [part for part in setup.parts if part.kind is kind]
        sites = {part.site for part in parts}
        if parts and len(sites) == 1 and None not in sites:
            found.append(f"every {kind.value.replace('_', ' ')} stands in {next(iter(sites))}")
    return tuple(found)


CHECKERS: dict[int, Checker] = {
    1: law_1_last_site,
    2: law_2_widen_first,
    3: law_3_unknown_is_not_down,
    4: law_4_doubt_yourself,
    5: law_5_real_and_forced,
    6: law_6_mode,
    7: law_7_capacity,
    8: law_8_seen,
    9: law_9_old_ttl,
    10: law_10_ambiguous,
    11: law_11_generation,
    12: law_12_hold_still,
    13: law_13_approval,
    14: law_14_only_ours,
    15: law_15_whole_configuration,
    16: law_16_on_record,
    17: law_17_no_part_only_there,
}
