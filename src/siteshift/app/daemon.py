"""One node as a process: read the configuration, remember, equip, start, serve, reload, stop in order."""

from __future__ import annotations

import asyncio
import gc
import getpass
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.probes.prober import SocketProber
from siteshift.adapters.store.second_copy import SecondCopy
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.adapters.store.sqlite_ledger import SqliteLedger
from siteshift.api.server import ApiServer
from siteshift.app.core_setup import core_setup
from siteshift.app.descriptors import need_of, share_out
from siteshift.app.equip import Workshop
from siteshift.app.past import FoundPast, find_past, open_store
from siteshift.app.reload import Reloading, set_up_logs
from siteshift.app.retention import Retention
from siteshift.app.secrets import secrets_of
from siteshift.config import LoadedConfig, Resolved, load_config, resolve
from siteshift.config.resolve_policy import idle_services, idle_text
from siteshift.config.setups import EmbeddedDnsSetup
from siteshift.core.lifecycle.start import is_reload_due, start
from siteshift.core.model.steering import Steering
from siteshift.errors import AdapterError, Permanent
from siteshift.ports import Prober, ProbeSink
from siteshift.runtime.clock import SystemClock, read_clocks, watch_wall_clock
from siteshift.runtime.lag import watch_loop_lag
from siteshift.runtime.measure import Gauges
from siteshift.runtime.metrics import Done, Metrics
from siteshift.runtime.node import Node, assemble
from siteshift.runtime.supervise import StopReport, StopStage, Supervisor, TaskChange, TaskEvent
from siteshift.runtime.systemd import SystemdNotifier, feed_watchdog

log = structlog.get_logger("siteshift.daemon")

LONGEST_QUIET_MS = 5_000
"""The loop steps at least once a second; silent for longer, the watchdog is not fed."""


async def serve(path: Path, *, version: str) -> StopReport:
    """Run a node until it is told to stop. Raises `ConfigError` or `AdapterError` when it cannot start."""
    loaded = await asyncio.to_thread(load_config, path)
    resolved = await asyncio.to_thread(resolve, loaded.config)
    set_up_logs(resolved, await asyncio.to_thread(secrets_of, loaded.config))
    for warning in loaded.warnings:
        log.warning("configuration", problem=str(warning))
    if idle := idle_text(idle_services(resolved.policy, resolved.topology.service_by_id)):
        log.warning("mode", text=idle)
    daemon = Daemon(path=path, version=version, loaded=loaded, resolved=resolved)
    return await daemon.run()


