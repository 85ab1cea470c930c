"""The life of a service at a site: one enum, one table.

What moves a life is a `Signal` (what evidence and people amount to) and a `Condition` (what else the state says just then:
whether anything was moved yet, whether the traffic is gone, whether the ramp is done). A life never moves on anything else.

``held`` and ``blind`` are how a life is *shown* while a rule, a person or missing evidence stands in the way
(`core.explain`); they are never stored, so lifting what stands in the way reveals the real life (law 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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


class Condition(StrEnum):
    """What else is true of a service at a site. `core.beliefs.lives` derives it from the state; at most one counts at a time."""

    NONE = "none"
    GAINED_LATELY = "gained_lately"
    """It got more in the last move, so that its sickness may be our own doing."""
    UNMOVED = "unmoved"
    """It should be left, and no traffic was moved away yet."""
    KEPT = "kept"
    """It kept a part for want of room elsewhere, and its hold-down is over."""
    MAY_RETURN = "may_return"
    """A person, or the policy and its hold-down, let it return."""
    GONE = "gone"
    """Its traffic is gone: not desired, not read back, not seen, and no old answer lives any more."""
    RAMPED = "ramped"
    """The last step of its ramp has soaked."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One way from a life to another: with any of these signals, while one of these conditions holds."""

    before: SiteLife
    after: SiteLife
    signals: frozenset[Signal]
    conditions: frozenset[Condition] = frozenset(Condition)


_L, _S, _C = SiteLife, Signal, Condition
LEAVING = frozenset({Signal.SICK, Signal.DEAD, Signal.FORCED_OUT})
_DOUBTFUL = frozenset({Signal.SUSPECTED, Signal.OVERLOADED})
_ANY = frozenset(Signal)
_WELL = frozenset({Signal.WELL})


def _only(*conditions: Condition) -> frozenset[Condition]:
    return frozenset(conditions)


PASSAGES: tuple[Passage, ...] = (
    Passage(_L.SERVING, _L.SUSPECT, _DOUBTFUL),
    Passage(_L.SERVING, _L.SUSPECT, frozenset({_S.SICK}), _only(_C.GAINED_LATELY)),
    Passage(_L.SERVING, _L.DRAINING, frozenset({_S.SICK}), frozenset(_C) - _only(_C.GAINED_LATELY)),
    Passage(_L.SERVING, _L.DRAINING, frozenset({_S.DEAD, _S.FORCED_OUT})),
    Passage(_L.SUSPECT, _L.SERVING, _WELL),
    Passage(_L.SUSPECT, _L.DRAINING, frozenset({_S.SICK}), frozenset(_C) - _only(_C.GAINED_LATELY)),
    Passage(_L.SUSPECT, _L.DRAINING, frozenset({_S.DEAD, _S.FORCED_OUT})),
    Passage(_L.DRAINING, _L.SERVING, _WELL, _only(_C.UNMOVED, _C.KEPT)),
    Passage(_L.DRAINING, _L.RETURNING, _WELL, _only(_C.MAY_RETURN)),
    Passage(_L.DRAINING, _L.DRAINED, _ANY, _only(_C.GONE)),
    Passage(_L.DRAINED, _L.RETURNING, _WELL, _only(_C.MAY_RETURN)),
    Passage(_L.RETURNING, _L.SERVING, _WELL, _only(_C.RAMPED)),
    Passage(_L.RETURNING, _L.DRAINING, LEAVING),
)
"""Every way there is; a life that finds none stays what it is. No two of them can hold at once (a test tries all)."""

LIVED = tuple(dict.fromkeys(life for passage in PASSAGES for life in (passage.before, passage.after)))
"""The lives that are stored."""

TABLE: dict[tuple[SiteLife, Signal, Condition], SiteLife] = {
    **{(life, signal, condition): life for life in LIVED for signal in Signal for condition in Condition},
    **{(p.before, signal, condition): p.after for p in PASSAGES for signal in p.signals for condition in p.conditions},
}
"""The passages, spelled out: one look-up decides."""


def passage_lines() -> Iterator[str]:
    """The table in words, for the documents."""
    for passage in PASSAGES:
        signals = "any signal" if passage.signals == _ANY else " or ".join(sorted(signal.value for signal in passage.signals))
        left_out = frozenset(Condition) - passage.conditions
        held = sorted(condition.value for condition in passage.conditions)
        when = ""
        if left_out and len(left_out) < len(held):
            when = f", unless {' or '.join(sorted(condition.value for condition in left_out))}"
        elif left_out:
            when = f", when {' or '.join(held)}"
        yield f"{passage.before.value:<9} -> {passage.after.value:<9}  {signals}{when}"


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


def advance(track: SiteTrack, signal: Signal, condition: Condition, policy: ServicePolicy, now_ms: int) -> SiteTrack:
    """The next track. Leaving on evidence starts a hold-down that doubles with each flap (law: DESIGN §8)."""
    life = TABLE[(track.life, signal, condition)]
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
    """A site is being left: note why, and hold it down when evidence says so. What a person asks for is no flap."""
    why = _WHY[signal]
    if why is LeftBecause.PERSON:
        return replace(
            track, life=SiteLife.DRAINING, since_ms=now_ms, left_because=why, left_at_ms=now_ms, is_return_asked=False
        )
    quiet_ms = now_ms - track.failed_at_ms
    had_left_before = track.failed_at_ms > 0
    decayed = max(0, track.flaps - quiet_ms // policy.hold_down_max_ms)
    flaps = decayed + 1 if had_left_before and quiet_ms < 2 * policy.hold_down_max_ms else decayed
    hold_ms = min(policy.hold_down_ms << min(flaps, 16), policy.hold_down_max_ms)
    return replace(
        track,
        life=SiteLife.DRAINING,
        since_ms=now_ms,
        left_because=why,
        left_at_ms=now_ms,
        failed_at_ms=now_ms,
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
        return replace(track, left_because=why, failed_at_ms=now_ms, hold_until_ms=hold_until_ms, is_return_asked=False)
    if signal is Signal.DEAD and (track.left_because is not why or track.is_return_asked):
        return replace(track, left_because=why, is_return_asked=False)
    return replace(track, is_return_asked=False) if track.is_return_asked else track
