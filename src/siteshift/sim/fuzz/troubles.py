"""The kinds of trouble a drawn world may have: each draws one timed event, with what it strikes and how hard."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from siteshift.sim.scenario.document import Value

Entry = dict[str, Value]
SITES = ("pangyo", "gasan", "anyang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What may be named in a drawn world."""

    services: tuple[str, ...]
    nodes: tuple[str, ...]
    planes: tuple[str, ...]
    members: int
    standbys: int

    @property
    def has_store(self) -> bool:
        return len(self.nodes) > 1


Draw = Callable[[random.Random, Shape], Entry]


def _at_members(kind: str, **more: Callable[[random.Random], Value]) -> Draw:
    def draw(lots: random.Random, shape: Shape) -> Entry:
        found: Entry = {"fault": kind, "site": lots.choice(SITES)}
        if len(shape.services) > 1 and lots.random() < 0.5:
            found["service"] = lots.choice(shape.services)
        if lots.random() < 0.4:
            found["fraction"] = lots.choice((0.25, 0.5, 0.75))
        return {**found, **{key: value(lots) for key, value in more.items()}}

    return draw


def _of(*values: Value) -> Callable[[random.Random], Value]:
    return lambda lots: lots.choice(values)


def _everywhere(lots: random.Random, shape: Shape) -> Entry:
    """The same service is gone at every site at once."""
    return {"fault": "dep_down", "names": [lots.choice(shape.services)]}


def _link(lots: random.Random, shape: Shape) -> tuple[str, str]:
    places = (*SITES, "users", "anchors", "outside")
    one = lots.choice(SITES)
    del shape
    return one, lots.choice([place for place in places if place != one])


def _partition(lots: random.Random, shape: Shape) -> Entry:
    one, other = _link(lots, shape)
    return {"fault": "partition", "sides": [[one], [other]], "way": lots.choice(("both", "both", "one"))}


def _island(lots: random.Random, shape: Shape) -> Entry:
    """A site is cut from everything."""
    del shape
    site = lots.choice(SITES)
    rest: list[Value] = [place for place in (*SITES, "users", "anchors", "outside") if place != site]
    return {"fault": "partition", "sides": [[site], rest]}


def _loss(lots: random.Random, shape: Shape) -> Entry:
    one, other = _link(lots, shape)
    return {"fault": "loss", "one": one, "other": other, "loss_percent": lots.choice((5, 30, 80))}


def _nodes(kind: str) -> Draw:
    def draw(lots: random.Random, shape: Shape) -> Entry:
        return {"fault": kind, "nodes": [lots.choice(("leader", *shape.nodes))]}

    return draw


def _blind(lots: random.Random, shape: Shape) -> Entry:
    nodes: list[Value] = [lots.choice(shape.nodes)]
    return {"fault": "prober_blind", "nodes": nodes, "sees": lots.choice(("fail", "fail_only_targets", "none"))}


def _late_writer(lots: random.Random, shape: Shape) -> Entry:
    return {"fault": "plan_delay", "node": lots.choice(("leader", *shape.nodes)), "for_s": lots.choice((1, 5, 30))}


def _plane_trouble(lots: random.Random, shape: Shape) -> Entry:
    kinds = ("down", "dead", "slow", "loses_writes", "loses_answers", "refusing", "unreadable")
    found: Entry = {"fault": "plane_trouble", "plane": lots.choice(shape.planes), "how": lots.choice(kinds)}
    return {**found, "part_percent": lots.choice((30, 100, 100)), "add_s": lots.choice((1, 4))}


def _plane(kind: str) -> Draw:
    return lambda lots, shape: {"fault": kind, "plane": lots.choice(shape.planes)}


def _edit(lots: random.Random, shape: Shape) -> Entry:
    shares: Entry = {lots.choice(SITES): 100}
    return {
        "fault": "plane_edit",
        "plane": lots.choice(shape.planes),
        "service": lots.choice(shape.services),
        "shares_percent": shares,
    }


