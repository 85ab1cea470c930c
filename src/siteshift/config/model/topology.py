"""Sites, shared fate, services, pools and members."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from siteshift.config.fields import (
    DnsName,
    Identifier,
    IpAddress,
    MemberName,
    PercentBp,
    PercentPm,
    Port,
    Strict,
)
from siteshift.config.model.policy import ServicePolicySection
from siteshift.config.model.probes import ProbeEntry
from siteshift.core.model.codes import DataKind, MemberRole

Rps = Annotated[int, Field(ge=0, le=1_000_000_000)]


class SiteEntry(Strict):
    """One IDC: the failure domain that can be drained."""

    id: Identifier = Field(examples=["pangyo"])
    label: str = ""
    """The name people know it by."""
    capacity_rps: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """What the site carries for all services together (uplink, power); absent: its pools are the limit."""


class SharedFateEntry(Strict):
    """Sites or members that fail together: a campus, a substation, a peering point, a supplier."""

    id: Identifier = Field(examples=["south-campus"])
    label: str = ""
    """What they share."""
    sites: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    """As `service/site/name`."""


class SloSection(Strict):
    """What the service promises."""

    latency_ms: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """An answer slower than this counts as late; absent: no latency is promised, and no answer is late."""
    error_percent: PercentPm = 10
    """What traffic sources of kind `error_ratio` call bad, where they do not say otherwise themselves."""


class MemberEntry(Strict):
    """One server of a pool."""

    name: MemberName = Field(examples=["p1"])
    """Unique in its pool."""
    address: IpAddress = Field(examples=["192.0.2.11"])
    """An IP address: what a name means is itself something to be probed."""
    port: Port = Field(examples=[8080])
    capacity_rps: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(examples=[1500])
    """What it can carry at most; without it no move would be safe."""
    role: MemberRole = MemberRole.ACTIVE
    """`standby` gets traffic only after it was activated and found ready."""
    standby_driver: str | None = None
    """Which of `standby_drivers` activates it."""


class PoolEntry(Strict):
    """A service's servers at one site."""

    site: str = Field(examples=["pangyo"])
    nominal_percent: PercentBp = Field(examples=[50])
    """The share the site gets when all is well; those of a service make 100."""
    answers: tuple[IpAddress, ...] = ()
    """The addresses, IPv4 or IPv6, that DNS gives to users of this site."""
    members: tuple[MemberEntry, ...] = Field(examples=[[]])


class ServiceEntry(Strict):
    """What users reach by name."""

    id: Identifier = Field(examples=["web"])
    names: tuple[DnsName, ...] = ()
    """DNS names that are steered together."""
    tier: Annotated[int, Field(ge=1, le=9)] = Field(examples=[1])
    """1 is the most critical: served first when capacity is short."""
    demand_rps: Rps = Field(examples=[3000])
    """Expected at the peak. Where traffic is measured, a floor for a minute; then the highest of the last five
    minutes, less what users only tried again."""
    slo: SloSection = SloSection()
    depends_on: tuple[str, ...] = ()
    """Services that must work for this one to work."""
    data: DataKind = DataKind.STATELESS
    """`writable` moves only where its data role check passes."""
    shed_answers: tuple[IpAddress, ...] = ()
    """Where users go whom nobody can carry: a page that says so."""
    policy: ServicePolicySection = ServicePolicySection()
    """What differs from `policy`."""
    probes: tuple[ProbeEntry, ...] = ()
    """Checks, made of every member or of every answer address."""
    pools: tuple[PoolEntry, ...] = Field(examples=[[]])
