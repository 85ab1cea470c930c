"""What a health check of a peer sees, and how a peer counts what it saw.

The same world answers as it answers siteshift's own probes (`probing`); only where the check stands, how long it waits and
how it counts differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.world.link import one_exchange, one_visit
from siteshift.sim.world.servers import Server
from siteshift.sim.world.world import World


def member_answers(world: World, server: Server, place: str, timeout_ms: int, lots: random.Random) -> bool:
    """Whether a check of one server passes when it starts now from ``place``."""
    site, condition = str(server.member.site), server.condition
    loss_pm = world.net.loss_pm(place, f"{server.member.service}@{site}")
    late_ms = one_visit(lots, loss_pm, timeout_ms)
    if late_ms is None:
        return False
    if not server.is_open or condition.down is not None:
        return False
    pool = world.flow.pool(server.member.service, server.member.site)
    bad_pm = condition.probe_error_pm + (1_000 - condition.probe_error_pm) * pool.dep_error_pm // 1_000
    if bad_pm and lots.randrange(1_000) < bad_pm:
        return False
    noise_ppm = world.spec.noise.failures_ppm
    if noise_ppm and lots.randrange(1_000_000) < noise_ppm:
        return False
    after_ms = late_ms + 2 * world.net.delay_ms(place, site) + server.spec.latency_ms + pool.dep_add_ms
    for loss_pm in pool.dep_losses_pm:
        called_ms = one_exchange(lots, loss_pm, timeout_ms)
        if called_ms is None:
            return False
        after_ms += called_ms
    if condition.add_ms and (condition.add_part_pm >= 1_000 or lots.randrange(1_000) < condition.add_part_pm):
        after_ms += condition.add_ms
    if server.queue or server.rate_rps:
        after_ms += int(server.wait_ms())
    return after_ms <= timeout_ms


def site_answers(world: World, service: ServiceId, site: SiteId, place: str, timeout_ms: int, lots: random.Random) -> bool:
    """Whether a check of a site's own address passes: its front gives it to one of the members that take requests."""
    takers = [server for server in world.flow.pool(service, site).servers if server.is_taking]
    return bool(takers) and member_answers(world, lots.choice(takers), place, timeout_ms, lots)


@dataclass(slots=True, kw_only=True)
class Counter:
    """Failures and passes in a row. ``forgets_after`` passes in a row, earlier failures of what is up count no more."""

    down_after: int
    up_after: int
    forgets_after: int = 1
    is_up: bool = True
    _failures: int = 0
    _passes: int = 0

    def hear(self, passed: bool) -> bool:
        """Count one check; True when it turned."""
        was_up = self.is_up
        if passed:
            self._passes += 1
            if self._passes >= self.forgets_after:
                self._failures = 0
            self.is_up = self.is_up or self._passes >= self.up_after
        else:
            self._passes = 0
            self._failures += 1
            self.is_up = self.is_up and self._failures < self.down_after
        if self.is_up != was_up:
            self._failures = self._passes = 0
        return self.is_up != was_up


def repeat(
    world: World, first_ms: int, every_ms: Callable[[bool], int], check: Callable[[], bool], tell: Callable[[bool], None]
) -> None:
    """Check again and again: the result is told, and the next check starts, ``every_ms(passed)`` later."""

    def turn() -> None:
        passed = check()
        tell(passed)
        world.clock.after(every_ms(passed), turn)

    world.clock.after(first_ms, turn)
