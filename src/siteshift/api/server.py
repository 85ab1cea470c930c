"""The API server: one application over a Unix socket and, where configured, over TLS."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from siteshift.adapters.accept import tcp_listener, unix_listener
from siteshift.adapters.clients import ClientLimits, Descriptors
from siteshift.api import openapi
from siteshift.api.acts import NEEDED, Acts
from siteshift.api.bodies import ACTS
from siteshift.api.connections import BACKLOG, CONNECTIONS, Listener, connection_of
from siteshift.api.identity import ASKER, Doorkeeper, Identity, Rank
from siteshift.api.looks import BadQuery, Kept, Looks, nothing_known
from siteshift.api.problems import problem, reply
from siteshift.api.shown import Shown
from siteshift.config.setups import ApiSetup, TlsListenerSetup
from siteshift.errors import Permanent
from siteshift.ports import Journal
from siteshift.runtime.limits import DEFAULT_LIMITS
from siteshift.runtime.node import Node

STOP_DEADLINE_S = 1.0
LOOKS = {
    "/healthz": "Alive",
    "/readyz": "Ready to do the job",
    "/metrics": "Prometheus metrics",
    "/v1/status": "Everything on one page",
    "/v1/members": "Every member: state, weight, evidence, and who took it out",
    "/v1/plan": "What is under way or waits for a person",
    "/v1/overrides": "What people forced",
    "/v1/approvals": "Goals with their envelopes, and who approved them",
    "/v1/fate": "What would be lost together with a site",
    "/v1/why/{site}": "Why a site gets what it gets, now or at a past instant",
    "/v1/journal": "The record",
    "/v1/journal/kept": "What is kept of the record, within which bounds, and its sealed segments",
    "/v1/journal/verify": "Whether the record's hash chain holds",
    "/v1/events": "Everything that happens, as it happens",
    "/v1/openapi.json": "This document",
}
"""Paths that only look, and what they show."""
UNIX_NAME, TLS_NAME = "api unix", "api tls"
"""What the metrics call the listeners."""

log = structlog.get_logger("siteshift.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Who may what from now on, and the certificate; made from files as they are now."""

    setup: ApiSetup
    doorkeeper: Doorkeeper
    tls: ssl.SSLContext | None


