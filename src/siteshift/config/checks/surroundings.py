"""What lies around the configuration on this machine: secrets that must be readable, files that must exist."""

from __future__ import annotations

import base64
import binascii
import grp
import pwd
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path as FilePath

from siteshift.config.checks.findings import Findings
from siteshift.config.errors import SecretUnavailable
from siteshift.config.model.enactors import Rfc2136Enactor
from siteshift.config.model.observation import PrometheusEvidence, WebhookNotifier
from siteshift.config.model.probes import GrpcProbe, HttpRequest, HttpsAnchor, HttpsProbe, JourneyProbe, TlsProbe, TlsSection
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.standby import HttpHookDriver
from siteshift.config.problem import Path, ProblemCode
from siteshift.config.secret import SecretRef, SecretSource

MIN_TOKEN_CHARS = 16
"""96 bits in base64: not to be guessed through an API that answers in milliseconds."""


def check_surroundings(config: ConfigFile, findings: Findings, path: FilePath) -> None:
    """Read every secret once, look at every file, and at the configuration's own permissions."""
    _own_file(path, findings)
    for place, secret in _secrets(config):
        if not findings.tainted(place):
            _secret(secret, place, findings)
    for place, name in _files(config):
        if not findings.tainted(place):
            _authorities(name, place, findings)
    _server_certificate(config, findings)
    for place, section in _tls_sections(config):
        _client_certificate(section, place, findings)
    _accounts(config, findings)


def _own_file(path: FilePath, findings: Findings) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IWOTH:
        message = f"everybody may write this file (mode {stat.S_IMODE(mode):04o})"
        findings.note(ProblemCode.CONFIG_WRITABLE, (), message, f"chmod o-w {path}")


def _secrets(config: ConfigFile) -> Iterator[tuple[Path, SecretRef]]:
    if config.api.tls is not None:
        yield ("api", "tls", "key"), config.api.tls.key
    for index, token in enumerate(config.api.tokens):
        yield ("api", "tokens", index, "secret"), token.secret
    for index, enactor in enumerate(config.enactors):
        if isinstance(enactor, Rfc2136Enactor):
            yield ("enactors", index, "tsig", "secret"), enactor.tsig.secret
    for index, driver in enumerate(config.standby_drivers):
        if isinstance(driver, HttpHookDriver) and driver.token is not None:
            yield ("standby_drivers", index, "token"), driver.token
    for index, entry in enumerate(config.evidence):
        if isinstance(entry, PrometheusEvidence) and entry.token is not None:
            yield ("evidence", index, "token"), entry.token
    for index, notifier in enumerate(config.notifiers):
        if isinstance(notifier, WebhookNotifier):
            for key, secret in (("token", notifier.token), ("url_secret", notifier.url_secret)):
                if secret is not None:
                    yield ("notifiers", index, key), secret
    for path, section in _tls_sections(config):
        if section.client_key is not None:
            yield (*path, "client_key"), section.client_key
    yield from _header_secrets(config)


def _header_secrets(config: ConfigFile) -> Iterator[tuple[Path, SecretRef]]:
    requests: list[tuple[Path, object]] = []
    for index, service in enumerate(config.services):
        for number, probe in enumerate(service.probes):
            path: Path = ("services", index, "probes", number)
            requests.append((path, probe))
            if isinstance(probe, JourneyProbe):
                requests += [((*path, "steps", step), request) for step, request in enumerate(probe.steps)]
    for listing, anchors in (("outside", config.anchors.outside), ("own_site", config.anchors.own_site)):
        requests += [(("anchors", listing, index), anchor) for index, anchor in enumerate(anchors)]
    for path, request in requests:
        if isinstance(request, HttpRequest):
            yield from (((*path, "secret_headers", name), ref) for name, ref in request.secret_headers.items())


def _secret(secret: SecretRef, path: Path, findings: Findings) -> None:
    if path[-2:] in (("tls", "key"), ("tls", "client_key")) and secret.source is SecretSource.ENV:
        message = "a TLS key is read from a file, not from the environment"
        findings.note(ProblemCode.SECRET_UNAVAILABLE, path, message, "use `file:` or `credential:`")
        return
    try:
        raw = secret.resolve_bytes()
    except SecretUnavailable as unavailable:
        remedy = "create it, or give the user of siteshift the right to read it"
        findings.note(ProblemCode.SECRET_UNAVAILABLE, path, str(unavailable), remedy)
        return
    if mode := secret.readable_by_all():
        message = f"{secret} can be read by everybody (mode {mode})"
        findings.note(ProblemCode.SECRET_EXPOSED, path, message, f"chmod 0640 {secret.path()}")
    if path[:2] == ("api", "tokens") and len(raw) < MIN_TOKEN_CHARS:
        message = f"{secret} has {len(raw)} characters; a token needs at least {MIN_TOKEN_CHARS}"
        findings.note(ProblemCode.SECRET_MALFORMED, path, message, "make one with `openssl rand -base64 24`")
    if path[-2:-1] == ("secret_headers",) and any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in raw):
        message = f"{secret} holds line breaks or other control characters, which no header can"
        findings.note(ProblemCode.SECRET_MALFORMED, path, message, "write it in one line")
    if path[-2:] == ("tsig", "secret") and not _is_base64(raw):
        findings.note(ProblemCode.SECRET_MALFORMED, path, f"{secret} is not base64", "copy the `secret` of the key")


