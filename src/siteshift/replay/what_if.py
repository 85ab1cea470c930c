"""The same record under another policy: what would have been decided otherwise, and when.

The other policy hears every recorded input, wakes when its own state asks for it, and acts through the record's own workers as
long as it commands the same; from its first different command on, through `workers.Workers`. Seen traffic then follows its own
shares: each service's recorded total, spread as it would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from siteshift.core.controller import step
from siteshift.core.messages.events import Event, Reloaded, ReportArrived, SeenTraffic, Ticked, TrafficMeasured
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.policy import Policy
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId, TargetId, member_target
from siteshift.core.state.controller_state import ControllerState
from siteshift.replay.as_recorded import AsRecorded, Refolded, kept_alive
from siteshift.replay.digests import Digests
from siteshift.replay.rows import InputRow, Row, StateRow
from siteshift.replay.workers import OF_WORKERS, Workers, has_open, to_workers

JITTER_MS = 100
"""A recorded tick comes this late at most; before it, our own would only be the same one early."""
SAME_MS = 1_000
"""The same decision no further apart than this is no difference."""
MOST_TICKS = 1_000
"""Ticks of our own between two rows; more means a state that asks to be woken for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What a service was to get from an instant on."""

    at_ms: int
    generation: int
    steering: ServiceSteering

    @property
    def text(self) -> str:
        """``pangyo 50 %, gasan 30 %``, with what is shed."""
        parts = [f"{site} {bp / 100:g} %" for site, bp in self.steering.shares_bp.items()]
        return ", ".join([*parts, f"shed {self.steering.shed_bp / 100:g} %"] if self.steering.shed_bp else parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An interval in which a service's desired shares differ. ``until_ms`` None: to the end of the record."""

    service: ServiceId
    from_ms: int
    until_ms: int | None
    recorded: Shares | None
    other: Shares | None


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """Both folds, row by row."""

    over: Callable[[Policy], Policy]
    """The other policy, given the one that was in force."""
    recorded: AsRecorded = field(default_factory=AsRecorded)
    state: ControllerState | None = None
    workers: Workers = field(default_factory=Workers)
    is_apart: bool = False
    """Whether the other policy has commanded something else, so that the record's workers are no longer its own."""
    ticks: int = 0
    ends_ms: int = 0
    was: dict[ServiceId, list[Shares]] = field(default_factory=dict)
    would_be: dict[ServiceId, list[Shares]] = field(default_factory=dict)
    _heard_ms: int | None = None
    """The last instant of our own since the node started."""
    _made: tuple[Setup, Setup] | None = None
    _digests: Digests = field(default_factory=Digests)

    def take(self, row: Row) -> None:
        """One row for both. Raises `CannotReplay`."""
        if isinstance(row, InputRow) and self.state is not None:
            self._wake_until(row)
        refolded = self.recorded.take(row)
        if isinstance(row, StateRow):
            self._start(row.state)
        if refolded is not None:
            self.ends_ms = self._heard_ms = refolded.event.at_ms
            self._hear(refolded)

    def _start(self, state: ControllerState) -> None:
        """A new process. What the other policy had decided by then is what it remembers."""
        self._heard_ms = None
        if self.state is None or not self.is_apart:
            self.state, self.workers, self.is_apart = state, Workers(), False
            return
        mine = self.state
        self.state = replace(
            state,
            steering=mine.steering,
            tracks=mine.tracks,
            transitions=mine.transitions,
            standbys=mine.standbys,
            overrides=mine.overrides,
        )

    @property
    def _setup(self) -> Setup:
        recorded = self.recorded.setup
        assert recorded is not None
        if self._made is None or self._made[0] is not recorded:
            self._made = (recorded, replace(recorded, policy=self.over(recorded.policy)))
        return self._made[1]

    # -- between rows ---------------------------------------------------------------------------------------------

    def _wake_until(self, row: InputRow) -> None:
        """Answers of our workers and ticks of our own that come before the next row."""
        end_ms = row.event.at_ms
        if self._heard_ms is None:
            return
        for _ in range(MOST_TICKS):
            assert self.state is not None
            wake_ms = max(self.state.wake_at_ms, self._heard_ms)
            due_ms = self.workers.next_ms() if self.is_apart else None
            if due_ms is not None and due_ms <= min(wake_ms, end_ms):
                self._step(self.workers.take_due(), row)
            elif wake_ms + (0 if self.is_apart else JITTER_MS) < end_ms:
                before = self.state.wake_at_ms
                self._step(Ticked(at_ms=wake_ms), row)
                self.ticks += 1
                if self.state.wake_at_ms <= before:
                    return
            else:
                return

    def _step(self, event: Event, row: InputRow) -> None:
        """One step of our own, which the record does not have."""
        assert self.state is not None
        self._heard_ms = event.at_ms
        before = kept_alive(self.state, event.at_ms, row.quiet)
        decision = step(before, event, self._setup)
        self.state = decision.state
        commands = to_workers(decision.commands)
        if commands and not self.is_apart:
            self._part(event.at_ms)
        self.workers.carry_out(commands, event.at_ms)
        self._note(event.at_ms)

    # -- rows -----------------------------------------------------------------------------------------------------

    def _hear(self, refolded: Refolded) -> None:
        assert self.state is not None
        event, recorded = refolded.event, to_workers(refolded.decision.commands)
        if self.is_apart and isinstance(event, OF_WORKERS):
            self._note(event.at_ms)
            return
        before = kept_alive(self.state, event.at_ms, refolded.quiet)
        heard = self._as_we_would_hear(event, refolded)
        before, heard = self._digests.put(before, heard, self._setup, refolded.answered, refolded.approved_by)
        decision = step(before, heard, self._setup)
        self.state = decision.state
        commands = to_workers(decision.commands)
        if not self.is_apart and not isinstance(event, Reloaded) and commands != recorded:
            self.workers.follow(event, ())
            self._part(event.at_ms)
            self.workers.carry_out(commands, event.at_ms)
        elif self.is_apart:
            self.workers.carry_out(commands, event.at_ms)
        else:
            self.workers.follow(event, recorded)
        self._note(event.at_ms)

    def _part(self, now_ms: int) -> None:
        self.is_apart = True
        self.workers.take_over(now_ms)

    def _as_we_would_hear(self, event: Event, refolded: Refolded) -> Event:
        if not self.is_apart:
            return event
        if isinstance(event, TrafficMeasured):
            return replace(event, seen=self._spread(event.seen))
        if isinstance(event, ReportArrived):
            return replace(event, report=replace(event.report, views=self._views(event, refolded)))
        return event

    def _views(self, event: ReportArrived, refolded: Refolded) -> dict[TargetId, TargetView]:
        """A standby that we opened and the record did not is taken to be well."""
        views: dict[TargetId, TargetView] = dict(event.report.views)
        for member, ready_ms in self.workers.ready_at_ms.items():
            target = member_target(member)
            if ready_ms <= event.at_ms and not has_open(refolded.decision.state, member) and target in views:
                views[target] = TargetView(standing=Standing.UP, score_pm=1_000, since_ms=ready_ms, last_pass_ms=event.at_ms - 1)
        return views

    def _spread(self, seen: tuple[SeenTraffic, ...]) -> tuple[SeenTraffic, ...]:
        """Each service's total, by our own shares where they differ from the record's."""
        assert self.state is not None and self.recorded.state is not None
        totals: dict[ServiceId, int] = {}
        for sample in seen:
            totals[sample.service] = totals.get(sample.service, 0) + sample.requests
        found = []
        for sample in seen:
            ours, theirs = self.state.steering.of(sample.service), self.recorded.state.steering.of(sample.service)
            if ours is None or (theirs is not None and ours.shares_bp == theirs.shares_bp):
                found.append(sample)
                continue
            requests = totals[sample.service] * ours.shares_bp.get(sample.site, 0) // WHOLE_BP
            found.append(_scaled(sample, requests))
        return tuple(found)

    # -- what differs ---------------------------------------------------------------------------------------------

    def _note(self, at_ms: int) -> None:
        for state, kept in ((self.recorded.state, self.was), (self.state, self.would_be)):
            if state is None:
                continue
            for entry in state.steering.services:
                series = kept.setdefault(entry.service, [])
                if not series or _shares(series[-1]) != (dict(entry.shares_bp), entry.shed_bp):
                    series.append(Shares(at_ms=at_ms, generation=state.steering.generation, steering=entry))

    def differences(self) -> list[Difference]:
        """Every interval in which desired shares differ, in order; shorter than a second: none."""
        found: list[Difference] = []
        for service in self.was.keys() | self.would_be.keys():
            found += _differences(service, self.was.get(service, []), self.would_be.get(service, []), self.ends_ms)
        return sorted(found, key=lambda entry: (entry.from_ms, entry.service))


