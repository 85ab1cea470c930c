"""How fast a suspected target may be probed, by what it carries.

Fast probing is load. What it adds to the usual checks is bounded for each target, all its checks and all vantages together,
by a small part of its capacity; what is added to all targets together is bounded by `hotset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from siteshift.core.model.topology import Topology
from siteshift.core.model.units import TargetId

CARRIED_PM = 100
"""Per mille of a target's capacity that fast probing may take beyond the usual checks, and half a minute in a minute at most
(`hotset`). Survivors are planned up to 90 % (``max_utilisation_percent``): it takes no more than that leaves. A member of 40
requests/s is asked four times a second beyond the usual, by everybody together, which is what one node's ``fast_interval_ms``
asks for."""
FASTEST_PART = 5
"""A hastened check starts at most so many times as often as by its own interval: one second to 200 ms, as HAProxy's ``inter
1s fastinter 200ms``. Who asks every five seconds has a reason, and the judge counts one failure of a member a second."""
SECOND_MS = 1_000


class Asked(NamedTuple):
    """One check of a target: its own interval, and the requests that one run costs."""

    interval_ms: int
    requests: int = 1


def paces_ms(checks: Sequence[Asked], wanted_ms: int, capacity_rps: int | None, vantages: int) -> tuple[int, ...]:
    """The fast interval of each check of one target, in ms, when ``wanted_ms`` is wanted: a whole part of its own interval.

    ``capacity_rps`` None: not known, and no bound. ``vantages``: how many look at it. What the target carries is given to its
    checks in turn, once more per interval each time, the cheapest first.
    """
    times, most = [1] * len(checks), [min(FASTEST_PART, max(1, one.interval_ms // wanted_ms)) for one in checks]
    left_rps = inf if capacity_rps is None else capacity_rps * CARRIED_PM / 1_000 / max(1, vantages)
    for _ in range(FASTEST_PART):
        for place in sorted(range(len(checks)), key=lambda one: checks[one].requests):
            cost_rps = checks[place].requests * SECOND_MS / checks[place].interval_ms
            if times[place] < most[place] and cost_rps <= left_rps:
                times[place] += 1
                left_rps -= cost_rps
    return tuple(one.interval_ms // often for one, often in zip(checks, times, strict=True))


def capacities_of(topology: Topology) -> dict[TargetId, int]:
    """What each member, and each pool as a whole, carries in requests/s; a target that is missing is not known."""
    found = {member.target: member.capacity_rps for member in topology.members.values()}
    for pool in topology.pools.values():
        found[pool.target] = sum(member.capacity_rps for member in pool.actives)
    return found
