"""The fence: which steering generation a HAProxy process carries, and refusing an older one (law 11).

HAProxy has no generation of its own, but it has process-wide variables, and ``set var NAME,iflt int(n)`` (2.6,
experimental mode) replaces a variable only by a larger number, atomically. So the process itself refuses an older
claim, whoever makes it; when it is restarted or reloaded the variables are gone, and that is how we know it
forgot.

Two numbers: ``claim`` is raised before the first change, ``done`` after the last. Where they differ a write was cut
off half-way and the plane carries neither generation. A text beside them, ``mark``, says whose the generation is
(`core.model.mark`): what another controller wrote is neither passed nor overwritten. What HAProxy cannot do is check
the claim again at every change; see `sole_writer`. Every writer looks at the claim again when it is done and reports
`STALE` if somebody overtook it.

`Fence.BESIDE` is for sockets without experimental mode (it also sets HAProxy's "tainted" flag 0x8): the enactor
remembers the generation itself, tied to the process by pid and start time. It fences one enactor only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from siteshift.adapters.haproxy import answers
from siteshift.adapters.haproxy.deadline import Deadline
from siteshift.adapters.haproxy.plane import Fence, HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.core.model.mark import PlaneMark, read_mark
from siteshift.errors import Permanent, Retryable

Value = TypeVar("Value", int, str)
EXPERIMENTAL = "experimental-mode on"
"""Lasts as long as a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a process carries: the highest generation claimed, the last one written whole, and who signed last.

    ``signed`` None: nobody did (an older siteshift, a fence beside).
    """

    claimed: int | None = None
    done: int | None = None
    signed: PlaneMark | None = None

    @property
    def mark(self) -> PlaneMark | None:
        """Whose the claim is. One that was cut off before it was signed is taken to be of who signed before."""
        if self.claimed is None:
            return None
        return PlaneMark(generation=self.claimed) if self.signed is None else replace(self.signed, generation=self.claimed)

    @property
    def generation(self) -> int | None:
        """The generation there; None when it was forgotten or a write was cut off half-way."""
        return self.done if self.done == self.claimed else None


class GenerationFence(Protocol):
    """Where the generation is kept. Every answer is what the process carries then."""

    async def read(self, *, deadline_ms: int) -> Carried: ...

    async def claim(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        """Raise the claim to the mark's generation unless it is higher already, and sign it."""

    async def complete(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        """Say that this generation is written whole, if its claim still stands and is ours."""

    async def leave(self, fingerprints: Mapping[str, int], *, deadline_ms: int) -> None:
        """Leave word of what these backends were left like, for whoever comes later; where there is no place, do
        nothing.
        """

    async def left(self, backends: Sequence[str], *, deadline_ms: int) -> Mapping[str, int]:
        """What `leave` was told last, for those it was told of."""


class VariableFence:
    """The generation in HAProxy's own process-wide variables. All calls may be repeated safely."""

    def __init__(self, api: RuntimeApi, plane: HaproxyPlane) -> None:
        self._api = api
        self._system = f"haproxy {plane.id}"
        self._stem = "proc.siteshift_" + re.sub(r"[^A-Za-z0-9_]", "_", plane.id)
        self._claim = f"{self._stem}_claim"
        self._done = f"{self._stem}_done"
        self._mark = f"{self._stem}_mark"

    async def read(self, *, deadline_ms: int) -> Carried:
        return await self._after((), deadline_ms=deadline_ms)

    async def claim(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        deadline = Deadline(deadline_ms)
        raised = [f"set var {self._claim},iflt int({mark.generation})"]
        found = await self._after(raised, deadline_ms=deadline.left_ms)
        if found.claimed is None:
            detail = f"keeps no process-wide variable; set the plane's fence to {Fence.BESIDE}"
            raise Permanent(detail, system=self._system, operation="set var", target=self._claim)
        if found.claimed != mark.generation or mark.origin is None:
            return found
        return await self._after([f"set var {self._mark} str({mark.text()})"], deadline_ms=deadline.left_ms)

    async def complete(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        deadline = Deadline(deadline_ms)
        before = await self.read(deadline_ms=deadline.left_ms)
        if before.mark != mark:
            return before
        return await self._after([f"set var {self._done},iflt int({mark.generation})"], deadline_ms=deadline.left_ms)

    async def leave(self, fingerprints: Mapping[str, int], *, deadline_ms: int) -> None:
        commands = [f"set var {self._print_of(backend)} int({value})" for backend, value in fingerprints.items()]
        await self._api.change(commands, before=[EXPERIMENTAL], deadline_ms=deadline_ms)

    async def left(self, backends: Sequence[str], *, deadline_ms: int) -> Mapping[str, int]:
        found: dict[str, int] = {}
        deadline = Deadline(deadline_ms)
        for group in answers.pack([f"get var {self._print_of(backend)}" for backend in backends]):
            names = backends[len(found) : len(found) + len(group)]
            told = await self._api.ask(group, deadline_ms=deadline.left_ms)
            values = [self._read(answers.integer, answer) for answer in told]
            found |= {name: -1 if value is None else value for name, value in zip(names, values, strict=True)}
        return {name: value for name, value in found.items() if value >= 0}

    def _print_of(self, backend: str) -> str:
        return f"{self._stem}_{zlib.crc32(backend.encode()):08x}"

    async def _after(self, changes: Sequence[str], *, deadline_ms: int) -> Carried:
        commands = [*changes, f"get var {self._claim}", f"get var {self._done}", f"get var {self._mark}"]
        if changes:
            commands.insert(0, EXPERIMENTAL)
        *_, claim, done, mark = await self._api.ask(commands, deadline_ms=deadline_ms)
        return Carried(
            claimed=self._read(answers.integer, claim),
            done=self._read(answers.integer, done),
            signed=self._signed(self._read(answers.text, mark)),
        )

    def _signed(self, text: str | None) -> PlaneMark | None:
        mark = None if text is None else read_mark(text)
        if text is not None and mark is None:
            detail = f"{text[:80]!r} is no mark of siteshift; reload HAProxy, which forgets it"
            raise Permanent(detail, system=self._system, operation="get var", target=self._mark)
        return mark

    def _read(self, reader: Callable[[str], Value | None], answer: str) -> Value | None:
        try:
            return reader(answer)
        except answers.OddAnswer as error:
            raise Retryable(str(error), system=self._system, operation="get var") from error


class BesideFence:
    """The generation in this enactor's memory, forgotten when HAProxy is another process than before."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._process = ""
        self._carried = Carried()

    async def read(self, *, deadline_ms: int) -> Carried:
        (info,) = await self._api.ask(["show info"], deadline_ms=deadline_ms)
        process = " ".join(re.findall(r"^(?:Pid|Start_time_sec): \d+$", info, re.MULTILINE))
        if process != self._process:
            self._process, self._carried = process, Carried()
        return self._carried

    async def claim(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        carried = await self.read(deadline_ms=deadline_ms)
        claimed = max(carried.claimed or 0, mark.generation)
        self._carried = Carried(claimed=claimed, done=carried.done, signed=mark)
        return self._carried

    async def complete(self, mark: PlaneMark, *, deadline_ms: int) -> Carried:
        carried = await self.read(deadline_ms=deadline_ms)
        if carried.claimed == mark.generation:
            self._carried = replace(carried, done=mark.generation)
        return self._carried

    async def leave(self, fingerprints: Mapping[str, int], *, deadline_ms: int) -> None:
        """There is no place: who comes later has another memory."""

    async def left(self, backends: Sequence[str], *, deadline_ms: int) -> Mapping[str, int]:  # noqa: ARG002
        return {}
