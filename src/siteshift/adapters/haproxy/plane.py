"""What siteshift knows of one HAProxy: where its runtime API is, and which servers stand for which sites and members.

Rules
-----
* Only mapped servers are ever written (law 14). Unmapped servers of a mapped backend are nobody's business; they dilute
  shares in a ``global`` plane, so map them all or keep them in a backend of their own. They are named, and the weights of
  ours together are not made less beside them.
* Mapped servers must not be declared ``backup``: HAProxy would ignore their weight while others are up.
* Round robin delivers the shares exactly; ``leastconn`` and ``random`` follow the weights only on average.
* ``dynamic`` backends take weights 0-256; ``static`` ones (``static-rr``, map-based ``source``/``uri``/``hdr``) take
  only 0 or 100 %, so there a server is either ``ready`` or ``drain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.mark import Origin
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId


class PlaneMode(StrEnum):
    """``global``: one backend holds the members of every site and its weights make the shares.

    ``local``: the HAProxy stands beside one site and serves its members; what still comes while the site's share is 0
    is tunnelled to the sites that have shares.
    """

    GLOBAL = "global"
    LOCAL = "local"


class Algorithm(StrEnum):
    """Whether the backend's balancing algorithm can change weights at run time."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class Fence(StrEnum):
    """Where the generation is kept: in HAProxy's process-wide variables, or in the enactor beside it (`generation`)."""

    VARIABLE = "variable"
    BESIDE = "beside"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMap:
    """One ``server`` line. ``member`` None: the VIP of another site, reached through a tunnel.

    ``capacity_rps`` divides a site's share among its members, together with ``members_pm``; only ratios count.
    """

    server: str
    site: SiteId
    member: MemberId | None = None
    role: MemberRole = MemberRole.ACTIVE
    capacity_rps: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendMap:
    """One ``backend`` section and the service it carries.

    ``shed_servers`` give the "come back later" answer; they get `ServiceSteering.shed_bp`. Without them shed demand
    stays at ``shed_at``, or is spread like the rest. ``initial_weights``: of servers whose ``weight`` in the configuration
    file is another than the plane's ``initial_weight``.
    """

    service: ServiceId
    backend: str
    servers: tuple[ServerMap, ...]
    algorithm: Algorithm | None = None
    shed_servers: tuple[str, ...] = ()
    initial_weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyPlane:
    """One HAProxy process. ``address`` is ``unix:/path`` or ``host:port`` (``[v6]:port``) of a stats socket, level
    admin.

    ``shutdown_sessions_after_ms``: connections still held by a member this long after it was drained or taken out are
    closed; None lets them end by themselves. HAProxy keeps the time in whole seconds.

    ``origin`` signs what is written; None writes bare generations, which anybody may take over.

    ``initial_weight``: the ``weight`` of the servers in the configuration file, where only per cents of it can be told
    (agent check); None: every weight can be set.
    """

    id: EnactorId
    address: str
    backends: tuple[BackendMap, ...]
    beside: SiteId | None = None
    mode: PlaneMode = PlaneMode.GLOBAL
    algorithm: Algorithm = Algorithm.DYNAMIC
    shutdown_sessions_after_ms: int | None = None
    fence: Fence = Fence.VARIABLE
    origin: Origin | None = None
    initial_weight: int | None = None

    def __post_init__(self) -> None:
        if self.mode is PlaneMode.LOCAL and self.beside is None:
            raise ValueError(f"{self.id}: a local plane needs the site it stands beside")

    def algorithm_of(self, backend: BackendMap) -> Algorithm:
        return backend.algorithm or self.algorithm

    def initial_weights_of(self, backend: BackendMap) -> Mapping[str, int]:
        """The initial weight of each mapped server; empty where every weight can be set."""
        if self.initial_weight is None:
            return {}
        names = (*(mapped.server for mapped in backend.servers), *backend.shed_servers)
        return {name: backend.initial_weights.get(name, self.initial_weight) for name in names}
