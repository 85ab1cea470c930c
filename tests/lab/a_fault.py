"""Thirty seconds in which Pangyo fails at second ten, as the clients and the node would have told it."""

from __future__ import annotations

from siteshift.lab.measure import DIAGNOSIS, SUSPICION, WRITE, CapacitySample, NodeEvent
from siteshift.lab.timeline import BIN_MS, Bin, SiteCount

FAULT_MS = 10_000


def bins(*, moved_after_s: float, lost_while_there: int = 5, spilled: int = 0) -> list[Bin]:
    """30 s at 10 requests a bin: 5/3/2, pangyo failing from second 10, its traffic gone after ``moved_after_s``."""
    found = []
    for number in range(300):
        at_ms = number * BIN_MS
        moved = at_ms >= FAULT_MS + moved_after_s * 1000
        failing = at_ms >= FAULT_MS and not moved
        sent = {"pangyo": 0, "gasan": 5, "anyang": 5} if moved else {"pangyo": 5, "gasan": 3, "anyang": 2}
        entry = Bin(at_ms=at_ms, offered=10, first_bad_ms=at_ms + 40 if failing else None)
        for site, number_sent in sent.items():
            lost = lost_while_there if site == "pangyo" and failing else spilled if site == "gasan" and moved else 0
            reasons = {"refused": lost} if lost else {}
            entry.sites[site] = SiteCount(sent=number_sent, served=number_sent - lost, lost=reasons)
        found.append(entry)
    return found


EVENTS = [
    NodeEvent(at_ms=9_000, kind=SUSPICION, text="an old one"),
    NodeEvent(at_ms=10_400, kind=SUSPICION, text="pangyo"),
    NodeEvent(at_ms=10_900, kind=DIAGNOSIS, text="SITE_DOWN"),
    NodeEvent(at_ms=10_950, kind=WRITE, text="generation 2"),
]
CAPACITIES = [
    CapacitySample(at_ms=0, rps={"pangyo": 60, "gasan": 40, "anyang": 40}),
    CapacitySample(at_ms=12_000, rps={"pangyo": 0, "gasan": 60, "anyang": 60}),
]
