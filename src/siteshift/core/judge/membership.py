"""Who is part of a pooled stream: siblings, results handed in, sick members taken out and let in again."""

from __future__ import annotations

from siteshift.core.judge.cusum import GREY
from siteshift.core.judge.evidence import hardness_of
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.stream import Sample, Stream, standing_counts_of
from siteshift.core.model.codes import Fault, Outcome


def make_siblings(family: list[Pooled]) -> None:
    for one in family:
        one.siblings = [other for other in family if other is not one]


def _stand_out(sick: list[Stream], included: list[Stream], epoch: int) -> bool:
    """Whether the sick members fail far more often than the others since the trouble began; else it may be everybody's."""
    theirs = sum(one.pool_part.fails_since(epoch) for one in sick)
    others = sum(one.pool_part.fails_since(epoch) for one in included if one not in sick)
    fair = (len(included) - len(sick)) * theirs / len(sick)
    return others <= max(1.0, fair / 5)


def feed(group: Pooled, sample: Sample, outcome: Outcome, fault: Fault, at_ms: int, started_ms: int, stream: Stream) -> None:
    """Hand one member's result to a pooled stream and to those who watch it."""
    bank = group.bank
    part = stream.site_part if group.part_of == "site_part" else stream.pool_part
    group.hear(started_ms, at_ms, passed=outcome is Outcome.PASS)
    if sample is Sample.FAILED:
        bank.failed(started_ms, at_ms, hardness_of(fault), part)
        for watcher in group.watchers:
            watcher.failed(group.index, started_ms)
        return
    if sample is Sample.ECHO:
        if not bank.calm:
            bank.echoed(failing=1 if outcome is Outcome.FAIL else 0)
        return
    if sample is Sample.SLOW_ECHO:
        if not bank.calm:
            bank.dragged()
        return
    if sample is Sample.SLOWED:
        bank.slowed(started_ms, at_ms, part)
    elif not bank.calm:
        bank.passed(part)
    for watcher in group.watchers:
        watcher.passed(group.index, started_ms, slow=1 if sample is Sample.SLOWED else 0)


def call_roll(stream: Stream, pool: Pooled, site: Pooled) -> None:
    """Keep the counts of both groups in step with one member; after every change of its standing or membership."""
    now, before = standing_counts_of(stream), stream.standing_counts
    if now == before:
        return
    stream.standing_counts = now
    pool.count(now, before)
    site.count(now, before)


def exclude_the_sick(pool: Pooled, site: Pooled) -> None:
    """Judge members with a verdict of their own alone, unless the rest of the pool is in trouble as well."""
    included = pool.included
    sick = [one for one in included if one.bank.alarm >= 0]
    if pool.bank.alarm >= 0 or len(sick) == len(included):
        return
    if not _stand_out(sick, included, pool.bank.epoch[GREY]):
        return
    for one in sick:
        one.excluded = True
        pool.bank.withdraw(one.pool_part)
        site.bank.withdraw(one.site_part)
        call_roll(one, pool, site)
    pool.retune()
    site.retune()


def include_again(stream: Stream, pool: Pooled, site: Pooled) -> None:
    """A member that recovered counts again."""
    stream.excluded = False
    for group in (pool, site):
        group.last_pass_ms = max(group.last_pass_ms, stream.last_pass_ms)
        if stream.last_pass_ms and not stream.failing:
            group.last_heard_ms = max(group.last_heard_ms, stream.last_at_ms)
    call_roll(stream, pool, site)
    pool.retune()
    site.retune()
