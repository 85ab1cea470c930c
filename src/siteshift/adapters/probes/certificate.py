"""TLS contexts and what a certificate must satisfy."""

from __future__ import annotations

import datetime
import ssl
from functools import lru_cache
from pathlib import Path

from cryptography import x509

from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import TlsCheck


def context_for(check: TlsCheck, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """A client context, shared by equal checks. Raises OSError or ssl.SSLError for a bad CA file."""
    changed_ns = Path(check.ca_file).stat().st_mtime_ns if check.ca_file else 0
    return _context(check.ca_file, changed_ns, check.verify, alpn)


@lru_cache(maxsize=256)
def _context(ca_file: str, changed_ns: int, verify: bool, alpn: tuple[str, ...]) -> ssl.SSLContext:  # noqa: ARG001
    context = ssl.create_default_context(cafile=ca_file or None)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a server could ask for handshakes without end, each a millisecond of ours
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


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
    return failed(Fault.PROTOCOL, f"TLS: {problem.reason or problem}")
