"""From streams to the views a report carries: the worst of a target's own evidence, its members' and its traffic's."""

from __future__ import annotations

from siteshift.core.judge.passive import Traffic
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.score import worst
from siteshift.core.judge.stream import Stream
from siteshift.core.model.codes import Fault, Hardness, Standing
from siteshift.core.model.evidence import TargetView


def stream_view(stream: Stream, traffic: Traffic | None, at_ms: int) -> TargetView:
    """The view of a member."""
    return with_traffic(_own_view(stream), traffic, at_ms)


def group_view(group: Pooled, direct: Stream | None, traffic: Traffic | None, at_ms: int) -> TargetView:
    """The view of a pool or site: its pooled stream, its own address, its traffic.

    Grey failures of a check while real traffic is served well are a finding about the check, not about the pool.
    """
    view = TargetView(
        standing=group.standing,
        score_pm=group.score_pm,
        hardness=group.hardness,
        since_ms=group.standing_since_ms,
        reason=_group_reason(group),
        last_pass_ms=group.last_pass_ms,
    )
    if direct is not None and direct.standing is not Standing.UNKNOWN:
        view = worst(view, _own_view(direct))
    if traffic is None:
        return view
    bad = view.standing in (Standing.DOWN, Standing.DEGRADED)
    if bad and view.hardness is Hardness.GREY and traffic.contradicts(at_ms, view.since_ms):
        return TargetView(
            standing=Standing.SUSPECT,
            score_pm=traffic.score_pm,
            hardness=view.hardness,
            since_ms=view.since_ms,
            reason=f"check contradicted by traffic: {view.reason}",
            last_pass_ms=view.last_pass_ms,
            is_contradicted=True,
            evidence=view.evidence,
        )
    return with_traffic(view, traffic, at_ms)


def _own_view(stream: Stream) -> TargetView:
    return TargetView(
        standing=stream.standing,
        score_pm=stream.score_pm,
        hardness=stream.hardness,
        since_ms=stream.since_ms,
        reason=_stream_reason(stream),
        last_pass_ms=stream.last_pass_ms,
        evidence=stream.recent.evidence() if stream.recent is not None else None,
    )


def with_traffic(view: TargetView, traffic: Traffic | None, at_ms: int) -> TargetView:
    """The view, or what real traffic says where that accuses more. What the checks saw stays beside it."""
    if traffic is None or traffic.alarm < 0 or not traffic.fresh(at_ms):
        return view
    seen = TargetView(
        standing=traffic.standing,
        score_pm=traffic.score_pm,
        hardness=traffic.hardness,
        since_ms=traffic.alarm_since_ms,
        reason="seen in real traffic",
        last_pass_ms=view.last_pass_ms,
        evidence=view.evidence,
    )
    return worst(view, seen)


def _stream_reason(stream: Stream) -> str:
    if stream.standing in (Standing.UP, Standing.UNKNOWN):
        return stream.warning
    fault = stream.last_fault if stream.last_fault is not Fault.NONE else stream.hardness
    return f"{fault}, {(1_000 - stream.score_pm) // 10} % failing" if stream.bank.alarm >= 0 else str(fault)


def _group_reason(group: Pooled) -> str:
    if group.standing in (Standing.UP, Standing.UNKNOWN):
        return ""
    failing = sum(1 for one in group.members if one.failing)
    return f"{failing} of {len(group.members)} members failing now, goodput {group.score_pm / 10:g} %"
