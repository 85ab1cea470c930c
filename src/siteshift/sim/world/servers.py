"""Members and pools as fluid: work arrives, waits, is served, fails or comes too late.

A member serves ``capacity`` requests a second from a FIFO queue of chunks (one a tick). Past its knee it serves less, not
more. A user who gave up leaves their work in the queue: it is served for nobody. So retries without a budget can keep a
pool overloaded after the load that overloaded it is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.topology import Member, Pool
from siteshift.sim.results.loss import is_late
from siteshift.sim.results.record import LostTo
from siteshift.sim.world.spec import ServerSpec

CALM_PM = 950
"""Below this part of a pool's capacity, and with nothing wrong, all work is served within its tick."""
DUST = 1e-9


class Down(Enum):
    """How a server is not there. The greater wins where several faults meet."""

    REFUSED = 1
    HANG = 2
    SILENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one fault does to a member. ``add_part_pm`` of answers are ``add_ms`` late; errors cost ``error_cost_pm`` of the
    work of a good answer; ``probe_error_pm`` is what probes see of errors."""

    down: Down | None = None
    error_pm: int = 0
    probe_error_pm: int = 0
    error_cost_pm: int = 0
    add_ms: int = 0
    add_part_pm: int = 1_000
    capacity_pm: int = 1_000


HEALTHY = Effect()


def combined(effects: Sequence[Effect]) -> Effect:
    """Several faults at once: the worst way to be down, errors and delays on top of one another."""
    if not effects:
        return HEALTHY
    if len(effects) == 1:
        return effects[0]
    downs = [effect.down for effect in effects if effect.down is not None]
    good = probe_good = capacity = 1_000_000
    for effect in effects:
        good = good * (1_000 - effect.error_pm) // 1_000
        probe_good = probe_good * (1_000 - effect.probe_error_pm) // 1_000
        capacity = capacity * effect.capacity_pm // 1_000
    late = [effect for effect in effects if effect.add_ms]
    return Effect(
        down=max(downs, key=lambda how: how.value) if downs else None,
        error_pm=1_000 - good // 1_000,
        probe_error_pm=1_000 - probe_good // 1_000,
        error_cost_pm=max(effect.error_cost_pm for effect in effects),
        add_ms=sum(effect.add_ms for effect in late),
        add_part_pm=max((effect.add_part_pm for effect in late), default=1_000),
        capacity_pm=capacity // 1_000,
    )


class Batch(NamedTuple):
    """Requests that go the same way together: when they were first made, which try this is (0: the first), and how much later
    their way makes their answers."""

    born_ms: int
    tries: int
    amount: float
    way_ms: int = 0


class Fate(NamedTuple):
    """What became of requests at a pool: failed at once (``at_ms`` now) or later."""

    at_ms: int
    batch: Batch
    cause: LostTo


@dataclass(slots=True)
class Chunk:
    """Work that came in one tick. ``alive`` until its users gave up."""

    at_ms: int
    batch: Batch
    left: float
    alive: bool = True


@dataclass(slots=True)
class Server:
    """One member as it runs. ``is_open``: it listens (standbys: once started).

    ``weight_pm`` is its goodput as its balancer knows it. What it is given goes by that and by its capacity, as the HAProxy
    enactor sets weights.
    """

    member: Member
    spec: ServerSpec
    is_open: bool
    condition: Effect = HEALTHY
    weight_pm: int = 1_000
    queue: deque[Chunk] = field(default_factory=deque)
    backlog: float = 0.0
    rate_rps: float = 0.0
    """What was asked of it in the last tick."""

    @property
    def is_taking(self) -> bool:
        """Whether the site's front sends it anything: open, not refusing, not taken out."""
        return self.is_open and self.condition.down is not Down.REFUSED and self.weight_pm > 0

    @property
    def strength(self) -> int:
        """What its part of the pool's requests goes by."""
        return self.weight_pm * max(1, self.member.capacity_rps)

    @property
    def is_alive(self) -> bool:
        return self.is_open and self.condition.down is None

    @property
    def capacity_rps(self) -> float:
        return self.member.capacity_rps * self.condition.capacity_pm / 1_000

    def effective_rps(self) -> float:
        """Capacity as it is under the present load: less past the knee."""
        capacity = self.capacity_rps
        if capacity <= 0:
            return 0.0
        over = self.rate_rps / capacity - self.spec.knee_pm / 1_000
        return capacity if over <= 0 else capacity / (1 + self.spec.thrash_pm / 1_000 * over)

    def wait_ms(self) -> float:
        """How long a request that arrives now waits for its turn: the queue's, and what chance adds (M/D/1)."""
        capacity = self.effective_rps()
        if capacity <= 0:
            return 1e9 if self.backlog > 0 else 0.0
        load = min(0.95, self.rate_rps / capacity)
        return self.backlog * 1_000 / capacity + load / (2 * (1 - load)) * 1_000 / capacity

    def close(self) -> list[Batch]:
        """Stop listening: the queue's living requests fail now."""
        dropped = [Batch(c.batch.born_ms, c.batch.tries, c.left) for c in self.queue if c.alive and c.left > 0]
        self.queue.clear()
        self.backlog = 0.0
        return dropped


