"""The HAProxy between clients and members, and the ways to configure it that are compared.

At the edge one HAProxy holds the members of all sites, and weights make the shares; all users reach it. In the sites
each site has its own, on the addresses DNS gives for the site, with its members and tunnels to the other sites. The
time-outs and the weights are the same everywhere; what differs is who notices a fault and who opens the standby.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siteshift.core.model.codes import MemberRole
from siteshift.lab.spec import SERVICE, LabSpec, MemberSpec, SiteSpec

BACKEND = f"be_{SERVICE}"
WIDE_BACKEND = f"be_{SERVICE}_wide"
WARM_DRIVER = "lb-standby"
WARM_CHECK = "check inter 200ms rise 1 fall 3"
"""A connect check, by which the driver proves that an opened standby is there. Members in service have none."""
WEIGHT_PER_SHARE = 200
"""A member's weight is its site's share times this over its site's active members: 100 for the default's biggest."""


class Watcher(StrEnum):
    """Who looks after the members.

    ``node``: siteshift by the runtime API; HAProxy takes out by itself only what cannot be connected to, as in the example
    configuration. ``nobody``: the floor of the comparison.
    ``defaults``: HAProxy's checks as they come (2 s, fall 3, rise 2). ``tuned``: 1 s, 200 ms once something failed,
    errors in traffic count (`observe layer7`), failed connections go to another server.
    ``tuned_wide``: the same, and standbys that run all the time and join once three servers are down.
    """

    NODE = "node"
    NOBODY = "nobody"
    DEFAULTS = "defaults"
    TUNED = "tuned"
    TUNED_WIDE = "tuned_wide"


class Retry(StrEnum):
    """What HAProxy does with a request that failed.

    ``none``: its default, the same server again. ``redispatch``: another server when the connection failed.
    ``bounded``: also once more on an empty answer or a 500, never on a time-out (that turns a hang into a storm).
    """

    NONE = "none"
    REDISPATCH = "redispatch"
    BOUNDED = "bounded"


class Standby(StrEnum):
    """How standby members wait for a node. ``cold``: not running; the site's HTTP hook starts them.

    ``warm``: running, and `maint` in HAProxy until the node opens them (the balancer at the edge only).
    """

    COLD = "cold"
    WARM = "warm"


class Place(StrEnum):
    """Where HAProxy stands."""

    EDGE = "edge"
    SITES = "sites"


CHECKS = {
    Watcher.NODE: "check inter 1s fastinter 200ms fall 3 rise 2 observe layer4 error-limit 5 on-error mark-down",
    Watcher.NOBODY: "",
    Watcher.DEFAULTS: "check",
    Watcher.TUNED: "check inter 1s fastinter 200ms fall 3 rise 2 observe layer7",
    Watcher.TUNED_WIDE: "check inter 1s fastinter 200ms fall 3 rise 2 observe layer7",
}
RETRIES = {
    Retry.NONE: ["retries 3"],
    Retry.REDISPATCH: ["retries 3", "option redispatch 1"],
    Retry.BOUNDED: ["retries 3", "option redispatch 1", "retry-on conn-failure empty-response 500"],
}
DEFAULT_RETRY = {
    Watcher.NODE: Retry.BOUNDED,
    Watcher.NOBODY: Retry.NONE,
    Watcher.DEFAULTS: Retry.NONE,
    Watcher.TUNED: Retry.REDISPATCH,
    Watcher.TUNED_WIDE: Retry.REDISPATCH,
}
TIMEOUTS = ["timeout connect 300ms", "timeout client 30s", "timeout server 5s", "timeout check 800ms", "timeout queue 1s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """How HAProxy is set up. ``retry`` None: what goes with the watcher."""

    watcher: Watcher = Watcher.NODE
    retry: Retry | None = None
    place: Place = Place.EDGE
    standby: Standby = Standby.COLD

    def write(self, spec: LabSpec, where: str = "") -> Path:
        """Write one HAProxy's configuration into the lab's folder: that of a site, or of the edge.

        No other's: the HAProxies of the sites start side by side, and one may be reading its own just then.
        """
        path = spec.path / f"haproxy{f'-{where}' if where else ''}.cfg"
        path.write_text(self.site_config(spec, spec.site(where)) if where else self.edge_config(spec))
        return path

    def edge_config(self, spec: LabSpec) -> str:
        """One HAProxy for the members of all sites."""
        lines = self._head(spec, "")
        lines += ["frontend users", f"    bind {spec.balancer}:{spec.port}"]
        if self.watcher is Watcher.TUNED_WIDE:
            full = sum(member.role is MemberRole.ACTIVE for site in spec.sites for member in site.members)
            lines.append(f"    use_backend {WIDE_BACKEND} if {{ nbsrv({BACKEND}) lt {full - 2} }}")
        lines += [f"    default_backend {BACKEND}", *self._backend(spec.sites)]
        if self.watcher is Watcher.TUNED_WIDE:
            lines += self._wide_backend(spec)
        return "\n".join(lines) + "\n"

    def site_config(self, spec: LabSpec, site: SiteSpec) -> str:
        """A site's own HAProxy: its members, and closed tunnels to the other sites."""
        lines = self._head(spec, site.id)
        lines += ["frontend users", *(f"    bind {address}:{spec.port}" for address in site.answers)]
        lines += [f"    default_backend {BACKEND}", *self._backend((site,))]
        others = [other for other in spec.sites if other is not site]
        lines += [f"    server to-{other.id} {other.front}:{spec.port} weight 1 disabled" for other in others]
        return "\n".join(lines) + "\n"

    def _head(self, spec: LabSpec, where: str) -> list[str]:
        retry = self.retry or DEFAULT_RETRY[self.watcher]
        lines = ["global", f"    stats socket {admin_socket(spec, where)} mode 600 level admin", "    maxconn 8000"]
        lines += ["    nbthread 1", "defaults", "    mode http", "    option http-keep-alive", "    http-reuse safe"]
        return [*lines, *(f"    {line}" for line in (*TIMEOUTS, *RETRIES[retry]))]

    def _backend(self, sites: tuple[SiteSpec, ...]) -> list[str]:
        lines = [f"backend {BACKEND}", "    balance roundrobin"]
        check = CHECKS[self.watcher]
        if check and self.watcher is not Watcher.NODE:
            lines.append("    option httpchk GET /healthz")
        for site in sites:
            for member in site.members:
                if member.role is MemberRole.ACTIVE:
                    lines.append(f"    {_server(site, member)} {check}".rstrip())
                elif self.watcher is Watcher.NODE:
                    proof = f"{WARM_CHECK} " if self.standby is Standby.WARM else ""
                    lines.append(f"    {_server(site, member)} {proof}disabled")
        return lines

    def _wide_backend(self, spec: LabSpec) -> list[str]:
        """Active members by the verdict of the narrow backend's checks, and the standbys by their own."""
        lines = [f"backend {WIDE_BACKEND}", "    balance roundrobin", "    option httpchk GET /healthz"]
        for site in spec.sites:
            for member in site.members:
                if member.role is MemberRole.ACTIVE:
                    lines.append(f"    {_server(site, member)} track {BACKEND}/{server_name(member)}")
                else:
                    lines.append(f"    {_server(site, member)} {CHECKS[self.watcher]}")
        return lines

    def warm_standbys(self, spec: LabSpec) -> list[tuple[str, str]]:
        """The (site, member) pairs that must run before HAProxy starts."""
        if self.watcher is not Watcher.TUNED_WIDE and self.standby is not Standby.WARM:
            return []
        standby = [member for site in spec.sites for member in site.members if member.role is MemberRole.STANDBY]
        return [(member.site, member.name) for member in standby]

    def enactors(self, spec: LabSpec) -> list[dict[str, object]]:
        """The node's enactors for these HAProxies."""
        backend: dict[str, object] = {"service": SERVICE, "backend": BACKEND}
        if self.place is Place.EDGE:
            return [{"id": "lb", "kind": "haproxy", "address": f"unix:{admin_socket(spec)}", "backends": [backend]}]
        backend["tunnel_pattern"] = "to-{site}"
        return [
            {
                "id": f"lb-{site.id}",
                "kind": "haproxy",
                "address": f"unix:{admin_socket(spec, site.id)}",
                "mode": "local",
                "beside": site.id,
                "backends": [backend],
            }
            for site in spec.sites
        ]

    def standby_drivers(self, spec: LabSpec) -> list[dict[str, object]]:
        """The driver that opens warm standbys; none for cold ones."""
        if self.standby is Standby.COLD:
            return []
        driver = {"id": WARM_DRIVER, "kind": "haproxy_server", "addresses": [f"unix:{admin_socket(spec)}"]}
        return [{**driver, "backend": "be_{service}"}]

    def meters(self, spec: LabSpec) -> list[dict[str, object]]:
        """How the node measures traffic through them."""
        return [{"id": f"traffic-{lb['id']}", "kind": "haproxy", "enactor": lb["id"], "every_s": 1} for lb in self.enactors(spec)]

    def evidence(self, spec: LabSpec) -> list[dict[str, object]]:
        """What real traffic through them says."""
        return [
            {"id": f"stat-{lb['id']}", "kind": "haproxy_stat", "enactor": lb["id"], "every_s": 1} for lb in self.enactors(spec)
        ]


def admin_socket(spec: LabSpec, where: str = "") -> str:
    """The runtime API of the HAProxy at the edge, or of a site's."""
    return str(spec.path / f"haproxy{f'-{where}' if where else ''}.admin")


def server_name(member: MemberSpec) -> str:
    """The name of a member's ``server`` line: the pattern siteshift takes by default."""
    return f"{member.site}-{member.name}"


def _server(site: SiteSpec, member: MemberSpec) -> str:
    active = sum(other.role is MemberRole.ACTIVE for other in site.members)
    weight = max(1, min(256, round(site.nominal_bp / 10_000 * WEIGHT_PER_SHARE * 4 / active)))
    return f"server {server_name(member)} {member.address}:{member.port} weight {weight}"
