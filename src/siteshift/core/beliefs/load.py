"""What is asked of a pool and answered there, as meters count it; and what comes beyond what our shares send."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import NamedTuple

from siteshift.core.beliefs.traffic import FRESH_MS, SMOOTHING_MS, answers_all, delivered_bp
from siteshift.core.judge.served import PROVING_REQUESTS, is_of_now
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, SiteId
from siteshift.core.state.carrying import ANSWERING_PM, hard_at_work_pm
from siteshift.core.state.controller_state import ControllerState

FULL_PM = 950
"""Asked this part of its capacity, a site is full: measured rates waver by some per cent, and nothing is planned above 900."""
STILL_FULL_PM = 850
"""A full queue empties only while less than this is asked."""
WEIGHT_STEP_PM = 50
"""A weight that is shrunk for its member's errors is a multiple of this, and never less: HAProxy's own scale has 256 steps, and a
score is no surer. Who has less is a standby that is being proven."""
DICE_PM = 1_500
"""A rate must be one and a half standard deviations of Poisson arrivals beyond: 180 requests/s asked 150 never are by chance."""
STEADY_MS = 2 * SMOOTHING_MS
"""A smoothed rate wavers as much as one counted over this time."""


class Load(NamedTuple):
    """What is asked of a pool and answered there, requests/s x 1000 of the last window, and what it can carry (requests/s).

    ``steady_mrps``: asked, smoothed over some seconds; ``serving_ms``: for so long all that was asked was answered.
    ``to_the_good``: answers to the good (`judge.served.to_the_good`).
    """

    asked_mrps: int
    answered_mrps: int
    capacity_rps: int
    at_ms: int
    window_ms: int
    steady_mrps: int
    best_mrps: int = 0
    tells_answers: bool = True
    serving_ms: int = 0
    to_the_good: int = 0

    @property
    def is_full(self) -> bool:
        """Whether more is asked than it can carry: much more in the last window, or clearly more in the last seconds."""
        return self._is_beyond(self.asked_mrps, self.window_ms) or self._is_beyond(self.steady_mrps, STEADY_MS)

    @property
    def is_still_full(self) -> bool:
        return self.asked_mrps > self.capacity_rps * STILL_FULL_PM

    def _is_beyond(self, rate_mrps: int, counted_ms: int) -> bool:
        """Whether a rate counted over so long is beyond what is full by more than chance in arrivals."""
        full_mrps = self.capacity_rps * FULL_PM
        deviation_mrps = isqrt(full_mrps * counted_ms // 100) * 10_000 // max(1, counted_ms)
        return rate_mrps > full_mrps + deviation_mrps * DICE_PM // WHOLE_PM

    @property
    def is_worked_hard(self) -> bool:
        """Whether it answers what a full pool would: of little more than it carries nearly all it carries, of twice as much
        a third (`ANSWERING_PM`). One that errs is asked more than it carries too, for its users try again, and answers less."""
        if not self.tells_answers:
            return self.answers(ANSWERING_PM)
        can_mrps = max(1, self.capacity_rps * WHOLE_PM)
        needed_pm = hard_at_work_pm(self.asked_mrps, can_mrps)
        return max(self.answered_mrps, self.best_mrps) * WHOLE_PM >= min(self.asked_mrps, can_mrps) * needed_pm

    @property
    def carries_less(self) -> bool:
        """Whether it answers clearly less than a full pool would that carries what the file says, as far as users are counted."""
        return self.tells_answers and not self.is_worked_hard

    @property
    def serves_all(self) -> bool:
        """Whether users get what they ask for just now, whatever checks that wait in a queue still say."""
        return self.tells_answers and answers_all(self.asked_mrps, self.answered_mrps, self.window_ms)

    def is_proven_since(self, since_ms: int) -> bool:
        """Whether so many were answered since then that it is no chance (`judge.served.PROVING_REQUESTS`)."""
        counted_ms = min(self.serving_ms, self.at_ms - since_ms)
        return self.is_proven_well and self.answered_mrps * counted_ms >= PROVING_REQUESTS * 1_000_000

    @property
    def is_proven_well(self) -> bool:
        """Whether users get what they ask for by more than the chance of a window."""
        return self.tells_answers and self.to_the_good >= PROVING_REQUESTS

    def answers(self, part_pm: int) -> bool:
        """Whether it answers this part of what it is asked, or of what it can when it is asked for more."""
        possible_mrps = min(self.asked_mrps, self.capacity_rps * 1000)
        return self.answered_mrps > 0 and self.answered_mrps * WHOLE_PM >= possible_mrps * part_pm


def loads_of(state: ControllerState, setup: Setup, service: Service, now_ms: int) -> dict[SiteId, Load]:
    """The measured loads of a service's pools, where they are known."""
    if service.id not in setup.metered:
        return {}
    loads = ((pool.site, load_of(state, setup, service, pool, now_ms)) for pool in service.pools)
    return {site: load for site, load in loads if load is not None}


