"""Judging and steering policies. Absent keys take the defaults of `siteshift.core.model.policy`, with their reasons."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from siteshift.config.fields import NOT_SUPPORTED, HoursMs, PercentBp, PercentPm, ProbeMs, SecondsMs, Strict, refuse
from siteshift.core.model.codes import Failback, Mode, WhenStoreLost


def _no_evacuation(given: WhenStoreLost) -> WhenStoreLost:
    if given is WhenStoreLost.EVACUATE_DEAD_SITE:
        reason = "leaving a dead site without the store takes a majority of nodes, and this version runs a single one"
        refuse(NOT_SUPPORTED, reason, "write `when_store_lost: hold`, or leave it out")
    return given


Ttl = Annotated[int, Field(ge=0, le=86_400)]


class JudgingSection(Strict):
    """How evidence becomes a standing."""

    interval_ms: ProbeMs | None = None
    """Between two checks of one target."""
    fast_interval_ms: ProbeMs | None = None
    """The same, while the target or its pool is suspected: never more than five times as often as by a probe's own interval,
    a journey or a command no sooner than it took lately, and beyond the usual no more than a tenth of what a member carries."""
    timeout_ms: ProbeMs | None = None
    """When a check counts as failed; shorter than the interval."""
    confirm_hard_ms: ProbeMs | None = None
    """The least time to a verdict on hard evidence (refused, reset, unreachable, wrong certificate)."""
    confirm_silent_ms: ProbeMs | None = None
    """The least time to a verdict on silence."""
    false_alarms_per_year: Annotated[float, Field(strict=False, gt=0, le=1_000)] | None = None
    """The budget of healthy targets called down, per target."""
    rise: Annotated[int, Field(ge=1, le=100)] | None = None
    """Passes in a row before a target counts as up again."""
    extra_probe_load_percent: PercentPm | None = None
    """How much more may be probed over an hour because something is suspected; over any minute at most as much again."""
    report_stale_ms: ProbeMs | None = None
    """A node's report older than this counts for nothing."""


class ServicePolicySection(Strict):
    """How a service may be steered."""

    mode: Mode | None = None
    """`observe`: only watch. `recommend`: make plans and ask. `auto`: act. Not given: `recommend`, and that is said."""
    max_utilisation_percent: PercentPm | None = None
    """What may be asked of a pool; survivors past their knee serve less, not more. What is a site's own in calm it may have
    back beyond it. Of a sick site's traffic others get less still (80 % and 3 for each tenth that it loses)."""
    min_serving_sites: Annotated[int, Field(ge=1, le=100)] | None = None
    """Fewer serving sites than this are refused."""
    max_unattended_percent: PercentBp | None = None
    """The largest share of a service that may leave a site without a person."""
    velocity_percent: PercentBp | None = None
    """Share moved per window without a person; a larger move goes so far, and the rest waits. A crashed site is exempt."""
    velocity_window_s: SecondsMs | None = None
    """The window of `velocity_percent`."""
    removals_per_hour: Annotated[int, Field(ge=0, le=1_000)] | None = None
    """Automatic removals of sites and members."""
    refuge_same_fate: bool | None = None
    """Whether traffic may flee to a site of the same shared-fate group like to any other; else only what fits nowhere else,
    and from a site that is not dead with a person's leave."""
    hold_down_s: SecondsMs | None = None
    """The least time before a move is reversed; doubles with each flap. So long too a site that failed under load keeps its cap
    while others carry the rest."""
    hold_down_max_s: SecondsMs | None = None
    """Where the doubling ends."""
    failback: Failback | None = None
    """How traffic returns: `ramp`, `manual` or `stay`. Default: `ramp`, for writable data `manual`."""
    ramp_percent: tuple[PercentBp, ...] | None = None
    """Steps of the way back; ascending, the last is 100."""
    soak_s: SecondsMs | None = None
    """How long each step of the ramp is watched. While users are shed, 99 answers without an error are enough."""
    settle_s: SecondsMs | None = None
    """How long the survivors' answer to a step is watched before the next. The first relief of a full one does not wait."""
    proof_percent: PercentBp | None = None
    """The first real traffic a standby gets, in parts of what a server of its weight gets. Default: 2."""
    proof_s: SecondsMs | None = None
    """How long that is watched."""
    standby_deadline_s: SecondsMs | None = None
    """A standby that is not ready by then counts as failed."""
    warm_on_suspicion: bool | None = None
    """Start standbys as soon as a site is suspected."""
    ttl_normal_s: Ttl | None = None
    """The TTL of DNS answers when all is well."""
    ttl_suspect_s: Ttl | None = None
    """The TTL of DNS answers once a site is suspected."""
    residual_done_percent: PercentBp | None = None
    """A drain is complete when no more than this part of the service's traffic still reaches the site."""
    leave_degraded_below_percent: PercentPm | None = None
    """A site whose goodput is below this is left; a late answer counts half."""
    data_max_lag_ms: Annotated[int, Field(ge=0, le=3_600_000)] | None = None
    """How far behind a replica of writable data may be: `{max_lag_ms}` of a command probe of role `data`."""
    when_store_lost: Annotated[WhenStoreLost, AfterValidator(_no_evacuation)] | None = None
    """`hold`; `evacuate_dead_site` needs several nodes, which this version does not have, and is refused."""


