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
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

from siteshift.core.model.codes import MemberRole
from siteshift.lab import bind, faults
from siteshift.lab.children import Children
from siteshift.lab.control import ControlError, Message, ask
from siteshift.lab.faults import Fault, Wrongs
from siteshift.lab.folder import claim
from siteshift.lab.ground import EDGE, Ground, Loopback, listens
from siteshift.lab.setup import write_config
from siteshift.lab.shape import LabShape, NamesBy, lay_out, node_options
from siteshift.lab.spec import FrontBy
from siteshift.lab.timeline import Timeline

__all__ = ["Lab", "LabShape", "NamesBy"]

HOOK = "siteshift.lab.hook"
EDGE_HOST = "0.1"


class Lab:
    """A running lab. Use as an async context manager; sites, hooks and anchors run inside the block.

    ``ground`` None: loopback. `Namespaces` needs root and makes the black hole possible. Raises `FolderTaken` while another lab
    is up in the folder of the shape, and `FolderUnusable`; nothing was written then.
    """

    def __init__(self, shape: LabShape, ground: Ground | None = None) -> None:
        self.shape = shape
        self._ground: Ground = Loopback() if ground is None else ground
        self._made_folder = shape.folder is None
        folder = shape.folder or Path(tempfile.mkdtemp(prefix="siteshift-lab-"))
        self._held = claim(folder)
        self.spec = lay_out(shape, self._ground, folder.resolve())
        self.children = Children(self.spec.path)
        self.wrongs = Wrongs()
        self.timeline = Timeline(self.spec.timeline)
        self._closed = False

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

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        self._ground.release()
        os.close(self._held)
        if self._made_folder:
            shutil.rmtree(self.spec.path, ignore_errors=True)

    # ---- the world ---------------------------------------------------------------------------------------------

    async def _start_world(self) -> None:
        spec = self.spec
        spec.save()
        hooks = {f"hook-{site.id}": site for site in spec.sites if site.capacity_rps(MemberRole.STANDBY)}
        edge = [f"{self._ground.prefix}.{EDGE_HOST}", spec.dns, spec.balancer, *spec.anchors]
        edge += [site.hook for site in hooks.values()]
        await self._ground.prepare(
            self.children, [address for address in edge if address], {site.id: site.addresses for site in spec.sites}
        )
        self._start_python("anchors", HOOK, "--anchors")
        for name, site in hooks.items():
            self._start_python(name, HOOK, "--site", site.id)
        await asyncio.gather(*(self.start_site(site) for site in self.site_ids))
        await self._until_listens("anchors", spec.anchors[-1])
        for name, site in hooks.items():
            await self._until_listens(name, site.hook)
        if self.shape.names_by is NamesBy.BIND:
            self.children.start("bind", bind.start_command(spec), prefix=self._ground.enter(EDGE))
            await self._until_listens("bind", spec.dns, spec.dns_port)
        if spec.balancer:
            await self._start_balancer()

    async def _start_balancer(self) -> None:
        """Start the HAProxy at the edge."""
        assert self.shape.balancer is not None
        for site, member in self.shape.balancer.warm_standbys(self.spec):
            await self.tell(site, {"do": "open", "member": member})
        path = self.shape.balancer.write(self.spec)
        self.children.start("haproxy", ["haproxy", "-db", "-f", str(path)], prefix=self._ground.enter(EDGE))
        await self._until_listens("haproxy", self.spec.balancer)

    async def _until_listens(self, name: str, address: str, port: int | None = None) -> None:
        pid, at_port = self.children[name].pid, port or self.spec.port
        await self.children.until_ready(name, lambda: listens(pid, address, at_port))

    def _start_python(self, name: str, module: str, *options: str, place: str = EDGE) -> None:
        self.children.start_python(name, module, *self._spec_option, *options, prefix=self._ground.enter(place))

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
        self._start_python(site, "siteshift.lab.site", "--site", site, place=site)
        await self._until_answers(site)
        if self.shape.balancer is not None and self.spec.front_by is FrontBy.HAPROXY:
            path = self.shape.balancer.write(self.spec, site)
            name = f"haproxy-{site}"
            self.children.start(name, ["haproxy", "-db", "-f", str(path)], prefix=self._ground.enter(site))
            await self._until_listens(name, self.spec.site(site).front)

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
        """Signal the site's processes; SIGKILL is waited for, so that their sockets are gone."""
        for name in (site, f"haproxy-{site}"):
            if name not in self.children:
                continue
            if number is signal.SIGKILL:
                self.children.kill(name)
            else:
                self.children[name].send(number)

    def cut_site(self, site: str) -> None:
        """Make packets to and from the site vanish. Raises `FaultImpossible` on loopback."""
        self._ground.cut(site)

    def mend_site(self, site: str) -> None:
        """Let packets through again."""
        self._ground.mend(site)

    async def apply(self, fault: Fault) -> None:
        """Hurt the world."""
        await faults.apply(self, fault)
        self.wrongs.add(fault)

    async def undo(self, fault: Fault) -> None:
        """Take the fault back."""
        await faults.undo(self, fault)
        self.wrongs.remove(fault)

    # ---- clients and node --------------------------------------------------------------------------------------

    async def start_clients(self) -> None:
        """Start the population; the load begins at once."""
        self._start_python("clients", "siteshift.lab.clients")
        await self._until_answers("clients")

    async def set_load(self, rps: int) -> None:
        """Change the whole load, in requests per second."""
        await ask(self.spec.control("clients"), {"do": "rate", "rps": rps})

    async def start_node(self) -> None:
        """Write the configuration and start ``siteshift run``; returns when the node says that it is ready.

        Ready is more than listening: until its first decision the embedded DNS answers with the product's TTLs.
        """
        command = [*_node_command(), "run", "--config", str(self.write_config())]
        pid = self.children.start("node", command, prefix=self._ground.enter(EDGE)).pid
        await self.children.until_ready("node", lambda: _node_is_ready(self.api_socket, pid), deadline_s=60)

    def stop_node(self) -> int | None:
        """Stop the node as systemd does; returns its exit code."""
        return self.children.stop("node")

    def write_config(self) -> Path:
        """Write the node's configuration for this form of the lab."""
        return write_config(self.spec, node_options(self.spec, self.shape))

    @property
    def api_socket(self) -> Path:
        return self.spec.path / "api.sock"

    async def capacities(self) -> dict[str, int]:
        """Open capacity per site now, in requests per second; a site that does not answer has none."""
        rates = await asyncio.gather(*(self._capacity(site) for site in self.site_ids))
        return dict(zip(self.site_ids, rates, strict=True))

    async def _capacity(self, site: str) -> int:
        try:
            stats = await ask(self.spec.control(site), {"do": "stats"}, deadline_ms=300)
        except ControlError:
            return 0
        members = cast(dict[str, dict[str, int]], stats["members"])
        return sum(member["capacity_rps"] for member in members.values() if member["open"])


def _node_command() -> list[str]:
    """The installed entry point beside this interpreter, else the module."""
    script = Path(sys.executable).parent / "siteshift"
    return [str(script)] if script.exists() else [sys.executable, "-m", "siteshift"]


_PEER_CREDENTIALS = "3i"
"""pid, uid and gid (``struct ucred`` of unix(7))."""


def _node_is_ready(path: Path, pid: int) -> bool:
    """Whether ``GET /readyz`` on the API's socket is answered 200 by this process, not by another node at the same socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_PEER_CREDENTIALS))
            if struct.unpack(_PEER_CREDENTIALS, peer)[0] != pid:
                return False
            probe.sendall(b"GET /readyz HTTP/1.0\r\nHost: node\r\n\r\n")
            return probe.recv(64).split(b" ")[1:2] == [b"200"]
        except OSError:
            return False
