"""The agent-check responder: for installations where HAProxy asks instead of being told.

HAProxy connects every ``agent-inter`` for every server, says which one (``agent-send "web/p1\\n"``, or by the port it
asks on), and obeys the line it gets: ``ready up 75%``, ``drain``, ``maint``. Per cents are of the server's weight in
haproxy.cfg, its *initial* weight, and are rounded down: 3 % of 1 is 0. So the plane must know it (``initial_weight``; 1 is
HAProxy's own default), and a server is told what gives the weight it shall have: ``300%`` of 1 is 3 (`weights`).

What follows from being asked
-----------------------------
* When siteshift is gone HAProxy keeps what it was told last: fail-static. A server nobody mapped is told ``up``, which
  changes nothing.
* Servers ask one after another, so a server is told to give less only after all that give more were told (`rollout`).
* A write is done when all that ask were told; a deadline before that is `AMBIGUOUS`: they will be told when they ask.
* What HAProxy has is what it was *told*; its health checks are not seen here. Not asked lately is unknown.
* Its ``maint`` for a resting standby overrules `HaproxyServerStandby`: start standbys by an HTTP or command hook here.
* One enactor serves one HAProxy: two of them asking here would each hear only a part.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from siteshift.adapters.haproxy.agent_listener import AgentListen, AgentListener, ListenerLimits
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane
from siteshift.adapters.haproxy.rollout import Rollout
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.shares import members_of_backends, shares_of_backends
from siteshift.adapters.haproxy.targets import BackendPlan, Target, mapped_servers, plan_backend
from siteshift.adapters.haproxy.weights import per_cent_of
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import Drift, EnactResult, ReadBack, Steering
from siteshift.core.model.units import EnactorId
from siteshift.errors import Permanent, Retryable
from siteshift.ports import Clock

DEFAULT_WEIGHT = 1
"""What a ``server`` line without ``weight`` has (configuration manual 5.2)."""
CHANGES_NOTHING = b"up\n"


class AgentCheckEnactor:
    """`ports.Enactor` by answering agent checks. ``plane.address`` is not used. `start` it before the first write."""

    def __init__(
        self, plane: HaproxyPlane, listen: AgentListen, clock: Clock, limits: ListenerLimits | None = None
    ) -> None:
        self._plane = plane if plane.initial_weight is not None else replace(plane, initial_weight=DEFAULT_WEIGHT)
        self._listen = listen
        self._clock = clock
        self._system = f"haproxy agent-check {plane.id}"
        self._listener = AgentListener(self._answer, limits or ListenerLimits())
        self._generation: int | None = None
        self._rollouts = {backend.backend: Rollout(stale_after_ms=listen.stale_after_ms) for backend in plane.backends}
        self._mapped = {f"{b.backend}/{s}": (b.backend, s) for b in plane.backends for s in mapped_servers(b)}
        self._initial = {b.backend: self._plane.initial_weights_of(b) for b in plane.backends}
        self._asked = asyncio.Event()

    @property
    def id(self) -> EnactorId:
        return self._plane.id

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    async def start(self) -> None:
        """Listen. Raises `Permanent` when the address cannot be had."""
        try:
            await self._listener.start(self._listen)
        except OSError as error:
            raise Permanent(str(error), system=self._system, operation="listen", target=self._listen.host) from error

    async def close(self) -> None:
        self._listener.close()

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        if self._generation is not None and self._generation > steering.generation:
            detail = f"generation {self._generation} is there"
            return self._result(steering, EnactOutcome.STALE, detail, found_generation=self._generation)
        plans = self._plans(steering)
        self._generation = steering.generation
        for plan in plans:
            if plan.problem is None:
                self._rollouts[plan.backend.backend].begin(plan.targets, steering.generation)
        if problems := [(plan.problem, plan.backend.backend) for plan in plans if plan.problem]:
            failed = any(problem.outcome is EnactOutcome.FAILED for problem, _ in problems)
            words = "; ".join(f"{backend}: {problem.detail}" for problem, backend in problems)
            return self._result(steering, EnactOutcome.FAILED if failed else EnactOutcome.REFUSED, words)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self._settled(plans, steering.generation)
        except TimeoutError:
            return self._result(steering, EnactOutcome.AMBIGUOUS, "not all servers have asked yet")
        if self._generation != steering.generation:
            detail = f"generation {self._generation} came in between"
            return self._result(steering, EnactOutcome.STALE, detail, found_generation=self._generation)
        return self._result(steering, EnactOutcome.APPLIED, "; ".join(("told", *(plan.note for plan in plans if plan.note))))

    async def read_back(self, *, deadline_ms: int) -> ReadBack:  # noqa: ARG002
        now_ms = self._clock.now_ms()
        heard = {name: rollout.heard(now_ms) for name, rollout in self._rollouts.items()}
        if not any(heard.values()):
            detail = f"not asked for {self._listen.stale_after_ms} ms"
            raise Retryable(detail, system=self._system, operation="read back")
        generations = {told.generation for servers in heard.values() for told in servers.values()}
        found = []
        for backend in self._plane.backends:
            targets = {s: told.target for s, told in heard[backend.backend].items() if told.target is not None}
            if targets:
                found.append((backend, {s: _weight(target) for s, target in targets.items()}))
        return ReadBack(
            enactor=self.id,
            at_ms=now_ms,
            generation=generations.pop() if len(generations) == 1 else None,
            shares_bp=shares_of_backends(found),
            members_bp=members_of_backends(found),
            drifts=tuple(
                Drift(enactor=self.id, what=name, wanted="to be asked for", found="not asked for lately", ours=True)
                for name, (backend_name, server) in self._mapped.items()
                if server not in heard[backend_name]
            ),
        )

    def _plans(self, steering: Steering) -> list[BackendPlan]:
        wanted_of = {entry.service: entry for entry in steering.services}
        return [
            plan_backend(self._plane, backend, wanted, self._assumed(backend))
            for backend in self._plane.backends
            if (wanted := wanted_of.get(backend.service)) is not None
        ]

    def _assumed(self, backend: BackendMap) -> dict[str, ServerState]:
        """All mapped servers are taken to be there and up, in the state they were told to be in."""
        told = self._rollouts[backend.backend].told
        states = {}
        for server in mapped_servers(backend):
            target = told[server].target if server in told else None
            admin = target.admin if target is not None else AdminState.READY
            states[server] = ServerState(admin, 1, running=True, since_s=0, check_configured=False)
        return states

    async def _settled(self, plans: list[BackendPlan], generation: int) -> None:
        rollouts = [self._rollouts[plan.backend.backend] for plan in plans]
        while self._generation == generation:
            now_ms = self._clock.now_ms()
            if all(rollout.settled(now_ms) for rollout in rollouts):
                return
            self._asked.clear()
            await self._asked.wait()

    def _answer(self, name: str) -> bytes:
        if name not in self._mapped:
            return CHANGES_NOTHING
        backend, server = self._mapped[name]
        target = self._rollouts[backend].tell(server, self._clock.now_ms())
        self._asked.set()
        match target:
            case None:
                return CHANGES_NOTHING
            case Target(admin=AdminState.READY, weight=None):
                return b"ready up\n"
            case Target(admin=AdminState.READY, weight=int(weight)):
                return f"ready up {per_cent_of(weight, self._initial[backend][server])}%\n".encode()
            case _:
                return f"{target.admin}\n".encode()

    def _result(self, steering: Steering, outcome: EnactOutcome, detail: str, found_generation: int | None = None) -> EnactResult:
        return EnactResult(
            enactor=self.id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self._clock.now_ms(),
            detail=detail,
            found_generation=found_generation,
        )


def _weight(target: Target) -> int:
    if target.admin is not AdminState.READY:
        return 0
    return 1 if target.weight is None else target.weight