class OverridesSection(Strict):
    """What people force expires."""

    default_expiry_h: HoursMs | None = None
    max_expiry_h: HoursMs | None = None
    warn_before_s: SecondsMs | None = None
    """So long before its end people are told of it; of a short one, at the last tenth of its life."""


class PolicySection(ServicePolicySection):
    """The defaults of all services, and what concerns the whole deployment."""

    overrides: OverridesSection = OverridesSection()
    read_back_every_s: SecondsMs | None = None
    """How often data planes are read."""


SERVICE_POLICY_FIELDS: dict[str, str] = {
    "mode": "mode",
    "max_utilisation_percent": "max_utilisation_pm",
    "min_serving_sites": "min_serving_sites",
    "max_unattended_percent": "max_unattended_bp",
    "velocity_percent": "velocity_bp",
    "velocity_window_s": "velocity_window_ms",
    "removals_per_hour": "removals_per_hour",
    "refuge_same_fate": "refuge_same_fate",
    "hold_down_s": "hold_down_ms",
    "hold_down_max_s": "hold_down_max_ms",
    "failback": "failback",
    "ramp_percent": "ramp_bp",
    "soak_s": "soak_ms",
    "settle_s": "settle_ms",
    "proof_percent": "proof_bp",
    "proof_s": "proof_ms",
    "standby_deadline_s": "standby_deadline_ms",
    "warm_on_suspicion": "warm_on_suspicion",
    "ttl_normal_s": "ttl_normal_s",
    "ttl_suspect_s": "ttl_suspect_s",
    "residual_done_percent": "residual_done_bp",
    "leave_degraded_below_percent": "leave_degraded_below_pm",
    "data_max_lag_ms": "data_max_lag_ms",
    "when_store_lost": "when_store_lost",
}
"""Key of the file → field of `ServicePolicy`."""

JUDGE_FIELDS: dict[str, str] = {
    "interval_ms": "interval_ms",
    "fast_interval_ms": "fast_interval_ms",
    "timeout_ms": "timeout_ms",
    "confirm_hard_ms": "confirm_hard_ms",
    "confirm_silent_ms": "confirm_silent_ms",
    "false_alarms_per_year": "false_alarms_per_year",
    "rise": "rise",
    "extra_probe_load_percent": "extra_probe_load_pm",
    "report_stale_ms": "report_stale_ms",
}
"""Key of the file → field of `JudgePolicy`."""

DEPLOYMENT_FIELDS: dict[str, str] = {
    "read_back_every_s": "read_back_every_ms",
}
OVERRIDE_FIELDS: dict[str, str] = {
    "default_expiry_h": "override_default_ms",
    "max_expiry_h": "override_max_ms",
    "warn_before_s": "override_warn_ms",
}
"""Keys of the file → fields of `Policy`."""
