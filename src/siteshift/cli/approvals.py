"""``approvals``, ``approve``, ``revoke``, ``ack``, ``switch``: what persons say to what siteshift wants or did."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from siteshift.cli.act import Act, Manner, carry_out, checked, plan_and_findings, refused, send
from siteshift.cli.exits import Document, ExitCode, Failure, usage
from siteshift.cli.moves import DryRun, OneService, Reason, Ticket, Unasked, record_of, record_words
from siteshift.cli.session import Session, node_command
from siteshift.cli.shell import sites
from siteshift.cli.show_goals import digests_of, goals_renderables

OnePlane = Annotated[
    str | None, typer.Option("--plane", help="Take over this data plane, which another controller holds; nothing else.")
]
MaybeSite = Annotated[
    str | None, typer.Argument(help="The site; else all that are held as they were found.", autocompletion=sites)
]
Digest = Annotated[str, typer.Argument(help="The digest of what you looked at; `siteshift approvals` lists them.")]

YesApproved = Annotated[bool, typer.Option("--yes", "-y", help="Approve without being asked again; for where nobody sits.")]

switch = typer.Typer(no_args_is_help=True, help="The off switch of all automatic action.")


@node_command
def list_approvals(session: Session) -> None:
    """Goals that wait for approvals, run or are suspended, with their bounds, who approved, and for how long."""
    document = session.client.get("/v1/approvals")
    found = document["goals"]
    session.show(document, list(goals_renderables(found)) if found else [Text("nothing waits, runs or was approved lately")])


@node_command
def approve(
    session: Session,
    digest: Digest,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: YesApproved = False,
) -> None:
    """Approve what a colleague asked for and confirmed, or what siteshift proposes, within the bounds shown."""
    body: Document = {"digest": checked(digest), **record_of(reason, ticket)}
    act = Act(path="approve", body=body, words=("approve", digest), done=f"granted: {digest} is approved")
    if dry_run:
        carry_out(session, act, Manner(dry_run=True))
        return
    if not yes:
        _look_and_decide(session, act, body, digest)
    answer = send(session, act, body)
    session.show(answer, [*plan_and_findings({"plans": [], "findings": [], **answer}), Text(act.done)])


def _look_and_decide(session: Session, act: Act, body: Document, digest: str) -> None:
    """Show what would be approved, and ask. Raises `Failure` when it is refused, or when there is nobody to ask.

    A digest often comes in a message: who only repeats it has looked at nothing.
    """
    looked = session.client.post(act.path, {**body, "dry_run": True})
    if not session.is_json:
        asked_for = [goal for goal in session.client.get("/v1/approvals")["goals"] if digest in digests_of(goal)]
        for entry in goals_renderables(asked_for) if asked_for else plan_and_findings(looked):
            session.print(entry)
    if looked["severity"] == "refused":
        raise refused(act, {**looked, "dry_run": False})
    if not session.can_ask:
        look = f"Look at what it means: `siteshift approve {digest} --dry-run`. "
        raise usage("there is no terminal to ask on", f"{look}Then: siteshift approve {digest} --yes")
    if not typer.confirm(f"Approve {digest}?", err=True):
        raise Failure(ExitCode.FAILED, "nothing was approved")


@node_command
def revoke(
    session: Session,
    digest: Digest,
    person: Annotated[str | None, typer.Option("--person", help="Whose approval; another's takes the role admin.")] = None,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """Take back your approval, or your request: what runs by it is suspended at once, and nothing is undone."""
    del yes
    body: Document = {"digest": checked(digest), **({"person": person} if person else {}), **record_of(reason, ticket)}
    whose = f"the approval of {person}" if person else "your word"
    act = Act(path="revoke", body=body, words=("revoke", digest), done=f"granted: {whose} for {digest} is taken back")
    carry_out(session, act, Manner(dry_run=dry_run))


@node_command
def ack(
    session: Session,
    site: MaybeSite = None,
    service: OneService = None,
    plane: OnePlane = None,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """Acknowledge what happened at a site: ends its hold-down and its cap, and lets a failback that waits for a person begin.

    Without a site: all sites that are held as they were found after the store was lost.
    """
    del yes
    named = {key: value for key, value in (("site", site), ("service", service), ("plane", plane)) if value}
    body: Document = {**named, **record_of(reason, ticket)}
    done = f"granted: {site or 'what is held as found'} is acknowledged"
    if plane:
        done = f"granted: {plane} is taken over"
    words = ("ack", *([site] if site else []), *(["--plane", plane] if plane else []))
    act = Act(path="ack", body=body, words=words, done=done)
    carry_out(session, act, Manner(dry_run=dry_run))


@switch.command("off")
@node_command
def switch_off(session: Session, reason: Reason = "", ticket: Ticket = "", dry_run: DryRun = False, yes: Unasked = False) -> None:
    """Stop all automatic action at once; people go on."""
    del yes
    words = ("switch", "off", *record_words(reason, ticket))
    done = "automatic action is OFF until `siteshift switch on`"
    act = Act(path="switch-off", body=record_of(reason, ticket), words=words, done=done)
    carry_out(session, act, Manner(dry_run=dry_run))


@switch.command("on")
@node_command
def switch_on(session: Session, reason: Reason = "", ticket: Ticket = "", dry_run: DryRun = False, yes: Unasked = False) -> None:
    """Automatic action again."""
    del yes
    words = ("switch", "on", *record_words(reason, ticket))
    act = Act(path="switch-on", body=record_of(reason, ticket), words=words, done="automatic action is on")
    carry_out(session, act, Manner(dry_run=dry_run))
