"""The data planes: what was sent, what was confirmed, what is unknown, and what to do about it.

Rules: one write at a time per plane; after an ambiguous write read before writing again (law 10); a plane that forgot
its generation or is behind is written again, ever less often while it takes every write and shows none; a change made by
hand is reported and left alone until the next generation (law 14); a plane that is *ahead* of us makes us number past it,
when we hold the term (law 11). One that a person took out of service is read and written like any other, for when it comes back
it must not send users where nobody is; but nothing waits for it, and nobody is told that it is silent.
"""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.messages.commands import Enact, ReadPlane
from siteshift.core.model.codes import EnactOutcome, FindingCode, Mode, NoticeCode, Severity
from siteshift.core.model.mark import MarkClaim, PlaneMark, claim_of
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.units import EnactorId, ServiceId
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import taken_out_by
from siteshift.core.state.tracks import PlaneStanding, PlaneTrack

RETRY_MS = 500
RETRY_MAX_MS = 10_000
REFUSED_RETRY_MS = 30_000
WRITE_LOST_MS = 15_000
"""A write whose end was never told counts as ambiguous after this; the runtime's own deadline is shorter."""

_STANDING = {
    EnactOutcome.APPLIED: PlaneStanding.IN_STEP,
    EnactOutcome.STALE: PlaneStanding.UNSURE,
    EnactOutcome.REFUSED: PlaneStanding.REFUSING,
    EnactOutcome.FAILED: PlaneStanding.BEHIND,
    EnactOutcome.AMBIGUOUS: PlaneStanding.UNSURE,
}


def absorb_result(draft: Draft, result: EnactResult) -> bool:
    """A write ended. Failures wait longer each time; ambiguity and staleness ask for a reading at once.

    A plane that is unsure stays so until it was read, whatever a late result says (law 10).
    """
    track = draft.state.plane(result.enactor)
    attempts = 0 if result.outcome is EnactOutcome.APPLIED else track.attempts + 1
    wait_ms = min(RETRY_MS << min(attempts, 8), RETRY_MAX_MS)
    if result.outcome is EnactOutcome.REFUSED:
        wait_ms = REFUSED_RETRY_MS
    is_applied = result.outcome is EnactOutcome.APPLIED
    confirmed = result.generation if is_applied else track.confirmed_generation
    if result.found_mark is not None and _is_foreign(draft, result.found_mark):
        _find_foreign(draft, result.enactor, result.found_mark)
        draft.set_plane(result.enactor, outcome=result.outcome, detail=result.detail, ended_ms=draft.now_ms)
        return True
    read_at_ms = draft.now_ms if result.outcome is not EnactOutcome.FAILED else draft.now_ms + wait_ms
    draft.set_plane(
        result.enactor,
        standing=PlaneStanding.UNSURE if track.standing is PlaneStanding.UNSURE else _STANDING[result.outcome],
        confirmed_generation=confirmed,
        outcome=result.outcome,
        attempts=attempts,
        next_try_ms=draft.now_ms + wait_ms if attempts else draft.now_ms,
        next_read_ms=min(track.next_read_ms, read_at_ms),
        detail=result.detail,
        found_generation=result.found_generation,
        ended_ms=draft.now_ms,
        foreign=None if is_applied else track.foreign,
        taken_over=None if is_applied else track.taken_over,
    )
    is_news = track.outcome is not result.outcome or attempts <= 1
    if not is_applied and is_news and taken_out_by(draft.state, result.enactor) is None:
        code, text = NoticeCode[f"PLANE_{result.outcome.name}"], f"{result.enactor}: {result.detail}"
        draft.tell(Severity.NEEDS_APPROVAL, code, text, plane=result.enactor)
    return True


