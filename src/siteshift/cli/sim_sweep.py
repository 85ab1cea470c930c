"""``siteshift sim sweep``: every fault in every kind of world, beside nothing done; a table, worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure, usage
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH
from siteshift.cli.session import Session, command

if TYPE_CHECKING:
    from siteshift.sim.sweep.factors import Combination
    from siteshift.sim.sweep.sweep import Sweep, Swept

SAMPLE = 800
"""Worlds of the default sample: about ten minutes on two cores."""


@command
def sweep(
    session: Session,
    sample: Annotated[int, typer.Option(metavar="N", help="How many worlds, spread evenly; at least 50.", min=1)] = SAMPLE,
    full: Annotated[bool, typer.Option("--full", help="All worlds: more than an hour.")] = False,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="This world alone; may be repeated.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report of the worlds of --only as one HTML file.")
    ] = None,
    rows: Annotated[int, typer.Option(help="How many of the worst worlds to show; --json has all.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Chance; the same seed gives the same runs.", min=0)] = 1,
    jobs: Annotated[int, typer.Option(help="Worlds run at a time.", min=1, max=64)] = 2,
    within: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Begin no further world after so many real seconds; exit 2 if none began.", min=0),
    ] = None,
) -> None:
    """Every fault in every kind of world, beside nothing done. Exit 6 when a world shows what none may; worst first.

    A world's id says what it is: its faults and where they strike, load, standbys, sorry page, entry, meter, users and nodes.
    """
    if report is not None and not only:
        raise usage("a report is made of single worlds", remedy="Name them: --only ID --report out.html.")
    if only and full:
        raise usage("--only and --full contradict each other", remedy="Leave one of them out.")
    combinations = _chosen(sample, full=full, only=only or [])
    found = _run(session, combinations, seed=seed, jobs=jobs, within_s=within, has_report=report is not None)
    if not found.ran:
        text = f"no world was run: the {within:g} s of --within were over before the first began"
        raise usage(text, remedy="Give it more seconds.")
    if report is not None:
        from siteshift.sim.report.report import write_report

        write_report([one.part for one in found.ran if one.part is not None], report)
        session.say(f"report: {report}")
    session.show({"seed": seed, **found.as_document()}, _shown(found, rows=rows, asked=len(combinations), alone=bool(only)))
    if found.worst_first or found.has_too_many_marked:
        raise typer.Exit(ExitCode.MISSED)


def _chosen(size: int, *, full: bool, only: Sequence[str]) -> list[Combination]:
    from siteshift.sim.sweep import sample
    from siteshift.sim.sweep.factors import combination_of

    try:
        if only:
            return [combination_of(id) for id in dict.fromkeys(only)]
        return sample.everything() if full else sample.sample(size)
    except ValueError as error:
        raise Failure(ExitCode.USAGE, str(error), remedy="See simulations/README.md, Sweep.") from error


def _run(
    session: Session, combinations: Sequence[Combination], *, seed: int, jobs: int, within_s: float | None, has_report: bool
) -> Sweep:
    from siteshift.sim.sweep.sweep import sweep as run_sweep

    ends_s = None if within_s is None else monotonic() + within_s

    def run(tell: Callable[[Swept], None]) -> Sweep:
        return run_sweep(
            combinations,
            jobs=jobs,
            tell=tell,
            goes_on=lambda: ends_s is None or monotonic() < ends_s,
            seed=seed,
            has_report=has_report,
        )

    if session.is_json or not session.err.is_terminal:
        return run(lambda one: session.say(_line(one)) if one.findings else None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("sweeping", total=len(combinations))
        bad = 0

        def tell(one: Swept) -> None:
            nonlocal bad
            bad += bool(one.findings)
            progress.update(task, advance=1, description=f"sweeping, {bad} with findings")

        return run(tell)


def _line(one: Swept) -> str:
    return f"{one.combination.id}: {'; '.join(one.findings.values())}"


def _shown(found: Sweep, *, rows: int, asked: int, alone: bool) -> list[Table | Text]:
    worst = found.worst_first
    shown: list[Table | Text] = []
    if alone:
        shown += [line for one in found.ran for line in _about(one)]
    elif worst:
        shown.append(Text(_HEAD, style=QUIET))
        shown += [_row(one) for one in worst[:rows]]
    if not alone and len(worst) > rows:
        shown.append(Text(f"{len(worst) - rows} more: --rows {len(worst)}, or --json", style=QUIET))
    if not alone:
        shown.append(_counts(found))
    text = f"{len(worst)} of {len(found.ran)} worlds show what none may"
    text += "" if len(found.ran) == asked else f"; time was up before the other {asked - len(found.ran)}"
    shown.append(Text(text, style=BAD if worst else GOOD))
    if found.marked:
        part = 100 * len(found.marked_worse) / len(found.ran)
        said = f"{len(found.marked)} where nobody could have known; {part:.1f} % of all lost more than nothing done (at most 2)"
        shown.append(Text(said, style=BAD if found.has_too_many_marked else WATCH))
    return shown


_HEAD = f"{'more s':>8} {'lost':>9} {'nothing':>9} {'turns':>5}  {'shows':<28} world"


def _row(one: Swept) -> Text:
    """One line of the table. No `Table`: an id is read and copied whole, however narrow the terminal."""
    rules = ", ".join(one.findings)
    if one.beside is None:
        return Text(f"{'-':>8} {'-':>9} {'-':>9} {'-':>5}  {rules:<28} {one.combination.id}")
    ours, nothing = one.beside.ours.weighed(), one.beside.nothing.weighed()
    style = BAD if one.beside.is_worse else ""
    figures = Text(f"{one.more_s:>+8.1f} {ours:>9,.0f} {nothing:>9,.0f} {one.turns:>5}", style=style)
    return figures + Text(f"  {rules:<28} {one.combination.id}")


def _about(one: Swept) -> list[Text]:
    """What one world showed: a line of figures, and a line for each rule."""
    head = Text(one.combination.id, style="bold" if one.findings or one.marked else "")
    if one.beside is not None:
        ours, nothing = one.beside.ours.weighed(), one.beside.nothing.weighed()
        head.append(f"  lost {ours:,.0f}, nothing done {nothing:,.0f}: {one.more_s:+.1f} s; {one.turns} turns, {one.moves} moves")
    lines = [head]
    lines += [Text.assemble((f"  {rule}: ", BAD), said) for rule, said in one.findings.items()]
    lines += [Text.assemble((f"  {rule}, which nobody could have known: ", WATCH), said) for rule, said in one.marked.items()]
    return lines


def _counts(found: Sweep) -> Table:
    """Worlds by kind of fault and by rule."""
    from siteshift.sim.sweep.rules import RULES
    from siteshift.sim.sweep.sweep import CRASH

    columns = ("worlds", "any", *RULES, *([CRASH] if any(row[CRASH] for row in found.counts().values()) else []), "marked")
    table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 2, 0, 0))
    table.add_column("fault", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    counts = found.counts()
    total = {name: sum(row[name] for row in counts.values()) for name in columns}
    for fault, row in [*counts.items(), ("all", total)]:
        table.add_row(fault, *(str(row[name] or "") for name in columns))
    return table
