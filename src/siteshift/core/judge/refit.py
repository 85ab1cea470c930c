"""A reload, as one observer lives through it: what is known of a target that did not change goes on.

Streams and what pooled streams have summed up are handed from the former roster to the next one; evidence that came from
members that are gone, or are checked differently now, is taken out. Nothing is changed before everything has been made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from siteshift.core.judge.learning import Entry
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.roster import Roster
from siteshift.core.judge.stream import Stream
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.units import TargetId


def changed_targets(before: Sequence[ProbeSpec], after: Sequence[ProbeSpec]) -> frozenset[TargetId]:
    """Targets that are asked something else than before, or something for the first time."""
    old, new = _by_target(before), _by_target(after)
    return frozenset(target for target, asked in new.items() if old.get(target) != asked)


def _by_target(specs: Sequence[ProbeSpec]) -> dict[TargetId, set[ProbeSpec]]:
    found: dict[TargetId, set[ProbeSpec]] = {}
    for spec in specs:
        found.setdefault(spec.target, set()).add(_what_is_asked(spec))
    return found


def _what_is_asked(spec: ProbeSpec) -> ProbeSpec:
    """The check without its rhythm and its limits: how often we look, how long we wait and how we part changes nothing about the
    target. What we show and say first (a client certificate, a PROXY header, an authority) does: another may be answered
    otherwise.
    """
    return replace(
        spec, interval_ms=0, timeout_ms=0, phase_ms=0, stopwatch_ms=0, keep_alive=False, slo_latency_ms=0, twin=None, goodbye=b""
    )


def known_streams(entries: Mapping[TargetId, Entry], changed: Set[TargetId]) -> dict[TargetId, Stream]:
    """The streams that may go on, by target."""
    return {target: entry[0] for target, entry in entries.items() if target not in changed}


def carry_over(roster: Roster, former: Mapping[TargetId, Pooled], policy: JudgePolicy, at_ms: int) -> None:
    """Let the groups of a new roster go on from the former groups, and retune what goes on to the new policy."""
    for stream, _, _ in roster.entries.values():
        stream.refit(policy)
    number_of = {group.index: roster.group_of[name].index for name, group in former.items() if name in roster.group_of}
    for target, group in roster.group_of.items():
        group.recount()
        before = former.get(target)
        if before is not None:
            group.go_on_from(before, number_of)
        group.retune()
    for group in roster.group_of.values():
        group.update_standing(at_ms)