def absorb_reading(draft: Draft, reading: ReadBack) -> bool:
    """A plane was read: what is there is a fact, whatever we thought.

    One made before an ambiguous write ended does not tell whether that write was done: it is read again (law 10).
    """
    track = draft.state.plane(reading.enactor)
    before = track.read_back
    if reading.mark is not None and _is_foreign(draft, reading.mark):
        _find_foreign(draft, reading.enactor, reading.mark)
        next_read_ms = draft.now_ms + draft.setup.policy.read_back_every_ms
        draft.set_plane(
            reading.enactor, reading_since_ms=None, unread_since_ms=None, next_read_ms=next_read_ms, read_back=reading
        )
        draft.due(next_read_ms)
        return track.foreign != reading.mark or before is None or before.shares_bp != reading.shares_bp
    wanted = draft.state.steering.generation
    found = reading.generation
    if found == wanted and reading.mark is not None and reading.mark.term not in (None, draft.state.steering.term):
        found = None  # another leader's steering has the same number: ours is not there
    is_early = track.outcome is EnactOutcome.AMBIGUOUS and reading.at_ms < track.ended_ms
    standing = PlaneStanding.UNSURE if is_early else _standing_of(track, found, wanted)
    next_read_ms = draft.now_ms + (0 if is_early else draft.setup.policy.read_back_every_ms)
    unconfirmed = _unconfirmed(track, standing)
    if unconfirmed == 2 and track.unconfirmed == 1:
        text = f"{reading.enactor}: it takes generation {wanted} and does not show it; written again, ever less often"
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.PLANE_FORGETS, text, plane=reading.enactor)
    draft.set_plane(
        reading.enactor,
        standing=standing,
        confirmed_generation=found,
        reading_since_ms=None,
        unread_since_ms=None,
        next_read_ms=next_read_ms,
        next_try_ms=_next_try_ms(draft, track, unconfirmed),
        read_back=reading,
        foreign=None,
        taken_over=track.taken_over if track.foreign is not None else None,
        unconfirmed=unconfirmed,
        detail=track.detail if track.unread_since_ms is None else "",
    )
    draft.due(max(next_read_ms, draft.now_ms + 1))
    if reading.drifts and (before is None or before.drifts != reading.drifts):
        for drift in reading.drifts:
            draft.tell(
                Severity.NEEDS_APPROVAL,
                NoticeCode.DRIFT,
                f"{drift.enactor}: {drift.what} is {drift.found}, we wrote {drift.wanted}; left as it is",
                plane=reading.enactor,
                about=drift.what,
            )
    known = before.obstacles if before is not None else ()
    for obstacle in reading.obstacles:
        if obstacle not in known:
            text = f"{reading.enactor}: {obstacle}"
            draft.tell(Severity.NEEDS_APPROVAL, FindingCode.PLANE_OBSTACLE, text, plane=reading.enactor, about=obstacle.what)
    return (
        before is None
        or track.unread_since_ms is not None
        or (found, reading.shares_bp, reading.drifts) != (before.generation, before.shares_bp, before.drifts)
        or reading.obstacles != known
        or standing is not track.standing
    )


def _is_foreign(draft: Draft, mark: PlaneMark) -> bool:
    """Whether a mark is of another controller: another cluster, or another node that decides in the same term."""
    origin, steering = draft.setup.origin, draft.state.steering
    if origin is None or mark.origin is None or mark.origin == origin:
        return False
    own = PlaneMark(generation=steering.generation, term=steering.term, origin=origin)
    return claim_of(mark, own) is MarkClaim.FOREIGN


def _find_foreign(draft: Draft, enactor: EnactorId, mark: PlaneMark) -> None:
    """Somebody else writes there. It is named once, and nothing is written before a person has decided who may."""
    track = draft.state.plane(enactor)
    is_known = track.foreign is not None and track.foreign.origin == mark.origin
    is_ours_to_take = track.taken_over == mark
    standing = PlaneStanding.BEHIND if is_ours_to_take else PlaneStanding.FOREIGN
    if track.standing is not PlaneStanding.WRITING or not is_ours_to_take:
        draft.set_plane(enactor, standing=standing)
    draft.set_plane(
        enactor, foreign=mark, confirmed_generation=None, found_generation=None, taken_over=mark if is_ours_to_take else None
    )
    if not is_known:
        draft.record("plane_foreign", {"enactor": enactor, "mark": mark.text()})
        draft.tell(Severity.REFUSED, FindingCode.PLANE_FOREIGN, foreign_text(enactor, mark), plane=enactor)


def foreign_text(enactor: EnactorId, mark: PlaneMark) -> str:
    """Who holds a plane, and what a person can do about it."""
    return (
        f"{enactor} is written by another controller ({mark.origin}, generation {mark.generation} of term {mark.term}); nothing "
        f"is written there any more. Stop one of the two; to take the plane over on purpose: siteshift ack --plane {enactor}"
    )


def take_over(draft: Draft, enactor: EnactorId) -> bool:
    """A person says that this plane is ours from now on, whoever's mark stands there now; False: nobody else's does."""
    mark = draft.state.plane(enactor).foreign
    if mark is None:
        return False
    draft.set_plane(enactor, standing=PlaneStanding.BEHIND, taken_over=mark, next_try_ms=draft.now_ms, attempts=0)
    return True


def _standing_of(track: PlaneTrack, found: int | None, wanted: int) -> PlaneStanding:
    """Where a plane stands after a reading. A write still under way stays so: its own end will tell."""
    if track.standing is PlaneStanding.WRITING:
        return PlaneStanding.WRITING
    if found == wanted:
        return PlaneStanding.IN_STEP
    if found is not None and found > wanted:
        return PlaneStanding.UNSURE
    return PlaneStanding.REFUSING if track.standing is PlaneStanding.REFUSING else PlaneStanding.BEHIND


