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
"""

from __future__ import annotations

from siteshift.adapters.haproxy import server_state
from siteshift.adapters.haproxy.deadline import Deadline
from siteshift.adapters.haproxy.plane import HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.adapters.haproxy.server_state import AdminState, ServersState, ServerState
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId
from siteshift.errors import Permanent

Placed = dict[tuple[str, str], ServerState]
"""A member's servers: by backend and server name."""


class HaproxyServerStandby:
    """`ports.StandbyDriver` over the servers a `HaproxyPlane` maps to members."""

    def __init__(self, driver: DriverId, plane: HaproxyPlane) -> None:
        self._id = driver
        self._system = f"standby {driver} on haproxy {plane.id}"
        self._api = RuntimeApi(plane.address, system=self._system)
        self._places: dict[MemberId, list[tuple[str, str]]] = {}
        for backend in plane.backends:
            for mapped in backend.servers:
                if mapped.member is not None:
                    self._places.setdefault(mapped.member, []).append((backend.backend, mapped.server))
        self._was_ready: set[MemberId] = set()

    @property
    def id(self) -> DriverId:
        return self._id

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        deadline = Deadline(deadline_ms)
        placed = self._placed(member, await self._states(deadline), "activate")
        for (backend, server), state in placed.items():
            if not state.check_configured:
                detail = f"{backend}/{server} has no health check, so it cannot prove that it is ready"
                raise Permanent(detail, system=self._system, operation="activate", target=member.id)
        waiting = [place for place, state in placed.items() if state.admin is AdminState.MAINT]
        if waiting:
            self._was_ready.discard(member.id)
        await self._change(
            [f"set server {b}/{s} {what}" for b, s in waiting for what in ("state drain", "health down")],
            member,
            "activate",
            deadline,
        )

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        deadline = Deadline(deadline_ms)
        states = await self._states(deadline)
        placed = self._placed(member, states, "retire")
        for backend, server in placed:
            others = (state for name, state in states[backend].items() if name != server)
            if placed[backend, server].usable and not any(state.usable for state in others):
                detail = f"{backend}/{server} is the last usable server of its backend"
                raise Permanent(detail, system=self._system, operation="retire", target=member.id)
        open_places = [place for place, state in placed.items() if state.admin is not AdminState.MAINT]
        await self._change([f"set server {b}/{s} state maint" for b, s in open_places], member, "retire", deadline)
        self._was_ready.discard(member.id)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        placed = self._placed(member, await self._states(Deadline(deadline_ms)), "phase")
        if any(state.admin is AdminState.MAINT for state in placed.values()):
            return StandbyPhase.COLD
        if all(state.running for state in placed.values()):
            self._was_ready.add(member.id)
            return StandbyPhase.READY
        return StandbyPhase.FAILED if member.id in self._was_ready else StandbyPhase.STARTING

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    async def _states(self, deadline: Deadline) -> ServersState:
        (text,) = await self._api.ask(["show servers state"], deadline_ms=deadline.left_ms)
        return await server_state.parse(text, system=self._system)

    def _placed(self, member: Member, states: ServersState, operation: str) -> Placed:
        placed: Placed = {}
        for backend, server in self._places.get(member.id, ()):
            state = states.get(backend, {}).get(server)
            if state is None:
                detail = f"HAProxy has no server {backend}/{server}"
                raise Permanent(detail, system=self._system, operation=operation, target=member.id)
            placed[backend, server] = state
        if not placed:
            raise Permanent("no server is mapped to it", system=self._system, operation=operation, target=member.id)
        return placed

    async def _change(self, commands: list[str], member: Member, operation: str, deadline: Deadline) -> None:
        if refused := await self._api.change(commands, deadline_ms=deadline.left_ms):
            raise Permanent(str(refused[0]), system=self._system, operation=operation, target=member.id)
