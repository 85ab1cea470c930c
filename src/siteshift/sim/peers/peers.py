"""What a user would pick instead of siteshift, each at its documented defaults, in the same world with the same faults.

Peers stand behind the kind of entry they are made for: HAProxy as one layer of load balancers in front of all sites, the DNS
products behind DNS, the operator behind what the scenario has. Their own parts never fail. Each is run as a skilled operator
would run it: with a balancer in each site that takes dead servers out, and standbys that an alert starts.

The baseline `NOTHING` is made the same way and is none of them: nobody moves anything, nothing is cold-started, DNS and balancers
stay as configured. It meets the faults of those, too; but no clean-up deletes a plan that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from siteshift.sim.faults.acts import Ask, TimedEvent
from siteshift.sim.faults.control import PlaneEdit, PlaneTrouble
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.delivery import OF_THE_WORLD, behind_balancer, behind_dns, by_hand, events_without_us
from siteshift.sim.peers.dns import HABITS, DnsChecks
from siteshift.sim.peers.haproxy import HaproxyChecks
from siteshift.sim.peers.operator import ByHand
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import Pilot, simulate
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.world.spec import WorldSpec
from siteshift.sim.world.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One model: the world it stands in, how it is made from what people ask for, and the faults it meets there."""

    name: str
    world: Callable[[WorldSpec], WorldSpec]
    make: Callable[[Sequence[TimedEvent]], Pilot]
    meets: tuple[type, ...] = OF_THE_WORLD


class NobodyActs:
    """The pilot that moves nothing, whatever happens and whoever asks."""

    def __init__(self, asks: Sequence[TimedEvent]) -> None:
        del asks

    def start(self, world: World, witness: Witness) -> None:
        """See `simulation.Pilot`: nothing to start."""


def _without_nodes(spec: WorldSpec) -> WorldSpec:
    return replace(spec, nodes=())


PEERS: tuple[Peer, ...] = (
    Peer(name="haproxy", world=behind_balancer, make=HaproxyChecks),
    *(Peer(name=habits.name, world=behind_dns, make=partial(DnsChecks, habits)) for habits in HABITS),
    Peer(name="by-hand", world=by_hand, make=ByHand),
)

NOTHING = Peer(name="nothing-done", world=_without_nodes, make=NobodyActs, meets=(*OF_THE_WORLD, PlaneTrouble, PlaneEdit))


def run_peer(peer: Peer, scenario: Scenario, *, seed: int) -> Record:
    """The scenario with this peer in our place."""
    asks = [event for event in scenario.events if isinstance(event.act, Ask)]
    return simulate(
        peer.world(scenario.world),
        scenario.policy,
        events_without_us(scenario.events, peer.meets),
        seed=seed,
        duration_ms=scenario.duration_ms,
        warm_up_ms=scenario.warm_up_ms,
        pilots=(peer.make(asks),),
    )
