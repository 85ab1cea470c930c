"""The record folded through the core again, under the setup it was made with; every decision is compared.

A journal holds a section for each start of the node, and checkpoints between. Entries before the first of them are passed over
and counted; a journal whose beginning was sealed away begins with a checkpoint.
Where rows were counted instead of kept, the fold goes on with the state written down behind the gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from siteshift.core.controller import Decision, step
from siteshift.core.messages.commands import Record
from siteshift.core.messages.events import Event, Reloaded
from siteshift.core.model.codes import Severity
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import VantageId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.meanwhile import Meanwhile, caught_up
from siteshift.replay.digests import Digests
from siteshift.replay.rows import (
    AnswerRow,
    CannotReplay,
    DecisionRow,
    GapRow,
    InputRow,
    Row,
    SetupRow,
    StateRow,
    TrafficRow,
)

KEEP_ALIVE_MS = 1_000
"""A vantage that was not silent has reported at least this lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refolded:
    """One recorded step, taken again.

    ``answered``: what a request was answered then; ``since`` and ``approved_by``: as in its row. ``heard``: the event as it was
    put to the core, with the digests that hold here.
    """

    sequence: int
    event: Event
    heard: Event
    quiet: Mapping[VantageId, int]
    before: ControllerState
    decision: Decision
    setup: Setup
    answered: Severity = Severity.REFUSED
    since: Meanwhile | None = None
    approved_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A decision that came out differently. None: there was none on that side."""

    sequence: int
    at_ms: int
    recorded: tuple[int, str] | None
    replayed: tuple[int, str] | None

    def __str__(self) -> str:
        recorded, replayed = _told(self.recorded), _told(self.replayed)
        return f"entry {self.sequence} at {self.at_ms}: the record has {recorded}, the replay {replayed}"


def _told(decision: tuple[int, str] | None) -> str:
    return f"generation {decision[0]} ({decision[1]})" if decision else "no decision"


@dataclass(slots=True, kw_only=True)
class AsRecorded:
    """The fold. Feed every row to `take`; it returns the step when the row was one."""

    setup: Setup | None = None
    state: ControllerState | None = None
    starts: int = 0
    gaps: int = 0
    lost_rows: int = 0
    """Rows that only gaps tell of."""
    inputs: int = 0
    passed_over: int = 0
    decisions: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    _setups: deque[Setup] = field(default_factory=deque)
    _decided: list[tuple[int, str]] = field(default_factory=list)
    _digests: Digests = field(default_factory=Digests)
    _answered: Severity = Severity.REFUSED
    _is_behind_gap: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether there was a start or a checkpoint to begin from."""
        return self.starts > 0 or self.setup is not None

    @property
    def former(self) -> int:
        """Requests whose digest held, and is formed otherwise here."""
        return self._digests.others

    def take(self, row: Row) -> Refolded | None:
        """Fold one row. Raises `CannotReplay`."""
        match row:
            case SetupRow(setup=setup):
                self._setups.append(setup)
            case StateRow(state=state, is_checkpoint=is_checkpoint):
                self._start(state, is_checkpoint=is_checkpoint)
            case TrafficRow(traffic=traffic):
                if self.state is not None:
                    self.state = self.state.changed(traffic={**self.state.traffic, **traffic})
            case AnswerRow(severity=severity):
                self._answered = severity
            case DecisionRow(generation=generation, digest=digest):
                self._decided.append((generation, digest))
            case GapRow(rows=rows):
                self.gaps += 1
                self.lost_rows += rows
                self.state, self._is_behind_gap = None, True
            case InputRow():
                return self._hear(row)
        return None

    def _start(self, state: ControllerState, *, is_checkpoint: bool) -> None:
        """A new process, the other side of a gap, or a checkpoint: the last setup noted before it is the one it goes on with."""
        self.state = state
        self.starts += 0 if self._is_behind_gap or is_checkpoint else 1
        self._is_behind_gap = False
        if self._setups:
            self.setup = self._setups[-1]
        self._setups.clear()
        self._decided.clear()

    def _hear(self, row: InputRow) -> Refolded | None:
        recorded, self._decided = self._decided, []
        if self.state is None or self.setup is None:
            self.passed_over += 1
            return None
        before = self.state if row.since is None else caught_up(self.state, row.since)
        before = kept_alive(before, row.event.at_ms, row.quiet)
        event = row.whole(before.reports)
        if isinstance(event, Reloaded):
            self._take_setup(event)
        try:
            before, heard = self._digests.put(before, event, self.setup, self._answered, row.approved_by)
            decision = step(before, heard, self.setup)
        except Exception as error:
            why = f"the core fails on it ({type(error).__name__}: {error})"
            raise CannotReplay(f"entry {row.sequence}: {why}: the record was changed, or this is a fault of siteshift") from error
        self.state = decision.state
        self.inputs += 1
        self._compare(row, recorded, decision)
        return Refolded(
            sequence=row.sequence,
            event=event,
            heard=heard,
            quiet=row.quiet,
            before=before,
            decision=decision,
            setup=self.setup,
            answered=self._answered,
            since=row.since,
            approved_by=row.approved_by,
        )

    def _take_setup(self, event: Reloaded) -> None:
        while self._setups:
            self.setup = self._setups.popleft()
            if self.setup.digest == event.digest:
                return

    def _compare(self, row: InputRow, recorded: list[tuple[int, str]], decision: Decision) -> None:
        replayed = decisions_of(decision)
        self.decisions += len(recorded)
        for number in range(max(len(recorded), len(replayed))):
            one = recorded[number] if number < len(recorded) else None
            other = replayed[number] if number < len(replayed) else None
            if one != other:
                found = Mismatch(sequence=row.sequence, at_ms=row.event.at_ms, recorded=one, replayed=other)
                self.mismatches.append(found)


def fold(rows: Iterable[Row]) -> AsRecorded:
    """The whole record."""
    run = AsRecorded()
    for row in rows:
        run.take(row)
    return run


def decisions_of(decision: Decision) -> list[tuple[int, str]]:
    """Generation and digest of what a step decided."""
    return [
        (int(str(command.data["generation"])), str(command.data["digest"]))
        for command in decision.commands
        if isinstance(command, Record) and command.kind == "decision"
    ]


def kept_alive(state: ControllerState, now_ms: int, quiet: Mapping[VantageId, int]) -> ControllerState:
    """The state with its reports as fresh as they were: repetitions that said nothing new are not in the record."""
    reports = {name: _aged(report, now_ms, quiet.get(name)) for name, report in state.reports.items()}
    return replace(state, reports=reports)


def _aged(report: VantageReport, now_ms: int, quiet_since_ms: int | None) -> VantageReport:
    at_ms = quiet_since_ms if quiet_since_ms is not None else max(report.at_ms, now_ms - KEEP_ALIVE_MS)
    return report if at_ms == report.at_ms else replace(report, at_ms=at_ms)
