"""Holding every real step against the envelope that was approved (law 13).

A step belongs to a goal when it moves what the goal is about: a drained site loses, forced shares change, a released site
gains. Protective moves (away from what is dead, sick or overloaded) belong to none and are covered by none. While a goal is
suspended nothing of it moves and nothing is reversed: its part is taken out of whatever else has to be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from siteshift.core.beliefs.life import LEAVING, Signal
from siteshift.core.decide.occasion import cause_of, is_worth_it
from siteshift.core.decide.proposal import Permit
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target
from siteshift.core.decide.used import utilisation_of
from siteshift.core.model.approval import RELEASES, Envelope, Left, Verb
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity, SiteLife
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, GoalTrack
from siteshift.core.state.plane_queries import in_step, living

PROTECTIVE = frozenset({Cause.DEAD, Cause.DEGRADED, Cause.RELIEF, Cause.STANDBY})
_UNDOING = frozenset({Cause.REBALANCE, Cause.FAILBACK, Cause.RELEASE})
"""Moves that would take back what a suspended goal has done so far, or divide it anew."""


def left_by(envelope: Envelope, situation: Situation, after: ServiceSteering) -> Left | None:
    """The first bound this steering leaves by the capacity and demand of now; None when it is inside.

    A site that loses by it may be as full as it likes: standing still would leave it with more.
    """
    service, used_pm = situation.service.id, utilisation_of(situation, after)
    before_bp = situation.current.shares_bp
    for site, share_bp in after.shares_bp.items():
        bounds = envelope.at(service, site)
        if bounds is None:
            return Left(field=f"{service} at {site}", approved="nothing", now=_percent(share_bp))
        if not bounds.share_min_bp <= share_bp <= bounds.share_max_bp:
            approved = f"{_percent(bounds.share_min_bp)} to {_percent(bounds.share_max_bp)}"
            return Left(field=f"share of {service} at {site}", approved=approved, now=_percent(share_bp))
        if used_pm[site] > bounds.utilisation_max_pm and share_bp >= before_bp.get(site, 0):
            approved = f"at most {bounds.utilisation_max_pm / 10:g} % of capacity"
            return Left(field=f"load of {service} at {site}", approved=approved, now=_used(used_pm[site]))
    most_bp = envelope.shed_max_bp.get(service, 0)
    if after.shed_bp > most_bp:
        return Left(field=f"shed of {service}", approved=f"at most {_percent(most_bp)}", now=_percent(after.shed_bp))
    return None


def _percent(share_bp: int) -> str:
    return f"{share_bp / 100:g} %"


def _used(used_pm: int) -> str:
    return "no capacity" if used_pm >= 100_000 else f"{used_pm / 10:g} %"


def is_within(fresh: Envelope, shown: Envelope) -> bool:
    """Whether everything a fresh envelope allows, the one that was shown allows too."""
    return (
        all(
            (outer := shown.at(inner.service, inner.site)) is not None
            and outer.share_min_bp <= inner.share_min_bp
            and inner.share_max_bp <= outer.share_max_bp
            and inner.utilisation_max_pm <= outer.utilisation_max_pm
            for inner in fresh.bounds
        )
        and all(shown.shed_max_bp.get(service, 0) >= bp for service, bp in fresh.shed_max_bp.items())
        and fresh.members.items() <= shown.members.items()
        and set(fresh.planes) <= set(shown.planes)
        and all(
            any(
                outer.takes(inner.code, inner.numbers) and outer.approvals_needed >= inner.approvals_needed
                for outer in shown.accepted
            )
            for inner in fresh.accepted
        )
    )


def permits_of(situation: Situation, after: ServiceSteering, cause: Cause) -> tuple[Permit, ...]:
    """The envelopes in force that cover this step: of the goals it belongs to, and of what was approved as proposed."""
    return tuple(
        Permit(
            envelope=track.envelope,
            confirmed_by="" if track.is_proposed else track.goal.owner,
            approved_by=track.approvers(),
        )
        for track in situation.goals
        if track.state is GoalState.RUNNING
        and (track.is_proposed or (cause not in PROTECTIVE and _belongs(track, situation, after)))
        and left_by(track.envelope, situation, after) is None
    )


def is_as_proposed(situation: Situation) -> bool:
    """Whether a person approved what siteshift proposes for this service: then it does the harmless part by itself too."""
    return any(track.is_proposed and track.state is GoalState.RUNNING for track in situation.goals)


def _belongs(track: GoalTrack, situation: Situation, after: ServiceSteering) -> bool:
    """Whether a step moves what the goal is about."""
    before = situation.current.shares_bp
    change = {site: bp - before.get(site, 0) for site, bp in after.shares_bp.items()}
    sites = sites_about(track, situation.service)
    match track.goal.verb:
        case Verb.SHARES:
            return any(change.values()) or after.shed_bp != situation.current.shed_bp
        case Verb.UNDRAIN | Verb.LIFT | Verb.POOL:
            return any(change.get(site, 0) > 0 for site in sites)
        case Verb.DEPOOL:
            return any(change.get(site, 0) < 0 and situation.is_short_of_taken_out(site) for site in sites)
        case _:
            return any(change.get(site, 0) < 0 for site in sites)


def sites_about(track: GoalTrack, service: Service) -> tuple[SiteId, ...]:
    """The sites a goal is about; of members, where they stand."""
    named = track.goal.members
    return track.goal.sites or tuple(p.site for p in service.pools if any(m.id in named for m in p.members))


def held_members(situation: Situation, after: ServiceSteering) -> Mapping[MemberId, Finding]:
    """The members that goals would take out or let in with this steering, and that must stay as they are: by the capacity and
    demand of now the step would leave the goal's envelope."""
    found: dict[MemberId, Finding] = {}
    before_pm = situation.current.members_pm
    for track in situation.goals:
        if track.state is not GoalState.RUNNING or not track.binds(situation.service.id):
            continue
        changing = [m for m in track.goal.members if (m in before_pm) != (m in after.members_pm)]
        if changing and (left := left_by(track.envelope, situation, after)) is not None:
            found.update(dict.fromkeys(changing, left_finding(replace(track, left=left))))
    return found


