"""The life of a service at a site: one enum, one table.

``held`` and ``blind`` are how a life is *shown* while a rule, a person or missing evidence stands in the way
(`core.explain`); they are never stored, so lifting what stands in the way reveals the real life (law 5).
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from siteshift.core.model.codes import Failback, LeftBecause, SiteLife
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.state.tracks import SiteTrack


class Signal(StrEnum):
    """What the evidence and the people amount to for one service at one site, now."""

    WELL = "well"
    SUSPECTED = "suspected"
    OVERLOADED = "overloaded"
    SICK = "sick"
    DEAD = "dead"
    NO_EVIDENCE = "no_evidence"
    FORCED_OUT = "forced_out"
    UNMOVED = "unmoved"
    GONE = "gone"
    MAY_RETURN = "may_return"
    RAMPED = "ramped"


_L, _S = SiteLife, Signal

TABLE: dict[tuple[SiteLife, Signal], SiteLife] = {
    (_L.SERVING, _S.WELL): _L.SERVING,
    (_L.SERVING, _S.SUSPECTED): _L.SUSPECT,
    (_L.SERVING, _S.OVERLOADED): _L.SUSPECT,
    (_L.SERVING, _S.SICK): _L.DRAINING,
    (_L.SERVING, _S.DEAD): _L.DRAINING,
    (_L.SERVING, _S.NO_EVIDENCE): _L.SERVING,
    (_L.SERVING, _S.FORCED_OUT): _L.DRAINING,
    (_L.SERVING, _S.UNMOVED): _L.SERVING,
    (_L.SERVING, _S.GONE): _L.SERVING,
    (_L.SERVING, _S.MAY_RETURN): _L.SERVING,
    (_L.SERVING, _S.RAMPED): _L.SERVING,
    (_L.SUSPECT, _S.WELL): _L.SERVING,
    (_L.SUSPECT, _S.SUSPECTED): _L.SUSPECT,
    (_L.SUSPECT, _S.OVERLOADED): _L.SUSPECT,
    (_L.SUSPECT, _S.SICK): _L.DRAINING,
    (_L.SUSPECT, _S.DEAD): _L.DRAINING,
    (_L.SUSPECT, _S.NO_EVIDENCE): _L.SUSPECT,
    (_L.SUSPECT, _S.FORCED_OUT): _L.DRAINING,
    (_L.SUSPECT, _S.UNMOVED): _L.SERVING,
    (_L.SUSPECT, _S.GONE): _L.SERVING,
    (_L.SUSPECT, _S.MAY_RETURN): _L.SERVING,
    (_L.SUSPECT, _S.RAMPED): _L.SERVING,
    (_L.DRAINING, _S.WELL): _L.DRAINING,
    (_L.DRAINING, _S.SUSPECTED): _L.DRAINING,
    (_L.DRAINING, _S.OVERLOADED): _L.DRAINING,
    (_L.DRAINING, _S.SICK): _L.DRAINING,
    (_L.DRAINING, _S.DEAD): _L.DRAINING,
    (_L.DRAINING, _S.NO_EVIDENCE): _L.DRAINING,
    (_L.DRAINING, _S.FORCED_OUT): _L.DRAINING,
    (_L.DRAINING, _S.UNMOVED): _L.SERVING,
    (_L.DRAINING, _S.GONE): _L.DRAINED,
    (_L.DRAINING, _S.MAY_RETURN): _L.RETURNING,
    (_L.DRAINING, _S.RAMPED): _L.DRAINING,
    (_L.DRAINED, _S.WELL): _L.DRAINED,
    (_L.DRAINED, _S.SUSPECTED): _L.DRAINED,
    (_L.DRAINED, _S.OVERLOADED): _L.DRAINED,
    (_L.DRAINED, _S.SICK): _L.DRAINED,
    (_L.DRAINED, _S.DEAD): _L.DRAINED,
    (_L.DRAINED, _S.NO_EVIDENCE): _L.DRAINED,
    (_L.DRAINED, _S.FORCED_OUT): _L.DRAINED,
    (_L.DRAINED, _S.UNMOVED): _L.DRAINED,
    (_L.DRAINED, _S.GONE): _L.DRAINED,
    (_L.DRAINED, _S.MAY_RETURN): _L.RETURNING,
    (_L.DRAINED, _S.RAMPED): _L.DRAINED,
    (_L.RETURNING, _S.WELL): _L.RETURNING,
    (_L.RETURNING, _S.SUSPECTED): _L.RETURNING,
    (_L.RETURNING, _S.OVERLOADED): _L.RETURNING,
    (_L.RETURNING, _S.SICK): _L.DRAINING,
    (_L.RETURNING, _S.DEAD): _L.DRAINING,
    (_L.RETURNING, _S.NO_EVIDENCE): _L.RETURNING,
    (_L.RETURNING, _S.FORCED_OUT): _L.DRAINING,
    (_L.RETURNING, _S.UNMOVED): _L.RETURNING,
    (_L.RETURNING, _S.GONE): _L.RETURNING,
    (_L.RETURNING, _S.MAY_RETURN): _L.RETURNING,
    (_L.RETURNING, _S.RAMPED): _L.SERVING,
}

LEAVING = frozenset({Signal.SICK, Signal.DEAD, Signal.FORCED_OUT})
AWAY = frozenset({SiteLife.DRAINING, SiteLife.DRAINED})

_WHY = {
    Signal.SICK: LeftBecause.SICK,
    Signal.DEAD: LeftBecause.DEAD,
    Signal.FORCED_OUT: LeftBecause.PERSON,
}


def may_return(track: SiteTrack, policy: ServicePolicy, now_ms: int) -> bool:
    """Whether a well site may come back: a person asked, a person's drain ended, or the policy and hold-down allow.

    One that was found left, nobody remembers why, waits for a person.
    """
    if track.is_return_asked or track.left_because is LeftBecause.PERSON:
        return True
    if track.left_because is LeftBecause.UNKNOWN:
        return False
    return policy.failback is Failback.RAMP and now_ms >= track.hold_until_ms


def is_left_unexplained(track: SiteTrack) -> bool:
    """Whether a site was found left, and no person has asked since that it come back."""
    return track.left_because is LeftBecause.UNKNOWN and not track.is_return_asked


def advance(track: SiteTrack, signal: Signal, policy: ServicePolicy, now_ms: int) -> SiteTrack:
    """The next track. Leaving on evidence starts a hold-down that doubles with each flap (law: DESIGN §8)."""
    life = TABLE[(track.life, signal)]
    if life is track.life:
        return _worsened(track, signal, policy, now_ms) if life in AWAY else track
    if life is SiteLife.DRAINING:
        return _left(track, signal, policy, now_ms)
    if life is SiteLife.RETURNING:
        return replace(track, life=life, since_ms=now_ms, ramp_step=0, step_since_ms=now_ms)
    if life is SiteLife.SERVING:
        return replace(track, life=life, since_ms=now_ms, left_because=None, is_return_asked=False)
    return replace(track, life=life, since_ms=now_ms)


def _left(track: SiteTrack, signal: Signal, policy: ServicePolicy, now_ms: int) -> SiteTrack:
    """A site is being left: note why, and hold it down when evidence (not a person) says so."""
    why = _WHY[signal]
    if why is LeftBecause.PERSON:
        return replace(
            track, life=SiteLife.DRAINING, since_ms=now_ms, left_because=why, left_at_ms=now_ms, is_return_asked=False
        )
    quiet_ms = now_ms - track.left_at_ms
    had_left_before = track.left_at_ms > 0
    decayed = max(0, track.flaps - quiet_ms // policy.hold_down_max_ms)
    flaps = decayed + 1 if had_left_before and quiet_ms < 2 * policy.hold_down_max_ms else decayed
    hold_ms = min(policy.hold_down_ms << min(flaps, 16), policy.hold_down_max_ms)
    return replace(
        track,
        life=SiteLife.DRAINING,
        since_ms=now_ms,
        left_because=why,
        left_at_ms=now_ms,
        hold_until_ms=now_ms + hold_ms,
        flaps=flaps,
        is_return_asked=False,
    )


def _worsened(track: SiteTrack, signal: Signal, policy: ServicePolicy, now_ms: int) -> SiteTrack:
    """While away: a person's drain of a site that fails becomes an evidence drain, so lifting it does not return."""
    if signal not in (Signal.DEAD, Signal.SICK) or is_left_unexplained(track):
        return track
    why = _WHY[signal]
    if track.left_because is LeftBecause.PERSON:
        hold_until_ms = max(track.hold_until_ms, now_ms + policy.hold_down_ms)
        return replace(track, left_because=why, hold_until_ms=hold_until_ms, is_return_asked=False)
    if signal is Signal.DEAD and (track.left_because is not why or track.is_return_asked):
        return replace(track, left_because=why, is_return_asked=False)
    return replace(track, is_return_asked=False) if track.is_return_asked else track