def _standby_bad(lots: random.Random, shape: Shape) -> Entry:
    del shape
    kinds = ("never_starts", "fails", "broken", "lies", "slow")
    return {"fault": "standby_bad", "site": lots.choice(("gasan", "anyang")), "how": lots.choice(kinds)}


def _store_down(lots: random.Random, shape: Shape) -> Entry:
    del shape
    return {"fault": "store_down", "members": list(lots.sample(SITES, lots.choice((1, 2, 3))))}


def _facility(lots: random.Random, shape: Shape) -> Entry:
    del shape
    return {
        "fault": "facility",
        "site": lots.choice(SITES),
        "hazard": lots.choice(("fire", "power", "thermal")),
        "lead_s": lots.choice((0, 2)),
    }


def _surge(lots: random.Random, shape: Shape) -> Entry:
    del shape
    return {"fault": "surge", "factor_percent": lots.choice((30, 60, 130, 200)), "ramp_s": lots.choice((0, 10))}


def _person(request: str) -> Draw:
    def draw(lots: random.Random, shape: Shape) -> Entry:
        asked: Entry = {"ask": request, "site": lots.choice(SITES)}
        if len(shape.services) > 1 and lots.random() < 0.5:
            asked["service"] = lots.choice(shape.services)
        return asked

    return draw


def _depool(lots: random.Random, shape: Shape) -> Entry:
    site = lots.choice(SITES)
    return {"ask": "depool", "member": f"{lots.choice(shape.services)}/{site}/{site[0]}{lots.randint(1, shape.members)}"}


def _shares(lots: random.Random, shape: Shape) -> Entry:
    wanted: tuple[Entry, ...] = (
        {"pangyo": 45, "gasan": 32, "anyang": 23},
        {"pangyo": 20, "gasan": 50, "anyang": 30},
        {"pangyo": 0, "gasan": 60, "anyang": 40},
    )
    return {"ask": "shares", "service": lots.choice(shape.services), "shares_percent": lots.choice(wanted)}


def _freeze(lots: random.Random, shape: Shape) -> Entry:
    return {"ask": "freeze", "service": lots.choice(shape.services)}


def _mode(lots: random.Random, shape: Shape) -> Entry:
    return {"ask": "mode", "service": lots.choice(shape.services), "mode": lots.choice(("observe", "recommend", "auto"))}


def _switch(lots: random.Random, shape: Shape) -> Entry:
    del shape
    return {"ask": lots.choice(("switch_off", "switch_off", "switch_on"))}


KINDS: Mapping[str, Draw] = {
    "crash": _at_members("crash", how=_of("refused", "refused", "silent")),
    "hang": _at_members("hang"),
    "latency": _at_members("latency", add_s=_of(0.6, 3)),
    "errors": _at_members("errors", rate_percent=_of(5, 30, 100), are_fast=_of(True, False)),
    "probe_lie": _at_members("probe_lie"),
    "check_fails": _at_members("check_fails"),
    "cap_cut": _at_members("cap_cut", factor_percent=_of(30, 70)),
    "flap": _at_members("flap", down_s=_of(2, 10), up_s=_of(5, 20)),
    "facility": _facility,
    "everywhere": _everywhere,
    "partition": _partition,
    "island": _island,
    "loss": _loss,
    "surge": _surge,
    "blind": _blind,
    "kill": _nodes("ctl_kill"),
    "pause": _nodes("ctl_pause"),
    "late_writer": _late_writer,
    "plane_trouble": _plane_trouble,
    "forget": _plane("plane_forget"),
    "gc_race": _plane("gc_race"),
    "edit": _edit,
    "standby_bad": _standby_bad,
    "store_down": _store_down,
    "drain": _person("drain"),
    "undrain": _person("undrain"),
    "depool": _depool,
    "shares": _shares,
    "freeze": _freeze,
    "mode": _mode,
    "switch": _switch,
}
"""Every kind of trouble that may exist in a world."""
NEEDS_STORE = frozenset({"store_down"})
