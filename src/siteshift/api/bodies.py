"""The bodies of requests that act, strict: an unknown field is refused. They become `core.messages.requests`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from siteshift.core.messages.requests import (
    AckRequest,
    ApproveRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    ModeRequest,
    PlaneInRequest,
    PlaneOutRequest,
    PoolRequest,
    Request,
    RevokeRequest,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import Mode
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """What every act carries. ``dry_run`` shows the answer and changes nothing; ``digest`` confirms what was looked at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(max_length=1_000, description="Why; goes on record.")] = ""
    ticket: Annotated[str, Field(max_length=200, description="The ticket this belongs to.")] = ""
    expires_in_s: Annotated[
        int | None, Field(ge=1, le=366 * 86_400, description="Life of the override; none: the policy's default.")
    ] = None
    digest: Annotated[str | None, Field(pattern="^[0-9a-f]{16}$", description="Of the offer you looked at; confirms it.")] = None
    dry_run: Annotated[bool, Field(description="Show the answer, change nothing.")] = False

    def request(self) -> Request:
        raise TypeError("only the bodies of acts become requests")


class DrainBody(Body):
    """Move a site's traffic away."""

    site: Name
    service: Name | None = None

    def request(self) -> Request:
        return DrainRequest(site=SiteId(self.site), service=_service(self.service))


class UndrainBody(Body):
    """Let a site's traffic come back."""

    site: Name
    service: Name | None = None

    def request(self) -> Request:
        return UndrainRequest(site=SiteId(self.site), service=_service(self.service))


class DepoolBody(Body):
    """Take one member (``service/site/name``) out."""

    member: Name

    def request(self) -> Request:
        return DepoolRequest(member=MemberId(self.member))


class PoolBody(Body):
    """Put one member back."""

    member: Name

    def request(self) -> Request:
        return PoolRequest(member=MemberId(self.member))


class SharesBody(Body):
    """Force the shares of a service, in basis points; they sum to 10,000."""

    service: Name
    shares_bp: dict[Name, Annotated[int, Field(ge=0, le=10_000)]]

    def request(self) -> Request:
        shares = {SiteId(site): share for site, share in self.shares_bp.items()}
        return SharesRequest(service=ServiceId(self.service), shares_bp=shares)


class FreezeBody(Body):
    """No changes that are not protective; of one service, or of all."""

    service: Name | None = None

    def request(self) -> Request:
        return FreezeRequest(service=_service(self.service))


class ModeBody(Body):
    """Force the mode of a service for a while."""

    service: Name
    mode: Literal["observe", "recommend", "auto"]

    def request(self) -> Request:
        return ModeRequest(service=ServiceId(self.service), mode=Mode(self.mode))


class PlaneOutBody(Body):
    """A data plane carries no users for a while; nothing waits for it."""

    plane: Name

    def request(self) -> Request:
        return PlaneOutRequest(plane=EnactorId(self.plane))


class PlaneInBody(Body):
    """A data plane carries users again."""

    plane: Name

    def request(self) -> Request:
        return PlaneInRequest(plane=EnactorId(self.plane))


class LiftBody(Body):
    """Lift an override."""

    override: Name

    def request(self) -> Request:
        return LiftRequest(override=self.override)


class ApproveBody(Body):
    """Approve the offer with this ``digest``: what a colleague asked for and confirmed, or what siteshift proposes."""

    def request(self) -> Request:
        return ApproveRequest(digest=self.digest or "")


class RevokeBody(Body):
    """Take back one's approval of this ``digest``, or, as who asked, the request. Another ``person``'s takes an admin."""

    person: Name | None = None

    def request(self) -> Request:
        return RevokeRequest(digest=self.digest or "", person=self.person)


class AckBody(Body):
    """Acknowledge what happened at a site; without a site, at all that are held as they were found."""

    site: Name | None = None
    service: Name | None = None
    plane: Name | None = None
    """This data plane, which another controller holds, is to be taken over."""

    def request(self) -> Request:
        plane = EnactorId(self.plane) if self.plane is not None else None
        site = SiteId(self.site) if self.site is not None else None
        return AckRequest(site=site, service=_service(self.service), plane=plane)


class SwitchOffBody(Body):
    """Stop all automatic action."""

    def request(self) -> Request:
        return SwitchOffRequest()


class SwitchOnBody(Body):
    """Automatic action again."""

    def request(self) -> Request:
        return SwitchOnRequest()


ACTS: dict[str, type[Body]] = {
    "drain": DrainBody,
    "undrain": UndrainBody,
    "depool": DepoolBody,
    "pool": PoolBody,
    "shares": SharesBody,
    "freeze": FreezeBody,
    "mode": ModeBody,
    "plane-out": PlaneOutBody,
    "plane-in": PlaneInBody,
    "lift": LiftBody,
    "approve": ApproveBody,
    "revoke": RevokeBody,
    "ack": AckBody,
    "switch-off": SwitchOffBody,
    "switch-on": SwitchOnBody,
}
"""Path under ``/v1`` → body."""


def _service(name: str | None) -> ServiceId | None:
    return ServiceId(name) if name is not None else None
