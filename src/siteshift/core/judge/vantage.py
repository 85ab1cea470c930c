"""One vantage's judgement: results in, standings out. Runs alike in the daemon and in virtual time.

`Observer` is mutable and hot (see `bank`); it reads no clock and draws no lots. The driver hands it every finished check,
calls `tick` when `next_timer_ms` has come, probes `hot_targets` fast and publishes `report` when told of a change.
"""

from __future__ import annotations

from collections.abc import Set

from siteshift.core.judge.cusum import CRASH, NEVER
from siteshift.core.judge.hotset import HotSet
from siteshift.core.judge.learning import SECOND_MS, Entry, Learner
from siteshift.core.judge.membership import feed
from siteshift.core.judge.metered import Metered, Reading
from siteshift.core.judge.passive import Traffic
from siteshift.core.judge.refit import carry_over, known_streams
from siteshift.core.judge.roster import Roster
from siteshift.core.judge.selfcheck import OwnState
from siteshift.core.judge.stream import Stream
from siteshift.core.judge.verdicts import Verdicts
from siteshift.core.judge.views import group_view, stream_view, with_traffic
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.evidence import TargetView, VantageReport
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import SiteId, TargetId, VantageId, site_target

_PASS = Outcome.PASS
"""A name of the module costs a tenth of an enum's member in Python 3.11."""
NEAR_MS, UNEASY_MS = 50, 100
"""How soon to look again while a verdict is near, or while anything is not calm."""