def _shares(entry: Shares) -> tuple[dict[SiteId, int], int]:
    return dict(entry.steering.shares_bp), entry.steering.shed_bp


def _differences(service: ServiceId, was: list[Shares], would_be: list[Shares], ends_ms: int) -> list[Difference]:
    instants = sorted({entry.at_ms for entry in (*was, *would_be)})
    found: list[Difference] = []
    for number, at_ms in enumerate(instants):
        until_ms = instants[number + 1] if number + 1 < len(instants) else None
        one, other = _at(was, at_ms), _at(would_be, at_ms)
        is_same = one is not None and other is not None and _shares(one) == _shares(other)
        if is_same or (until_ms or ends_ms) - at_ms < SAME_MS:
            continue
        found.append(Difference(service=service, from_ms=at_ms, until_ms=until_ms, recorded=one, other=other))
    return found


def _at(series: list[Shares], at_ms: int) -> Shares | None:
    return next((entry for entry in reversed(series) if entry.at_ms <= at_ms), None)


def what_if(rows: Iterable[Row], over: Callable[[Policy], Policy]) -> WhatIf:
    """The whole record under another policy."""
    run = WhatIf(over=over)
    for row in rows:
        run.take(row)
    return run


def _scaled(sample: SeenTraffic, requests: int) -> SeenTraffic:
    """What a meter would have counted of so many requests: all parts of them alike. Where it counted none, nobody knows what
    would have been answered."""

    def part(count: int) -> int:
        return min(requests, count * requests // max(1, sample.requests))

    answered = None if sample.answered is None or not sample.requests else part(sample.answered)
    return replace(sample, requests=requests, errors=part(sample.errors), answered=answered, passed_on=part(sample.passed_on))
