"""Reload: another configuration, whole or not at all (law 15).

Each stage may fail, for any reason at all, and then the last good configuration runs on as if nothing had been asked:
`Stage` lists them in order. What comes after the last of them only tidies up and tells; it cannot take the new one back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from siteshift.app.descriptors import need_of, share_out
from siteshift.app.equip import Workshop
from siteshift.app.secrets import secrets_of
from siteshift.config import ConfigError, LoadedConfig, Resolved, describe_changes, load_config, resolve
from siteshift.config.setups import AgentCheckSetup, EmbeddedDnsSetup, PlaneSetup
from siteshift.errors import SiteshiftError
from siteshift.ports import Clock
from siteshift.runtime.logs import LogForm, configure_logs
from siteshift.runtime.metrics import Done, Metrics
from siteshift.runtime.node import Node
from siteshift.runtime.supervise import ONCE, StopStage, Supervisor
from siteshift.runtime.systemd import SystemdNotifier

log = structlog.get_logger("siteshift.reload")


class Stage(StrEnum):
    """What a reload is doing when it fails."""

    READ = "reading the file"
    RESOLVE = "resolving what it says"
    SECRETS = "reading its secrets"
    COMPARE = "comparing it with what runs"
    EQUIP = "making its adapters"
    TAKE = "taking it into use"


@dataclass(slots=True, kw_only=True)
class Reloading:
    """Reloads one node on request. ``resolved`` is the configuration that runs."""

    path: Path
    clock: Clock
    workshop: Workshop
    node: Node
    systemd: SystemdNotifier
    metrics: Metrics
    resolved: Resolved
    others: Callable[[Resolved], Callable[[], None]] = lambda _: _nothing
    """For what is neither the node's nor an adapter: gets ready (in a thread; may raise), and returns what puts it to use."""
    _asked: int = field(default=0, init=False)
    _stage: Stage = field(default=Stage.READ, init=False)

    def ask(self, supervisor: Supervisor) -> None:
        """Reload; asked again meanwhile, reload once more: the file may have changed since it was read."""
        self._asked += 1
        if self._asked > 1:
            return

        async def run() -> None:
            try:
                while (asked := self._asked) > 0:
                    await self.reload()
                    self._asked = 1 if self._asked > asked else 0
            finally:
                self._asked = 0

        supervisor.start("reload", run, restart=ONCE, stage=StopStage.INTAKE)

    async def reload(self) -> None:
        """Take the file as it is now. What fails is told to the log, the journal, people, the status, the metrics and systemd.

        Never raises.
        """
        self.systemd.reloading()
        try:
            await self._take_file()
        except Exception as error:
            self._refused(error)

    async def _take_file(self) -> None:
        self._stage = Stage.READ
        loaded = await asyncio.to_thread(load_config, self.path)
        self._stage = Stage.RESOLVE
        resolved = await asyncio.to_thread(resolve, loaded.config)
        self._stage = Stage.SECRETS
        secrets = await asyncio.to_thread(secrets_of, loaded.config)
        self._stage = Stage.COMPARE
        _must_stay(self.resolved, resolved)
        changes = describe_changes(self.resolved, resolved)
        self._stage = Stage.EQUIP
        async with self.workshop.equipping(resolved, self.node.loop.state.steering) as equipment:
            put_to_use = await asyncio.to_thread(self.others, resolved)
            self._stage = Stage.TAKE
            self.node.refit(equipment)
            put_to_use()
        self.resolved = resolved
        self.node.tell_reload(())
        await self._tidy_up(loaded, resolved, secrets, tuple(changes))

    async def _tidy_up(
        self, loaded: LoadedConfig, resolved: Resolved, secrets: Mapping[str, str], changes: tuple[str, ...]
    ) -> None:
        """The new configuration runs: tell so, and let go of what the old one used. What fails here fails alone."""
        self.node.executor.note("reload", {"digest": resolved.digest, "changes": list(changes)})
        self.metrics.reloaded(Done.OK, at_ms=self.clock.now_ms())
        try:
            share_out(need_of(resolved), self.workshop.descriptors)
            set_up_logs(resolved, secrets)
            for warning in loaded.warnings:
                log.warning("configuration", problem=str(warning))
            await self.workshop.put_away()
        except Exception as error:
            log.error("reloaded, but not everything of the old configuration was put away", exc_info=error)
        log.info("reloaded", digest=resolved.digest, changes=len(changes))
        self.systemd.ready(f"configuration {resolved.digest}")

    def _refused(self, error: Exception) -> None:
        problems = problems_of(error, self._stage)
        fault = None if isinstance(error, SiteshiftError) else error
        log.error("reload refused, the last good configuration stays", problems=problems, exc_info=fault)
        self.metrics.reloaded(Done.FAILED, at_ms=self.clock.now_ms())
        self.node.executor.note("reload_refused", {"stage": self._stage.value, "problems": problems})
        self.node.tell_reload(problems)
        self.systemd.ready(f"reload refused, configuration {self.resolved.digest} stays: {problems[0]}")


def problems_of(error: Exception, stage: Stage) -> list[str]:
    """What people are told: each problem of the file, the reason that was given, or whose fault it is."""
    if isinstance(error, ConfigError) and error.problems:
        return [str(entry) for entry in error.problems]
    if isinstance(error, SiteshiftError):
        return [str(error)]
    return [f"a fault of siteshift itself while {stage.value}: {type(error).__name__}: {error}"]


class CannotReload(SiteshiftError):
    """A change that needs a restart."""


def _nothing() -> None:
    """Nothing else is put to use."""


def _must_stay(before: Resolved, after: Resolved) -> None:
    """What a running node cannot change: who it is, where it remembers, where its API listens."""
    stays: dict[str, tuple[object, object]] = {
        "node": (before.node, after.node),
        "store": (before.store, after.store),
        "api.unix.path": (before.api.unix_path, after.api.unix_path),
        "api.unix.mode": (before.api.unix_mode, after.api.unix_mode),
        "api.tls.listen": (_tls_place(before), _tls_place(after)),
    }
    for name, (was, would_be) in stays.items():
        if was != would_be:
            raise CannotReload(f"'{name}' changed: that needs a restart; nothing was reloaded")
    held = {address: plane.id for plane in before.planes for address in _listens_at(plane)}
    for plane in after.planes:
        for host, port in _listens_at(plane):
            holder = held.get((host, port), plane.id)
            if holder != plane.id:
                where = f"{host}:{port}"
                raise CannotReload(f"enactor '{plane.id}' would listen at {where}, where '{holder}' does: that needs a restart")


def _tls_place(resolved: Resolved) -> object:
    return resolved.api.tls.listen if resolved.api.tls is not None else None


def _listens_at(plane: PlaneSetup) -> tuple[tuple[str, int], ...]:
    match plane:
        case EmbeddedDnsSetup(listen=addresses):
            return tuple(addresses)
        case AgentCheckSetup(listen=(host, port), ports=ports):
            return ((host, port), *((host, own) for _, own in ports))
        case _:
            return ()


def set_up_logs(resolved: Resolved, secrets: Mapping[str, str]) -> None:
    """Log as the configuration says, without its secrets."""
    configure_logs(
        level=resolved.log.level.value,
        form=LogForm(resolved.log.format.value),
        secrets=tuple(secrets.values()),
    )