def _is_base64(raw: bytes) -> bool:
    try:
        return bool(base64.b64decode(raw, validate=True))
    except binascii.Error:
        return False


def _files(config: ConfigFile) -> Iterator[tuple[Path, str]]:
    """Files of authorities."""
    tls = config.api.tls
    if tls is not None and tls.client_ca_file is not None:
        yield ("api", "tls", "client_ca_file"), tls.client_ca_file
    for path, section in _tls_sections(config):
        if section.ca_file is not None:
            yield (*path, "ca_file"), section.ca_file


def _tls_sections(config: ConfigFile) -> Iterator[tuple[Path, TlsSection]]:
    for index, service in enumerate(config.services):
        for number, probe in enumerate(service.probes):
            if isinstance(probe, (HttpsProbe, JourneyProbe, TlsProbe, GrpcProbe)) and probe.tls is not None:
                yield ("services", index, "probes", number, "tls"), probe.tls
    for listing, anchors in (("outside", config.anchors.outside), ("own_site", config.anchors.own_site)):
        for index, anchor in enumerate(anchors):
            if isinstance(anchor, HttpsAnchor):
                yield ("anchors", listing, index, "tls"), anchor.tls


def _authorities(name: str, path: Path, findings: Findings) -> None:
    """A file of PEM certificates that OpenSSL takes."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except OSError as error:  # ssl.SSLError is one
        _unusable(name, error, path, findings)


def _server_certificate(config: ConfigFile, findings: Findings) -> None:
    """The certificate and its key belong together."""
    tls, path = config.api.tls, ("api", "tls", "certificate_file")
    if tls is None or findings.tainted(path) or findings.tainted(("api", "tls", "key")):
        return
    try:
        with FilePath(tls.certificate_file).open("rb") as stream:
            stream.read(1)
        key = tls.key.path()
        if key is not None and key.is_file():
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate_file, key, password=_no_password)
    except SecretUnavailable:
        return  # told beside the key
    except OSError as error:
        _unusable(tls.certificate_file, error, path, findings)


def _client_certificate(section: TlsSection, path: Path, findings: Findings) -> None:
    """Our own certificate and its key belong together, and no password is asked for."""
    name, place = section.client_certificate, (*path, "client_certificate")
    if name is None or findings.tainted(place) or findings.tainted((*path, "client_key")):
        return
    try:
        with FilePath(name).open("rb") as stream:
            stream.read(1)
        key = section.client_key.path() if section.client_key is not None else FilePath(name)
        if key is not None and key.is_file():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(name, key, password=_no_password)
    except SecretUnavailable:
        return  # told beside the key
    except OSError as error:
        _unusable(name, error, place, findings)


def _no_password() -> str:
    """A node starts by itself: nobody is there to type."""
    return ""


def _unusable(name: str, error: OSError, path: Path, findings: Findings) -> None:
    if isinstance(error, ssl.SSLError):
        message, remedy = f"{name}: not usable as PEM ({error.reason or 'no certificate in it'})", "check its content"
    else:
        message = f"{name}: {error.strerror or type(error).__name__}"
        remedy = "create it, or give the user of siteshift the right to read it"
    findings.note(ProblemCode.FILE_MISSING, path, message, remedy)


def _accounts(config: ConfigFile, findings: Findings) -> None:
    users = {entry.pw_name for entry in pwd.getpwall()}
    groups = {entry.gr_name for entry in grp.getgrall()}
    for index, grant in enumerate(config.api.unix.grants):
        for key, name, known in (("user", grant.user, users), ("group", grant.group, groups)):
            if name is not None and not name.isdigit() and name not in known:
                message = f"no {key} '{name}' on this machine"
                place = ("api", "unix", "grants", index, key)
                findings.note(ProblemCode.NO_SUCH_ACCOUNT, place, message, "create it, or correct the name")
