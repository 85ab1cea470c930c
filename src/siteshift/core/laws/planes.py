"""Laws 8, 9, 10, 11 and 14: what is written, read back and seen."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.beliefs.traffic import first_heard_by_ms, settled_bp
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.commands import Enact, ReadPlane
from siteshift.core.messages.events import EnactFinished, ReadBackArrived
from siteshift.core.model.codes import EnactOutcome, SiteLife
from siteshift.core.model.topology import Service
from siteshift.core.model.units import SiteId


def law_8_seen(p: Passage) -> Iterator[Violation]:
    """A drain is called complete only when fresh measured traffic says so, where traffic is measured."""
    for service, site in _newly_drained(p):
        if service.id not in p.setup.metered:
            continue
        seen = settled_bp(p.after, service, p.now_ms)
        limit = p.setup.policy.of(service.id).residual_done_bp
        if seen is not None and seen.get(site, 0) > limit:
            yield Violation(law=8, text=f"{service.id}: {site} called drained with {seen[site]} bp still seen")
        if (seen is None or site not in seen) and p.now_ms < first_heard_by_ms(p.after):
            yield Violation(law=8, text=f"{service.id}: {site} called drained before anybody could have measured its traffic")


def law_9_old_ttl(p: Passage) -> Iterator[Violation]:
    """A drain is not complete before the TTL of the answers given earlier has run out; a move does not forget that TTL."""
    by_dns = p.setup.steered_by_dns if p.before.steering is not p.after.steering else frozenset()
    for service, old, new in p.changes():
        if service.id in by_dns and any(bp > new.shares_bp.get(site, 0) for site, bp in old.shares_bp.items()):
            short_ms = p.now_ms + old.ttl_s * 1000 - p.after.transition(service.id).tail_until_ms
            if short_ms > 0:
                yield Violation(law=9, text=f"{service.id}: the answers given so far live {short_ms} ms longer than is known")
    for service, site in _newly_drained(p):
        moved_now = p.before.steering.of(service.id) != p.after.steering.of(service.id)
        tail_ms = (p.before if moved_now else p.after).transition(service.id).tail_until_ms  # a move made now has its own tail
        if p.now_ms < tail_ms:
            yield Violation(law=9, text=f"{service.id}: {site} called drained {tail_ms - p.now_ms} ms early")


def _newly_drained(p: Passage) -> Iterator[tuple[Service, SiteId]]:
    if p.before.tracks is p.after.tracks:
        return
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
        if track.outcome is EnactOutcome.AMBIGUOUS and (track.read_back is None or track.read_back.at_ms < track.ended_ms)
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
    """Generations only grow, and never under an older term; what is sent is the present one, and answers for every name."""
    old, new = p.before.steering, p.after.steering
    if new.term < old.term:
        yield Violation(law=11, text=f"term {old.term} was followed by {new.term}")
    if new != old and new.term != p.after.term:
        yield Violation(law=11, text=f"generation {new.generation} was decided under term {new.term}, we hold {p.after.term}")
    if new.generation < old.generation or (new != old and new.generation == old.generation):
        yield Violation(law=11, text=f"generation {old.generation} was followed by {new.generation}")
    for command in p.commands:
        if not isinstance(command, Enact):
            continue
        sent = (command.steering.term, command.steering.generation)
        if sent != (new.term, new.generation) or p.after.term is None:
            yield Violation(law=11, text=f"{command.enactor}: sent generation {sent[1]} of term {sent[0]}")
        for entry in command.steering.services:
            if not any(entry.shares_bp.values()) or not entry.members_pm:
                yield Violation(law=11, text=f"{command.enactor}: empty answer set for {entry.service}")


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
