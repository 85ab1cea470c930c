"""One node: the core's loop, its senses and its workers, and the questions the API may ask it.

`app` makes the parts and hands them over; the node starts them as supervised tasks and wires them: probe results go
to the observer, reports and results to the loop, commands to the executor, every step to the recorder and the metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import structlog

from siteshift.core.explain import status_document, why_document, why_unready
from siteshift.core.explain_goals import goals_document
from siteshift.core.judge.vantage import Observer
from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.instants import ClockNote
from siteshift.core.member_list import members_document
from siteshift.core.messages.commands import Answer, Command, Tell
from siteshift.core.messages.events import Asked, PlanFolded, StoreChanged
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.codes import NoticeCode
from siteshift.core.model.notice import AlertState, severity_of
from siteshift.core.model.plan import TRIFLES
from siteshift.core.model.units import EnactorId, SiteId
from siteshift.core.operate.answer import look_at
from siteshift.core.operate.deciding import proposal_from
from siteshift.core.operate.envelope import Folded
from siteshift.core.plan.foreseen import basis_of
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Licence, PlanQuestion
from siteshift.ports import Clock, Ledger, Prober, ProbeResult, ProbeSink, SteeringKeeper
from siteshift.runtime.broadcast import Broadcast, Subscriber
from siteshift.runtime.equipment import Equipment
from siteshift.runtime.evidence import Evidence
from siteshift.runtime.executor import Executor
from siteshift.runtime.loop import ControlLoop, Stepped
from siteshift.runtime.measure import Gauges
from siteshift.runtime.metering import Metering
from siteshift.runtime.planning import Snapshot, folded, foreseen
from siteshift.runtime.record import Recorder
from siteshift.runtime.sensing import Sensing
from siteshift.runtime.supervise import CRITICAL, StopStage, Supervisor

ANSWER_DEADLINE_S = 10.0

log = structlog.get_logger("siteshift.node")


@dataclass(slots=True, kw_only=True)
class Node:
    """The running whole."""

    clock: Clock
    supervisor: Supervisor
    equipment: Equipment
    gauges: Gauges
    loop: ControlLoop
    executor: Executor
    sensing: Sensing
    metering: Metering
    evidence: Evidence
    broadcast: Broadcast
    recorder: Recorder
    clock_ahead_ms: int = 0
    """Wall clock minus siteshift time, when people were last told."""
    clock_told: str = ""
    reload_refused: dict[str, Any] | None = None
    _answers: dict[str, asyncio.Future[Answer]] = field(default_factory=dict)
    _unplanned: asyncio.Event = field(default_factory=asyncio.Event)
    _planes_started: set[EnactorId] = field(default_factory=set)

    def start(self) -> None:
        """Start every task. The order of stopping is the supervisor's stages."""
        start = self.supervisor.start
        prober = self.sensing.prober
        assert prober is not None
        start("loop", self.loop.run, restart=CRITICAL, stage=StopStage.DECIDING)
        start("remembering", self.executor.remembering.run, restart=CRITICAL, stage=StopStage.REMEMBERING)
        start("standby", self.executor.standbys.run, stage=StopStage.ACTING)
        start("notifying", self.executor.notices.run, stage=StopStage.ACTING)
        for enactor in self.equipment.enactors:
            self._start_plane(enactor)
        start("prober", prober.run, restart=CRITICAL, stage=StopStage.SENSING)
        start("sensing", self.sensing.run, restart=CRITICAL, stage=StopStage.SENSING)
        start("meters", self.metering.run, stage=StopStage.SENSING)
        start("meters on suspicion", self.metering.run_looks, stage=StopStage.SENSING)
        start("evidence", self.evidence.run, stage=StopStage.SENSING)
        start("planning", self.follow_plans, stage=StopStage.SENSING)
        setup, state = self.loop.setup, self.loop.state
        self.executor.note("started", {"node": setup.node, "setup": setup.digest, "state": remember(state)})

    def _start_plane(self, enactor: EnactorId) -> None:
        """One worker for each name, once: a data plane that comes back after a reload finds its worker waiting."""
        if enactor in self._planes_started:
            return
        self._planes_started.add(enactor)
        self.supervisor.start(f"plane {enactor}", lambda: self.executor.run_plane(enactor), stage=StopStage.ACTING)

    def refit(self, equipment: Equipment) -> None:
        """Take new equipment after a reload: one event for the core, and the same moment for everything else (law 15).

        Raises when any part cannot take it; then all of them go on with what they had.
        """
        before = self.equipment
        prepared = self.loop.prepare_reload(equipment.setup)
        try:
            self._give(equipment)
            self.sensing.refit(equipment.setup)
        except BaseException:
            self._give(before)
            raise
        self.gauges.metrics.topology_changed()
        self.gauges.metrics.probes_scheduled(len(equipment.probes) + len(equipment.anchors))
        self.recorder.note_setup(equipment.setup)
        self.loop.commit(prepared)

    def _give(self, equipment: Equipment) -> None:
        """Hand the parts their equipment. What is the same goes on; giving back what they had undoes it."""
        self.equipment = equipment
        self.executor.refit(equipment)
        self.loop.queue_limit = equipment.limits.event_queue
        self.broadcast.limit = equipment.limits.api_subscribers
        self.metering.configure(equipment.meters)
        self.evidence.configure(equipment.evidence)
        self.sensing.configure(equipment.probes, equipment.anchors)
        for enactor in equipment.enactors:
            self._start_plane(enactor)

    # -- what the API asks ------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The whole state as a document, with what waits for the journal."""
        backlog = self.executor.remembering.backlog
        record = {"waiting_rows": len(backlog), "summarised_rows": backlog.summarised, "has_gap": backlog.has_gap}
        state, now_ms = self.loop.state, self.clock.now_ms()
        document = status_document(state, self.loop.setup, now_ms)
        document["goals"] = [goal for goal in goals_document(state, now_ms) if goal["state"] in ("waiting", "suspended")]
        clock = {"ahead_ms": self.clock_ahead_ms, "told": self.clock_told}
        return {**document, "record": record, "clock": clock, "reload_refused": self.reload_refused}

    def tell_clock(self, ahead_ms: int, text: str) -> None:
        """The wall clock left siteshift time: on record, to people, and on the status until a restart."""
        self.clock_ahead_ms, self.clock_told = ahead_ms, text
        log.warning("clock", ahead_ms=ahead_ms, text=text)
        self.executor.note("clock", {"ahead_ms": ahead_ms, "text": text})
        self._tell(NoticeCode.CLOCK, text)

    def tell_reload(self, problems: Sequence[str]) -> None:
        """How the last reload went; ``problems`` empty: well. A refused one is on record, told to people, and on the status.

        There it stays until a reload goes well or the node starts anew: who asked by a signal has no other answer.
        """
        was_refused, self.reload_refused = self.reload_refused, None
        if problems:
            self.reload_refused = {"at_ms": self.clock.now_ms(), "problems": list(problems)}
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            text = f"reload refused, the configuration that runs stays: {problems[0]}{more}"
            self._tell(NoticeCode.RELOAD_REFUSED, text)
        elif was_refused is not None:
            self._tell(NoticeCode.RELOAD_REFUSED, "the configuration was reloaded well", state=AlertState.RESOLVED)

    def tell_nothing_remembered(self, planes: Sequence[str]) -> None:
        """Neither a store nor its second copy was found: on record, and to people where data planes live in this process.

        From those nothing can be read back; what the others carry is adopted. A first start looks the same.
        """
        self.executor.note("started_from_nothing", {"embedded": list(planes)})
        log.warning("started from nothing: no store and no second copy", embedded=list(planes))
        if planes:
            text = f"no store and no second copy was found: {', '.join(planes)} answers by the configuration alone. "
            text += "If this node ran before, what people drained or forced is forgotten: drain again what must stay away"
            self._tell(NoticeCode.STARTED_FROM_NOTHING, text)

    def _tell(self, code: NoticeCode, text: str, *, state: AlertState = AlertState.FIRING) -> None:
        """Tell people something about this node."""
        tell = Tell(severity=severity_of(code), code=code, text=text, state=state, since_ms=self.clock.now_ms())
        self.executor.notices.take(tell)

    def note_checkpoint(self) -> None:
        """Write setup and state down, so that a record whose beginning is sealed away can be replayed from here."""
        self.recorder.note_checkpoint(self.loop.state, self.clock.now_ms())

    def members(self) -> dict[str, Any]:
        """Every member: state, weight, evidence, and who took it out."""
        return members_document(self.loop.state, self.loop.setup, self.clock.now_ms())

    def why(self, site: SiteId) -> dict[str, Any]:
        """Why a site gets what it gets now."""
        return why_document(self.loop.state, self.loop.setup, site, self.clock.now_ms())

    async def proposal(self) -> Folded | None:
        """What is under way or waits, as a plan with the envelope a person would approve."""
        at = self._snapshot()
        plan = await folded(at, PlanQuestion(state=at.state, only=None))
        return proposal_from(plan, at.state, at.setup, at.now_ms)


    async def look(self, asking: OperatorRequest) -> Answer:
        """What the answer would be; nothing is changed."""
        at = self._snapshot()
        answer, _ = await foreseen(at, asking)
        return answer or look_at(at.state, at.setup, asking, at.now_ms)

    async def follow_plans(self) -> None:
        """Fold the plan of what is under way whenever a step comes that no plan in force expected, one at a time."""
        while True:
            await self._unplanned.wait()
            self._unplanned.clear()
            at = self._snapshot()
            basis = basis_of(at.state, at.setup, None)
            plan = await folded(at, PlanQuestion(state=at.state, only=None), Licence.AS_GRANTED)
            self.loop.offer(PlanFolded(at_ms=self.clock.now_ms(), basis=basis, plan=plan))

    def _snapshot(self) -> Snapshot:
        return Snapshot(state=self.loop.state, setup=self.loop.setup, now_ms=self.clock.now_ms())

    async def ask(self, asking: OperatorRequest) -> Answer:
        """Put a request to the core and wait for its answer. Raises TimeoutError when the loop does not answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[asking.id] = future
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                _, plans = await foreseen(self._snapshot(), asking)
                self.loop.offer(Asked(at_ms=self.clock.now_ms(), asking=asking, foreseen=plans))
                return await future
        finally:
            self._answers.pop(asking.id, None)

    def subscribe(self) -> Subscriber:
        """Everything that is journalled from now on, as it happens."""
        return self.broadcast.subscribe()

    @property
    def unready(self) -> tuple[str, ...]:
        """Why this node cannot do its job now, in words for people; empty when it can."""
        return why_unready(self.loop.state, self.loop.setup, self.clock.now_ms())

    # -- what the parts call ----------------------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        future = self._answers.get(answer.asking)
        if future is not None and not future.done():
            future.set_result(answer)

    def journalled(self, rows: int, sequence: int, took_ms: int) -> None:
        self.gauges.metrics.journalled(rows, sequence=sequence, duration_ms=took_ms)

    def carry_out(self, commands: tuple[Command, ...], state: ControllerState) -> None:
        self.executor.carry_out(commands, state)

    def stepped(self, stepped: Stepped) -> None:
        """After every step: record, measure, and shout when a law was broken."""
        self.recorder.stepped(stepped)
        expected = stepped.decision.state.expected
        if any(step.service not in expected and step.kind not in TRIFLES for step in stepped.decision.steps):
            self._unplanned.set()
        self.gauges.stepped(stepped, self.loop)
        self.broadcast.stepped(stepped)
        for violation in stepped.violations:
            log.error("law broken", law=violation.law, detail=violation.text)
            self.executor.note("violation", {"law": violation.law, "text": violation.text})

    def result(self, result: ProbeResult) -> None:
        self.gauges.probed(result)

    def on_error(self, what: str, error: BaseException) -> None:
        self.gauges.failed(what, error)
        log.warning("failed", what=what, error=str(error), kind=type(error).__name__)

    def store_lost(self, detail: str) -> None:
        self.loop.offer(StoreChanged(at_ms=self.clock.now_ms(), is_usable=False, detail=detail))


def observer_for(equipment: Equipment) -> Observer:
    """The observer of this life of the node, for its topology and probes."""
    setup = equipment.setup
    return Observer(
        setup.topology,
        setup.policy.judge,
        setup.node,
        setup.topology.site_of_vantage.get(setup.node),
        anchors=tuple(spec.id for spec in equipment.anchors),
        boot_id=uuid4().hex,
    )


def assemble(
    *,
    clock: Clock,
    supervisor: Supervisor,
    equipment: Equipment,
    ledger: Ledger,
    gauges: Gauges,
    state: ControllerState,
    make_prober: Callable[[ProbeSink], Prober],
    keeper: SteeringKeeper | None = None,
    clock_note: Callable[[], ClockNote] | None = None,
) -> Node:
    """Wire the parts. ``make_prober(sink)`` makes the prober around our sink; ``clock_note`` tells the boot clock too."""
    node: Node
    broadcast = Broadcast(clock=clock, limit=equipment.limits.api_subscribers)
    loop = ControlLoop(
        clock=clock,
        setup=equipment.setup,
        state=state,
        queue_limit=equipment.limits.event_queue,
        carry_out=lambda commands, after: node.carry_out(commands, after),
    )
    executor = Executor(
        clock=clock,
        ledger=ledger,
        equipment=equipment,
        offer=loop.offer,
        answered=lambda answer: node.answered(answer),
        watch=lambda watch: node.sensing.watch(watch),
        read_meters=lambda wanted: node.metering.look(wanted.places, wanted.deadline_ms),
        state_now=lambda: to_document(loop.state),
        on_error=lambda what, error: node.on_error(what, error),
        on_told=lambda notifier, result: gauges.metrics.notified(notifier, result),
        on_written=lambda rows, sequence, took_ms: node.journalled(rows, sequence, took_ms),
        keeper=keeper,
        clock_note=clock_note,
    )
    observer = observer_for(equipment)
    sensing = Sensing(
        clock=clock,
        judge=equipment.setup.policy.judge,
        topology=equipment.setup.topology,
        observer=observer,
        offer=loop.offer,
        on_result=lambda result: node.result(result),
        judged=equipment.probes,
    )
    sensing.prober = make_prober(sensing.sink)
    sensing.configure(equipment.probes, equipment.anchors)
    gauges.late_starts = sensing.prober.late_starts
    gauges.metrics.probes_scheduled(len(equipment.probes) + len(equipment.anchors))
    metering = Metering(
        clock=clock,
        offer=loop.offer,
        judge=sensing.metered,
        on_error=lambda what, error: node.on_error(what, error),
        meters=equipment.meters,
    )
    evidence = Evidence(
        clock=clock,
        take=sensing.passive,
        on_error=lambda what, error: node.on_error(what, error),
        sources=equipment.evidence,
    )
    node = Node(
        clock=clock,
        supervisor=supervisor,
        equipment=equipment,
        gauges=gauges,
        loop=loop,
        executor=executor,
        sensing=sensing,
        metering=metering,
        evidence=evidence,
        broadcast=broadcast,
        recorder=Recorder(note=executor.note),
    )
    node.recorder.note_setup(equipment.setup)
    node.recorder.note_state(state)
    loop.watchers.append(node.stepped)
    return node
