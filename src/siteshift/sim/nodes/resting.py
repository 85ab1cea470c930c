"""An observer that can rest while all is well: passes of a healthy stream are a fixed point of the detector.

Standbys that are closed fail every check; while they do nothing else, they are at a fixed point too, so they do not keep
the observer awake, and resting credits them no passes.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.judge.stream import Stream
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import TargetView, VantageReport
from siteshift.core.model.units import TargetId


class RestingObserver(Observer):
    """The core's observer with a rest that knows closed standbys. Judges exactly as its base does."""

    _views_told: Mapping[TargetId, TargetView] = {}

    def _closed(self) -> list[Stream]:
        """Standbys found down, and still failing. Only standbys stand in no pooled stream."""
        return [
            stream
            for target, stream in self._not_up.items()
            if stream.bank.alarm >= 0 and stream.failing and target in self._entries and self._entries[target][1] is None
        ]

    @property
    def at_rest(self) -> bool:
        """Stricter than the base: a suspicion wears off check by check, so that it ends at the instant it would."""
        return not self._active_groups and not self._hot.targets and len(self._closed()) == len(self._not_up)

    def fast_forward(self, elapsed_ms: int, at_ms: int) -> None:
        closed = [(stream, stream.quiet, stream.last_pass_ms) for stream in self._closed()]
        for stream, _, _ in closed:
            del self._not_up[stream.target]
        super().fast_forward(elapsed_ms, at_ms)
        for stream, quiet, last_pass_ms in closed:
            stream.quiet, stream.last_pass_ms = quiet, last_pass_ms
            self._not_up[stream.target] = stream

    def _view(self, target: TargetId, at_ms: int) -> TargetView:
        """As its base; but while a target stays up, a later pass alone is no news (it costs the core a whole reconciliation)."""
        view, before = super()._view(target, at_ms), self._views.get(target)
        if before is None or view.standing is not Standing.UP or before.standing is not Standing.UP:
            return view
        is_same = (
            view.score_pm == before.score_pm
            and view.since_ms == before.since_ms
            and view.hardness is before.hardness
            and view.reason == before.reason
        )
        return before if is_same else view

    def report_at_rest(self, at_ms: int) -> VantageReport:
        """The last report again, with its instant and the self-check of now: at rest no view changes.

        But those that rest on real traffic do: what accused a site is forgotten when nothing comes there any more.
        """
        is_accused = any(one.alarm >= 0 for one in self._traffic.values())
        if self._dirty or not self._views or is_accused:
            return self.report(at_ms)
        self._sequence += 1
        return VantageReport(
            vantage=self._vantage,
            site=self._site,
            at_ms=at_ms,
            boot_id=self._boot_id,
            sequence=self._sequence,
            self_check=self._own.check(at_ms),
            views=self._views_told,
        )

    def report(self, at_ms: int) -> VantageReport:
        found = super().report(at_ms)
        self._views_told = found.views
        return found
