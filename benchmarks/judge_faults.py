"""What `bench_judge` judges: three sites with one service, and the faults its members can have."""

from __future__ import annotations

import random
from collections.abc import Callable

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId

SITES = (SiteId("pangyo"), SiteId("gasan"), SiteId("anyang"))
SERVICE = ServiceId("web")
TIMEOUT_MS = 800
FaultModel = Callable[[random.Random], tuple[Outcome, Fault, int]]
"""Draws outcome, fault and latency (ms) of one check of a faulty member."""


def topology(members: int, vantages: int) -> Topology:
    """Three sites, one service, ``members`` each."""
    pools = tuple(
        Pool(
            service=SERVICE,
            site=site,
            nominal_bp=3_333,
            members=tuple(
                Member(
                    id=MemberId(f"{SERVICE}/{site}/m{i}"),
                    service=SERVICE,
                    site=site,
                    name=f"m{i}",
                    address="127.0.0.1",
                    port=8_000 + i,
                    capacity_rps=100,
                )
                for i in range(members)
            ),
        )
        for site in SITES
    )
    service = Service(id=SERVICE, names=("web.example",), tier=1, demand_rps=100, pools=pools)
    names = tuple((VantageId(f"v{i}"), SITES[i]) for i in range(vantages)) if vantages > 1 else ()
    return Topology(sites=tuple(Site(id=site) for site in SITES), services=(service,), vantages=names)


def errors(rate: float) -> FaultModel:
    """A share of checks answers 503."""

    def draw(rng: random.Random) -> tuple[Outcome, Fault, int]:
        return (Outcome.FAIL, Fault.BAD_STATUS, 10) if rng.random() < rate else (Outcome.PASS, Fault.NONE, 10)

    return draw


FAULTS: dict[str, FaultModel] = {
    "crash": lambda _: (Outcome.FAIL, Fault.REFUSED, 1),
    "hang": lambda _: (Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS),
    "errors30": errors(0.30),
    "errors10": errors(0.10),
    "errors5": errors(0.05),
    "errors2": errors(0.02),
    "latency": lambda _: (Outcome.PASS, Fault.NONE, 600),
}
FAILING_RATE = {"crash": 1.0, "hang": 1.0, "errors30": 0.3, "errors10": 0.1, "errors5": 0.05, "errors2": 0.02}
