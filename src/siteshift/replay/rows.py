"""The rows of a journal that a replay needs: setups, starts, inputs, decisions, and gaps between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from siteshift.core.lifecycle.durable import recorded
from siteshift.core.messages.events import Event, ReportArrived
from siteshift.core.model.codes import Severity
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId, SiteId, TargetId, VantageId
from siteshift.core.state.codec import from_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.meanwhile import Meanwhile
from siteshift.core.state.tracks import TrafficTrack
from siteshift.errors import SiteshiftError
from siteshift.replay.digests import approved_by

KINDS = ("setup", "state", "answer", "input", "decision", "gap", "traffic")
"""The kinds of entries that matter here."""


class CannotReplay(SiteshiftError):
    """The record does not say enough, or says what cannot be read."""


class Entry(Protocol):
    """What is read of a journal's entry (`ports.JournalEntry`)."""

    @property
    def sequence(self) -> int: ...
    @property
    def at_ms(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRow:
    """A setup: from the start on, or from the event `Reloaded` with its digest on."""

    sequence: int
    setup: Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """A node started with this state, or had it behind a gap of the record, or as it ran (``is_checkpoint``)."""

    sequence: int
    state: ControllerState
    is_checkpoint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRow:
    """One event that the core heard. ``gone`` None: a report is whole; else it holds only the views that changed.

    ``quiet``: vantages that had not reported for a while, and since when. ``approved_by``: who had approved what a request
    gives the digest of, where the request said so. ``since``: what readings without a row had made of the state by then.
    """

    sequence: int
    event: Event
    quiet: Mapping[VantageId, int]
    gone: tuple[TargetId, ...] | None = None
    approved_by: tuple[str, ...] = ()
    since: Meanwhile | None = None

    def whole(self, reports: Mapping[VantageId, VantageReport]) -> Event:
        """The event as it was heard. Raises `CannotReplay` when the report it builds on is not known."""
        if self.gone is None or not isinstance(self.event, ReportArrived):
            return self.event
        report = self.event.report
        known = reports.get(report.vantage)
        if known is None:
            raise CannotReplay(f"entry {self.sequence} builds on a report of {report.vantage} that is not in the record")
        views = {**known.views, **report.views}
        for target in self.gone:
            views.pop(target, None)
        return replace(self.event, report=replace(report, views=views))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """What a request was answered then. The entry stands before the input that it answers."""

    sequence: int
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """What was decided then. The entry stands before the input that led to it."""

    sequence: int
    generation: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """So many rows were counted instead of kept, while the store was lost; a `StateRow` follows."""

    sequence: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficRow:
    """What meters count now at these places, where that was news and nothing else was."""

    sequence: int
    at_ms: int
    traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack]


Row = SetupRow | StateRow | AnswerRow | InputRow | DecisionRow | GapRow | TrafficRow


def rows_of(entries: Iterable[Entry]) -> Iterator[Row]:
    """The rows in order; other kinds are passed over. Raises `CannotReplay` naming the entry that cannot be read."""
    for entry in entries:
        if entry.kind not in KINDS:
            continue
        try:
            yield _row(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotReplay(f"entry {entry.sequence} ({entry.kind}) cannot be read: {error}") from error


def _row(entry: Entry) -> Row:
    data: Mapping[str, Any] = entry.data
    match entry.kind:
        case "setup":
            return SetupRow(sequence=entry.sequence, setup=from_document(Setup, data["setup"]))
        case "state":
            state = recorded(data["state"])
            return StateRow(sequence=entry.sequence, state=state, is_checkpoint=data.get("checkpoint") is True)
        case "answer":
            return AnswerRow(sequence=entry.sequence, severity=Severity(data["severity"]))
        case "decision":
            return DecisionRow(sequence=entry.sequence, generation=data["generation"], digest=data["digest"])
        case "gap":
            return GapRow(sequence=entry.sequence, rows=int(data["rows"]))
        case "traffic":
            traffic = from_document(dict[tuple[ServiceId, SiteId], TrafficTrack], data["traffic"])
            return TrafficRow(sequence=entry.sequence, at_ms=entry.at_ms, traffic=traffic)
        case _:
            gone = data.get("gone")
            since = data.get("meanwhile")
            return InputRow(
                sequence=entry.sequence,
                event=from_document(Event, data["event"]),  # type: ignore[arg-type]  # a union is a form, not a class
                quiet=from_document(dict[VantageId, int], data.get("quiet", {})),
                gone=None if gone is None else tuple(gone),
                approved_by=approved_by(data["event"]),
                since=None if since is None else from_document(Meanwhile, since),
            )
