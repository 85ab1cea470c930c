"""Healthy but noisy traffic in the lab: siteshift must not move anything (`make soak`).

Two forms, both of real processes, real sockets and one-second probes. Without ``--haproxy``: half an hour behind the
embedded DNS, 0.1 % of all requests fail, every member pauses for a second now and then, some answers are slow. With it:
real HAProxy in front of all sites, and noise that is harsher and still harmless: 0.1 % errors, 2 % of answers 0.4 s late,
every 3 s one pool stands still for 1 s. ``--turns N`` runs siteshift and nothing done (the same HAProxy and its checks, no
node) in turn, with one seed for each pair. Printed are site moves, member moves, suspicions and what users lost
(failed + late/2). Exit 1 when a site moved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
from collections.abc import Mapping
from itertools import pairwise

from siteshift.lab.balancer import Balancer
from siteshift.lab.children import ChildFailed
from siteshift.lab.node_client import NodeClient, NodeSilent
from siteshift.lab.recording import Recording
from siteshift.lab.shape import LabShape
from siteshift.lab.spec import NoiseSpec
from siteshift.lab.timeline import totals
from siteshift.lab.world import Lab

NOISE = NoiseSpec(error_pm=1, pause_every_s=300, pause_ms=1_000, spike_pm=2, spike_ms=700)
"""Pauses six times as often as the noise model of `make bench-judge` has them."""
HARSH = NoiseSpec(error_pm=1, spike_pm=20, spike_ms=400, stall_every_s=3, stall_ms=1_000)
"""What a busy collector does to a pool, and nothing that anybody should move for."""
SETTLE_S = 12.0
"""Load before the figures begin, with a node and without: it has to have measured the demand."""
LOOK_S = 0.25
LATE_WORTH = 0.5
"""A late answer is half a lost one, as in `sim/results/loss.py`."""


async def soak(minutes: float, shape: LabShape, *, with_node: bool) -> dict[str, int | float]:
    """Run, and count."""
    members = Members()
    async with Lab(shape) as lab:
        if with_node:
            await lab.start_node()  # first: what a start under load does on a starved machine is another question
        await lab.start_clients()
        async with NodeClient(lab.api_socket) as node, Recording(lab) as recording:
            if with_node:
                await node.until_fresh(deadline_s=30)
            await asyncio.sleep(SETTLE_S)
            lab.timeline.refresh()
            from_ms = recording.now_ms()
            watch = asyncio.create_task(members.watch(node) if with_node else asyncio.sleep(0), name="watch the members")
            for minute in range(1, math.ceil(minutes) + 1):
                await asyncio.sleep(60 * min(1.0, minutes - minute + 1))
                print(f"minute {minute}: {count(recording)} member moves {members.moves}", flush=True)
            watch.cancel()
            lab.timeline.refresh()
            clients = lab.children["clients"]
            if not clients.is_running:
                raise ChildFailed(f"the clients ended with {clients.process.returncode}: {clients.log_tail()}")
            bins = [entry for entry in lab.timeline.bins if entry.at_ms >= from_ms]
            found: dict[str, int | float] = {**count(recording), "member_moves": members.moves}
            found["offered"] = sum(entry.offered for entry in bins)
            found["lost"] = sum(entry.lost for entry in bins)
            found["late"] = sum(site.late for site in totals(bins).values())
            found["loss"] = found["lost"] + LATE_WORTH * found["late"]
            found["behind_ms"] = recording.now_ms() - lab.timeline.bins[-1].at_ms
            found["generation"] = int((await node.status())["generation"]) if with_node else 0
            return found


class Members:
    """Counts how often an active member was taken out, or in again, by the node's own list. Standbys come and go."""

    def __init__(self) -> None:
        self.moves = 0

    async def watch(self, node: NodeClient) -> None:
        """Look often, until cancelled. A look that fails is left out."""
        before: Mapping[str, bool] = {}
        while True:
            try:
                listed = (await node.get("/v1/members"))["members"]
            except NodeSilent:
                listed = []
            now = {str(one["member"]): int(one["weight_pm"]) > 0 for one in listed if one["role"] == "active"}
            changed = [name for name in now.keys() & before.keys() if now[name] != before[name]]
            self.moves += len(changed)
            for name in changed:
                print(f"  {name} is {'in again' if now[name] else 'taken out'}", flush=True)
            before = now or before
            await asyncio.sleep(LOOK_S)


