"""A node's workers: carry out commands as `runtime.executor` does, and turns every end into an event.

What must be remembered is durable before anything that follows is carried out; each data plane sees one write at a time,
and only the newest steering waits; a write that could not be remembered is refused (law 12).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from siteshift.core.lifecycle.durable import remember
from siteshift.core.messages.commands import ActivateStandby, AskStandby, Command, Enact, ReadPlane, Remember, RetireStandby
from siteshift.core.messages.events import EnactFinished, Event, ReadBackArrived, ReadBackFailed, StandbyReported
from siteshift.core.model.codes import EnactOutcome, StandbyPhase
from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.steering import EnactResult, Steering
from siteshift.core.model.units import EnactorId, MemberId
from siteshift.core.state.controller_state import ControllerState
from siteshift.sim.nodes.leading import Candidate
from siteshift.sim.world.link import one_exchange
from siteshift.sim.world.planes import Plane, Trouble
from siteshift.sim.world.spec import NodeSpec
from siteshift.sim.world.store import Wrote
from siteshift.sim.world.world import World

ENACT_DEADLINE_MS = 3_000
READ_DEADLINE_MS = 2_000
STORE_RETRY_MS = 1_000
STANDBY_GIVES_UP_MS = 10_000
OWN_FILE_MS = 1


@dataclass(slots=True)
class Batch:
    """The commands of one step with the durable part as it was then (None: nothing new to remember)."""

    commands: tuple[Command, ...]
    document: Mapping[str, Any] | None
    generation: int


@dataclass(slots=True)
class PlaneWork:
    """What waits for one data plane."""

    is_busy: bool = False
    steering: Steering | None = None
    reads: bool = False


class WorkingNode(Protocol):
    """What workers need of their node."""

    @property
    def spec(self) -> NodeSpec: ...

    @property
    def candidate(self) -> Candidate | None:
        """Its dealings with the leader's key; None: it has a store of its own and leads."""

    @property
    def now_ms(self) -> int:
        """Its siteshift time."""

    @property
    def write_delay_ms(self) -> int:
        """How much longer its writes are under way."""

    def later(self, at_ms: int, do: Callable[[], None]) -> None:
        """At an instant of the world, if it lives then."""

    def offer(self, event: Event) -> None:
        """For its core."""

    def store_is(self, *, usable: bool, detail: str = "") -> None:
        """Whether the store answers."""


