"""Writes what the core heard into the journal, so that it can be replayed: inputs beside decisions.

A step is written when it changed anything but the reports' ages, or led to commands (a look at a meter is none: nothing that
is decided upon hangs on it); what it heard of a vantage is written as the views that changed. The vantages that had fallen silent
by then are named. Together with the setup and the state at the start, that is everything `step` ever got that mattered, so a
replay (`siteshift.replay`) decides the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from siteshift.core.explain import why_lines
from siteshift.core.messages.commands import ReadMeters
from siteshift.core.messages.events import Event, ReportArrived, TrafficMeasured
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.runtime.loop import Stepped

Note = Callable[[str, Mapping[str, object]], None]

QUIET_MS = 2_000
"""A vantage that last reported longer ago is named with its last instant; the others report once a second."""
_OF_NO_CONSEQUENCE = ("reports", "wake_at_ms", "rethink_at_ms", "chores_at_ms", "thought_at_ms")
_CONSEQUENTIAL = tuple(entry.name for entry in fields(ControllerState) if entry.name not in _OF_NO_CONSEQUENCE)


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Turns steps into journal rows."""

    note: Note
    _setup: Setup | None = None

    def note_setup(self, setup: Setup) -> None:
        """The setup from here on; after the start, from the event `Reloaded` with its digest on."""
        self._setup = setup
        self.note("setup", {"digest": setup.digest, "setup": to_document(setup)})

    def note_state(self, state: ControllerState) -> None:
        """The whole state at the start: here a replay begins."""
        self.note("state", {"state": to_document(state)})

    def stepped(self, stepped: Stepped) -> None:
        """One step: its input when it was news, and the reasons when steering changed."""
        event, before, after = stepped.event, stepped.before, stepped.decision.state
        acts = any(not isinstance(command, ReadMeters) for command in stepped.decision.commands)
        if acts or _is_news(event, before, after):
            self.note("input", _row(event, before))
        if self._setup is None or before.steering.generation == after.steering.generation:
            return
        for service in self._setup.topology.services:
            for site in service.sites:
                lines = why_lines(after, self._setup, service, site, event.at_ms)
                data = {"service": service.id, "site": site, "generation": after.steering.generation, "lines": lines}
                self.note("why", data)


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
