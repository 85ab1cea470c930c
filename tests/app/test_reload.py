"""A reload is whole or nothing: cut at every stage, by every kind of fault, and the node is as it was."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import pytest
import yaml

from nodes.members import Members
from nodes.running_node import ANCHORS, NodeShape, RunningNode, configuration
from servers.ports import free_port
from siteshift.adapters.memory.ledger import MemoryLedger
from siteshift.adapters.probes.prober import SocketProber
from siteshift.app.equip import Workshop
from siteshift.app.reload import Reloading, Stage, problems_of, set_up_logs
from siteshift.config import load_config, resolve
from siteshift.core.state.controller_state import initial_state
from siteshift.errors import Permanent
from siteshift.runtime.clock import SystemClock
from siteshift.runtime.measure import Gauges
from siteshift.runtime.metrics import Metrics
from siteshift.runtime.node import Node, assemble
from siteshift.runtime.supervise import Supervisor
from siteshift.runtime.systemd import SystemdNotifier

DEADLINE_S = 60.0
Document = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class World:
    """A node in this process, over real servers, and what it told whom."""

    outside: RunningNode
    node: Node
    workshop: Workshop
    reloading: Reloading
    ledger: MemoryLedger
    systemd: socket.socket
    metrics: Metrics
    said: list[str] = field(default_factory=list)

    async def until(self, holds: Callable[[Document], object]) -> Document:
        limit_s = time.monotonic() + DEADLINE_S
        while not holds(status := self.node.status()):
            assert time.monotonic() < limit_s, f"not so after {DEADLINE_S:g} s: {status}"
            await asyncio.sleep(0.02)
        return status

    def write(self, change: Callable[[Document], object]) -> None:
        document = yaml.safe_load(self.outside.config.read_text())
        change(document)
        self.outside.config.write_text(yaml.safe_dump(document, sort_keys=False))

    def heard_by_systemd(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self.systemd.recv(65_536).decode())
            except BlockingIOError:
                return found

    async def addresses(self, name: str) -> set[str]:
        query = dns.message.make_query(name, "A")
        reply = await dns.asyncquery.udp(query, "127.0.0.1", port=self.outside.dns_port, timeout=5)
        return {item.address for rrset in reply.answer for item in rrset}

    async def journal(self, kind: str) -> list[Mapping[str, Any]]:
        await self.node.executor.remembering.flush()
        return [entry.data for entry in self.ledger.journal.entries if entry.kind == kind]

    def whole(self) -> list[object]:
        """Everything that a reload replaces, as it is now."""
        node = self.node
        return [
            node.loop.setup,
            node.loop.state.setup_digest,
            node.equipment,
            node.executor.equipment,
            node.executor.planes.equipment,
            node.executor.standbys.equipment,
            node.executor.notices.equipment,
            node.loop.queue_limit,
            node.broadcast.limit,
            node.metering.meters,
            node.evidence.sources,
            node.sensing.judge,
            node.sensing.judged,
            node.sensing._probes,
            node.sensing._anchor_names,
            dict(node.sensing._target_of),
            node.sensing.prober._specs,
            sorted(node.sensing.observer.report(node.clock.now_ms()).views),
            {name: id(entry.plane) for name, entry in self.workshop.planes.items()},
            {name: id(entry[1]) for name, entry in self.workshop.notifiers.things.items()},
            self.reloading.resolved,
        ]


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    shape = NodeShape(members_per_site=1)
    with (
        Members((*shape.member_names, *ANCHORS)) as members,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        outside = RunningNode(folder=folder, shape=shape, members=members, dns_port=free_port())
        outside.config.write_text(yaml.safe_dump(configuration(outside), sort_keys=False))
        systemd.bind(str(folder / "notify"))
        systemd.setblocking(False)
        clock, supervisor, ledger = SystemClock(), Supervisor(), MemoryLedger()
        metrics = Metrics(version="test", node="node-anyang")
        resolved = resolve(load_config(outside.config).config)
        set_up_logs(resolved, {})
        workshop = Workshop(clock=clock)
        equipment = await workshop.equip(resolved, None)
        node = assemble(
            clock=clock,
            supervisor=supervisor,
            equipment=equipment,
            ledger=ledger,
            gauges=Gauges(metrics=metrics),
            state=initial_state(now_ms=clock.now_ms()),
            make_prober=lambda sink: SocketProber(clock, sink),
        )
        reloading = Reloading(
            path=outside.config,
            clock=clock,
            workshop=workshop,
            node=node,
            systemd=SystemdNotifier(str(folder / "notify")),
            metrics=metrics,
            resolved=resolved,
        )
        running = asyncio.create_task(supervisor.run())
        node.start()
        found = World(
            outside=outside,
            node=node,
            workshop=workshop,
            reloading=reloading,
            ledger=ledger,
            systemd=systemd,
            metrics=metrics,
        )
        try:
            await found.until(lambda status: status["fresh"] and status["generation"] > 0 and status["services"][0]["in_step"])
            yield found
        finally:
            supervisor.request_stop("end of the test")
            await running
            await workshop.close()


def much_else(document: Document) -> None:
    """Another policy, a service more, a notifier more, other probes, other limits, another record."""
    document["policy"]["max_utilisation_percent"] = 80
    blog = deepcopy(document["services"][0])
    document["services"].append(blog | {"id": "blog", "names": ["blog.shop.test"], "tier": 2, "demand_rps": 20})
    document["services"][0]["probes"][0]["path"] = "/healthz?other"
    document["notifiers"] = [{"id": "log", "kind": "log"}]
    document["anchors"]["outside"].pop()
    document["enactors"][0]["records"].append({"name": "ns9", "type": "A", "value": "127.0.0.9"})
    document["limits"] = {"event_queue": 5_000}


CUTS: Sequence[tuple[Stage, str]] = [
    (Stage.READ, "siteshift.app.reload.load_config"),
    (Stage.RESOLVE, "siteshift.app.reload.resolve"),
    (Stage.SECRETS, "siteshift.app.reload.secrets_of"),
    (Stage.COMPARE, "siteshift.app.reload._must_stay"),
    (Stage.COMPARE, "siteshift.app.reload.describe_changes"),
    (Stage.EQUIP, "siteshift.app.equip._secrets_by_setup"),
    (Stage.EQUIP, "siteshift.app.equip.make_notifier"),
    (Stage.EQUIP, "siteshift.app.plane_shelf.change_zone"),
    (Stage.EQUIP, "siteshift.app.equip.changed_planes"),
    (Stage.EQUIP, "siteshift.app.equip.core_setup"),
    (Stage.TAKE, "siteshift.runtime.loop.step"),
    (Stage.TAKE, "siteshift.runtime.executor.Executor.refit"),
    (Stage.TAKE, "siteshift.runtime.metering.Metering.configure"),
    (Stage.TAKE, "siteshift.runtime.evidence.Evidence.configure"),
    (Stage.TAKE, "siteshift.adapters.probes.prober.SocketProber.configure"),
    (Stage.TAKE, "siteshift.runtime.sensing.changed_targets"),
    (Stage.TAKE, "siteshift.core.judge.vantage.Roster"),
]
"""Every call of a reload that could raise, by stage."""
FAULTS: Sequence[Exception] = (Permanent("no", system="x", operation="y"), OSError(98, "in use"), KeyError("p"))
"""Of an adapter, of the world, of ours."""


def cut_once(monkeypatch: pytest.MonkeyPatch, where: str, error: Exception) -> Callable[[], bool]:
    """The call fails at its next use, after having done its work where that can be: the worst moment. Whether it did."""
    owner, _, name = where.rpartition(".")
    try:
        place: Any = importlib.import_module(owner)
    except ModuleNotFoundError:
        module, _, kind = owner.rpartition(".")
        place = getattr(importlib.import_module(module), kind)
    original = getattr(place, name)
    done: list[bool] = []

    def failing(*about: Any, **more: Any) -> Any:
        if done:
            return original(*about, **more)
        done.append(True)
        raise error

    async def failing_late(*about: Any, **more: Any) -> Any:
        found = await original(*about, **more)
        if done:
            return found
        done.append(True)
        raise error

    monkeypatch.setattr(place, name, failing_late if asyncio.iscoroutinefunction(original) else failing)
    return lambda: bool(done)


async def test_a_fault_at_any_stage_leaves_the_old_configuration_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        old = found.outside.config.read_text()
        found.write(much_else)
        generation = found.node.loop.state.steering.generation
        for number, (stage, where) in enumerate(CUTS):
            error = FAULTS[number % len(FAULTS)]
            before, refused = found.whole(), len(await found.journal("reload_refused"))
            sequence = found.node.sensing.observer.report(found.node.clock.now_ms()).sequence
            found.heard_by_systemd()
            with pytest.MonkeyPatch.context() as monkeypatch:
                was_cut = cut_once(monkeypatch, where, error)
                await found.reloading.reload()
            assert was_cut(), where
            assert found.whole() == before, (where, error)
            assert found.node.sensing.observer.report(found.node.clock.now_ms()).sequence > sequence
            told = (await found.journal("reload_refused"))[refused:]
            assert [entry["stage"] for entry in told] == [stage.value], where
            assert found.node.status()["reload_refused"]["problems"] == told[0]["problems"], where
            begin, end = found.heard_by_systemd()
            assert begin.startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert end.startswith("READY=1\nSTATUS=reload refused"), end
            assert b'siteshift_config_last_reload_successful 0.0' in found.metrics.render()
            assert await found.addresses("www.shop.test")
            assert not await found.addresses("blog.shop.test")
        assert found.node.unready == ()
        assert found.node.loop.state.steering.generation == generation
        assert old != found.outside.config.read_text()
        await found.reloading.reload()
        status = await found.until(lambda status: len(status["services"]) == 2 and all(s["in_step"] for s in status["services"]))
        assert status["setup"] == found.reloading.resolved.digest
        assert status["reload_refused"] is None
        assert await found.addresses("blog.shop.test")
        assert b'siteshift_config_last_reload_successful 1.0' in found.metrics.render()
        assert found.heard_by_systemd()[-1] == f"READY=1\nSTATUS=configuration {status['setup']}"


async def test_after_a_refused_reload_a_dying_site_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as found:
        found.write(much_else)
        cut_once(monkeypatch, "siteshift.core.judge.vantage.Roster", RuntimeError("no"))
        await found.reloading.reload()
        found.outside.members.stop("pangyo-1")
        await found.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)


async def test_what_was_made_for_a_refused_reload_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that was opened before something else failed holds its address no longer."""
    async with world(tmp_path) as found:
        port = free_port()

        def another_server(document: Document) -> None:
            more = deepcopy(document["enactors"][0])
            more |= {"id": "dns2", "zone": "more.test", "nameservers": ["ns1.more.test"], "listen": [f"127.0.0.1:{port}"]}
            document["enactors"].append(more)

        found.write(another_server)
        cut_once(monkeypatch, "siteshift.app.equip.core_setup", KeyError("p"))
        await found.reloading.reload()
        assert (await found.journal("reload_refused"))[-1]["stage"] == Stage.EQUIP.value
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


