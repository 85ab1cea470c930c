"""A node that steers a name in a zone of a real BIND, which tests stop, break and mend."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import yaml

from nodes.members import Members
from nodes.running_node import (
    ANCHORS,
    DEADLINE_S,
    SERVICE,
    SITES,
    Document,
    NodeShape,
    RunningNode,
    configuration,
    free_port,
)
from servers import dns_servers
from servers.dns_servers import KEY_NAME, KEY_SECRET, ZONE, DnsServer

PLANE = "bind"
NAME = f"www.{ZONE}"
OTHER_SECRET = "d3JvbmcgIHdyb25nICB3cm9uZyAgd3JvbmcgIHdyb25nICA="
ADDRESSES_PER_SITE = 6
"""BIND has no weights: shares follow how many addresses of a site a name has."""
SHAPE = NodeShape(policy={"settle_s": 1, "read_back_every_s": 1})


def answers_of(site: str) -> list[str]:
    """The addresses users of a site are given."""
    return [f"127.0.{SITES.index(site) + 1}.{number}" for number in range(1, ADDRESSES_PER_SITE + 1)]


@dataclass(slots=True)
class Bind:
    """BIND on a port that stays its own. `host`, `port`: where it answers."""

    first: DnsServer
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.first.process

    @property
    def port(self) -> int:
        return self.first.port

    @property
    def _file(self) -> Path:
        return self.first.directory / "named.conf"

    def stop(self) -> None:
        dns_servers.end(self.process)

    def start(self) -> None:
        """Start again on the same port, with the zone as it was."""
        named = dns_servers.program("named", "bind9")
        directory = self.first.directory
        with (directory / "log").open("ab") as log:
            self.process = subprocess.Popen([named, "-g", "-c", str(self._file)], stdout=log, stderr=log, cwd=directory)
        self._until_answers()

    def freeze(self) -> None:
        """It answers nothing, though the kernel still accepts for it."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def take_key(self, secret: str) -> None:
        """From now on this is the key; BIND reads its configuration again."""
        text = self._file.read_text()
        start = text.index('secret "') + len('secret "')
        self._file.write_text(text[:start] + secret + text[text.index('"', start) :])
        self.process.send_signal(signal.SIGHUP)
        limit_s = time.monotonic() + DEADLINE_S
        while self.rcode_of_an_empty_update(secret) is not dns.rcode.NOERROR:
            assert time.monotonic() < limit_s, self.first.log()[-2_000:]
            time.sleep(0.05)

    def rcode_of_an_empty_update(self, secret: str) -> dns.rcode.Rcode | None:
        """What BIND says to an update without changes that is signed with this key; None: nothing that can be read."""
        message = dns.update.UpdateMessage(ZONE)
        message.use_tsig(dns.tsig.Key(KEY_NAME, secret, dns.tsig.HMAC_SHA256))
        try:
            return dns.query.tcp(message, "127.0.0.1", port=self.port, timeout=DEADLINE_S).rcode()
        except (dns.exception.DNSException, OSError):
            return None

    def by_hand(self, *addresses: str) -> None:
        """Somebody with the key edits the name, as with nsupdate."""
        message = dns.update.UpdateMessage(ZONE)
        message.use_tsig(dns.tsig.Key(KEY_NAME, KEY_SECRET, dns.tsig.HMAC_SHA256))
        message.delete("www", "A")
        for address in addresses:
            message.add("www", 2, "A", address)
        reply = dns.query.tcp(message, "127.0.0.1", port=self.port, timeout=DEADLINE_S)
        assert reply.rcode() is dns.rcode.NOERROR, reply

    def addresses(self) -> set[str]:
        """What a client is told."""
        query = dns.message.make_query(NAME, "A")
        reply = dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=DEADLINE_S)
        return {item.address for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for item in rrset}

    def sites(self) -> set[str]:
        """The sites clients are led to."""
        return {site for site in SITES if self.addresses() & set(answers_of(site))}

    def _until_answers(self) -> None:
        limit_s = time.monotonic() + DEADLINE_S
        while not dns_servers.answers("127.0.0.1", self.port):
            assert self.process.poll() is None and time.monotonic() < limit_s, self.first.log()[-2_000:]
            time.sleep(0.02)


@dataclass(slots=True)
class BehindBind:
    """The node and its zone."""

    node: RunningNode
    bind: Bind

    @property
    def plane(self) -> Document:
        found: Document = self.node.status()["planes"][PLANE]
        return found


@contextmanager
def node_behind_bind(folder: Path, shape: NodeShape = SHAPE) -> Iterator[BehindBind]:
    """Members, BIND and a node in step; everything ends with the block."""
    key = folder / "tsig.key"
    key.write_text(KEY_SECRET)
    key.chmod(0o600)
    with (
        Members((*shape.member_names, *ANCHORS)) as members,
        dns_servers.bind(folder / "named") as server,
    ):
        tsig = {"name": KEY_NAME, "secret": f"file:{key}"}
        plane = {"id": PLANE, "kind": "rfc2136", "zone": ZONE, "primary": f"127.0.0.1:{server.port}", "tsig": tsig}
        shape = replace(shape, sections={"enactors": [plane], **shape.sections})
        node = RunningNode(folder=folder, shape=shape, members=members, dns_port=free_port())
        document = configuration(node)
        service = document["services"][0]
        assert service["id"] == SERVICE
        service["names"] = [NAME]
        for pool in service["pools"]:
            pool["answers"] = answers_of(pool["site"])
        node.config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        bind = Bind(first=server)
        try:
            node.start()
            yield BehindBind(node=node, bind=bind)
        finally:
            node.stop()
            bind.stop()
