"""What operators ask for. A request is data; `core.operate` answers it, and only a granted one changes the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.model.approval import Offer
from siteshift.core.model.codes import Mode
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequest:
    """Move a site's traffic away; of one service, or of all."""

    site: SiteId
    service: ServiceId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndrainRequest:
    """Let a site's traffic come back (by the ramp)."""

    site: SiteId
    service: ServiceId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepoolRequest:
    """Take one member out."""

    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """Put one member back."""

    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesRequest:
    """Force the shares of a service; they must sum to 10,000 bp."""

    service: ServiceId
    shares_bp: Mapping[SiteId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeRequest:
    """No changes that are not protective; of one service, or of all."""

    service: ServiceId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRequest:
    """Force the mode of a service for a while."""

    service: ServiceId
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneOutRequest:
    """A data plane carries no users: nothing waits for it until it is put back in, or its time is over."""

    plane: EnactorId


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneInRequest:
    """A data plane carries users again: what is decided waits for it."""

    plane: EnactorId


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRequest:
    """Lift an override by its id."""

    override: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRequest:
    """Approve the offer with this digest: a colleague's goal that waits, or what siteshift proposes."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeRequest:
    """Take an approval back. ``person`` None: one's own; another's takes an admin. Who asked for a goal withdraws it so."""

    digest: str
    person: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AckRequest:
    """Acknowledge what happened: clears a site's hold-down, lets a manual failback begin, and what was held as found return.

    ``site`` None: every site that is held because nobody remembers why it was left. ``plane``: nothing but this data plane,
    which another controller holds, is to be taken over.
    """

    site: SiteId | None = None
    service: ServiceId | None = None
    plane: EnactorId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOffRequest:
    """The off switch: no automatic action until it is switched on again (law 16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOnRequest:
    """Automatic action again."""


Request = (
    DrainRequest
    | UndrainRequest
    | DepoolRequest
    | PoolRequest
    | SharesRequest
    | FreezeRequest
    | ModeRequest
    | PlaneOutRequest
    | PlaneInRequest
    | LiftRequest
    | ApproveRequest
    | RevokeRequest
    | AckRequest
    | SwitchOffRequest
    | SwitchOnRequest
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRequest:
    """A request with who asks, why and under which ticket.

    ``person`` is the canonical name, ``rank`` what they may, ``via`` how they were recognised, ``peer`` the Unix user by number
    and who is behind sudo. ``digest`` is of the offer they looked at, and giving it confirms the offer; ``shown`` is that offer,
    where whoever showed it still has it. ``expires_ms`` is the instant at which the override ends, ``life_ms`` how long it was
    asked for; None: the policy's default.
    """

    id: str
    person: str
    request: Request
    reason: str = ""
    ticket: str = ""
    expires_ms: int | None = None
    life_ms: int | None = None
    digest: str | None = None
    shown: Offer | None = None
    rank: str = ""
    via: str = ""
    peer: str = ""
