"""The same record under another policy: what would have been decided otherwise, and when.

The other policy hears every recorded input, wakes when its own state asks for it, and acts through the record's own workers as
long as it commands the same; from its first different command on, through `workers.Workers`. Seen traffic then follows its own
shares: each service's recorded total, spread as it would have been. Readings that said nothing new are not in the record: between
its rows a plane is read as it was, and a meter counts on as it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from siteshift.core.beliefs.traffic import FRESH_MS
from siteshift.core.controller import step
from siteshift.core.messages.events import Event, Reloaded, ReportArrived, SeenTraffic, Ticked, TrafficMeasured
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.policy import Policy
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId, TargetId, VantageId, member_target
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.meanwhile import read_on
from siteshift.core.state.tracks import TrafficTrack
from siteshift.replay.as_recorded import AsRecorded, Refolded, kept_alive
from siteshift.replay.digests import Digests
from siteshift.replay.rows import InputRow, Row, StateRow, TrafficRow
from siteshift.replay.workers import OF_WORKERS, Workers, acts_of, has_open, to_workers

JITTER_MS = 100
"""A recorded tick comes this late at most; before it, our own would only be the same one early."""
SAME_MS = 1_000
"""The same decision no further apart than this is no difference."""
MOST_TICKS = 1_000
"""Steps of our own between two rows at most, and one more for each `BETWEEN_MS` between them; more means a state that asks to be
woken for ever."""
BETWEEN_MS = 100
REPEAT_MS = 2_000
"""How often what a meter counted last is counted again where the record has no reading: soon enough for a place to count as heard
(`core.beliefs.traffic.FRESH_MS`), and rarely enough for one request every other second to count."""


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
    _counted_ms: int = 0
    """When a meter was last heard, or its counts repeated."""
    _told_ms: int = 0
    """The last instant that the record told what meters count."""
    _made: tuple[Setup, Setup] | None = None
    _digests: Digests = field(default_factory=Digests)

    def take(self, row: Row) -> None:
        """One row for both. Raises `CannotReplay`."""
        if isinstance(row, InputRow) and self.state is not None:
            self._wake_until(row.event.at_ms, row.quiet)
        elif isinstance(row, TrafficRow) and self.state is not None:
            self._wake_until(row.at_ms, {})
        refolded = self.recorded.take(row)
        if isinstance(row, StateRow) and not (row.is_checkpoint and self.state is not None):
            self._start(row.state)
        if isinstance(row, TrafficRow):
            self._told_ms = row.at_ms
            if self.state is not None and not self.is_apart:
                self.state = self.state.changed(traffic={**self.state.traffic, **row.traffic})
        if refolded is not None:
            self._told_ms = refolded.event.at_ms
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

    def _wake_until(self, end_ms: int, quiet: Mapping[VantageId, int]) -> None:
        """Answers of our workers, counts that go on, and ticks of our own, all that come before the next row."""
        if self._heard_ms is None:
            return
        for _ in range(MOST_TICKS + max(0, end_ms - self._heard_ms) // BETWEEN_MS):
            assert self.state is not None
            wake_ms = max(self.state.wake_at_ms, self._heard_ms)
            due_ms = self.workers.next_ms() if self.is_apart else None
            count_ms = max(self._heard_ms, self._counted_ms + REPEAT_MS) if self.is_apart else end_ms
            if due_ms is not None and due_ms <= min(wake_ms, end_ms, count_ms):
                self._step(self.workers.take_due(), quiet)
            elif count_ms <= min(wake_ms, end_ms - 1):
                self._counted_ms = count_ms
                if seen := self._counted_on():
                    self._step(TrafficMeasured(at_ms=count_ms, seen=self._spread(seen)), quiet)
            elif wake_ms + (0 if self.is_apart else JITTER_MS) < end_ms:
                before = self.state.wake_at_ms
                self._step(Ticked(at_ms=wake_ms), quiet)
                self.ticks += 1
                if self.state.wake_at_ms <= before:
                    return
            else:
                return

    def _counted_on(self) -> tuple[SeenTraffic, ...]:
        """What a meter counts in `REPEAT_MS` as it did when the record last told; nothing of places it was silent about then."""
        state = self.recorded.state
        if state is None:
            return ()
        told = ((key, track) for key, track in state.traffic.items() if self._told_ms - track.at_ms <= FRESH_MS)
        return tuple(counted_on(service, site, track) for (service, site), track in told)

    def _step(self, event: Event, quiet: Mapping[VantageId, int]) -> None:
        """One step of our own, which the record does not have."""
        assert self.state is not None
        last_ms, self._heard_ms = self._heard_ms, event.at_ms
        state = self.state if self.is_apart or last_ms is None else _read_on(self.state, last_ms, event.at_ms)
        decision = step(kept_alive(state, event.at_ms, quiet), event, self._setup)
        self.state = decision.state
        if acts_of(decision.commands) and not self.is_apart:
            self._part(event.at_ms)
        self.workers.carry_out(to_workers(decision.commands) if self.is_apart else (), event.at_ms)
        self._note(event.at_ms)

    # -- rows -----------------------------------------------------------------------------------------------------

    def _hear(self, refolded: Refolded) -> None:
        assert self.state is not None
        event, recorded = refolded.event, to_workers(refolded.decision.commands)
        if self.is_apart and isinstance(event, OF_WORKERS):
            self._note(event.at_ms)
            return
        before = self.state
        if not self.is_apart and refolded.since is not None:
            before = read_on(before, refolded.since)
        before = kept_alive(before, event.at_ms, refolded.quiet)
        if isinstance(event, TrafficMeasured):
            self._counted_ms = event.at_ms
        heard = self._as_we_would_hear(event, refolded)
        before, heard = self._digests.put(before, heard, self._setup, refolded.answered, refolded.approved_by)
        decision = step(before, heard, self._setup)
        self.state = decision.state
        commands = to_workers(decision.commands)
        if not self.is_apart and not isinstance(event, Reloaded) and acts_of(commands) != acts_of(recorded):
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


def _read_on(state: ControllerState, last_ms: int, now_ms: int) -> ControllerState:
    """The state with what readings between rows keep fresh: meters that were heard lately, and planes that were due."""
    traffic = {
        key: track._replace(at_ms=now_ms) if last_ms - track.at_ms <= FRESH_MS else track for key, track in state.traffic.items()
    }
    planes = {
        name: track if track.reading_since_ms is None else track.changed(reading_since_ms=None)
        for name, track in state.planes.items()
    }
    return state.changed(traffic=traffic, planes=planes)


def counted_on(service: ServiceId, site: SiteId, track: TrafficTrack) -> SeenTraffic:
    """What a place counts in `REPEAT_MS` as it goes on: by its mean, and answered as in its last window."""
    requests = track.rate_mrps * REPEAT_MS // 1_000_000
    answered = requests if not track.asked_mrps else min(requests, requests * track.answered_mrps // track.asked_mrps)
    return SeenTraffic(
        service=service,
        site=site,
        window_ms=REPEAT_MS,
        requests=requests,
        errors=0 if track.tells_answers else requests - answered,
        answered=answered if track.tells_answers else None,
    )


def _scaled(sample: SeenTraffic, requests: int) -> SeenTraffic:
    """What a meter would have counted of so many requests: all parts of them alike. Where it counted none, nobody knows what
    would have been answered."""

    def part(count: int) -> int:
        return min(requests, count * requests // max(1, sample.requests))

    answered = None if sample.answered is None or not sample.requests else part(sample.answered)
    return replace(sample, requests=requests, errors=part(sample.errors), answered=answered, passed_on=part(sample.passed_on))
