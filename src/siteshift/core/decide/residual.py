"""What caches still hold after a move: by it, load balancers divide what still comes to a drained site.

Where an address answers what is shed, only ratios matter, and they stay the same while caches run out. Where none does,
the shed part is led to the drained site for good, on top of what old caches lead there; the part that may be sent on
shrinks as they run out. It is reckoned anew in steps, each with what will be left at its *end*: rather a few requests
lost at a dead site than a survivor above its limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import sent_on
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, SiteId, part_way
from siteshift.core.state.draft import Draft

STEPS = 4
"""How often the part is reckoned anew while a TTL runs out: each is a write to every plane."""


def as_caches_run_out(draft: Draft, situation: Situation, steering: ServiceSteering) -> ServiceSteering:
    """The steering with what may be sent on now, where what is shed is led to a drained site."""
    transition = draft.state.transition(situation.service.id)
    is_led_there = steering.shed_at is not None and not steering.shares_bp.get(steering.shed_at, 0)
    if not transition.cached_bp or not is_led_there or situation.service.shed_answers or not situation.has_dns:
        return steering
    tail_ms = (transition.cached_ms, transition.tail_until_ms)
    held, until_ms = still_held_bp(transition.cached_bp, steering.shares_bp, tail_ms, draft.now_ms)
    draft.due(until_ms)
    return sent_on(steering, held)


def still_held_bp(
    before_bp: Mapping[SiteId, int], after_bp: Mapping[SiteId, int], tail_ms: tuple[int, int], now_ms: int
) -> tuple[Mapping[SiteId, int], int]:
    """What caches hold at the end of the present step, when they run out evenly between the two instants of ``tail_ms``.

    Also when that step ends.
    """
    since_ms, until_ms = tail_ms
    span_ms = max(1, until_ms - since_ms)
    step = min(STEPS, (now_ms - since_ms) * STEPS // span_ms + 1)
    sites = list(after_bp)
    held = part_way([before_bp.get(s, 0) for s in sites], [after_bp[s] for s in sites], step * WHOLE_BP // STEPS)
    return dict(zip(sites, held, strict=True)), since_ms + -(-step * span_ms // STEPS)
