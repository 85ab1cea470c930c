"""What is expected of a service by the plan in force: the steps still to come, and the facts they follow from.

Not remembered over a restart: evidence begins anew then, and so does the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.model.plan import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """``steps`` still to come; ``facts`` by name, as they were when the plan was folded."""

    steps: tuple[Step, ...]
    facts: Mapping[str, str]