def _unconfirmed(track: PlaneTrack, standing: PlaneStanding) -> int:
    """Writes in a row that ended well and were not read back, with this reading."""
    if standing is PlaneStanding.IN_STEP:
        return 0
    is_missing = track.standing is PlaneStanding.IN_STEP and standing is PlaneStanding.BEHIND
    return track.unconfirmed + is_missing


def _next_try_ms(draft: Draft, track: PlaneTrack, unconfirmed: int) -> int:
    """When it is written again: at once after it was restarted, but ever later when it keeps forgetting."""
    if unconfirmed <= max(track.unconfirmed, 1):
        return track.next_try_ms
    return max(track.next_try_ms, draft.now_ms + min(RETRY_MS << min(unconfirmed, 8), RETRY_MAX_MS))


def absorb_failed_reading(draft: Draft, enactor: EnactorId, detail: str) -> bool:
    """A plane could not be read. What is there is unknown from now on; it is asked again, ever less often."""
    track = draft.state.plane(enactor)
    since_ms = draft.now_ms if track.unread_since_ms is None else track.unread_since_ms
    again_ms = min(RETRY_MAX_MS, max(RETRY_MS, draft.now_ms - since_ms))
    draft.set_plane(
        enactor,
        reading_since_ms=None,
        unread_since_ms=since_ms,
        next_read_ms=draft.now_ms + again_ms,
        detail=detail,
    )
    draft.due(draft.now_ms + again_ms)
    if track.unread_since_ms is None:
        if taken_out_by(draft.state, enactor) is None:
            draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.PLANE_UNREADABLE, f"{enactor}: {detail}", plane=enactor)
        return True
    return False


def reconcile_planes(draft: Draft, modes: dict[ServiceId, Mode], *, may_write_ms: int) -> None:
    """Bring every plane into step. Nothing is written before ``may_write_ms`` (fresh evidence, store, term)."""
    for plane in draft.setup.planes:
        _reconcile_plane(draft, plane, modes, may_write_ms)


def _reconcile_plane(draft: Draft, plane: PlaneRef, modes: dict[ServiceId, Mode], may_write_ms: int) -> None:
    track = draft.state.plane(plane.id)
    if track.standing is PlaneStanding.WRITING:
        if draft.due(track.next_try_ms + WRITE_LOST_MS):
            draft.set_plane(plane.id, standing=PlaneStanding.UNSURE, next_read_ms=draft.now_ms)
            track = draft.state.plane(plane.id)
        else:
            return
    must_read = track.standing in (PlaneStanding.UNREAD, PlaneStanding.UNSURE, PlaneStanding.FOREIGN)
    if track.reading_since_ms is not None and not draft.due(track.reading_since_ms + WRITE_LOST_MS):
        if must_read:
            return
    elif (track.standing is PlaneStanding.UNREAD and track.unread_since_ms is None) or draft.due(track.next_read_ms):
        draft.set_plane(plane.id, reading_since_ms=draft.now_ms)
        draft.commands.append(ReadPlane(enactor=plane.id))
        draft.due(draft.now_ms + WRITE_LOST_MS)
        if must_read:
            return
    if must_read or not draft.due(may_write_ms):
        return
    _write_if_behind(draft, plane, modes)


def _write_if_behind(draft: Draft, plane: PlaneRef, modes: dict[ServiceId, Mode]) -> None:
    """Send the present steering where it is not there yet, or where a newer one has come up since the last try."""
    track = draft.state.plane(plane.id)
    steering = draft.state.steering
    if steering.generation == 0 or track.confirmed_generation == steering.generation:
        return
    is_news = track.sent_generation != steering.generation
    if not is_news and not draft.due(track.next_try_ms):
        return
    part = _part_for(steering, plane, modes)
    if not part.services:
        return
    draft.set_plane(
        plane.id,
        standing=PlaneStanding.WRITING,
        sent_generation=steering.generation,
        next_try_ms=draft.now_ms,
    )
    draft.due(draft.now_ms + WRITE_LOST_MS)
    draft.commands.append(Enact(enactor=plane.id, steering=replace(part, taken_over=track.taken_over)))


def _part_for(steering: Steering, plane: PlaneRef, modes: dict[ServiceId, Mode]) -> Steering:
    """The services this plane carries. One we only observe is not touched, unless the plane answers for it itself."""
    mine = tuple(
        entry
        for entry in steering.services
        if entry.service in plane.services
        and (plane.answers_itself or modes.get(entry.service, Mode.AUTO) is not Mode.OBSERVE)
    )
    return replace(steering, services=mine)