@dataclass(slots=True, kw_only=True)
class Daemon:
    """The process around a node."""

    path: Path
    version: str
    loaded: LoadedConfig
    resolved: Resolved
    clock: SystemClock = field(default_factory=SystemClock)

    async def run(self) -> StopReport:
        systemd = SystemdNotifier.from_environment()
        metrics = Metrics(version=self.version, node=self.resolved.node.id)
        supervisor = Supervisor(listener=lambda event: _on_task(event, metrics))
        supervisor.stop_on_signals()
        file = Path(self.resolved.store.path)
        await asyncio.to_thread(_make_folder, file.parent)
        opened = await open_store(file)
        database = opened.database
        store, journal, ledger = SqliteStore(database), SqliteJournal(database), SqliteLedger(database)
        copy = SecondCopy(file.with_name(file.name + ".steering"), origin=self.resolved.node.origin)
        descriptors = Descriptors()
        share_out(need_of(self.resolved), descriptors)
        metrics.watch_listeners(descriptors.counts)
        workshop = Workshop(clock=self.clock, descriptors=descriptors)
        try:
            found = await find_past(opened, store, journal, copy, read_clocks())
            self.clock.start_at(found.time.now_ms)
            state = start(found.past, core_setup(self.resolved), now_ms=found.time.now_ms)
            if state.steering.generation > 0 and state.steering != found.past.copy:
                await _keep_copy(copy, state.steering)
            equipment = await workshop.equip(self.resolved, state.steering)
            node = assemble(
                clock=self.clock,
                supervisor=supervisor,
                equipment=equipment,
                ledger=ledger,
                gauges=Gauges(metrics=metrics, skew_ms=self.clock.skew_ms),
                state=state,
                make_prober=self._prober,
                keeper=copy,
                clock_note=self.clock.note,
            )
            retention = Retention(journal=journal, node=node, metrics=metrics, setup=self.resolved.journal)
            api = ApiServer(
                node=node,
                setup=self.resolved.api,
                version=self.version,
                journal=journal,
                descriptors=descriptors,
                kept=retention.document,
            )
            await api.start()
        except BaseException:
            await workshop.close()
            await store.close()
            await journal.close()
            await ledger.close()
            raise
        supervisor.at_stop(StopStage.INTAKE, "api", api.close)
        supervisor.at_stop(StopStage.ACTING, "data planes", workshop.close)
        supervisor.at_stop(StopStage.REMEMBERING, "store", store.close)
        supervisor.at_stop(StopStage.REMEMBERING, "journal", journal.close)
        supervisor.at_stop(StopStage.REMEMBERING, "ledger", ledger.close)
        supervisor.at_stop(StopStage.REMEMBERING, "rows", node.executor.remembering.flush)
        if is_reload_due(state, node.loop.setup):
            node.loop.commit(node.loop.prepare_reload(node.loop.setup))
        node.start()
        metrics.reloaded(Done.OK, at_ms=self.clock.now_ms())
        self._start_watching(supervisor, systemd, metrics, node)
        supervisor.start("retention", retention.run, stage=StopStage.INTAKE)
        reloading = Reloading(
            path=self.path,
            clock=self.clock,
            workshop=workshop,
            node=node,
            systemd=systemd,
            metrics=metrics,
            resolved=self.resolved,
            others=lambda resolved: _others(resolved, api, retention),
        )
        supervisor.on_signal(signal.SIGHUP, lambda: reloading.ask(supervisor))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # what was asked during the start comes now
        self._tell_past(node, found, database.set_aside)
        gc.freeze()
        systemd.ready(f"generation {state.steering.generation}")
        log.info("ready", node=self.resolved.node.id, generation=state.steering.generation, api=api.where)
        report = await supervisor.run()
        systemd.stopping(report.reason)
        log.info("stopped", reason=report.reason, failed=report.failed)
        return report

    def _tell_past(self, node: Node, found: FoundPast, set_aside: tuple[Path, ...]) -> None:
        for broken in set_aside:
            log.error("a broken store was set aside; overrides in it do not hold", file=str(broken))
            node.executor.note("store_set_aside", {"file": str(broken)})
        for note in found.notes:
            log.error("second copy", problem=note)
            node.executor.note("second_copy", {"problem": note})
        if found.is_nothing:
            node.tell_nothing_remembered([plane.id for plane in self.resolved.planes if isinstance(plane, EmbeddedDnsSetup)])
        if found.time.told:
            node.tell_clock(self.clock.skew_ms(), found.time.told)
        if (adoption := node.loop.state.adoption) is not None:
            log.error("held as adopted, cause unknown: siteshift ack", why=adoption.why, found=adoption.found.value)

    def _prober(self, sink: ProbeSink) -> Prober:
        return SocketProber(self.clock, sink)

    def _start_watching(self, supervisor: Supervisor, systemd: SystemdNotifier, metrics: Metrics, node: Node) -> None:
        supervisor.start("loop lag", lambda: watch_loop_lag(metrics.loop_lag), stage=StopStage.WATCHING)

        def healthy() -> bool:
            return self.clock.now_ms() - node.loop.last_step_ms < LONGEST_QUIET_MS

        supervisor.start("wall clock", lambda: watch_wall_clock(self.clock.skew_ms, node.tell_clock), stage=StopStage.WATCHING)
        supervisor.start("watchdog", lambda: feed_watchdog(systemd, healthy), stage=StopStage.WATCHING)

def _make_folder(folder: Path) -> None:
    """The node's own folder. Raises `Permanent`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"{error.strerror} (user {getpass.getuser()}): make it yours, or name another in `store.path` or `node.state_dir`"
        raise Permanent(text, system="store", operation="make the folder", target=str(error.filename or folder)) from error


def _others(resolved: Resolved, api: ApiServer, retention: Retention) -> Callable[[], None]:
    """What a reload changes beside the node: who may what at its API, by which certificate, and how long the record is kept."""
    renewal = api.prepare(resolved.api)

    def put_to_use() -> None:
        api.renew(renewal)
        retention.configure(resolved.journal)

    return put_to_use


async def _keep_copy(copy: SecondCopy, steering: Steering) -> None:
    """Write the second copy anew: there was none, or one of no use. A full disk must not keep a node from starting."""
    try:
        await copy.keep(steering)
    except AdapterError as error:
        log.error("second copy", problem=str(error))

def _on_task(event: TaskEvent, metrics: Metrics) -> None:
    if event.change is TaskChange.FAILED:
        metrics.task_failed(event.task)
        log.error("task failed", task=event.task, error=repr(event.error), exc_info=event.error)
    elif event.change is TaskChange.RESTARTED:
        metrics.task_restarted(event.task)
    elif event.change is TaskChange.STUCK:
        log.error("task did not stop", task=event.task)
