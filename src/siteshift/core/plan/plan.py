"""The plan, all of it: its nouns (`step`), drawing it (`draw`) and showing it (`render`)."""

from __future__ import annotations

from siteshift.core.model.plan import Plan, Shares, Step, SurvivorLoad
from siteshift.core.plan.draw import PlanInputs, ServiceChange, draw_plan
from siteshift.core.plan.render import render, to_document

__all__ = [
    "Plan",
    "PlanInputs",
    "ServiceChange",
    "Shares",
    "Step",
    "SurvivorLoad",
    "draw_plan",
    "render",
    "to_document",
]
