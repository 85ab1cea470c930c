"""The factors of the sweep, and a world of it: one fault or a pair, and a value of every factor.

The id of a world says all of it, in the order of `FACTORS`, so that it can be read, typed and run again:
``cap70-pangyo-load95-standby-page-dns-metered-once-1node``, or, of a pair, ``crash-pangyo+hang-gasan-load60-…``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from siteshift.core.model.units import SiteId
from siteshift.sim.scenario.document import Value

SITES = ("pangyo", "gasan", "anyang")
EVERYWHERE = "everywhere"
CALM_S, LASTS_S, APART_S = 60, 120, 10
"""A fault strikes after so long and heals after so long; the second one of a pair strikes, and heals, so much later."""
OBJECTIVE_S, USUAL_S = 0.5, 0.01
"""The latency objective, and how long an answer takes without a fault."""

FACTORS: Mapping[str, tuple[str, ...]] = {
    "load": ("load60", "load95"),
    "standby": ("standby", "bare"),
    "page": ("page", "nopage"),
    "entry": ("dns", "balancer", "both"),
    "meter": ("metered", "unmetered"),
    "clients": ("once", "retries"),
    "nodes": ("1node", "3nodes"),
}
"""What a world may be like besides its fault and the site that it strikes.

``load``     how full every site is in calm, in per cent of its active capacity
``standby``  whether Gasan and Anyang have standbys for another 20 % of the demand each
``page``     whether a sorry page answers what is shed
``entry``    DNS, a balancer before all sites, or DNS and a balancer in each
``meter``    whether requests are counted
``clients``  whether users try again: three times, without a budget
"""

FULL_PM = {"load60": 600, "load95": 950}
"""How full each site is in calm."""

FAULTS: Mapping[str, Mapping[str, Value]] = {
    "crash": {"fault": "crash"},
    "hang": {"fault": "hang"},
    "errors30": {"fault": "errors", "rate_percent": 30},
    "errors5": {"fault": "errors", "rate_percent": 5},
    "latency120": {"fault": "latency", "add_s": 1.2 * OBJECTIVE_S - USUAL_S},
    "latency500": {"fault": "latency", "add_s": 5 * OBJECTIVE_S - USUAL_S},
    "cap30": {"fault": "cap_cut", "factor_percent": 30},
    "cap50": {"fault": "cap_cut", "factor_percent": 50},
    "cap70": {"fault": "cap_cut", "factor_percent": 70},
    "cap90": {"fault": "cap_cut", "factor_percent": 90},
    "checks_one": {"fault": "check_fails"},
    "checks_several": {"fault": "check_fails"},
    "checks_all": {"fault": "check_fails"},
}
"""What may strike. ``latency120``: answers take 120 % of the objective; ``cap70``: capacity falls to 70 %; ``checks_several``:
the checks of the site and, `APART_S` later, of the next one break while users are served well; ``checks_all``: of all at once."""
MUTE = frozenset({"checks_one", "checks_several", "checks_all"})
"""Faults of checks, that no user notices."""


def places_of(kind: str) -> tuple[str, ...]:
    """Where a fault may strike."""
    return (EVERYWHERE,) if kind == "checks_all" else SITES


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault at one place."""

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.place}"

    def sites(self) -> tuple[SiteId, ...]:
        """The sites struck, in this order."""
        if self.place == EVERYWHERE:
            return tuple(SiteId(site) for site in SITES)
        if self.kind == "checks_several":
            return (SiteId(self.place), SiteId(SITES[(SITES.index(self.place) + 1) % len(SITES)]))
        return (SiteId(self.place),)

    def events(self, at_s: int) -> Iterator[dict[str, Value]]:
        """The events of the scenario."""
        for number, site in enumerate(self.sites()):
            begins_s = at_s + (number * APART_S if self.kind == "checks_several" else 0)
            named = f"{self.kind} at {site} from {begins_s} s"
            yield {"at_s": begins_s, **FAULTS[self.kind], "site": site, "until_s": begins_s + LASTS_S, "name": named}


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One world of the sweep. ``values``: one of every factor, in the order of `FACTORS`."""

    strikes: tuple[Strike, ...]
    values: tuple[str, ...] = field(default_factory=lambda: tuple(choices[0] for choices in FACTORS.values()))

    @property
    def id(self) -> str:
        return "-".join(["+".join(str(strike) for strike in self.strikes), *self.values])

    @property
    def fault(self) -> str:
        """The kind of fault that it is counted under: all pairs are one."""
        return self.strikes[0].kind if len(self.strikes) == 1 else "pair"

    def value(self, factor: str) -> str:
        return self.values[list(FACTORS).index(factor)]

    def struck(self) -> tuple[SiteId, ...]:
        """Every site that something strikes, once."""
        return tuple(dict.fromkeys(site for strike in self.strikes for site in strike.sites()))

    def harmed(self) -> tuple[SiteId, ...]:
        """The sites at which users notice it."""
        return tuple(dict.fromkeys(site for strike in self.strikes if strike.kind not in MUTE for site in strike.sites()))

    def events(self) -> list[dict[str, Value]]:
        """All of them in order of time."""
        found = [e for number, strike in enumerate(self.strikes) for e in strike.events(CALM_S + number * APART_S)]
        return sorted(found, key=_at_s)


def _at_s(event: Mapping[str, Value]) -> float:
    at_s = event["at_s"]
    assert isinstance(at_s, int | float)
    return at_s


EXAMPLE = "crash-pangyo+cap70-gasan-load95-standby-page-dns-metered-once-1node"
"""A whole id, of a pair."""


def combination_of(id: str) -> Combination:
    """The world of an id. Raises ValueError saying what is not known."""
    words = id.split("-")
    count = len(FACTORS)
    faults, values = "-".join(words[:-count]), tuple(words[-count:])
    is_whole = len(words) >= count + 2
    known = sum(value in choices for value, choices in zip(values, FACTORS.values(), strict=False))
    if not is_whole or known < count - 1:  # with one that is wrong the message is about that one
        raise ValueError(f"`{id}` is no id: faults and their sites, then a value of {', '.join(FACTORS)}, as in {EXAMPLE}")
    for (factor, choices), value in zip(FACTORS.items(), values, strict=False):
        if value not in choices:
            raise ValueError(f"`{value}` is no value of {factor}: {', '.join(choices)}")
    strikes = []
    for part in faults.split("+"):
        kind, _, place = part.partition("-")
        if kind not in FAULTS:
            raise ValueError(f"there is no fault `{kind}`: {', '.join(FAULTS)}")
        if not place:
            raise ValueError(f"`{part}` does not say where: each fault of a pair has its own site, as in {EXAMPLE}")
        if place not in places_of(kind):
            raise ValueError(f"{kind} strikes at {', '.join(places_of(kind))}, not at `{place}`")
        strikes.append(Strike(kind=kind, place=place))
    return Combination(strikes=tuple(strikes), values=values)


def single_combinations() -> Iterator[Combination]:
    """Every fault at every place in every kind of world."""
    for kind in FAULTS:
        for place in places_of(kind):
            for values in product(*FACTORS.values()):
                yield Combination(strikes=(Strike(kind=kind, place=place),), values=values)
