"""Draws worlds and troubles. The seed decides what the world is like, which kinds of trouble exist in it, and when each strikes.

Swarm testing (Groce et al., ISSTA 2012): a run in which half the kinds of fault cannot happen goes deeper into what is
left than one in which everything happens. A case is the text of a scenario file, so what was found can be kept, read and
replayed like any other scenario. Everything that breaks is healed when the safety phase ends; then the world has the rest
of the time to come back to nominal shares.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from siteshift.sim.scenario import Scenario, scenario_of
from siteshift.sim.scenario_document import Value

Entry = dict[str, Value]
NOMINAL_PERCENT = {"pangyo": 50, "gasan": 30, "anyang": 20}
"""The standard world's shares (`worlds`)."""
SITES = tuple(NOMINAL_PERCENT)
NEAR_PERCENT = 2.5
"""So near to nominal is home: the core leaves deviations of 2 % alone."""
SAFETY_PERCENT = 60
"""The part of a run in which things break."""
FIRST_S, SHORTEST_S = 20, 2
LASTS_S = (2, 5, 12, 30, 30, 90, 90, 240, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of the fuzz: a scenario as values, and when everything in it is healed."""

    seed: int
    values: Entry
    heal_s: int

    @property
    def name(self) -> str:
        return f"fuzz-{self.seed}"

    @property
    def events(self) -> list[Entry]:
        """The timed events, those of the healing too."""
        events = self.values["events"]
        assert isinstance(events, list)
        return [event for event in events if isinstance(event, dict)]

    def text(self) -> str:
        """The scenario file: an event a line."""
        plain = {key: value for key, value in self.values.items() if key not in ("events", "pass")}
        head = yaml.safe_dump(plain, sort_keys=False, width=120, default_flow_style=None)
        lists = "".join(
            f"{key}:{'' if entries else ' []'}\n" + "".join(f"  - {_line(entry)}\n" for entry in entries)
            for key in ("events", "pass")
            if isinstance(entries := self.values[key], list)
        )
        return f"{head}{lists}"

    def scenario(self) -> Scenario:
        """Ready to run."""
        return scenario_of(self.text(), f"{self.name}.yaml")


def _line(entry: Value) -> str:
    return str(yaml.safe_dump(entry, sort_keys=False, width=10_000, default_flow_style=True)).strip()


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


def draw_case(seed: int, *, minutes: int = 60) -> Case:
    """The case of a seed: the same for the same seed and length."""
    lots = random.Random(f"swarm/{seed}/{minutes}")
    world, shape = _world(lots)
    lasts_s = minutes * 60
    heal_s = lasts_s * SAFETY_PERCENT // 100
    policy = _policy(lots, shape, converge_s=lasts_s - heal_s)
    kinds = [kind for kind in KINDS if shape.has_store or kind not in NEEDS_STORE]
    chosen = sorted(lots.sample(kinds, lots.randint(2, 7)))
    count = lots.randint(3, 8 + minutes // 6)
    events = sorted((_event(lots, shape, chosen, heal_s) for _ in range(count)), key=_at_s)
    values: Entry = {
        "id": f"fuzz-{seed}",
        "title": f"What the fuzz drew from seed {seed}",
        "source": f"siteshift sim fuzz --seed {seed}",
        "happened": f"Kinds of trouble in this world: {', '.join(chosen)}.",
        "lesson": "No law breaks, whatever happens; and healed, the world comes back to its nominal shares.",
        "world": world,
        "policy": policy,
        "lasts_s": lasts_s,
        "warm_up_s": 20,
        "seed": seed,
        "events": [*events, *_healing(shape, heal_s, lasts_s)],
        "pass": [*_home(shape, lasts_s)],
    }
    return Case(seed=seed, values=values, heal_s=heal_s)


def _at_s(entry: Mapping[str, Value]) -> float:
    at_s = entry["at_s"]
    assert isinstance(at_s, int | float)
    return at_s


# -- the world and its policy -----------------------------------------------------------------------------------------


def _world(lots: random.Random) -> tuple[Entry, Shape]:
    nodes = lots.choice((1, 1, 2, 3, 3))
    services = lots.choice((("web",), ("web",), ("web", "login")))
    entry = lots.choice(("dns", "balancer", "dns_and_balancer"))
    members, standbys = lots.choice((2, 3, 4)), lots.choice((0, 1, 2))
    world: Entry = {
        "services": list(services),
        "nodes": nodes,
        "members": members,
        "standbys": standbys,
        "capacity_percent": lots.choice((100, 100, 120, 150, 200)),
        "demand_rps": lots.choice((100, 300)),
        "entry": entry,
        "cold_start_s": lots.choice((1, 5, 15)),
    }
    if lots.random() < 0.3:
        world["sorry_page"] = ["web"]
    if lots.random() < 0.2:
        world["unmetered"] = list(services)
    if lots.random() < 0.3:
        world["users"] = {"retries": lots.choice((1, 3)), "pin_percent": lots.choice((0, 10))}
    planes = {
        "dns": ("dns",),
        "balancer": ("lb",),
        "dns_and_balancer": ("dns", *(f"lb-{site}" for site in SITES)),
    }[entry]
    names = ("c1", "c2", "c3")[:nodes] if nodes > 1 else ("c3",)
    return world, Shape(services=services, nodes=names, planes=planes, members=members, standbys=standbys)


def _policy(lots: random.Random, shape: Shape, *, converge_s: int) -> Entry:
    """A policy under which a healed world can be home in ``converge_s``."""
    hold_s = lots.choice((10, 20, 40))
    policy: Entry = {
        "hold_down_s": hold_s,
        "hold_down_max_s": min(converge_s // 4, hold_s * lots.choice((1, 4, 16))),
        "soak_s": lots.choice((2, 5)),
        "failback": lots.choice(("ramp", "ramp", "ramp", "manual", "stay")),
        "velocity_window_s": min(120, converge_s // 4),
        "ttl_normal_s": lots.choice((10, 30)),
        "max_utilisation_percent": lots.choice((90, 90, 95)),
    }
    if lots.random() < 0.2:
        policy["min_serving_sites"] = 2
    if lots.random() < 0.2:
        policy["max_unattended_percent"] = 40
    if lots.random() < 0.25:
        policy["services"] = {lots.choice(shape.services): {"mode": lots.choice(("observe", "recommend"))}}
    return policy


# -- troubles ---------------------------------------------------------------------------------------------------------


def _event(lots: random.Random, shape: Shape, chosen: Sequence[str], heal_s: int) -> Entry:
    kind = lots.choice(chosen)
    drawn = KINDS[kind](lots, shape)
    at_s = lots.randint(FIRST_S, heal_s - 3 * SHORTEST_S)
    until_s = min(at_s + lots.choice(LASTS_S), heal_s)
    if "ask" in drawn:
        return {"at_s": at_s, **drawn, **_expiry(drawn, until_s - at_s)}
    if drawn["fault"] in ("gc_race", "plane_forget"):
        return {"at_s": at_s, **drawn}
    return {"at_s": at_s, **drawn, "until_s": max(until_s, at_s + SHORTEST_S)}


def _expiry(drawn: Entry, lasts_s: int) -> Entry:
    return {"expires_after_s": max(1, lasts_s)} if drawn["ask"] in ("drain", "depool", "shares", "freeze", "mode") else {}


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
    return {"fault": "plan_delay", "node": lots.choice(shape.nodes), "for_s": lots.choice((1, 5, 30))}


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


# -- the healing ------------------------------------------------------------------------------------------------------


def _healing(shape: Shape, heal_s: int, lasts_s: int) -> list[Entry]:
    """People let go of everything; they ask more than once, for who leads may only just be known."""
    asked: list[Entry] = []
    step_s = max(5, (lasts_s - heal_s) // 12)
    for turn in range(3):
        at_s = heal_s + 1 + turn * step_s
        asked.append({"at_s": at_s, "ask": "switch_on"})
        asked += [{"at_s": at_s, "ask": "mode", "service": service, "mode": "auto"} for service in shape.services]
        asked += [{"at_s": at_s + 1, "ask": "undrain", "site": site} for site in SITES]
        asked += [{"at_s": at_s + 2, "ask": "ack", "site": site} for site in SITES]
    return asked


def _home(shape: Shape, lasts_s: int) -> list[Entry]:
    """Nominal shares at the end, wanted and delivered."""
    return [
        {
            "share": {
                "service": service,
                "site": site,
                "of": of,
                "at_s": lasts_s - 6,
                "at_least_percent": nominal - NEAR_PERCENT,
                "at_most_percent": nominal + NEAR_PERCENT,
            }
        }
        for service in shape.services
        for site, nominal in NOMINAL_PERCENT.items()
        for of in ("desired", "actual")
    ]
