"""Which carrier carries which kind of probe. A specification that cannot be carried out is reported, not raised."""

from __future__ import annotations

import re
import ssl

from siteshift.adapters.probes.address import parse_address
from siteshift.adapters.probes.slot import Carrier, Slot, lost
from siteshift.adapters.probes.stream import StreamCarrier
from siteshift.adapters.probes.talk import ExpectTalk, HttpTalk
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
    spec = slot.spec
    match spec.kind:
        case ProbeKind.HTTP:
            return StreamCarrier(slot, bench, parse_address(spec.address, spec.port), HttpTalk(spec))
        case ProbeKind.TCP:
            return StreamCarrier(slot, bench, parse_address(spec.address, spec.port), ExpectTalk(spec))
        case _:
            raise ValueError(f"{spec.kind}")