class Observer:
    """All streams of one vantage. ``anchors`` names its anchor checks; without any it cannot know when it is blind.

    ``boot_id`` names this life of the vantage: its reports are numbered anew in the next one.
    """

    def __init__(
        self,
        topology: Topology,
        policy: JudgePolicy,
        vantage: VantageId,
        site: SiteId | None,
        *,
        anchors: tuple[str, ...] = (),
        boot_id: str = "",
    ) -> None:
        self._vantage = vantage
        self._boot_id = boot_id
        self._own = OwnState(anchors, policy.report_stale_ms)
        self._direct: dict[TargetId, Stream] = {}
        self._traffic: dict[TargetId, Traffic] = {}
        self._figures: dict[TargetId, Traffic] = {}
        self._metered: dict[TargetId, Metered] = {}
        self._views: dict[TargetId, TargetView] = {}
        self._sequence = 0
        self._at_ms = 0
        self._second_ms = 0
        self._take(topology, Roster(topology, policy), policy, site)

    def _take(self, topology: Topology, roster: Roster, policy: JudgePolicy, site: SiteId | None) -> None:
        """Watch these."""
        self._policy = policy
        self._site = site
        self._entries = roster.entries
        self._group_of = roster.group_of
        self._slo_us = roster.slo_us
        self._learner = Learner(self._entries, tuple(self._group_of.values()))
        self._hot = HotSet(len(self._entries), policy)
        self._verdicts = Verdicts(roster, policy, site, self._own, self._metered)
        self._not_up, self._active_groups = self._verdicts.not_up, self._verdicts.active_groups
        self._dirty = self._verdicts.dirty
        self._dirty.update(topology.targets)

    def refit(
        self,
        topology: Topology,
        policy: JudgePolicy,
        site: SiteId | None,
        *,
        anchors: tuple[str, ...],
        changed: Set[TargetId],
    ) -> None:
        """A reload: watch another deployment from now on. Evidence, suspicion, verdicts and what was learned go on.

        Only the ``changed`` targets start anew. Raises before anything is changed, or not at all.
        """
        at_ms = self._at_ms
        former, hot, learner = self._group_of, self._hot, self._learner
        not_up, active = dict(self._not_up), dict(self._active_groups)
        roster = Roster(topology, policy, known_streams(self._entries, changed))
        self._own.refit(anchors, roster.entries, policy.report_stale_ms, at_ms)
        carry_over(roster, former, policy, at_ms)
        self._take(topology, roster, policy, site)
        self._hot.go_on_from(hot)
        self._learner.go_on_from(learner)
        self._direct = {t: s for t, s in self._direct.items() if t not in changed and self._slo_us.get(t) == s.slo_us}
        for direct in self._direct.values():
            direct.refit(policy)
        for known in (self._traffic, self._figures):
            for target in [t for t, traffic in known.items() if not traffic.is_for(self._slo_of(t) // 1_000)]:
                del known[target]
            for traffic in known.values():
                traffic.refit(policy)
        streams = {**self._direct, **{target: entry[0] for target, entry in self._entries.items()}}
        self._not_up.update((t, stream) for t, stream in not_up.items() if streams.get(t) is stream)
        for target, group in self._group_of.items():
            if target in active or not group.bank.calm or group.bank.alarm >= 0:
                self._active_groups[target] = group
        self._views = {target: view for target, view in self._views.items() if target in topology.targets}
        for target in self._metered.keys() - topology.targets:
            del self._metered[target]

    def _slo_of(self, target: TargetId) -> int:
        """The SLO of a target's answers in microseconds; -1: there is no such target."""
        slo_us = self._slo_us.get(target)
        if slo_us is None and (entry := self._entries.get(target)) is not None:
            slo_us = entry[0].slo_us
        return -1 if slo_us is None else slo_us

    # -- results --------------------------------------------------------------------------------------------------

    def result(
        self,
        target: TargetId,
        outcome: Outcome,
        fault: Fault,
        latency_us: int,
        at_ms: int,
        started_ms: int,
        must_fail: bool = False,
        *,
        check: str = "",
        detail: str = "",
    ) -> bool:
        """One finished check; True when a standing or the hot set changed. Unknown targets and LOST change nothing.

        A member with several checks passes ``check``: while one check fails, passes of the others are no evidence of health.
        ``detail`` of a pass is a warning (a certificate about to expire) and shows in the view's reason; of a failure it is what
        the target said, and shows in the view's evidence.
        """
        entry = self._entries.get(target)
        if entry is None:
            entry = self._direct_entry(target)
            if entry is None:
                return False
        stream, pool, site = entry
        if (
            stream.at_ease
            and outcome is _PASS
            and pool is not None
            and site is not None
            and pool.bank.calm
            and site.bank.calm
            and not pool.watchers
            and not site.watchers
            and latency_us <= stream.slo_us
            and not must_fail
            and not detail
        ):
            stream.quiet += 1
            stream.last_at_ms = at_ms
            stream.last_start_ms = stream.last_pass_ms = started_ms
            pool.last_pass_ms = site.last_pass_ms = started_ms
            pool.last_heard_ms = site.last_heard_ms = at_ms
            pool.last_result_failed = site.last_result_failed = False
            return False
        if outcome is Outcome.LOST:
            stream.failing_checks.discard(check)
            return False
        if must_fail:
            return self._own.twin(target, outcome)
        return self._weigh(entry, outcome, fault, latency_us, at_ms, started_ms, check, detail)

    def _weigh(
        self, entry: Entry, outcome: Outcome, fault: Fault, latency_us: int, at_ms: int, started_ms: int, check: str, detail: str
    ) -> bool:
        stream, pool, site = entry
        stream.at_ease = False
        self._at_ms = max(self._at_ms, at_ms)
        changed = False
        if outcome is Outcome.PASS:
            stream.failing_checks.discard(check)
            if stream.warning != detail:
                stream.warning, changed = detail, True
                self._dirty.add(stream.target)
            if stream.failing_checks:
                return changed
            sample = stream.passed(latency_us, at_ms, started_ms)
        else:
            stream.failing_checks.add(check)
            sample = stream.failed(fault, at_ms, started_ms, detail, check)
        if pool is not None and site is not None and not stream.excluded:
            feed(pool, sample, outcome, fault, at_ms, started_ms, stream)
            feed(site, sample, outcome, fault, at_ms, started_ms, stream)
            self._active_groups[pool.target] = pool
            self._active_groups[site.target] = site
        changed |= self._verdicts.judge_stream(stream, pool, site, at_ms)
        for group in (pool, site):
            if group is not None:
                changed |= self._verdicts.judge_group(group, at_ms)
        stream.rest()
        return self._rehot(at_ms) or changed

    def _direct_entry(self, target: TargetId) -> Entry | None:
        """A pool's or site's own address: a stream of its own beside the pooled one, made at its first result."""
        if target not in self._group_of:
            return None
        stream = self._direct.get(target)
        if stream is None:
            stream = self._direct[target] = Stream(target, self._policy, self._slo_us[target])
        return (stream, None, None)

    # -- time -----------------------------------------------------------------------------------------------------

    def tick(self, at_ms: int) -> bool:
        """Let time pass: confirmations, stopwatches, staleness, learning. True when a standing or the hot set changed."""
        self._at_ms = max(self._at_ms, at_ms)
        changed = False
        for stream in list(self._not_up.values()):
            bank = stream.bank
            if bank.alarm == CRASH and stream.failing:
                continue  # it fails every check: only a pass could bring news
            if bank.alarm >= 0 or bank.ripe:
                _, pool, site = self._entries.get(stream.target, (stream, None, None))
                changed |= self._verdicts.judge_stream(stream, pool, site, at_ms)
        for group in list(self._active_groups.values()):
            changed |= self._verdicts.judge_group(group, at_ms)
        if at_ms - self._second_ms >= SECOND_MS:
            self._second_ms = at_ms - at_ms % SECOND_MS
            changed |= self._expire(at_ms)
            self._learner.learn_until(at_ms)
        return self._rehot(at_ms) or changed

    def next_timer_ms(self) -> int | None:
        """When `tick` should be called next; at least once a second."""
        if any(group.near_since_ms != NEVER or group.bank.suspect for group in self._active_groups.values()):
            return self._at_ms + NEAR_MS
        if self._active_groups or any(one.bank.ripe for one in self._not_up.values()):
            return self._at_ms + UNEASY_MS
        return self._second_ms + SECOND_MS

    @property
    def at_rest(self) -> bool:
        """Whether passes alone would change nothing but counts: no pool is under suspicion, nothing failed just now."""
        if self._active_groups or self._hot.targets:
            return False
        return all(one.bank.alarm < 0 and one.streak <= -2 for one in self._not_up.values())

    def fast_forward(self, elapsed_ms: int, at_ms: int) -> None:
        """Credit ``elapsed_ms`` of nothing but passes, for drivers in virtual time. Only while `at_rest`."""
        passes = elapsed_ms // self._policy.interval_ms
        for stream in list(self._not_up.values()):
            while passes and not stream.bank.calm:
                stream.bank.passed(None)
                passes -= 1
            passes = elapsed_ms // self._policy.interval_ms
            if stream.judge(at_ms):
                self._verdicts.standing_changed(stream)
                self._not_up.pop(stream.target)
        self._learner.skip(passes, at_ms, self._policy.interval_ms)
        span_ms = passes * self._policy.interval_ms
        for stream, pool, site in self._entries.values():
            lag_ms = stream.last_at_ms - stream.last_start_ms
            stream.last_at_ms = max(stream.last_at_ms + span_ms, at_ms - self._policy.interval_ms)
            stream.last_start_ms = stream.last_pass_ms = stream.last_at_ms - lag_ms
            for group in (pool, site):
                if group is not None:
                    group.last_pass_ms = max(group.last_pass_ms, stream.last_pass_ms)
                    group.last_heard_ms = max(group.last_heard_ms, stream.last_at_ms)
        self._at_ms = at_ms
        self._second_ms = at_ms - at_ms % SECOND_MS

    def _expire(self, at_ms: int) -> bool:
        """Unknown is what has not been heard of for long (law 3). A latched verdict shows again with the next result."""
        oldest = at_ms - max(self._policy.report_stale_ms, 5 * self._policy.interval_ms)
        silent = [
            stream
            for stream in (*(entry[0] for entry in self._entries.values()), *self._direct.values())
            if stream.last_at_ms < oldest and stream.standing is not Standing.UNKNOWN
        ]
        for stream in silent:
            stream.standing = Standing.UNKNOWN
            self._verdicts.standing_changed(stream)
            self._not_up.pop(stream.target, None)
        if silent:
            for group in self._group_of.values():
                if group.update_standing(at_ms):
                    self._dirty.add(group.target)
        return bool(silent)

    def _rehot(self, at_ms: int) -> bool:
        if not self._active_groups and not self._direct and not self._hot.targets:
            return False
        if not self._hot.due(at_ms, len(self._active_groups)):
            return False
        lone = [one for one in self._direct.values() if one.bank.alarm < 0 and not one.bank.calm]
        return self._hot.update(at_ms, self._verdicts.stirred_pools(), lone)

    def renew(self, target: TargetId) -> None:
        """Look at a standby afresh: what it was while it was closed says nothing about it now that it is open."""
        entry = self._entries.get(target)
        if entry is None or entry[1] is not None:
            return
        stream = Stream(target, self._policy, entry[0].slo_us)
        self._entries[target] = (stream, None, None)
        self._not_up.pop(target, None)
        self._dirty.add(target)

    # -- other evidence -------------------------------------------------------------------------------------------

    def anchor(self, name: str, outcome: Outcome, at_ms: int, started_ms: int) -> bool:
        """One anchor check; True when it changed the self-check."""
        return self._own.anchor(name, outcome, at_ms, started_ms)

    def observe_counts(
        self,
        target: TargetId,
        requests: int,
        errors: int,
        latency_ms: int | None,
        at_ms: int,
        good_for_ms: int | None = None,
    ) -> bool:
        """Real traffic since the last call, from a load balancer, for a pool or member target.

        ``good_for_ms`` marks figures that lag (Prometheus): they count for so long, and never contradict a check.
        """
        slo_us = self._slo_of(target)
        if slo_us < 0:
            return False
        known = self._traffic if good_for_ms is None else self._figures
        traffic = known.get(target)
        if traffic is None:
            traffic = known[target] = Traffic(self._policy, slo_us // 1_000, good_for_ms)
        changed = traffic.add(requests, errors, latency_ms, at_ms)
        if changed:
            self._dirty.add(target)
        return changed

    def metered(self, target: TargetId, reading: Reading) -> bool:
        """What the meter of a pool read, in its own time or because it was asked; True when a standing or the hot set changed.

        It speaks against silence only (`metered`); counts that accuse come by `observe_counts`.
        """
        group = self._group_of.get(target)
        if group is None:
            return False
        self._at_ms = max(self._at_ms, reading.at_ms)
        self._metered.setdefault(target, Metered()).add(reading)
        if group.bank.calm or group.bank.alarm >= 0:
            return False
        changed = False
        for one in (group, self._group_of.get(site_target(group.site))):
            if one is not None and one.target in self._active_groups:
                changed |= self._verdicts.judge_group(one, self._at_ms)
        return self._rehot(self._at_ms) or changed

    # -- what is told ---------------------------------------------------------------------------------------------

    def hot_targets(self) -> frozenset[TargetId]:
        """Targets to probe at ``fast_interval_ms``; `hot_version` changes with it."""
        return self._hot.targets

    @property
    def hot_version(self) -> int:
        """Counts the changes of the hot set."""
        return self._hot.version

    def report(self, at_ms: int) -> VantageReport:
        """Everything believed now. Each call has the next sequence number."""
        self._dirty.update(self._not_up)
        self._dirty.update(self._active_groups)
        self._dirty.update(self._traffic)
        self._dirty.update(self._figures)
        for target in self._dirty:
            self._views[target] = self._view(target, at_ms)
        self._dirty.clear()
        self._sequence += 1
        return VantageReport(
            vantage=self._vantage,
            site=self._site,
            at_ms=at_ms,
            boot_id=self._boot_id,
            sequence=self._sequence,
            self_check=self._own.check(at_ms),
            views=dict(self._views),
        )

    def _view(self, target: TargetId, at_ms: int) -> TargetView:
        traffic = self._traffic.get(target)
        group = self._group_of.get(target)
        if group is not None:
            view = group_view(group, self._direct.get(target), traffic, at_ms)
        else:
            view = stream_view(self._entries[target][0], traffic, at_ms)
        return with_traffic(view, self._figures.get(target), at_ms)
