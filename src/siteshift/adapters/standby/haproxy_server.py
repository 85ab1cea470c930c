"""Standby members that run already and wait in HAProxy, in ``maint``.

=========  ===================================  =========================================================================
phase      in HAProxy                           how it gets there
=========  ===================================  =========================================================================
COLD       ``maint``                            `retire`, or the configuration file (``disabled``)
STARTING   ``drain``, checks not passed yet     `activate`: out of ``maint`` without traffic, and its health set down
READY      ``drain`` or ``ready``, checks pass  its health check passed ``rise`` times since then
FAILED     was READY, its checks fail again
=========  ===================================  =========================================================================

HAProxy takes a server that leaves ``maint`` for healthy until a check says otherwise; setting its health down first
makes it prove itself. Traffic is the enactor's business (it sets ``ready``). A server without a health check can
prove nothing and is refused.

Several HAProxies may have the member. Those that do not answer are passed over as long as one does: what stands in the
burning building must not be needed to leave it (law 17). Nobody answers: the error of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from siteshift.adapters.haproxy import server_state
from siteshift.adapters.haproxy.deadline import Deadline
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.adapters.haproxy.server_state import AdminState, ServersState, ServerState
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId
from siteshift.errors import AdapterError, Permanent

Answer = TypeVar("Answer")
Placed = dict[tuple[str, str], ServerState]
"""A member's servers in one HAProxy: by backend and server name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyPlace:
    """Where a member is found in every one of the HAProxies."""

    member: MemberId
    backend: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyStandby:
    """The HAProxies (``unix:/path`` or ``host:port``, level admin) and the members that wait in them."""

    id: DriverId
    addresses: tuple[str, ...]
    places: tuple[StandbyPlace, ...]


class HaproxyServerStandby:
    """`ports.StandbyDriver` over HAProxy server states."""

    def __init__(self, setup: HaproxyStandby) -> None:
        self._id = setup.id
        self._sides = [_Side(setup, address) for address in setup.addresses]
        self._was_ready: set[MemberId] = set()

    @property
    def id(self) -> DriverId:
        return self._id

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        was_cold = await self._everywhere(lambda side: side.activate(member, deadline_ms))
        if any(was_cold):
            self._was_ready.discard(member.id)

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        await self._everywhere(lambda side: side.retire(member, deadline_ms))
        self._was_ready.discard(member.id)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        states = [state for s in await self._everywhere(lambda side: side.look(member, deadline_ms)) for state in s]
        if any(state.admin is AdminState.MAINT for state in states):
            return StandbyPhase.COLD
        if all(state.running and state.bound is None for state in states):
            self._was_ready.add(member.id)
            return StandbyPhase.READY
        return StandbyPhase.FAILED if member.id in self._was_ready else StandbyPhase.STARTING

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    async def _everywhere(self, call: Callable[[_Side], Awaitable[Answer]]) -> list[Answer]:
        """The answers of those that answer. A refusal (`Permanent`) anywhere counts; silence only when all are
        silent.
        """
        results = await asyncio.gather(*(call(side) for side in self._sides), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors:
            if not isinstance(error, AdapterError) or isinstance(error, Permanent):
                raise error
        answers = [result for result in results if not isinstance(result, BaseException)]
        if not answers:
            raise errors[0]
        return answers


class _Side:
    """One of the HAProxies."""

    def __init__(self, setup: HaproxyStandby, address: str) -> None:
        self._system = f"standby {setup.id} on haproxy {address}"
        self._api = RuntimeApi(address, system=self._system)
        self._places = setup.places

    async def activate(self, member: Member, deadline_ms: int) -> bool:
        """Whether it was cold here."""
        deadline = Deadline(deadline_ms)
        placed = self._placed(member, await self._states(deadline), "activate")
        for (backend, server), state in placed.items():
            if state.bound is not None:
                detail = f"{backend}/{server} is {state.bound.value}, and no command to it lifts that: {state.bound.remedy}"
                raise Permanent(detail, system=self._system, operation="activate", target=member.id)
            if not state.check_configured:
                detail = f"{backend}/{server} has no health check, so it cannot prove that it is ready"
                raise Permanent(detail, system=self._system, operation="activate", target=member.id)
        cold = [place for place, state in placed.items() if state.admin is AdminState.MAINT]
        commands = [f"set server {b}/{s} {what}" for b, s in cold for what in ("state drain", "health down")]
        await self._change(commands, member, "activate", deadline)
        return bool(cold)

    async def retire(self, member: Member, deadline_ms: int) -> None:
        deadline = Deadline(deadline_ms)
        states = await self._states(deadline)
        placed = self._placed(member, states, "retire")
        for (backend, server), state in placed.items():
            others = (other for name, other in states[backend].items() if name != server)
            if state.usable and not any(other.usable for other in others):
                detail = f"{backend}/{server} is the last usable server of its backend"
                raise Permanent(detail, system=self._system, operation="retire", target=member.id)
        still_open = [place for place, state in placed.items() if state.admin is not AdminState.MAINT]
        await self._change([f"set server {b}/{s} state maint" for b, s in still_open], member, "retire", deadline)

    async def look(self, member: Member, deadline_ms: int) -> list[ServerState]:
        return list(self._placed(member, await self._states(Deadline(deadline_ms)), "phase").values())

    async def _states(self, deadline: Deadline) -> ServersState:
        text = await server_state.ask(self._api, deadline_ms=deadline.left_ms)
        return await server_state.parse(text, system=self._system)

    def _placed(self, member: Member, states: ServersState, operation: str) -> Placed:
        placed: Placed = {}
        for place in self._places:
            if place.member != member.id:
                continue
            state = states.get(place.backend, {}).get(place.server)
            if state is None:
                detail = f"HAProxy has no server {place.backend}/{place.server}"
                raise Permanent(detail, system=self._system, operation=operation, target=member.id)
            placed[place.backend, place.server] = state
        if not placed:
            raise Permanent("no server is mapped to it", system=self._system, operation=operation, target=member.id)
        return placed

    async def _change(self, commands: Sequence[str], member: Member, operation: str, deadline: Deadline) -> None:
        if refused := await self._api.change(commands, deadline_ms=deadline.left_ms):
            raise Permanent(str(refused[0]), system=self._system, operation=operation, target=member.id)
