"""The embedded authoritative server: the zero-setup DNS plane, and an `Enactor` for it.

Its generation lives in memory: after a start it answers by the steering it is given, or by nominal shares, and says in
`read_back` which. What makes it safe: a new generation is compiled beside the old and swapped in at once; a service the
steering leads nowhere keeps its last answers (and that is reported); an older generation is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded_listen import Listeners
from siteshift.adapters.dns.embedded_names import Layout, fence_name, layout_of
from siteshift.adapters.dns.embedded_query import Kind
from siteshift.adapters.dns.embedded_records import FixedSet, SteeredName, SteeredSet, steered_set, wire_of
from siteshift.adapters.dns.embedded_slots import SLOTS
from siteshift.adapters.dns.embedded_zone import Desk, ServedZone
from siteshift.adapters.dns.fence import FENCE_TTL_S, Fence, fence_of
from siteshift.adapters.dns.targets import Family, answer_shares, nominal
from siteshift.adapters.dns.zone import ZoneConfig
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import Origin
from siteshift.core.model.steering import Drift, EnactResult, ReadBack, ServiceSteering, Steering
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.errors import Permanent
from siteshift.ports import Clock

NOMINAL_TTL_S = 30
"""DESIGN §8; used only before the first steering."""
SLICE = 32
"""Services compiled between two turns of the loop: about 1 ms."""
SOA_TIMES_S = (3_600, 600, 604_800)
"""Refresh, retry, expire: nobody transfers this zone, any sane values do."""
SHED = SiteId("")
"""The key of shed answers in `EmbeddedDns.answers_given`."""

Compiled = dict[ServiceId, SteeredName]


class EmbeddedDns:
    """Serves one zone and enacts steering on it. One event loop owns it."""

    def __init__(
        self,
        id: EnactorId,
        topology: Topology,
        zone: ZoneConfig,
        clock: Clock,
        *,
        initial: Steering | None = None,
        descriptors: Descriptors | None = None,
        signer: Origin | None = None,
    ) -> None:
        """Raises ValueError when the zone cannot be served. ``initial`` is what a former process enacted, ``descriptors``
        what the clients of all listeners may have together; ``signer`` signs the steering."""
        self._id = id
        self._signer = signer
        self._clock = clock
        self._layout = layout_of(topology, zone)
        self._steering: Steering | None = None
        self._fence: Fence | None = None
        self._compiled: Compiled = {}
        self._stranded: frozenset[ServiceId] = frozenset()
        self._counted: dict[ServiceId, dict[SiteId, int]] = {}
        self._writing = asyncio.Lock()
        self._past_errors = 0
        for service in self._layout.services.values():
            self._compiled[service.id] = self._compile(service, nominal(service, NOMINAL_TTL_S))
        self._desk = Desk(zone=self._served(self._layout))
        self._listeners = Listeners(self._desk, descriptors or Descriptors(), f"dns {id}")
        if initial is not None:
            entries = {entry.service: entry for entry in initial.services}
            plan = {s.id: self._renew(s, entries.get(s.id)) for s in self._layout.services.values()}
            self._swap(initial, fence_of(initial, signer), plan)

    @property
    def id(self) -> EnactorId:
        return self._id

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where it answers: (address, port) really bound, in the order of the configuration."""
        return self._listeners.addresses

    @property
    def internal_errors(self) -> int:
        """Queries that met a bug of ours and were answered SERVFAIL."""
        return self._past_errors + self._desk.zone.internal_errors

    @property
    def dropped(self) -> int:
        """Replies the sockets would not take."""
        return self._listeners.dropped

    async def start(self) -> None:
        """Bind and answer. Raises `Permanent` when an address cannot be had; then nothing is bound."""
        await self._listen(self._layout.config)

    async def close(self) -> None:
        await self._listeners.close()

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        """Swap in a steering. The next query is answered by it."""
        try:
            async with asyncio.timeout(deadline_ms / 1000), self._writing:
                return await self._enact(steering)
        except TimeoutError:
            return self._result(steering, EnactOutcome.FAILED, "the deadline passed before the swap: nothing changed")

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        """What the tables in service deliver. A service with both families is reported by its IPv4 answers."""
        del deadline_ms  # it is all in memory
        shares: dict[ServiceId, Mapping[SiteId, int]] = {}
        for count, (service, compiled) in enumerate(list(self._compiled.items())):
            shares[service] = next((chosen.shares_bp() for chosen in compiled.sets.values()), {})
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        drifts = tuple(
            Drift(
                enactor=self._id,
                what=f"answers of {service}",
                wanted="no address: the steering leads nowhere",
                found="the last good answers, kept",
                ours=True,
            )
            for service in sorted(self._stranded)
        )
        return ReadBack(
            enactor=self._id,
            at_ms=self._clock.now_ms(),
            generation=self._steering.generation if self._steering else None,
            shares_bp=shares,
            drifts=drifts,
            mark=self._fence.mark if self._fence else None,
        )

    async def reconfigure(self, topology: Topology, zone: ZoneConfig) -> None:
        """Serve another configuration under the present steering: all or nothing, without a gap in answering.

        Raises ValueError when the zone cannot be served and `Permanent` when an address cannot be had; then everything
        is as before. Services that are new and not in the steering yet start with nominal shares.
        """
        layout = layout_of(topology, zone)
        async with self._writing:
            entries = {entry.service: entry for entry in self._steering.services} if self._steering else {}
            compiled: Compiled = {}
            for count, service in enumerate(layout.services.values()):
                entry = entries.get(service.id) or nominal(service, NOMINAL_TTL_S)
                new, old = self._compile(service, entry), self._compiled.get(service.id)
                compiled[service.id] = new if new.sets or old is None else old
                if count % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            await self._listen(zone)
            for service_id, old in self._compiled.items():
                if compiled.get(service_id) is not old:
                    _count(self._counted.setdefault(service_id, {}), old)
            self._compiled = compiled
            self._stranded = frozenset(self._stranded & compiled.keys())
            self._layout = layout
            self._serve(layout)

    def answers_given(self) -> Mapping[ServiceId, Mapping[SiteId, int]]:
        """Answers given since the start, per service and site; `SHED` stands for shed answers."""
        total = {service: dict(sites) for service, sites in self._counted.items()}
        for service, compiled in self._compiled.items():
            _count(total.setdefault(service, {}), compiled)
        return total

    def respond(self, data: bytes) -> bytes | None:
        """The reply to one datagram; None for silence. Never raises."""
        return self._desk.zone.respond(data)

    def respond_stream(self, data: bytes) -> bytes | None:
        """The reply to one message by TCP; None closes the connection. Never raises."""
        return self._desk.zone.respond_stream(data)

    async def _listen(self, zone: ZoneConfig) -> None:
        try:
            await self._listeners.listen(zone.listen)
        except OSError as error:
            raise Permanent(str(error), system=f"dns {self._id}", operation="listen") from error

    async def _enact(self, steering: Steering) -> EnactResult:
        fence = fence_of(steering, self._signer)
        if self._fence is not None and fence.generation <= self._fence.generation:
            if fence.generation < self._fence.generation:
                return self._result(steering, EnactOutcome.STALE, "an older generation")
            if fence.digest != self._fence.digest:
                return self._result(steering, EnactOutcome.STALE, "the same generation with other steering")
            return self._result(steering, EnactOutcome.APPLIED, "already there")
        entries = {entry.service: entry for entry in steering.services}
        plan: dict[ServiceId, SteeredName | None] = {}
        for count, service in enumerate(self._layout.services.values()):
            if count % SLICE == 0:
                await asyncio.sleep(0)
            plan[service.id] = self._renew(service, entries.get(service.id))
        self._swap(steering, fence, plan)
        return self._result(steering, EnactOutcome.APPLIED, "")

    def _renew(self, service: Service, entry: ServiceSteering | None) -> SteeredName | None:
        """The service under a steering: compiled anew, unchanged, or None when it leads nowhere."""
        old = self._compiled[service.id]
        if entry is None:
            return None
        if entry.line() == old.line:
            return old
        new = self._compile(service, entry)
        return new if new.sets else None

    def _compile(self, service: Service, entry: ServiceSteering) -> SteeredName:
        """Pre-encode the answers. A walk goes on where the old one stands; a first one starts anywhere, so that
        several nodes do not answer in step."""
        old = self._compiled.get(service.id)
        sets: dict[int, SteeredSet] = {}
        for family in Family:
            shares = answer_shares(service, entry, family)
            if shares:
                before = old.sets.get(family) if old else None
                start = before.walk.at if before else random.randrange(SLOTS)
                sets[family] = steered_set(shares, family, entry.ttl_s, start)
        return SteeredName(service=service.id, line=entry.line(), ttl_s=entry.ttl_s, sets=sets)

    def _swap(self, steering: Steering, fence: Fence, plan: Mapping[ServiceId, SteeredName | None]) -> None:
        """Put a compiled generation into service; no await from here on, so no query sees half of it."""
        for service, new in plan.items():
            old = self._compiled[service]
            if new is not None and new is not old:
                _count(self._counted.setdefault(service, {}), old)
                self._compiled[service] = new
        self._stranded = frozenset(service for service, new in plan.items() if new is None)
        self._steering, self._fence = steering, fence
        self._serve(self._layout)

    def _serve(self, layout: Layout) -> None:
        """Put the zone as it now is before the sockets: the next query is answered by it."""
        self._past_errors += self._desk.zone.internal_errors
        self._desk.zone = self._served(layout)

    def _served(self, layout: Layout) -> ServedZone:
        """Fixed records, the SOA with the generation as serial, the fence, and the services."""
        config, origin = layout.config, layout.origin
        serial = (self._fence.generation if self._fence else 0) % 2**32 or 1
        mname = config.soa_mname or (config.ns_names[0] if config.ns_names else "@")
        times = b"".join(value.to_bytes(4, "big") for value in (serial, *SOA_TIMES_S, config.negative_ttl_s))
        rdata = wire_of(config.absolute(mname)) + wire_of(config.absolute(config.soa_rname or "hostmaster")) + times
        soa = FixedSet(kind=Kind.SOA, ttl_s=config.ns_ttl_s, rdatas=(rdata,))
        fixed = {**layout.fixed, origin: {**layout.fixed[origin], Kind.SOA: soa}}
        if self._fence is not None:
            text = self._fence.text().encode()
            txt = FixedSet(kind=Kind.TXT, ttl_s=FENCE_TTL_S, rdatas=(bytes((len(text),)) + text,))
            fixed[fence_name(origin)] = {Kind.TXT: txt}
        steered = {name: self._compiled[service] for service, names in layout.names.items() for name in names}
        return ServedZone(origin=origin, fixed=fixed, soa=soa, negative_ttl_s=config.negative_ttl_s, steered=steered)

    def _result(self, steering: Steering, outcome: EnactOutcome, detail: str) -> EnactResult:
        return EnactResult(
            enactor=self._id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self._clock.now_ms(),
            detail=detail,
            found_generation=self._fence.generation if self._fence else None,
        )


def _count(sites: dict[SiteId, int], compiled: SteeredName) -> None:
    """Add the answers a compiled service has given."""
    for chosen in compiled.sets.values():
        for variant, count in zip(chosen.variants, chosen.walk.counts, strict=True):
            key = variant.site or SHED
            sites[key] = sites.get(key, 0) + count
