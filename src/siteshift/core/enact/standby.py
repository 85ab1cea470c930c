"""Standby members on their way: cold, starting, ready, proven; and back.

A standby counts as capacity only when it is *proven*: its driver says ready, our own probes pass, and it has carried
a little real traffic for a while (law 2; outage `bad-refuge`).
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.decide.situation import Situation
from siteshift.core.messages.commands import ActivateStandby, AskStandby, ReprobeStandby, RetireStandby
from siteshift.core.messages.events import StandbyReported
from siteshift.core.model.codes import NoticeCode, Severity, StandbyPhase, Standing
from siteshift.core.model.topology import Member
from siteshift.core.model.units import MemberId, SiteId, member_target
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import in_service, in_step, living
from siteshift.core.state.tracks import StandbyTrack

ASK_EVERY_MS = 200
LINGER_MS = 60_000
"""A started standby is kept this long after it was last wanted: starting costs more than waiting."""
WATCHED_MS = 10_000
"""How long a standby that says it is ready is probed fast: long enough for any proof, short against the probe budget."""
HEARD_MS = 2_000
"""A driver may say cold this long after it was told to start: it may have answered before it heard. It is then told again,
and not more often than this."""
GRACE_MS = 5_000
"""How long its checks may fail after its driver called it ready: a server listens a little later than it says."""
FAILED_RETRY_MS, MOST_RETRY_MS = 30_000, 600_000
"""When one that failed is tried again; twice as long after each failure, for every try is real traffic and fast probes."""
URGENT_PROOF_MS = 400
"""While demand is shed, two fast probes must do as proof: what tries the standby would be lost anyway."""

_P = StandbyPhase


def absorb_report(draft: Draft, event: StandbyReported) -> bool:
    """What a driver says. A driver cannot make a member proven, and cannot unmake our wish to retire it."""
    track = draft.state.standby(event.member)
    if track.phase is _P.STARTING and event.phase in (_P.READY, _P.PROVEN):
        draft.set_standby(event.member, phase=_P.READY, since_ms=draft.now_ms, proof_since_ms=0, detail=event.detail)
        until_ms = min(track.deadline_ms, draft.now_ms + WATCHED_MS)
        draft.commands.append(ReprobeStandby(targets=(member_target(event.member),), until_ms=until_ms))
        return True
    if event.phase is _P.FAILED and track.phase in (_P.STARTING, _P.READY, _P.PROVEN):
        _fail(draft, event.member, event.detail)
        return True
    if event.phase is _P.COLD and track.phase in (_P.READY, _P.PROVEN):
        _fail(draft, event.member, "its driver says it is cold again")
        return True
    may_start = draft.state.is_store_usable and draft.state.term is not None and not draft.state.is_switched_off
    is_unheard = event.phase is _P.COLD and track.phase is _P.STARTING and draft.now_ms >= track.since_ms + HEARD_MS
    if is_unheard and may_start:
        # Its driver never heard of the start, or gave it up: asked for again at once, within the same deadline.
        draft.set_standby(event.member, since_ms=draft.now_ms, next_ask_ms=draft.now_ms + ASK_EVERY_MS)
        draft.commands.append(ActivateStandby(member=event.member, deadline_ms=track.deadline_ms))
        draft.record("standby", {"member": event.member, "phase": _P.STARTING.value, "again": True})
        return True
    return False


def tend_standbys(draft: Draft, situation: Situation, wanted_rps: Mapping[SiteId, int]) -> frozenset[MemberId]:
    """Note which standbys are wanted, and see those that are under way through: ready, proven, failed, off.

    ``wanted_rps`` per site, beyond the active members. Says which of them are wanted now or were just before; whom to start
    and whom to send home is `plan.next_step`'s.
    """
    wanted: set[MemberId] = set()
    for pool in situation.service.pools:
        missing_rps = wanted_rps.get(pool.site, 0)
        standbys = sorted(
            pool.standbys,
            key=lambda m: draft.state.standby(m.id).phase in (_P.COLD, _P.FAILED),
        )
        for member in standbys:
            track = draft.state.standby(member.id)
            is_wanted = missing_rps > 0 and track.phase is not _P.FAILED and member.id not in situation.forced.depooled
            if is_wanted:
                missing_rps -= member.capacity_rps
                track = draft.set_standby(member.id, wanted_until_ms=draft.now_ms + LINGER_MS)
            if track.wanted_until_ms > draft.now_ms:
                wanted.add(member.id)
            if not is_wanted and member.id in wanted:
                draft.due(track.wanted_until_ms)
            _advance(draft, situation, member, track)
    return frozenset(wanted)


def _advance(draft: Draft, situation: Situation, member: Member, track: StandbyTrack) -> None:
    match track.phase:
        case _P.STARTING:
            _await_ready(draft, member, track)
        case _P.READY:
            _prove(draft, situation, member, track)
        case _P.RETIRING:
            _retire(draft, situation, member, track)
        case _P.FAILED if draft.due(track.since_ms + retry_ms(track)):
            draft.set_standby(member.id, phase=_P.COLD, since_ms=draft.now_ms, wanted_until_ms=0)
        case _:
            pass


def retry_ms(track: StandbyTrack) -> int:
    """How long a failed standby is left alone."""
    return min(MOST_RETRY_MS, FAILED_RETRY_MS << min(10, max(0, track.failures - 1)))


def start(draft: Draft, situation: Situation, member: MemberId) -> None:
    """Ask a standby's driver to start it."""
    deadline_ms = draft.now_ms + situation.policy.standby_deadline_ms
    draft.set_standby(
        member,
        phase=_P.STARTING,
        since_ms=draft.now_ms,
        deadline_ms=deadline_ms,
        next_ask_ms=draft.now_ms + ASK_EVERY_MS,
        detail="",
    )
    draft.remembers = True
    draft.record("standby", {"member": member, "phase": _P.STARTING.value, "deadline_ms": deadline_ms})
    draft.commands.append(ActivateStandby(member=member, deadline_ms=deadline_ms))
    draft.due(draft.now_ms + ASK_EVERY_MS)


