"""Who may speak, and what their votes make of one target (DESIGN §4).

A vantage is credible when its report is fresh, it reaches an anchor, and it is not alone in seeing everything dark.
A target is judged by the credible vantages *outside* its site; by those inside only when there is nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from siteshift.core.judge.score import SEVERITY
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.evidence import TargetView, VantageReport
from siteshift.core.model.policy import MINUTE_MS, JudgePolicy
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import SiteId, TargetId, VantageId

BAD = (Standing.DOWN, Standing.DEGRADED)
LONE_ACCUSER_SUSPECT_MS = MINUTE_MS
"""An accusation that finds no majority keeps a target suspect for so long; after that it is a path, not a suspicion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jury:
    """The reports that count, and why the others do not."""

    credible: tuple[VantageReport, ...]
    isolated: tuple[VantageReport, ...]
    stale: tuple[VantageId, ...]

    def outside(self, site: SiteId) -> tuple[VantageReport, ...]:
        """Credible reports from elsewhere; from inside only when there are no others."""
        elsewhere = tuple(report for report in self.credible if report.site != site)
        return elsewhere or self.credible


class Verdict(NamedTuple):
    """The combined view of a target. ``accusers`` hold it for bad, whether or not they are a majority.

    A named tuple, for every target gets one each time the picture is made.
    """

    view: TargetView
    accusers: tuple[VantageId, ...]
    carried: bool


NOBODY_KNOWS = TargetView(standing=Standing.UNKNOWN, score_pm=1_000, reason="no evidence")


def seat_jury(topology: Topology, policy: JudgePolicy, reports: Mapping[VantageId, VantageReport], now_ms: int) -> Jury:
    """Sort the reports into credible, isolated and stale. Configured vantages that never reported count as stale."""
    fresh = [report for report in reports.values() if now_ms - report.at_ms <= policy.report_stale_ms]
    stale = [name for name, report in reports.items() if now_ms - report.at_ms > policy.report_stale_ms]
    stale += [name for name, _ in topology.vantages if name not in reports]
    connected = [r for r in fresh if r.self_check.anchors_total == 0 or r.self_check.anchors_ok > 0]
    dark = {report.vantage for report in connected if _all_dark(topology, report, topology.pool_targets)}
    lit = len(connected) - len(dark)
    credible: list[VantageReport] = []
    isolated = [report for report in fresh if report not in connected]
    for report in connected:
        outvoted = report.vantage in dark and lit > 0 and 2 * lit >= len(connected)
        cannot_know = report.vantage in dark and report.self_check.anchors_total == 0
        (isolated if outvoted or cannot_know else credible).append(report)
    return Jury(credible=tuple(credible), isolated=tuple(isolated), stale=tuple(sorted(set(stale))))


def _all_dark(topology: Topology, report: VantageReport, pools: Mapping[SiteId, Sequence[TargetId]]) -> bool:
    """Whether a vantage sees every site down; without anchors, every site but its own is enough when there are several."""
    foreign = [site for site in topology.site_ids if site != report.site]
    if not all(_site_dark(report, pools[site]) for site in foreign):
        return False
    if len(foreign) == len(topology.site_ids) or (report.self_check.anchors_total == 0 and len(foreign) >= 2):
        return bool(foreign)
    return all(_site_dark(report, pools[site]) for site in topology.site_ids)


def _site_dark(report: VantageReport, targets: Sequence[TargetId]) -> bool:
    known = 0
    for target in targets:
        view = report.views.get(target)
        if view is None or view.standing is Standing.UNKNOWN:
            continue
        if view.standing is not Standing.DOWN:
            return False
        known += 1
    return known > 0


def agreed_view(target: TargetId, voters: Sequence[VantageReport], now_ms: int) -> TargetView:
    """The view alone of what `combine` says; a single voter's is taken as it is."""
    if len(voters) == 1:
        return voters[0].views.get(target, NOBODY_KNOWS)
    return combine(target, voters, now_ms).view


def combine(target: TargetId, voters: Sequence[VantageReport], now_ms: int) -> Verdict:
    """Majority of the voters that report on the target. Unknown votes count against every accusation (law 3)."""
    if len(voters) == 1:
        only = voters[0].views.get(target, NOBODY_KNOWS)
        carried = only.standing in BAD
        return Verdict(view=only, accusers=(voters[0].vantage,) if carried else (), carried=carried)
    first = voters[0].views.get(target)
    if first is not None and first.standing is Standing.UP and _unanimous(target, voters):
        return Verdict(view=first, accusers=(), carried=False)
    votes = [(report.vantage, view) for report in voters if (view := report.views.get(target)) is not None]
    if not votes:
        return Verdict(view=NOBODY_KNOWS, accusers=(), carried=False)
    need = len(votes) // 2 + 1
    accusers = tuple(vantage for vantage, view in votes if view.standing in BAD)
    views = [view for _, view in votes]
    if len(accusers) >= need:
        return Verdict(view=_carried(views, need), accusers=accusers, carried=True)
    return Verdict(view=_not_carried(views, now_ms), accusers=accusers, carried=False)


def _unanimous(target: TargetId, voters: Sequence[VantageReport]) -> bool:
    """The usual case, told apart cheaply: everybody who reports on the target says up."""
    for report in voters:
        view = report.views.get(target)
        if view is not None and view.standing is not Standing.UP:
            return False
    return True


def _carried(views: list[TargetView], need: int) -> TargetView:
    """What the majority can agree on: the need-th worst of what was said."""
    worst_first = sorted(views, key=lambda view: (-SEVERITY[view.standing], view.score_pm))
    agreed = worst_first[need - 1]
    since = sorted(view.since_ms for view in views if view.standing in BAD)[need - 1]
    return TargetView(
        standing=agreed.standing,
        score_pm=agreed.score_pm,
        hardness=agreed.hardness,
        since_ms=since,
        reason=agreed.reason,
        last_pass_ms=max(view.last_pass_ms for view in views),
    )


def _not_carried(views: list[TargetView], now_ms: int) -> TargetView:
    known = [view for view in views if view.standing is not Standing.UNKNOWN]
    if not known:
        return NOBODY_KNOWS
    not_up = [
        view
        for view in known
        if view.standing is Standing.SUSPECT or (view.standing in BAD and now_ms - view.since_ms <= LONE_ACCUSER_SUSPECT_MS)
    ]
    best = max(known, key=lambda view: view.score_pm)
    if not not_up and best.standing in BAD:
        not_up = known  # the others know nothing yet (a standby looked at afresh): nobody contradicts
    if not not_up:
        return best if best.standing is Standing.UP else recast(best, Standing.UP)
    return recast(min(not_up, key=lambda view: view.score_pm), Standing.SUSPECT)


def recast(view: TargetView, standing: Standing) -> TargetView:
    """The view with another standing."""
    return TargetView(
        standing=standing,
        score_pm=view.score_pm,
        hardness=view.hardness if standing is not Standing.UP else Hardness.NONE,
        since_ms=view.since_ms,
        reason=view.reason,
        last_pass_ms=view.last_pass_ms,
        is_contradicted=view.is_contradicted,
        evidence=view.evidence,
    )
