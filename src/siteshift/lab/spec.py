"""What a lab is made of, as data: sites, members, clients and the times. Children read it from one JSON file.

The default world is the one of the design's comparison table: for 100 units of demand the sites have shares
50/30/20, active capacities 60/40/40 and a cold standby of 40 spread over the two smaller sites.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from siteshift.core.model.codes import MemberRole

SERVICE = "shop"
SERVICE_NAME = "www.shop.lab.example"
ZONE = "shop.lab.example"
FRONTS_FOR_MULTIPLICITY = 5
"""Addresses a site needs where DNS has no weights and a share follows the number of addresses (ten in all)."""
ACTIVE_MEMBERS = 4
STANDBY_MEMBERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteShape:
    """One site for 100 units of demand: its share and what it carries, in per cent of the whole demand."""

    id: str
    label: str
    nominal_bp: int
    active_pct: int
    standby_pct: int = 0


THREE_SITES = (
    SiteShape(id="pangyo", label="Pangyo", nominal_bp=5_000, active_pct=60),
    SiteShape(id="gasan", label="Gasan", nominal_bp=3_000, active_pct=40, standby_pct=20),
    SiteShape(id="anyang", label="Anyang", nominal_bp=2_000, active_pct=40, standby_pct=20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSpec:
    """One server: where it listens and what it carries."""

    name: str
    site: str
    address: str
    port: int
    capacity_rps: int
    role: MemberRole = MemberRole.ACTIVE

    @property
    def id(self) -> str:
        return f"{SERVICE}/{self.site}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSpec:
    """One site as it runs. ``answers`` are the addresses users are given; the site's own balancer listens there."""

    id: str
    label: str
    nominal_bp: int
    front: str
    hook: str
    members: tuple[MemberSpec, ...]
    more_fronts: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """The addresses that DNS gives to users of this site."""
        return (self.front, *self.more_fronts)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What lives in the site: its fronts, its page and its members. The hook stands outside."""
        return (*self.answers, self.page, *(member.address for member in self.members))

    @property
    def page(self) -> str:
        """Where the site's page of counters is: host 9 of its network."""
        return f"{self.front.rpartition('.')[0]}.9"

    def capacity_rps(self, role: MemberRole) -> int:
        return sum(member.capacity_rps for member in self.members if member.role is role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec:
    """The population.

    ``stretch_pm`` 87: 8.7 % of resolvers keep answers longer than they may (PAM 2023); they keep them at least
    ``stretch_s``. ``reuse_pm`` is how often a request goes over the user's kept connection without asking DNS.
    ``deadline_ms`` is how long a user waits; ``slo_ms`` is when a good answer counts as late.
    ``direct`` addresses (load balancers), when given, replace DNS.
    """

    load_rps: int = 300
    users: int = 2_000
    resolvers: int = 1_000
    reuse_pm: int = 500
    stretch_pm: int = 87
    stretch_s: int = 60
    deadline_ms: int = 1_000
    slo_ms: int = 500
    retries: int = 0
    path: str = "/work"
    seed: int = 1
    direct: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSpec:
    """What healthy traffic looks like: independent errors, pauses and spikes of each member. All zero: silence.

    A *stall* is a pause of a whole pool, of one site's members together (a collector, a snapshot, a lock): every
    ``stall_every_s`` one site drawn by the seed stands still for ``stall_ms``, and answers what waited when it is over.
    """

    error_pm: int = 0
    pause_every_s: int = 0
    pause_ms: int = 1_000
    spike_pm: int = 0
    spike_ms: int = 300
    stall_every_s: int = 0
    stall_ms: int = 1_000


class FrontBy(StrEnum):
    """Who listens on a site's fronts: the site's own process, or a HAProxy in the site."""

    SITE = "site"
    HAPROXY = "haproxy"


def _unix_less_monotonic_ms() -> int:
    return (time.time_ns() - time.monotonic_ns()) // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """One lab. ``queue_ms`` is how much work a member lets wait before it answers 503.

    ``balancer`` is the address of the load balancer between clients and members, in the forms that have one.
    ``clock_offset_ms`` makes one clock of all processes of the lab, also when somebody sets the machine's clock meanwhile.
    """

    sites: tuple[SiteSpec, ...]
    folder: str
    port: int
    dns: str
    dns_port: int
    anchors: tuple[str, ...] = ()
    balancer: str = ""
    front_by: FrontBy = FrontBy.SITE
    clients: ClientSpec = field(default_factory=ClientSpec)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    start_ms: int = 1_500
    queue_ms: int = 800
    seed: int = 1
    clock_offset_ms: int = field(default_factory=_unix_less_monotonic_ms)

    def site(self, site_id: str) -> SiteSpec:
        """The site of that id. Raises KeyError."""
        for site in self.sites:
            if site.id == site_id:
                return site
        raise KeyError(site_id)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def file(self) -> Path:
        return self.path / "lab.json"

    @property
    def timeline(self) -> Path:
        return self.path / "timeline.jsonl"

    def control(self, name: str) -> str:
        """The Unix socket of a site (its id) or of the clients (``clients``)."""
        return str(self.path / f"{name}.sock")

    @property
    def front_of(self) -> dict[str, str]:
        """Site by the addresses that live in it."""
        return {address: site.id for site in self.sites for address in site.addresses}

    def save(self) -> None:
        """Write the file the children read."""
        self.file.write_text(json.dumps(asdict(self), indent=1))


def load_spec(path: Path) -> LabSpec:
    """Read what `LabSpec.save` wrote."""
    raw = json.loads(path.read_text())
    sites = tuple(SiteSpec(**{**site, "members": tuple(_member(member) for member in site["members"])}) for site in raw["sites"])
    clients = ClientSpec(**{**raw["clients"], "direct": tuple(raw["clients"]["direct"])})
    noise = NoiseSpec(**raw["noise"])
    plain = {**raw, "anchors": tuple(raw["anchors"]), "front_by": FrontBy(raw["front_by"])}
    return LabSpec(**{**plain, "sites": sites, "clients": clients, "noise": noise})


def _member(raw: dict[str, str | int]) -> MemberSpec:
    return MemberSpec(
        name=str(raw["name"]),
        site=str(raw["site"]),
        address=str(raw["address"]),
        port=int(raw["port"]),
        capacity_rps=int(raw["capacity_rps"]),
        role=MemberRole(str(raw["role"])),
    )


def build_sites(shapes: tuple[SiteShape, ...], *, prefix: str, port: int, load_rps: int, fronts: int = 1) -> tuple[SiteSpec, ...]:
    """Lay the shapes out on addresses ``<prefix>.<site number>.<host>``.

    Host 1 is the front (101 and up are more of them), 5 the standby hook, 11 and up the active members, 31 and up the
    standby members.
    """
    return tuple(_site(shape, f"{prefix}.{number}", port, load_rps, fronts) for number, shape in enumerate(shapes, start=1))


def _site(shape: SiteShape, net: str, port: int, load_rps: int, fronts: int) -> SiteSpec:
    letter = shape.id[0]
    active = [
        MemberSpec(
            name=f"{letter}{number}",
            site=shape.id,
            address=f"{net}.{10 + number}",
            port=port,
            capacity_rps=max(1, round(load_rps * shape.active_pct / 100 / ACTIVE_MEMBERS)),
        )
        for number in range(1, ACTIVE_MEMBERS + 1)
    ]
    standby = [
        MemberSpec(
            name=f"{letter}s{number}",
            site=shape.id,
            address=f"{net}.{30 + number}",
            port=port,
            capacity_rps=max(1, round(load_rps * shape.standby_pct / 100 / STANDBY_MEMBERS)),
            role=MemberRole.STANDBY,
        )
        for number in range(1, STANDBY_MEMBERS + 1)
        if shape.standby_pct
    ]
    return SiteSpec(
        id=shape.id,
        label=shape.label,
        nominal_bp=shape.nominal_bp,
        front=f"{net}.1",
        hook=f"{net}.5",
        members=(*active, *standby),
        more_fronts=tuple(f"{net}.{100 + number}" for number in range(1, fronts)),
    )