def retire(draft: Draft, member: MemberId) -> None:
    """Begin to send a standby home: out of the weights first."""
    draft.set_standby(member, phase=_P.RETIRING, since_ms=draft.now_ms)
    draft.record("standby", {"member": member, "phase": _P.RETIRING.value})
    draft.remembers = True


def _await_ready(draft: Draft, member: Member, track: StandbyTrack) -> None:
    if draft.due(track.deadline_ms):
        _fail(draft, member.id, "not ready before its deadline")
    elif draft.due(track.next_ask_ms):
        draft.set_standby(member.id, next_ask_ms=draft.now_ms + ASK_EVERY_MS)
        draft.commands.append(AskStandby(member=member.id))
        draft.due(draft.now_ms + ASK_EVERY_MS)


def _prove(draft: Draft, situation: Situation, member: Member, track: StandbyTrack) -> None:
    """Ready by its driver; proven when our probes pass and it carried proof traffic for ``proof_ms``.

    Without evidence of its site nothing is found: a node that was paused past the deadline has not seen it fail.
    """
    standing = situation.standing_of(member)
    if not situation.is_known(member.site):
        return
    if draft.due(track.deadline_ms):
        _fail(draft, member.id, "did not prove itself before its deadline")
        return
    if standing is Standing.DOWN and draft.due(track.since_ms + GRACE_MS):
        _fail(draft, member.id, "its driver says ready, and its checks fail")
        return
    if standing is not Standing.UP:
        if track.proof_since_ms and standing in (Standing.DOWN, Standing.SUSPECT):
            draft.set_standby(member.id, proof_since_ms=0)
        return
    planes = living(draft.state, draft.setup.planes_of(situation.service.id))
    if not track.proof_since_ms and not (member.id in situation.current.members_pm and in_step(draft.state, planes)):
        return  # it begins when every plane has given it its part; what else is written meanwhile takes nothing from it
    proof_ms = situation.policy.proof_ms
    if situation.current.shed_bp > 0:
        proof_ms = min(proof_ms, URGENT_PROOF_MS)
    if not track.proof_since_ms:
        draft.set_standby(member.id, proof_since_ms=draft.now_ms)
        draft.due(draft.now_ms + proof_ms)
    elif draft.due(track.proof_since_ms + proof_ms):
        draft.set_standby(member.id, phase=_P.PROVEN, since_ms=draft.now_ms, failures=0)
        draft.record("standby", {"member": member.id, "phase": _P.PROVEN.value})
        draft.remembers = True


def _retire(draft: Draft, situation: Situation, member: Member, track: StandbyTrack) -> None:
    """Out of the weights first; then, when every plane says so and caches ran out, off (law 2)."""
    is_out = member.id not in situation.current.members_pm
    if is_out and in_step(draft.state, in_service(draft.state, draft.setup.planes_of(situation.service.id))):
        draft.set_standby(member.id, phase=_P.COLD, since_ms=draft.now_ms, wanted_until_ms=0)
        draft.commands.append(RetireStandby(member=member.id))
        draft.record("standby", {"member": member.id, "phase": _P.COLD.value, "was": track.phase.value})
        draft.remembers = True


def _fail(draft: Draft, member: MemberId, why: str) -> None:
    failures = draft.state.standby(member).failures + 1
    draft.set_standby(member, phase=_P.FAILED, since_ms=draft.now_ms, detail=why, wanted_until_ms=0, failures=failures)
    draft.record("standby", {"member": member, "phase": _P.FAILED.value, "why": why})
    draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.STANDBY_FAILED, f"{member}: {why}", member=member)
    draft.remembers = True
