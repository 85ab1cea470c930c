"""What is remembered of each site, standby, data plane and service between two events. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from siteshift.core.model.cause import Move
from siteshift.core.model.codes import EnactOutcome, LeftBecause, SiteLife, StandbyPhase
from siteshift.core.model.finding import Finding
from siteshift.core.model.mark import PlaneMark
from siteshift.core.model.steering import ReadBack
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.changeable import Changeable


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTrack:
    """The life of one service at one site. ``flaps`` doubles the hold-down each time and decays with quiet.

    ``left_at_ms``: when it was last left, on whose account ever; ``failed_at_ms``: when last on evidence. Only faults flap.
    """

    life: SiteLife = SiteLife.SERVING
    since_ms: int = 0
    left_because: LeftBecause | None = None
    left_at_ms: int = 0
    failed_at_ms: int = 0
    hold_until_ms: int = 0
    flaps: int = 0
    ramp_step: int = 0
    step_since_ms: int = 0
    is_return_asked: bool = False


@dataclass(frozen=True, kw_only=True)
class StandbyTrack(Changeable):
    """Where a standby member is, as its driver and its probes tell, and whether it is wanted.

    ``failures``: how often in a row it failed since it was last proven.
    """

    phase: StandbyPhase = StandbyPhase.COLD
    since_ms: int = 0
    deadline_ms: int = 0
    wanted_until_ms: int = 0
    proof_since_ms: int = 0
    next_ask_ms: int = 0
    detail: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageTrack:
    """What is known of a vantage as a sender of reports.

    ``clock_ahead_ms``: how far its clock is ahead of ours (0: about the same). ``former_boots``: the last lives it has left;
    what still comes from them is late.
    """

    clock_ahead_ms: int = 0
    former_boots: tuple[str, ...] = ()


class PlaneStanding(StrEnum):
    """How a data plane stands to the desired steering."""

    UNREAD = "unread"
    IN_STEP = "in_step"
    WRITING = "writing"
    BEHIND = "behind"
    UNSURE = "unsure"
    FOREIGN = "foreign"
    """Somebody else's mark stands there: nothing is written."""
    REFUSING = "refusing"


@dataclass(frozen=True, kw_only=True)
class PlaneTrack(Changeable):
    """One data plane. ``confirmed_generation`` is the last one written and acknowledged, or read back.

    ``ended_ms``: when the last write ended, however it did.
    ``read_back`` is the last reading; ``unread_since_ms`` is set while it cannot be read. ``found_generation`` is what
    the plane told when it refused an older write. ``foreign`` is the mark of another cluster or node that stands there;
    ``taken_over`` the one that a person lets us replace. ``unconfirmed``: writes in a row that ended well and were not read back.
    """

    standing: PlaneStanding = PlaneStanding.UNREAD
    sent_generation: int = -1
    confirmed_generation: int | None = None
    outcome: EnactOutcome | None = None
    attempts: int = 0
    next_try_ms: int = 0
    next_read_ms: int = 0
    reading_since_ms: int | None = None
    unread_since_ms: int | None = None
    detail: str = ""
    read_back: ReadBack | None = None
    found_generation: int | None = None
    ended_ms: int = 0
    foreign: PlaneMark | None = None
    taken_over: PlaneMark | None = None
    unconfirmed: int = 0


@dataclass(frozen=True, kw_only=True)
class ServiceTransition(Changeable):
    """The movements of one service.

    ``tail_until_ms``: until then caches may hold answers given before the last move (law 9).
    ``old_ttl_until_ms``: until then answers with a longer TTL than the present one may live.
    ``cached_bp``: the shares those old answers were given by, before the first move of a row, made at ``cached_ms``.
    ``undo_bp``: shares before the last move, kept while its effect on the survivors is being watched.
    ``carrying``: what pools were found to carry when they failed alive, and until when they get no more (`state.carrying`).
    ``taken_out``: members that serve no more because a person took them out; they come back when that is lifted (law 5).
    """

    moved_at_ms: int = 0
    tail_until_ms: int = 0
    old_ttl_until_ms: int = 0
    restless_until_ms: int = 0
    cached_bp: Mapping[SiteId, int] = field(default_factory=dict)
    cached_ms: int = 0
    undo_bp: Mapping[SiteId, int] | None = None
    held_until_ms: int = 0
    moves: tuple[Move, ...] = ()
    removals_ms: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    carrying: Mapping[SiteId, Carrying] = field(default_factory=dict)
    taken_out: frozenset[MemberId] = frozenset()

    def cap_of(self, site: SiteId) -> Carrying | None:
        """What a site was found to carry, while it may not have all again yet."""
        known = self.carrying.get(site)
        return known if known is not None and known.cap_rps is not None else None


class TrafficTrack(NamedTuple):
    """Seen traffic of one service at one site, in requests per second x 1000.

    ``rate_mrps`` and ``demand_mrps`` are smoothed (`core.beliefs.traffic`), the others are of the last window. ``demand_mrps``
    and ``asked_mrps`` leave out what was passed on to another server; ``answered_mrps`` got a good answer. ``since_ms``: when
    it began to be heard, or was heard again after a silence. ``tells_answers``: the meter saw what users got; else
    ``answered_mrps`` is only what was asked without known errors. ``best_mrps``: the most answered in a window of
    the last seconds, at ``best_at_ms``; ``failing_ms``: for so long it did not answer all it was asked, ``serving_ms``: for so
    long it did; ``silent_ms``: for so long nobody asked; ``to_the_good``: answers to the good (`judge.served.to_the_good`).

    A named tuple, for every sample makes one: a frozen dataclass costs seven times as much to make.
    """

    at_ms: int
    rate_mrps: int
    last_mrps: int
    window_ms: int = 1_000
    asked_mrps: int = 0
    answered_mrps: int = 0
    demand_mrps: int = 0
    since_ms: int = 0
    tells_answers: bool = False
    best_mrps: int = 0
    best_at_ms: int = 0
    failing_ms: int = 0
    serving_ms: int = 0
    silent_ms: int = 0
    to_the_good: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandTrack:
    """Measured demand of a service: the highest smoothed total within the last minutes, in requests per second.

    ``troubled_at_ms``: when what was counted was last in doubt, because users and load balancers tried again. ``calm_rps``: the
    peak from before users began to try again, for as long as ``peak_rps`` has such tries in it; else 0.
    """

    peak_rps: int
    peak_at_ms: int
    since_ms: int = 0
    troubled_at_ms: int = 0
    calm_rps: int = 0