@dataclass(slots=True)
class PoolFlow:
    """A pool as it runs, and what was counted since the last second. Mutable, driven by `clients.Population`."""

    pool: Pool
    servers: list[Server]
    spec: ServerSpec
    slo_ms: int
    dep_error_pm: int = 0
    dep_add_ms: int = 0
    dep_losses_pm: tuple[int, ...] = ()
    """Of the links to what it depends on, where they lose packets."""
    offered: float = 0.0
    served: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    """Answered too late for users who first asked somewhere, perhaps elsewhere, so long before."""
    slow: float = 0.0
    """Answered too late after they came here."""
    errors: float = 0.0
    latency_sum: float = 0.0
    is_plain: bool = True
    """Healthy, and its members get parts by their capacity alone: all work of a tick can be reckoned at once."""
    is_healthy: bool = True
    """Nothing is wrong with any member and nothing waits."""
    _open_rps: float = 0.0
    _takers: list[Server] = field(default_factory=list)
    """The members that take requests, as `refresh` found them."""

    def refresh(self) -> None:
        """Look again at what is wrong and who is open; after any change to a server."""
        takers = self._takers = [server for server in self.servers if server.is_taking]
        self._open_rps = sum(server.capacity_rps for server in takers)
        self.is_healthy = (
            bool(takers)
            and not self.dep_error_pm
            and not self.dep_add_ms
            and all(server.condition is HEALTHY and not server.queue for server in self.servers)
        )
        self.is_plain = self.is_healthy and len({server.weight_pm for server in takers}) == 1

    @property
    def open_rps(self) -> float:
        """Capacity of the members that take requests."""
        return self._open_rps

    def backlog(self) -> float:
        return sum(server.backlog for server in self.servers)

    def rest(self) -> None:
        """Nothing comes: an idle tick."""
        for server in self.servers:
            server.rate_rps = 0.0

    def waiting(self) -> float:
        """Requests in queues whose users still wait."""
        return sum(chunk.left for server in self.servers for chunk in server.queue if chunk.alive)

    def truth_pm(self) -> int:
        """The true goodput of what the pool is: by its active members' conditions and dependencies, overload apart.

        Members that a balancer took out do not count, unless it took out all of them: then the pool is what it would be without.
        Where faults took a part of its capacity, it serves no more of what it is asked than the rest of it can.
        """
        takers = self._active_takers()
        if not takers:
            return 0
        room_pm = 1_000 * sum(int(s.capacity_rps * 1_000) for s in takers if s.condition.down is None)
        whole = sum(s.member.capacity_rps * 1_000 for s in self._actives())
        good_pm = min(self.answers_pm(), max(0, 2 * room_pm // max(1, whole)))
        asked = sum(int(s.rate_rps * 1_000) for s in takers)
        return min(good_pm, room_pm // asked) if room_pm < 1_000 * whole and asked else good_pm

    def bears_rps(self) -> float:
        """What its active members carry, were they asked for it: what faults left of their capacity."""
        return sum(s.capacity_rps for s in self._active_takers() if s.condition.down is None)

    def _actives(self) -> list[Server]:
        return [s for s in self.servers if s.member.role is MemberRole.ACTIVE]

    def _active_takers(self) -> list[Server]:
        """Active members that take requests; where a balancer took out all of them, those that would."""
        listening = [s for s in self._actives() if s.is_open and s.condition.down is not Down.REFUSED]
        return [s for s in listening if s.weight_pm > 0] or listening

    def answers_pm(self) -> int:
        """How much of what they are asked its active members answer well, by their conditions and dependencies alone."""
        takers = self._active_takers()
        if not takers:
            return 0
        good = 0
        for server in takers:
            condition = server.condition
            if condition.down is not None:
                continue
            slowed_ms = condition.add_ms + self.dep_add_ms + self.spec.latency_ms
            slow_pm = condition.add_part_pm if is_late(slowed_ms, self.slo_ms) else 0
            good += (1_000 - condition.error_pm) * (1_000 - slow_pm) // 1_000
        return good // len(takers) * (1_000 - self.dep_error_pm) // 1_000

    def calm_latency_ms(self, rate_rps: float) -> float:
        """Latency of an untroubled pool under a rate."""
        takers = max(1, len(self._takers))
        load = min(0.95, rate_rps / max(1.0, self._open_rps))
        return self.spec.latency_ms + load / (2 * (1 - load)) * 1_000 * takers / max(1.0, self._open_rps)

    def take(self, batches: Sequence[Batch], now_ms: int, dt_ms: int, try_ms: int, fates: list[Fate]) -> None:
        """One tick: let these arrive, serve what can be served, append the fate of what failed."""
        amount = 0.0
        for batch in batches:
            amount += batch.amount
        self.offered += amount
        rate_rps = amount * 1_000 / dt_ms
        if self.is_plain and rate_rps * 1_000 <= self._open_rps * CALM_PM and not self.spec.background_error_pm:
            self.served += amount
            latency_ms = self.calm_latency_ms(rate_rps)
            self.latency_sum += latency_ms * amount
            if is_late(latency_ms, self.slo_ms):
                self.slow += amount
            self.late += sum(b.amount for b in batches if is_late(now_ms - b.born_ms + b.way_ms + latency_ms, self.slo_ms))
            open_rps = max(1.0, self._open_rps)
            for server in self._takers:
                server.rate_rps = rate_rps * server.capacity_rps / open_rps
            return
        self._take_troubled(batches, now_ms, dt_ms, try_ms, fates)

    def _take_troubled(self, batches: Sequence[Batch], now_ms: int, dt_ms: int, try_ms: int, fates: list[Fate]) -> None:
        takers = [server for server in self.servers if server.is_taking]
        strength = sum(server.strength for server in takers)
        if not takers:
            fates.extend(Fate(now_ms, batch, LostTo.REFUSED) for batch in batches if batch.amount > 0)
            return
        for server in takers:
            part = server.strength / strength
            mine = [Batch(b.born_ms, b.tries, b.amount * part) for b in batches if b.amount > 0]
            self._arrive(server, mine, now_ms, dt_ms, try_ms, fates)
        for server in self.servers:
            if server.queue:
                self._serve(server, now_ms, dt_ms, try_ms, fates)
        self.refresh()

    def _arrive(self, server: Server, batches: list[Batch], now_ms: int, dt_ms: int, try_ms: int, fates: list[Fate]) -> None:
        condition = server.condition
        amount = sum(batch.amount for batch in batches)
        server.rate_rps = amount * 1_000 / dt_ms
        if condition.down is not None:
            fates.extend(Fate(now_ms + try_ms, batch, LostTo.SILENT) for batch in batches)
            return
        error_pm = condition.error_pm + (1_000 - condition.error_pm) * self.dep_error_pm // 1_000
        error_pm = max(error_pm, self.spec.background_error_pm)
        slow_pm = condition.add_part_pm if condition.add_ms else 1_000
        room = max(0.0, server.effective_rps() * (self.spec.queue_ms + dt_ms) / 1_000 - server.backlog)
        wanted = amount * (1_000 - error_pm) / 1_000
        admitted = min(1.0, room / wanted) if wanted > DUST else 1.0
        for batch in batches:
            failed = batch.amount * error_pm / 1_000
            if failed > 0:
                self.errors += failed
                fates.append(Fate(now_ms, Batch(batch.born_ms, batch.tries, failed), LostTo.ERROR))
                if condition.error_cost_pm:
                    cost = failed * condition.error_cost_pm / 1_000
                    server.queue.append(Chunk(now_ms, Batch(batch.born_ms, batch.tries, cost), cost, alive=False))
                    server.backlog += cost
            good = batch.amount - failed
            turned_away = good * (1 - admitted)
            if turned_away > DUST:
                self.errors += turned_away
                fates.append(Fate(now_ms, Batch(batch.born_ms, batch.tries, turned_away), LostTo.OVERLOAD))
            else:
                turned_away = 0.0
            good -= turned_away
            late = good * slow_pm / 1_000 if condition.add_ms + self.dep_add_ms + batch.way_ms > try_ms else 0.0
            if late > 0:
                fates.append(Fate(now_ms + try_ms, Batch(batch.born_ms, batch.tries, late), LostTo.SILENT))
                good -= late
            if good > 0:
                server.queue.append(Chunk(now_ms, Batch(batch.born_ms, batch.tries, good, batch.way_ms), good))
                server.backlog += good

    def _serve(self, server: Server, now_ms: int, dt_ms: int, try_ms: int, fates: list[Fate]) -> None:
        for chunk in server.queue:
            if now_ms - chunk.at_ms < try_ms:
                break
            if chunk.alive:
                chunk.alive = False
                cause = LostTo.OVERLOAD if server.condition.down is None else LostTo.SILENT
                fates.append(Fate(now_ms, Batch(chunk.batch.born_ms, chunk.batch.tries, chunk.left), cause))
        if server.condition.down is not None or not server.is_open:
            return
        power = server.effective_rps() * dt_ms / 1_000
        extra_ms = (
            self.spec.latency_ms + (server.condition.add_ms if server.condition.add_part_pm >= 500 else 0) + self.dep_add_ms
        )
        while server.queue and power > DUST:
            chunk = server.queue[0]
            if chunk.alive and now_ms - chunk.at_ms + chunk.batch.way_ms >= try_ms:  # its answer would be on the way for too long
                chunk.alive = False
                fates.append(Fate(now_ms, Batch(chunk.batch.born_ms, chunk.batch.tries, chunk.left), LostTo.SILENT))
            done = min(power, chunk.left)
            power -= done
            chunk.left -= done
            server.backlog -= done
            if chunk.alive:
                latency_ms = now_ms - chunk.at_ms + extra_ms
                self.served += done
                self.latency_sum += latency_ms * done
                self.slow += done * self._late_part(server, now_ms - chunk.at_ms, try_ms)
                self.late += done * self._late_part(server, now_ms - chunk.batch.born_ms + chunk.batch.way_ms, try_ms)
            if chunk.left <= DUST:
                if chunk.alive and chunk.left > 0:
                    self.served += chunk.left
                server.queue.popleft()
        if not server.queue:
            server.backlog = 0.0

    def _late_part(self, server: Server, waited_ms: int, try_ms: int) -> float:
        """The part of a server's answers that come after the objective, to who has waited so long when their turn comes.

        A fault may slow only some answers; what it slows beyond a user's patience has failed on arrival, and is none of these.
        """
        condition = server.condition
        plain_ms = waited_ms + self.spec.latency_ms + self.dep_add_ms
        if is_late(plain_ms, self.slo_ms):
            return 1.0
        is_slowed = 0 < condition.add_ms <= try_ms - self.dep_add_ms
        return condition.add_part_pm / 1_000 if is_slowed and is_late(plain_ms + condition.add_ms, self.slo_ms) else 0.0
