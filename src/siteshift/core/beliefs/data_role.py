"""What the checks say of the data role of a writable service: where it is promoted, with its lag in bounds.

siteshift never promotes data by itself. A check that is silent, in doubt or seen by nobody credible says nothing: None.
"""

from __future__ import annotations

from siteshift.core.model.codes import DataKind, Standing
from siteshift.core.model.topology import Service
from siteshift.core.model.units import SiteId, TargetId, data_target
from siteshift.core.state.controller_state import ControllerState


def data_roles(state: ControllerState, service: Service) -> dict[SiteId, bool | None]:
    """Promoted (True), not promoted or lagging too far (False), or not known (None), for each site; empty: stateless."""
    if service.data is not DataKind.WRITABLE:
        return {}
    return {site: _role(state, data_target(service.id, site)) for site in service.sites}


def _role(state: ControllerState, target: TargetId) -> bool | None:
    """One credible word against it is enough; without one, one for it."""
    views = [
        view
        for vantage in state.picture.credible
        if (report := state.reports.get(vantage)) is not None and (view := report.views.get(target)) is not None
    ]
    if any(view.standing is Standing.DOWN for view in views):
        return False
    return True if any(view.standing is Standing.UP for view in views) else None
