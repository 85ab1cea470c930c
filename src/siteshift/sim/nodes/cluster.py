"""The nodes of a world, for whoever needs a node itself: faults that befall it, people who ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siteshift.core.model.policy import Policy
from siteshift.core.model.units import VantageId
from siteshift.sim.nodes.node import Node
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.world.world import World

LEADER = "leader"
"""Stands for the node that leads, wherever nodes are named."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes with the world they are in."""

    world: World
    nodes: Sequence[Node]

    def named(self, names: Sequence[str]) -> list[Node]:
        """Nodes by id, in order; `LEADER` is whoever leads, if anybody; no names: all. Raises KeyError for an unknown one."""
        if not names:
            return list(self.nodes)
        by_id = {str(node.id): node for node in self.nodes}
        ids = [self.world.leader() if name == LEADER else name for name in names]
        return [by_id[name] for name in ids if name is not None]


def cluster_in(world: World, policy: Policy, witness: Witness, *, probe_one_by_one: Sequence[VantageId] = ()) -> Cluster:
    """The nodes of the world's specification, put into it and not yet started. Those in ``probe_one_by_one`` never rest."""
    nodes: list[Node] = []
    for spec in world.spec.nodes:
        nodes.append(Node(spec, world, policy, witness, among=nodes, may_rest=spec.id not in probe_one_by_one))
    world.nodes += nodes
    return Cluster(world, nodes)
