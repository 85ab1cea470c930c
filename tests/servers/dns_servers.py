"""Real DNS servers for tests: BIND, Knot and PowerDNS in the foreground, in a directory of their own, on a free port.

Every launcher is a context manager; the process it started has ended when it leaves. A server that is not installed is
a failure that says what to install.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from servers.ports import free_port

ZONE = "example.test"
KEY_NAME = "siteshift-key"
KEY_SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
START_S = 30.0
PORT_TRIES = 5
PDNS_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")

ZONE_LINES = (
    ("", 3600, "SOA", f"ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 600 604800 30"),
    ("", 3600, "NS", f"ns1.{ZONE}."),
    ("ns1", 3600, "A", "127.0.0.1"),
    ("foreign", 300, "A", "203.0.113.99"),
    ("foreign", 300, "TXT", '"not ours"'),
)
"""What the zone holds before siteshift comes: nothing of it is siteshift's."""


@dataclass(frozen=True, slots=True)
class DnsServer:
    """A running server. ``zone_dir`` holds its configuration and data."""

    kind: str
    host: str
    port: int
    process: subprocess.Popen[bytes]
    directory: Path

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the process (the kernel still accepts for it) and let it go on at the end."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process; its port refuses from then on."""
        end(self.process)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")


def program(name: str, package: str) -> str:
    """Where a program is. A missing one fails the test with the package to install."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found, f"{name} is not installed: apt-get install {package}"
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate one process and wait; kill it if it does not listen."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(host: str, port: int, zone: str = ZONE) -> bool:
    """Whether a server answers for the zone now."""
    query = dns.message.make_query(zone, "SOA")
    query.flags &= ~dns.flags.RD
    try:
        reply = dns.query.udp(query, host, port=port, timeout=0.3)
    except (OSError, dns.exception.DNSException):
        return False
    return reply.rcode() == dns.rcode.NOERROR and bool(reply.answer)


@contextmanager
def running(
    kind: str, directory: Path, command: Callable[[int], list[str]], *, ready: Callable[[str, int], bool] = answers
) -> Iterator[DnsServer]:
    """Start what ``command(port)`` says and yield once it answers; another port if the process ends at once."""
    for tries_left in reversed(range(PORT_TRIES)):
        port = free_port()
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(command(port), stdout=log, stderr=log, cwd=directory)
        try:
            limit = time.monotonic() + START_S
            while process.poll() is None and time.monotonic() < limit:
                if ready("127.0.0.1", port):
                    yield DnsServer(kind, "127.0.0.1", port, process, directory)
                    return
                time.sleep(0.02)
        finally:
            end(process)
        if not tries_left:
            text = (directory / "log").read_text(errors="replace")
            raise AssertionError(f"{kind} did not start:\n{text[-4000:]}")


def zone_file(path: Path) -> Path:
    """Write the zone as a master file."""
    lines = [f"{name or '@'} {ttl} IN {kind} {value}" for name, ttl, kind, value in ZONE_LINES]
    path.write_text(f"$ORIGIN {ZONE}.\n" + "\n".join(lines) + "\n")
    return path


@contextmanager
def bind(directory: Path, *, also_notify: int | None = None, rate_limit: str = "") -> Iterator[DnsServer]:
    """BIND as primary of the zone, updatable with the key. ``also_notify`` is the port of a secondary."""
    directory.mkdir(parents=True, exist_ok=True)
    named = program("named", "bind9")
    zone_file(directory / "zone.db")
    notify = f"notify explicit; also-notify {{ 127.0.0.1 port {also_notify}; }};" if also_notify else "notify no;"

    def command(port: int) -> list[str]:
        zone = f'type primary; file "zone.db"; allow-update {{ key "{KEY_NAME}"; }}; {notify}'
        return [named, "-g", "-c", str(_named_conf(directory, port, zone, rate_limit))]

    with running("bind", directory, command) as server:
        yield server


@contextmanager
def bind_secondary(directory: Path, primary_port: int, port: int) -> Iterator[DnsServer]:
    """BIND as secondary of the zone on a port chosen beforehand, so that the primary can notify it."""
    directory.mkdir(parents=True, exist_ok=True)
    named = program("named", "bind9")
    zone = f'type secondary; file "zone.db"; primaries {{ 127.0.0.1 port {primary_port}; }};'
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [named, "-g", "-c", str(_named_conf(directory, port, zone))], stdout=log, stderr=log, cwd=directory
        )
    try:
        limit = time.monotonic() + START_S
        while not answers("127.0.0.1", port):
            assert process.poll() is None and time.monotonic() < limit, (directory / "log").read_text()
            time.sleep(0.02)
        yield DnsServer("bind", "127.0.0.1", port, process, directory)
    finally:
        end(process)


def _named_conf(directory: Path, port: int, zone: str, rate_limit: str = "") -> Path:
    limits = f"rate-limit {{ {rate_limit} }};" if rate_limit else ""
    conf = directory / "named.conf"
    conf.write_text(
        f"""