def _touches(track: GoalTrack, situation: Situation, after: ServiceSteering) -> bool:
    """Whether a step changes the share of a site the goal is about. What the others do among themselves undoes nothing of it."""
    before_bp = situation.current.shares_bp
    sites = sites_about(track, situation.service)
    return any(after.shares_bp.get(site, 0) != before_bp.get(site, 0) for site in sites)


def held_to_envelope(situation: Situation, after: ServiceSteering, cause: Cause) -> Finding | None:
    """What keeps a step from being made though the gate lets it through: it would leave an envelope, or undo a suspended goal."""
    if cause in PROTECTIVE:
        return None
    for track in situation.goals:
        if not track.binds(situation.service.id):
            continue
        if track.state is GoalState.SUSPENDED:
            if _belongs(track, situation, after) or (cause in _UNDOING and _touches(track, situation, after)):
                return left_finding(track)
        elif _belongs(track, situation, after) and (left := left_by(track.envelope, situation, after)) is not None:
            return left_finding(replace(track, left=left))
    return None


def suspend(draft: Draft, track: GoalTrack, left: Left) -> None:
    """From now on nothing of this goal moves, and nothing is reversed."""
    suspended = replace(track, state=GoalState.SUSPENDED, since_ms=draft.now_ms, left=left, fresh=None, is_fresh_confirmed=False)
    draft.set_goal(suspended)
    data = {"goal": track.goal.digest, "digest": track.digest, "field": left.field, "approved": left.approved, "now": left.now}
    draft.record("envelope_left", data)


def note_progress(
    draft: Draft, situation: Situation, wanted: Target, after: ServiceSteering, findings: tuple[Finding, ...]
) -> None:
    """Note what a step means for the goals of its service: begun, arrived once nothing is left to do, or suspended because the
    next step would leave its envelope."""
    if not situation.goals:
        return
    is_read_back = in_step(draft.state, living(draft.state, draft.setup.planes_of(situation.service.id)))
    for track in situation.goals:
        track = draft.state.goals[track.goal.digest]
        if track.state not in (GoalState.RUNNING, GoalState.REACHED):
            continue
        if (left := _left_in(track, findings)) is not None:
            suspend(draft, track, left)
            continue
        is_there = _is_there(track, situation, wanted, after)
        if not track.is_started and (is_there or _is_begun_by(track, situation, after)):
            track = replace(track, is_started=True, approvals=track.in_use())
            draft.set_goal(track)
        if track.state is GoalState.RUNNING and is_read_back and is_there:
            _arrived(draft, track, situation)


def _left_in(track: GoalTrack, findings: tuple[Finding, ...]) -> Left | None:
    """The bound that kept a step of this goal from being made."""
    for entry in findings:
        if entry.code is FindingCode.ENVELOPE_LEFT and entry.numbers["goal"] == track.digest:
            said = entry.numbers
            return Left(field=str(said["field"]), approved=str(said["approved"]), now=str(said["now"]))
    return None


def _is_begun_by(track: GoalTrack, situation: Situation, after: ServiceSteering) -> bool:
    """By its first step; and at once where nothing is left to take: there it holds what evidence alone took before."""
    if track.goal.verb is Verb.DEPOOL:
        return any(m not in after.members_pm for m in track.goal.members)
    if track.goal.verb is Verb.DRAIN and any(after.shares_bp.get(site) == 0 for site in track.goal.sites):
        return True
    return after.shares_bp != situation.current.shares_bp and (track.is_proposed or _belongs(track, situation, after))


