"""A group is accused only beside a sibling that is seen to be better (law 4).

While a pooled stream is under suspicion it watches its siblings: the same service at the other sites, or the other sites.
A verdict waits until one sibling, or all together, have answered so well *since the fault began* that the accused one's
failure rate is out of the question for them. A bad release everywhere, a surge, a broken health page or a cut of the
vantage's own line never gives that reassurance, so nothing is drained however unevenly the sites' alarms fall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Protocol

from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, SLOW
from siteshift.core.model.codes import Hardness

REASSURED_NATS = 5.0
"""e^-5: a fault that is everywhere is taken for a local one in less than one case of a
hundred, per sibling (Ville's inequality)."""
LEAST_FAULT = 0.05
"""A fault smaller than this is compared as if it were this large: else reassurance would take longer than detection."""
CRASH_RATE = 0.75
"""A crash verdict has no passes in it, so its rate needs no estimate."""
WILSON_Z = 1.28
LAG_MS = 300
"""Sites hit by one cause may fall a little apart: only answers to checks started this long after the fault count."""
FRESH_MS = 300
"""The reassuring sibling's last pass may be no older than this, or than 1.3 times the usual gap between its checks.

It counts from when the answer came: a site that always takes 400 ms is well, and was asked 400 ms ago. Beside silence it
counts from when the check was started: silence is seen at its time-out, when a cut of the vantage's own line may be over."""


class Sibling(Protocol):
    """What reassurance needs to know of a sibling."""

    @property
    def index(self) -> int: ...
    @property
    def last_pass_ms(self) -> int: ...
    @property
    def last_answer_ms(self) -> int: ...
    @property
    def answering(self) -> bool: ...
    @property
    def usual_gap_ms(self) -> int: ...
    def passed_since(self, from_ms: int) -> int: ...


class Window:
    """Samples of siblings since one test of the accused left zero."""

    __slots__ = ("bad", "epoch", "from_ms", "good")

    def __init__(self, epoch: int, from_ms: int) -> None:
        self.epoch = epoch
        self.from_ms = from_ms
        self.good: dict[int, int] = {}
        self.bad: dict[int, int] = {}


class Suspicion:
    """The watch an accused group keeps on its siblings, one window per test."""

    __slots__ = ("windows",)

    def __init__(self) -> None:
        self.windows: dict[int, Window] = {}

    def follow(self, sums: list[float], epoch: list[int], t0: list[int], siblings: Sequence[Sibling]) -> None:
        """Open a window for each test that left zero, drop those of tests that came back.

        The last pass of each sibling's members counts at once when it was late enough: a silent fault is
        seen long after it began.
        """
        for test in (CRASH, ERRORS, GREY, SLOW):
            if sums[test] <= 0.0:
                self.windows.pop(test, None)
                continue
            window = self.windows.get(test)
            if window is None or window.epoch != epoch[test]:
                window = self.windows[test] = Window(epoch[test], t0[test] + LAG_MS)
                for one in siblings:
                    if one.last_pass_ms >= window.from_ms:
                        window.good[one.index] = one.passed_since(window.from_ms)

    def renumber(self, number_of: Mapping[int, int]) -> None:
        """Siblings have other indices from now on; those without one are gone."""
        for window in self.windows.values():
            window.good = {number_of[index]: count for index, count in window.good.items() if index in number_of}
            window.bad = {number_of[index]: count for index, count in window.bad.items() if index in number_of}

    def passed(self, sibling: int, started_ms: int, *, slow: int) -> None:
        """A sibling answered; ``slow`` 1 when over the SLO, which reassures nobody about slowness."""
        for test, window in self.windows.items():
            if started_ms >= window.from_ms:
                counts = window.bad if slow and test == SLOW else window.good
                counts[sibling] = counts.get(sibling, 0) + 1

    def failed(self, sibling: int, started_ms: int) -> None:
        """A sibling had a failing sample. Before the window it counts too: the fault may have reached it first."""
        for test, window in self.windows.items():
            if test != SLOW and started_ms >= window.from_ms - LAG_MS:
                window.bad[sibling] = window.bad.get(sibling, 0) + 1

    def reassured_by(
        self, test: int, bad: int, seen: int, base_rate: float, siblings: Sequence[Sibling], at_ms: int, hardness: Hardness
    ) -> list[Sibling]:
        """The siblings that are certainly better than ``bad`` failures of ``seen`` results; empty when none is.

        ``hardness`` is that of the evidence.
        """
        window = self.windows.get(test)
        if window is None:
            return []
        least = CRASH_RATE if test == CRASH else LEAST_FAULT
        rate = min(0.98, max(cautious_rate(bad, seen), least, 3.0 * base_rate))
        gain = log((1.0 - base_rate) / (1.0 - rate))
        loss = log(rate / base_rate)
        alive = [one for one in siblings if _fresh(one, at_ms, hardness)]
        worth = {one.index: gain * window.good.get(one.index, 0) - loss * window.bad.get(one.index, 0) for one in siblings}
        better = [one for one in alive if worth[one.index] >= REASSURED_NATS]
        if better:
            return better
        return alive if alive and sum(worth.values()) >= REASSURED_NATS else []


def cautious_rate(bad: int, seen: int) -> float:
    """Lower end of the Wilson interval for a failure rate: an alarm that came early by luck must not look like a crash."""
    if not seen:
        return 0.0
    rate, z2 = bad / seen, WILSON_Z * WILSON_Z / seen
    spread = WILSON_Z * sqrt(rate * (1.0 - rate) / seen + z2 / (4.0 * seen))
    return (rate + z2 / 2.0 - spread) / (1.0 + z2)


def _fresh(sibling: Sibling, at_ms: int, hardness: Hardness) -> bool:
    oldest = at_ms - max(FRESH_MS, sibling.usual_gap_ms * 13 // 10)
    if not sibling.answering:
        return False
    return sibling.last_pass_ms >= oldest or (hardness is not Hardness.SILENT and sibling.last_answer_ms >= oldest)
