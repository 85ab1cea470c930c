"""Bounds that must not lie beyond one another: judging, steering policies, overrides."""

from __future__ import annotations

from itertools import pairwise

from siteshift.config.checks.findings import At, Findings
from siteshift.config.model.policy import ServicePolicySection
from siteshift.config.model.root import ConfigFile
from siteshift.config.problem import Path, ProblemCode
from siteshift.config.resolve_policy import UNSAID_MODE, default_policy, judge_policy, policy_of, service_policy
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.units import WHOLE_BP

JUDGING: Path = ("judging",)


def check_policies(config: ConfigFile, findings: Findings) -> None:
    """Judging, the defaults, every service's own policy, and overrides."""
    _judging(config, findings)
    _policy(default_policy(config), config.policy, ("policy",), findings)
    for index, service in enumerate(config.services):
        path: Path = ("services", index, "policy")
        policy = service_policy(config, service)
        _policy(policy, service.policy, path, findings)
        sites = len(service.pools)
        if policy.min_serving_sites > sites > 0:
            own = service.policy.min_serving_sites is not None
            place = (*path, "min_serving_sites") if own else ("services", index, "pools")
            message = f"`min_serving_sites` is {policy.min_serving_sites}, but the service has pools at {sites}"
            below = [("services", index, "pools"), ("policy",)]
            findings.note(ProblemCode.SERVING_SITES, place, message, "lower it, or add a pool", below=below)
    _modes(config, findings)
    overrides = policy_of(config)
    if overrides.override_default_ms > overrides.override_max_ms:
        message = "overrides would by default last longer than they may at most"
        _order(findings, ("policy", "overrides"), "default_expiry_h", "max_expiry_h", message)


def _modes(config: ConfigFile, findings: Findings) -> None:
    unsaid = [service.id for service in config.services if service.policy.mode is None]
    if config.policy.mode is not None or not unsaid:
        return
    message = f"no `mode` for {', '.join(unsaid)}: it is {UNSAID_MODE.value}, so siteshift proposes and nothing moves by itself"
    remedy = "write `mode: auto` under `policy` to have failing sites left automatically, or `mode: recommend` to keep it so"
    place: Path = ("policy",) if findings.given(("policy",)) else ("services",)
    findings.note(ProblemCode.MODE_UNSAID, place, message, remedy, below=[("services",)], at=At.KEY)


def _judging(config: ConfigFile, findings: Findings) -> None:
    judge = judge_policy(config)
    if judge.timeout_ms >= judge.interval_ms:
        path = _given(findings, JUDGING, "timeout_ms", "interval_ms")
        message = f"the timeout ({judge.timeout_ms} ms) must be shorter than the interval ({judge.interval_ms} ms)"
        remedy = f"write `timeout_ms: {judge.interval_ms * 8 // 10}`"
        depends = [(*JUDGING, "timeout_ms"), (*JUDGING, "interval_ms")]
        findings.note(ProblemCode.TIMEOUT_LONG, path, message, remedy, depends=depends)
    if judge.fast_interval_ms > judge.interval_ms:
        message = f"the fast interval ({judge.fast_interval_ms} ms) exceeds the interval ({judge.interval_ms} ms)"
        _order(findings, JUDGING, "fast_interval_ms", "interval_ms", message)
    if judge.confirm_hard_ms > judge.confirm_silent_ms:
        message = "hard evidence would be doubted longer than silence"
        _order(findings, JUDGING, "confirm_hard_ms", "confirm_silent_ms", message)
    if judge.report_stale_ms <= judge.interval_ms:
        place = _given(findings, JUDGING, "report_stale_ms", "interval_ms")
        message = "a report would be stale before the next one can come"
        depends = [(*JUDGING, "report_stale_ms"), (*JUDGING, "interval_ms")]
        findings.note(ProblemCode.ORDER, place, message, "`report_stale_ms` must exceed `interval_ms`", depends=depends)


def _policy(policy: ServicePolicy, section: ServicePolicySection, path: Path, findings: Findings) -> None:
    """A service is told only about what it says itself; the defaults are told once."""
    given = section.model_fields_set
    is_default = path == ("policy",)
    if policy.hold_down_ms > policy.hold_down_max_ms and (is_default or {"hold_down_s", "hold_down_max_s"} & given):
        message = "the hold-down begins above its maximum"
        _order(findings, path, "hold_down_s", "hold_down_max_s", message)
    if policy.ttl_suspect_s > policy.ttl_normal_s and (is_default or {"ttl_normal_s", "ttl_suspect_s"} & given):
        message = f"the TTL on suspicion ({policy.ttl_suspect_s} s) is longer than the normal one"
        _order(findings, path, "ttl_suspect_s", "ttl_normal_s", message)
    if section.ramp_percent is not None:
        _ramp(section.ramp_percent, (*path, "ramp_percent"), findings)
    if section.velocity_window_s is not None and section.velocity_window_s < 1_000:
        place = (*path, "velocity_window_s")
        findings.note(ProblemCode.OUT_OF_RANGE, place, "a window shorter than one second limits nothing", "use 600")
    if section.max_utilisation_percent == 0:
        place = (*path, "max_utilisation_percent")
        findings.note(ProblemCode.OUT_OF_RANGE, place, "with 0 no pool may serve anything", "the default is 90")


def _ramp(ramp_bp: tuple[int, ...], path: Path, findings: Findings) -> None:
    remedy = "write it like `[1, 5, 25, 50, 100]`"
    if not ramp_bp:
        findings.note(ProblemCode.RAMP, path, "the ramp has no step", remedy, below=[path])
        return
    if ramp_bp[0] == 0 or any(low >= high for low, high in pairwise(ramp_bp)):
        message = "each step of the ramp must be larger than the one before"
        findings.note(ProblemCode.RAMP, path, message, remedy, below=[path])
    if ramp_bp[-1] != WHOLE_BP:
        message = f"the ramp ends at {ramp_bp[-1] / 100:g} %, not at 100"
        findings.note(ProblemCode.RAMP, path, message, remedy, below=[path])


def _order(findings: Findings, path: Path, low: str, high: str, message: str) -> None:
    """``low`` lies above ``high``: point to the one that the file sets."""
    place = _given(findings, path, low, high)
    depends = [(*path, low), (*path, high)]
    findings.note(ProblemCode.ORDER, place, message, f"`{low}` must not exceed `{high}`", depends=depends)


def _given(findings: Findings, path: Path, first: str, second: str) -> Path:
    return (*path, first) if findings.given((*path, first)) else (*path, second)
