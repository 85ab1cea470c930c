"""The data planes in use, changed all together or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.app.planes import change_zone, make_plane
from siteshift.config.setups import EmbeddedDnsSetup, PlaneSetup
from siteshift.core.model.steering import Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import EnactorId
from siteshift.ports import Clock, Enactor

WayBack = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrom:
    """What an enactor was made from. ``secrets`` too: a new key in the old file makes it anew."""

    setup: PlaneSetup
    topology: Topology
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneInUse:
    """One enactor and its origin."""

    made_from: MadeFrom
    plane: Enactor


PlanesInUse = dict[EnactorId, PlaneInUse]


async def changed_planes(
    present: Mapping[EnactorId, PlaneInUse],
    wanted: Sequence[MadeFrom],
    clock: Clock,
    steering: Steering | None,
    descriptors: Descriptors,
    undo: AsyncExitStack,
) -> PlanesInUse:
    """The data planes for another configuration; ``undo`` gets the way back for each that was changed.

    Those no longer wanted are left running: the caller closes them when nobody uses them any more.
    """
    found: PlanesInUse = {}
    for made_from in wanted:
        before = present.get(made_from.setup.id)
        if before is not None and before.made_from == made_from:
            found[made_from.setup.id] = before
            continue
        plane, way_back = await _changed(before, made_from, clock, steering, descriptors)
        undo.push_async_callback(way_back)
        found[made_from.setup.id] = PlaneInUse(made_from=made_from, plane=plane)
    return found


async def _changed(
    before: PlaneInUse | None, made_from: MadeFrom, clock: Clock, steering: Steering | None, descriptors: Descriptors
) -> tuple[Enactor, WayBack]:
    """An enactor for this setup, and how to take that back.

    The embedded DNS is changed in place, so that it answers all the time. What listens for HAProxy's agent checks is
    closed first, for the new one may want its port: HAProxy keeps what it was told while nobody answers.
    """
    setup, topology = made_from.setup, made_from.topology
    old = before.plane if before is not None else None
    if before is not None and isinstance(old, EmbeddedDns) and isinstance(setup, EmbeddedDnsSetup):
        dns, was = old, before.made_from

        async def serve_as_before() -> None:
            assert isinstance(was.setup, EmbeddedDnsSetup)
            await change_zone(dns, was.setup, was.topology)

        try:
            await change_zone(dns, setup, topology)
        except BaseException:
            await serve_as_before()
            raise
        return dns, serve_as_before
    agent = old if isinstance(old, AgentCheckEnactor) else None
    if agent is not None:
        await agent.close()
    try:
        plane = await make_plane(setup, topology, clock, steering, descriptors)
    except BaseException:
        if agent is not None:
            await agent.start()
        raise

    async def close_again() -> None:
        await plane.close()
        if agent is not None:
            await agent.start()

    return plane, close_again
