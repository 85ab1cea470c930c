"""TLS contexts and what a certificate must satisfy."""

from __future__ import annotations

import contextlib
import datetime
import ssl
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from siteshift.adapters.probes.slot import PASSED, Verdict, failed, lost
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import TlsCheck


class TlsClient:
    """The client side of handshakes: equal checks share a context, and one is made anew when a file of it has changed.

    Certificates are renewed under a running node; whoever read them once would fail every site on the day the old one ends.
    """

    def __init__(self, check: TlsCheck, alpn: tuple[str, ...]) -> None:
        """Raises OSError or ssl.SSLError for a file that cannot be used."""
        self._check = check
        self._alpn = alpn
        self._made = self._make()

    def context(self) -> ssl.SSLContext:
        """As the files are now; as they were where they cannot be read, for instance while they are being written."""
        with contextlib.suppress(OSError):  # ssl.SSLError is one
            self._made = self._make()
        return self._made.context

    def unfit(self) -> Verdict | None:
        """A verdict where our own certificate is not valid now: no evidence about the target (law 3)."""
        if not self._check.client_certificate:
            return None
        self.context()
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = self._made.valid or (now, now)
        if now > ends:
            return lost(f"our client certificate {self._check.client_certificate} ended {ends:%Y-%m-%d}")
        if now < begins:
            return lost(f"our client certificate {self._check.client_certificate} begins {begins:%Y-%m-%d}")
        return None

    def _make(self) -> _Made:
        check = self._check
        files = (check.ca_file, check.client_certificate, check.client_key)
        changed_ns = tuple(Path(name).stat().st_mtime_ns if name else 0 for name in files)
        return _made(files, changed_ns, check.verify, self._alpn)


class _Made(NamedTuple):
    """``valid``: from when to when our own certificate is, where there is one."""

    context: ssl.SSLContext
    valid: tuple[datetime.datetime, datetime.datetime] | None


@lru_cache(maxsize=256)
def _made(files: tuple[str, str, str], _changed_ns: tuple[int, ...], verify: bool, alpn: tuple[str, ...]) -> _Made:
    ca_file, certificate, key = files
    context = ssl.create_default_context(cafile=ca_file or None)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a server could ask for handshakes without end, each a millisecond of ours
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if not certificate:
        return _Made(context, None)
    context.load_cert_chain(certificate, key or None, password=_no_password)
    try:
        own = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    except ValueError as problem:
        raise OSError(f"{certificate}: {problem}") from None
    return _Made(context, (own.not_valid_before_utc, own.not_valid_after_utc))


def _no_password() -> str:
    """A node starts by itself: nobody is there to type."""
    return ""


def verdict_on(der: bytes | None, check: TlsCheck, now: datetime.datetime) -> Verdict:
    """A pass, with a warning in its detail when fewer than ``min_days_left`` days are left.

    Its chain, name and present validity were verified in the handshake. A certificate about to end is work for
    somebody's calendar, no reason to move traffic: therefore a warning and not a failure.
    """
    if not check.min_days_left or der is None:
        return PASSED
    ends = _ends(der)
    days = (ends - now).days
    if days >= check.min_days_left:
        return PASSED
    return (Outcome.PASS, Fault.NONE, f"the certificate ends {ends:%Y-%m-%d}, in {days} days")


@lru_cache(maxsize=1024)
def _ends(der: bytes) -> datetime.datetime:
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def verdict_of_tls(problem: ssl.SSLError) -> Verdict:
    """What a failed handshake or a broken record says about the target."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return failed(Fault.BAD_CERTIFICATE, problem.verify_message or str(problem))
    reason = problem.reason or str(problem)
    if any(word in reason for word in _REFUSES_US):
        return failed(Fault.PROTOCOL, f"TLS: the server refuses our client certificate, or wants one: {reason}")
    return failed(Fault.PROTOCOL, f"TLS: {reason}")


_REFUSES_US = (
    "ALERT_CERTIFICATE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_NO_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
)
"""Alerts of RFC 8446 section 6.2 that are about the certificate of the side they are sent to."""
