"""The plan, all of it: its nouns (`step`), drawing it (`draw`) and showing it (`render`)."""

from __future__ import annotations

from siteshift.core.decide.draw import PlanInputs, ServiceChange, draw_plan
from siteshift.core.decide.render import render, to_document
from siteshift.core.decide.step import Plan, Shares, Step, SurvivorLoad

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
