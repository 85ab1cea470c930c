"""HTTP checks of more than one exchange: journeys of several steps, and checks that follow redirects.

Every name in a URL, also in a redirect's, is reached at the probed address: the point is to learn about this member,
not about what a name resolves to elsewhere. Cookies live for one run; ``{variable}`` in a later step's path, host,
headers and body stands for what an earlier step's ``extract`` found.
"""

from __future__ import annotations

import datetime
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from yarl import URL

from siteshift.adapters import wire
from siteshift.adapters.probes.certificate import TlsClient, verdict_of_tls, verdict_on
from siteshift.adapters.probes.cookies import Cookies
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http_check import CompiledCheck, compiled
from siteshift.adapters.probes.http_reply import HttpBounds, NotHttp, Reply
from siteshift.adapters.probes.http_request import host_header, request_bytes, sendable
from siteshift.adapters.probes.http_visit import Connections, Door, NoAnswer
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import HttpCheck, ProbeSpec, TlsCheck, bare_name, is_address

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_REFERENCE = "".join(map(chr, range(0x21, 0x7F)))
"""What stands in a Location as it is; bytes beyond it are percent-encoded one by one, as curl and browsers do."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(slots=True)
class _Run:
    """What one run knows: the variables found and the cookies set so far."""

    known: dict[str, str] = field(default_factory=dict)
    cookies: Cookies = field(default_factory=Cookies)


class JourneyVisit:
    """Carries out ``spec.steps`` (or ``spec.http`` alone) in order; the first step that does not pass ends it."""

    def __init__(self, spec: ProbeSpec, bounds: HttpBounds) -> None:
        self._spec = spec
        self._bounds = bounds
        steps = spec.steps or (spec.http,)
        self._steps = [(step, compiled(step), _extractors(step)) for step in steps]
        self._scheme = "https" if spec.speaks_tls else "http"
        self._tls = spec.tls or TlsCheck()
        self._client = TlsClient(self._tls, ("http/1.1",))
        self._connections = Connections(spec, self._client, bounds)

    async def once(self) -> Verdict:
        certificates = self._connections.certificates
        certificates.clear()
        if self._scheme == "https" and (unfit := self._client.unfit()):
            return unfit
        run = _Run()
        for number, (step, check, extractors) in enumerate(self._steps, 1):
            verdict = await self._step(run, step, check, extractors)
            if verdict is not PASSED:
                outcome, fault, detail = verdict
                return (outcome, fault, f"step {number}: {detail}" if len(self._steps) > 1 else detail)
        now = datetime.datetime.now(datetime.UTC)
        warnings = (verdict_on(der, self._tls, now) for der in certificates)
        return next((verdict for verdict in warnings if verdict is not PASSED), PASSED)

    async def _step(
        self, run: _Run, step: HttpCheck, check: CompiledCheck, extractors: list[tuple[str, re.Pattern[str]]]
    ) -> Verdict:
        try:
            reply = await self._exchange(run, step)
            verdict = check.of_reply(reply, self._bounds)
            body = reply.text(self._bounds) if extractors else ""
        except (NoAnswer, NotHttp, OSError, ValueError) as problem:
            return verdict_of_exchange(problem)
        if verdict is not PASSED:
            return verdict
        for variable, expression in extractors:
            found = expression.search(body)
            if found is None:
                return failed(Fault.BAD_CONTENT, f"nothing to extract as {variable}")
            run.known[variable] = (found.group(1) if expression.groups else found.group()) or ""
        return PASSED

    async def _exchange(self, run: _Run, step: HttpCheck) -> Reply:
        """Request, and up to ``follow_redirects`` more; the last reply. Raises ValueError for a redirect that leads nowhere."""
        asked = replace(
            step,
            host=_filled(step.host, run.known),
            headers=tuple((name, _field_value(_filled(value, run.known))) for name, value in step.headers),
            body=_filled_bytes(step.body, run.known),
        )
        target = sendable(_filled(step.path or "/", run.known))
        url = self._url(asked.host, target)
        for hops_left in range(step.follow_redirects, -1, -1):
            reply = await self._request(run, url, target, asked)
            locations = reply.raw(b"location")
            if reply.status not in _REDIRECTS or not locations or not hops_left:
                return reply
            location = quote(locations[0], safe=_REFERENCE)
            url = url.join(URL(location))
            target = url.raw_path_qs
            if url.scheme not in _DEFAULT_PORTS or not url.host:
                raise ValueError(f"redirected to {location[:80]}, which is not HTTP")
            if is_address(url.host) and url.host != self._spec.address:
                raise ValueError(f"redirected to another address, which is not this target: {url.host}")
            if reply.status not in _SAME_METHOD and asked.method != "HEAD":
                asked = replace(asked, method="GET", body=b"")
            asked = replace(asked, host="", headers=tuple(pair for pair in asked.headers if pair[0].lower() != "host"))
        raise AssertionError("unreachable: the last round returns")

    async def _request(self, run: _Run, url: URL, target: str, asked: HttpCheck) -> Reply:
        host, port = url.host or "", url.port or _DEFAULT_PORTS[url.scheme]
        ours = [
            ("Host", asked.host or host_header(host, port, _DEFAULT_PORTS[url.scheme])),
            ("Connection", "keep-alive" if self._spec.keep_alive else "close"),
        ]
        if cookies := run.cookies.header(url.scheme, host, url.raw_path):
            ours.append(("Cookie", cookies))
        request = request_bytes(asked.method, target, ours, asked)
        name = bare_name(self._tls.server_name or asked.host or host)
        reply = await self._connections.exchange(Door(port, name if url.scheme == "https" else ""), request, asked.method)
        now = datetime.datetime.now(datetime.UTC)
        for cookie in reply.raw(b"set-cookie"):
            run.cookies.take(cookie.decode("latin-1"), host, url.raw_path, now)
        return reply

    def _url(self, host: str, target: str) -> URL:
        """Where the step's first request goes, for redirects and cookies to refer to."""
        name = bare_name(host or self._tls.server_name or self._spec.address)
        name = f"[{name}]" if ":" in name else name
        return URL(f"{self._scheme}://{name}:{self._spec.port}{target}", encoded=True)

    async def close(self) -> None:
        self._connections.close()


def _extractors(step: HttpCheck) -> list[tuple[str, re.Pattern[str]]]:
    return [(variable, re.compile(expression)) for variable, expression in step.extract]


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Replace the variables that are known; other braces stay (JSON bodies have many)."""
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text)


def _field_value(text: str) -> str:
    """A header's value with what a step found in it. Raises ValueError when that cannot stand in one."""
    wire.field_value(text.encode())
    return text.strip(" \t")


def _filled_bytes(body: bytes, known: Mapping[str, str]) -> bytes:
    return _filled(body.decode(errors="surrogateescape"), known).encode(errors="surrogateescape") if known else body


def verdict_of_exchange(problem: Exception) -> Verdict:
    """What the failure of an exchange says about the target."""
    match problem:
        case ssl.SSLError():
            return verdict_of_tls(problem)
        case NoAnswer():
            return failed(Fault.RESET, str(problem))
        case ConnectionError() if problem.errno is None:
            return failed(Fault.RESET, str(problem) or "closed during the TLS handshake")
        case OSError():
            return verdict_of(problem.errno, Reported.LATER)
        case _:
            return failed(Fault.PROTOCOL, str(problem))
