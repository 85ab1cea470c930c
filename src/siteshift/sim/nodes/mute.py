"""Where a prober is mute: of which of its checks no result comes back."""

from __future__ import annotations

from typing import NamedTuple

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.world.servers import Server


class Quarter(NamedTuple):
    """Some of what is checked: of a site, of a service, of a service at a site; of neither: everything, anchors too."""

    site: SiteId | None = None
    service: ServiceId | None = None

    def holds(self, server: Server | None) -> bool:
        """Whether checks of a server (None: of an anchor) are among them."""
        if server is None:
            return self.site is None and self.service is None
        return self.site in (None, server.member.site) and self.service in (None, server.member.service)
