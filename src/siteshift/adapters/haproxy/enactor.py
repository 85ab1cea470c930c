"""The HAProxy enactor: one process's servers brought to the desired steering through its runtime API.

A write is: read what is there, claim the generation, widen, narrow, mark the generation as done. Only differences are
sent. A backend that cannot be brought to its steering (see `targets`) is left as it is while the others are written,
for one service's trouble must not hold up another's evacuation; the outcome then says so, and the generation is not
marked as done. What another cluster or node has signed is not written over: the outcome is a refusal with its mark.

Drift is judged against what this enactor wrote last, as long as HAProxy still carries that generation: after a
restart of HAProxy everything differs, but nobody edited anything. Health checks that fail change the actual shares,
never the drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from siteshift.adapters.haproxy import server_state, traits
from siteshift.adapters.haproxy.changes import Changes, changes
from siteshift.adapters.haproxy.deadline import Deadline
from siteshift.adapters.haproxy.drift import drifts, drifts_since
from siteshift.adapters.haproxy.fingerprint import of_targets
from siteshift.adapters.haproxy.generation import BesideFence, Carried, GenerationFence, VariableFence
from siteshift.adapters.haproxy.obstacles import STATIC_REFUSAL, STATIC_REMEDY, obstacles
from siteshift.adapters.haproxy.pace import Pace
from siteshift.adapters.haproxy.plane import Fence, HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import Refused, RuntimeApi
from siteshift.adapters.haproxy.server_state import ServersState
from siteshift.adapters.haproxy.sessions import LingeringSessions
from siteshift.adapters.haproxy.shares import actual_members_bp, actual_shares_bp, expected_shares_bp
from siteshift.adapters.haproxy.sole_writer import sole_writer
from siteshift.adapters.haproxy.targets import BackendPlan, Target, plan_backend
from siteshift.adapters.haproxy.traits import Traits
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import MarkClaim, PlaneMark, claim_of, is_of
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.errors import AdapterError, Ambiguous, Retryable
from siteshift.ports import Clock


class HaproxyEnactor:
    """`ports.Enactor` for one `HaproxyPlane`."""

    def __init__(self, plane: HaproxyPlane, clock: Clock) -> None:
        self._plane = plane
        self._clock = clock
        self._system = f"haproxy {plane.id}"
        self._api = RuntimeApi(plane.address, system=self._system)
        self._fence: GenerationFence = (
            VariableFence(self._api, plane) if plane.fence is Fence.VARIABLE else BesideFence(self._api)
        )
        self._backend_names = [backend.backend for backend in plane.backends]
        self._busy = asyncio.Lock()
        self._written: Mapping[str, Mapping[str, Target]] = {}
        self._written_generation: int | None = None
        self._overtaken_by: int | None = None
        self._sessions = LingeringSessions(plane)
        self._traits: Traits | None = None

    @property
    def id(self) -> EnactorId:
        return self._plane.id

    def expected_shares_bp(self, steering: Steering) -> Mapping[ServiceId, Mapping[SiteId, int]]:
        """What `read_back` shows once ``steering`` is there and all is up; a local plane has shares of its own."""
        return expected_shares_bp(self._plane, steering, self._traits.backups if self._traits is not None else {})

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        try:
            async with (
                self._turn(deadline_ms) as deadline,
                sole_writer(self._plane.address, deadline, system=self._system),
            ):
                return await self._enact(steering, deadline)
        except asyncio.CancelledError:
            self._forget()
            raise
        except Ambiguous as error:
            self._forget()
            return self._result(steering, EnactOutcome.AMBIGUOUS, str(error))
        except AdapterError as error:
            return self._result(steering, EnactOutcome.FAILED, str(error))

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        async with self._turn(deadline_ms) as deadline:
            before = await self._fence.read(deadline_ms=deadline.left_ms)
            states = await self._states(before, deadline)
            carried = await self._fence.read(deadline_ms=deadline.left_ms)
            still = carried == before
            ours = self._plane.origin is None or is_of(carried.mark, self._plane.origin)
            remembered = still and ours and carried.claimed == self._written_generation
            written = self._written if remembered else {}
            await self._end_sessions(states, written, deadline)
            found = await drifts(self._plane, written, states)
            if still and ours and not remembered and carried.generation is not None:
                left = await self._fence.left(self._backend_names, deadline_ms=deadline.left_ms)
                found += await drifts_since(self._plane, left, states, carried.generation)
            return ReadBack(
                enactor=self.id,
                at_ms=self._clock.now_ms(),
                generation=self._found(carried) if still and ours else None,
                shares_bp=await actual_shares_bp(self._plane, states),
                drifts=found,
                mark=carried.mark if still else None,
                members_bp=await actual_members_bp(self._plane, states),
                obstacles=await obstacles(self._plane, states, self._traits or Traits()),
            )

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    @asynccontextmanager
    async def _turn(self, deadline_ms: int) -> AsyncIterator[Deadline]:
        """One call at a time: a read-back in the middle of a write would see halves."""
        deadline = Deadline(deadline_ms)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self._busy.acquire()
        except TimeoutError:
            raise Retryable("the call before it took too long", system=self._system, operation="wait") from None
        try:
            yield deadline
        finally:
            self._busy.release()

    def _found(self, carried: Carried) -> int | None:
        """None when nothing whole is there; but a claim that refused us is told, half-written or not, to be passed."""
        if carried.generation is None and carried.claimed == self._overtaken_by:
            return carried.claimed
        return carried.generation

    async def _states(self, carried: Carried, deadline: Deadline) -> ServersState:
        """What is there; with what its configuration file says, asked anew of a process that carries no claim."""
        if self._traits is None or carried.claimed is None:
            self._traits = await traits.ask(self._api, system=self._system, deadline_ms=deadline.left_ms)
        text = await server_state.ask(self._api, deadline_ms=deadline.left_ms)
        return self._traits.put_into(await server_state.parse(text, system=self._system))

    async def _enact(self, steering: Steering, deadline: Deadline) -> EnactResult:
        self._overtaken_by = None
        carried = await self._fence.read(deadline_ms=deadline.left_ms)
        own = PlaneMark(
            generation=steering.generation,
            term=None if self._plane.origin is None else steering.term,
            origin=self._plane.origin,
        )
        if (refusal := self._refusal(steering, carried, own)) is not None:
            return refusal
        states = await self._states(carried, deadline)
        plans = await self._plans(steering, states)
        todo = await changes(plans, states)
        if carried.mark != own:
            claimed = await self._fence.claim(own, deadline_ms=deadline.left_ms)
            if claimed.mark != own:
                return self._overtaken(steering, claimed, own)
            if claimed.done != carried.done:
                raise Retryable("it was restarted just now", system=self._system, operation="claim")
        refused = await self._write(todo, deadline)
        self._written = {plan.backend.backend: plan.targets for plan in plans if not _concerns(refused, plan)}
        self._written_generation = steering.generation
        troubles = [(p.problem.outcome, f"{p.backend.backend}: {p.problem.detail}") for p in plans if p.problem]
        troubles += [(EnactOutcome.FAILED, _words(entry)) for entry in refused]
        if troubles:
            failed = any(outcome is EnactOutcome.FAILED for outcome, _ in troubles)
            outcome = EnactOutcome.FAILED if failed else EnactOutcome.REFUSED
            return self._result(steering, outcome, "; ".join(detail for _, detail in troubles))
        if carried.generation != steering.generation or carried.mark != own:
            carried = await self._complete(own, plans, deadline)
            if carried.claimed is None:
                raise Ambiguous("it was restarted in the middle", system=self._system, operation="write")
            if carried.mark != own:
                return self._overtaken(steering, carried, own)
        missing = [f"{plan.backend.backend}/{server}" for plan in plans for server in plan.missing]
        detail = f"{len(todo)} changes" + (f"; not in HAProxy: {', '.join(missing)}" if missing else "")
        detail = "; ".join((detail, *(plan.note for plan in plans if plan.note)))
        return self._result(steering, EnactOutcome.APPLIED, detail)

    async def _plans(self, steering: Steering, states: ServersState) -> list[BackendPlan]:
        """Backends of services that are not in the steering are left alone."""
        wanted_of = {entry.service: entry for entry in steering.services}
        pace = Pace()
        plans = []
        for backend in self._plane.backends:
            if (wanted := wanted_of.get(backend.service)) is not None:
                plans.append(plan_backend(self._plane, backend, wanted, states.get(backend.backend)))
                await pace.after(len(backend.servers))
        return plans

    async def _write(self, todo: Changes, deadline: Deadline) -> Sequence[Refused]:
        """Widen everywhere first; where a server could not be opened or weighed, none is taken out."""
        first = [command for part in (todo.widen, todo.trim) for commands in part.values() for command in commands]
        refused = await self._api.change(first, deadline_ms=deadline.left_ms)
        failed = {entry.command for entry in refused}
        narrow = [
            command
            for backend, commands in todo.narrow.items()
            if failed.isdisjoint(todo.widen.get(backend, ())) and failed.isdisjoint(todo.trim.get(backend, ()))
            for command in commands
        ]
        try:
            return [*refused, *await self._api.change(narrow, deadline_ms=deadline.left_ms)]
        except Retryable as error:
            if not first:
                raise
            raise self._half_done(error) from error

    async def _complete(self, own: PlaneMark, plans: Sequence[BackendPlan], deadline: Deadline) -> Carried:
        prints = {}
        pace = Pace()
        for plan in plans:
            prints[plan.backend.backend] = of_targets(self._plane, plan.backend, plan.targets)
            await pace.after(len(plan.targets))
        try:
            await self._fence.leave(prints, deadline_ms=deadline.left_ms)
            return await self._fence.complete(own, deadline_ms=deadline.left_ms)
        except Retryable as error:
            raise self._half_done(error) from error

    def _half_done(self, error: Retryable) -> Ambiguous:
        detail = f"a part was written before: {error.detail}"
        return Ambiguous(detail, system=self._system, operation=error.operation)

    async def _end_sessions(self, states: ServersState, written: Mapping[str, Mapping[str, Target]], deadline: Deadline) -> None:
        """The last part of a write, due only a while after it: close what members at rest still hold.

        It is done when the plane is read, for that is when it is known to be due. A failure is tried again at the next
        reading; what the reading says does not depend on it.
        """
        due = self._sessions.due(states, written)
        commands = [f"shutdown sessions server {backend}/{server}" for backend, server in due]
        try:
            refused = {entry.command for entry in await self._api.change(commands, deadline_ms=deadline.left_ms)}
        except AdapterError:
            return
        self._sessions.closed([name for name, command in zip(due, commands, strict=True) if command not in refused])

    def _forget(self) -> None:
        """It is not known what was written: whatever is there now, nobody is accused of it."""
        self._written, self._written_generation = {}, None

    def _refusal(self, steering: Steering, carried: Carried, own: PlaneMark) -> EnactResult | None:
        """Why nothing may be written over what is there; None when it may."""
        match claim_of(carried.mark, own, taken_over=steering.taken_over):
            case MarkClaim.FREE:
                return None
            case MarkClaim.NEWER:
                return self._stale(steering, carried.claimed)
            case MarkClaim.FOREIGN:
                return self._foreign(steering, carried.mark)

    def _overtaken(self, steering: Steering, carried: Carried, own: PlaneMark) -> EnactResult:
        """Somebody else's claim stands where ours was, or should be."""
        return self._refusal(steering, carried, own) or self._stale(steering, carried.claimed)

    def _foreign(self, steering: Steering, mark: PlaneMark | None) -> EnactResult:
        detail = f"it carries {mark}: two controllers write to one HAProxy; stop one of them, then reload HAProxy"
        return replace(self._result(steering, EnactOutcome.REFUSED, detail), found_mark=mark)

    def _stale(self, steering: Steering, found: int | None) -> EnactResult:
        self._overtaken_by = found
        detail = f"generation {found} is there"
        return self._result(steering, EnactOutcome.STALE, detail, found_generation=found)

    def _result(self, steering: Steering, outcome: EnactOutcome, detail: str, found_generation: int | None = None) -> EnactResult:
        return EnactResult(
            enactor=self.id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self._clock.now_ms(),
            detail=detail,
            found_generation=found_generation,
        )


def _words(entry: Refused) -> str:
    return f"{entry}; {STATIC_REMEDY}" if STATIC_REFUSAL in entry.message else str(entry)


def _concerns(refused: Sequence[Refused], plan: BackendPlan) -> bool:
    """Whether a change of this backend was refused: then it is not known to be as planned."""
    return any(entry.command.startswith(f"set server {plan.backend.backend}/") for entry in refused)
