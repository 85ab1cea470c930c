"""Folds plans beside the loop, in slices, on a snapshot of the state: a plan for a thousand services never holds it.

What a request needs planned is found by asking the core for its answer with a planner that only notes the question.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.plan import Foreseen, Plan
from siteshift.core.model.setup import Setup
from siteshift.core.operate.answer import look_at
from siteshift.core.plan.fold import Fold
from siteshift.core.plan.foreseen import basis_of
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Licence, PlanQuestion

PIECES = 4
"""Pieces of work between two awaits: each is one service, or a slice of the allocation of about a millisecond."""
MOST_QUESTIONS = 4
"""Plans one request may need; an answer takes one, two where a goal is compared with what was shown."""


class _Unforeseen(Exception):
    """A plan is needed that was not folded yet."""

    def __init__(self, question: PlanQuestion) -> None:
        super().__init__("a plan is needed")
        self.question = question


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state and the setup at one moment; both are immutable, so the loop may go on meanwhile."""

    state: ControllerState
    setup: Setup
    now_ms: int


async def folded(at: Snapshot, question: PlanQuestion, licence: Licence = Licence.AS_IF_APPROVED) -> Plan | None:
    """The plan, folded in slices."""
    fold = Fold(state=question.state, setup=at.setup, now_ms=at.now_ms, only=question.only, licence=licence)
    while not fold.is_done:
        for _ in range(PIECES):
            if fold.advance():
                break
        await asyncio.sleep(0)
    return fold.plan


async def foreseen(at: Snapshot, asking: OperatorRequest) -> tuple[Answer | None, tuple[Foreseen, ...]]:
    """The answer a request would get, and the plans it needs. None: it needs more plans than are folded beforehand."""
    known: dict[str, Foreseen] = {}

    def recall(question: PlanQuestion) -> Plan | None:
        found = known.get(basis_of(question.state, at.setup, question.only))
        if found is None:
            raise _Unforeseen(question)
        return found.plan

    for _ in range(MOST_QUESTIONS + 1):
        try:
            answer = look_at(at.state, at.setup, asking, at.now_ms, plan_now=recall)
        except _Unforeseen as missing:
            basis = basis_of(missing.question.state, at.setup, missing.question.only)
            known[basis] = Foreseen(basis=basis, plan=await folded(at, missing.question))
            continue
        return answer, tuple(known.values())
    return None, tuple(known.values())
