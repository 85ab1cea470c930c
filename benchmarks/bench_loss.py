"""Requests lost per fault, side by side: siteshift beside HAProxy against HAProxy's own checks (`make bench-loss`).

The lab's HAProxy form: three sites (shares 50/30/20), 300 requests a second, a fault at the biggest site, no client
retries. Standbys run and wait in HAProxy for the node (and join by a rule in ``tuned_wide``). Figures are requests
lost in seconds of the failed site's traffic; every column is a run of its own.
``--faults`` and ``--watchers`` choose, ``--seconds`` is the length of the fault, ``--namespaces`` puts each site into
a network namespace (needed for the black hole).
"""

from __future__ import annotations

import argparse
import asyncio
import json

from siteshift.lab.balancer import Balancer, Standby, Watcher
from siteshift.lab.comparison import Loss, lose
from siteshift.lab.faults import BlackHole, parse_fault
from siteshift.lab.ground import Loopback, Namespaces

FAULTS = (
    "crash",
    "hang",
    "black_hole",
    "errors:300",
    "errors:50",
    "latency:1500",
    "probe_lie",
    "member_flap",
    "health_page_broken@everywhere",
)
WATCHERS = (Watcher.NODE, Watcher.DEFAULTS, Watcher.TUNED, Watcher.TUNED_WIDE)


async def compare(faults: list[str], watchers: list[Watcher], *, seconds: float, form: str) -> list[tuple[str, Loss]]:
    """Run every fault under every watch, one after the other."""
    found = []
    for name in faults:
        fault = parse_fault(name, site="pangyo", member="p1")
        ground = Namespaces if form == "namespaces" or isinstance(fault, BlackHole) else Loopback
        for watcher in watchers:
            standby = Standby.WARM if watcher is Watcher.NODE else Standby.COLD
            loss = await lose(fault, Balancer(watcher=watcher, standby=standby), fault_s=seconds, ground=ground)
            found.append((name, loss))
            print(f"{name:32} {watcher:12} lost {loss.lost_s:6.1f} s   {loss.lost:6} requests   {loss.reasons}", flush=True)
    return found


def main() -> None:
    """Parse, run, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--watchers", default=",".join(WATCHERS))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--namespaces", action="store_true")
    options = parser.parse_args()
    faults, watchers = options.faults.split(","), [Watcher(name) for name in options.watchers.split(",")]
    form = "namespaces" if options.namespaces else "loopback"
    found = asyncio.run(compare(faults, watchers, seconds=options.seconds, form=form))
    print(f"\nlost, in seconds of the failed site's traffic (fault of {options.seconds:g} s)")
    print(f"{'fault':32}" + "".join(f"{watcher:>14}" for watcher in watchers))
    table: dict[str, dict[str, float]] = {}
    for name, loss in found:
        table.setdefault(name, {})[loss.watcher.value] = loss.lost_s
    for name, row in table.items():
        print(f"{name:32}" + "".join(f"{row[watcher]:14.1f}" for watcher in watchers))
    print(json.dumps({"bench": "loss", "seconds": options.seconds, "form": form, "lost_s": table}))


if __name__ == "__main__":
    main()
