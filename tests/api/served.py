"""A node in this process behind its real API: memory twins around it, a Unix socket and TLS in front."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from core.playbook import PLANE, A, G, P, three_sites
from integration.probes.pki import Authority
from siteshift.adapters.memory.enactor import MemoryEnactor
from siteshift.adapters.memory.journal import MemoryJournal
from siteshift.adapters.memory.ledger import MemoryLedger
from siteshift.adapters.memory.prober import MemoryProber, Seen
from siteshift.adapters.memory.standby import MemoryStandby
from siteshift.api.server import ApiServer
from siteshift.config import SecretRef
from siteshift.config.model.node import Role
from siteshift.config.setups import ApiSetup, TlsListenerSetup, TokenSetup, UnixGrantSetup
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.policy import JudgePolicy, Policy
from siteshift.core.model.probe import ProbeKind, ProbeSpec
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import DriverId, ProbeId, TargetId
from siteshift.core.state.controller_state import initial_state
from siteshift.ports import ProbeSink
from siteshift.runtime.clock import SystemClock
from siteshift.runtime.equipment import Equipment
from siteshift.runtime.limits import Limits
from siteshift.runtime.measure import Gauges
from siteshift.runtime.metrics import Metrics
from siteshift.runtime.node import Node, assemble
from siteshift.runtime.supervise import Supervisor

Document = dict[str, Any]
DEADLINE_S = 60.0
INTERVAL_MS = 100
LOOPBACK = "127.0.0.1"
PEOPLE = {
    "vera": Role.VIEWER,
    "olaf": Role.OPERATOR,
    "ada": Role.APPROVER,
    "abe": Role.APPROVER,
    "root2": Role.ADMIN,
    "boss": Role.ADMIN,
}
"""Owner of a token → role. The token reads ``token-of-OWNER-0123``."""
UNIX_USERS = {"boss": "root"}
"""Whose Unix user has another name."""


def token(owner: str) -> str:
    return f"token-of-{owner}-0123"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``document`` is its body read as JSON, empty when it is none."""

    status: int
    kind: str
    text: str
    headers: dict[str, str]

    @property
    def document(self) -> Document:
        found: Document = json.loads(self.text) if "json" in self.kind else {}
        return found

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))


@dataclass(slots=True, kw_only=True)
class Served:
    """The node and ways to talk to it."""

    node: Node
    api: ApiServer
    folder: Path
    journal: MemoryJournal
    authority: Authority
    tls_port: int
    down: set[str] = field(default_factory=set)
    """Sites that refuse every check from now on."""

    @property
    def socket(self) -> Path:
        return self.folder / "api.sock"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        owner: str = "",
        key: str = "",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request over the Unix socket: as root, or as the owner of a token."""
        sent = dict(headers or {})
        if owner:
            sent["Authorization"] = f"Bearer {token(owner)}"
        if key:
            sent["Idempotency-Key"] = key
        raw = json.dumps(body).encode() if body is not None else data
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.socket))) as session,
            session.request(method, f"http://node{path}", data=raw, headers=sent) as answer,
        ):
            return await _reply(answer)

    async def get(self, path: str, *, owner: str = "") -> Reply:
        return await self.ask("GET", path, owner=owner)

    async def act(self, act: str, body: Document | None = None, *, owner: str = "", key: str | None = None) -> Reply:
        """One act with a fresh idempotency key, unless one is given."""
        return await self.ask("POST", f"/v1/{act}", body or {}, owner=owner, key=str(uuid.uuid4()) if key is None else key)

    async def over_tls(
        self,
        path: str,
        *,
        context: ssl.SSLContext,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        body: Document | None = None,
    ) -> Reply:
        """One request over TLS."""
        url = f"https://{LOOPBACK}:{self.tls_port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, url, ssl=context, headers=headers or {}, json=(body or {}) if method == "POST" else None
            ) as answer,
        ):
            return await _reply(answer)

    def trusting(self) -> ssl.SSLContext:
        """A client that trusts the node's authority."""
        return ssl.create_default_context(cafile=self.authority.ca_file)

    def certified(self, name: str, authority: Authority | None = None) -> ssl.SSLContext:
        """A client with a certificate of its own."""
        certificate, key = (authority or self.authority).leaf(name)
        path = self.folder / f"client-{uuid.uuid4().hex}.pem"
        path.write_bytes(certificate + key)
        context = self.trusting()
        context.load_cert_chain(path)
        return context

    async def until(self, holds: Callable[[Document], object]) -> Document:
        """Wait until the status is as wanted."""
        limit_s = time.monotonic() + DEADLINE_S
        while not holds(status := self.node.status()):
            assert time.monotonic() < limit_s, f"not so after {DEADLINE_S:g} s: {json.dumps(status)}"
            await asyncio.sleep(0.01)
        return status

    def entries(self, kind: str) -> list[Document]:
        return [dict(entry.data) for entry in self.journal.entries if entry.kind == kind]


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    return Reply(answer.status, answer.content_type, await answer.text(), dict(answer.headers))


