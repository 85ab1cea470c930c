"""An observer that can rest while all is well: passes of a healthy stream are a fixed point of the detector.

Standbys that are closed fail every check; while they do nothing else, they are at a fixed point too, so they do not keep
the observer awake, and resting credits them no passes.
"""

from __future__ import annotations

from siteshift.core.judge.stream import Stream
from siteshift.core.judge.vantage import Observer


class RestingObserver(Observer):
    """The core's observer with a rest that knows closed standbys. Judges exactly as its base does."""

    def _closed(self) -> list[Stream]:
        """Standbys found down, and still failing. Only standbys stand in no pooled stream."""
        return [
            stream
            for target, stream in self._uneasy.items()
            if stream.bank.alarm >= 0 and stream.failing and target in self._entries and self._entries[target][1] is None
        ]

    @property
    def at_rest(self) -> bool:
        if self._stirred or self._hot.targets:
            return False
        closed = {stream.target for stream in self._closed()}
        return all(target in closed or (stream.bank.alarm < 0 and stream.streak <= -2) for target, stream in self._uneasy.items())

    def fast_forward(self, elapsed_ms: int, at_ms: int) -> None:
        closed = [(stream, stream.quiet, stream.last_pass_ms) for stream in self._closed()]
        for stream, _, _ in closed:
            del self._uneasy[stream.target]
        super().fast_forward(elapsed_ms, at_ms)
        for stream, quiet, last_pass_ms in closed:
            stream.quiet, stream.last_pass_ms = quiet, last_pass_ms
            self._uneasy[stream.target] = stream
