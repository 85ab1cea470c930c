"""A relieved site is given back what was taken once, after a while, and later each time it was too early.

Relief works: the queue empties, the site is well, and its old share looks free again, with the load that filled it unchanged.
Giving it back at once makes a loop as fast as probes recover. So what a site was relieved to is the most it may have until
it has *settled* so; and when it must be relieved again after that, the next wait is twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_HOLD_MS = 30_000
"""As long as the usual TTL: before that nobody sees what the relieved share really brings."""
LONGEST_HOLD_MS = 300_000
"""As long as a peak of demand is remembered (`core.traffic`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What one site was relieved to (basis points of the service), with which open capacity, and until when it is kept so."""

    share_bp: int
    open_rps: int
    hold_ms: int
    until_ms: int

    def most_bp(self, open_rps: int) -> int:
        """The largest share meanwhile: standby that was opened since carries its part of it."""
        return self.share_bp * max(open_rps, self.open_rps) // max(1, self.open_rps)

    def is_over(self, now_ms: int) -> bool:
        return now_ms >= self.until_ms


def relieved(before: Relief | None, *, share_bp: int, open_rps: int, now_ms: int) -> Relief:
    """The site gets this share from now on because it was asked for too much.

    Within a hold it is one more step of the same relief. Soon after one, giving back was too early: wait twice as long.
    """
    hold_ms = FIRST_HOLD_MS
    if before is not None and not before.is_over(now_ms):
        hold_ms = before.hold_ms
    elif before is not None and now_ms - before.until_ms < LONGEST_HOLD_MS:
        hold_ms = min(2 * before.hold_ms, LONGEST_HOLD_MS)
    return Relief(share_bp=share_bp, open_rps=open_rps, hold_ms=hold_ms, until_ms=now_ms + hold_ms)