def quick(setup: Setup, **policy: Any) -> Setup:
    """The playbook's three sites at ten checks a second, with short times. Nothing meters them here."""
    fast: dict[str, Any] = {"ttl_normal_s": 1, "ttl_suspect_s": 1, "settle_ms": 200, "hold_down_ms": 500, "velocity_bp": 10_000}
    service_policy = replace(setup.policy.default, **{**fast, **policy})
    judge = JudgePolicy(interval_ms=INTERVAL_MS, fast_interval_ms=50, timeout_ms=80)
    return replace(setup, policy=Policy(judge=judge, default=service_policy), metered=frozenset(), parts=())


def probes_of(setup: Setup) -> tuple[ProbeSpec, ...]:
    return tuple(_spec(f"{member.id}#health", member.target) for member in setup.topology.members.values())


def _spec(name: str, target: str) -> ProbeSpec:
    return ProbeSpec(
        id=ProbeId(name),
        target=TargetId(target),
        kind=ProbeKind.HTTP,
        address=LOOPBACK,
        port=80,
        interval_ms=INTERVAL_MS,
        timeout_ms=80,
        phase_ms=sum(name.encode()) % INTERVAL_MS,
    )


@asynccontextmanager
async def served(*, limits: Limits | None = None, **policy: Any) -> AsyncIterator[Served]:
    """A node that has seen enough to act."""
    with tempfile.TemporaryDirectory(prefix="siteshift-api-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 (a test)
        async with _running(folder, quick(three_sites(), **policy), limits or Limits()) as found:
            await found.until(lambda status: status["fresh"] and status["services"][0]["in_step"])
            yield found


@asynccontextmanager
async def _running(folder: Path, setup: Setup, limits: Limits) -> AsyncIterator[Served]:
    clock, journal, authority = SystemClock(), MemoryJournal(), Authority(folder)
    down: set[str] = set()
    made: list[MemoryProber] = []

    def world(spec: ProbeSpec, at_ms: int) -> Seen:
        is_down = any(f"/{site}/" in spec.id for site in down)
        return Seen(outcome=Outcome.FAIL, fault=Fault.REFUSED) if is_down else Seen()

    def make_prober(sink: ProbeSink) -> MemoryProber:
        made.append(MemoryProber(clock, sink, world))
        return made[0]

    async def drive() -> None:
        while True:
            made[0].catch_up()
            await asyncio.sleep(0.01)

    equipment = Equipment(
        setup=setup,
        probes=probes_of(setup),
        anchors=tuple(_spec(f"anchor:{number}", f"anchor:{number}") for number in (1, 2)),
        enactors={PLANE: MemoryEnactor(PLANE, setup.topology, clock)},
        drivers={DriverId("hook"): MemoryStandby(DriverId("hook"), clock)},
        limits=limits,
    )
    supervisor = Supervisor()
    node = assemble(
        clock=clock,
        supervisor=supervisor,
        equipment=equipment,
        ledger=MemoryLedger(journal=journal),
        gauges=Gauges(metrics=Metrics(version="0.test", node="c1")),
        state=initial_state(now_ms=clock.now_ms()),
        make_prober=make_prober,
    )
    api = ApiServer(node=node, setup=api_setup(folder, authority), version="0.test", journal=journal)
    await api.start()
    node.start()
    supervisor.start("world", drive)
    running = asyncio.create_task(supervisor.run())
    try:
        yield Served(
            node=node,
            api=api,
            folder=folder,
            journal=journal,
            authority=authority,
            tls_port=api.tls_port,
            down=down,
        )
    finally:
        await api.close()
        supervisor.request_stop("the test ends")
        await running


def api_setup(folder: Path, authority: Authority) -> ApiSetup:
    """A Unix socket everybody reaches, TLS with client certificates, a token for each of `PEOPLE`."""
    certificate, key = authority.leaf("node.test", LOOPBACK)
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)
    tokens = []
    for owner, role in PEOPLE.items():
        (folder / f"token-{owner}").write_text(token(owner) + "\n", encoding="utf-8")
        user = UNIX_USERS.get(owner, "")
        tokens.append(TokenSetup(owner=owner, role=role, secret=_file(folder / f"token-{owner}"), unix_user=user))
    return ApiSetup(
        unix_path=str(folder / "api.sock"),
        unix_mode=0o666,
        unix_grants=(
            UnixGrantSetup(user="daemon", group="", role=Role.OPERATOR),
            UnixGrantSetup(user="", group="games", role=Role.OPERATOR),
        ),
        tls=TlsListenerSetup(
            listen=(LOOPBACK, 0),
            certificate_file=str(folder / "tls.crt"),
            key=_file(folder / "tls.key"),
            client_ca_file=authority.ca_file,
        ),
        tokens=tuple(tokens),
    )


def _file(path: Path) -> SecretRef:
    found = SecretRef.parse(f"file:{path}")
    assert found is not None
    return found


__all__ = ["A", "Document", "G", "P", "Reply", "Served", "served", "token"]
