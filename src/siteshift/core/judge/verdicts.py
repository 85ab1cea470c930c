"""Verdicts of one vantage: when a stream is judged alone, when a group is accused, and who is told with it.

A group under suspicion needs a sibling that is seen to be better and a vantage that is seen to be connected (law 4); what
fails everywhere is accused everywhere at one instant. Silence is no verdict while the meter shows users answered, and a verdict
on it waits a moment for the meter's word (`metered`). Mutable and hot like `vantage`, which drives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from siteshift.core.judge.bank import NO_ALARM
from siteshift.core.judge.cusum import CRASH, NEVER
from siteshift.core.judge.membership import call_roll, exclude_the_sick, include_again
from siteshift.core.judge.metered import AT_HAND_MS, READ_WITHIN_MS, SETTLES_MS, Metered
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.roster import Roster
from siteshift.core.judge.selfcheck import OwnState
from siteshift.core.judge.siblings import LAG_MS
from siteshift.core.judge.stream import Stream
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import SiteId, TargetId


class Verdicts:
    """Judges streams and groups, and keeps those that trouble it.

    ``not_up``: streams that are not up. ``active_groups``: groups that are not calm. ``dirty``: targets to be viewed anew.
    """

    __slots__ = ("_entries", "_metered", "_own", "_policy", "_pools", "_site", "active_groups", "dirty", "not_up")

    def __init__(
        self,
        roster: Roster,
        policy: JudgePolicy,
        site: SiteId | None,
        own: OwnState,
        metered: Mapping[TargetId, Metered],
    ) -> None:
        self._entries = roster.entries
        self._pools = frozenset(roster.pools)
        self._policy = policy
        self._site = site
        self._own = own
        self._metered = metered
        self.not_up: dict[TargetId, Stream] = {}
        self.active_groups: dict[TargetId, Pooled] = {}
        self.dirty: set[TargetId] = set()

    def stirred_pools(self) -> Iterator[Pooled]:
        """Pools among the active groups."""
        return (group for group in self.active_groups.values() if group in self._pools)

    def judge_stream(self, stream: Stream, pool: Pooled | None, site: Pooled | None, at_ms: int) -> bool:
        """Judge one stream, and whether it still belongs in its groups; True when its standing changed."""
        changed = self._judge_alone(stream, at_ms)
        if pool is None or site is None:
            return changed
        if stream.excluded:
            if stream.bank.alarm < 0 and stream.standing is Standing.UP:
                include_again(stream, pool, site)
        elif stream.bank.alarm >= 0:
            exclude_the_sick(pool, site)
        return changed

    def _judge_alone(self, stream: Stream, at_ms: int) -> bool:
        changed = stream.judge(at_ms)
        if changed:
            self.standing_changed(stream)
        if stream.standing is Standing.UP:
            self.not_up.pop(stream.target, None)
        else:
            self.not_up[stream.target] = stream
        return changed

    def standing_changed(self, stream: Stream) -> None:
        """A stream's standing changed: tell it, and count it anew in its groups."""
        stream.at_ease = False
        self.dirty.add(stream.target)
        _, pool, site = self._entries.get(stream.target, (stream, None, None))
        if pool is not None and site is not None:
            call_roll(stream, pool, site)

    def judge_group(self, group: Pooled, at_ms: int) -> bool:
        """Clear, suspect or accuse one group; True when a standing changed."""
        bank = group.bank
        changed = False
        if bank.alarm >= 0 and bank.may_clear(at_ms, self._policy):
            bank.clear(at_ms)
            group.back_off()
            changed = self._clear_with(group, at_ms)
        group.watch()
        test = group.candidate(at_ms)
        if test != NO_ALARM and bank.alarm >= 0:
            bank.raise_alarm(test, at_ms, self._policy)
        elif test != NO_ALARM and self._is_refuted(group, test, at_ms):
            group.back_off()
        elif test != NO_ALARM and (asks := self._asks_meter(group, test, at_ms)) is not None:
            changed |= asks
        elif test != NO_ALARM:
            group.come_near(test, at_ms)
            if group.accused_with_all:
                changed |= self._accuse_all(group, at_ms)
            elif self._may_accuse(group, test, at_ms):
                group.accuse(at_ms)
        elif not bank.suspect:
            group.back_off()
        changed |= group.update_standing(at_ms)
        if changed:
            self.dirty.add(group.target)
        if bank.calm and bank.alarm < 0:
            self.active_groups.pop(group.target, None)
        return changed

    def _clear_with(self, pool: Pooled, at_ms: int) -> bool:
        """The pool's answer holds for the members that made it: their own streams would need minutes for the same."""
        changed = False
        for one in pool.answered_with(at_ms) if pool in self._pools else ():
            one.bank.clear(at_ms)
            changed |= self._judge_alone(one, at_ms)
        return changed

    def _meters_of(self, group: Pooled) -> list[Metered | None]:
        """The meter of a pool; of a site, those of its pools under suspicion. None: there is none."""
        if group in self._pools:
            return [self._metered.get(group.target)]
        return [self._metered.get(one.target) for one in self._pools if one.site == group.site and not one.bank.calm]

    def _is_refuted(self, group: Pooled, test: int, at_ms: int) -> bool:
        """Whether checks hear nothing while users are answered."""
        if not self._metered or group.bank.hardness(test) is not Hardness.SILENT:
            return False
        meters, since_ms = self._meters_of(group), group.bank.t0[test]
        return bool(meters) and all(one is not None and one.refutes(test, since_ms, at_ms) for one in meters)

    def _asks_meter(self, group: Pooled, test: int, at_ms: int) -> bool | None:
        """Whether the verdict waits for a reading, and asks for it now (True: that is news); None: it waits for nothing."""
        if not self._metered or group.bank.hardness(test) is not Hardness.SILENT:
            return None
        meters = self._meters_of(group)
        if not meters or any(one is None or not one.speaks(at_ms) for one in meters):
            return None
        if group.asked_ms == NEVER or at_ms - group.asked_ms >= AT_HAND_MS:
            group.asked_ms, group.is_asked = at_ms + (SETTLES_MS if test == CRASH else 0), False
        if at_ms < group.asked_ms:
            return False
        if not group.is_asked:
            group.is_asked = True
            return True
        is_read = all(one is not None and one.last_ms >= group.asked_ms for one in meters)
        return None if is_read or at_ms - group.asked_ms >= READ_WITHIN_MS else False

    def _accuse_all(self, group: Pooled, at_ms: int) -> bool:
        """The fault is everywhere: the verdicts come at one instant, so that nobody acts on the first of them."""
        changed = False
        for one in (group, *group.siblings):
            if one.bank.alarm < 0:
                one.accuse(at_ms)
                if one.update_standing(at_ms):
                    self.dirty.add(one.target)
                    changed = True
        return changed

    def _may_accuse(self, group: Pooled, test: int, at_ms: int) -> bool:
        """Law 4: not before a sibling is seen to be better and the vantage itself is seen to be connected."""
        if group.wait_over(at_ms):
            return True
        better = group.reassurers(test, at_ms)
        if group.siblings and not better:
            return False
        if not self._own.has_anchors or any(one.site != self._site for one in group.siblings if one in better):
            return True
        return self._own.last_anchor_pass_ms >= group.bank.t0[test] + LAG_MS
