"""HTTP by aiohttp: journeys of several steps, and checks that follow redirects.

Every name in a URL, also in a redirect's, is reached at the probed address: the point is to learn about this member,
not about what a name resolves to elsewhere. A step's path may be a whole URL; otherwise the scheme is https when the
specification has any TLS setting or port 443. Cookies live for one run; ``{variable}`` in a later step's path, host,
headers and body stands for what an earlier step's ``extract`` found.
"""

from __future__ import annotations

import datetime
import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from siteshift.adapters.probes.address import parse_address
from siteshift.adapters.probes.certificate import context_for, verdict_of_tls, verdict_on
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http1 import MAX_BODY_BYTES, USER_AGENT
from siteshift.adapters.probes.http_check import CompiledCheck, compiled
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, TlsCheck

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class PinnedResolver(AbstractResolver):
    """Every name is the probed address."""

    def __init__(self, address: str, family: int) -> None:
        self._address, self._family = address, family

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: AddressFamily = AddressFamily.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=self._address, port=port, family=self._family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


class NotingConnector(aiohttp.TCPConnector):
    """Remembers the certificates of the connections it hands out; aiohttp lets go of a connection before its answer is read."""

    def __init__(self, resolver: AbstractResolver, context: ssl.SSLContext, *, force_close: bool) -> None:
        super().__init__(resolver=resolver, ssl=context, force_close=force_close, use_dns_cache=False, limit=0)
        self.certificates: set[bytes] = set()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        spoken = connection.transport.get_extra_info("ssl_object") if connection.transport else None
        if spoken is not None and (der := spoken.getpeercert(binary_form=True)):
            self.certificates.add(der)
        return connection


class JourneyVisit:
    """Carries out ``spec.steps`` (or ``spec.http`` alone) in order; the first step that does not pass ends it."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        steps = spec.steps or (spec.http,)
        self._steps = [(step, compiled(step), _extractors(step)) for step in steps]
        https = spec.kind is ProbeKind.HTTPS or (spec.kind is ProbeKind.JOURNEY and (spec.tls != TlsCheck() or spec.port == 443))
        self._scheme = "https" if https else "http"
        self._ssl = context_for(spec.tls, ("http/1.1",))
        self._pinned = PinnedResolver(spec.address, parse_address(spec.address, spec.port).family)
        self._connector: NotingConnector | None = None

    async def once(self) -> Verdict:
        if self._connector is None:
            self._connector = NotingConnector(self._pinned, self._ssl, force_close=not self._spec.keep_alive)
        certificates = self._connector.certificates
        certificates.clear()
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"User-Agent": USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        async with session:
            known: dict[str, str] = {}
            for number, (step, check, extractors) in enumerate(self._steps, 1):
                verdict = await self._step(session, step, check, extractors, known)
                if verdict is not PASSED:
                    outcome, fault, detail = verdict
                    return (outcome, fault, f"step {number}: {detail}" if len(self._steps) > 1 else detail)
        now = datetime.datetime.now(datetime.UTC)
        warnings = (verdict_on(der, self._spec.tls, now) for der in certificates)
        return next((verdict for verdict in warnings if verdict is not PASSED), PASSED)

    async def _step(
        self,
        session: aiohttp.ClientSession,
        step: HttpCheck,
        check: CompiledCheck,
        extractors: list[tuple[str, re.Pattern[bytes]]],
        known: dict[str, str],
    ) -> Verdict:
        try:
            status, headers, body = await self._exchange(session, step, known)
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            return verdict_of_client(problem)
        verdict = check.of_whole(status, headers, body)
        if verdict is not PASSED:
            return verdict
        for variable, expression in extractors:
            found = expression.search(body)
            if found is None:
                return failed(Fault.BAD_CONTENT, f"nothing to extract as {variable}")
            known[variable] = (found.group(1) if expression.groups else found.group()).decode(errors="replace")
        return PASSED

    async def _exchange(
        self, session: aiohttp.ClientSession, step: HttpCheck, known: Mapping[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Request, and up to ``follow_redirects`` more; status, headers (names in lower case) and body of the last."""
        method, url = step.method, self._url(step, known)
        data = _filled_bytes(step.body, known) or None
        sent = [(name, _filled(value, known)) for name, value in _headers(step)]
        for hops_left in range(step.follow_redirects, -1, -1):
            async with session.request(
                method,
                url,
                headers=sent,
                data=data,
                allow_redirects=False,
                server_hostname=self._spec.tls.server_name or None,
            ) as answer:
                location = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or location is None or not hops_left:
                    headers = [(name.lower(), value) for name, value in answer.headers.items()]
                    return answer.status, headers, await _beginning(answer)
                url = url.join(URL(location))
                if _is_literal(url.host) and url.host != self._spec.address:
                    raise aiohttp.InvalidURL(url, "redirected to another address, which is not this target")
                if answer.status not in _SAME_METHOD and method != "HEAD":
                    method, data = "GET", None
                sent = [(name, value) for name, value in sent if name.lower() != "host"]
        raise AssertionError("unreachable: the last round returns")

    def _url(self, step: HttpCheck, known: Mapping[str, str]) -> URL:
        path = _filled(step.path or "/", known)
        if path.startswith(("http://", "https://")):
            return URL(path, encoded=True)
        host = _filled(step.host, known) or self._spec.tls.server_name or self._spec.address
        if host.count(":") > 1:
            host = f"[{host.strip('[]')}]"
        elif ":" in host:
            host = host.partition(":")[0]
        return URL(f"{self._scheme}://{host}:{self._spec.port}{path}", encoded=True)

    async def close(self) -> None:
        if self._connector is not None:
            connector, self._connector = self._connector, None
            await connector.close()


