"""From steering to answers: which addresses a service's name should lead to, and how often.

Both DNS planes start here, so that they agree about shed demand, address families and sites without addresses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, SiteId


class Family(IntEnum):
    """An address family, with its DNS record type (RFC 1035, RFC 3596) as the value."""

    V4 = 1
    V6 = 28

    @property
    def record_type(self) -> str:
        """The name of the record type."""
        return "A" if self is Family.V4 else "AAAA"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerShare:
    """Addresses that should get ``share_bp`` of a name's answers. ``site`` None: the service's shed answers."""

    site: SiteId | None
    share_bp: int
    addresses: tuple[str, ...]


@lru_cache(maxsize=65_536)
def family_of(address: str) -> Family:
    """The family an address belongs to. Kept: every change of steering asks it of every address."""
    return Family.V6 if ipaddress.ip_address(address).version == 6 else Family.V4


def of_family(addresses: tuple[str, ...], family: Family) -> tuple[str, ...]:
    """Those of one family, in order, each once, spelled as DNS software spells them."""
    return tuple(dict.fromkeys(canonical(address) for address in addresses if family_of(address) is family))


@lru_cache(maxsize=65_536)
def canonical(address: str) -> str:
    """The one spelling of an address (RFC 5952)."""
    return str(ipaddress.ip_address(address))


def answer_shares(service: Service, entry: ServiceSteering, family: Family) -> tuple[AnswerShare, ...]:
    """What the name should answer in one family; shares are as steered and may sum to less than the whole.

    Sites without an address of this family fall out: the others take their part by proportion. Shed demand goes to the
    shed answers; without any it stays at ``shed_at``. Empty means that the steering leads nowhere in this family.
    """
    parts = {site: share for site, share in entry.shares_bp.items() if share > 0}
    shed = of_family(service.shed_answers, family) if entry.shed_bp > 0 else ()
    if entry.shed_bp > 0 and not shed and entry.shed_at is not None:
        parts[entry.shed_at] = parts.get(entry.shed_at, 0) + entry.shed_bp
    found: list[AnswerShare] = []
    for pool in service.pools:
        share_bp = parts.get(pool.site, 0)
        addresses = of_family(pool.answers, family)
        if share_bp > 0 and addresses:
            found.append(AnswerShare(site=pool.site, share_bp=share_bp, addresses=addresses))
    if shed:
        found.append(AnswerShare(site=None, share_bp=entry.shed_bp, addresses=shed))
    return tuple(found)


@lru_cache(maxsize=65_536)
def packed(address: str) -> bytes:
    """The address as it stands in a record."""
    return ipaddress.ip_address(address).packed


def nominal(service: Service, ttl_s: int) -> ServiceSteering:
    """The steering that stands in before any was decided: nominal shares."""
    return ServiceSteering(
        service=service.id,
        shares_bp={pool.site: pool.nominal_bp for pool in service.pools},
        members_pm={},
        ttl_s=ttl_s,
    )


def apportion(weights: tuple[int, ...], whole: int = WHOLE_BP) -> tuple[int, ...]:
    """Whole numbers that sum to ``whole`` in the proportion of the weights (largest remainder, ties to the first)."""
    total = sum(weights)
    floors = [weight * whole // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(weights[i] * whole % total), i))
    for i in by_remainder[: whole - sum(floors)]:
        floors[i] += 1
    return tuple(floors)
