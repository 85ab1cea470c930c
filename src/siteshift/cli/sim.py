"""``siteshift sim``: replay outages in a virtual world, with the core that runs in production."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from siteshift.cli import sim_score, sim_sweep
from siteshift.cli.exits import ExitCode, Failure
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH
from siteshift.cli.session import Session, command

if TYPE_CHECKING:
    from siteshift.sim.library.jobs import Ran
    from siteshift.sim.run.replay import Outcome
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import Scenario

app = typer.Typer(no_args_is_help=True, help="Replay outages in a virtual world, with the core that runs in production.")
app.command("score")(sim_score.score)
app.command("compare")(sim_score.compare)
app.command("sweep")(sim_sweep.sweep)


Files = Annotated[list[Path], typer.Argument(help="Scenario files; see simulations/README.md.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Chance; the same seed gives the same run. Default: the file's.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="A `policy:` to lay over the scenarios'.")]
Transcript = Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything that was said and done.")]
ReportFile = Annotated[Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file.")]
Jobs = Annotated[int, typer.Option(help="Scenarios run at a time.", min=1, max=64)]


@app.command("run")
@command
def run(
    session: Session,
    files: Files,
    seed: Seed = None,
    seeds: sim_score.Seeds = 1,
    policy: PolicyFile = None,
    config: sim_score.ConfigFile = None,
    transcript: Transcript = None,
    report: ReportFile = None,
    jobs: Jobs = 2,
) -> None:
    """Run scenarios and judge them. Exit 0 only if every criterion holds, 6 if one is missed, 2 on a bad file.

    With several seeds every run must meet every criterion; the report shows the first of each. With a configuration the world is
    its own: its sites, shares, capacities, groups, planes and policy.
    """
    from siteshift.sim.library.jobs import Job, Wants, as_document
    from siteshift.sim.report.report import write_report
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import load_policy_part, load_scenarios, seeds_of

    ground = sim_score.ground_of(session, config)
    try:
        scenarios = load_scenarios(files, load_policy_part(policy) if policy is not None else None, ground)
    except ScenarioError as error:
        raise _unusable(error) from error
    wanted = [
        Job(
            file=file,
            seed=used,
            policy=policy,
            ground=ground,
            wants=Wants.OUTCOME if report is None or number else Wants.REPORT,
        )
        for file, scenario in zip(files, scenarios, strict=True)
        for number, used in enumerate(seeds_of(scenario, seed, seeds))
    ]
    ran = _run_all(session, wanted, jobs)
    if transcript is not None:
        _write(transcript, "".join(_headed(entry, len(ran)) for entry in ran))
    if report is not None:
        write_report([entry.part for entry in ran if entry.part is not None], report)
    outcomes = [entry.outcome for entry in ran]
    is_alone = len(outcomes) == 1
    tables = [] if is_alone else [_table(outcomes)]
    details = [line for outcome in outcomes for line in _details(outcome, alone=is_alone, has_seeds=seeds > 1)]
    told = {} if ground is None else {"not_simulated": list(ground.notes)}
    session.show({"scenarios": [as_document(entry) for entry in ran], **told}, [*tables, *details])
    if report is not None:
        session.say(f"report: {report}")
    missed = dict.fromkeys(outcome.id for outcome in outcomes if outcome.missed)
    if missed:
        session.say(f"{len(missed)} of {len(files)} scenarios missed a criterion: {', '.join(missed)}", BAD)
        raise typer.Exit(ExitCode.MISSED)


@app.command("list")
@command
def list_scenarios(
    session: Session,
    folder: Annotated[
        Path | None, typer.Argument(help="Where the scenarios are. Default: simulations here, else those that were installed.")
    ] = None,
) -> None:
    """The scenarios of a folder: id, source, what they are about."""
    from siteshift.app.share import scenarios
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import load_scenarios

    place = folder or scenarios()
    files = sorted(place.glob("*.yaml"))
    if not files:
        raise Failure(ExitCode.USAGE, f"{place} holds no scenarios", remedy="Name a folder with *.yaml files.")
    try:
        found = load_scenarios(files)
    except ScenarioError as error:
        raise _unusable(error) from error
    table = Table(box=None, pad_edge=False, header_style=QUIET)
    table.add_column("scenario", overflow="fold")
    table.add_column("what it is about", ratio=1, overflow="fold")
    table.add_column("lasts", justify="right", no_wrap=True)
    table.add_column("criteria", justify="right")
    table.add_column("later", justify="right")
    for entry in found:
        minutes = f"{entry.duration_ms / 60_000:g} min"
        table.add_row(entry.id, entry.title, minutes, str(len(entry.criteria)), str(len(entry.later) or ""))
    session.show({"scenarios": [_about(entry) for entry in found]}, [table])


@app.command("fuzz")
@command
def fuzz(
    session: Session,
    runs: Annotated[int, typer.Option(help="How many random worlds.", min=1, max=1_000_000)] = 100,
    seed: Annotated[int, typer.Option(help="The first seed; the next run has the next one.", min=0)] = 1,
    jobs: Jobs = 2,
    minutes: Annotated[int, typer.Option(help="Virtual minutes of each run.", min=5, max=1_440)] = 60,
    bug: Annotated[str | None, typer.Option(help="Plant one of the deliberate bugs of docs/SAFETY.md first.")] = None,
    within: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Begin no further run after so many real minutes.", min=0)
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where shrunk scenario files go.")] = Path("build/fuzz"),
    fail_worse: Annotated[
        bool, typer.Option("--fail-worse", help="Exit 6 also when a run lost more than nothing done and nobody asked for moves.")
    ] = False,
) -> None:
    """Random troubles in random worlds, every law's checker on. Exit 6 when something is wrong, with a short scenario of it.

    Runs that lose more than nothing done are counted and listed.
    """
    from siteshift.cli.sim_fuzz import Hunt, hunt

    within_s = None if within is None else within * 60
    seeds = range(seed, seed + runs)
    hunted = hunt(session, Hunt(seeds=seeds, jobs=jobs, minutes=minutes, bug=bug, within_s=within_s, out=out))
    failures = hunted.failures(fail_worse=fail_worse)
    for said in failures:
        session.say(said, BAD)
    if failures:
        raise typer.Exit(ExitCode.MISSED)


def _about(entry: Scenario) -> dict[str, str | int]:
    lasts_s = entry.duration_ms // 1000
    return {"id": entry.id, "file": entry.file, "title": entry.title, "source": entry.source, "lasts_s": lasts_s}


def _unusable(error: ScenarioError) -> Failure:
    return Failure(
        ExitCode.USAGE,
        str(error),
        remedy="Nothing was run. Correct the files; simulations/README.md says what may stand in them.",
        document={"title": "scenarios cannot be used", "problems": [problem.as_values() for problem in error.problems]},
    )


def _run_all(session: Session, wanted: list, jobs: int) -> list[Ran]:  # type: ignore[type-arg]  # Job is imported late
    """Run with progress on standard error."""
    from siteshift.sim.library.jobs import run_jobs

    if session.is_json or not session.err.is_terminal:
        return run_jobs(wanted, processes=jobs, tell=lambda ran: session.say(f"{ran.outcome.id}: {_word(ran.outcome)}"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("replaying", total=len(wanted))

        def tell(ran: Ran) -> None:
            progress.update(task, advance=1, description=f"{ran.outcome.id}: {_word(ran.outcome)}")

        return run_jobs(wanted, processes=jobs, tell=tell)


def _headed(ran: Ran, runs: int) -> str:
    head = f"# {ran.outcome.id} seed {ran.outcome.seed}\n" if runs > 1 else ""
    return head + ran.transcript


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(ExitCode.FAILED, f"{path} cannot be written: {error.strerror}") from error


def _word(outcome: Outcome) -> str:
    return f"{len(outcome.missed)} missed" if outcome.missed else "met"


def _seconds(value_ms: int | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.1f}" if value_ms < 1_000_000 else f"{value_ms / 1000:.0f}"


_COLUMNS = ("T_detect", "T_decide", "T50", "T95", "moves", "wrong", "lost", "peak%", "probes%")


def _table(outcomes: list[Outcome]) -> Table:
    """The library on one page. Times in seconds after the fault that cost most; of several seeds the longest."""
    from siteshift.sim.run.replay import worst_figures

    table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 1, 0, 0))
    table.add_column("scenario", overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for runs in _by_scenario(outcomes):
        outcome, figures = runs[0], worst_figures([run.figures for run in runs])
        later = f" +{len(outcome.later)} later" if outcome.later else ""
        table.add_row(
            outcome.id,
            *(_seconds(value) for value in (figures.detect_ms, figures.decide_ms, figures.t50_ms, figures.t95_ms)),
            str(figures.moves),
            str(figures.wrong_moves),
            "-" if figures.lost_s is None else f"{figures.lost_s:.1f}",
            f"{figures.peak_utilisation_pm / 10:.0f}",
            f"{figures.extra_probes_pm / 10:+.1f}",
            _verdict(runs) + Text(later, style=QUIET),
        )
    return table


def _by_scenario(outcomes: list[Outcome]) -> list[list[Outcome]]:
    """The runs of each scenario, with all its seeds."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.id, []).append(outcome)
    return list(found.values())


def _verdict(runs: list[Outcome]) -> Text:
    """``met``, ``2 missed``, or with several seeds ``met in 4 of 5``."""
    met = sum(not run.missed for run in runs)
    word = _word(runs[0]) if len(runs) == 1 else f"met in {met} of {len(runs)}"
    return Text(word, style=GOOD if met == len(runs) else BAD)


def _details(outcome: Outcome, *, alone: bool, has_seeds: bool) -> list[Text]:
    """Every criterion of a single run; of many runs only those that were missed."""
    shown = outcome.judged if alone else outcome.missed
    seed = f" (seed {outcome.seed})" if has_seeds else ""
    lines = [Text(f"{outcome.id}{seed}: {outcome.title}", style="bold")] if shown else []
    for entry in shown:
        sign, style = ("holds ", GOOD) if entry.is_met else ("MISSED", BAD)
        lines.append(Text.assemble((f"  {sign} ", style), f"{entry.demand}: {entry.found}"))
    if alone:
        lines += [
            Text.assemble(("  later  ", WATCH), f"{entry.what}: not yet judged, needs {entry.needs}") for entry in outcome.later
        ]
    return lines
