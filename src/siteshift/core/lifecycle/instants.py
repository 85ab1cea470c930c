"""Siteshift time over a restart: never behind the record, and lives that last as long as was promised.

A clock that was set wrong, or set right again, while the node was down must neither end what people forced nor prolong
it, and the journal must not go back. Where the machine was not started anew, its boot clock tells how long the node was
really away; every remembered instant is then moved by the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from siteshift.core.model.approval import Approval, Envelope
from siteshift.core.model.override import Override
from siteshift.core.state.adoption import Adoption
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalTrack
from siteshift.core.state.tracks import DemandTrack, ServiceTransition, SiteTrack, StandbyTrack

TOLERANCE_MS = 2_000
"""Less is the drift of a clock that is kept in time, and not worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockNote:
    """Siteshift time, and the machine's boot clock beside it, when the state was last remembered."""

    at_ms: int
    boot_id: str
    boot_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The machine's clocks now."""

    wall_ms: int
    boot_id: str
    boot_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTime:
    """Siteshift time at the start. ``shift_ms`` is what remembered instants are moved by. ``told``: what people should know."""

    now_ms: int
    shift_ms: int = 0
    told: str = ""


def time_at_start(note: ClockNote | None, last_record_ms: int, reading: ClockReading) -> StartTime:
    """When it is now, for a node whose last entry on record is of ``last_record_ms`` (0: it has none)."""
    now_ms = max(reading.wall_ms, last_record_ms)
    behind_ms = last_record_ms - reading.wall_ms
    told = ""
    if behind_ms > TOLERANCE_MS:
        told = (
            f"the clock is {seconds(behind_ms)} behind the last entry on record: siteshift time goes on from that entry, "
            "ahead of the clock; set the clock right"
        )
    if note is None or note.boot_id != reading.boot_id or reading.boot_ms < note.boot_ms:
        return StartTime(now_ms=now_ms, told=told)
    away_ms = reading.boot_ms - note.boot_ms
    jump_ms = reading.wall_ms - (note.at_ms + away_ms)
    shift_ms = now_ms - (note.at_ms + away_ms)
    if not told and abs(jump_ms) > TOLERANCE_MS:
        told = f"the clock was set {'ahead' if jump_ms > 0 else 'back'} by {seconds(abs(jump_ms))} since the last entry on record"
    if abs(shift_ms) <= TOLERANCE_MS:
        shift_ms = 0
    if told:
        told += "; what people forced, and every wait, ends by the time that really passed"
    return StartTime(now_ms=now_ms, shift_ms=shift_ms, told=told)


def seconds(span_ms: int) -> str:
    """A span for people."""
    return f"{span_ms // 3_600_000} h {span_ms // 60_000 % 60} min" if span_ms >= 3_600_000 else f"{span_ms / 1000:.0f} s"


def shifted(state: ControllerState, by_ms: int) -> ControllerState:
    """The state with every durable instant moved. 0 stands for never, and stays."""
    if by_ms == 0:
        return state

    def moved(at_ms: int) -> int:
        return max(1, at_ms + by_ms) if at_ms else 0

    def site(track: SiteTrack) -> SiteTrack:
        return replace(
            track,
            since_ms=moved(track.since_ms),
            left_at_ms=moved(track.left_at_ms),
            failed_at_ms=moved(track.failed_at_ms),
            hold_until_ms=moved(track.hold_until_ms),
            step_since_ms=moved(track.step_since_ms),
        )

    def standby(track: StandbyTrack) -> StandbyTrack:
        return replace(
            track,
            since_ms=moved(track.since_ms),
            deadline_ms=moved(track.deadline_ms),
            wanted_until_ms=moved(track.wanted_until_ms),
            proof_since_ms=moved(track.proof_since_ms),
            next_ask_ms=moved(track.next_ask_ms),
        )

    def carrying(found: Carrying) -> Carrying:
        return replace(found, until_ms=moved(found.until_ms), failed_at_ms=moved(found.failed_at_ms))

    def transition(found: ServiceTransition) -> ServiceTransition:
        return replace(
            found,
            moved_at_ms=moved(found.moved_at_ms),
            tail_until_ms=moved(found.tail_until_ms),
            old_ttl_until_ms=moved(found.old_ttl_until_ms),
            restless_until_ms=moved(found.restless_until_ms),
            cached_ms=moved(found.cached_ms),
            held_until_ms=moved(found.held_until_ms),
            moves=tuple(replace(move, at_ms=moved(move.at_ms)) for move in found.moves),
            removals_ms=tuple(moved(at_ms) for at_ms in found.removals_ms),
            carrying={name: carrying(entry) for name, entry in found.carrying.items()},
        )

    def demand(track: DemandTrack) -> DemandTrack:
        return replace(
            track,
            peak_at_ms=moved(track.peak_at_ms),
            since_ms=moved(track.since_ms),
            troubled_at_ms=moved(track.troubled_at_ms),
        )

    def override(made: Override) -> Override:
        return replace(
            made,
            created_ms=moved(made.created_ms),
            expires_ms=moved(made.expires_ms),
            end_told_ms=moved(made.end_told_ms),
        )

    def envelope(found: Envelope) -> Envelope:
        return replace(
            found,
            not_before_ms=moved(found.not_before_ms),
            start_by_ms=moved(found.start_by_ms),
            ends_at_ms=moved(found.ends_at_ms),
        )

    def approval(given: Approval) -> Approval:
        return replace(given, at_ms=moved(given.at_ms), expires_ms=moved(given.expires_ms))

    def goal(track: GoalTrack) -> GoalTrack:
        """An end that a person named themselves stays as they named it: the goal's digest binds it."""
        return replace(
            track,
            since_ms=moved(track.since_ms),
            envelope=envelope(track.envelope),
            fresh=envelope(track.fresh) if track.fresh is not None else None,
            approvals=tuple(approval(given) for given in track.approvals),
        )

    def adoption(found: Adoption) -> Adoption:
        return replace(found, since_ms=moved(found.since_ms))

    return state.changed(
        steering=replace(state.steering, decided_at_ms=moved(state.steering.decided_at_ms)),
        tracks={key: site(track) for key, track in state.tracks.items()},
        standbys={key: standby(track) for key, track in state.standbys.items()},
        transitions={key: transition(found) for key, found in state.transitions.items()},
        demand={key: demand(track) for key, track in state.demand.items()},
        overrides=tuple(override(made) for made in state.overrides),
        goals={key: goal(track) for key, track in state.goals.items()},
        adoption=adoption(state.adoption) if state.adoption is not None else None,
        told={key: replace(notice, since_ms=moved(notice.since_ms)) for key, notice in state.told.items()},
    )
