"""The must-fail twin of a probe: the same question to the same target, put so that it cannot pass.

How `ProbeSpec.twin` (an `HttpCheck`) is read for each kind:

============== ======================================================================================
HTTP, HTTPS    the twin's request and what would be a pass of it
JOURNEY        the twin is the only step
TCP, UDP       the twin's ``body`` is sent, and the probe's own ``expect`` must not come back
TLS            the twin's ``host`` is the server name, which the certificate must not cover
DNS            the twin's ``host`` is the name asked
GRPC           the twin's ``path`` (without leading slash) is the service asked
COMMAND, MYSQL no twin
============== ======================================================================================
"""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.model.probe import ProbeKind, ProbeSpec, TlsCheck, bare_name


def twin_of(spec: ProbeSpec, every: int) -> ProbeSpec | None:
    """The specification of the twin, once per ``every`` intervals, half an interval away from its probe's phase."""
    twin = spec.twin
    if twin is None or spec.kind is ProbeKind.COMMAND:
        return None
    interval_ms = spec.interval_ms * every
    # Twins of different probes are spread over the long interval by their probe's own phase.
    phase_ms = (spec.phase_ms * every + spec.interval_ms // 2) % interval_ms
    shared = replace(spec, interval_ms=interval_ms, phase_ms=phase_ms, keep_alive=False, stopwatch_ms=0, twin=None)
    match spec.kind:
        case ProbeKind.HTTP | ProbeKind.HTTPS:
            return replace(shared, http=twin, tls=_same_name(spec.tls, spec.http.host))
        case ProbeKind.JOURNEY:
            return replace(shared, steps=(twin,), tls=_same_name(spec.tls, spec.steps[0].host))
        case ProbeKind.TCP | ProbeKind.UDP:
            return replace(shared, send=twin.body)
        case ProbeKind.TLS:
            return replace(shared, tls=replace(spec.tls or TlsCheck(), server_name=twin.host))
        case ProbeKind.DNS:
            return replace(shared, dns_name=twin.host)
        case ProbeKind.GRPC:
            return replace(shared, grpc_service=twin.path.lstrip("/"))
        case ProbeKind.MYSQL:
            return None


def _same_name(tls: TlsCheck | None, host: str) -> TlsCheck | None:
    """The twin shakes hands as its probe does: a handshake that fails would say nothing about what is looked at behind it."""
    return tls and replace(tls, server_name=tls.server_name or bare_name(host))
