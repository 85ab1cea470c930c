"""Identifiers and units.

Quantities are plain integers whose name carries the unit:

``_ms``   milliseconds, ``_s`` seconds, ``_us`` microseconds
``_bp``   basis points, 10,000 is the whole (shares of a service)
``_pm``   per mille, 1,000 is the whole (scores, utilisation, error rates)
``_rps``  requests per second (demand, capacity)
``at_ms`` an instant of *siteshift time*: Unix time when the process started plus the boot clock's time since, in ms.
          It never goes back, not over a restart either, and can be compared with what an earlier process stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from sys import intern
from typing import NewType

SiteId = NewType("SiteId", str)
ServiceId = NewType("ServiceId", str)
MemberId = NewType("MemberId", str)
"""``service/site/name``: unique in a deployment."""
VantageId = NewType("VantageId", str)
EnactorId = NewType("EnactorId", str)
DriverId = NewType("DriverId", str)
ProbeId = NewType("ProbeId", str)
GroupId = NewType("GroupId", str)
TargetId = NewType("TargetId", str)
"""What a standing is about: ``member:web/pangyo/p1``, ``pool:web/pangyo``, ``site:pangyo`` or ``data:web/pangyo``."""

WHOLE_BP = 10_000
WHOLE_PM = 1_000


@cache
def member_target(member: MemberId) -> TargetId:
    """The target of one member (interned: it is looked up 15,000 times a second, and compared by identity then)."""
    return TargetId(intern(f"member:{member}"))


@cache
def pool_target(service: ServiceId, site: SiteId) -> TargetId:
    """The target of a service at a site: its pooled stream and its VIP's."""
    return TargetId(f"pool:{service}/{site}")


def data_target(service: ServiceId, site: SiteId) -> TargetId:
    """The target of the data role of a writable service at a site: up when the role is promoted and its lag in bounds."""
    return TargetId(f"data:{service}/{site}")


def site_target(site: SiteId) -> TargetId:
    """The target of a whole site."""
    return TargetId(f"site:{site}")


def part_way(before: Sequence[int], after: Sequence[int], part_bp: int) -> list[int]:
    """``before`` moved ``part_bp`` of the way to ``after`` (10,000 is all of it), whole numbers, sum kept in step.

    The sum is the like part of the way between the two sums, rounded down.
    """
    running = done = 0
    parts = []
    for old, new in zip(before, after, strict=True):
        running += old * (WHOLE_BP - part_bp) + new * part_bp
        parts.append(running // WHOLE_BP - done)
        done = running // WHOLE_BP
    return parts
