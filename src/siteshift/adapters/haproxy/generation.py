"""The fence: which steering generation a HAProxy process carries, and refusing an older one (law 11).

HAProxy has no generation of its own, but it has process-wide variables, and ``set var NAME,iflt int(n)`` (2.6,
experimental mode) replaces a variable only by a larger number, atomically. So the process itself refuses an older
claim, whoever makes it; when it is restarted or reloaded the variables are gone, and that is how we know that it
forgot.

Two variables: ``claim`` is raised before the first change, ``done`` after the last. Where they differ a write was cut
off half-way and the plane carries neither generation. What HAProxy cannot do is check the claim again at every
change; see `sole_writer`. Every writer looks at the claim again when it is done and reports `STALE` if somebody
overtook it.

`Fence.BESIDE` is for sockets without experimental mode (it also sets HAProxy's "tainted" flag 0x8): the enactor
remembers the generation itself, tied to the process by pid and start time. It fences one enactor only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from siteshift.adapters.haproxy import answers
from siteshift.adapters.haproxy.plane import Fence, HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.errors import Permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a process carries: the highest generation claimed, and the last one written whole."""

    claimed: int | None = None
    done: int | None = None

    @property
    def generation(self) -> int | None:
        """The generation there; None when it was forgotten or a write was cut off half-way."""
        return self.done if self.done == self.claimed else None


class GenerationFence(Protocol):
    """Where the generation is kept."""

    async def read(self, *, deadline_ms: int) -> Carried: ...

    async def claim(self, generation: int, *, deadline_ms: int) -> int:
        """Raise the claim to ``generation`` unless it is higher already; the answer is the claim that stands."""

    async def complete(self, generation: int, *, deadline_ms: int) -> int:
        """Say that this generation is written whole; the answer is the claim that stands now."""


class VariableFence:
    """The generation in HAProxy's own process-wide variables."""

    def __init__(self, api: RuntimeApi, plane: HaproxyPlane) -> None:
        self._api = api
        self._system = f"haproxy {plane.id}"
        name = re.sub(r"[^A-Za-z0-9_]", "_", plane.id)
        self._claim = f"proc.siteshift_{name}_claim"
        self._done = f"proc.siteshift_{name}_done"

    async def read(self, *, deadline_ms: int) -> Carried:
        claim, done = await self._api.ask([f"get var {self._claim}", f"get var {self._done}"], deadline_ms=deadline_ms)
        return Carried(claimed=answers.variable(claim), done=answers.variable(done))

    async def claim(self, generation: int, *, deadline_ms: int) -> int:
        return await self._raise(self._claim, generation, deadline_ms=deadline_ms)

    async def complete(self, generation: int, *, deadline_ms: int) -> int:
        return await self._raise(self._done, generation, deadline_ms=deadline_ms)

    async def _raise(self, name: str, generation: int, *, deadline_ms: int) -> int:
        """May be repeated safely, so losing its answer is no ambiguity."""
        commands = ["experimental-mode on", f"set var {name},iflt int({generation})", f"get var {self._claim}"]
        *_, found = await self._api.ask(commands, deadline_ms=deadline_ms)
        claimed = answers.variable(found)
        if claimed is None:
            detail = f"keeps no process-wide variable ({found.strip()}); set the plane's fence to {Fence.BESIDE}"
            raise Permanent(detail, system=self._system, operation="set var", target=name)
        return claimed


class BesideFence:
    """The generation in this enactor's memory, forgotten when HAProxy is another process than before."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._process = ""
        self._claimed: int | None = None
        self._done: int | None = None

    async def read(self, *, deadline_ms: int) -> Carried:
        (info,) = await self._api.ask(["show info"], deadline_ms=deadline_ms)
        process = " ".join(re.findall(r"^(?:Pid|Start_time_sec): \d+$", info, re.MULTILINE))
        if process != self._process:
            self._process, self._claimed, self._done = process, None, None
        return Carried(claimed=self._claimed, done=self._done)

    async def claim(self, generation: int, *, deadline_ms: int) -> int:
        carried = await self.read(deadline_ms=deadline_ms)
        self._claimed = max(carried.claimed or 0, generation)
        return self._claimed

    async def complete(self, generation: int, *, deadline_ms: int) -> int:
        carried = await self.read(deadline_ms=deadline_ms)
        if carried.claimed is not None:
            self._done = generation
        return self._claimed or generation
