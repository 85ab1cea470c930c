"""Half an hour of healthy but noisy traffic in the lab: siteshift must not move anything (`make soak`).

Noise as it is: 0.1 % of all requests fail, every member pauses for a second now and then, some answers are slow. Real
processes, real sockets, one-second probes. Printed are the moves (there must be none), what was suspected meanwhile,
and what users lost. Exit 1 when anything moved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from itertools import pairwise

from siteshift.lab.node_client import NodeClient
from siteshift.lab.recording import Recording
from siteshift.lab.shape import LabShape
from siteshift.lab.spec import NoiseSpec
from siteshift.lab.world import Lab

NOISE = NoiseSpec(error_pm=1, pause_every_s=300, pause_ms=1_000, spike_pm=2, spike_ms=700)
"""Pauses six times as often as the noise model of `make bench-judge` has them."""


async def soak(minutes: float) -> dict[str, int]:
    """Run, and count."""
    async with Lab(LabShape(noise=NOISE)) as lab:
        await lab.start_node()
        await lab.start_clients()
        async with NodeClient(lab.api_socket) as node, Recording(lab) as recording:
            await node.until_fresh(deadline_s=30)
            for minute in range(1, math.ceil(minutes) + 1):
                await asyncio.sleep(60 * min(1.0, minutes - minute + 1))
                print(f"minute {minute}: {count(recording)}", flush=True)
            lab.timeline.refresh()
            bins = lab.timeline.bins
            found = count(recording)
            found["offered"] = sum(entry.offered for entry in bins)
            found["lost"] = sum(entry.lost for entry in bins)
            found["generation"] = int((await node.status())["generation"])
            return found


def count(recording: Recording) -> dict[str, int]:
    """Moves (desired shares that changed), and suspicions of a whole site."""
    shares = [dict(entry.shares_bp) for entry in recording.desired]
    moves = sum(before != after for before, after in pairwise(shares))
    return {"moves": moves, "suspicions": sum(event.kind == "suspicion" for event in recording.events)}


def main() -> None:
    """Parse, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    found = asyncio.run(soak(options.minutes))
    print(f"{found['moves']} moves in {options.minutes:g} minutes; {found['lost']} of {found['offered']} requests lost")
    print(json.dumps({"bench": "soak_noise", "minutes": options.minutes, **found}))
    sys.exit(1 if found["moves"] else 0)


if __name__ == "__main__":
    main()
