"""Laws 12, 13, 15, 16 and 17: what must be remembered, granted and recorded, and what must not stand in one site only."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.laws.conduct import hold_downs_hold, told_once
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.commands import ActivateStandby, Enact, Record, Remember
from siteshift.core.messages.events import Asked, Reloaded
from siteshift.core.messages.requests import ApproveRequest
from siteshift.core.model.approval import RELEASES, Verb
from siteshift.core.model.codes import Standing
from siteshift.core.model.setup import PartKind, Setup
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.state.goals import BINDING, GoalState, GoalTrack


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
    """An approval binds the digest of a goal and its envelope: what needed others has them, and every step stays within.

    What is bound is recognised by its sites alone: one that a goal forces out loses, or one it lets back gains; of forced shares
    every site, whichever way. A site that evidence is against is left by right, what was shed is taken by right, and so is going
    back to the shares before the last move. How far sites are used and what is shed is held against the envelope where a step
    is made, and not judged here.
    """
    yield from _laid_without_digest(p)
    for track in p.after.goals.values():
        if track.state is not GoalState.RUNNING or p.before.goals.get(track.goal.digest) == track:
            continue
        if len(track.approvers()) < track.envelope.approvals_needed:
            yield Violation(law=13, text=f"goal {track.digest} runs with {len(track.approvers())} approvals")
    for service, old, new in p.changes():
        yield from _taken_out_though_suspended(p, service, old, new)
        yield from _ttl_that_nobody_saw(p, service, old, new)
        if dict(old.shares_bp) == dict(new.shares_bp) or _is_undo(p, service, new):
            continue
        for track in p.goals(service):
            if track.state in BINDING and not track.is_proposed and not _is_replaced(p, track):
                yield from _beyond(p, service, track, old, new)


def _ttl_that_nobody_saw(p: Passage, service: Service, old: ServiceSteering, new: ServiceSteering) -> Iterator[Violation]:
    """While a goal binds a service its TTL is one of the two of the policy: they are part of what the digest is of, and a policy
    that has others suspends the goal."""
    policy = p.setup.policy.of(service.id)
    if new.ttl_s == old.ttl_s or new.ttl_s in (policy.ttl_normal_s, policy.ttl_suspect_s):
        return
    for track in p.goals(service):
        if track.state in BINDING and not _is_replaced(p, track):
            yield Violation(law=13, text=f"{service.id}: a TTL of {new.ttl_s} s, which is none of the policy's ({track.digest})")


def _taken_out_though_suspended(
    p: Passage, service: Service, old: ServiceSteering, new: ServiceSteering
) -> Iterator[Violation]:
    for track in p.goals(service):
        if track.state is not GoalState.SUSPENDED or track.goal.verb is not Verb.DEPOOL or _is_replaced(p, track):
            continue
        for member in track.goal.members:
            is_out = member in old.members_pm and member not in new.members_pm
            if is_out and p.member_standing(service, member) is not Standing.DOWN:
                yield Violation(law=13, text=f"{member} was taken out for a goal that is suspended ({track.digest})")


def _laid_without_digest(p: Passage) -> Iterator[Violation]:
    """An override that carries out a digest carries out the one that was given, or one that waited for its approval."""
    before = {(entry.id, entry.plan_digest) for entry in p.before.overrides}
    for override in p.after.overrides:
        if (override.id, override.plan_digest) in before or override.plan_digest is None:
            continue
        track = p.after.goals.get(override.goal or "")
        if track is None or override.plan_digest != track.digest or override.plan_digest not in _given(p):
            yield Violation(law=13, text=f"override {override.id} was granted for another offer than the one confirmed")


def _given(p: Passage) -> set[str | None]:
    """The digests that a person gives with this event: of what they confirm, or of what they approve."""
    if not isinstance(p.event, Asked):
        return set()
    asking = p.event.asking
    return {asking.digest, asking.request.digest if isinstance(asking.request, ApproveRequest) else None}


def _is_replaced(p: Passage, track: GoalTrack) -> bool:
    """Whether a person decided anew, with this event, about what was suspended: then the step is judged as their goal's."""
    after, given = p.after.goals.get(track.goal.digest), _given(p)
    is_over = track.state is GoalState.SUSPENDED and after is not None and after.state is GoalState.ENDED
    return is_over and any(t.state is GoalState.RUNNING and t.digest in given for t in p.after.goals.values())


def _is_undo(p: Passage, service: Service, new: ServiceSteering) -> bool:
    before = p.before.transition(service.id).undo_bp
    return before is not None and dict(before) == dict(new.shares_bp)


def _beyond(
    p: Passage, service: Service, track: GoalTrack, old: ServiceSteering, new: ServiceSteering
) -> Iterator[Violation]:
    for site in track.goal.sites:
        before_bp, after_bp = old.shares_bp.get(site, 0), new.shares_bp.get(site, 0)
        is_bad = p.standing(service, site) in (Standing.DOWN, Standing.DEGRADED) or p.is_overloaded(service, site)
        gains = after_bp > before_bp
        is_forced_gain = gains and track.goal.verb is Verb.SHARES and new.shed_bp >= old.shed_bp
        is_its_move = gains if track.goal.verb in RELEASES else after_bp < before_bp or is_forced_gain
        if not is_its_move or is_bad or (gains and _is_refuge(p, service, old, new)):
            continue
        if track.state is GoalState.SUSPENDED:
            yield Violation(law=13, text=f"{service.id}: {site} moved for a goal that is suspended ({track.digest})")
            return
        bounds = track.envelope.at(service.id, site)
        if bounds is None or not bounds.share_min_bp <= after_bp <= bounds.share_max_bp:
            yield Violation(law=13, text=f"{service.id}: {after_bp} bp to {site}, outside of what was approved ({track.digest})")


def _is_refuge(p: Passage, service: Service, old: ServiceSteering, new: ServiceSteering) -> bool:
    """Whether somebody that evidence is against is left in the same step: who gains then is where they went."""
    losing = [site for site, bp in old.shares_bp.items() if new.shares_bp.get(site, 0) < bp]
    return any(p.standing(service, s) in (Standing.DOWN, Standing.DEGRADED) or p.is_overloaded(service, s) for s in losing)


def law_15_whole_configuration(p: Passage) -> Iterator[Violation]:
    """A reload is one event: the state names what it runs under, and what is decided speaks of exactly its services."""
    if isinstance(p.event, Reloaded) and p.after.setup_digest != p.event.digest:
        yield Violation(law=15, text="the state does not name the configuration it runs under")
    if p.after.steering == p.before.steering:
        return
    wanted = {service.id for service in p.setup.topology.services}
    found = {entry.service for entry in p.after.steering.services}
    if wanted != found:
        yield Violation(law=15, text=f"steering speaks of {sorted(found)}, the setup of {sorted(wanted)}")


def law_16_on_record(p: Passage) -> Iterator[Violation]:
    """Every steering is recorded and remembered before it is written; switched off, nothing moves by itself.

    Nobody returns before its hold-down, and what stands in the way of a move is told and journalled once.
    """
    yield from hold_downs_hold(p)
    yield from told_once(p)
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
    for fault in single_site_dependencies(p.setup):
        yield Violation(law=17, text=fault)


def single_site_dependencies(setup: Setup) -> tuple[str, ...]:
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