options {{
  directory "{directory}"; pid-file none; session-keyfile "{directory}/session.key"; lock-file none;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; allow-transfer {{ 127.0.0.1; }}; notify-delay 0; startup-notify-rate 100; {limits}
}};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY_SECRET}"; }};
zone "{ZONE}" {{ {zone} }};
"""
    )
    return conf


@contextmanager
def knot(directory: Path) -> Iterator[DnsServer]:
    """Knot as primary of the zone, updatable with the key."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "db").mkdir(exist_ok=True)
    knotd = program("knotd", "knot")
    zone_file(directory / "zone.db")

    def command(port: int) -> list[str]:
        conf = directory / "knot.conf"
        conf.write_text(
            f"""
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: "{directory}/knot.sock"
log:
  - target: stderr
    any: info
database:
    storage: "{directory}/db"
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {KEY_SECRET}
acl:
  - id: update
    key: {KEY_NAME}
    action: update
zone:
  - domain: {ZONE}
    storage: "{directory}"
    file: zone.db
    acl: update
"""
        )
        return [knotd, "-c", str(conf)]

    with running("knot", directory, command) as server:
        yield server


@contextmanager
def powerdns(directory: Path) -> Iterator[DnsServer]:
    """PowerDNS on SQLite with DNS updates switched on for the key."""
    directory.mkdir(parents=True, exist_ok=True)
    pdns = program("pdns_server", "pdns-server")
    assert PDNS_SCHEMA.exists(), f"{PDNS_SCHEMA} is missing: apt-get install pdns-backend-sqlite3"
    powerdns_database(directory / "pdns.db")

    def command(port: int) -> list[str]:
        (directory / "pdns.conf").write_text(
            f"""
launch=gsqlite3
gsqlite3-database={directory}/pdns.db
local-address=127.0.0.1
local-port={port}
socket-dir={directory}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
daemon=no
guardian=no
disable-syslog=yes
receiver-threads=1
distributor-threads=2
"""
        )
        return [pdns, f"--config-dir={directory}"]

    with running("powerdns", directory, command) as server:
        yield server


def powerdns_database(path: Path, more: tuple[tuple[str, int, str, str], ...] = ()) -> None:
    """A database with the zone, the key, and ``more`` records."""
    with sqlite3.connect(path) as database:
        database.executescript(PDNS_SCHEMA.read_text())
        database.execute("INSERT INTO domains (id, name, type) VALUES (1, ?, 'NATIVE')", (ZONE,))
        for name, ttl, kind, value in (*ZONE_LINES, *more):
            owner = f"{name}.{ZONE}" if name else ZONE
            content = value.rstrip(".") if kind == "NS" else value.replace(f"{ZONE}.", ZONE)
            database.execute(
                "INSERT INTO records (domain_id, name, type, content, ttl, prio, auth) VALUES (1, ?, ?, ?, ?, 0, 1)",
                (owner, kind, content, ttl),
            )
        database.execute(
            "INSERT INTO tsigkeys (name, algorithm, secret) VALUES (?, 'hmac-sha256', ?)", (KEY_NAME, KEY_SECRET)
        )
        database.execute(
            "INSERT INTO domainmetadata (domain_id, kind, content) VALUES (1, 'TSIG-ALLOW-DNSUPDATE', ?)", (KEY_NAME,)
        )


LAUNCHERS = {"bind": bind, "knot": knot, "powerdns": powerdns}
"""The servers every RFC 2136 test runs against."""
