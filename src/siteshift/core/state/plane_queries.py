"""What the state knows of the data planes: which confirmed the present generation, and which were lost with their site."""

from __future__ import annotations

from siteshift.core.model.codes import OverrideKind, Standing
from siteshift.core.model.override import Override
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.tracks import PlaneStanding, PlaneTrack


def in_step(state: ControllerState, planes: tuple[PlaneRef, ...]) -> bool:
    """Whether every plane that carries a service has confirmed the present generation and can be read."""
    wanted = state.steering.generation
    return all(_confirms(state.plane(plane.id), wanted) for plane in planes)


def taken_out_by(state: ControllerState, plane: EnactorId) -> Override | None:
    """The person's word that a plane carries no users; None: it does, as far as anybody said."""
    out = (entry for entry in state.overrides if entry.kind is OverrideKind.PLANE_OUT and entry.plane == plane)
    return next(out, None)


def in_service(state: ControllerState, planes: tuple[PlaneRef, ...]) -> tuple[PlaneRef, ...]:
    """The planes without those that a person took out of service, as long as one is left: by somebody users must come."""
    left = tuple(plane for plane in planes if taken_out_by(state, plane.id) is None)
    return left or planes


def living(state: ControllerState, planes: tuple[PlaneRef, ...]) -> tuple[PlaneRef, ...]:
    """The planes in service without those that were lost with their site: it is down, and they cannot be read any more.

    What a survivor does next cannot wait for a load balancer in the dark (law 17).
    """
    return tuple(plane for plane in in_service(state, planes) if not _is_lost(state, plane))


def _is_lost(state: ControllerState, plane: PlaneRef) -> bool:
    if plane.site is None or state.plane(plane.id).unread_since_ms is None:
        return False
    return state.picture.sites.get(plane.site) is Standing.DOWN


def _confirms(track: PlaneTrack, wanted: int) -> bool:
    return (
        track.standing is PlaneStanding.IN_STEP
        and track.confirmed_generation == wanted
        and track.unread_since_ms is None
    )


def has_read(state: ControllerState, plane: PlaneRef) -> bool:
    """Whether what was last read of a plane is of the present generation."""
    read_back = state.plane(plane.id).read_back
    return read_back is not None and read_back.generation == state.steering.generation


def read_bp(state: ControllerState, planes: tuple[PlaneRef, ...], service: ServiceId, site: SiteId) -> int:
    """The largest share of a service that any of these planes was last read to deliver to a site."""
    found = [
        track.read_back.shares_bp.get(service, {}).get(site, 0)
        for plane in planes
        if (track := state.plane(plane.id)).read_back is not None and track.unread_since_ms is None
    ]
    return max(found, default=0)


def has_foreign(state: ControllerState, planes: tuple[PlaneRef, ...]) -> bool:
    """Whether another controller holds one of these planes: what is decided for them cannot be carried out."""
    return any(state.plane(plane.id).foreign is not None for plane in planes)


def to_pass(state: ControllerState) -> int:
    """The generation that must be passed to take over planes that a person said are ours; 0 when there are none."""
    marks = (track.taken_over for track in state.planes.values())
    return max((mark.generation for mark in marks if mark is not None), default=0)


def highest_found(state: ControllerState) -> int:
    """The highest generation of ours that any plane was seen to hold, or named when it refused an older write."""
    read = [track.read_back.generation for track in state.planes.values() if track.read_back is not None]
    told = [track.found_generation for track in state.planes.values()]
    return max((generation for generation in (*read, *told) if generation is not None), default=0)