class Workers:
    """Everything of one node that acts."""

    def __init__(self, node: WorkingNode, world: World) -> None:
        self._node = node
        self._world = world
        self._file: Mapping[str, Any] | None = None
        self._batches: deque[Batch] = deque()
        self._is_saving = False
        self._work: dict[EnactorId, PlaneWork] = {}

    def durable(self) -> Mapping[str, Any] | None:
        """What this node finds when it starts."""
        store = self._world.shared_store
        return self._file if store is None else store.document

    def start(self) -> None:
        """With nothing under way."""
        self._batches.clear()
        self._is_saving = False
        self._work = {plane: PlaneWork() for plane in self._world.planes}

    def carry_out(self, commands: tuple[Command, ...], state: ControllerState) -> None:
        """Take the commands of one step."""
        must_save = any(isinstance(command, Remember) for command in commands)
        document = remember(state) if must_save else None
        self._batches.append(Batch(commands, document, state.steering.generation))
        self._next()

    # -- remembering ----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._batches and not self._is_saving:
            batch = self._batches[0]
            if batch.document is None:
                self._batches.popleft()
                self._act(batch, refused="")
                continue
            self._is_saving = True
            now_ms, store = self._world.clock.now_ms, self._world.shared_store
            if store is None:
                self._node.later(now_ms + OWN_FILE_MS, lambda: self._saved(in_time=True))
                continue
            late_ms = store.late_by_ms(self._node.spec.site)
            is_slow = late_ms is None and store.is_reachable(self._node.spec.site)
            wait_ms = store.call_ms + (store.spec.deadline_ms if is_slow else late_ms or 0)
            self._node.later(now_ms + wait_ms, partial(self._saved, in_time=not is_slow))

    def _saved(self, *, in_time: bool) -> None:
        """The save of the first batch ends."""
        self._is_saving = False
        if not self._batches:
            return
        batch = self._batches.popleft()
        assert batch.document is not None
        wrote = self._save(batch.document, batch.generation) if in_time else Wrote.UNREACHABLE
        if wrote is Wrote.DONE:
            self._act(batch, refused="")
        else:
            self._act(batch, refused=f"not remembered: {wrote.value}")
            candidate = self._node.candidate
            if wrote is Wrote.UNREACHABLE:
                self._node.store_is(usable=False, detail="the store does not answer")
            elif candidate is not None and candidate.term is not None:
                candidate.lose(f"the store refused a write: {wrote.value}")
        self._next()

    def _save(self, document: Mapping[str, Any], generation: int) -> Wrote:
        store = self._world.shared_store
        if store is None:
            self._file = document
            return Wrote.DONE
        if not store.is_reachable(self._node.spec.site):
            return Wrote.UNREACHABLE
        candidate = self._node.candidate
        term = candidate.term if candidate is not None else None
        if term is None:
            return Wrote.NOT_LEADER
        return store.save(self._node.spec.id, term, generation, document, self._world.clock.now_ms)

    # -- acting ---------------------------------------------------------------------------------------------------

    def _act(self, batch: Batch, *, refused: str) -> None:
        for command in batch.commands:
            match command:
                case Enact(enactor=enactor, steering=steering):
                    if refused:
                        self._ended(self._result(enactor, steering, EnactOutcome.FAILED, refused))
                    else:
                        self._work[enactor].steering = steering
                        self._work_on(enactor)
                case ReadPlane(enactor=enactor):
                    self._work[enactor].reads = True
                    self._work_on(enactor)
                case ActivateStandby(member=member):
                    self._activate(member)
                case RetireStandby(member=member):
                    self._retire(member)
                case AskStandby(member=member):
                    self._ask(member)
                case _:
                    pass

    def _work_on(self, enactor: EnactorId) -> None:
        work = self._work[enactor]
        if work.is_busy:
            return
        if work.steering is not None:
            work.is_busy, steering, work.steering = True, work.steering, None
            self._write(self._world.planes[enactor], steering)
        elif work.reads:
            work.is_busy, work.reads = True, False
            self._read(self._world.planes[enactor])

    def _free(self, enactor: EnactorId) -> None:
        self._work[enactor].is_busy = False
        self._work_on(enactor)

    # -- data planes ----------------------------------------------------------------------------------------------

    def _result(self, enactor: EnactorId, steering: Steering, outcome: EnactOutcome, detail: str) -> EnactResult:
        return EnactResult(
            enactor=enactor, generation=steering.generation, outcome=outcome, at_ms=self._node.now_ms, detail=detail
        )

    def _ended(self, result: EnactResult) -> None:
        self._node.offer(EnactFinished(at_ms=0, result=result))

    def _write(self, plane: Plane, steering: Steering) -> None:
        """Send a write. What becomes of it depends on links and on the plane; the node hears one word, or none in time."""
        world, node, enactor = self._world, self._node, plane.spec.id
        now_ms, place = world.clock.now_ms, plane.spec.place
        goes_ms = world.passes_in_ms(node.spec.id, node.spec.site, place, ENACT_DEADLINE_MS)
        comes_ms = world.passes_in_ms(node.spec.id, place, node.spec.site, ENACT_DEADLINE_MS)
        goes, comes = goes_ms is not None, comes_ms is not None
        if plane.hits(Trouble.REFUSING):
            self._tell(now_ms + plane.spec.write_ms, plane, self._result(enactor, steering, EnactOutcome.REFUSED, "key refused"))
            return
        if plane.hits(Trouble.DOWN) or plane.hits(Trouble.DEAD) or (plane.is_dark and goes):
            self._tell(
                now_ms + plane.spec.write_ms, plane, self._result(enactor, steering, EnactOutcome.FAILED, "connection refused")
            )
            return
        is_lost = not goes or plane.hits(Trouble.LOSES_WRITES)
        is_mute = not comes or plane.hits(Trouble.LOSES_ANSWERS)
        if plane.spec.kind is PlaneKind.BALANCER and not (goes and comes):
            late = self._result(enactor, steering, EnactOutcome.FAILED, "no connection")
            self._tell(now_ms + ENACT_DEADLINE_MS, plane, late)
            return
        trip_ms = world.net.delay_ms(node.spec.site, place)
        add_ms = plane.add_ms if plane.hits(Trouble.SLOW) else 0
        there_ms = now_ms + trip_ms + plane.spec.write_ms + add_ms + node.write_delay_ms + (goes_ms or 0)
        back_ms = there_ms + trip_ms + (comes_ms or 0)
        in_time = back_ms <= now_ms + ENACT_DEADLINE_MS and not is_mute

        def arrive() -> None:
            found: list[EnactResult] = []
            world.change_plane(lambda: found.append(plane.write(steering, node.now_ms)))
            world.line(enactor, "plane", f"generation {steering.generation} from {node.spec.id}: {found[0].outcome.value}")
            if in_time:
                self._tell(back_ms, plane, found[0])

        if not is_lost:
            world.clock.at(there_ms, arrive)
        if is_lost or not in_time:
            unsure = self._result(enactor, steering, EnactOutcome.AMBIGUOUS, "no answer within the deadline")
            self._tell(now_ms + ENACT_DEADLINE_MS, plane, unsure)

    def _tell(self, at_ms: int, plane: Plane, result: EnactResult) -> None:
        """The node hears how the write ended."""

        def hear() -> None:
            self._ended(result)
            self._free(plane.spec.id)

        self._node.later(at_ms, hear)

    def _read(self, plane: Plane) -> None:
        world, node, enactor = self._world, self._node, plane.spec.id
        now_ms, place = world.clock.now_ms, plane.spec.place
        add_ms = plane.add_ms if plane.hits(Trouble.SLOW) else 0
        late_ms = one_exchange(
            world.lots.of(f"link/{node.spec.id}"), world.net.loss_pm(node.spec.site, place), READ_DEADLINE_MS
        )
        took_ms = 2 * world.net.delay_ms(node.spec.site, place) + plane.spec.read_ms + add_ms + (late_ms or 0)
        is_cut = late_ms is None
        fails = any(plane.hits(how) for how in (Trouble.DOWN, Trouble.DEAD, Trouble.UNREADABLE)) or plane.is_dark

        def hear() -> None:
            if is_cut or fails or took_ms > READ_DEADLINE_MS:
                detail = "connection refused" if fails and not is_cut else "no answer within the deadline"
                node.offer(ReadBackFailed(at_ms=0, enactor=enactor, detail=detail))
            else:
                node.offer(ReadBackArrived(at_ms=0, read_back=plane.read(node.now_ms)))
            self._free(enactor)

        node.later(now_ms + (READ_DEADLINE_MS if is_cut else min(took_ms, READ_DEADLINE_MS)), hear)

    # -- standbys -------------------------------------------------------------------------------------------------

    def _driver_answers_in(self, member: MemberId) -> int | None:
        """After how many ms the driver of a standby answers; None: not in time."""
        site = self._world.spec.topology.members[member].site
        late_ms = self._world.late_by_ms(self._node.spec.id, self._node.spec.site, site, STANDBY_GIVES_UP_MS)
        return None if late_ms is None else self._world.spec.standby.answer_ms + late_ms

    def _activate(self, member: MemberId) -> None:
        world, node = self._world, self._node
        answer_ms = self._driver_answers_in(member)
        if answer_ms is not None:
            world.clock.after(answer_ms, lambda: world.standbys.activate(member))
            return
        failed = StandbyReported(at_ms=0, member=member, phase=StandbyPhase.FAILED, detail="its driver does not answer")
        node.later(world.clock.now_ms + STANDBY_GIVES_UP_MS, lambda: node.offer(failed))

    def _retire(self, member: MemberId) -> None:
        answer_ms = self._driver_answers_in(member)
        if answer_ms is not None:
            self._world.clock.after(answer_ms, lambda: self._world.standbys.retire(member))

    def _ask(self, member: MemberId) -> None:
        world, node = self._world, self._node
        answer_ms = self._driver_answers_in(member)
        if answer_ms is None:
            return
        phase_of = world.standbys.phase
        told_ms = world.clock.now_ms + answer_ms
        node.later(told_ms, lambda: node.offer(StandbyReported(at_ms=0, member=member, phase=phase_of(member))))
