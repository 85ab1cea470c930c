"""Draws worlds and troubles. The seed decides what the world is like, which kinds of trouble exist in it, and when each strikes.

Swarm testing (Groce et al., ISSTA 2012): a run in which half the kinds of fault cannot happen goes deeper into what is
left than one in which everything happens. A case is the text of a scenario file, so what was found can be kept, read and
replayed like any other scenario. Everything that breaks is healed when the safety phase ends; then the world has the rest
of the time to come back to nominal shares.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from siteshift.sim.fuzz.troubles import KINDS, NEEDS_STORE, SITES, Entry, Shape
from siteshift.sim.scenario.document import Value
from siteshift.sim.scenario.scenario import Scenario, scenario_of

NOMINAL_PERCENT = {"pangyo": 50, "gasan": 30, "anyang": 20}
"""The standard world's shares (`worlds`)."""
NEAR_PERCENT = 2.5
"""So near to nominal is home: the core leaves deviations of 2 % alone."""
BY_HAND_S = 120
"""From the end of a fault until the person who fails back has looked and does so."""
SAFETY_PERCENT = 60
"""The part of a run in which things break."""
FIRST_S, SHORTEST_S = 20, 2
LASTS_S = (2, 5, 12, 30, 30, 90, 90, 240, 600)
BINDING = frozenset({"drain", "depool", "shares"})
"""What people confirm: once they did, its steps are bound by an envelope."""
CONFIRMED: Entry = {"confirms": True, "approved_by": ["lee"]}
FORCED_PERCENT: tuple[Entry, ...] = (
    {"pangyo": 0, "gasan": 60, "anyang": 40},
    {"pangyo": 20, "gasan": 60, "anyang": 20},
    {"pangyo": 0, "gasan": 0, "anyang": 100},
)
"""Some of it more than a site carries: that takes the approval of others."""
LONG_S = (90, 240, 600)
DEMANDS_RPS = (1_000, 300)
"""Not less: a member's capacity is what it carries within its SLO. Of 100 requests/s one of four members carries ten, and at
the utilisation that the policy allows chance alone makes them wait for 0.9 s: so every well used site would look sick."""


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
    events = sorted(_confirmed(seed, shape, heal_s, [_event(lots, shape, chosen, heal_s) for _ in range(count)]), key=_at_s)
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
        "events": [
            *sorted((*events, *_reloads(seed, heal_s), *_by_hand(policy, events, heal_s)), key=_at_s),
            *_healing(shape, heal_s, lasts_s),
        ],
        "pass": [*_home(shape, lasts_s)],
    }
    return Case(seed=seed, values=values, heal_s=heal_s)


def _at_s(entry: Mapping[str, Value]) -> float:
    at_s = entry["at_s"]
    assert isinstance(at_s, int | float)
    return at_s


def _reloads(seed: int, heal_s: int) -> list[Entry]:
    """In a third of the worlds every node reads its unchanged file again, once or a few times.

    Lots of their own: what else a seed draws does not change with it.
    """
    lots = random.Random(f"reload/{seed}/{heal_s}")
    if lots.random() >= 1 / 3:
        return []
    return [{"at_s": lots.randrange(FIRST_S, heal_s), "reload": {}} for _ in range(lots.randint(1, 3))]


def _by_hand(policy: Entry, events: Sequence[Entry], heal_s: int) -> list[Entry]:
    """Where failback is by hand, whoever is on call does it two minutes after a fault is over: they are told who is shed."""
    if policy["failback"] != "manual":
        return []
    ends = sorted({int(end) for event in events if isinstance(end := event.get("until_s"), int | float)})
    return [{"at_s": end + BY_HAND_S, "ask": "ack", "site": site} for end in ends if end + BY_HAND_S < heal_s for site in SITES]


def _confirmed(seed: int, shape: Shape, heal_s: int, events: list[Entry]) -> list[Entry]:
    """In a third of the worlds people look before they ask and confirm what they saw, and somebody else approves it.

    There shares are forced too, once or twice, also such as take another's approval. Lots of their own, as of `_reloads`.
    """
    lots = random.Random(f"confirmed/{seed}/{heal_s}")
    if lots.random() >= 1 / 3:
        return events
    forced = [_forced(lots, shape, heal_s) for _ in range(lots.randint(1, 2))]
    return [event if event.get("ask") not in BINDING else {**event, **CONFIRMED} for event in (*events, *forced)]


def _forced(lots: random.Random, shape: Shape, heal_s: int) -> Entry:
    at_s = lots.randint(FIRST_S, heal_s // 2)
    asked: Entry = {"at_s": at_s, "ask": "shares", "service": lots.choice(shape.services)}
    lasts_s = min(lots.choice(LONG_S), heal_s - at_s)
    return {**asked, "shares_percent": lots.choice(FORCED_PERCENT), "expires_after_s": lasts_s}


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
        "demand_rps": lots.choice(DEMANDS_RPS),
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


# -- the healing ------------------------------------------------------------------------------------------------------


def _healing(shape: Shape, heal_s: int, lasts_s: int) -> list[Entry]:
    """People let go of everything; they ask more than once, for who leads may only just be known. And again later: who fails back
    by hand does so when the site is well, and one that kept what was shed needs minutes to be."""
    asked: list[Entry] = []
    step_s = max(5, (lasts_s - heal_s) // 12)
    for turn in range(6):
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
