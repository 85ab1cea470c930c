"""Writes what the core heard into the journal, so that it can be replayed: inputs beside decisions.

Reports are written when what they say changed; ticks only when they made the core reconcile. Together with the setup
and the durable state at the start, that is everything `step` ever got, so a replay decides the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from siteshift.core.codec import to_document
from siteshift.core.events import ReportArrived, Ticked, TrafficMeasured
from siteshift.core.explain import why_lines
from siteshift.core.setup import Setup
from siteshift.runtime.loop import Stepped

Note = Callable[[str, Mapping[str, object]], None]


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Turns steps into journal rows."""

    note: Note
    _setup: Setup | None = None

    def note_setup(self, setup: Setup) -> None:
        """The setup from here on."""
        self._setup = setup
        self.note("setup", {"digest": setup.digest, "setup": to_document(setup)})

    def stepped(self, stepped: Stepped) -> None:
        """One step: its input when it was news, and the reasons when steering changed."""
        event, before, after = stepped.event, stepped.before, stepped.decision.state
        is_news = bool(stepped.decision.commands) or before.wake_at_ms != after.wake_at_ms
        match event:
            case Ticked():
                is_news = bool(stepped.decision.commands)
            case ReportArrived(report=report):
                known = before.reports.get(report.vantage)
                is_news = known is None or known.views != report.views or known.self_check != report.self_check
            case TrafficMeasured():
                is_news = True
            case _:
                pass
        if is_news:
            self.note("input", {"event": to_document(event)})
        if self._setup is None or before.steering.generation == after.steering.generation:
            return
        for service in self._setup.topology.services:
            for site in service.sites:
                lines = why_lines(after, self._setup, service, site, event.at_ms)
                data = {"service": service.id, "site": site, "generation": after.steering.generation, "lines": lines}
                self.note("why", data)
