"""docs/INSTALL.md followed to the letter on a machine without a checkout: from nothing to a drained site, on HAProxy and BIND.

Each command that is run stands in the page; only addresses and the members' checks are put into the example configurations.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from systemd import members_inside
from systemd.machine import REPOSITORY, Machine, bare_machine

PAGE = (REPOSITORY / "docs" / "INSTALL.md").read_text(encoding="utf-8")
ANCHORS = ("127.0.9.1:9001", "127.0.9.2:9002")
MEMBERS = ("127.0.1.21:8080", "127.0.1.22:8080", "127.0.1.31:8080", "127.0.1.32:8080")
PATIENCE_S = 600


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made as the page says, and all it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    command = "python3 -m pip wheel --no-deps --wheel-dir dist ."
    assert command in PAGE
    words = command.replace("python3", sys.executable, 1).replace("dist .", f"{folder} {REPOSITORY}").split()
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_S)
    (wheel,) = folder.glob("siteshift-*.whl")
    download = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), "-c", str(REPOSITORY / "constraints.txt")]
    subprocess.run([*download, str(wheel)], check=True, capture_output=True, timeout=PATIENCE_S)
    folder.chmod(0o755)
    return folder


class Host:
    """The machine, and somebody who reads the page."""

    def __init__(self, box: Machine) -> None:
        self.box = box

    def follow(self, command: str, **more: Any) -> str:
        """A line of the page, by a shell."""
        assert command in PAGE, f"the page does not say: {command}"
        return self.box.run("bash", "-c", command, **more)

    def write(self, path: str, text: str) -> None:
        """What an editor would do."""
        self.box.run("bash", "-c", f"mkdir -p $(dirname {path}) && cat >{path} <<'END'\n{text}\nEND")

    def drop_in(self, *lines: str) -> None:
        """`systemctl edit siteshift`, with lines of the page."""
        assert all(line in PAGE for line in lines)
        self.write("/etc/systemd/system/siteshift.service.d/override.conf", "\n".join(("[Service]", *lines)))
        self.box.run("systemctl", "daemon-reload")

    def edit(self, change: Any) -> None:
        """Put our sites into the example that was installed."""
        values = yaml.safe_load(self.box.config.read_text(encoding="utf-8"))
        change(values)
        self.box.config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def status(self) -> dict[str, Any]:
        found = self.box.run("siteshift", "status", "--json", check=False)
        return json.loads(found) if found.startswith("{") else {}

    def until_it_steers(self) -> None:
        def steers() -> bool:
            status = self.status()
            return bool(status.get("generation")) and status["services"][0]["in_step"]

        self.box.until("it steers", steers)


@contextmanager
def installed(folder: Path, wheels: Path, example: str) -> Iterator[Host]:
    """Steps 1 and 2 of the page, and members that answer."""
    with bare_machine(folder, {wheels: "/wheels", Path(str(members_inside.__file__)): "/srv/members.py"}) as box:
        host = Host(box)
        box.run("systemd-run", "--unit=members", "python3", "/srv/members.py", *MEMBERS, *ANCHORS)
        host.follow("python3 -m venv /opt/siteshift")
        unpack = "python3 -m zipfile -e siteshift-0.1.0-py3-none-any.whl unpacked"
        constraints = "-c unpacked/siteshift/share/constraints.txt"
        install = f"/opt/siteshift/bin/pip install {constraints} siteshift-0.1.0-py3-none-any.whl"
        assert unpack in PAGE and install in PAGE and "--no-index --find-links" in PAGE
        here = "mkdir /srv/new && cd /srv/new && cp /wheels/siteshift-*.whl ."
        box.run("bash", "-c", f"{here} && {unpack} && {install} --no-index --find-links /wheels")
        dry = "/opt/siteshift/bin/siteshift setup --dry-run --example haproxy"
        wet = "/opt/siteshift/bin/siteshift setup --example haproxy"
        assert dry in PAGE and wet in PAGE
        assert "nothing was done" in box.run("bash", "-c", dry.replace("haproxy", example))
        assert not box.config.exists()
        box.run("bash", "-c", wet.replace("haproxy", example))
        yield host


def local(values: dict[str, Any]) -> None:
    """Anchors and members of this machine, short times."""
    values["anchors"] = {
        "outside": [
            {"id": f"anchor-{n}", "kind": "tcp", "address": place.partition(":")[0], "port": int(place.partition(":")[2])}
            for n, place in enumerate(ANCHORS)
        ]
    }
    values["policy"] |= {"mode": "auto", "ttl_normal_s": 2, "ttl_suspect_s": 1, "settle_s": 1, "velocity_percent": 100}
    places = iter(MEMBERS)
    for pool in values["services"][0]["pools"]:
        for member in pool["members"]:
            address, _, port = next(places).partition(":")
            member |= {"address": address, "port": int(port)}


@pytest.fixture(scope="module")
def with_haproxy(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Host]:
    with installed(tmp_path_factory.mktemp("haproxy"), wheels, "haproxy") as host:
        socket = "stats socket /run/haproxy/admin.sock mode 660 group haproxy level admin"
        assert socket in PAGE
        names = ("gasan-s1", "gasan-s2", "anyang-s1", "anyang-s2")
        servers = [f"  server {name} {place} weight 100" for name, place in zip(names, MEMBERS, strict=True)]
        servers[-1] += " check inter 1s rise 2 disabled"
        lines = [
            "global",
            "  user haproxy",
            "  group haproxy",
            f"  {socket}",
            "defaults",
            "  mode http",
            *("  timeout connect 1s", "  timeout client 10s", "  timeout server 10s"),
            *("frontend public", "  bind 127.0.0.1:8000", "  default_backend be_shop"),
            *("backend be_shop", "  balance roundrobin", *servers, "  server sorry unix@/run/haproxy/sorry.sock disabled"),
            *("frontend sorry", "  bind unix@/run/haproxy/sorry.sock mode 600", "  http-request return status 503"),
        ]
        host.write("/etc/haproxy/haproxy.cfg", "\n".join(lines))
        host.box.run("systemctl", "restart", "haproxy")
        host.drop_in("SupplementaryGroups=haproxy")
        host.edit(local)
        host.follow("siteshift config check")
        for name in ("anna", "berta"):
            host.box.run("useradd", "--create-home", name)
        host.follow("usermod -aG siteshift anna")
        host.follow("systemctl enable --now siteshift")
        host.until_it_steers()
        yield host


@pytest.fixture(scope="module")
def with_bind(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Host]:
    with installed(tmp_path_factory.mktemp("bind"), wheels, "bind") as host:
        host.follow("tsig-keygen siteshift >/etc/bind/siteshift.key")
        host.box.run("bash", "-c", "chown root:bind /etc/bind/siteshift.key; chmod 640 /etc/bind/siteshift.key")
        zone = re.search(r'^zone "gslb.example.com" \{.*?^\};$', PAGE, re.MULTILINE | re.DOTALL)
        assert zone is not None
        host.write("/etc/bind/named.conf.local", f'include "/etc/bind/siteshift.key";\n{zone[0]}')
        soa = "@ 60 IN SOA ns1 root 1 3600 600 86400 5\n@ 60 IN NS ns1\nns1 60 IN A 127.0.0.1"
        host.write("/var/lib/bind/gslb.example.com.zone", soa)
        host.box.run("bash", "-c", "chown -R bind:bind /var/lib/bind; systemctl restart named")
        host.follow("install -d -m 700 /etc/siteshift/secrets")
        host.follow(
            "(umask 077; sed -n 's/.*secret \"\\(.*\\)\";/\\1/p' /etc/bind/siteshift.key >/etc/siteshift/secrets/tsig.key)"
        )
        host.drop_in("LoadCredential=tsig.key:/etc/siteshift/secrets/tsig.key")

        def ours(values: dict[str, Any]) -> None:
            local(values)
            values["services"][0]["probes"] = [{"id": "health", "kind": "http", "path": "/healthz", "twin": {"path": "/none"}}]
            values["enactors"][0] |= {"primary": "127.0.0.1:53", "verify_servers": ["127.0.0.1:53"]}

        host.edit(ours)
        assert "--elsewhere" in PAGE
        host.box.run("siteshift", "config", "check", "--elsewhere")
        host.follow("systemctl enable --now siteshift")
        host.until_it_steers()
        yield host


DRAIN = 'siteshift drain gasan --reason "first try" --wait'


def test_a_site_is_drained_on_haproxy_by_the_page_alone(with_haproxy: Host) -> None:
    host = with_haproxy
    assert host.box.run("siteshift", "--version").strip() == "0.1.0"
    host.follow('siteshift drain gasan --reason "first try" --dry-run')
    host.box.run("bash", "-c", f"{DRAIN} --yes")
    rows = host.box.run(
        "python3", "-c",
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock');"
        "s.sendall(b'show servers state be_shop\\n'); print(s.makefile().read())",
    )  # fmt: skip
    by_name = {line.split()[3]: line.split() for line in rows.splitlines() if line.startswith("3 ") or " be_shop " in line}
    gasan = [row for name, row in by_name.items() if name.startswith("gasan")]
    assert gasan and all(int(row[6]) & 0x09 or int(row[7]) == 0 for row in gasan), rows
    assert "siteshift undrain gasan\n" in PAGE
    host.box.run("siteshift", "undrain", "gasan", "--yes")
    host.follow("siteshift journal verify")


def test_a_person_in_the_group_may_and_others_may_not(with_haproxy: Host) -> None:
    assert '"node"' in with_haproxy.box.run("siteshift", "status", "--json", user="anna")
    refused = with_haproxy.box.run("siteshift", "status", "--json", user="berta", check=False)
    assert '"services"' not in refused


def test_the_service_runs_as_its_own_user_and_everything_is_in_place(with_haproxy: Host) -> None:
    box = with_haproxy.box
    assert box.run("stat", "-c", "%U", f"/proc/{box.show('MainPID')}").strip() == "siteshift"
    for path in re.findall(r"^\|.*\| `(/[^`]+)` \|$", PAGE, re.MULTILINE):
        box.run("test", "-e", path)
    assert "tool-dies-midway" in box.run("siteshift", "sim", "list")
    box.run("siteshift", "sim", "run", "/usr/local/share/siteshift/simulations/hang.yaml", user="anna")


def test_setup_again_and_a_restart_change_nothing(with_haproxy: Host) -> None:
    box = with_haproxy.box
    before = with_haproxy.status()["generation"]
    assert "write " not in box.run("siteshift", "setup")
    box.run("systemctl", "restart", "siteshift")
    with_haproxy.until_it_steers()
    assert with_haproxy.status()["generation"] >= before


def test_a_site_is_drained_on_bind_by_the_page_alone(with_bind: Host) -> None:
    host = with_bind
    host.box.run("bash", "-c", f"{DRAIN} --yes")
    answers = host.box.run("dig", "+short", "@127.0.0.1", "www.gslb.example.com", "A").split()
    assert answers and all(answer.startswith("198.51.100.") for answer in answers), answers
    host.follow("siteshift journal verify")


def test_the_key_is_read_by_nobody_else(with_bind: Host) -> None:
    assert host_mode(with_bind, "/etc/siteshift/secrets/tsig.key") == "root:root 600"


def host_mode(host: Host, path: str) -> str:
    return host.box.run("stat", "-c", "%U:%G %a", path).strip()


def test_it_is_removed_as_the_page_says(with_bind: Host) -> None:
    host = with_bind
    host.follow("systemctl disable --now siteshift")
    (line,) = [line for line in PAGE.splitlines() if line.startswith("rm -r ")]
    host.follow(line)
    host.box.run("systemctl", "daemon-reload")
    assert "not-found" in host.box.run("systemctl", "show", "siteshift", "--property", "LoadState")
    assert "siteshift" not in host.box.run("ls", "/opt").split()
