"""The `world:` of a scenario: the standard three sites, and what differs from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from siteshift.core.model.codes import DataKind
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import ServiceId
from siteshift.sim.scenario.document import ScenarioDocument, ScenarioProblemCode, Spot, Value
from siteshift.sim.scenario.fields import FieldKey, Names, keys_of, read_fields
from siteshift.sim.world.spec import DAILY_CURVE_PM, ClientSpec, Entry, LoadSpec, NoiseSpec, ServerSpec, StoreSpec, WorldSpec
from siteshift.sim.world.worlds import standard_world

HOUR_MS = 3_600_000
SORRY_ANSWERS = ("192.0.2.200",)
"""Where shed users are sent: a page outside every site that says so (documentation addresses, RFC 5737)."""


class Curve(StrEnum):
    """How demand goes over time."""

    CONSTANT = "constant"
    DAILY = "daily"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPart:
    """What a file says of its world.

    ``services`` have tiers 1, 2, … in order; each asks for ``demand_rps`` at its peak. ``writable`` names those with data
    roles, ``sorry_page`` those that have an answer for what is shed, ``depends_on`` what a service needs at its own site.
    ``capacity_pm`` scales every capacity of the standard world; ``standbys`` members share a site's standby capacity.
    With ``load_pm`` active capacities follow the shares instead: at the peak every site is so full.
    Nobody measures the traffic of ``unmetered`` services.
    One node, as it is shipped, stands at Anyang; of three one stands in each site, with a member of the store.
    With the daily ``curve`` the scenario's zero is ``starts_at_h`` o'clock.
    """

    services: tuple[str, ...] = ("web",)
    writable: tuple[str, ...] = ()
    sorry_page: tuple[str, ...] = ()
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    demand_rps: int = 300
    nodes: int = 1
    members: int = 4
    standbys: int = 2
    capacity_pm: int = 1_000
    load_pm: int = 0
    unmetered: tuple[str, ...] = ()
    entry: Entry = Entry.DNS_AND_BALANCER
    cold_start_ms: int = 15_000
    curve: Curve = Curve.CONSTANT
    starts_at_h: int = 0


WORLD_KEYS = keys_of(WorldPart)
USER_KEYS = keys_of(ClientSpec)
SERVER_KEYS = keys_of(ServerSpec)
NOISE_KEYS = keys_of(NoiseSpec)
STORE_KEYS = {key: entry for key, entry in keys_of(StoreSpec).items() if key != "sites"}
SECTIONS: dict[str, Mapping[str, FieldKey]] = {
    "users": USER_KEYS,
    "servers": SERVER_KEYS,
    "noise": NOISE_KEYS,
    "store": STORE_KEYS,
}
NOTHING = Names(known={})
_LIMITS = {
    "nodes": (1, 3),
    "members": (1, 50),
    "standbys": (0, 10),
    "capacity_pm": (100, 10_000),
    "load_pm": (50, 2_000),
    "demand_rps": (1, 100_000),
    "starts_at_h": (0, 23),
}


OF_ANY_WORLD = ("cold_start_ms", "curve", "starts_at_h")
"""What a file may say of a world that was given, besides the sections: the rest is that world's own."""


def read_world(document: ScenarioDocument, value: Value, spot: Spot, given_world: WorldSpec | None = None) -> WorldSpec:
    """Read a `world:` section; problems are noted in the document and the standard world stands in.

    With a world that is given the section changes its users, servers, noise, standbys and the course of its demand.
    """
    section = _mapping(document, value, spot)
    plain = {key: entry for key, entry in section.items() if key not in SECTIONS}
    given = read_fields(document, plain, spot, WORLD_KEYS, NOTHING, what="a world")
    if given_world is not None:
        for name in [name for name in given if name not in OF_ANY_WORLD]:
            key = next(key.key for key in WORLD_KEYS.values() if key.field == name)
            document.note(ScenarioProblemCode.DOES_NOT_FIT, (*spot, key), f"`{key}` comes from the configuration", "leave it out")
            del given[name]
    for name, (least, most) in _LIMITS.items():
        if name in given and not least <= given[name] <= most:
            message = f"must be between {least} and {most}"
            document.note(ScenarioProblemCode.OUT_OF_RANGE, (*spot, name), message)
            del given[name]
    if given_world is None:
        _check_services(document, given, spot)
    parts = {
        name: read_fields(document, _mapping(document, section.get(name), (*spot, name)), (*spot, name), keys, NOTHING, what=name)
        for name, keys in SECTIONS.items()
    }
    if given_world is not None:
        return _changed(given_world, WorldPart(**given), parts)
    return _built(WorldPart(**given), parts)