def _is_there(track: GoalTrack, situation: Situation, wanted: Target, after: ServiceSteering) -> bool:
    lives = {site: situation.tracks[site].life for site in track.goal.sites if site in situation.tracks}
    if SiteLife.RETURNING in lives.values() or (track.is_proposed and SiteLife.DRAINING in lives.values()):
        return False
    if track.goal.verb is Verb.DEPOOL and any(m in after.members_pm for m in track.goal.members):
        return False
    is_left = any(after.shares_bp.get(site, 0) for site in track.goal.sites)
    if track.goal.verb is Verb.DRAIN and is_left and situation.is_global_fault:
        return False  # it stands still, and not for want of room
    if dict(after.shares_bp) != dict(situation.current.shares_bp):
        return False
    if situation.is_blind:
        return dict(wanted.shares_bp) == dict(after.shares_bp) and wanted.shed_bp == after.shed_bp
    return not is_worth_it(situation, wanted, cause_of(situation, wanted))


def _arrived(draft: Draft, track: GoalTrack, situation: Situation) -> None:
    there = track.at_target | {situation.service.id}
    if not there >= set(track.goal.services):
        draft.set_goal(replace(track, at_target=there))
        return
    lasts = track.override is not None
    draft.set_goal(
        replace(
            track,
            state=GoalState.REACHED if lasts else GoalState.ENDED,
            since_ms=draft.now_ms,
            at_target=there,
            approvals=track.used(),
            ended_because="" if lasts else "reached",
        )
    )
    draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "reached"})


def left_finding(track: GoalTrack) -> Finding:
    """What a person reads about a goal whose envelope would be left."""
    left = track.left or Left(field="envelope", approved="", now="left")
    text = f"{track.goal.verb.value} of {track.goal.owner} is suspended: {left.text}"
    if (fresh := track.fresh_digest) is not None:
        text += f"; the envelope of now is {fresh}"
    numbers = {"field": left.field, "approved": left.approved, "now": left.now, "goal": track.digest, "fresh": fresh or ""}
    return finding(FindingCode.ENVELOPE_LEFT, Severity.NEEDS_APPROVAL, text, **numbers)


def with_suspended(situation: Situation, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings of a step, and one for every goal of the service that is suspended, whether it wants a step now or not."""
    if any(entry.code is FindingCode.ENVELOPE_LEFT for entry in findings):
        return findings
    suspended = (t for t in situation.goals if t.state is GoalState.SUSPENDED and not t.is_proposed)
    return (*findings, *(left_finding(track) for track in suspended))


def without_goals(situation: Situation, target: Target) -> Target:
    """The target without the part of goals that must not be carried out by the way.

    That is every site which would lose although nothing is wrong with it, while a goal is suspended; and while one is
    running, the sites it is about, when something else has to be left. What the others gain is cut to what really moves.
    """
    current_bp = situation.current.shares_bp
    losing = {site for site, bp in current_bp.items() if target.shares_bp.get(site, 0) < bp}
    kept = {site for site in _kept(situation, losing) if not is_protective(situation, site)}
    if not kept:
        return target
    return _cut(situation, target, kept)


def is_protective(situation: Situation, site: SiteId) -> bool:
    """Whether evidence alone is reason to take something off a site."""
    evidence = situation.evidence.get(site, Signal.WELL)
    return evidence in LEAVING or evidence is Signal.OVERLOADED


def _kept(situation: Situation, losing: set[SiteId]) -> Iterator[SiteId]:
    is_protected = any(is_protective(situation, site) for site in losing)
    for track in situation.goals:
        if not track.binds(situation.service.id):
            continue
        if track.state is GoalState.SUSPENDED and (track.goal.verb is Verb.SHARES or track.goal.verb in RELEASES):
            yield from losing
        elif track.state is GoalState.SUSPENDED or is_protected:
            yield from (site for site in track.goal.sites if site in losing)


def _cut(situation: Situation, target: Target, kept: set[SiteId]) -> Target:
    current_bp, was_shed = situation.current.shares_bp, situation.current.shed_bp
    shares = {site: current_bp.get(site, 0) if site in kept else bp for site, bp in target.shares_bp.items()}
    change = {site: bp - current_bp.get(site, 0) for site, bp in shares.items()}
    lost_bp = -sum(bp for bp in change.values() if bp < 0)
    gains = {site: bp for site, bp in change.items() if bp > 0}
    wanted_bp = min(sum(gains.values()), lost_bp + max(0, was_shed - target.shed_bp))
    shares.update({site: current_bp.get(site, 0) + bp for site, bp in _parts(gains, wanted_bp).items()})
    shed_bp = was_shed + lost_bp - wanted_bp
    shed_at = (target.shed_at or situation.current.shed_at) if shed_bp else None
    return replace(target, shares_bp=shares, shed_bp=shed_bp, shed_at=shed_at)


def _parts(gains: Mapping[SiteId, int], amount_bp: int) -> dict[SiteId, int]:
    """An amount divided in proportion; rounding never gives anybody more than its gain."""
    total, running, done, found = sum(gains.values()) or 1, 0, 0, {}
    for site, gain in gains.items():
        running += gain * amount_bp
        found[site] = running // total - done
        done += found[site]
    return found
