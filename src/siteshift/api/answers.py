"""The core's answers as documents."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from siteshift.api.problems import problem, reply
from siteshift.core.explain import finding_document, override_document
from siteshift.core.explain_goals import offer_document
from siteshift.core.messages.commands import Answer
from siteshift.core.model.approval import Offer
from siteshift.core.model.codes import Severity
from siteshift.core.model.plan import Plan
from siteshift.core.plan.render import render, to_document

NEEDS_APPROVAL_STATUS = 409
REFUSED_STATUS = 422


def plan_document(plan: Plan, offer: Offer | None) -> dict[str, Any]:
    """A plan with the digest by which it is confirmed, and the lines a person reads."""
    digest = offer.digest if offer is not None else plan.digest
    return {**to_document(plan), "digest": digest, "lines": list(render(plan))}


def answer_document(answer: Answer, now_ms: int) -> dict[str, Any]:
    """An answer, whatever it is."""
    return {
        "severity": answer.severity.value,
        "findings": [finding_document(entry) for entry in answer.findings],
        "plans": [plan_document(plan, answer.offer) for plan in answer.plans],
        "override": override_document(answer.override, now_ms) if answer.override else None,
        "offer": offer_document(answer.offer) if answer.offer else None,
        "approved_by": list(answer.approved_by),
        "waits_until_ms": answer.waits_until_ms,
        "note": answer.note,
    }


def respond(answer: Answer, now_ms: int, *, is_dry_run: bool) -> web.Response:
    """200 granted; 409 needs approval; 422 refused by a rule. A dry run is always 200: it shows what would be."""
    document = answer_document(answer, now_ms)
    if is_dry_run or answer.severity is Severity.ALLOWED:
        return reply({**document, "dry_run": is_dry_run})
    standing = [entry for entry in answer.findings if entry.severity is not Severity.ALLOWED]
    worst = next((entry for entry in standing if entry.severity is answer.severity), None)
    code = worst.code.value if worst else answer.severity.value.upper()
    is_refused = answer.severity is Severity.REFUSED
    return problem(
        REFUSED_STATUS if is_refused else NEEDS_APPROVAL_STATUS,
        code,
        "refused by a rule" if is_refused else "needs approval",
        f"{worst.text}. {worst.remedy}" if worst else "",
        **document,
    )