def _headers(step: HttpCheck) -> list[tuple[str, str]]:
    """The step's headers; its ``host`` goes out as given, not with the probed port."""
    if not step.host or any(name.lower() == "host" for name, _ in step.headers):
        return list(step.headers)
    return [("Host", step.host), *step.headers]


def _is_literal(host: str | None) -> bool:
    try:
        ip_address(host or "")
    except ValueError:
        return False
    return True


def _extractors(step: HttpCheck) -> list[tuple[str, re.Pattern[bytes]]]:
    return [(variable, re.compile(expression.encode())) for variable, expression in step.extract]


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Replace the variables that are known; other braces stay (JSON bodies have many)."""
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text)


def _filled_bytes(body: bytes, known: Mapping[str, str]) -> bytes:
    return _filled(body.decode("latin-1"), known).encode("utf-8") if known else body


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < MAX_BODY_BYTES and (chunk := await answer.content.read(MAX_BODY_BYTES - size)):
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts)


def verdict_of_client(problem: Exception) -> Verdict:
    """What an error of aiohttp says about the target."""
    match problem:
        case aiohttp.ClientConnectorCertificateError():
            return verdict_of_tls_cause(problem.certificate_error)
        case aiohttp.ClientSSLError():
            return verdict_of_tls_cause(problem.__cause__ or problem)
        case aiohttp.InvalidURL():
            return failed(Fault.PROTOCOL, str(problem))
        case aiohttp.ClientConnectorError():
            return verdict_of(problem.os_error.errno, Reported.LATER)
        case aiohttp.ServerDisconnectedError():
            return failed(Fault.RESET, "closed without an answer")
        case aiohttp.ClientOSError() | ConnectionError():
            return verdict_of(problem.errno, Reported.LATER) if problem.errno else failed(Fault.RESET, str(problem))
        case aiohttp.ClientError():
            return failed(Fault.PROTOCOL, f"{type(problem).__name__}: {problem}")
        case OSError():
            return verdict_of(problem.errno, Reported.LATER)
        case _:
            return failed(Fault.PROTOCOL, str(problem))


def verdict_of_tls_cause(cause: BaseException) -> Verdict:
    """The verdict on a handshake that aiohttp reports."""
    if isinstance(cause, ssl.SSLError):
        return verdict_of_tls(cause)
    if isinstance(cause, ssl.CertificateError):
        return failed(Fault.BAD_CERTIFICATE, str(cause))
    return failed(Fault.PROTOCOL, f"TLS: {cause}")
