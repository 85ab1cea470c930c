"""``override``, ``freeze``, ``unfreeze``: what people force, and lifting it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
from rich.text import Text

from siteshift.cli.act import Act, Manner, carry_out
from siteshift.cli.exits import Document, ExitCode, Failure, unknown_name, usage
from siteshift.cli.moves import Digest, DryRun, For, Reason, Ticket, Unasked, Yes, duration_s, record_of, record_words
from siteshift.cli.session import Session, node_command
from siteshift.cli.shell import overrides as override_ids
from siteshift.cli.shell import services
from siteshift.cli.show_findings import overrides_table

__all__ = ["app", "freeze", "unfreeze"]

app = typer.Typer(no_args_is_help=True, help="What people forced: list it, lift it, force shares or a mode.")

Service = Annotated[str, typer.Argument(help="The service.", autocompletion=services)]
PerhapsService = Annotated[str | None, typer.Argument(help="Only this service; else everything.", autocompletion=services)]


@app.command("list")
@node_command
def list_overrides(session: Session) -> None:
    """What is forced now, by whom, why, and for how long."""
    document = session.client.get("/v1/overrides")
    found = document["overrides"]
    session.show(document, [overrides_table(found) if found else Text("nothing is forced")])


@app.command("lift")
@node_command
def lift(
    session: Session,
    override: Annotated[str, typer.Argument(help="The id of an override.", autocompletion=override_ids)],
    reason: Reason = "",
    ticket: Ticket = "",
    digest: Digest = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """End an override before its time; the real state shows again."""
    words = ("override", "lift", override, *record_words(reason, ticket))
    carry_out(session, _lifting(override, reason, ticket, words), Manner(dry_run=dry_run, yes=yes, digest=digest))


def _lifting(override: str, reason: str, ticket: str, words: tuple[str, ...]) -> Act:
    return Act(
        path="lift",
        body={"override": override, **record_of(reason, ticket)},
        words=words,
        done=f"granted: override {override} is lifted",
        moves=True,
    )


@app.command("shares")
@node_command
def shares(
    session: Session,
    service: Service,
    share: Annotated[list[str], typer.Argument(help="SITE=PERCENT for each site; together 100.", metavar="SITE=PERCENT...")],
    reason: Reason,
    ticket: Ticket = "",
    time: For = None,
    digest: Digest = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Force the shares of a service."""
    act = Act(
        path="shares",
        body={"service": service, "shares_bp": parse_shares(share), **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("override", "shares", service, *share, *record_words(reason, ticket, time)),
        done=f"granted: the shares of {service} are forced",
        moves=True,
    )
    carry_out(session, act, Manner(dry_run=dry_run, yes=yes, digest=digest))


def parse_shares(given: list[str]) -> dict[str, int]:
    """``pangyo=50`` in basis points. Raises `Failure`; whether they sum to the whole is the node's to judge."""
    found: dict[str, int] = {}
    for entry in given:
        site, equals, number = entry.partition("=")
        try:
            share_bp = Decimal(number.rstrip("% ")) * 100
        except InvalidOperation:
            share_bp = Decimal("NaN")
        if not equals or not site or not share_bp.is_finite() or share_bp != share_bp.to_integral_value():
            raise usage(f"{entry!r} is no share", "Write SITE=PERCENT with at most two decimals, as pangyo=33.34.")
        if site in found:
            raise usage(f"{site} stands there twice")
        found[site] = int(share_bp)
    return found


@app.command("mode")
@node_command
def mode(
    session: Session,
    service: Service,
    mode: Annotated[str, typer.Argument(help="observe, recommend or auto.")],
    reason: Reason,
    ticket: Ticket = "",
    time: For = None,
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """Force the mode of a service for a while."""
    del yes
    act = Act(
        path="mode",
        body={"service": service, "mode": mode, **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("override", "mode", service, mode, *record_words(reason, ticket, time)),
        done=f"granted: {service} is in mode {mode}",
    )
    carry_out(session, act, Manner(dry_run=dry_run))


@node_command
def freeze(
    session: Session,
    reason: Reason,
    service: PerhapsService = None,
    ticket: Ticket = "",
    time: For = None,
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """No changes that are not protective, of one service or of all; leaving a sick site goes on."""
    del yes
    body: Document = {"service": service} if service is not None else {}
    act = Act(
        path="freeze",
        body={**body, **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("freeze", *([service] if service else []), *record_words(reason, ticket, time)),
        done=f"granted: {service or 'everything'} is frozen; protection goes on",
    )
    carry_out(session, act, Manner(dry_run=dry_run))


def _stop_unless_known(session: Session, service: str | None) -> None:
    """Raises `Failure` for the name of a service that there is not."""
    known = [entry["service"] for entry in session.client.get("/v1/status")["services"]]
    if service is not None and service not in known:
        raise unknown_name("service", service, known)


@node_command
def unfreeze(
    session: Session,
    service: PerhapsService = None,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Lift the freezes of a service; without a service, all freezes there are."""
    freezes = [entry for entry in session.client.get("/v1/overrides")["overrides"] if entry["kind"] == "freeze"]
    mine = [entry for entry in freezes if service is None or entry["service"] == service]
    if not mine:
        wide = next((entry for entry in freezes if entry["service"] is None), None)
        _stop_unless_known(session, service)
        text = f"{service or 'nothing'} is {'not ' if service else ''}frozen"
        document: Document = {"title": text, "code": "NOTHING_TO_DO"}
        if wide is not None:
            remedy = f"Everything is frozen by override {wide['id']} of {wide['owner']}: `siteshift unfreeze`."
            raise Failure(ExitCode.REFUSED, f"refused: {text} alone (NOTHING_TO_DO)", remedy=remedy, document=document)
        note = f"nothing to do: {text}"
        session.show({**document, "note": note, "exit_code": int(ExitCode.DONE)}, [Text(note)])
    words = ("unfreeze", *([service] if service else []), *record_words(reason, ticket))
    for entry in mine:
        carry_out(session, _lifting(entry["id"], reason, ticket, words), Manner(dry_run=dry_run, yes=yes))
