"""Maps and steerings of the tests: service ``web`` with two members at pangyo, gasan and anyang each."""

from __future__ import annotations

import time
from collections.abc import Mapping

from servers.web_members import WebMember
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, ServerMap
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId

WEB = ServiceId("web")
PANGYO, GASAN, ANYANG = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
SITE_OF = {"p": PANGYO, "g": GASAN, "a": ANYANG}
ALL = ("p1", "p2", "g1", "g2", "a1", "a2")


def member(server: str) -> MemberId:
    return MemberId(f"web/{SITE_OF[server[0]]}/{server}")


def mapped(server: str, **more: object) -> ServerMap:
    return ServerMap(server=server, site=SITE_OF[server[0]], member=member(server), **more)  # type: ignore[arg-type]


def global_plane(address: str, servers: tuple[ServerMap, ...] | None = None, **more: object) -> HaproxyPlane:
    web = BackendMap(service=WEB, backend="web", servers=servers or tuple(map(mapped, ALL)))
    return HaproxyPlane(**{"id": EnactorId("lb-1"), "address": address, "backends": (web,), **more})  # type: ignore[arg-type]


def steering(
    generation: int,
    shares: Mapping[SiteId, int],
    open_members: tuple[str, ...] | Mapping[str, int] = ALL,
    **more: object,
) -> Steering:
    """``shares`` in basis points; ``open_members`` may serve (with their goodput, if given)."""
    pm = open_members if isinstance(open_members, Mapping) else dict.fromkeys(open_members, 1000)
    entry = ServiceSteering(
        service=WEB,
        shares_bp=shares,
        members_pm={member(name): value for name, value in pm.items()},
        ttl_s=30,
        **more,  # type: ignore[arg-type]
    )
    return Steering(generation=generation, term=1, decided_at_ms=0, services=(entry,))


class WallClock:
    """`ports.Clock` for tests of real servers."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def backend(members: dict[str, WebMember], name: str = "web", *options: str, extra: str = "") -> str:
    """A backend section with one server per member."""
    lines = [f"backend {name}", *(f"  {option}" for option in options)]
    lines += [f"  server {member.name} 127.0.0.1:{member.port} weight 10 {extra}" for member in members.values()]
    return "\n".join(lines) + "\n"