def _changed(world: WorldSpec, part: WorldPart, parts: Mapping[str, Mapping[str, Any]]) -> WorldSpec:
    """A given world, with the habits and the course of demand that the file says."""
    curve = DAILY_CURVE_PM if part.curve is Curve.DAILY else (1_000,)
    services = world.topology.services
    start_ms = part.starts_at_h * HOUR_MS
    return replace(
        world,
        loads={s.id: LoadSpec(peak_rps=s.demand_rps, curve_pm=curve, start_ms=start_ms) for s in services},
        clients={s.id: ClientSpec(**parts["users"]) for s in services},
        server=replace(world.server, **parts["servers"]),
        noise=replace(world.noise, **parts["noise"]),
        standby=replace(world.standby, cold_start_ms=part.cold_start_ms),
    )


def _built(part: WorldPart, parts: Mapping[str, Mapping[str, Any]]) -> WorldSpec:
    curve = DAILY_CURVE_PM if part.curve is Curve.DAILY else (1_000,)
    world = standard_world(
        services=part.services,
        demand_rps=part.demand_rps,
        nodes=part.nodes,
        members=part.members,
        standbys=part.standbys,
        capacity_pct=part.capacity_pm // 10,
        load_pct=part.load_pm // 10,
        entry=part.entry,
        cold_start_ms=part.cold_start_ms,
        curve_pm=curve,
    )
    services = [ServiceId(name) for name in part.services]
    made = tuple(_adorned(service, part) for service in world.topology.services)
    load = LoadSpec(peak_rps=part.demand_rps, curve_pm=curve, start_ms=part.starts_at_h * HOUR_MS)
    return replace(
        world,
        topology=replace(world.topology, services=made),
        unmetered=tuple(ServiceId(name) for name in part.unmetered),
        loads=dict.fromkeys(services, load),
        clients={service: ClientSpec(**parts["users"]) for service in services},
        server=replace(world.server, **parts["servers"]),
        noise=replace(world.noise, **parts["noise"]),
        store=replace(world.store, **parts["store"]) if world.store else None,
    )


def _adorned(service: Service, part: WorldPart) -> Service:
    """The service with what the file says of it beyond the standard world."""
    return replace(
        service,
        data=DataKind.WRITABLE if service.id in part.writable else service.data,
        shed_answers=SORRY_ANSWERS if service.id in part.sorry_page else service.shed_answers,
        depends_on=tuple(ServiceId(name) for name in part.depends_on.get(service.id, ())),
    )


def _check_services(document: ScenarioDocument, given: dict[str, Any], spot: Spot) -> None:
    """Names of services that the world does not have."""
    services = given.get("services", WorldPart().services)
    for key in ("writable", "sorry_page", "unmetered", "depends_on"):
        said = given.get(key, ())
        needed = [name for names in said.values() for name in names] if isinstance(said, dict) else []
        for name in [*said, *needed]:
            if name not in services:
                message = f"there is no service `{name}`"
                remedy = f"`services` has {', '.join(services)}"
                document.note(ScenarioProblemCode.UNKNOWN_NAME, (*spot, key), message, remedy)
                given.pop(key, None)


def names_of(world: WorldSpec) -> Names:
    """Every name that a scenario in this world may use."""
    topology: Topology = world.topology
    return Names(
        known={
            "site": frozenset(topology.site_ids),
            "service": frozenset(topology.service_by_id),
            "member": frozenset(topology.members),
            "node": frozenset(node.id for node in world.nodes),
            "data plane": frozenset(plane.id for plane in world.planes),
        }
    )


def _mapping(document: ScenarioDocument, value: Value, spot: Spot) -> dict[str, Value]:
    if value is None or isinstance(value, dict):
        return value or {}
    document.note(ScenarioProblemCode.WRONG_TYPE, spot, "must hold keys and values")
    return {}
