"""The closed vocabularies. One enum a concept; the values appear in config, API, journal and metrics alike."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What one check amounted to. ``lost`` is no evidence: the prober itself could not ask."""

    PASS = "pass"
    FAIL = "fail"
    LOST = "lost"


class Fault(StrEnum):
    """Why a check failed. See `Hardness` for how convincing each is."""

    NONE = "none"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BAD_STATUS = "bad_status"
    BAD_CONTENT = "bad_content"
    BAD_CERTIFICATE = "bad_certificate"
    PROTOCOL = "protocol"
    SLOW = "slow"
    LOCAL = "local"


class Stage(StrEnum):
    """Which word on one run of a probe this is. Every run is counted once: ``late`` results are not counted again.

    ``final``  the only word on the run.
    ``early``  the run is still pending when its stopwatch ran out: a fail, to be counted now.
    ``late``   how a run with an ``early`` word ended after all (at most one; it tells the true latency).
    """

    FINAL = "final"
    EARLY = "early"
    LATE = "late"


class Hardness(StrEnum):
    """How convincing the evidence behind a standing is; `confirm_for` depends on it (DESIGN §4)."""

    NONE = "none"
    HARD = "hard"
    SILENT = "silent"
    GREY = "grey"
    SLOW = "slow"


class Standing(StrEnum):
    """What the evidence amounts to for a target, from one vantage or combined."""

    UP = "up"
    SUSPECT = "suspect"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class DiagnosisCode(StrEnum):
    """The named fault."""

    SITE_DOWN = "SITE_DOWN"
    SITE_DEGRADED = "SITE_DEGRADED"
    SERVICE_DOWN = "SERVICE_DOWN"
    SERVICE_DEGRADED = "SERVICE_DEGRADED"
    MEMBER_DOWN = "MEMBER_DOWN"
    GLOBAL_FAULT = "GLOBAL_FAULT"
    PATH_DOWN = "PATH_DOWN"
    OBSERVER_ISOLATED = "OBSERVER_ISOLATED"
    CHECK_BROKEN = "CHECK_BROKEN"
    DEPENDENCY_DOWN = "DEPENDENCY_DOWN"
    OVERLOAD = "OVERLOAD"
    STALE = "STALE"


class SiteLife(StrEnum):
    """The life of a service at a site (and, summed up, of the site)."""

    SERVING = "serving"
    SUSPECT = "suspect"
    DRAINING = "draining"
    DRAINED = "drained"
    RETURNING = "returning"
    HELD = "held"
    BLIND = "blind"


class MemberRole(StrEnum):
    """``standby`` members get traffic only after they were activated and found ready."""

    ACTIVE = "active"
    STANDBY = "standby"


class StandbyPhase(StrEnum):
    """Where a standby member is on its way into service."""

    COLD = "cold"
    STARTING = "starting"
    READY = "ready"
    PROVEN = "proven"
    FAILED = "failed"
    RETIRING = "retiring"


class Mode(StrEnum):
    """What siteshift may do for a service. Detection is always on (law 6)."""

    OBSERVE = "observe"
    RECOMMEND = "recommend"
    AUTO = "auto"


class Failback(StrEnum):
    """How traffic returns to a site that recovered."""

    MANUAL = "manual"
    RAMP = "ramp"
    STAY = "stay"


class DataKind(StrEnum):
    """``writable`` services move only where the data role check passes."""

    STATELESS = "stateless"
    WRITABLE = "writable"


class WhenStoreLost(StrEnum):
    """Law 12 and its one exception."""

    HOLD = "hold"
    EVACUATE_DEAD_SITE = "evacuate_dead_site"


class OverrideKind(StrEnum):
    """What a person forced."""

    DRAIN = "drain"
    DEPOOL = "depool"
    SHARES = "shares"
    FREEZE = "freeze"
    MODE = "mode"
    PLANE_OUT = "plane_out"
    """A data plane carries no users for a while: nothing waits for it."""


class Because(StrEnum):
    """Why a desired share is what it is."""

    NOMINAL = "nominal"
    OVERRIDDEN = "overridden"
    NO_EVIDENCE_NO_CHANGE = "no_evidence_no_change"
    DEAD = "dead"
    DEGRADED = "degraded"
    DRAINED_BY_PERSON = "drained_by_person"
    TAKES_OVER = "takes_over"
    CAPACITY_LIMIT = "capacity_limit"
    RETURNING = "returning"
    HELD_DOWN = "held_down"
    STAYS_AWAY = "stays_away"
    NOT_PROMOTED = "not_promoted"
    LAST_SITE = "last_site"
    SHED = "shed"


class Severity(StrEnum):
    """What a finding means for the plan: go, ask a person, or no."""

    ALLOWED = "allowed"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"


