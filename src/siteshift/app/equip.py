"""Keeps the adapters a configuration asks for. What did not change at a reload is kept, with its connections.

A reload is all or nothing (law 15): everything new is made first, from its configuration and its secrets; only then is
what runs changed, each change with its way back. What is no longer wanted stays until `put_away`, for it may be in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from siteshift.adapters.clients import Descriptors
from siteshift.app.core_setup import core_setup
from siteshift.app.drivers import Driver, make_driver
from siteshift.app.notifiers import ClosableNotifier, make_notifier
from siteshift.app.plane_shelf import MadeFrom, PlanesInUse, changed_planes
from siteshift.app.secrets import secrets_of
from siteshift.app.sensors import covered_by, make_evidence, make_meter
from siteshift.config import Resolved
from siteshift.core.model.steering import Steering
from siteshift.ports import Clock, EvidenceSource, TrafficMeter
from siteshift.runtime.equipment import Addressee, Equipment, Evidenced, Metered
from siteshift.runtime.limits import Limits


class Closable(Protocol):
    """What is put away in the end."""

    async def close(self) -> None: ...


class HasId(Protocol):
    """A setup of the configuration."""

    @property
    def id(self) -> str: ...


S = TypeVar("S", bound=HasId)
T = TypeVar("T", bound=Closable)


@dataclass(slots=True)
class Shelf(Generic[T]):
    """Adapters of one kind in use, by name, with setup and secrets they were made from.

    A new token in the old file makes an adapter anew.
    """

    things: dict[str, tuple[tuple[object, Mapping[str, str]], T]] = field(default_factory=dict)

    def stocked(self, setups: Iterable[S], secrets: Mapping[str, Mapping[str, str]], make: Callable[[S], T]) -> Shelf[T]:
        """The shelf for these setups: what is the same is kept. Raises what ``make`` raises; this one is unchanged."""
        found: dict[str, tuple[tuple[object, Mapping[str, str]], T]] = {}
        for setup in setups:
            made_from = (setup, secrets[setup.id])
            before = self.things.get(setup.id)
            found[setup.id] = before if before is not None and before[0] == made_from else (made_from, make(setup))
        return Shelf(found)

    def not_on(self, other: Shelf[T]) -> list[T]:
        """What is here and not there."""
        kept = {id(thing) for _, thing in other.things.values()}
        return [thing for _, thing in self.things.values() if id(thing) not in kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """The adapters for one configuration."""

    planes: PlanesInUse
    drivers: Shelf[Driver]
    meters: Shelf[TrafficMeter]
    evidence: Shelf[EvidenceSource]
    notifiers: Shelf[ClosableNotifier]

    def equipment(self, resolved: Resolved) -> Equipment:
        """What the runtime works with."""
        limits = resolved.limits
        return Equipment(
            setup=core_setup(resolved),
            probes=resolved.probes,
            anchors=(*resolved.anchors, *resolved.own_site_anchors),
            enactors={name: entry.plane for name, entry in self.planes.items()},
            drivers={setup.id: self.drivers.things[setup.id][1] for setup in resolved.drivers},
            driver_timeout_ms={setup.id: setup.timeout_ms for setup in resolved.drivers},
            meters=tuple(
                Metered(
                    id=setup.id,
                    meter=self.meters.things[setup.id][1],
                    covers=covered_by(setup),
                    every_ms=setup.every_ms,
                    timeout_ms=setup.timeout_ms,
                )
                for setup in resolved.meters
            ),
            evidence=tuple(
                Evidenced(
                    id=setup.id,
                    source=self.evidence.things[setup.id][1],
                    every_ms=setup.every_ms,
                    timeout_ms=setup.timeout_ms,
                )
                for setup in resolved.evidence
            ),
            notifiers=tuple(
                Addressee(id=setup.id, least=setup.least, notifier=self.notifiers.things[setup.id][1])
                for setup in resolved.notifiers
            ),
            limits=Limits(
                event_queue=limits.event_queue,
                notify_queue=limits.notify_queue,
                journal_rows=limits.journal_rows,
                api_subscribers=limits.api_subscribers,
                api_body_bytes=limits.api_body_bytes,
                enact_timeout_ms=limits.enact_timeout_ms,
            ),
        )


@dataclass(slots=True)
class Workshop:
    """The adapters in use."""

    clock: Clock
    descriptors: Descriptors = field(default_factory=Descriptors)
    """What the clients of all listeners may have together."""
    planes: PlanesInUse = field(default_factory=dict)
    drivers: Shelf[Driver] = field(default_factory=Shelf)
    meters: Shelf[TrafficMeter] = field(default_factory=Shelf)
    evidence: Shelf[EvidenceSource] = field(default_factory=Shelf)
    notifiers: Shelf[ClosableNotifier] = field(default_factory=Shelf)
    _retired: list[Closable] = field(default_factory=list)

    async def equip(self, resolved: Resolved, steering: Steering | None) -> Equipment:
        """Everything for this configuration. Raises what cannot be made or read; then everything is as before.

        Call `put_away` once the equipment is in use.
        """
        async with self.equipping(resolved, steering) as equipment:
            return equipment

    @asynccontextmanager
    async def equipping(self, resolved: Resolved, steering: Steering | None) -> AsyncIterator[Equipment]:
        """Everything for this configuration, to be put to use within the block.

        An exception, of ours or of the block, takes all of it back: what ran before runs on, and what was made is closed.
        """
        secrets = await asyncio.to_thread(_secrets_by_setup, resolved)
        clock, node, cluster = self.clock, str(resolved.node.id), resolved.node.cluster
        async with AsyncExitStack() as undo:
            drivers = self.drivers.stocked(resolved.drivers, secrets["driver"], make_driver)
            undo.push_async_callback(_close_all, drivers.not_on(self.drivers))
            meters = self.meters.stocked(resolved.meters, secrets["meter"], lambda setup: make_meter(setup, clock))
            undo.push_async_callback(_close_all, meters.not_on(self.meters))
            evidence = self.evidence.stocked(
                resolved.evidence, secrets["evidence"], lambda setup: make_evidence(setup, clock)
            )
            undo.push_async_callback(_close_all, evidence.not_on(self.evidence))
            notifiers = self.notifiers.stocked(
                resolved.notifiers, secrets["notifier"], lambda setup: make_notifier(setup, node, cluster)
            )
            undo.push_async_callback(_close_all, notifiers.not_on(self.notifiers))
            wanted = [
                MadeFrom(setup=setup, topology=resolved.topology, secrets=secrets["plane"][setup.id])
                for setup in resolved.planes
            ]
            planes = await changed_planes(self.planes, wanted, clock, steering, self.descriptors, undo)
            stock = Stock(planes=planes, drivers=drivers, meters=meters, evidence=evidence, notifiers=notifiers)
            yield stock.equipment(resolved)
            undo.pop_all()
        self._take(stock)

    def _take(self, stock: Stock) -> None:
        """Keep this stock; what is not in it waits to be put away."""
        kept = {id(entry.plane) for entry in stock.planes.values()}
        self._retired += [entry.plane for entry in self.planes.values() if id(entry.plane) not in kept]
        self._retired += self.drivers.not_on(stock.drivers)
        self._retired += self.meters.not_on(stock.meters)
        self._retired += self.evidence.not_on(stock.evidence)
        self._retired += self.notifiers.not_on(stock.notifiers)
        self.planes, self.drivers, self.meters = stock.planes, stock.drivers, stock.meters
        self.evidence, self.notifiers = stock.evidence, stock.notifiers

    async def put_away(self) -> None:
        """Close what is no longer used. A data plane that is no longer named keeps its last good state."""
        retired, self._retired = self._retired, []
        await _close_all(retired)

    async def close(self) -> None:
        """Close everything."""
        self._retired += [entry.plane for entry in self.planes.values()]
        for shelf in (self.drivers, self.meters, self.evidence, self.notifiers):
            self._retired += shelf.not_on(Shelf())
        self.planes, self.drivers, self.meters = {}, Shelf(), Shelf()
        self.evidence, self.notifiers = Shelf(), Shelf()
        await self.put_away()


def _secrets_by_setup(resolved: Resolved) -> dict[str, dict[str, Mapping[str, str]]]:
    """Kind → id → secrets. Raises `SecretUnavailable`."""
    kinds: dict[str, Iterable[HasId]] = {
        "plane": resolved.planes,
        "driver": resolved.drivers,
        "meter": resolved.meters,
        "evidence": resolved.evidence,
        "notifier": resolved.notifiers,
    }
    return {kind: {setup.id: secrets_of(setup) for setup in setups} for kind, setups in kinds.items()}


async def _close_all(things: Iterable[Closable]) -> None:
    """Close each, whatever becomes of the others. Raises `ExceptionGroup`."""
    failed: list[Exception] = []
    for thing in things:
        try:
            await thing.close()
        except Exception as error:
            failed.append(error)
    if failed:
        raise ExceptionGroup("could not be closed", failed)
