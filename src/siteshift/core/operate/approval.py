"""Approvals: a digest binds them to the plan that was looked at (law 13), and each counts one person."""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.plan import Plan


def approvers(asking: OperatorRequest) -> tuple[str, ...]:
    """Who approves the plan whose digest was given; nobody approves a plan that was not looked at."""
    if asking.digest is None:
        return ()
    return tuple(dict.fromkeys((asking.person, *asking.approved_by)))


def bound(asking: OperatorRequest, plan: Plan | None) -> tuple[Finding, ...]:
    """The findings of a plan, with the approvals applied: a digest that is not this plan's approves nothing."""
    if plan is None:
        return ()
    if asking.digest is not None and asking.digest != plan.digest:
        text = f"the plan you looked at ({asking.digest}) is not the plan of now ({plan.digest})"
        stale = finding(FindingCode.STALE_DIGEST, Severity.REFUSED, text, given=asking.digest, now=plan.digest)
        return (stale, *plan.findings)
    people = len(approvers(asking))
    return tuple(
        replace(entry, severity=Severity.ALLOWED)
        if entry.severity is Severity.NEEDS_APPROVAL and 0 < entry.approvers_needed <= people
        else entry
        for entry in plan.findings
    )


def refusal(asking: OperatorRequest, findings: tuple[Finding, ...]) -> Answer:
    """No, and why."""
    return Answer(asking=asking.id, severity=Severity.REFUSED, findings=findings)
