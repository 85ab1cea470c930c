"""config/haproxy.cfg.example is right for HAProxy, and does what its comments promise."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer
from servers.web_members import WebMember, get, tally
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import BackendMap, PlaneMode, ServerMap
from siteshift.config import Surroundings, config_schema, load_config, resolve
from siteshift.config.setups import HaproxySetup
from siteshift.core.model.codes import EnactOutcome, MemberRole
from siteshift.core.model.units import MemberId

from .planes import ANYANG, GASAN, PANGYO, WEB, WallClock, global_plane, steering

EXAMPLE = Path(__file__).parents[3] / "config" / "haproxy.cfg.example"
HEADED = EXAMPLE.with_name("one-node-haproxy.yaml")
DEADLINE_MS = 10_000


def test_haproxy_accepts_it_without_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(EXAMPLE.read_text())
    binary = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert binary, "haproxy is not installed: apt-get install haproxy"
    checked = subprocess.run([binary, "-c", "-f", str(config)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def of_header(config: Path) -> str:
    """The haproxy.cfg in the comment at the head of a configuration."""
    head = itertools.takewhile(lambda line: line.startswith("#"), config.read_text().splitlines())
    found = itertools.dropwhile(lambda line: line != "# haproxy.cfg:", head)
    return "\n".join(line[2:] for line in found if line.startswith("#   "))


def test_the_servers_that_a_configuration_writes_stand_in_the_haproxy_cfg_of_its_header(tmp_path: Path) -> None:
    """What is mapped and is not there is drift for good."""
    text = of_header(HEADED)
    setup = resolve(load_config(HEADED, Surroundings.IGNORED).config)
    (plane,) = (entry for entry in setup.planes if isinstance(entry, HaproxySetup))
    for backend in plane.backends:
        assert re.search(rf"^  backend {backend.backend}$", text, re.MULTILINE)
        wanted = {*(mapped.server for mapped in backend.servers), *backend.shed_servers}
        assert wanted == set(re.findall(r"^    server +(\S+)", text, re.MULTILINE))
    whole = tmp_path / "haproxy.cfg"
    defaults = "defaults\n  mode http\n  timeout connect 1s\n  timeout client 9s\n  timeout server 9s\n"
    front = "frontend public\n  bind 127.0.0.1:18080\n  default_backend be_shop\n"
    whole.write_text(text.replace("  backend ", f"{defaults}{front}  backend ", 1) + "\n")
    checked = subprocess.run(["/usr/sbin/haproxy", "-c", "-f", str(whole)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_what_the_examples_say_of_siteshifts_keys_is_true() -> None:
    """A quoted `key: value` of siteshift is a key there is."""
    schema = json.dumps(config_schema())
    for key in re.findall(r'"(\w+): [^"]+"', EXAMPLE.read_text()):
        assert f'"{key}"' in schema, key


@pytest.fixture
async def lb(members: dict[str, WebMember], tmp_path: Path) -> AsyncIterator[HaproxyServer]:
    """The example with the addresses of our members; the peers' load balancers are members too."""
    server = HaproxyServer(tmp_path)
    places = {
        "10.1.0.11:8080": "p1",
        "10.1.0.12:8080": "p2",
        "10.1.0.21:8080": "a2",
        "192.0.2.20:80": "g1",
        "192.0.2.30:80": "a1",
    }
    text = EXAMPLE.read_text()
    for address, name in places.items():
        text = text.replace(address, f"127.0.0.1:{members[name].port}")
    text = (
        text.replace("/run/haproxy/admin.sock", str(server.socket))
        .replace("/run/haproxy/sorry.sock", str(tmp_path / "sorry"))
        .replace(":80\n", f"127.0.0.1:{server.port}\n")
    )
    text = text.replace("src 192.0.2.20 192.0.2.30", "src 127.0.0.2").replace("  log /dev/log local0\n", "")
    text = text.replace("  user haproxy\n  group haproxy\n", "").replace("maxconn 20000", "maxconn 200")
    config = tmp_path / "haproxy.cfg"
    config.write_text(text)
    try:
        await server.start_file(config)
        yield server
    finally:
        await server.stop()


async def from_peer(port: int) -> int:
    """The status of a request that a peer's load balancer tunnels here."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nX-Siteshift-Tunnelled: gasan\r\nConnection: close\r\n\r\n")
    raw = await asyncio.wait_for(reader.read(-1), 20)
    writer.close()
    return int(raw.split()[1])


async def test_it_serves_tunnels_and_never_tunnels_twice(lb: HaproxyServer, clock: WallClock) -> None:
    members = {name: MemberId(f"web/pangyo/{name}") for name in ("p1", "p2")}
    servers = (
        ServerMap(server="pangyo-1", site=PANGYO, member=members["p1"]),
        ServerMap(server="pangyo-2", site=PANGYO, member=members["p2"]),
        ServerMap(server="pangyo-standby-1", site=PANGYO, member=MemberId("web/pangyo/s1"), role=MemberRole.STANDBY),
        ServerMap(server="gasan-vip", site=GASAN),
        ServerMap(server="anyang-vip", site=ANYANG),
    )
    web = BackendMap(service=WEB, backend="web", servers=servers)
    plane = global_plane(lb.address, servers, mode=PlaneMode.LOCAL, beside=PANGYO)
    assert plane.backends == (web,)
    enactor = HaproxyEnactor(plane, clock)
    assert set(await tally(lb.port, 10)) == {"p1", "p2"}, "before siteshift speaks: the active members only"
    drained = steering(1, {PANGYO: 0, GASAN: 5000, ANYANG: 5000}, ("p1", "p2"))
    assert (await enactor.enact(drained, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    assert set(await tally(lb.port, 10)) == {"g1", "a1"}
    assert await from_peer(lb.port) == 503
    short = replace(drained, generation=2, services=(replace(drained.services[0], shed_bp=5_000, shed_at=PANGYO),))
    enactor = HaproxyEnactor(replace(plane, backends=(replace(web, shed_servers=("sorry",)),)), clock)
    assert (await enactor.enact(short, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    answers = [await get(lb.port) for _ in range(12)]
    assert sum(answer.status == 503 for answer in answers) == 4, "a third: 5,000 of what is sent on and shed together"
    back = steering(3, {PANGYO: 5000, GASAN: 2500, ANYANG: 2500}, ("p1", "p2"))
    assert (await enactor.enact(back, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    assert set(await tally(lb.port, 10)) == {"p1", "p2"}
    assert await from_peer(lb.port) == 200


async def test_a_member_that_refuses_connections_costs_no_request(lb: HaproxyServer, members: dict[str, WebMember]) -> None:
    await lb.cli("set server web/pangyo-1 addr 127.0.0.1 port 9")
    for _ in range(10):
        assert (await get(lb.port)).status == 200
