"""``drain``, ``undrain``, ``pool``, ``depool``: moving traffic by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from siteshift.cli.act import Act, Manner, carry_out
from siteshift.cli.exits import Document, usage
from siteshift.cli.session import Session, node_command
from siteshift.cli.shell import members, services, sites
from siteshift.cli.times import parse_duration_s
from siteshift.cli.waiting import AwaitedMove, Goal, wait

Site = Annotated[str, typer.Argument(help="The site.", autocompletion=sites)]
Member = Annotated[str, typer.Argument(help="The member, as service/site/name.", autocompletion=members)]
OneService = Annotated[str | None, typer.Option("--service", "-s", help="Only this service; else all.", autocompletion=services)]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; goes on record.")]
Ticket = Annotated[str, typer.Option("--ticket", "-t", help="The ticket this belongs to.")]
For = Annotated[str | None, typer.Option("--for", help="How long, as 2h or 90m; else the default of the policy.", metavar="TIME")]
Digest = Annotated[str | None, typer.Option("--digest", help="Of what you looked at; confirms it and binds every step.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would mean; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Confirms and approves nothing.")]
Unasked = Annotated[bool, typer.Option("--yes", "-y", help="Taken as by the other acts; this one asks nothing.")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Follow until seen traffic says it is done.")]
Timeout = Annotated[str | None, typer.Option("--timeout", help="With --wait: give up watching after this time.", metavar="TIME")]


def duration_s(text: str | None, option: str) -> int | None:
    """The value of an option that takes a time. Raises `Failure`."""
    if text is None:
        return None
    try:
        found_s = parse_duration_s(text)
    except ValueError as error:
        raise usage(f"{option}: {error}") from error
    if found_s < 1:
        raise usage(f"{option} {text}: that is over already", "Give at least one second.")
    return found_s


def record_of(reason: str, ticket: str, for_s: int | None = None) -> Document:
    """What goes on record, as far as it was given."""
    found: Document = {"reason": reason, "ticket": ticket, "expires_in_s": for_s}
    return {key: value for key, value in found.items() if value}


def record_words(reason: str, ticket: str, time: str | None = None) -> tuple[str, ...]:
    """The same as words of the command line."""
    given = (("--reason", reason), ("--ticket", ticket), ("--for", time))
    return tuple(word for option, value in given if value for word in (option, value))


@node_command
def drain(
    session: Session,
    site: Site,
    reason: Reason,
    service: OneService = None,
    ticket: Ticket = "",
    time: For = None,
    digest: Digest = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Move a site's traffic away."""
    act = Act(
        path="drain",
        body={"site": site, **_service(service), **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("drain", site, *_service_words(service), *record_words(reason, ticket, time)),
        done=f"granted: {site} is being drained",
        moves=True,
    )
    timeout_s = duration_s(timeout, "--timeout")
    answer = carry_out(session, act, Manner(dry_run=dry_run, yes=yes, digest=digest))
    if wait and not dry_run:
        _wait(session, site, service, answer, Goal.LEFT, timeout_s)


@node_command
def undrain(
    session: Session,
    site: Site,
    service: OneService = None,
    reason: Reason = "",
    ticket: Ticket = "",
    digest: Digest = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Let a site's traffic come back, by the ramp of the policy. One that the evidence says is down takes your digest."""
    act = Act(
        path="undrain",
        body={"site": site, **_service(service), **record_of(reason, ticket)},
        words=("undrain", site, *_service_words(service), *record_words(reason, ticket)),
        done=f"granted: {site} comes back",
        moves=True,
    )
    timeout_s = duration_s(timeout, "--timeout")
    answer = carry_out(session, act, Manner(dry_run=dry_run, yes=yes, digest=digest))
    if wait and not dry_run:
        _wait(session, site, service, answer, Goal.SERVING, timeout_s)


@node_command
def depool(
    session: Session,
    member: Member,
    reason: Reason,
    ticket: Ticket = "",
    time: For = None,
    digest: Digest = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Take one member out."""
    act = Act(
        path="depool",
        body={"member": member, **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("depool", member, *record_words(reason, ticket, time)),
        done=f"granted: {member} is taken out",
        moves=True,
    )
    carry_out(session, act, Manner(dry_run=dry_run, yes=yes, digest=digest))


@node_command
def pool(
    session: Session,
    member: Member,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Put one member back."""
    act = Act(
        path="pool",
        body={"member": member, **record_of(reason, ticket)},
        words=("pool", member, *record_words(reason, ticket)),
        done=f"granted: {member} comes back",
        moves=True,
    )
    carry_out(session, act, Manner(dry_run=dry_run, yes=yes))


def _service(service: str | None) -> Document:
    return {"service": service} if service is not None else {}


def _service_words(service: str | None) -> tuple[str, ...]:
    return ("--service", service) if service is not None else ()


def _wait(session: Session, site: str, service: str | None, answer: Document, goal: Goal, timeout_s: int | None) -> None:
    """Follow the services that have this site; a part that stays by plan ends the waiting too."""
    status = session.client.get("/v1/status")
    named = [entry["service"] for entry in status["services"] if site in entry["sites"] and service in (None, entry["service"])]
    after = answer["plans"][0]["after_bp"] if answer["plans"] else {}
    ends_bp = {name: after.get(name, {}).get(site, 0) for name in named}
    wait(session, AwaitedMove(site=site, goal=goal, ends_bp=ends_bp, timeout_s=timeout_s))
