"""The member of these tests; its name must survive URLs and command lines."""

from __future__ import annotations

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId, ServiceId, SiteId

DRIVER = DriverId("starter")
DEADLINE_MS = 15_000
SHORT_MS = 300
MEMBER = Member(
    id=MemberId("web/gasan/g 9;&$(touch x)"),
    service=ServiceId("web"),
    site=SiteId("gasan"),
    name="g 9;&$(touch x)",
    address="127.0.0.1",
    port=8080,
    capacity_rps=100,
    role=MemberRole.STANDBY,
    standby_driver=DRIVER,
)
