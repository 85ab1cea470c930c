"""Is it everywhere? The comparison of a service's sites with each other (law 4).

All sites bad alike is a global fault: nothing is drained. One site bad while all the others are under like suspicion is
not decided yet: the verdict is held back, for a bounded time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.judge.quorum import BAD, Verdict
from siteshift.core.judge.score import delivered_pm
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.evidence import Picture, TargetView
from siteshift.core.model.policy import MINUTE_MS, JudgePolicy
from siteshift.core.model.topology import Service
from siteshift.core.model.units import MemberId, ServiceId, SiteId

PoolKey = tuple[ServiceId, SiteId]
ALIKE_PART = 0.35
"""A sibling that has lost at least a third of what the worst site has lost fails alike."""
HOLD_DEAD_CONFIRMS, HOLD_GREY_CONFIRMS = 5, 150
"""How long a verdict may be held for suspected siblings, in `confirm_silent_ms`: dead ones show it soon, grey ones late."""
GLOBAL_ENDS_MS = 30_000
"""A global fault lasts while a site that seems to have recovered has been well for less than this."""

SAME_MINUTE_MS, SETTLED_MS = MINUTE_MS, 15_000
"""Faults that began within a minute are compared as one; 15 s after the last began the estimates can be trusted."""
FAR_APART_PM = 500
"""Sites that are all bad must differ by so much before one of them counts as better than another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Everywhere:
    """What the comparison found. ``held``: bad pools count as suspect for now."""

    is_global: bool = False
    held: bool = False
    slow: bool = False


def hold_or_global(
    service: Service,
    verdicts: Mapping[PoolKey, Verdict],
    members: Mapping[PoolKey, Mapping[MemberId, TargetView]],
    policy: JudgePolicy,
    now_ms: int,
    previous: Picture | None,
) -> Everywhere:
    """Compare the pools of one service that anybody knows about."""
    if not any(verdicts[(service.id, pool.site)].view.standing in BAD for pool in service.pools):
        return Everywhere()
    views: list[TargetView] = []
    lost: list[int] = []
    bad: list[int] = []
    for pool in service.pools:
        key = (service.id, pool.site)
        view = verdicts[key].view
        if view.standing is Standing.UNKNOWN:
            continue
        if view.standing in BAD:
            bad.append(len(views))
        views.append(view)
        lost.append(_lost_pm(service, key, view, members))
    if len(views) < 2 or not bad:
        return Everywhere()
    slow = all(views[i].hardness is Hardness.SLOW for i in bad)
    was_global = previous is not None and service.id in previous.global_fault
    if len(bad) == len(views):
        return Everywhere(is_global=_one_fault(views, lost, now_ms, slow), slow=slow)
    worst = max(lost[i] for i in bad)
    better = [i for i in range(len(views)) if not _alike(views[i], lost[i], worst, slow)]
    if was_global and all(now_ms - views[i].since_ms <= GLOBAL_ENDS_MS for i in range(len(views)) if i not in bad):
        return Everywhere(is_global=True, slow=slow)
    if better:
        return Everywhere()
    return Everywhere(held=_may_hold(views, bad, policy, now_ms))


def _one_fault(views: list[TargetView], lost: list[int], now_ms: int, slow: bool) -> bool:
    """All sites are bad. Begun together it is one fault, whatever the first estimates say; else they must fail alike."""
    began = [view.since_ms for view in views]
    if max(began) - min(began) <= SAME_MINUTE_MS and now_ms - max(began) <= SETTLED_MS:
        return True
    if max(lost) - min(lost) < FAR_APART_PM:
        return True
    return all(_alike(view, part, max(lost), slow) for view, part in zip(views, lost, strict=True))


def _lost_pm(service: Service, key: PoolKey, view: TargetView, members: Mapping[PoolKey, Mapping[MemberId, TargetView]]) -> int:
    """Per mille of its work the pool fails to do: by its goodput or by its dead members, whichever is more."""
    if view.standing is Standing.UP:
        return 0
    pool = service.pool_at(key[1])
    assert pool is not None
    seen = members[key]
    capacity = [(m.capacity_rps, seen[m.id]) for m in pool.actives if m.id in seen]
    return 1_000 - min(view.score_pm, delivered_pm(capacity))


def _alike(view: TargetView, lost: int, worst: int, slow: bool) -> bool:
    if view.standing is Standing.UP or lost < ALIKE_PART * worst:
        return False
    return (view.hardness is Hardness.SLOW) is slow


def _may_hold(views: list[TargetView], bad: list[int], policy: JudgePolicy, now_ms: int) -> bool:
    """Bounded from the moment the worst-off pool's fault began."""
    grey = all(views[i].hardness in (Hardness.GREY, Hardness.SLOW) for i in bad)
    bound = policy.confirm_silent_ms * (HOLD_GREY_CONFIRMS if grey else HOLD_DEAD_CONFIRMS)
    return now_ms - min(views[i].since_ms for i in bad) <= bound
