"""OperatorRequest for something to be done: look first, show what it means, let the person decide, then ask.

Giving the digest of what was on the screen confirms it, and binds what follows to those bounds (law 13). It is sent by a yes
to the question, or with ``--digest``. ``--yes`` spares the question: then nothing is confirmed, and only what needs nobody goes
through. What takes other persons is kept for them by the node; a yes of one's own is no approval.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.console import RenderableType
from rich.text import Text

from siteshift.cli.exits import (
    Document,
    ExitCode,
    Failure,
    already_document,
    already_note,
    exit_code_of,
    failure_document,
    is_already,
    usage,
)
from siteshift.cli.figures import GOOD
from siteshift.cli.session import Session
from siteshift.cli.show_findings import finding_lines, override_line
from siteshift.cli.show_goals import offer_lines
from siteshift.cli.show_plan import plan_renderables
from siteshift.cli.times import instant_text

DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One request. ``words`` are the command line that makes it, to tell how to repeat it; ``done`` is said when granted."""

    path: str
    body: Document
    words: tuple[str, ...]
    done: str
    moves: bool = False
    """Whether traffic moves, so that a person should see the plan and say yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to go about it: only look, without questions, with which approval."""

    dry_run: bool = False
    yes: bool = False
    digest: str | None = None


def checked(digest: str) -> str:
    """The digest. Raises `Failure` when it is none."""
    if len(digest) != DIGEST_DIGITS or not set(digest) <= set("0123456789abcdef"):
        raise usage(f"{digest!r} is no digest", "It has 16 hexadecimal digits; `siteshift approvals` lists them.")
    return digest


def carry_out(session: Session, act: Act, manner: Manner) -> Document:
    """Do it, or raise the `Failure` that says why not. The granted answer is shown and returned."""
    if manner.digest:
        checked(manner.digest)
    body = {**act.body, **({"digest": manner.digest} if manner.digest else {})}
    if manner.dry_run:
        return _only_look(session, act, body)
    if act.moves:
        looked = session.client.post(act.path, {**body, "dry_run": True})
        if is_already(looked):
            return _say_already(session, looked)
        _stop_unless_granted(session, act, looked, manner)
        digest = _decide(session, act, looked, manner)
        body |= {"digest": digest} if digest else {}
    answer = send(session, act, body)
    if is_already(answer):
        return _say_already(session, answer)
    session.show(answer, list(_granted(act, answer)))
    return answer


def _say_already(session: Session, answer: Document) -> Document:
    """It is as was asked for: done, with a note."""
    session.show(already_document(answer), [Text(already_note(answer))])
    return answer


def send(session: Session, act: Act, body: Document) -> Document:
    """Ask for it, once: the answer, where it is granted or is so already; else the `Failure` with what stands in the way."""
    try:
        return session.client.post(act.path, body, key=str(uuid.uuid4()))
    except Failure as failure:
        if is_already(failure.document):
            return failure.document
        raise _explained(session, act, failure) from failure


def _only_look(session: Session, act: Act, body: Document) -> Document:
    """``--dry-run``: what it would mean, with the exit code it would have."""
    looked = session.client.post(act.path, {**body, "dry_run": True})
    if is_already(looked):
        return _say_already(session, looked)
    code = _code_of(looked)
    if session.is_json:
        session.print_json(looked if code is ExitCode.DONE else failure_document(_stopped(act, looked, code)))
    else:
        for entry in _preview(act, looked):
            session.print(entry)
    if code is not ExitCode.DONE:
        session.say(f"dry run: nothing was changed; it would be {_verdict(code)}")
        raise typer.Exit(code)
    session.say("dry run: nothing was changed; it would be granted")
    return looked


def _stopped(act: Act, answer: Document, code: ExitCode) -> Failure:
    return _needs_approval(act, answer) if code is ExitCode.NEEDS_APPROVAL else refused(act, answer)


def _code_of(answer: Document) -> ExitCode:
    status = {"allowed": 200, "needs_approval": 409, "refused": 422}[answer["severity"]]
    grave = [entry["code"] for entry in answer["findings"] if entry["severity"] == answer["severity"]]
    return ExitCode.DONE if status == 200 else exit_code_of(status, grave[0] if grave else "")


def _verdict(code: ExitCode) -> str:
    return "held until it is approved" if code is ExitCode.NEEDS_APPROVAL else "refused"


def plan_and_findings(answer: Document) -> Iterator[RenderableType]:
    """The plans with their findings as they count for this request; an answer without a plan has findings alone."""
    for plan in answer["plans"]:
        found = answer["findings"] or plan["findings"]
        is_later = answer["severity"] == "allowed" and any(entry["severity"] != "allowed" for entry in found)
        rules = "Rules touched; they do not stop the request, but steps of it wait for them:" if is_later else "Rules touched:"
        yield from plan_renderables({**plan, "findings": found}, rules)
    if not answer["plans"]:
        yield from finding_lines(answer["findings"])


def _preview(act: Act, looked: Document) -> Iterator[RenderableType]:
    """What a person sees before they decide; that nothing would move is worth saying too."""
    yield from plan_and_findings(looked)
    if act.moves and looked["severity"] != "refused" and looked.get("offer"):
        yield from offer_lines(looked["offer"])
    if act.moves and not looked["plans"] and not looked["findings"]:
        yield Text("nothing would move now; what stands in the way: `siteshift status`, `siteshift why SITE`")


