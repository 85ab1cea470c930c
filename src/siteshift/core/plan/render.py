"""A plan for people (plain text) and for programs (JSON-compatible): shares, loads, waits and rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from siteshift.core.model.codes import Severity
from siteshift.core.model.plan import Plan, Step
from siteshift.core.model.units import ServiceId


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
        f"old answers live on for up to {_seconds(plan.ttl_tail_ms)}; the whole is expected to take "
        f"{_seconds(plan.expected_ms)}",
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
        "precondition": step.precondition,
        "postcondition": step.postcondition,
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
            step.postcondition,
        )


def _what(step: Step) -> str:
    """What changes in a step: shares, else members."""
    changes = [
        f"{site} {_percent(step.before_bp.get(site, 0))} > {_percent(after_bp)}"
        for site, after_bp in step.after_bp.items()
        if after_bp != step.before_bp.get(site, 0)
    ]
    return ", ".join(changes or step.members)


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
