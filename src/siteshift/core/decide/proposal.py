"""What the gate is asked about: a proposal to change one service's steering, and everything the rules may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.core.model.approval import Envelope
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import FindingCode, Mode, StandbyPhase, Standing
from siteshift.core.model.evidence import PoolPicture
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import MemberId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """An envelope that is in force, and who stands behind it."""

    envelope: Envelope
    confirmed_by: str = ""
    approved_by: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        if self.approved_by:
            return f"approved by {', '.join(self.approved_by)}"
        return f"confirmed by {self.confirmed_by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One service's steering before and after, and on whose account.

    ``dead_sites`` answer nothing: their standing is ``down`` with hard or confirmed silent evidence.
    ``permits`` are the envelopes in force that this step stays in (law 13): what was accepted with one of them is lifted.
    ``had_bp``: the shares before the present row of moves.
    ``keeps_shed``: nothing answers what is shed, so it stays where the steering says.
    """

    service: Service
    before: ServiceSteering
    after: ServiceSteering
    cause: Cause
    dead_sites: frozenset[SiteId] = frozenset()
    permits: tuple[Permit, ...] = ()
    keeps_shed: bool = False
    had_bp: Mapping[SiteId, int] = field(default_factory=dict)

    def lifted_by(self, code: FindingCode, numbers: Mapping[str, int | str]) -> str | None:
        """By whom a finding is lifted, in words; None when it is not."""
        for permit in self.permits:
            if any(entry.takes(code, numbers) for entry in permit.envelope.accepted):
                return permit.words
        return None

    def brings_more(self, site: SiteId) -> bool:
        """Whether more comes to a site than now, with what is shed and stays there."""
        if not self.keeps_shed:
            return self.change_bp(site) > 0
        return self.after.brings_bp(site) > self.before.brings_bp(site)

    def change_bp(self, site: SiteId) -> int:
        """Share after minus share before."""
        return self.after.shares_bp.get(site, 0) - self.before.shares_bp.get(site, 0)

    @property
    def sites(self) -> tuple[SiteId, ...]:
        """Every site named before or after, in the order of the file, then as named."""
        named = (*self.service.sites, *self.before.shares_bp, *self.after.shares_bp)
        return tuple(dict.fromkeys(named))

    @property
    def gaining(self) -> tuple[SiteId, ...]:
        return tuple(site for site in self.sites if self.change_bp(site) > 0)

    @property
    def losing(self) -> tuple[SiteId, ...]:
        return tuple(site for site in self.sites if self.change_bp(site) < 0)

    @property
    def removed(self) -> tuple[SiteId, ...]:
        """Sites that had a share and get none."""
        return tuple(site for site in self.losing if self.after.shares_bp.get(site, 0) == 0)

    @property
    def shed_grows_bp(self) -> int:
        return self.after.shed_bp - self.before.shed_bp

    @property
    def serves_more(self) -> bool:
        """Whether users are served again who are shed now, and no site loses anything for it."""
        return self.shed_grows_bp < 0 and not self.losing

    @property
    def evacuates(self) -> bool:
        """Whether this relieves sites that lose every request already (law 2's exemption), and hardly anything else.

        Room is found anew for everybody when a site dies, so a survivor may have to give up a little to another. That
        is still an evacuation when none of them is left, and together they give up at most half of what is relieved.
        """
        if self.cause is not Cause.DEAD or not self.dead_sites or any(s in self.dead_sites for s in self.gaining):
            return False
        relieved_bp = max(0, -self.shed_grows_bp) - sum(self.change_bp(s) for s in self.losing if s in self.dead_sites)
        living = [site for site in self.losing if site not in self.dead_sites]
        given_up_bp = -sum(self.change_bp(site) for site in living)
        return 2 * given_up_bp <= relieved_bp and not any(site in self.removed for site in living)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """Everything the rules look at besides the proposal.

    ``mode`` is the one in force (policy, or a mode override). ``utilisation_pm`` is per site after the proposal, for
    this service's pool. ``standby_phase`` is of the service's standby members; one that is missing counts as cold.
    ``data_role``: True, the configured check says the role is promoted and the lag in bounds; False, it says no;
    None or missing, nothing is known. ``nodes_agreeing`` of ``nodes_total`` (this one included) say directly that the
    dead sites are dead: only the store-lost exception of law 12 asks for it. ``held_sites``: found as they are, and nobody
    remembers why (`core.state.adoption`).
    """

    topology: Topology
    policy: ServicePolicy
    mode: Mode
    pools: Mapping[SiteId, PoolPicture]
    now_ms: int
    utilisation_pm: Mapping[SiteId, int] = field(default_factory=dict)
    is_frozen: bool = False
    moved: tuple[Move, ...] = ()
    removals_ms: tuple[int, ...] = ()
    hold_until_ms: Mapping[SiteId, int] = field(default_factory=dict)
    is_leader: bool = True
    store_ok: bool = True
    switched_off: bool = False
    blind: bool = False
    global_fault: bool = False
    standby_phase: Mapping[MemberId, StandbyPhase] = field(default_factory=dict)
    held_sites: frozenset[SiteId] = frozenset()
    data_role: Mapping[SiteId, bool | None] = field(default_factory=dict)
    nodes_agreeing: int = 1
    nodes_total: int = 1

    def standing(self, site: SiteId) -> Standing:
        """The combined standing of the service at a site; nothing known is ``unknown``."""
        pool = self.pools.get(site)
        return pool.standing if pool is not None else Standing.UNKNOWN
