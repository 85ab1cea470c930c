"""Which carrier carries which kind of probe. A specification that cannot be carried out is reported, not raised."""

from __future__ import annotations

import re
import ssl

from siteshift.adapters.probes.address import parse_address
from siteshift.adapters.probes.command import CommandVisit
from siteshift.adapters.probes.datagram_carrier import DatagramCarrier, ReplyExchange
from siteshift.adapters.probes.dns_carrier import DnsCarrier
from siteshift.adapters.probes.dns_exchange import DnsExchange
from siteshift.adapters.probes.grpc_health import GrpcHealthVisit
from siteshift.adapters.probes.journey import JourneyVisit
from siteshift.adapters.probes.mysql import MysqlVisit
from siteshift.adapters.probes.slot import Carrier, Slot, lost
from siteshift.adapters.probes.stream import StreamCarrier
from siteshift.adapters.probes.talk import ExpectTalk, HttpTalk
from siteshift.adapters.probes.tls_stream import TlsCarrier
from siteshift.adapters.probes.udp_flow import UdpFlowVisit
from siteshift.adapters.probes.visit import VisitCarrier
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.probe import ProbeKind


class UnfitCarrier:
    """Stands in for a specification that cannot be carried out here: each run is lost, with the reason."""

    __slots__ = ("_bench", "_reason", "_slot")

    def __init__(self, slot: Slot, bench: Workbench, reason: str) -> None:
        self._slot, self._bench, self._reason = slot, bench, reason

    def start(self) -> None:
        self._bench.finish(self._slot, lost(self._reason))

    def abort(self) -> None:
        """Nothing is ever in flight."""

    def close(self) -> None:
        """Nothing is ever open."""


def carrier_for(slot: Slot, bench: Workbench) -> Carrier:
    """The carrier of a probe. Bad expressions, addresses or certificate files give an `UnfitCarrier`."""
    try:
        return _carrier_for(slot, bench)
    except (ValueError, re.error, OSError, ssl.SSLError) as problem:
        return UnfitCarrier(slot, bench, f"this probe cannot be carried out: {problem}")


def _carrier_for(slot: Slot, bench: Workbench) -> Carrier:
    spec, limits = slot.spec, bench.limits
    if spec.kind is ProbeKind.COMMAND:
        return VisitCarrier(slot, bench, CommandVisit(spec))
    address = parse_address(spec.address, spec.port)
    match spec.kind:
        case ProbeKind.HTTP if not spec.http.follow_redirects:
            return StreamCarrier(slot, bench, address, HttpTalk(spec, limits.http))
        case ProbeKind.HTTPS if not spec.http.follow_redirects:
            return TlsCarrier(slot, bench, address, HttpTalk(spec, limits.http))
        case ProbeKind.HTTP | ProbeKind.HTTPS | ProbeKind.JOURNEY:
            return VisitCarrier(slot, bench, JourneyVisit(spec, limits.http))
        case ProbeKind.TCP:
            return StreamCarrier(slot, bench, address, ExpectTalk(spec, limits.expect_bytes))
        case ProbeKind.TLS:
            return TlsCarrier(slot, bench, address, ExpectTalk(spec, limits.expect_bytes))
        case ProbeKind.UDP if spec.keep_alive:
            return DatagramCarrier(slot, bench, address, ReplyExchange(spec))
        case ProbeKind.UDP:
            return VisitCarrier(slot, bench, UdpFlowVisit(spec))
        case ProbeKind.DNS:
            return DnsCarrier(slot, bench, address, DnsExchange(spec))
        case ProbeKind.GRPC:
            return VisitCarrier(slot, bench, GrpcHealthVisit(spec))
        case ProbeKind.MYSQL:
            return VisitCarrier(slot, bench, MysqlVisit(spec))
