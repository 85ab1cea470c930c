"""What vantages say: views of targets, self-checks, reports; and the combined picture a diagnosis makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.core.model.codes import DiagnosisCode, Fault, Hardness, Standing
from siteshift.core.model.units import WHOLE_PM, MemberId, ServiceId, SiteId, TargetId, VantageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the checks of one target said since it stopped being well, from one vantage. For people: nothing decides by it.

    ``fault`` and ``detail`` are the latest failure's; of the last ``checks`` so many were ``failed``, and ``alike`` of these
    by the same fault as the latest. ``since_ms``: the first failure. ``check`` names the check where the target has several.
    """

    fault: Fault
    detail: str
    alike: int
    failed: int
    checks: int
    since_ms: int
    check: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One vantage's standing for one target. ``score_pm`` is goodput, 1000 is flawless."""

    standing: Standing
    score_pm: int
    hardness: Hardness = Hardness.NONE
    since_ms: int = 0
    reason: str = ""
    last_pass_ms: int = field(default=0, compare=False)
    """Start of the latest check that passed; 0: none yet. One more pass alone is no news, so it makes no other view."""
    is_contradicted: bool = False
    """The check fails while real traffic is served well: a finding about the check, not about the target."""
    evidence: Evidence | None = field(default=None, compare=False)
    """What the checks said; None while it is well, and of groups, whose members have it. One more count is no news."""

    def says_as(self, other: TargetView) -> bool:
        """Whether it means the same as another. How bad it is matters where weights and limits hang on it: while degraded."""
        return (
            self.standing is other.standing
            and self.hardness is other.hardness
            and self.since_ms == other.since_ms
            and (self.score_pm == other.score_pm or self.standing is not Standing.DEGRADED)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What a vantage knows of itself. No reachable anchor: the node is blind. ``anchors_total`` 0: it cannot know."""

    anchors_ok: int
    anchors_total: int
    broken_checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageReport:
    """Everything one vantage believes at one moment; a later ``sequence`` of the same boot replaces an earlier one whole.

    As it is sent, its instants are of the vantage's own clock. As the state keeps it they are of ours, and ``at_ms`` is when it
    was received (`core.beliefs.hearing`). ``boot_id`` names the life of the vantage in which it was numbered.
    """

    vantage: VantageId
    site: SiteId | None
    at_ms: int
    sequence: int
    self_check: SelfCheck
    views: Mapping[TargetId, TargetView]
    boot_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A named fault with what it is about, who says so and since when."""

    code: DiagnosisCode
    since_ms: int
    reason: str
    site: SiteId | None = None
    service: ServiceId | None = None
    member: MemberId | None = None
    accusers: tuple[VantageId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPicture:
    """The combined belief about a service at a site. ``members`` has the combined standing of each member."""

    standing: Standing
    score_pm: int
    hardness: Hardness
    since_ms: int
    members: Mapping[MemberId, TargetView]

    @property
    def served_pm(self) -> int:
        """What a degraded pool is worth to its users: a late answer is half of one (docs/adr/0014)."""
        return (WHOLE_PM + self.score_pm) // 2 if self.hardness is Hardness.SLOW else self.score_pm


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the diagnosis makes of all reports. ``blind``: no credible vantage, so nothing may change (law 3)."""

    pools: Mapping[tuple[ServiceId, SiteId], PoolPicture]
    sites: Mapping[SiteId, Standing]
    diagnoses: tuple[Diagnosis, ...] = ()
    credible: tuple[VantageId, ...] = ()
    isolated: tuple[VantageId, ...] = ()
    blind: bool = False
    global_fault: frozenset[ServiceId] = field(default_factory=frozenset)

    def overload_of(self, service: ServiceId, site: SiteId) -> Diagnosis | None:
        """The `OVERLOAD` that explains the trouble of a service at a site, if one does."""
        for entry in self.diagnoses:
            if entry.code is DiagnosisCode.OVERLOAD and entry.service == service and entry.site == site:
                return entry
        return None
