"""Goals for people: what is wanted, its bounds in words, who approved, who still has to, and for how long. 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text

from siteshift.cli.exits import Document
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH
from siteshift.cli.times import instant_text, span_text

_STYLE = {"waiting": WATCH, "running": GOOD, "suspended": BAD, "reached": GOOD, "ended": QUIET}


def offer_lines(offer: Document) -> Iterator[Text]:
    """What confirming or approving this digest means, bound by bound."""
    yield Text(f"Within these bounds ({offer['digest']}):", style="bold")
    for line in offer["lines"]:
        yield Text(f"  {line}")


def digests_of(goal: Document) -> set[str]:
    """What may be approved of a goal: what was asked for, and the fresh envelope when it was left."""
    return {goal["digest"], *([goal["fresh"]["digest"]] if goal["fresh"] else [])}


def goals_renderables(goals: Iterable[Document]) -> Iterator[RenderableType]:
    """Every goal as a short paragraph, those that want an eye first."""
    for number, goal in enumerate(goals):
        if number:
            yield Text("")
        yield from _goal_lines(goal)


def waiting_lines(goals: Iterable[Document]) -> Iterator[Text]:
    """One sentence for each goal that people have to do something for."""
    for goal in goals:
        yield Text(f"{goal['words']}, asked for by {goal['goal']['owner']}, is {goal['state']}", style=_STYLE[goal["state"]])
        yield Text("    What it takes, and its digest: `siteshift approvals`", style=QUIET)


def _goal_lines(goal: Document) -> Iterator[Text]:
    state = goal["state"]
    yield Text.assemble((goal["digest"], "bold"), "  ", (state, _STYLE[state]), f"  {goal['words']}")
    ticket = f", {goal['goal']['ticket']}" if goal["goal"]["ticket"] else ""
    override = f", override {goal['override']}" if goal["override"] else ""
    yield Text(f"  asked for by {goal['goal']['owner']}{ticket}{override}")
    for entry in goal["approvals"]:
        via = f" by {entry['via']}" if entry["via"] else ""
        who = f"{entry['person']} ({entry['rank'] or 'person'}{via})"
        yield Text(f"  {entry['state'].replace('_', ' ')}: {who}, {instant_text(entry['at_ms'])}")
    if state == "ended":
        yield Text(f"  over: {goal['ended_because']}", style=QUIET)
        return
    if goal["left"]:
        left = goal["left"]
        yield Text(f"  left: {left['field']}", style=BAD)
        yield Text(f"    approved {left['approved']}, now {left['now']}", style=BAD)
    yield from _what_is_missing(goal)
    shown = goal["fresh"] or goal
    for line in offer_lines(shown):
        yield Text("  ") + line
    if state in ("waiting", "running"):
        until = goal["envelope"]["ends_at_ms"] if goal["is_started"] else goal["envelope"]["start_by_ms"]
        word = "ends" if goal["is_started"] else "begins"
        yield Text(f"  {word} by {instant_text(until)} (in {span_text(goal['left_ms'])}), else nothing more happens", style=QUIET)


def _what_is_missing(goal: Document) -> Iterator[Text]:
    digest = goal["fresh"]["digest"] if goal["fresh"] else goal["digest"]
    if missing := goal["approvals_missing"]:
        who = "another person" if missing == 1 else f"{missing} other persons"
        yield Text(f"  needs {who} (role approver): siteshift approve {digest}", style=WATCH)
    if goal["confirmation_missing"]:
        yield Text(f"  needs {goal['goal']['owner']} to ask again with --digest {digest}", style=WATCH)