def excess_rps(
    state: ControllerState, service: Service, loads: Mapping[SiteId, Load], demand_rps: int, now_ms: int
) -> dict[SiteId, int]:
    """How much more than its share and what caches still hold each site is seen to be asked for, where that is measured.

    Resolvers that keep answers beyond their TTL, a dead sibling's tunnelled rest, users who try again: no share of ours takes
    it away.
    """
    found: dict[SiteId, int] = {}
    expected_bp = delivered_bp(state, service.id, now_ms)
    demand_rps = max(demand_rps, _common_rps(expected_bp, loads))
    for site, load in loads.items():
        meant_rps = expected_bp.get(site, 0) * demand_rps // WHOLE_BP
        if load.asked_mrps > meant_rps * 1000:
            found[site] = load.asked_mrps // 1000 - meant_rps
    return found


def _common_rps(expected_bp: Mapping[SiteId, int], loads: Mapping[SiteId, Load]) -> int:
    """The demand that explains what comes to every site: what grows everywhere alike is demand, however old its estimate is."""
    sent = [site for site, bp in expected_bp.items() if bp > 0]
    if not sent or any(site not in loads for site in sent):
        return 0
    return min(loads[site].asked_mrps * WHOLE_BP // (expected_bp[site] * WHOLE_PM) for site in sent)


def answering_sites(loads: Mapping[SiteId, Load], now_ms: int) -> frozenset[SiteId]:
    """Where real requests were answered in a window that is as good as now."""
    return frozenset(
        site for site, load in loads.items() if is_of_now(load.at_ms, load.window_ms, now_ms) and load.answers(ANSWERING_PM)
    )


def load_of(state: ControllerState, setup: Setup, service: Service, pool: Pool, now_ms: int) -> Load | None:
    """The measured load of a pool; None when nothing fresh is known, or nothing came."""
    track = state.traffic.get((service.id, pool.site))
    if service.id not in setup.metered or track is None or now_ms - track.at_ms > FRESH_MS or track.last_mrps == 0:
        return None
    return Load(
        track.asked_mrps,
        track.answered_mrps,
        _open_rps(state, service, pool),
        track.at_ms,
        track.window_ms,
        track.demand_mrps,
        track.best_mrps,
        track.tells_answers,
        track.serving_ms,
        track.to_the_good,
    )


def _open_rps(state: ControllerState, service: Service, pool: Pool) -> int:
    """What the pool takes before the first of its members is full: weights divide its traffic among them.

    A weight that is only shrunk for its member's errors counts as whole: full sites shrink none, so by what is left of them a
    site was full, and was not, and was full again, eighty times a second.
    """
    current = state.steering.of(service.id)
    shares = {m.id: WHOLE_PM for m in pool.members} if current is None else current.members_pm
    weights = {m.id: _unshrunk_pm(shares.get(m.id, 0)) for m in pool.members}
    most_pm = max(weights.values(), default=0)
    return sum(m.capacity_rps * weights[m.id] for m in pool.members) // max(1, most_pm)


def _unshrunk_pm(weight_pm: int) -> int:
    return WHOLE_PM if weight_pm >= WEIGHT_STEP_PM else weight_pm
