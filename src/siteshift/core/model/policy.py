"""What may be done, how fast, and how sure one must be. Every number has its reason (DESIGN §8).

Approvals bind what stands here: a new field says what its absence stood for (`model.digest.added`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from siteshift.core.model.codes import Failback, Mode, WhenStoreLost
from siteshift.core.model.units import ServiceId

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePolicy:
    """How evidence becomes a standing.

    ``interval_ms`` 1 s and ``fast_interval_ms`` 200 ms: peers detect in 6 s (HAProxy) to 100 s (gdnsd).
    ``confirm_hard_ms`` 300, ``confirm_silent_ms`` 1000: a blip shorter than this is not worth a move.
    ``false_alarms_per_year`` is the budget of false suspicion-turned-down per target: one number instead of rise/fall.
    """

    interval_ms: int = 1_000
    fast_interval_ms: int = 200
    timeout_ms: int = 800
    confirm_hard_ms: int = 300
    confirm_silent_ms: int = 1_000
    false_alarms_per_year: float = 1.0
    rise: int = 3
    extra_probe_load_pm: int = 100
    report_stale_ms: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePolicy:
    """How one service may be steered.

    ``max_utilisation_pm`` 900: survivors past their knee serve less, not more.
    ``velocity_bp`` per ``velocity_window_ms``: 50 % per 10 min without a person; a crashed site is exempt.
    ``hold_down_ms`` 300 s doubling to ``hold_down_max_ms``: gdnsd and orchestrator practice.
    ``ramp_bp`` are parts of the way back, soaked ``soak_ms`` each. ``settle_ms`` is how long the survivors' answer to a
    step is watched before the next one: two intervals of evidence.
    """

    mode: Mode = Mode.AUTO
    max_utilisation_pm: int = 900
    min_serving_sites: int = 1
    max_unattended_bp: int = 10_000
    velocity_bp: int = 5_000
    velocity_window_ms: int = 10 * MINUTE_MS
    removals_per_hour: int = 6
    refuge_same_fate: bool = False
    hold_down_ms: int = 300_000
    hold_down_max_ms: int = HOUR_MS
    failback: Failback = Failback.RAMP
    ramp_bp: tuple[int, ...] = (100, 500, 2_500, 5_000, 10_000)
    soak_ms: int = 30_000
    settle_ms: int = 2_000
    proof_bp: int = 200
    proof_ms: int = 2_000
    standby_deadline_ms: int = 90_000
    warm_on_suspicion: bool = True
    ttl_normal_s: int = 30
    ttl_suspect_s: int = 5
    residual_done_bp: int = 100
    leave_degraded_below_pm: int = 970
    data_max_lag_ms: int = 1_000
    when_store_lost: WhenStoreLost = WhenStoreLost.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole policy: judging, defaults for services, and the exceptions."""

    judge: JudgePolicy = field(default_factory=JudgePolicy)
    default: ServicePolicy = field(default_factory=ServicePolicy)
    services: dict[ServiceId, ServicePolicy] = field(default_factory=dict)
    override_default_ms: int = 4 * HOUR_MS
    override_max_ms: int = 72 * HOUR_MS
    override_warn_ms: int = 15 * MINUTE_MS
    read_back_every_ms: int = 5_000

    def of(self, service: ServiceId) -> ServicePolicy:
        return self.services.get(service, self.default)
