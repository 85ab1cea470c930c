"""The scenario of a combination: what a file in simulations/ would say."""

from __future__ import annotations

import yaml

from siteshift.sim.scenario.document import Value
from siteshift.sim.scenario.scenario import Scenario, scenario_of
from siteshift.sim.sweep.factors import APART_S, CALM_S, FULL_PM, LASTS_S, Combination

WARM_UP_S = 30
AFTER_S = 180
"""So long after the last heal a run ends: with `POLICY` a site that relapsed once is back by then, caches and all."""
POLICY: dict[str, Value] = {
    "hold_down_s": 30,
    "hold_down_max_s": 60,
    "soak_s": 5,
    "velocity_window_s": 60,
}
"""As shipped but for what takes long: hold-down 300 s (up to an hour), soak 30 s, velocity 50 % in 10 min."""
PATIENCE_S = 4
"""Users wait so long, more than five times the objective: an answer that is slow is late, and not lost."""
ENTRIES = {"dns": "dns", "balancer": "balancer", "both": "dns_and_balancer"}


def scenario_text(one: Combination) -> str:
    """The file."""
    values: dict[str, Value] = {
        "id": one.id,
        "title": " and ".join(str(strike) for strike in one.strikes).replace("-", " at "),
        "source": f"siteshift sim sweep --only {one.id}",
        "happened": f"In a world of {', '.join(one.values)}.",
        "lesson": "Never worse than nothing done; and healed, the world is as it was.",
        "world": _world(one),
        "policy": POLICY,
        "lasts_s": CALM_S + LASTS_S + AFTER_S + (APART_S if len(one.events()) > 1 else 0),
        "warm_up_s": WARM_UP_S,
        "events": [*one.events()],
        "pass": [],
    }
    return str(yaml.safe_dump(values, sort_keys=False, width=120))


def scenario(one: Combination) -> Scenario:
    """Ready to run."""
    return scenario_of(scenario_text(one), f"{one.id}.yaml")


def _world(one: Combination) -> dict[str, Value]:
    users: dict[str, Value] = {"deadline_s": PATIENCE_S, "try_s": PATIENCE_S}
    if one.value("clients") == "retries":
        users["retries"] = 3
    world: dict[str, Value] = {
        "demand_rps": 1_000,
        "load_percent": FULL_PM[one.value("load")] // 10,
        "standbys": 2 if one.value("standby") == "standby" else 0,
        "entry": ENTRIES[one.value("entry")],
        "nodes": int(one.value("nodes")[0]),
        "users": users,
    }
    if one.value("page") == "page":
        world["sorry_page"] = ["web"]
    if one.value("meter") == "unmetered":
        world["unmetered"] = ["web"]
    return world
