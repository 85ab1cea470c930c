"""Writes what the core heard into the journal, so that it can be replayed: inputs beside decisions.

A step is written when it changed anything but the reports' ages, or led to commands (a look at a meter is none: nothing that
is decided upon hangs on it); what it heard of a vantage is written as the views that changed. The vantages that had fallen silent
by then are named. A reading of a meter or a plane that says nothing new gets no row (`core.state.meanwhile`, ADR 24): the next
row says what the state had become, and a row `traffic` tells what is counted when that changes by more than chance. Together
with the setup and the state at the start, that is everything `step` ever got that mattered, so a replay (`siteshift.replay`)
decides the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from siteshift.core.explain import why_lines
from siteshift.core.messages.commands import Command, ReadMeters, ReadPlane
from siteshift.core.messages.events import Event, ReadBackArrived, ReadBackFailed, ReportArrived, Ticked, TrafficMeasured
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.meanwhile import READ_FIELDS, meanwhile, says_new, stands_as
from siteshift.runtime.loop import Stepped

Note = Callable[[str, Mapping[str, object]], None]

QUIET_MS = 2_000
"""A vantage that last reported longer ago is named with its last instant; the others report once a second."""
TELLING_MS = 60_000
"""So long after siteshift did something every reading of a meter is on record: what users got of it is looked at later, under
another policy too. A move has settled by then (`policy.settle_s` is 10 s)."""
_READINGS = (Ticked, TrafficMeasured, ReadBackArrived, ReadBackFailed)
_LOOKS = (ReadMeters, ReadPlane)
_OF_NO_CONSEQUENCE = ("reports", "wake_at_ms", "rethink_at_ms", "chores_at_ms", "thought_at_ms")
_CONSEQUENTIAL = tuple(entry.name for entry in fields(ControllerState) if entry.name not in _OF_NO_CONSEQUENCE)
_BY_MORE_THAN_READINGS = tuple(name for name in _CONSEQUENTIAL if name not in READ_FIELDS)


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Turns steps into journal rows."""

    note: Note
    _setup: Setup | None = None
    _told: ControllerState | None = None
    """What a replay has after the last row."""
    _acted_ms: int = 0

    def note_setup(self, setup: Setup) -> None:
        """The setup from here on; after the start, from the event `Reloaded` with its digest on."""
        self._setup = setup
        self.note("setup", {"digest": setup.digest, "setup": to_document(setup)})

    def note_state(self, state: ControllerState) -> None:
        """The whole state at the start: here a replay begins."""
        self._told = state
        self.note("state", {"state": to_document(state)})

    def note_checkpoint(self, state: ControllerState, now_ms: int) -> None:
        """Setup, state and reasons as they are: a replay, and `siteshift why`, can begin here when all before is sealed away."""
        assert self._setup is not None, "nothing was noted yet"
        self.note_setup(self._setup)
        self._told = state
        self.note("state", {"state": to_document(state), "checkpoint": True})
        self._note_reasons(state, self._setup, now_ms)

    def stepped(self, stepped: Stepped) -> None:
        """One step: its input when it was news, and the reasons when steering changed."""
        event, before, after = stepped.event, stepped.before, stepped.decision.state
        acts = any(not isinstance(command, ReadMeters) for command in stepped.decision.commands)
        if not acts and not _is_news(event, before, after):
            return
        if self._is_quiet(stepped):
            self._tell_traffic(event, after)
            return
        if _does_something(stepped.decision.commands):
            self._acted_ms = event.at_ms
        self.note("input", self._row(event, before))
        self._told = after
        if self._setup is not None and before.steering.generation != after.steering.generation:
            self._note_reasons(after, self._setup, event.at_ms)

    def _note_reasons(self, state: ControllerState, setup: Setup, now_ms: int) -> None:
        for service in setup.topology.services:
            for site in service.sites:
                lines = why_lines(state, setup, service, site, now_ms)
                data = {"service": service.id, "site": site, "generation": state.steering.generation, "lines": lines}
                self.note("why", data)

    def _is_quiet(self, stepped: Stepped) -> bool:
        """Whether it heard a reading that says nothing new, and did nothing."""
        event, before, after = stepped.event, stepped.before, stepped.decision.state
        if self._told is None or not isinstance(event, _READINGS) or _does_something(stepped.decision.commands):
            return False
        if isinstance(event, TrafficMeasured) and event.at_ms - self._acted_ms < TELLING_MS:
            return False
        if any(getattr(before, name) is not getattr(after, name) for name in _BY_MORE_THAN_READINGS):
            return False
        return before.planes is after.planes or all(stands_as(now, before.plane(name)) for name, now in after.planes.items())

    def _tell_traffic(self, event: Event, after: ControllerState) -> None:
        """A row with what is counted now, where that is news."""
        if not isinstance(event, TrafficMeasured) or self._told is None:
            return
        told = self._told.traffic
        keys = [(sample.service, sample.site) for sample in event.seen]
        new = {key: after.traffic[key] for key in keys if key in after.traffic and says_new(told.get(key), after.traffic[key])}
        if new:
            self.note("traffic", {"traffic": to_document(new)})
            self._told = self._told.changed(traffic={**told, **new})

    def _row(self, event: Event, before: ControllerState) -> dict[str, object]:
        row = _row(event, before)
        since = meanwhile(self._told, before) if self._told is not None else None
        if since is not None:
            row["meanwhile"] = to_document(since)
        return row


def _does_something(commands: tuple[Command, ...]) -> bool:
    return any(not isinstance(command, _LOOKS) for command in commands)


def _is_news(event: Event, before: ControllerState, after: ControllerState) -> bool:
    """Whether the step left anything behind. Fields that were not set anew are the same objects."""
    if isinstance(event, TrafficMeasured) or any(getattr(before, name) is not getattr(after, name) for name in _CONSEQUENTIAL):
        return True
    if not isinstance(event, ReportArrived):
        return False
    known = before.reports.get(event.report.vantage)
    if known is None:
        return True
    return known.views != event.report.views or known.self_check != event.report.self_check


def _row(event: Event, before: ControllerState) -> dict[str, object]:
    quiet = {name: report.at_ms for name, report in before.reports.items() if event.at_ms - report.at_ms > QUIET_MS}
    row: dict[str, object] = {}
    if isinstance(event, ReportArrived) and (known := _known_as_sent(event.report, before)) is not None:
        row["gone"] = sorted(known.views.keys() - event.report.views.keys())
        event = replace(event, report=_news_of(event.report, known))
    row["event"] = to_document(event)
    if quiet:
        row["quiet"] = quiet
    return row


def _known_as_sent(report: VantageReport, before: ControllerState) -> VantageReport | None:
    """The report before, where it is kept with the instants it was sent with; else the new one is written whole."""
    track = before.vantages.get(report.vantage)
    return before.reports.get(report.vantage) if track is None or not track.clock_ahead_ms else None


def _news_of(report: VantageReport, known: VantageReport) -> VantageReport:
    """The report with only the views that differ from what was known; ``gone`` beside it says that it is such a part."""
    views = known.views
    return replace(report, views={target: view for target, view in report.views.items() if views.get(target) != view})
