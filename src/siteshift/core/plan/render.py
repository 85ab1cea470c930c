"""A plan for people (plain text) and for programs (JSON-compatible): shares, loads, waits and rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from siteshift.core.model.codes import Severity, StepKind
from siteshift.core.model.plan import Plan, Step
from siteshift.core.model.units import MemberId, ServiceId

DONE_WHEN: Mapping[StepKind, str] = {
    StepKind.MOVE: "read back everywhere, and no survivor got worse",
    StepKind.UNDO: "read back everywhere",
    StepKind.ACTIVATE_STANDBY: "their drivers accepted the start",
    StepKind.RETIRE_STANDBY: "they carry nothing and are back in standby",
    StepKind.POOL: "read back everywhere",
    StepKind.DEPOOL: "read back everywhere",
    StepKind.WEIGH: "read back everywhere",
    StepKind.CLOSE_SITE: "no cookie leads there any more",
    StepKind.OPEN_SITE: "read back everywhere",
    StepKind.LOWER_TTL: "every authoritative server answers with it",
    StepKind.RESTORE_TTL: "every authoritative server answers with it",
    StepKind.SEND_ON: "read back everywhere",
    StepKind.VERIFY: "every data plane confirmed the step",
    StepKind.SETTLE: "the survivors were watched under the new load",
    StepKind.SOAK: "the site held its new share without trouble",
    StepKind.AWAIT_READY: "their drivers say ready",
    StepKind.PROOF: "their checks pass, and real requests went well",
    StepKind.AWAIT_TTL: "the old answers have run out",
    StepKind.WATCH_RESIDUAL: "seen traffic at the drained sites is gone",
    StepKind.HOLD: "what stands in the way is gone (see the rules)",
}
"""What ends a step, in words."""


def render(plan: Plan) -> tuple[str, ...]:
    """The lines of the on-screen plan."""
    if plan.is_empty:
        return ("nothing to do: the steering already is as wanted", *_findings(plan))
    return (
        f"plan {plan.digest}: {plan.cause.value}, {', '.join(plan.services)}",
        "",
        *_table(_share_rows(plan)),
        "",
        *_table(_step_rows(plan)),
        "",
        f"old answers live on for up to {_seconds(plan.ttl_tail_ms)}; the whole is expected to take {_seconds(plan.expected_ms)}",
        *(["there are more steps than a plan may have; the rest is planned when these are done"] if plan.is_cut else []),
        *_findings(plan),
    )


def to_document(plan: Plan) -> dict[str, object]:
    """The plan as a JSON-compatible document."""
    return {
        "digest": plan.digest,
        "cause": plan.cause.value,
        "services": list(plan.services),
        "before_bp": {service: dict(shares) for service, shares in plan.before.items()},
        "after_bp": {service: dict(shares) for service, shares in plan.after.items()},
        "shed_bp": dict(plan.shed_bp),
        "ttl_tail_ms": plan.ttl_tail_ms,
        "expected_ms": plan.expected_ms,
        "is_cut": plan.is_cut,
        "waits": {service: {"code": wait.code.value, "until_ms": wait.until_ms} for service, wait in plan.waits.items()},
        "loads": [
            {
                "service": load.service,
                "site": load.site,
                "capacity_rps": load.capacity_rps,
                "before_rps": load.before_rps,
                "after_rps": load.after_rps,
                "utilisation_pm": load.utilisation_pm,
            }
            for load in plan.loads
        ],
        "steps": [_step_document(step) for step in plan.steps],
        "findings": [
            {
                "code": entry.code.value,
                "severity": entry.severity.value,
                "text": entry.text,
                "remedy": entry.remedy,
                "numbers": dict(entry.numbers),
            }
            for entry in plan.findings
        ],
    }


def _step_document(step: Step) -> dict[str, object]:
    return {
        "kind": step.kind.value,
        "service": step.service,
        "before_bp": dict(step.before_bp),
        "after_bp": dict(step.after_bp),
        "members": list(step.members),
        "wait_ms": step.wait_ms,
        "at_ms": step.at_ms,
        "ttl_s": step.ttl_s,
        "weights_pm": dict(step.weights_pm),
        "utilisation_pm": dict(step.utilisation_pm),
        "postcondition": DONE_WHEN[step.kind],
    }


def _share_rows(plan: Plan) -> Iterator[Sequence[str]]:
    """Shares before and after, load against capacity: one row a site, then what is shed."""
    yield ("service", "site", "share now", "then", "rps now", "then", "of", "used")
    loads = {(load.service, load.site): load for load in plan.loads}
    for service in plan.services:
        for site, after_bp in plan.after[service].items():
            load = loads.get((service, site))
            if load is None:
                continue
            yield (
                service,
                site,
                _percent(plan.before[service].get(site, 0)),
                _percent(after_bp),
                str(load.before_rps),
                str(load.after_rps),
                str(load.capacity_rps),
                f"{load.utilisation_pm / 10:.0f} %" if load.capacity_rps else ("none" if load.after_rps else "-"),
            )
        yield from _shed_row(plan, service)


def _shed_row(plan: Plan, service: ServiceId) -> Iterator[Sequence[str]]:
    if shed_bp := plan.shed_bp.get(service, 0):
        yield (service, "(shed)", "", _percent(shed_bp), "", "", "", "")


def _step_rows(plan: Plan) -> Iterator[Sequence[str]]:
    yield ("step", "service", "what", "wait", "done when")
    for number, step in enumerate(plan.steps, 1):
        yield (
            f"{number} {step.kind.value}",
            step.service,
            _what(step),
            _seconds(step.wait_ms) if step.wait_ms else "",
            DONE_WHEN[step.kind],
        )


def _what(step: Step) -> str:
    """What changes in a step: shares, else members."""
    changes = [
        f"{site} {_percent(step.before_bp.get(site, 0))} > {_percent(after_bp)}"
        for site, after_bp in step.after_bp.items()
        if after_bp != step.before_bp.get(site, 0)
    ]
    changes += [f"{member} {_weight(step, member)}" for member in step.members]
    if step.dead_sites is not None:
        changes.append(f"closed: {', '.join(sorted(step.dead_sites)) or 'none'}")
    if step.ttl_s is not None:
        changes.append(f"TTL {step.ttl_s} s")
    return ", ".join(changes)


def _weight(step: Step, member: MemberId) -> str:
    """What becomes of a member in a step."""
    match step.kind, step.weights_pm.get(member):
        case StepKind.ACTIVATE_STANDBY, _:
            return "starts"
        case StepKind.RETIRE_STANDBY, _:
            return "goes home"
        case _, 0:
            return "out"
        case _, weight_pm:
            return f"at {(weight_pm or 0) / 10:g} %"


def _findings(plan: Plan) -> Iterator[str]:
    """The rules touched, the worst first."""
    order = (Severity.REFUSED, Severity.NEEDS_APPROVAL, Severity.ALLOWED)
    for entry in sorted(plan.findings, key=lambda entry: order.index(entry.severity)):
        yield f"{entry.severity.value} {entry.code.value}: {entry.text}"
        if entry.severity is not Severity.ALLOWED:
            yield f"    {entry.remedy}"


def _table(rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest cell, two blanks between."""
    cells = list(rows)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _percent(share_bp: int) -> str:
    return f"{share_bp / 100:g} %"


def _seconds(value_ms: int) -> str:
    return f"{value_ms / 1_000:g} s"
