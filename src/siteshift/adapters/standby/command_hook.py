"""Standby members started by a command on this machine.

Commands are argv templates, never a shell line, so a member's name cannot become one. Exit codes:

=============  ==============================  ============================================
code           of the phase command            of the activate and retire commands
=============  ==============================  ============================================
0              READY                           accepted
3              COLD (LSB: "not running")       failed: `Permanent`
75             STARTING (sysexits: TEMPFAIL)   did nothing, later may be better: `Retryable`
anything else  FAILED                          failed: `Permanent`
=============  ==============================  ============================================

A command that is not done at its deadline is killed with its whole process group: `Ambiguous` for activate and retire,
`Retryable` for phase. A command that starts a daemon must detach it; standard error may stay open. It takes
`child.OUTPUT_BYTES`; writing more fails there (EAGAIN), and neither disk nor memory is filled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.adapters import child
from siteshift.adapters.standby import template
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

EXIT_OK, EXIT_TEMPFAIL = 0, 75
PHASE_OF_EXIT = {0: StandbyPhase.READY, 3: StandbyPhase.COLD, 75: StandbyPhase.STARTING}
WORDS_BYTES = 400
"""So much of standard error is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHook:
    """What to run; the first word is a path or found in PATH. The environment gets ``SITESHIFT_MEMBER`` and so on."""

    id: DriverId
    activate: tuple[str, ...]
    retire: tuple[str, ...]
    phase: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for argv in (self.activate, self.retire, self.phase):
            if not argv:
                raise ValueError(f"{self.id}: a command has no words")
            for word in argv:
                template.check(word)


class CommandHookStandby:
    """`ports.StandbyDriver` by commands."""

    def __init__(self, hook: CommandHook) -> None:
        self._hook = hook
        self._system = f"standby {hook.id}"

    @property
    def id(self) -> DriverId:
        return self._hook.id

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        await self._act(self._hook.activate, member, "activate", deadline_ms)

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        await self._act(self._hook.retire, member, "retire", deadline_ms)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        code, _ = await self._run(self._hook.phase, member, "phase", deadline_ms, late=Retryable)
        return PHASE_OF_EXIT.get(code, StandbyPhase.FAILED)

    async def close(self) -> None:
        """Nothing runs between calls."""

    async def _act(self, argv: tuple[str, ...], member: Member, operation: str, deadline_ms: int) -> None:
        code, words = await self._run(argv, member, operation, deadline_ms, late=Ambiguous)
        if code != EXIT_OK:
            kind = Retryable if code == EXIT_TEMPFAIL else Permanent
            raise kind(f"exit code {code}: {words}", system=self._system, operation=operation, target=member.id)

    async def _run(
        self, argv: tuple[str, ...], member: Member, operation: str, deadline_ms: int, late: type[AdapterError]
    ) -> tuple[int, str]:
        """Exit code and the end of standard error."""
        values = template.fields(member)
        own = {f"SITESHIFT_{name.upper()}": value for name, value in values.items()}
        with child.output_pipe() as (said, errors):
            try:
                process = await child.start(
                    [template.fill(word, values) for word in argv],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=errors,
                    env={**os.environ, **self._hook.environment, **own},
                )
            except (OSError, ValueError) as error:
                raise Permanent(str(error), system=self._system, operation=operation, target=member.id) from error
            try:
                async with asyncio.timeout(deadline_ms / 1000):
                    code = await process.wait()
            except TimeoutError:
                detail = f"not done within {deadline_ms} ms, killed"
                raise late(detail, system=self._system, operation=operation, target=member.id) from None
            finally:
                if process.returncode is None:
                    await child.end(process)
            return code, child.written(said, WORDS_BYTES, from_end=True).decode("utf-8", "replace").strip()
