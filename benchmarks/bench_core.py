"""The core: events per second at 60 targets, the cost of each kind of event, and how long one step may hold the loop.

The mix is what a node hears in a second of ordinary life: reports that say the same as before (one per vantage and
second), ticks, read-backs, traffic samples, and now and then a change. Each kind is also measured alone, and the
worst step of a whole site failure is told apart, for that is what spoils probe timing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from core.playbook import DOWN, NODE, PLANE, SUSPECT, UP, A, G, P, Playbook, pool, three_sites
from siteshift.core.controller import step
from siteshift.core.messages.events import Event, ReadBackArrived, ReportArrived, SeenTraffic, Ticked, TrafficMeasured
from siteshift.core.model.evidence import SelfCheck, VantageReport
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.topology import Service, Site, Topology
from siteshift.core.model.units import ServiceId

ROUNDS = 5


def sixty_targets() -> Setup:
    """Three sites, four services, four members a pool and standbys at two: 3 + 12 + 64 targets, 48 of them active."""
    services = tuple(
        Service(
            id=ServiceId(name),
            names=(f"{name}.example.test",),
            tier=tier,
            demand_rps=100,
            pools=(
                pool(ServiceId(name), P, 5000, 60),
                pool(ServiceId(name), G, 3000, 40, 20),
                pool(ServiceId(name), A, 2000, 40, 20),
            ),
        )
        for tier, name in enumerate(("web", "api", "chat"), start=1)
    )
    base = three_sites()
    topology = Topology(sites=(Site(id=P), Site(id=G), Site(id=A)), services=services, vantages=((NODE, G),))
    return replace(
        base,
        topology=topology,
        planes=(PlaneRef(id=PLANE, services=tuple(s.id for s in services), answers_itself=True),),
        metered=frozenset(s.id for s in services),
    )


def ready(setup: Setup) -> Playbook:
    """A node that has been serving for a while."""
    book = Playbook(setup=setup)
    book.run(20_000)
    assert not book.violations, book.violations
    return book


def mixed(book: Playbook, count: int) -> list[Event]:
    """An hour's kinds of events, squeezed: 2 same reports, 5 ticks, 2 traffic samples, 1 read-back of ten."""
    events: list[Event] = []
    now_ms = book.now_ms
    sequence = 1_000_000
    views = dict(book.beliefs)
    for i in range(count):
        now_ms += 1
        kind = i % 10
        if kind < 2:
            sequence += 1
            report = VantageReport(
                vantage=NODE,
                site=G,
                at_ms=now_ms,
                sequence=sequence,
                self_check=SelfCheck(anchors_ok=2, anchors_total=2),
                views=views,
            )
            events.append(ReportArrived(at_ms=now_ms, report=report))
        elif kind < 7:
            events.append(Ticked(at_ms=now_ms))
        elif kind < 9:
            shares = book.shares()
            seen = tuple(
                SeenTraffic(
                    service=s.id, site=site, window_ms=500, requests=s.demand_rps * shares[site] // 20_000 + i % 2, errors=0
                )
                for s in book.setup.topology.services
                for site in s.sites
            )
            events.append(TrafficMeasured(at_ms=now_ms, seen=seen))
        else:
            events.append(ReadBackArrived(at_ms=now_ms, read_back=replace(book.reading(PLANE), at_ms=now_ms)))
    return events


def rate(book: Playbook, events: list[Event]) -> tuple[float, float]:
    """Events per second, and the longest step in ms."""
    state, setup, worst = book.state, book.setup, 0
    began = time.perf_counter_ns()
    for event in events:
        at = time.perf_counter_ns()
        state = step(state, event, setup).state
        worst = max(worst, time.perf_counter_ns() - at)
    return len(events) / ((time.perf_counter_ns() - began) / 1e9), worst / 1e6


def changing(book: Playbook, count: int) -> float:
    """Microseconds of a step in which a pool's standing changes: the whole is reconciled."""
    state, now_ms, sequence = book.state, book.now_ms, 2_000_000
    took: list[int] = []
    for i in range(count):
        now_ms += 10
        sequence += 1
        views = dict(book.beliefs)
        target = book.setup.topology.pools[(ServiceId("web"), A)].target
        views[target] = SUSPECT if i % 2 else UP
        report = VantageReport(
            vantage=NODE,
            site=G,
            at_ms=now_ms,
            sequence=sequence,
            self_check=SelfCheck(anchors_ok=2, anchors_total=2),
            views=views,
        )
        at = time.perf_counter_ns()
        state = step(state, ReportArrived(at_ms=now_ms, report=report), book.setup).state
        took.append(time.perf_counter_ns() - at)
    return statistics.median(took) / 1e3


def site_failure(setup: Setup) -> float:
    """The longest step, in ms, while the biggest site dies and its traffic is taken over."""
    book = ready(setup)
    worst = 0
    feed = book.feed

    def timed(event: Event) -> None:
        nonlocal worst
        before = book.state
        at = time.perf_counter_ns()
        step(before, event, setup)
        worst = max(worst, time.perf_counter_ns() - at)
        feed(event)

    book.feed = timed  # type: ignore[method-assign]  # timed in place
    for service in setup.topology.services:
        book.believe(P, DOWN, service.id)
    book.report()
    book.run(30_000)
    return worst / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    arguments = parser.parse_args()
    setup = sixty_targets()
    book = ready(setup)
    events = mixed(book, arguments.events)
    results = [rate(book, events) for _ in range(ROUNDS)]
    per_second = statistics.median(found[0] for found in results)
    worst_mixed = statistics.median(found[1] for found in results)
    change_us = changing(book, 2_000)
    failure_ms = site_failure(setup)
    targets = len(setup.topology.targets)
    print(f"core at {targets} targets, medians of {ROUNDS} rounds of {len(events)} events")
    print(f"  ordinary mix                 {per_second:10.0f} events/s")
    print(f"  longest step of the mix      {worst_mixed:10.2f} ms")
    print(f"  a standing that changes      {change_us:10.0f} us a step (the whole is reconciled)")
    print(f"  longest step, site failure   {failure_ms:10.2f} ms")
    print(
        json.dumps(
            {
                "bench": "core",
                "targets": targets,
                "events_per_s": round(per_second),
                "longest_mixed_ms": round(worst_mixed, 2),
                "changing_step_us": round(change_us),
                "longest_failure_ms": round(failure_ms, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
