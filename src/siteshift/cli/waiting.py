"""``--wait``: follow a move by what is *seen* in traffic until the site is left, or serves again.

A move is over when seen traffic is where the plan ends (law 8), also where a part of it stays by plan. Where nobody measures
traffic, the shares read back from the data planes and the end of the TTL tail stand in for it, and the screen says so.
Interrupting ends the watching, never the move.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from siteshift.cli.exits import Document, ExitCode, Failure
from siteshift.cli.figures import percent
from siteshift.cli.session import Session
from siteshift.cli.times import span_text

EVERY_S = 0.5
LOST_S = 30.0
"""A node that restarts is back within seconds."""
MARGIN_BP = 100
"""So near to its end a share has arrived: measured shares breathe, and by default `residual_done_bp` is the same."""


class Goal(Enum):
    """What is waited for."""

    LEFT = "left"
    SERVING = "serving"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedMove:
    """One move: ``ends_bp`` is the share each service has at the site when it is over."""

    site: str
    goal: Goal
    ends_bp: dict[str, int]
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at the status amounts to. ``share_bp`` is that of the site in the demand of all its services."""

    share_bp: int
    by: str
    is_over: bool
    note: str


def look_at(status: Document, awaited: AwaitedMove) -> Look:
    """Read the status for one move."""
    rows = [(service, service["sites"][awaited.site]) for service in status["services"] if service["service"] in awaited.ends_bp]
    is_seen = bool(rows) and all(row["seen_bp"] is not None for _, row in rows)
    field = "seen_bp" if is_seen else "actual_bp"
    demand = sum(service["demand_rps"] for service, _ in rows) or 1
    share_bp = sum((row[field] or 0) * service["demand_rps"] for service, row in rows) // demand
    over = [_is_over(service, row, awaited, status["at_ms"]) for service, row in rows]
    note = _note(rows, awaited, status["at_ms"])
    return Look(share_bp=share_bp, by="seen" if is_seen else "actual", is_over=all(over), note=note)


def _is_over(service: Document, row: Document, awaited: AwaitedMove, now_ms: int) -> bool:
    ends_bp = awaited.ends_bp[service["service"]]
    if awaited.goal is Goal.LEFT and ends_bp == 0:
        return bool(row["real_life"] == "drained") and not row["delivered_by"]
    return _is_decided(row, awaited.goal, ends_bp) and service["in_step"] and _has_arrived(service, row, awaited.goal, now_ms)


def _is_decided(row: Document, goal: Goal, ends_bp: int) -> bool:
    """Whether the last step was made: what is desired now is where the plan ends. Back is a site when its ramp is over."""
    if goal is Goal.SERVING:
        return bool(row["real_life"] == "serving")
    return bool((row["desired_bp"] or 0) <= ends_bp + MARGIN_BP)


def _has_arrived(service: Document, row: Document, goal: Goal, now_ms: int) -> bool:
    """Whether users are where the data planes send them: as measured, else when no older answer lives any more."""
    if row["seen_bp"] is None:
        return bool(service["tail_until_ms"] <= now_ms)
    missing_bp = row["seen_bp"] - (row["desired_bp"] or 0)
    return bool((missing_bp if goal is Goal.LEFT else -missing_bp) <= MARGIN_BP)


def _note(rows: Iterable[tuple[Document, Document]], awaited: AwaitedMove, now_ms: int) -> str:
    """What is being waited for, in words: what stops it first, then the TTL tail, then what users do, then lives."""
    rows = list(rows)
    stopped = [e["code"] for service, _ in rows for e in service["findings"] if e["severity"] != "allowed"]
    if stopped:
        return f"stopped: {', '.join(dict.fromkeys(stopped))}"
    delivered = [entry["text"] for _, row in rows for entry in row["delivered_by"]]
    if delivered:
        return f"not drained: {'; '.join(delivered)}"
    lives = ", ".join(dict.fromkeys(row["life"] for _, row in rows))
    tail_ms = max((service["tail_until_ms"] - now_ms for service, _ in rows), default=0)
    if tail_ms > 0:
        return f"{lives}; old answers for another {span_text(tail_ms)}"
    late = [service["service"] for service, row in rows if not _has_arrived(service, row, awaited.goal, now_ms)]
    if late:
        return f"{lives}; users of {', '.join(late)} still follow older answers"
    stays = awaited.goal is Goal.LEFT and any(awaited.ends_bp.values())
    return f"{lives}; a part stays by plan" if stays else lives


def wait(session: Session, awaited: AwaitedMove, *, now_s: Callable[[], float] = time.monotonic) -> Look:
    """Follow until it is over. Raises `Failure` when interrupted, when the time is up, or when the node stays away."""
    client = session.client
    first = look_at(client.get("/v1/status"), awaited)
    started_s = heard_s = now_s()
    look = first
    try:
        with _progress(session) as progress:
            task = progress.add_task(_heading(awaited, first), total=10_000, note=first.note)
            while not look.is_over:
                if awaited.timeout_s is not None and now_s() - started_s > awaited.timeout_s:
                    raise Failure(ExitCode.FAILED, f"not over after {awaited.timeout_s} s: {look.note}", remedy=_goes_on(awaited))
                time.sleep(EVERY_S)
                try:
                    look = look_at(client.get("/v1/status"), awaited)
                    heard_s = now_s()
                except Failure:
                    if now_s() - heard_s > LOST_S:
                        raise
                    progress.update(task, note="the node does not answer; asking again")
                    continue
                _update(progress, task, awaited, first, look)
    except KeyboardInterrupt:
        raise Failure(ExitCode.FAILED, "no longer watching", remedy=_goes_on(awaited)) from None
    if look.by == "actual":
        session.say("Nobody measures this traffic: the end is told by the data planes and the TTL, not by seen traffic.")
    session.say(f"{awaited.site}: {look.note}; {percent(look.share_bp)} {look.by}, after {now_s() - started_s:.0f} s")
    return look


def _progress(session: Session) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=session.err,
        disable=session.is_json,
    )


def _heading(awaited: AwaitedMove, look: Look) -> str:
    return f"{awaited.site} {percent(look.share_bp)} {look.by}"


def _update(progress: Progress, task: TaskID, awaited: AwaitedMove, first: Look, look: Look) -> None:
    """The bar is full when the share is where it ends; full only when it is over."""
    end_bp = max(awaited.ends_bp.values(), default=0)
    way_bp = abs(first.share_bp - end_bp) or 1
    done = 10_000 * min(abs(first.share_bp - look.share_bp), way_bp) // way_bp
    completed = 10_000 if look.is_over else min(done, 9_900)
    progress.update(task, description=_heading(awaited, look), completed=completed, note=look.note)


def _goes_on(awaited: AwaitedMove) -> str:
    back = f" Take it back: `siteshift undrain {awaited.site}`." if awaited.goal is Goal.LEFT else ""
    return f"The move itself goes on. Look: `siteshift status`, `siteshift why {awaited.site}`.{back}"
