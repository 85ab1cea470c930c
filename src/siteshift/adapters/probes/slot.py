"""A probe in the prober: its specification, its place in the schedule, and the one run that may be in flight."""

from __future__ import annotations

from typing import Protocol
from zlib import crc32

from siteshift.adapters.probes.schedule import Entry
from siteshift.core.judge.pacing import FASTEST_PART
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProbeKind, ProbeSpec

Verdict = tuple[Outcome, Fault, str]
"""What a run amounted to, and a detail for people."""

PASSED: Verdict = (Outcome.PASS, Fault.NONE, "")


def failed(fault: Fault, detail: str) -> Verdict:
    """The target is to blame."""
    return (Outcome.FAIL, fault, detail)


def lost(detail: str) -> Verdict:
    """We could not ask: no evidence about the target (law 3)."""
    return (Outcome.LOST, Fault.LOCAL, detail)


class Carrier(Protocol):
    """Carries out one probe specification, one run at a time, and tells its workbench how the run ended."""

    def start(self) -> None:
        """Begin a run. May finish it before returning."""

    def abort(self) -> None:
        """Give up the run in flight, if any; no verdict follows. The next `start` is clean."""

    def close(self) -> None:
        """Give up everything, kept connections too."""


NO_OBJECTIVE_US = 1 << 62
"""Where no latency is promised nothing is late."""

_SHARED: dict[int, int] = {}
"""One object for each length of time: 15,000 equal numbers of their own would be as many cache misses a second."""


def _shared(length_us: int) -> int:
    return _SHARED.setdefault(length_us, length_us)


class Slot(Entry):
    """One probe. At most one run is pending; ``line`` is where its deadline stands.

    ``spoken``: the present run has had its early verdict. ``watched``: its stopwatch still runs.
    ``first_us``: when a run is looked after first, by its stopwatch or its time-out.
    ``lag_us``: how long the prober's loop had lagged in all when the run started.
    ``must_fail``: this is the twin of a probe. ``is_long``: its runs are more than one exchange, and are timed (`note_length`).
    ``took_us``: what a run took lately, the longest, and every run since takes an eighth off.
    """

    __slots__ = (
        "carrier",
        "first_us",
        "id",
        "is_long",
        "lag_us",
        "line",
        "must_fail",
        "pending",
        "slo_us",
        "spec",
        "spoken",
        "started_us",
        "stopwatch_us",
        "timeout_us",
        "took_us",
        "watched",
        "watches",
    )

    def __init__(self, spec: ProbeSpec) -> None:
        # Probes that share a millisecond are spread inside it: 15,000 a second are 15 a millisecond.
        super().__init__(
            interval_us=spec.interval_ms * 1_000,
            phase_us=spec.phase_ms * 1_000 + crc32(spec.id.encode()) % 1_000,
        )
        self.spec = spec
        self.id = spec.id
        self.carrier: Carrier | None = None  # made at the first start: a new set of 15,000 must not hold the loop
        self.must_fail = False
        self.timeout_us = _shared(spec.timeout_ms * 1_000)
        self.watch(spec.stopwatch_ms)
        self.slo_us = _shared(spec.slo_latency_ms * 1_000) if spec.slo_latency_ms else NO_OBJECTIVE_US
        self.is_long = spec.kind in (ProbeKind.JOURNEY, ProbeKind.COMMAND)
        self.took_us = 0
        self.pending = False
        self.spoken = False
        self.watched = False
        self.line: dict[Slot, int] = {}
        self.started_us = 0
        self.lag_us = 0

    def watch(self, stopwatch_ms: int) -> None:
        """From the next run on, speak early after so long (0: never)."""
        self.stopwatch_us = _shared(stopwatch_ms * 1_000)
        self.watches = 0 < self.stopwatch_us < self.timeout_us
        self.first_us = self.stopwatch_us if self.watches else self.timeout_us

    def note_length(self, took_us: int) -> None:
        """A run has ended after so long."""
        self.took_us = max(took_us, self.took_us - self.took_us // 8)

    def pace_us(self, asked_us: int) -> int:
        """The fast interval that this probe may have when ``asked_us`` is wanted.

        Never less than a fifth of its own interval: who asks every five seconds has a reason. A journey's is at least as
        long as the journey took lately.
        """
        return max(asked_us, self.interval_us // FASTEST_PART, self.took_us)

    def settle(self) -> None:
        """The run is no longer pending, and has no deadline."""
        self.pending = False
        self.line.pop(self, None)

    def close(self) -> None:
        """The probe is no more: drop its run without a verdict, and all it kept."""
        self.settle()
        if self.carrier is not None:
            self.carrier.close()
            self.carrier = None
