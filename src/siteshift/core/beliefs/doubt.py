"""Doubt: a suspicion of our own vantage has the meters of its target read at once.

Derived from each of our reports, not from its difference to the one before: as long as something is suspected its meters are
asked, and the runtime reads each of them no more often than it makes sense.
"""

from __future__ import annotations

from siteshift.core.judge.metered import READ_WITHIN_MS
from siteshift.core.messages.commands import ReadMeters
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.units import pool_target
from siteshift.core.state.draft import Draft


def ask_meters(draft: Draft, report: VantageReport) -> None:
    """Ask for the meters of every metered pool that our own report suspects."""
    setup = draft.setup
    if not setup.metered or report.vantage != setup.node:
        return
    places = tuple(
        (service.id, pool.site)
        for service in setup.topology.services
        if service.id in setup.metered
        for pool in service.pools
        if (view := report.views.get(pool_target(service.id, pool.site))) is not None and view.standing is Standing.SUSPECT
    )
    if places:
        draft.commands.append(ReadMeters(places=places, deadline_ms=READ_WITHIN_MS))
