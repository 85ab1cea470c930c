"""``approve``, ``ack``, ``switch``: what persons say to what siteshift wants or did."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from siteshift.cli.act import Act, Manner, carry_out, plan_and_findings, send
from siteshift.cli.exits import Document, usage
from siteshift.cli.moves import DryRun, OneService, Reason, Ticket, record_of, record_words
from siteshift.cli.session import Session, node_command

DIGEST_DIGITS = 16
OnePlane = Annotated[
    str | None, typer.Option("--plane", help="Take over this data plane, which another controller holds; nothing else.")
]
MaybeSite = Annotated[str | None, typer.Argument(help="The site; else all that are held as they were found.")]

switch = typer.Typer(no_args_is_help=True, help="The off switch of all automatic action.")


@node_command
def approve(
    session: Session,
    digest: Annotated[str, typer.Argument(help="The digest of the plan you looked at.")],
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
) -> None:
    """Approve a plan: the one that waits, or the one a colleague is about to ask for (for 15 minutes)."""
    if len(digest) != DIGEST_DIGITS or not set(digest) <= set("0123456789abcdef"):
        raise usage(f"{digest!r} is no digest", "It has 16 hexadecimal digits; `siteshift plan` shows that of the waiting plan.")
    body: Document = {"digest": digest, **record_of(reason, ticket)}
    act = Act(path="approve", body=body, words=("approve", digest), done=f"granted: plan {digest} is approved")
    if dry_run:
        carry_out(session, act, Manner(dry_run=True))
        return
    answer = send(session, act, body)
    people = ", ".join(answer.get("approved_by", ()))
    if answer.get("noted"):
        minutes = answer["holds_s"] // 60
        text = f"noted: {people} approve{'s' if len(answer['approved_by']) == 1 else ''} plan {digest}. No such plan waits now; "
        text += f"the approval holds {minutes} minutes for whoever asks for exactly this plan with --digest {digest}."
    else:
        text = act.done
    session.show(answer, [*plan_and_findings({"plans": [], "findings": [], **answer}), Text(text)])


@node_command
def ack(
    session: Session,
    site: MaybeSite = None,
    service: OneService = None,
    plane: OnePlane = None,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
) -> None:
    """Acknowledge what happened at a site: ends its hold-down, and lets a failback that waits for a person begin.

    Without a site: all sites that are held as they were found after the store was lost.
    """
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
def switch_off(session: Session, reason: Reason = "", ticket: Ticket = "", dry_run: DryRun = False) -> None:
    """Stop all automatic action at once; people go on."""
    words = ("switch", "off", *record_words(reason, ticket))
    done = "automatic action is OFF until `siteshift switch on`"
    act = Act(path="switch-off", body=record_of(reason, ticket), words=words, done=done)
    carry_out(session, act, Manner(dry_run=dry_run))


@switch.command("on")
@node_command
def switch_on(session: Session, reason: Reason = "", ticket: Ticket = "", dry_run: DryRun = False) -> None:
    """Automatic action again."""
    words = ("switch", "on", *record_words(reason, ticket))
    act = Act(path="switch-on", body=record_of(reason, ticket), words=words, done="automatic action is on")
    carry_out(session, act, Manner(dry_run=dry_run))
