"""The embedded authoritative server: the zero-setup DNS plane, and an `Enactor` for it.

Its generation lives in memory: after a start it answers by the steering it is given, or by nominal shares, and says in
`read_back` which. What makes it safe: a new generation is compiled beside the old and swapped in at once; a service the
steering leads nowhere keeps its last answers (and that is reported); an older generation is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from siteshift.adapters.dns.embedded_names import fence_name, service_names, skeleton
from siteshift.adapters.dns.embedded_query import Kind, Rcode, refuse_bytes
from siteshift.adapters.dns.embedded_records import (
    FixedNodes,
    FixedSet,
    SteeredName,
    SteeredSet,
    steered_set,
    wire_of,
)
from siteshift.adapters.dns.embedded_slots import SLOTS
from siteshift.adapters.dns.embedded_tcp import TcpServer
from siteshift.adapters.dns.embedded_udp import BatchServer, DatagramServer, serve_datagrams, udp_socket
from siteshift.adapters.dns.embedded_zone import ServedZone
from siteshift.adapters.dns.fence import FENCE_TTL_S, fence_of
from siteshift.adapters.dns.targets import Family, answer_shares, nominal
from siteshift.adapters.dns.zone import ZoneConfig
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import Drift, EnactResult, ReadBack, ServiceSteering, Steering
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.errors import Permanent
from siteshift.ports import Clock

NOMINAL_TTL_S = 30
"""DESIGN §8; used only before the first steering."""
SLICE = 32
"""Services compiled between two turns of the loop: about 2 ms."""
SOA_TIMES_S = (3_600, 600, 604_800)
"""Refresh, retry, expire: nobody transfers this zone, any sane values do."""
PORT_TRIES = 20
SHED = SiteId("")
"""The key of shed answers in `EmbeddedDns.answers_given`."""


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
    ) -> None:
        """Raises ValueError when the zone's records cannot be served. ``initial`` is what a former process enacted."""
        self._id = id
        self._clock = clock
        self._config = zone
        self._origin = wire_of(zone.origin_name)
        self._names = service_names(topology, zone)
        self._fixed = skeleton(zone, self._names)
        self._services = {service.id: service for service in topology.services if service.id in self._names}
        self._compiled: dict[ServiceId, SteeredName] = {}
        self._stranded: frozenset[ServiceId] = frozenset()
        self._current: Steering | None = None
        self._counted: dict[ServiceId, dict[SiteId, int]] = {}
        self._writing = asyncio.Lock()
        self._udp: list[BatchServer | DatagramServer] = []
        self._tcp: list[TcpServer] = []
        self._addresses: tuple[tuple[str, int], ...] = ()
        self.internal_errors = 0
        for service in self._services.values():
            self._compiled[service.id] = self._compile(service, nominal(service, NOMINAL_TTL_S))
        if initial is not None:
            plan = {service.id: self._renew(service, initial.of(service.id)) for service in self._services.values()}
            self._swap(initial, plan)
        else:
            self._zone = self._served(0, {})

    @property
    def id(self) -> EnactorId:
        return self._id

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where it answers: (address, port) really bound, in the order of the configuration."""
        return self._addresses

    async def start(self) -> None:
        """Bind and answer. Raises `Permanent` when an address cannot be had; then nothing stays bound."""
        bound: list[tuple[str, int]] = []
        try:
            for host, port in self._config.listen:
                bound.append((host, await self._listen(host, port)))
        except OSError as error:
            await self.close()
            raise Permanent(str(error), system=f"dns {self._id}", operation="listen") from error
        self._addresses = tuple(bound)

    async def close(self) -> None:
        udp, self._udp = self._udp, []
        tcp, self._tcp = self._tcp, []
        for server in udp:
            await server.close()
        for stream in tcp:
            await stream.close()

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
            generation=self._current.generation if self._current else None,
            shares_bp=shares,
            drifts=drifts,
        )

    def answers_given(self) -> Mapping[ServiceId, Mapping[SiteId, int]]:
        """Answers given since the start, per service and site; `SHED` stands for shed answers."""
        total = {service: dict(sites) for service, sites in self._counted.items()}
        for service, compiled in self._compiled.items():
            _count(total.setdefault(service, {}), compiled)
        return total

    def respond(self, data: bytes) -> bytes | None:
        """The reply to one datagram; None for silence. Never raises."""
        try:
            return self._zone.respond(data)
        except Exception:
            self.internal_errors += 1
            return refuse_bytes(data, Rcode.SERVFAIL)

    def respond_stream(self, data: bytes) -> bytes | None:
        """The reply to one message by TCP; None closes the connection. Never raises."""
        try:
            return self._zone.respond_stream(data)
        except Exception:
            self.internal_errors += 1
            return refuse_bytes(data, Rcode.SERVFAIL)

    async def _enact(self, steering: Steering) -> EnactResult:
        found = self._current
        if found is not None and steering.generation <= found.generation:
            if steering.generation == found.generation and steering.digest() == found.digest():
                return self._result(steering, EnactOutcome.APPLIED, "already there")
            same = steering.generation == found.generation
            detail = "the same generation with other steering" if same else "an older generation"
            return self._result(steering, EnactOutcome.STALE, detail)
        entries = {entry.service: entry for entry in steering.services}
        plan: dict[ServiceId, SteeredName | None] = {}
        for count, service in enumerate(self._services.values()):
            plan[service.id] = self._renew(service, entries.get(service.id))
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        self._swap(steering, plan)
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
        old = self._compiled.get(service.id)
        sets: dict[int, SteeredSet] = {}
        for family in Family:
            shares = answer_shares(service, entry, family)
            if shares:
                before = old.sets.get(family) if old else None
                start = before.walk.at if before else random.randrange(SLOTS)
                sets[family] = steered_set(shares, family, entry.ttl_s, start)
        return SteeredName(service=service.id, line=entry.line(), ttl_s=entry.ttl_s, sets=sets)

    def _swap(self, steering: Steering, plan: Mapping[ServiceId, SteeredName | None]) -> None:
        """Put a compiled generation into service; no await from here on, so no query sees half of it."""
        for service, new in plan.items():
            old = self._compiled[service]
            if new is not None and new is not old:
                _count(self._counted.setdefault(service, {}), old)
                self._compiled[service] = new
        self._stranded = frozenset(service for service, new in plan.items() if new is None)
        self._current = steering
        text = fence_of(steering).text().encode()
        fence = FixedSet(kind=Kind.TXT, ttl_s=FENCE_TTL_S, rdatas=(bytes((len(text),)) + text,))
        self._zone = self._served(steering.generation, {fence_name(self._origin): {Kind.TXT: fence}})

    def _served(self, generation: int, extra: FixedNodes) -> ServedZone:
        serial = generation % 2**32 or 1
        config = self._config
        mname = config.soa_mname or (config.ns_names[0] if config.ns_names else "@")
        times = b"".join(value.to_bytes(4, "big") for value in (serial, *SOA_TIMES_S, config.negative_ttl_s))
        rdata = wire_of(config.absolute(mname)) + wire_of(config.absolute(config.soa_rname or "hostmaster")) + times
        soa = FixedSet(kind=Kind.SOA, ttl_s=config.ns_ttl_s, rdatas=(rdata,))
        fixed = {**self._fixed, **extra}
        fixed[self._origin] = {**fixed[self._origin], Kind.SOA: soa}
        steered = {name: self._compiled[service] for service, names in self._names.items() for name in names}
        return ServedZone(
            origin=self._origin, fixed=fixed, soa=soa, negative_ttl_s=config.negative_ttl_s, steered=steered
        )

    async def _listen(self, host: str, port: int) -> int:
        """Bind UDP and TCP to one port. A free one is looked for until both agree."""
        for tries_left in reversed(range(PORT_TRIES)):
            sock = udp_socket(host, port)
            chosen: int = sock.getsockname()[1]
            stream = TcpServer(self.respond_stream)
            try:
                await stream.start(host, chosen)
            except OSError:
                sock.close()
                if port or not tries_left:
                    raise
                continue
            self._tcp.append(stream)
            self._udp.append(await serve_datagrams(sock, self.respond))
            return chosen
        raise OSError("no port is free for both UDP and TCP")

    def _result(self, steering: Steering, outcome: EnactOutcome, detail: str) -> EnactResult:
        return EnactResult(
            enactor=self._id,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self._clock.now_ms(),
            detail=detail,
            found_generation=self._current.generation if self._current else None,
        )


def _count(sites: dict[SiteId, int], compiled: SteeredName) -> None:
    """Add the answers a compiled service has given."""
    for chosen in compiled.sets.values():
        for variant, count in zip(chosen.variants, chosen.walk.counts, strict=True):
            key = variant.site or SHED
            sites[key] = sites.get(key, 0) + count
