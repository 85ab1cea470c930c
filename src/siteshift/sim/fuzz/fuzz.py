"""The fuzz: random hours in random worlds, with every law's checker on after every step of every node.

A run has a safety phase, in which anything may break, and a phase in which everything is healed and the world has to come
home. It stops at the first thing that is wrong. What can be wrong, besides the laws (`core.invariants`):

``crash``       the core raised an exception.
``fence``       a data plane's generation went back, or two steerings were written under one.
``empty``       a data plane answers nobody for a service that a node has written there. One that is only observed is nobody's
                of ours to write (law 6), whatever others delete of it.
``bystander``   a healthy site that nothing had befallen was left, while nothing misled anybody. Where nobody counts requests, one
                that has been asked for more than it carries for long (`FULL_FOR_S`), or answers late what waits since, cannot be
                told from a dead one by anybody: leaving that is none. Nor is it soon after a trouble that no check sees
                (`UNSEEN`), whose users try again there.
``no-home``     healed, the world did not come back to its nominal shares in time.

A run that went through its whole time is also held beside nothing done (`nothing`), as a whole and fault by fault. Losing more is
counted and listed, and is no finding yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.units import WHOLE_PM, EnactorId, ServiceId, SiteId
from siteshift.sim.fuzz.mutants import MUTANTS, planted
from siteshift.sim.fuzz.swarm import NEAR_PERCENT, NOMINAL_PERCENT, Case, draw_case
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.nothing import AtFault, BesideNothing, held_beside
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import Line, Move, Record, Second
from siteshift.sim.run.pool import run_each
from siteshift.sim.run.replay import FaultLoss, losses_by_fault, site_rps
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.world import World

LOOK_EVERY_MS = 1_000
AFTERMATH_S = 180
"""So long after a trouble was healed its consequences may still be seen: a verdict under way, a queue, a cache."""
FULL_FOR_S = 20
"""So long the core presumes that a survivor's trouble is its load, where that is not measured (`core.beliefs.overload`)."""
MISLEADING = frozenset(
    {"prober_blind", "checks_mute", "partition", "loss", "surge", "dep_down", "flap", "standby_bad", "plane_edit"}
)
"""Troubles that may make anybody look bad, or load anybody, wherever they strike."""
UNSEEN = frozenset({"probe_lie"})
"""Troubles of users that no check sees: who tries again elsewhere loads a site that nothing seems to have befallen."""
_FORGETS = ("plane_forget", "gc_race")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something wrong. ``check`` is ``law N`` or one of the module's words."""

    check: str
    at_ms: int
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.check} at {self.at_ms / 1000:.3f} s, {self.who}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How one run ended. ``digest`` is of everything that was said and done in it.

    ``loss``, ``by_fault`` and ``site_rps`` (`replay.site_rps`) only of a run that went through its whole time; ``beside`` where
    it was held beside nothing done. ``asked_ms``: when people first moved traffic in it, which nothing done would not have.
    """

    seed: int
    found: Found | None
    digest: str
    moves: int
    loss: Loss | None = None
    by_fault: tuple[FaultLoss, ...] = ()
    site_rps: float = 0.0
    beside: BesideNothing | None = None
    asked_ms: int | None = None

    @property
    def by_request(self) -> bool:
        """Whether people moved traffic in it themselves."""
        return self.asked_ms is not None

    @property
    def worse_faults(self) -> tuple[AtFault, ...]:
        """After which faults more was lost than with nothing done, worst first."""
        return self.beside.worse_faults if self.beside is not None else ()

    @property
    def is_worse(self) -> bool:
        """Whether more was lost than with nothing done, in the whole run or after one of its faults."""
        return self.beside is not None and (self.beside.is_worse or bool(self.worse_faults))

    @property
    def is_worse_unasked(self) -> bool:
        """The same without what people asked for: of a run in which they moved traffic, the faults that ended before they did."""
        if self.beside is None or self.asked_ms is None:
            return self.is_worse
        return any(one.stretch.until_ms <= self.asked_ms for one in self.worse_faults)

    def more_s(self) -> float:
        """By how much at worst, in seconds of the failed site's traffic."""
        if self.beside is None:
            return 0.0
        return max([self.beside.more_s(), *(one.beside.more_s() for one in self.worse_faults[:1])])


