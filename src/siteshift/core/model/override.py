"""Overrides: what a person forced, with owner, reason, ticket and expiry. They lie over the real state (law 5).

Default life 4 h, at most 72 h (AWS zonal shift). An expired override simply no longer counts: the real state, which
was kept all the time, shows again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from siteshift.core.model.codes import FindingCode, Mode, OverrideKind, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.policy import HOUR_MS, Policy
from siteshift.core.model.units import WHOLE_BP, EnactorId, MemberId, ServiceId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One thing a person forced. ``service`` None: every service. In force while ``now_ms < expires_ms``."""

    id: str
    kind: OverrideKind
    owner: str
    reason: str
    ticket: str
    created_ms: int
    expires_ms: int
    service: ServiceId | None = None
    site: SiteId | None = None
    member: MemberId | None = None
    shares_bp: Mapping[SiteId, int] | None = None
    mode: Mode | None = None
    approved_by: tuple[str, ...] = ()
    plan_digest: str | None = None
    """Of the offer that was confirmed; in overrides of earlier versions, of the plan. Those lift nothing any more."""
    goal: str | None = None
    """Digest of the goal it carries out."""
    end_told_ms: int = 0
    """When its end was announced; 0: not yet."""
    plane: EnactorId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """What all active overrides together force upon one service.

    ``by`` names the override behind each drained site, ``frozen_by`` the one behind a freeze.
    """

    drained_sites: frozenset[SiteId] = frozenset()
    depooled: frozenset[MemberId] = frozenset()
    shares_bp: Mapping[SiteId, int] | None = None
    mode: Mode | None = None
    by: Mapping[SiteId, Override] = field(default_factory=dict)
    shares_by: Override | None = None
    frozen_by: Override | None = None

    @property
    def frozen(self) -> bool:
        return self.frozen_by is not None


_NOTHING_FORCED = Forced()


def make_override(
    *,
    id: str,
    kind: OverrideKind,
    owner: str,
    reason: str,
    policy: Policy,
    now_ms: int,
    ticket: str = "",
    expires_ms: int | None = None,
    service: ServiceId | None = None,
    site: SiteId | None = None,
    member: MemberId | None = None,
    shares_bp: Mapping[SiteId, int] | None = None,
    mode: Mode | None = None,
    plane: EnactorId | None = None,
    approved_by: tuple[str, ...] = (),
    plan_digest: str | None = None,
) -> Override | Finding:
    """A valid override, or the finding that says why there is none. No expiry given: the policy's default."""
    until_ms = now_ms + policy.override_default_ms if expires_ms is None else expires_ms
    made = Override(
        id=id,
        kind=kind,
        owner=owner.strip(),
        reason=reason.strip(),
        ticket=ticket.strip(),
        created_ms=now_ms,
        expires_ms=until_ms,
        service=service,
        site=site,
        member=member,
        shares_bp=shares_bp,
        mode=mode,
        plane=plane,
        approved_by=approved_by,
        plan_digest=plan_digest,
    )
    return _what_is_missing(made) or _what_is_wrong_with_life(made, policy, now_ms) or made


def _what_is_missing(made: Override) -> Finding | None:
    if not made.owner:
        return _incomplete("an override needs an owner", "owner")
    if not made.reason:
        return _incomplete("an override needs a reason", "reason")
    match made.kind:
        case OverrideKind.DRAIN if made.site is None:
            return _incomplete("a drain needs a site", "site")
        case OverrideKind.DEPOOL if made.member is None:
            return _incomplete("a depool needs a member", "member")
        case OverrideKind.MODE if made.mode is None:
            return _incomplete("a mode override needs a mode", "mode")
        case OverrideKind.PLANE_OUT if made.plane is None:
            return _incomplete("taking a data plane out of service needs the plane", "plane")
        case OverrideKind.SHARES:
            return _what_is_wrong_with_shares(made)
        case _:
            return None


def _what_is_wrong_with_shares(made: Override) -> Finding | None:
    if made.service is None:
        return _incomplete("forced shares need a service", "service")
    if not made.shares_bp:
        return _incomplete("forced shares need the shares", "shares_bp")
    total_bp = sum(made.shares_bp.values())
    if total_bp != WHOLE_BP or any(share_bp < 0 for share_bp in made.shares_bp.values()):
        return _incomplete(f"forced shares must make 100 % together, none below 0; these make {total_bp / 100:g} %", "shares_bp")
    return None


def _incomplete(text: str, field_name: str) -> Finding:
    return finding(FindingCode.INCOMPLETE, Severity.REFUSED, text, field=field_name)


def _what_is_wrong_with_life(made: Override, policy: Policy, now_ms: int) -> Finding | None:
    life_ms = made.expires_ms - now_ms
    if life_ms <= 0:
        return finding(
            FindingCode.OVERRIDE_EXPIRED,
            Severity.REFUSED,
            f"the override expired {-life_ms / 1000:.0f} s ago",
            expires_ms=made.expires_ms,
            now_ms=now_ms,
        )
    if life_ms > policy.override_max_ms:
        return finding(
            FindingCode.OVERRIDE_TOO_LONG,
            Severity.REFUSED,
            f"{life_ms / HOUR_MS:.1f} h is longer than the {policy.override_max_ms / HOUR_MS:.0f} h allowed",
            life_ms=life_ms,
            max_ms=policy.override_max_ms,
        )
    return None


def active(overrides: Iterable[Override], now_ms: int) -> tuple[Override, ...]:
    """Those in force now, in the order given."""
    return tuple(entry for entry in overrides if now_ms < entry.expires_ms)


def expired(overrides: Iterable[Override], now_ms: int) -> tuple[Override, ...]:
    """Those whose time is over, in the order given."""
    return tuple(entry for entry in overrides if now_ms >= entry.expires_ms)


def warn_at_ms(override: Override, before_ms: int) -> int:
    """When the end is announced: so long before, and for short ones at the last tenth of their life."""
    life_ms = override.expires_ms - override.created_ms
    return override.expires_ms - min(before_ms, life_ms // 10)


def forced_view(overrides: Iterable[Override], service: ServiceId, now_ms: int) -> Forced:
    """What is forced upon one service now.

    Drains and depools add up. Of several modes or shares the one for just this service wins over one for all, and
    then the latest made.
    """
    if not overrides:
        return _NOTHING_FORCED
    mine = sorted(
        (entry for entry in active(overrides, now_ms) if entry.service in (None, service)),
        key=lambda entry: (entry.service is not None, entry.created_ms, entry.id),
    )
    by: dict[SiteId, Override] = {}
    depooled: set[MemberId] = set()
    shares_by: Override | None = None
    frozen_by: Override | None = None
    mode: Mode | None = None
    for entry in mine:
        match entry.kind:
            case OverrideKind.DRAIN if entry.site is not None:
                by[entry.site] = entry
            case OverrideKind.DEPOOL if entry.member is not None:
                depooled.add(entry.member)
            case OverrideKind.SHARES:
                shares_by = entry
            case OverrideKind.FREEZE:
                frozen_by = entry
            case OverrideKind.MODE:
                mode = entry.mode
            case _:
                pass
    return Forced(
        drained_sites=frozenset(by),
        depooled=frozenset(depooled),
        shares_bp=shares_by.shares_bp if shares_by is not None else None,
        mode=mode,
        by=by,
        shares_by=shares_by,
        frozen_by=frozen_by,
    )