class ApiServer:
    """Serves one node."""

    def __init__(
        self,
        *,
        node: Node,
        setup: ApiSetup,
        version: str,
        journal: Journal,
        descriptors: Descriptors | None = None,
        limits: ClientLimits = CONNECTIONS,
        kept: Kept = nothing_known,
    ) -> None:
        """``descriptors`` is what the clients of all listeners may have together, ``limits`` are those of each of ours.

        ``kept`` tells what is kept of the journal.
        """
        self._setup = setup
        self.descriptors = descriptors or Descriptors()
        self._limits = limits
        self._listeners: list[Listener] = []
        self._doorkeeper = Doorkeeper(setup)
        shown = Shown()
        self._looks = Looks(node=node, journal=journal, version=version, shown=shown, kept=kept)
        self._acts = Acts(node=node, shown=shown)
        self._runner: web.AppRunner | None = None
        self._listens = False
        self._version = version
        self.tls_port = 0
        """The port really bound; 0 without a TLS listener."""

    @property
    def where(self) -> str:
        """Where it is reached, for the log."""
        tls = self._setup.tls
        return self._setup.unix_path + (f", https://{tls.listen[0]}:{tls.listen[1]}" if tls else "")

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(middlewares=[self._guard], client_max_size=DEFAULT_LIMITS.api_body_bytes)
        for path, handler in self._look_routes().items():
            application.router.add_get(path, handler, allow_head=path != "/v1/events")
        for name in ACTS:
            application.router.add_post(f"/v1/{name}", self._acts.handler(name))
        return application

    def _look_routes(self) -> dict[str, Handler]:
        looks = self._looks
        return {
            "/healthz": looks.health,
            "/readyz": looks.ready,
            "/metrics": looks.metrics,
            "/v1/status": looks.status,
            "/v1/members": looks.members,
            "/v1/plan": looks.plan,
            "/v1/overrides": looks.overrides,
            "/v1/approvals": looks.approvals,
            "/v1/fate": looks.fate,
            "/v1/why/{site}": looks.why,
            "/v1/journal": looks.read_journal,
            "/v1/journal/kept": looks.kept_journal,
            "/v1/journal/verify": looks.verify_journal,
            "/v1/events": looks.events,
            "/v1/openapi.json": self._openapi,
        }

    async def _openapi(self, request: web.Request) -> web.Response:
        del request
        return reply(openapi.document(self._version, LOOKS))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who asks, may they, and no exception leaves as anything but a problem document."""
        try:
            if request.path not in openapi.OPEN:
                refusal = self._admit(request)
                if refusal is not None:
                    return refusal
                _look_at_query(request)
            watched = connection_of(request)
            if watched is None:
                raise ConnectionResetError
            with watched.served():
                return await handler(request)
        except BadQuery as error:
            entry = {"field": error.name, "message": error.text, "remedy": error.remedy}
            return problem(400, "BAD_REQUEST", "the query does not fit", error.text or "", errors=[entry])
        except web.HTTPException as error:
            return problem(error.status, f"HTTP_{error.status}", error.reason, error.text or "")
        except asyncio.CancelledError:
            raise
        except ConnectionResetError:
            raise
        except Exception as error:
            log.error("request failed", path=request.path, error=repr(error), exc_info=error)
            return problem(500, "INTERNAL", "siteshift made a mistake", "it is in the log")

    def _admit(self, request: web.Request) -> web.Response | None:
        identity = self._doorkeeper.recognise(request)
        if identity is None:
            answer = problem(401, "UNKNOWN_PERSON", "who are you?", self._doorkeeper.why_unknown(request))
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        needed = Rank.VIEWER
        if request.method == "POST":
            needed = NEEDED.get(request.path.rpartition("/")[2], Rank.OPERATOR)
        if identity.rank < needed:
            detail = f"{identity.person} is {identity.rank.name.lower()}; this needs {needed.name.lower()}"
            return problem(403, "NOT_ALLOWED", "not allowed", detail)
        request[ASKER] = identity
        self._log_act(request, identity)
        return None

    def _log_act(self, request: web.Request, identity: Identity) -> None:
        if request.method == "POST":
            log.info("asked", person=identity.person, via=identity.via, peer=identity.peer, path=request.path)

    async def start(self) -> None:
        """Listen. Raises `Permanent` when an address or a certificate cannot be had."""
        self._runner = web.AppRunner(
            self.application(),
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=STOP_DEADLINE_S,
            logger=_http_log(),
        )
        await self._runner.setup()
        try:
            path = await asyncio.to_thread(_free_path, Path(self._setup.unix_path))
            self._listen(UNIX_NAME, unix_listener(str(path), backlog=BACKLOG), tls=None)
            self._listens = True
            path.chmod(self._setup.unix_mode)
            if self._setup.tls is not None:
                context = _tls(self._setup.tls)
                sock = tcp_listener(*self._setup.tls.listen, backlog=BACKLOG)
                self.tls_port = sock.getsockname()[1]
                self._listen(TLS_NAME, sock, tls=context)
        except (OSError, ssl.SSLError) as error:
            await self.close()
            raise Permanent(str(error), system="api", operation="listen", target=self.where) from error

    def prepare(self, setup: ApiSetup) -> Renewal:
        """Read tokens, certificate, key and client CA anew. Blocking. Raises `SecretUnavailable` and `Permanent`."""
        try:
            tls = None if setup.tls is None else _tls(setup.tls)
        except (OSError, ssl.SSLError) as error:
            target = setup.tls.certificate_file if setup.tls is not None else ""
            raise Permanent(str(error), system="api", operation="read the certificate", target=target) from error
        return Renewal(setup=setup, doorkeeper=Doorkeeper(setup), tls=tls)

    def renew(self, renewal: Renewal) -> None:
        """Put it to use: for the next request, and the next connection over TLS. Those that are open go on. Never raises."""
        self._setup, self._doorkeeper = renewal.setup, renewal.doorkeeper
        for listener in self._listeners:
            listener.renew(renewal.tls)

    def _listen(self, name: str, sock: socket.socket, *, tls: ssl.SSLContext | None) -> None:
        assert self._runner is not None
        make_handler = self._runner.server
        assert make_handler is not None
        tally = self.descriptors.tally(name)
        listener = Listener(sock, make_handler, self.descriptors, tally, tls=tls, limits=self._limits)
        self._listeners.append(listener)

    async def close(self) -> None:
        """Stop listening; the socket's file goes too, so that nobody takes it for a node that hangs."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.stop_listening()
        await runner.cleanup()
        for listener in listeners:
            listener.close()
        if self._listens:
            await asyncio.to_thread(Path(self._setup.unix_path).unlink, missing_ok=True)


def _look_at_query(request: web.Request) -> None:
    """Nobody shall believe that ``POST /v1/drain?dry_run=true`` is one. Raises `BadQuery`."""
    resource = request.match_info.route.resource
    if resource is None or not resource.canonical.startswith("/v1/"):
        return
    known = openapi.QUERIES.get(resource.canonical, {})
    for name in request.query:
        if name not in known:
            remedy = f"known are {', '.join(known)}" if known else "nothing follows this path; an act has its fields in the body"
            raise BadQuery(name[:40], "there is no such parameter", remedy)


class _OwnFaults(logging.Filter):
    """Lets through what is our fault. What is not HTTP, or hangs up half-way, fills nobody's log with stack traces."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))


def _http_log() -> logging.Logger:
    logger = logging.getLogger("siteshift.api.http")
    if not logger.filters:
        logger.addFilter(_OwnFaults())
    return logger


def _free_path(path: Path) -> Path:
    """The socket's path, made free: a socket nobody listens on any more is removed. Raises OSError when one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        if _somebody_listens(path):
            raise OSError(f"{path}: another node listens there already")
        path.unlink()
    return path


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _tls(setup: TlsListenerSetup) -> ssl.SSLContext:
    """TLS 1.2 or later; with a client CA, certificates are asked for and checked (mTLS), tokens still serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key_path = setup.key.path()
    if key_path is not None:
        context.load_cert_chain(setup.certificate_file, key_path)
    else:
        with tempfile.NamedTemporaryFile("wb", prefix="siteshift-key-") as copy:
            copy.write(setup.key.resolve_bytes())
            copy.flush()
            context.load_cert_chain(setup.certificate_file, copy.name)
    if setup.client_ca_file:
        context.load_verify_locations(setup.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
