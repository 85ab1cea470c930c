"""What is held because it was found and not remembered: nobody knows why it is so, so nothing of it is undone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from siteshift.core.model.topology import Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId


class AdoptedFrom(StrEnum):
    """Where the steering was found that is held now."""

    COPY = "copy"
    """The second copy of the last steering, beside the store."""
    PLANES = "planes"
    """What the data planes were read to carry."""
    NOWHERE = "nowhere"
    """Neither told anything: nominal shares, and nothing returns all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Steering that is held as adopted, cause unknown, until a person has looked (`siteshift ack`).

    ``why`` says what was lost. ``sites`` are those nobody has acknowledged yet: none of them gets more than it has, but to
    leave a site that fails. ``members_out`` served no more when the steering was found, and stay out. ``is_told``: people
    were told.
    """

    found: AdoptedFrom
    why: str
    since_ms: int
    sites: frozenset[tuple[ServiceId, SiteId]]
    members_out: frozenset[MemberId] = frozenset()
    is_told: bool = False

    def holds(self, service: ServiceId, site: SiteId) -> bool:
        """Whether nobody has acknowledged yet what was found there."""
        return (service, site) in self.sites


def acknowledged(
    adoption: Adoption | None, sites: frozenset[tuple[ServiceId, SiteId]], topology: Topology
) -> Adoption | None:
    """What is still held once a person has looked at these; None when nothing is."""
    if adoption is None or not (left := adoption.sites - sites):
        return None
    members = topology.members
    out = frozenset(m for m in adoption.members_out if m in members and (members[m].service, members[m].site) in left)
    return replace(adoption, sites=left, members_out=out)