class FindingCode(StrEnum):
    """What the gate can find. Each has a remedy in `core.decide.gate`."""

    LAST_SERVING_SITE = "LAST_SERVING_SITE"
    MIN_SERVING_SITES = "MIN_SERVING_SITES"
    CAPACITY_SHORT = "CAPACITY_SHORT"
    SHED_NEEDED = "SHED_NEEDED"
    STANDBY_NOT_READY = "STANDBY_NOT_READY"
    VELOCITY = "VELOCITY"
    REMOVALS_PER_HOUR = "REMOVALS_PER_HOUR"
    SHARE_NEEDS_PERSON = "SHARE_NEEDS_PERSON"
    SAME_FATE = "SAME_FATE"
    DATA_ROLE = "DATA_ROLE"
    CHANGE_FREEZE = "CHANGE_FREEZE"
    HOLD_DOWN = "HOLD_DOWN"
    MODE_OBSERVE = "MODE_OBSERVE"
    MODE_RECOMMEND = "MODE_RECOMMEND"
    STALE_DIGEST = "STALE_DIGEST"
    OVERRIDE_EXPIRED = "OVERRIDE_EXPIRED"
    OVERRIDE_TOO_LONG = "OVERRIDE_TOO_LONG"
    NOT_LEADER = "NOT_LEADER"
    STORE_LOST = "STORE_LOST"
    BLIND = "BLIND"
    GLOBAL_FAULT = "GLOBAL_FAULT"
    NO_FRESH_EVIDENCE = "NO_FRESH_EVIDENCE"
    TARGET_UNHEALTHY = "TARGET_UNHEALTHY"
    UNKNOWN_NAME = "UNKNOWN_NAME"
    NOTHING_TO_DO = "NOTHING_TO_DO"
    DATA_PLANE_UNKNOWN = "DATA_PLANE_UNKNOWN"
    CHANGED_BY_HAND = "CHANGED_BY_HAND"
    SWITCHED_OFF = "SWITCHED_OFF"
    INCOMPLETE = "INCOMPLETE"
    HELD_AS_ADOPTED = "HELD_AS_ADOPTED"
    PLANE_FOREIGN = "PLANE_FOREIGN"
    PLANE_OBSTACLE = "PLANE_OBSTACLE"
    LAST_PLANE = "LAST_PLANE"
    NO_POOL = "NO_POOL"
    ROOM_HELD_BACK = "ROOM_HELD_BACK"
    ENVELOPE_LEFT = "ENVELOPE_LEFT"
    OWN_REQUEST = "OWN_REQUEST"
    NOT_ALLOWED = "NOT_ALLOWED"


class NoticeCode(StrEnum):
    """What people are notified of beside the findings and diagnoses, whose own codes are used for them."""

    BLIND = "BLIND"
    CLOCK = "CLOCK"
    DRIFT = "DRIFT"
    ENVELOPE_LEFT = "ENVELOPE_LEFT"
    GOAL_ENDED = "GOAL_ENDED"
    OVERRIDE_ENDS_SOON = "OVERRIDE_ENDS_SOON"
    OVERRIDE_EXPIRED = "OVERRIDE_EXPIRED"
    OVERRIDE_LIFTED = "OVERRIDE_LIFTED"
    PLANE_STALE = "PLANE_STALE"
    PLANE_REFUSED = "PLANE_REFUSED"
    PLANE_FAILED = "PLANE_FAILED"
    PLANE_AMBIGUOUS = "PLANE_AMBIGUOUS"
    PLANE_FORGETS = "PLANE_FORGETS"
    PLANE_LEFT = "PLANE_LEFT"
    PLANE_UNREADABLE = "PLANE_UNREADABLE"
    RECORD_GAP = "RECORD_GAP"
    RELOAD_REFUSED = "RELOAD_REFUSED"
    STANDBY_FAILED = "STANDBY_FAILED"
    SHARE_LEFT = "SHARE_LEFT"
    STANDBY_LEFT = "STANDBY_LEFT"
    STARTED_FROM_NOTHING = "STARTED_FROM_NOTHING"


class StepKind(StrEnum):
    """The steps a plan is made of (DESIGN §5): what is done, then what is only waited for."""

    MOVE = "move"
    UNDO = "undo"
    ACTIVATE_STANDBY = "activate_standby"
    RETIRE_STANDBY = "retire_standby"
    POOL = "pool"
    DEPOOL = "depool"
    WEIGH = "weigh"
    CLOSE_SITE = "close_site"
    OPEN_SITE = "open_site"
    LOWER_TTL = "lower_ttl"
    RESTORE_TTL = "restore_ttl"
    SEND_ON = "send_on"
    VERIFY = "verify"
    SETTLE = "settle"
    SOAK = "soak"
    AWAIT_READY = "await_ready"
    PROOF = "proof"
    AWAIT_TTL = "await_ttl"
    WATCH_RESIDUAL = "watch_residual"
    HOLD = "hold"


class EnactOutcome(StrEnum):
    """How one write to a data plane ended. ``ambiguous`` is an outcome (law 10): read before retrying."""

    APPLIED = "applied"
    STALE = "stale"
    REFUSED = "refused"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"


class LeftBecause(StrEnum):
    """Why a site was left."""

    DEAD = "dead"
    SICK = "sick"
    PERSON = "person"
    UNKNOWN = "unknown"
    """Found so, and not remembered: a person may have had a reason."""
