"""``status``, ``why``, ``plan``, ``fate``: looking, never changing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from siteshift.cli.exits import Document, unknown_name, usage
from siteshift.cli.figures import BAD, QUIET
from siteshift.cli.session import Session, node_command
from siteshift.cli.shell import places
from siteshift.cli.show_goals import waiting_lines
from siteshift.cli.show_plan import plan_renderables
from siteshift.cli.show_status import status_renderables
from siteshift.cli.times import instant_text, local_now, parse_instant_ms, span_text


@node_command
def status(session: Session) -> None:
    """Everything on one page: shares desired, actual and seen, what stands in the way, what people forced."""
    document = session.client.get("/v1/status")
    session.show(document, list(status_renderables(document)))


Place = Annotated[str, typer.Argument(help="The site, or the service.", metavar="SITE|SERVICE", autocompletion=places)]
At = Annotated[
    str | None, typer.Option("--at", help="At a past instant: ISO 8601, HH:MM or HH:MM:SS today, or -5m.", metavar="TIME")
]


@node_command
def why(session: Session, place: Place, at: At = None) -> None:
    """Why a site, or a service at each of its sites, gets what it gets: what was seen, what follows, what stands in the way."""
    at_ms: int | None = None
    if at is not None:
        try:
            at_ms = parse_instant_ms(at, local_now())
        except ValueError as error:
            raise usage(f"--at: {error}") from error
    query = {"at_ms": at_ms} if at_ms is not None else None
    status = session.client.get("/v1/status")
    service = next((entry for entry in status["services"] if entry["service"] == place and place not in status["sites"]), None)
    if service is not None:
        asked = [session.client.get(f"/v1/why/{site}", query) for site in service["sites"]]
        document = {"service": place, "at_ms": asked[0]["at_ms"], "sites": {e["site"]: e["services"].get(place) for e in asked}}
        session.show(document, list(_service_lines(document)))
        return
    if place not in status["sites"] and at_ms is None:
        raise unknown_name("site or service", place, [*status["sites"], *(entry["service"] for entry in status["services"])])
    document = session.client.get(f"/v1/why/{place}", query)
    session.show(document, list(_why_lines(document)))


def _service_lines(document: Document) -> Iterator[RenderableType]:
    yield Text(f"{document['service']} at {instant_text(document['at_ms'])}", style="bold")
    for site, said in document["sites"].items():
        yield from _lines_of(site, said) if said else [Text.assemble((site, "bold"), "  the record says nothing at that instant")]


def _why_lines(document: Document) -> Iterator[RenderableType]:
    yield Text(f"{document['site']} at {instant_text(document['at_ms'])}", style="bold")
    if not document["services"]:
        yield Text("the record says nothing about this site at or before that instant")
    belief = document.get("belief") or {}
    if belief:
        yield Text(f"diagnosis of {instant_text(belief['at_ms'])}, the last on record by then:", style=QUIET)
    for entry in document.get("diagnoses", belief.get("diagnoses", ())):
        if entry["site"] in (None, document["site"]):
            since = f", for {span_text(document['at_ms'] - entry['since_ms'])}" if entry["since_ms"] else ""
            yield Text.assemble((entry["code"], BAD), f": {entry['reason']}{since}")
    for service, said in document["services"].items():
        yield from _lines_of(service, said)


def _lines_of(heading: str, said: Document) -> Iterator[Text]:
    since = ""
    if "since_ms" in said:
        decided = f"when generation {said['generation']} was decided, the last by then"
        since = f"  (reasons of {instant_text(said['since_ms'])}, {decided})"
    yield Text.assemble((heading, "bold"), (since, QUIET))
    for line in said["lines"]:
        yield Text(f"  {line.strip().rstrip(':,')}")


@node_command
def plan(session: Session) -> None:
    """What is under way, or what siteshift proposes and waits for a person, to its end. Requests: `siteshift approvals`."""
    document = session.client.get("/v1/plan")
    found = document["plan"]
    asked = list(waiting_lines(session.client.get("/v1/status")["goals"])) if not session.is_json else []
    lines = list(plan_renderables(found)) if found else [] if asked else [Text("nothing is under way and nothing waits")]
    session.show(document, [*lines, *asked])


@node_command
def fate(session: Session) -> None:
    """What stands in one site only although leaving that site needs it (law 17)."""
    document = session.client.get("/v1/fate")
    lonely = [Text(f"lost with its site: {entry}", style=BAD) for entry in document["lonely"]]
    session.show(document, lonely or [Text("nothing that is needed to leave a site lives only in that site")])
