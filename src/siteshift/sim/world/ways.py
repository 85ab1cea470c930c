"""The ways of a service's requests: from users to the site where they enter, to the one that serves them, to what that needs."""

from __future__ import annotations

from siteshift.core.model.units import SiteId
from siteshift.sim.world.clients import Population
from siteshift.sim.world.link import Answers, answers, then
from siteshift.sim.world.network import Net
from siteshift.sim.world.spec import USERS


def ways_of(population: Population, net: Net) -> list[list[Answers]] | None:
    """What links do to who enters at one site and is served at another. None: nothing anywhere."""
    if net.is_whole:
        return None
    name, within_ms = population.service.id, population.spec.try_ms
    ways: list[list[Answers]] = []
    for entered in population.service.sites:
        first = users_way(population, entered, net)
        row: list[Answers] = []
        for pool in population.pools:
            on_pm = 0 if pool.pool.site == entered else net.loss_pm(f"{name}@{entered}", f"{name}@{pool.pool.site}")
            found = then(first, answers(on_pm, within_ms), within_ms)
            for loss_pm in pool.dep_losses_pm:
                found = then(found, answers(loss_pm, within_ms), within_ms)
            row.append(found)
        ways.append(row)
    return ways


def users_way(population: Population, site: SiteId, net: Net) -> Answers:
    """What the link between its users and a site does to a service. Requests over kept connections open none."""
    loss_pm = net.loss_pm(USERS, f"{population.service.id}@{site}")
    return answers(loss_pm, population.spec.try_ms, opening=1 - population.spec.reuse_pm / 1_000)
