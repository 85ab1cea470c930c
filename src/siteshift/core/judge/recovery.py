"""The way back from an alarm: the same quickest-detection arithmetic turned round, against the fault that was really seen.

What a pass is worth depends on the fault it speaks against: one pass in ten is luck when nine of ten checks fail, and says
nearly nothing when one of twenty does. So an alarm ends only when *every* failure rate it may still have is out of the
question: for each of `RATES` a CUSUM adds ``ln((1 - base) / (1 - rate))`` per pass and loses ``ln(rate / base)`` per failure,
and rates below the one observed are credited with what the failures of the alarm say against them (a likelihood ratio).
"""

from __future__ import annotations

from functools import lru_cache
from math import log

RATES = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6)
"""Failure rates that must be refuted. Smaller ones would take minutes; greater ones are crashes, which ``rise`` passes answer."""
CRASH_RATE = 0.9
CRASH_NATS = -log(1.0 - CRASH_RATE)
"""``rise`` passes clear a crash: each is ten times likelier in health."""
ROUNDING = 1e-9
SOLID_RESULTS = 5
"""So many failures without one pass are a crash: at 30 % errors that is one beginning in 400, and no later stretch counts."""
FALSE_CLEARS_A_MINUTE = 1.5e-5
"""Divided by the rate: 5e-5 at 30 %, 3e-4 at 5 % (that the rate is estimated spends as much again). A false clear costs a
needless return."""
LONGEST_GAPS = 4.0
"""A stretch of passes over four times the usual one counts as four: e^-4 of stretches are longer while a fault goes on."""
MINUTE_MS = 60_000


@lru_cache(maxsize=1024)
def _steps(members: int, base: float, interval_ms: int) -> tuple[tuple[float, float, float, float], ...]:
    """(rate, nats a pass brings, nats a failure takes, nats needed) for each rate that is a fault at this baseline.

    A walk that starts after a failure reaches ``h`` by luck with probability at most e^-h (Wald), and there are
    ``samples * rate`` starts a minute.
    """
    samples = members * MINUTE_MS / interval_ms
    steps = []
    for rate in RATES:
        if rate >= 3.0 * base:
            needed = log(max(2.0, samples * rate * rate / FALSE_CLEARS_A_MINUTE))
            steps.append((rate, log((1.0 - base) / (1.0 - rate)), log(rate / base), needed))
    return (*steps, (CRASH_RATE, CRASH_NATS, log(CRASH_RATE / base), 0.0))


class Recovery:
    """What speaks against an alarm's going on. Mutable, private to its bank."""

    __slots__ = ("_bad", "_nats", "_passes", "_seen", "_steps", "_window")

    def __init__(self) -> None:
        self._bad = self._seen = 0.0
        self._passes = 0
        self._window = 0
        self._steps: tuple[tuple[float, float, float, float], ...] = ()
        self._nats: list[float] = []

    def begin(self, bad: int, seen: int, *, members: int, base: float, interval_ms: int, window: int) -> None:
        """The alarm rests on ``bad`` of ``seen`` results; ``window`` bounds how many are remembered."""
        self._bad, self._seen, self._window = float(bad), float(seen), window
        self._steps = _steps(members, base, interval_ms)
        self.restart()

    def restart(self) -> None:
        """Begin the way back anew; what was seen of the fault stays."""
        self._passes = 0
        self._nats = [0.0] * len(self._steps)

    def passed(self) -> None:
        """One sample was good."""
        self._passes += 1
        nats = self._nats
        for i, (_, gain, _, _) in enumerate(self._steps):
            nats[i] += gain

    def failed(self) -> None:
        """One sample was bad: the passes before it belong to the fault, unless they were far more than its usual gap."""
        gap = LONGEST_GAPS * self._seen / self._bad if self._bad else self._passes
        self._remember(1, 1 + min(self._passes, gap))
        self._passes = 0
        nats = self._nats
        for i, (_, _, loss, _) in enumerate(self._steps):
            nats[i] = max(0.0, nats[i] - loss)

    def echoed(self, failing: int) -> None:
        """A result of a sample already counted: a failure counts here too, a pass only lowers the rate observed."""
        if failing:
            self.failed()
        else:
            self._remember(0, 1)

    def _remember(self, bad: float, seen: float) -> None:
        self._bad += bad
        self._seen += seen
        if self._seen > self._window:
            part = self._window / self._seen
            self._bad *= part
            self._seen = float(self._window)

    def answered(self, rise: int, flaps: int) -> bool:
        """Whether no fault worth the name can be going on. Each flap asks for half as much again."""
        more = 1.0 + flaps / 2
        crash = len(self._steps) - 1
        if self._nats[crash] < rise * CRASH_NATS * more - ROUNDING:
            return False
        if self._bad >= self._seen >= SOLID_RESULTS:
            return True
        observed = self._bad / self._seen if self._seen else 0.0
        for i in range(crash):
            rate, _, _, needed = self._steps[i]
            if self._nats[i] + self._against(rate, observed) < needed * more:
                return False
        return True

    def _against(self, rate: float, observed: float) -> float:
        """Nats that the failures seen bring against a fault as small as ``rate``."""
        if observed <= rate:
            return 0.0
        passing = (1.0 - observed) * log((1.0 - observed) / (1.0 - rate)) if observed < 1.0 else 0.0
        return self._seen * (observed * log(observed / rate) + passing)
