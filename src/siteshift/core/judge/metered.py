"""What the meter of a pool says against silence: users who are answered while checks are not.

A pause of a second is what silence of a second looks like, and a collector makes one every few minutes. The meter tells them
apart: it counts users' answers when they come. It never accuses (`passive` does), and a meter that says nothing says nothing.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from siteshift.core.judge.cusum import CRASH, FAULT_RATE, NEVER

KEPT_MS = 30_000
"""Readings older than this are of another time."""
AT_HAND_MS = 600
"""A reading that ended longer ago says nothing of now: a meter is read every 500 ms, and at once when it is asked for."""
SPEAKS_MS = 5_000
"""A meter that was silent for so long is not waited for."""
READ_WITHIN_MS = 200
"""So long a verdict on silence waits for a reading it has asked for. A HAProxy beside us answers in a few milliseconds; one
that takes longer is part of the trouble."""
SETTLES_MS = 150
"""So much later than a silent crash is due its meter is asked: a pause of just `confirm_silent_ms` is over then, and what waited
is answered."""
ENOUGH_ANSWERS = 7
"""Were nine of ten lost, seven answers and no loss would come once in ten million times."""
ENOUGH_REQUESTS = 50
"""Of what fails in part, as in `passive.CONTRADICTS_REQUESTS`."""
PAUSE_MS = 2_500
"""A pause of a second, the reading before it, and a meter that is read every second or is a little late."""
PART_REFUTED = 1 / 3
"""A test is refuted where users see less than a third of the failures it is tuned for."""


class Reading(NamedTuple):
    """One window of a meter, in ms of our clock. ``answered``: good answers, counted when they came."""

    from_ms: int
    at_ms: int
    requests: int
    errors: int
    answered: int


class Metered:
    """The readings of one pool's meter. Mutable, private to one observer."""

    __slots__ = ("_readings",)

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        """Take one; those that are too old go."""
        self._readings.append(reading)
        while self._readings[0].at_ms < reading.at_ms - KEPT_MS:
            self._readings.popleft()

    @property
    def last_ms(self) -> int:
        """When the last reading was made; -NEVER: none was."""
        return self._readings[-1].at_ms if self._readings else -NEVER

    def speaks(self, at_ms: int) -> bool:
        """Whether it has said anything lately."""
        return at_ms - self.last_ms <= SPEAKS_MS

    def refutes(self, test: int, since_ms: int, at_ms: int) -> bool:
        """Whether users were answered, in windows that began after ``since_ms``, too well for what ``test`` is tuned for.

        A crash is a matter of now, so only the last windows count. What fails in part is seen over the whole suspicion, up to
        the best instant of the last `PAUSE_MS`: what waits in a pause is answered after it, and is not lost meanwhile.
        """
        if at_ms - self.last_ms > (AT_HAND_MS if test == CRASH else PAUSE_MS):
            return False
        from_ms = max(since_ms, at_ms - AT_HAND_MS) if test == CRASH else since_ms
        requests = errors = answered = 0
        for one in self._readings:
            if one.from_ms < from_ms:
                continue
            requests, errors, answered = requests + one.requests, errors + one.errors, answered + one.answered
            is_well = max(errors, requests - answered) <= PART_REFUTED * FAULT_RATE[test] * requests
            if test != CRASH and is_well and requests >= ENOUGH_REQUESTS and one.at_ms >= at_ms - PAUSE_MS:
                return True
        lost = max(errors, requests - answered)
        return test == CRASH and answered >= ENOUGH_ANSWERS and lost <= PART_REFUTED * FAULT_RATE[CRASH] * requests
