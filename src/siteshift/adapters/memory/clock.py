"""Virtual time: a clock that moves only when told."""

from __future__ import annotations


class ManualClock:
    """The in-memory `ports.Clock`."""

    __slots__ = ("_now_ms",)

    def __init__(self, start_ms: int = 0) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, by_ms: int) -> int:
        """Move on by ``by_ms`` (not negative); the new time."""
        if by_ms < 0:
            raise ValueError(f"siteshift time never goes back: {by_ms} ms")
        self._now_ms += by_ms
        return self._now_ms

    def move_to(self, at_ms: int) -> None:
        """Move on to an instant that is not in the past."""
        self.advance(at_ms - self._now_ms)