async def test_what_fails_while_tidying_up_does_not_undo_the_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as found:
        found.write(much_else)
        cut_once(monkeypatch, "siteshift.app.equip.Workshop.put_away", OSError(5, "no"))
        await found.reloading.reload()
        assert found.node.loop.setup.digest == found.reloading.resolved.digest
        assert not await found.journal("reload_refused")
        assert found.heard_by_systemd()[-1].startswith("READY=1\nSTATUS=configuration ")


async def test_another_name_for_what_listens_needs_a_restart_and_is_told_so(tmp_path: Path) -> None:
    """It was refused with "Address already in use", and so was every later reload of that file (found by hand)."""
    async with world(tmp_path) as found:
        was = found.whole()
        found.write(lambda document: document["enactors"][0].update(id="dns2"))
        await found.reloading.reload()
        assert found.whole() == was
        (told,) = (await found.journal("reload_refused"))[-1]["problems"]
        port = found.outside.dns_port
        assert told == f"enactor 'dns2' would listen at 127.0.0.1:{port}, where 'dns' does: that needs a restart"


def test_a_fault_of_ours_is_told_as_such() -> None:
    (text,) = problems_of(KeyError("pangyo"), Stage.TAKE)
    assert text == "a fault of siteshift itself while taking it into use: KeyError: 'pangyo'"
