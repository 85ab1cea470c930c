"""The lab: three sites, their standby hooks, anchors, clients and a node, each a process; nothing of it outlives us.

    async with Lab(LabShape()) as lab:
        await lab.start_node()
        await lab.start_clients()
        await lab.apply(Crash(site="pangyo"))
        ...

Leaving the block, an exception, SIGINT, SIGTERM and the death of this process all end every child.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from siteshift.core.model.codes import MemberRole
from siteshift.lab import faults
from siteshift.lab.addresses import Slot, claim_slot, free_port
from siteshift.lab.children import Children
from siteshift.lab.control import ControlError, Message, ask
from siteshift.lab.faults import Fault, FaultImpossible
from siteshift.lab.setup import NodeOptions, write_config
from siteshift.lab.spec import THREE_SITES, ClientSpec, LabSpec, NoiseSpec, SiteShape, build_sites
from siteshift.lab.timeline import Timeline

HOOK = "siteshift.lab.hook"
DNS_HOST = "0.53"
ANCHOR_HOSTS = ("250.1", "250.2", "251.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabShape:
    """What to build. ``folder`` None: a temporary one, removed at the end."""

    sites: tuple[SiteShape, ...] = THREE_SITES
    clients: ClientSpec = field(default_factory=ClientSpec)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    node: NodeOptions = field(default_factory=NodeOptions)
    start_ms: int = 1_500
    queue_ms: int = 800
    seed: int = 1
    folder: Path | None = None


class Lab:
    """A running lab. Use as an async context manager; sites, hooks and anchors run inside the block."""

    def __init__(self, shape: LabShape) -> None:
        self.shape = shape
        self._slot: Slot = claim_slot()
        self._made_folder = shape.folder is None
        folder = shape.folder or Path(tempfile.mkdtemp(prefix="siteshift-lab-"))
        folder.mkdir(parents=True, exist_ok=True)
        self.spec = self._lay_out(folder.resolve())
        self.children = Children(self.spec.path)
        self.timeline = Timeline(self.spec.timeline)
        self._closed = False

    def _lay_out(self, folder: Path) -> LabSpec:
        shape, prefix = self.shape, self._slot.prefix
        anchors = tuple(f"{prefix}.{host}" for host in ANCHOR_HOSTS)
        dns = f"{prefix}.{DNS_HOST}"
        sites = build_sites(shape.sites, prefix=prefix, port=0, load_rps=shape.clients.load_rps)
        fronts = [site.front for site in sites]
        port = free_port([dns, *anchors, *fronts, *(member.address for site in sites for member in site.members)])
        return LabSpec(
            sites=build_sites(shape.sites, prefix=prefix, port=port, load_rps=shape.clients.load_rps),
            folder=str(folder),
            port=port,
            dns=dns,
            dns_port=free_port([dns], candidates=(5300, 15300, 25300)),
            anchors=anchors,
            clients=replace(shape.clients, seed=shape.seed),
            noise=shape.noise,
            start_ms=shape.start_ms,
            queue_ms=shape.queue_ms,
            seed=shape.seed,
        )

    async def __aenter__(self) -> Lab:
        atexit.register(self.close)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted, task)
        try:
            await self._start_world()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        self.close()

    def _interrupted(self, task: asyncio.Task[object] | None) -> None:
        self.close()
        if task is not None:
            task.cancel("the lab was interrupted")

    def close(self) -> None:
        """End every process. May be called again."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.children.stop_all()
        self._slot.release()
        if self._made_folder:
            shutil.rmtree(self.spec.path, ignore_errors=True)

    # ---- the world ---------------------------------------------------------------------------------------------

    async def _start_world(self) -> None:
        self.spec.save()
        self.children.start_python("anchors", HOOK, *self._spec_option, "--anchors")
        for site in self.spec.sites:
            if site.capacity_rps(MemberRole.STANDBY):
                self.children.start_python(f"hook-{site.id}", HOOK, *self._spec_option, "--site", site.id)
        await asyncio.gather(*(self.start_site(site) for site in self.site_ids))
        for name, address in self._listeners():
            await self.children.until_ready(name, lambda address=address: _listens(address, self.spec.port))  # type: ignore[misc]

    def _listeners(self) -> list[tuple[str, str]]:
        hooks = [(f"hook-{site.id}", site.hook) for site in self.spec.sites if f"hook-{site.id}" in self.children]
        return [("anchors", address) for address in self.spec.anchors] + hooks

    @property
    def _spec_option(self) -> Sequence[str]:
        return ("--spec", str(self.spec.file))

    @property
    def site_ids(self) -> tuple[str, ...]:
        return tuple(site.id for site in self.spec.sites)

    async def start_site(self, site: str) -> None:
        """Start the site's process and wait until it serves. Does nothing when it runs."""
        if site in self.children and self.children[site].is_running:
            return
        self.children.start_python(site, "siteshift.lab.site", *self._spec_option, "--site", site)
        await self._until_answers(site)

    async def _until_answers(self, name: str) -> None:
        """Wait until the process answers its control socket with its own pid (not its predecessor's)."""
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + 20
        while True:
            await self.children.until_ready(name, Path(self.spec.control(name)).exists)
            try:
                await ask(self.spec.control(name), {"do": "stats"})
                return
            except ControlError:
                if loop.time() > limit_s:
                    raise
                await asyncio.sleep(0.02)

    async def tell(self, site: str, message: Message) -> Message:
        """Send a control message to a site's process. Raises `ControlError`."""
        return await ask(self.spec.control(site), message)

    def signal_site(self, site: str, number: signal.Signals) -> None:
        """Signal the site's process; SIGKILL is waited for, so that its sockets are gone."""
        if number is signal.SIGKILL:
            self.children.kill(site)
        else:
            self.children[site].send(number)

    def cut_site(self, site: str) -> None:
        """Loopback has no wires to cut."""
        raise FaultImpossible(f"a black hole at {site} needs the lab's network namespaces")

    def mend_site(self, site: str) -> None:
        """See `cut_site`."""
        self.cut_site(site)

    async def apply(self, fault: Fault) -> None:
        """Hurt the world."""
        await faults.apply(self, fault)

    async def undo(self, fault: Fault) -> None:
        """Take the fault back."""
        await faults.undo(self, fault)

    # ---- clients and node --------------------------------------------------------------------------------------

    async def start_clients(self) -> None:
        """Start the population; the load begins at once."""
        self.children.start_python("clients", "siteshift.lab.clients", *self._spec_option)
        await self._until_answers("clients")

    async def set_load(self, rps: int) -> None:
        """Change the whole load, in requests per second."""
        await ask(self.spec.control("clients"), {"do": "rate", "rps": rps})

    async def start_node(self) -> None:
        """Write the configuration and start ``siteshift run``; returns when its API socket answers."""
        config = write_config(self.spec, self.shape.node)
        self.children.start("node", [*_node_command(), "run", "--config", str(config)])
        await self.children.until_ready("node", lambda: _unix_listens(self.api_socket), deadline_s=30)

    @property
    def api_socket(self) -> Path:
        return self.spec.path / "api.sock"

    async def capacities(self) -> dict[str, int]:
        """Open capacity per site now, in requests per second; a site that does not answer has none."""
        found = {}
        for site in self.site_ids:
            try:
                stats = await ask(self.spec.control(site), {"do": "stats"}, deadline_ms=300)
            except ControlError:
                found[site] = 0
                continue
            members = json.loads(json.dumps(stats["members"]))
            found[site] = sum(int(m["capacity_rps"]) for m in members.values() if m["open"])
        return found


def _node_command() -> list[str]:
    """The installed entry point beside this interpreter, else the module."""
    script = Path(sys.executable).parent / "siteshift"
    return [str(script)] if script.exists() else [sys.executable, "-m", "siteshift"]


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0


def _unix_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(str(path)) == 0
