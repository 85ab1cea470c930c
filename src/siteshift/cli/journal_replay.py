"""``journal replay``: the record through the core again, to prove it, and under another policy, to see what it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from siteshift.cli.client import LONG_DEADLINE_S, NodeClient
from siteshift.cli.exits import Document, ExitCode, Failure, unusable_configuration, usage
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH
from siteshift.cli.session import Session, node_command
from siteshift.cli.times import clock_text, instant_text, span_text

if TYPE_CHECKING:
    from siteshift.core.model.policy import Policy
    from siteshift.replay.as_recorded import AsRecorded
    from siteshift.replay.rows import Entry, Row
    from siteshift.replay.what_if import Difference, WhatIf

CAVEATS = (
    "What was measured is taken as it was: loads that the new policy would have changed were never seen.",
    "Standings are as they were judged then: of `judging:` only report_stale_ms counts here; try the rest with `sim compare`.",
)
MOST_SHOWN = 20
"""Decisions that came out differently: more of them say no more."""

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="NEW.yaml", help="A file with a `policy:` to lay over the recorded one, or a whole configuration."
    ),
]
RecordFile = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Without a node: the store's file, or an export in .jsonl.")
]


@node_command
def replay(session: Session, policy: PolicyFile = None, file: RecordFile = None) -> None:
    """Decide the whole record again: exit 1 if a decision comes out differently. With --policy, list what it would change."""
    from siteshift.replay.what_if import WhatIf

    run = WhatIf(over=_policy_of(policy))
    read_rows(run.take, session, file)
    proof = run.recorded
    if not proof.has_begun:
        text = "the record holds no start of a node and no checkpoint, so there is nothing to begin a replay from"
        remedy = "Records made before this version do not say enough; replay what was recorded since the node was updated."
        raise Failure(ExitCode.FAILED, text, remedy=remedy)
    found = run.differences() if policy is not None else []
    lines = [_proof_line(proof), *(Text(f"  {entry}", style=BAD) for entry in proof.mismatches[:MOST_SHOWN])]
    tables = [_table(found)] if found else []
    session.show(_document(run, found, policy), [*lines, *tables, *_verdict(found, policy)])
    if proof.mismatches:
        raise typer.Exit(ExitCode.FAILED)


def read_rows(take: Callable[[Row], object], session: Session, file: Path | None) -> None:
    """Hand over every row of a file's record, else of the node's. Raises `Failure`, `CannotReplay`."""
    if file is None:
        _ask(take, session.client)
    else:
        asyncio.run(_read(take, file))


async def _read(take: Callable[[Row], object], file: Path) -> None:
    from siteshift.app.offline import read_record

    async for entry in read_record(file):
        _take(take, entry)


def _ask(take: Callable[[Row], object], client: NodeClient) -> None:
    from siteshift.ports import JournalEntry
    from siteshift.replay.rows import KINDS

    after = 0
    while page := client.get("/v1/journal", {"kind": list(KINDS), "after": after}, deadline_s=LONG_DEADLINE_S)["entries"]:
        for entry in page:
            _take(take, JournalEntry(**entry))
        after = page[-1]["sequence"]


def _take(take: Callable[[Row], object], entry: Entry) -> None:
    from siteshift.replay.rows import rows_of

    for row in rows_of((entry,)):
        take(row)


# -- the other policy -------------------------------------------------------------------------------------------------


def _policy_of(file: Path | None) -> Callable[[Policy], Policy]:
    """What lays the file's policy over a recorded one; a whole configuration replaces it."""
    if file is None:
        return lambda policy: policy
    from siteshift.config.document import read_document

    document = read_document(file)
    if document.problems and not document.values:
        raise usage("\n".join(str(problem) for problem in document.problems))
    if "version" in document.values:
        return _of_configuration(file)
    return _of_part(file)


def _of_configuration(file: Path) -> Callable[[Policy], Policy]:
    from siteshift.config import ConfigError, Surroundings, load_config, resolve

    try:
        policy = resolve(load_config(file, Surroundings.IGNORED).config).policy
    except ConfigError as error:
        raise unusable_configuration(str(error)) from error
    return lambda _: policy


def _of_part(file: Path) -> Callable[[Policy], Policy]:
    from siteshift.sim.scenario.document import ScenarioError, read_scenario_document
    from siteshift.sim.scenario.fields import Names
    from siteshift.sim.scenario.policy import read_policy

    try:
        document = read_scenario_document(file)
        document.refuse()
        section = document.values.get("policy")
        if not isinstance(section, dict) or set(document.values) != {"policy"}:
            raise usage(f"{file} is neither a `policy:` nor a whole configuration", remedy="Write the changes under `policy:`.")
        named = section.get("services")
        services = frozenset(str(name) for name in named) if isinstance(named, dict) else frozenset()
        part = read_policy(document, section, ("policy",), Names(known={"service": services}))
        document.refuse()
    except ScenarioError as error:
        raise usage(str(error), remedy="The keys are those of the configuration's `policy:`.") from error
    return part.over


# -- what is shown ----------------------------------------------------------------------------------------------------


def _proof_line(proof: AsRecorded) -> Text:
    text = f"{proof.decisions} decisions in {proof.inputs} recorded inputs over {proof.starts} starts of the node"
    if proof.gaps:
        text = f"{text} ({proof.lost_rows} rows were lost to {proof.gaps} gaps while the store was)"
    if proof.former:
        text = f"{text} ({proof.former} requests gave a digest that another version formed, and held: put by the digest of now)"
    if proof.mismatches:
        return Text(f"{text}: {len(proof.mismatches)} come out differently", style=BAD)
    return Text(f"{text}: all come out as recorded", style=GOOD)


def _table(found: list[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 2, 0, 0))
    for name in ("from", "for", "service", "as recorded", "under the new policy"):
        table.add_column(name, overflow="fold")
    for entry in found:
        lasts = "to the end" if entry.until_ms is None else span_text(entry.until_ms - entry.from_ms)
        table.add_row(
            f"{instant_text(entry.from_ms)}{clock_text(entry.from_ms)[-4:]}",
            lasts,
            entry.service,
            entry.recorded.text if entry.recorded else "nothing yet",
            entry.other.text if entry.other else "nothing yet",
        )
    return table


def _verdict(found: list[Difference], policy: Path | None) -> list[Text]:
    if policy is None:
        return []
    if not found:
        return [Text(f"{policy} would have steered the same", style=GOOD), Text(CAVEATS[1], style=QUIET)]
    text = f"{len(found)} intervals in which {policy} would have steered otherwise"
    return [Text(text, style=WATCH), *(Text(line, style=QUIET) for line in CAVEATS)]


def _document(run: WhatIf, found: list[Difference], policy: Path | None) -> Document:
    proof = run.recorded
    return {
        "starts": proof.starts,
        "inputs": proof.inputs,
        "passed_over": proof.passed_over,
        "decisions": proof.decisions,
        "former": proof.former,
        "mismatches": [
            {"sequence": e.sequence, "at_ms": e.at_ms, "recorded": e.recorded, "replayed": e.replayed} for e in proof.mismatches
        ],
        "policy": None if policy is None else str(policy),
        "differences": [
            {
                "service": entry.service,
                "from_ms": entry.from_ms,
                "until_ms": entry.until_ms,
                "recorded_bp": dict(entry.recorded.steering.shares_bp) if entry.recorded else None,
                "recorded_generation": entry.recorded.generation if entry.recorded else None,
                "other_bp": dict(entry.other.steering.shares_bp) if entry.other else None,
                "other_shed_bp": entry.other.steering.shed_bp if entry.other else None,
            }
            for entry in found
        ],
    }