class Stopped(Exception):
    """Raised out of a run by whoever found something wrong."""

    def __init__(self, found: Found) -> None:
        self.found = found
        super().__init__(str(found))


class Watcher:
    """A pilot that steers nothing: it looks once a second, and stops the run at the first thing that is wrong."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._lines_seen = self._moves_seen = self._seconds_seen = 0
        self._full_since_ms: dict[tuple[ServiceId, SiteId], int] = {}
        self._generations: dict[str, int] = {}
        self.world: World | None = None
        self.witness: Witness | None = None

    def start(self, world: World, witness: Witness) -> None:
        """See `simulation.Pilot`."""
        self.world, self.witness = world, witness
        world.clock.after(LOOK_EVERY_MS, self._look_again)

    def _look_again(self) -> None:
        self.look()
        assert self.world is not None
        self.world.clock.after(LOOK_EVERY_MS, self._look_again)

    def look(self) -> None:
        """Whether anything is wrong by now. Raises `Stopped`."""
        world, witness = self.world, self.witness
        if world is None or witness is None:
            return
        for broken in witness.violations:
            raise Stopped(Found(check=f"law {broken.law}", at_ms=broken.at_ms, who=broken.node, text=broken.text))
        lines, self._lines_seen = world.lines[self._lines_seen :], len(world.lines)
        for line in lines:
            self._fence(line)
        self._empty(world)
        seconds, self._seconds_seen = witness.seconds[self._seconds_seen :], len(witness.seconds)
        for second in seconds:
            self._note_full(second)
        moves, self._moves_seen = witness.moves[self._moves_seen :], len(witness.moves)
        for move in moves:
            self._bystander(move)

    def _fence(self, line: Line) -> None:
        if line.kind == "fault" and line.text.startswith(_FORGETS):
            self._generations.clear()
        if line.kind != "plane" or not line.text.endswith(": applied"):
            return
        generation, before = int(line.text.split()[1]), self._generations.get(line.node, -1)
        if generation < before:
            text = f"{line.text}, after generation {before}"
            raise Stopped(Found(check="fence", at_ms=line.at_ms, who=line.node, text=text))
        self._generations[line.node] = generation

    def _empty(self, world: World) -> None:
        for name, plane in world.planes.items():
            for service in [entry.service for entry in plane.steering.services] if plane.steering is not None else ():
                if not any(plane.delivered_bp(service).values()):
                    raise Stopped(self._of_plane(world, name, f"no answer for {service}"))

    def _of_plane(self, world: World, name: EnactorId, text: str) -> Found:
        return Found(check="empty", at_ms=world.clock.now_ms, who=name, text=text)

    def _note_full(self, second: Second) -> None:
        """Full is who is asked for more than it carries, and who still answers late what waited since."""
        key = (second.service, second.site)
        if second.utilisation_pm < WHOLE_PM and not second.slow:
            self._full_since_ms.pop(key, None)
        else:
            self._full_since_ms.setdefault(key, second.at_ms)

    def _is_unseen_load(self, move: Move, site: SiteId) -> bool:
        """Whether a site that is left has been full for long, or no check could see why, and nobody counts what it is asked."""
        since_ms = self._full_since_ms.get((move.service, site))
        if self.world is None or move.service not in self.world.spec.unmetered or since_ms is None:
            return False
        return move.at_ms - since_ms > FULL_FOR_S * 1_000 or self._is_any(UNSEEN, move.at_ms / 1_000)

    def _bystander(self, move: Move) -> None:
        for site in move.left:
            if not (self._is_excused(move.service, site, move.at_ms / 1000) or self._is_unseen_load(move, site)):
                text = f"{move.service} left {site}, which is healthy: {dict(move.before_bp)} to {dict(move.after_bp)}"
                raise Stopped(Found(check="bystander", at_ms=move.at_ms, who=move.by, text=text))

    def _is_excused(self, service: ServiceId, site: SiteId, at_s: float) -> bool:
        """Whether something had befallen the site, or misled whoever looked, a while ago or now; or a person asked.

        Who takes out one server does not ask for the site to be left; who takes out all of them does.
        """
        own = any(event.get("site") == site or event.get("ask") == "shares" for event in self._lately(at_s))
        return own or self._is_any(MISLEADING, at_s) or self._is_taken_out(service, site, at_s)

    def _is_taken_out(self, service: ServiceId, site: SiteId, at_s: float) -> bool:
        """Whether people took out every server of a service at a site."""
        taken = {event.get("member") for event in self._lately(at_s) if event.get("ask") == "depool"}
        pool = self.world.spec.topology.pools.get((service, site)) if self.world is not None else None
        return pool is not None and all(m.id in taken for m in pool.members if m.role is MemberRole.ACTIVE)

    def _is_any(self, kinds: frozenset[str], at_s: float) -> bool:
        """Whether trouble of one of these kinds was anywhere a while ago, or is now."""
        return any(event.get("fault") in kinds for event in self._lately(at_s))

    def _lately(self, at_s: float) -> Iterator[Mapping[str, object]]:
        """The events whose consequences may be seen at an instant."""
        for event in self._case.events:
            begins, ends = event["at_s"], event.get("until_s", event["at_s"])
            assert isinstance(begins, int | float) and isinstance(ends, int | float)
            if begins <= at_s <= ends + AFTERMATH_S:
                yield event


def run_case(case: Case) -> Ran:
    """Run one case to its end, or to the first thing that is wrong."""
    scenario, watch = case.scenario(), Watcher(case)
    record = None
    try:
        record = simulate(
            scenario.world,
            scenario.policy,
            scenario.events,
            seed=scenario.seed,
            duration_ms=scenario.duration_ms,
            warm_up_ms=scenario.warm_up_ms,
            pilots=(watch,),
        )
        watch.look()
        found = not_home(case, record)
    except Stopped as stopped:
        found = stopped.found
    except Exception as error:  # whatever the core raises is a finding, and never ours to hide
        at_ms = watch.world.clock.now_ms if watch.world else 0
        found = Found(check="crash", at_ms=at_ms, who=type(error).__name__, text=str(error))
    lines, moves = (watch.world.lines, watch.witness.moves) if watch.world and watch.witness else ([], [])
    text = "".join(f"{line}\n" for line in lines) + str(found)
    return Ran(
        seed=case.seed,
        found=found,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        moves=len(moves),
        loss=record.loss if record is not None else None,
        site_rps=site_rps(scenario.world, record) if record is not None else 0.0,
        by_fault=losses_by_fault(scenario, record) if record is not None else (),
        asked_ms=next((move.at_ms for move in moves if move.is_by_people), None),
    )


def beside_nothing(case: Case, ran: Ran) -> Ran:
    """The same run with what nothing done would have lost, if it went through its whole time."""
    if ran.loss is None:
        return ran
    beside = held_beside(case.scenario(), ran.loss, ran.site_rps, ran.by_fault, seed=case.seed)
    return replace(ran, beside=beside)


def not_home(case: Case, record: Record) -> Found | None:
    """The first share, wanted or delivered, that is not near its nominal one at the end of a run that was healed."""
    if record.duration_ms <= case.heal_s * 1000:
        return None
    last = [row for row in record.seconds if row.at_ms > record.duration_ms - 5_000]
    for row in last:
        nominal = NOMINAL_PERCENT[row.site]
        for what, bp in (("desired", row.desired_bp), ("actual", row.actual_bp)):
            if abs(bp / 100 - nominal) > NEAR_PERCENT:
                minutes = (record.duration_ms // 1000 - case.heal_s) / 60
                text = f"{row.service} at {row.site}: {what} {bp / 100:g} %, nominal {nominal} %, {minutes:.0f} min after healing"
                return Found(check="no-home", at_ms=row.at_ms, who="world", text=text)
    return None


def run_seed(seed: int, minutes: int, bug: str | None) -> Ran:
    """Draw a seed's case, run it, and hold it beside nothing done; with a deliberate bug in the core where one is named."""
    case = draw_case(seed, minutes=minutes)
    with planted(MUTANTS[bug] if bug is not None else None):
        ran = run_case(case)
    return beside_nothing(case, ran)


def run_seeds(
    seeds: Sequence[int],
    *,
    minutes: int,
    bug: str | None = None,
    jobs: int = 1,
    tell: Callable[[Ran], None],
    goes_on: Callable[[], bool] = lambda: True,
) -> list[Ran]:
    """Run them, ``jobs`` processes at a time; see `pool.run_each`."""
    return run_each(partial(run_seed, minutes=minutes, bug=bug), seeds, jobs=jobs, tell=tell, goes_on=goes_on)