def _stop_unless_granted(session: Session, act: Act, looked: Document, manner: Manner) -> None:
    """Show the plan. Raises `Failure` when it is refused, or takes a confirmation that cannot be given here.

    What was looked at then stands for the answer to the real request, which is not made.
    """
    if not session.is_json:
        for entry in _preview(act, looked):
            session.print(entry)
    code = _code_of(looked)
    answer = {**looked, "dry_run": False}
    if code is ExitCode.NEEDS_APPROVAL and not manner.digest and (not session.can_ask or _others(looked) is None):
        raise _needs_approval(act, answer)
    if code not in (ExitCode.DONE, ExitCode.NEEDS_APPROVAL):
        raise refused(act, answer)


def _decide(session: Session, act: Act, looked: Document, manner: Manner) -> str | None:
    """Ask the person; the digest of what they saw when they say yes. Raises `Failure` when there is nobody to ask."""
    if manner.digest:
        return None
    question, digest = "Go on?", looked["offer"]["digest"] if looked.get("offer") else None
    if _code_of(looked) is ExitCode.NEEDS_APPROVAL:
        others = _others(looked) or 0
        question = f"Confirm {digest} and go on?"
        if others:
            question = f"This takes {_persons(others)} besides you. Confirm {digest} and ask for it?"
    elif manner.yes:
        return None
    elif not session.can_ask:
        raise usage("there is no terminal to ask on", f"Look at the plan with --dry-run, then: {_again(act, '--yes')}")
    if not typer.confirm(question, err=True):
        raise Failure(ExitCode.FAILED, "nothing was changed")
    return digest


def _explained(session: Session, act: Act, failure: Failure) -> Failure:
    """A failure of the request itself; where the plan changed since it was shown, the new one is shown."""
    document = failure.document
    if "severity" not in document:
        return failure
    if not session.is_json:
        for entry in plan_and_findings(document):
            session.print(entry)
    return _stopped(act, document, failure.exit_code)


def refused(act: Act, answer: Document) -> Failure:
    """Which rules say no, and where what was shown is not what would happen any more: who has to look again."""
    grave = [entry for entry in answer["findings"] if entry["severity"] == "refused"]
    codes = ", ".join(dict.fromkeys(entry["code"] for entry in grave))
    code = exit_code_of(422, grave[0]["code"] if grave else "")
    document = {**answer, "title": "refused by a rule", "code": codes}
    remedy = ""
    if "STALE_DIGEST" in codes and answer.get("offer"):
        digest, goal = answer["offer"]["digest"], answer["offer"]["goal"]
        remedy = f"What would happen now is {digest}; give that digest once it is as you want it."
        if act.path == "approve" and goal["verb"] != "proposed":
            remedy = f"{goal['owner']} has to ask again for what would happen now, with --digest {digest}; then it is approved."
    what = "there is no such name" if code is ExitCode.USAGE else f"refused by a rule: {codes}"
    return Failure(code, f"{what}; nothing was changed", remedy=remedy, document=document)


def _others(answer: Document) -> int | None:
    """How many persons other than who asked lift everything that needs approval; None: nobody can."""
    open_ones = [entry for entry in answer["findings"] if entry["severity"] == "needs_approval"]
    if any(entry["code"] == "ENVELOPE_LEFT" for entry in open_ones) and answer.get("offer"):
        return int(answer["offer"]["approvals_needed"])
    needed = [entry["numbers"].get("approvals_needed") for entry in open_ones]
    return None if None in needed or not answer.get("offer") else max(map(int, needed), default=0)


def _persons(others: int) -> str:
    return "another person" if others == 1 else f"{others} other persons"


def _needs_approval(act: Act, answer: Document) -> Failure:
    """Who must do what, in commands, and how long it is kept for them."""
    codes = ", ".join(dict.fromkeys(e["code"] for e in answer["findings"] if e["severity"] == "needs_approval"))
    document = {**answer, "title": "needs approval", "code": codes}
    text = f"needs approval: {codes}; nothing was changed"
    others = _others(answer)
    if others is None:
        return Failure(ExitCode.NEEDS_APPROVAL, text, remedy="See above what lifts it.", document=document)
    digest, until_ms = answer["offer"]["digest"], answer.get("waits_until_ms")
    missing = max(0, others - len(answer.get("approved_by", ())))
    approve = f"{_persons(missing)} with the role approver must run, signed in as themselves:\n    siteshift approve {digest}"
    if until_ms is not None:
        text = f"needs approval: {codes}; it is kept and nothing has moved yet"
        remedy = f"Until {instant_text(until_ms)}, {approve}\n"
        remedy += "Then it begins by itself. `siteshift approvals` shows how far it is."
        if answer.get("note"):
            remedy = f"{answer['note']}. {remedy}" if missing else f"{answer['note']}, with --digest {digest}."
        return Failure(ExitCode.NEEDS_APPROVAL, text, remedy=remedy, document=document)
    remedy = f"To confirm it, as one who looked at it:\n    {_again(act, '--digest', digest)}"
    if others:
        remedy += f"\nThen, within 15 minutes, {approve}"
    return Failure(ExitCode.NEEDS_APPROVAL, text, remedy=remedy, document=document)


def _again(act: Act, *more: str) -> str:
    """The command line that repeats the request."""
    return shlex.join(("siteshift", *act.words, *more))


def _granted(act: Act, answer: Document) -> Iterator[RenderableType]:
    if not act.moves:
        yield from plan_and_findings(answer) if answer.get("plans") else ()
    if answer.get("note"):
        yield Text(answer["note"])
    yield Text(act.done, style=GOOD)
    if answer.get("override"):
        yield override_line(answer["override"])
