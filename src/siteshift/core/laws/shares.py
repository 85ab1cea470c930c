"""Laws 1, 2, 6 and 7: who may get how much."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.beliefs.traffic import demand_rps
from siteshift.core.laws.conduct import steps_soak
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.commands import RetireStandby
from siteshift.core.model.codes import MemberRole, Mode, StandbyPhase, Standing
from siteshift.core.model.override import forced_view
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, SiteId
from siteshift.core.state.goals import GoalState


def law_1_last_site(p: Passage) -> Iterator[Violation]:
    """Never remove the last serving site; whoever serves after a change is not known to be dead while another is up, and is
    not closed to the users that load balancers remember."""
    for service, old, new in p.changes():
        served = [site for site, bp in new.shares_bp.items() if bp > 0]
        if not served:
            yield Violation(law=1, text=f"{service.id}: no site has a share")
        was_up = [s for s, bp in old.shares_bp.items() if bp > 0 and p.standing(service, s) is not Standing.DOWN]
        if served and was_up and all(p.standing(service, site) is Standing.DOWN for site in served):
            yield Violation(law=1, text=f"{service.id}: only dead sites are left with a share")
        if closed := sorted(new.dead_sites.intersection(served)):
            yield Violation(law=1, text=f"{service.id}: closed as dead, yet with a share: {', '.join(closed)}")


def law_2_widen_first(p: Passage) -> Iterator[Violation]:
    """Only standbys that were found ready get traffic, and nothing but a dead site is left onto a site that is down.

    Where nothing answers what is shed, it counts where it stays.
    """
    for service, old, new in p.changes():
        for pool in service.pools:
            for member in pool.members:
                phase = p.after.standby(member.id).phase
                is_open = phase in (StandbyPhase.READY, StandbyPhase.PROVEN)
                if member.role is MemberRole.STANDBY and member.id in new.members_pm and not is_open:
                    if member.id in old.members_pm and p.after.picture.blind:
                        continue
                    yield Violation(law=2, text=f"{member.id}: traffic to a standby that is {phase.value}")
            gained = new.shares_bp.get(pool.site, 0) > old.shares_bp.get(pool.site, 0)
            if not p.setup.answers_shed(service):
                gained = gained and new.brings_bp(pool.site) > old.brings_bp(pool.site)
            if gained and p.standing(service, pool.site) is Standing.DOWN and not p.is_forced(service):
                yield Violation(law=2, text=f"{service.id}: more traffic to {pool.site}, which is down")
    for command in p.commands:
        if isinstance(command, RetireStandby):
            still = any(command.member in entry.members_pm for entry in p.after.steering.services)
            if still:
                yield Violation(law=2, text=f"{command.member}: retired while it has a weight")
    yield from steps_soak(p)


def law_6_mode(p: Passage) -> Iterator[Violation]:
    """Without `auto`, shares change only by a person: forced, or approved as proposed."""
    for service, old, new in p.changes():
        forced = forced_view(p.after.overrides, service.id, p.now_ms)
        mode = forced.mode or p.setup.policy.of(service.id).mode
        if mode is Mode.AUTO or p.is_forced(service) or dict(old.shares_bp) == dict(new.shares_bp):
            continue
        if not any(track.is_proposed and track.approvers() for track in p.goals(service)):
            yield Violation(law=6, text=f"{service.id}: moved in mode {mode.value} without approval")


def law_7_capacity(p: Passage) -> Iterator[Violation]:
    """No site that gains is left above the utilisation limit, or above what another person approved for it; shed is explicit.

    It judges the move, by the members and the demand of now, whatever was asked for.
    """
    for service, old, new in p.changes():
        total = sum(new.shares_bp.values()) + new.shed_bp
        if total != WHOLE_BP or new.shed_bp < 0 or min(new.shares_bp.values(), default=0) < 0:
            yield Violation(law=7, text=f"{service.id}: shares and shed make {total} bp")
        demand = demand_rps(p.after, service, p.setup.metered)
        limit_pm = p.setup.policy.of(service.id).max_utilisation_pm
        for pool in service.pools:
            bp, had = new.shares_bp.get(pool.site, 0), old.shares_bp.get(pool.site, 0)
            if bp <= had or bp <= pool.nominal_bp:
                continue
            capacity = sum(m.capacity_rps for m in pool.members if m.id in new.members_pm)
            slack_rps = 1 + demand // 1000
            most_pm = max(limit_pm, _approved_pm(p, service, pool.site))
            if bp * demand > (capacity * most_pm // 1000 + slack_rps) * WHOLE_BP:
                load = bp * demand // WHOLE_BP
                yield Violation(law=7, text=f"{service.id}: {load} rps to {pool.site}, which carries {capacity}")


def _approved_pm(p: Passage, service: Service, site: SiteId) -> int:
    """How far a site may be used by what persons other than who asked approved."""
    bounds = [
        found.utilisation_max_pm
        for track in p.goals(service)
        if track.state is GoalState.RUNNING and track.approvers()
        if (found := track.envelope.at(service.id, site)) is not None
    ]
    return max(bounds, default=0)