def count(recording: Recording) -> dict[str, int]:
    """Moves (desired shares that changed), and suspicions of a whole site."""
    shares = [dict(entry.shares_bp) for entry in recording.desired]
    moves = sum(before != after for before, after in pairwise(shares))
    return {"moves": moves, "suspicions": sum(event.kind == "suspicion" for event in recording.events)}


def in_turn(turns: int, minutes: float, seed: int) -> list[dict[str, dict[str, int | float]]]:
    """Siteshift and nothing done, one after the other, with the same seed in each pair."""
    pairs = []
    for turn in range(turns):
        shape = LabShape(noise=HARSH, balancer=Balancer(), seed=seed + turn)
        pair = {
            name: asyncio.run(soak(minutes, shape, with_node=name == "siteshift")) for name in ("siteshift", "nothing")
        }
        ratio = pair["siteshift"]["loss"] / max(1.0, pair["nothing"]["loss"])
        print(f"turn {turn + 1}: {pair} loss against nothing done {ratio:.2f}", flush=True)
        pairs.append(pair)
    return pairs


def main() -> None:
    """Parse, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--haproxy", action="store_true", help="the harsher noise behind a real HAProxy, against nothing done")
    parser.add_argument("--turns", type=int, default=5, help="pairs of runs with --haproxy")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.haproxy:
        sys.exit(judge_turns(in_turn(options.turns, options.minutes, options.seed), options.minutes))
    found = asyncio.run(soak(options.minutes, LabShape(noise=NOISE, seed=options.seed), with_node=True))
    print(f"{found['moves']} moves in {options.minutes:g} minutes; {found['lost']} of {found['offered']} requests lost")
    print(json.dumps({"bench": "soak_noise", "minutes": options.minutes, **found}))
    sys.exit(1 if found["moves"] else 0)


def judge_turns(pairs: list[dict[str, dict[str, int | float]]], minutes: float) -> int:
    """Print the table and the line of JSON; 1 when a site moved."""
    print(f"\n{'':14}{'site moves':>11}{'member moves':>13}{'suspicions':>11}{'offered':>9}{'lost':>7}{'late':>7}{'loss':>9}")
    for pair in pairs:
        for name, one in pair.items():
            print(
                f"{name:14}{one['moves']:>11}{one['member_moves']:>13}{one['suspicions']:>11}"
                f"{one['offered']:>9}{one['lost']:>7}{one['late']:>7}{one['loss']:>9.1f}"
            )
    rates = {name: [pair[name]["loss"] / pair[name]["offered"] for pair in pairs] for name in pairs[0]}
    ratio = sum(pair["siteshift"]["loss"] for pair in pairs) / max(1.0, sum(pair["nothing"]["loss"] for pair in pairs))
    for name, found in rates.items():
        print(f"{name:14} loses {statistics.mean(found):.2%} of requests (from {min(found):.2%} to {max(found):.2%})")
    moves = sum(int(pair["siteshift"]["moves"]) for pair in pairs)
    members = sum(int(pair["siteshift"]["member_moves"]) for pair in pairs)
    print(f"{moves} site moves, {members} member moves, {ratio:.2f} times the loss of nothing done")
    print(json.dumps({"bench": "soak_noise", "minutes": minutes, "loss_against_nothing": round(ratio, 3), "turns": pairs}))
    return 1 if moves else 0


if __name__ == "__main__":
    main()
