"""``sim score`` and ``sim compare``: beside the least possible loss, nothing done and peers; one policy beside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure, usage
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH
from siteshift.cli.session import Session, command
from siteshift.cli.wide_table import WideTable

if TYPE_CHECKING:
    from siteshift.sim.library.compare import Compared
    from siteshift.sim.scenario.scenario import Ground
    from siteshift.sim.score.score import LibraryScore, Score


Files = Annotated[list[Path] | None, typer.Argument(help="Scenario files. Default: all of the library.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Chance; the same seed gives the same run. Default: the files'.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="A `policy:` to lay over the scenarios'.")]
PolicyArgument = Annotated[Path, typer.Argument(metavar="POLICY.yaml", help="A file with a `policy:`.")]
Jobs = Annotated[int, typer.Option(help="Scenarios run at a time.", min=1, max=64)]
Seeds = Annotated[int, typer.Option(metavar="N", help="Run each with N seeds, from its first on.", min=1, max=1_000)]


ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Play them in the world of this configuration.")
]


def ground_of(session: Session, config: Path | None) -> Ground | None:
    """The world of a configuration; what it has otherwise than for real is said."""
    if config is None:
        return None
    from siteshift.app.own_world import load_ground
    from siteshift.config import ConfigError

    try:
        ground = load_ground(config)
    except ConfigError as error:
        raise Failure(ExitCode.USAGE, str(error), remedy=f"Nothing was run. Look: siteshift config check {config}") from error
    for note in ground.notes:
        session.say(f"not simulated: {note}")
    return ground


@command
def score(
    session: Session,
    files: Files = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    policy: PolicyFile = None,
    config: ConfigFile = None,
    jobs: Jobs = 2,
) -> None:
    """Losses beside the least possible, beside nothing done, and beside what a user would pick instead at documented defaults."""
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import load_policy_part, load_scenarios, seeds_of
    from siteshift.sim.score.score import as_document, score_files

    chosen = _files(files)
    ground = ground_of(session, config)
    try:
        scenarios = load_scenarios(chosen, load_policy_part(policy) if policy is not None else None, ground)
    except ScenarioError as error:
        raise _unusable(error) from error
    wanted = {Path(one.file): seeds_of(one, seed, seeds) for one in scenarios}
    times = f" and {seeds} seeds" if seeds > 1 else ""
    scope = f"{len(chosen)} scenario{'s' if len(chosen) > 1 else ''}"
    session.say(f"{scope}, each with siteshift, the informed controller, nothing done and every peer{times}")
    library = score_files(
        wanted, policy=policy, ground=ground, processes=jobs, tell=lambda one: session.say(_line(one))
    )
    told = {} if ground is None else {"not_simulated": list(ground.notes)}
    tables = [_scores(library), _losses(library), _beside_nothing(library), _by_fault(library)]
    session.show({**as_document(library), **told}, [*tables, *_summary(library)])
    for one in library.bounds_beaten:
        session.say(f"{one.id}: {', '.join(one.beaten_by)} lost less than the bound: it is wrong, please report it", BAD)
    if library.bounds_beaten:
        raise typer.Exit(ExitCode.MISSED)


@command
def compare(
    session: Session,
    one: PolicyArgument,
    other: PolicyArgument,
    files: Files = None,
    seed: Seed = None,
    jobs: Jobs = 2,
) -> None:
    """Two policies over the library: what differs, scenario by scenario."""
    from siteshift.sim.library.compare import as_document, compare_files
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import load_policy_part, load_scenarios

    chosen = _files(files)
    try:
        for policy in (one, other):
            load_scenarios(chosen, load_policy_part(policy))
    except ScenarioError as error:
        raise _unusable(error) from error
    found = compare_files(
        chosen,
        one,
        other,
        seed=seed,
        processes=jobs,
        tell=lambda entry: session.say(f"{entry.id}: {'the same' if entry.is_same else 'differs'}"),
    )
    differing = [entry for entry in found if not entry.is_same]
    saved = -sum(entry.lost_more for entry in found)
    text = f"{len(differing)} of {len(found)} scenarios differ; {other} loses {_more_or_less(saved)} than {one}"
    document = {
        "one": str(one),
        "other": str(other),
        "lost_more": -saved,
        "scenarios": [as_document(entry) for entry in found],
    }
    session.show(document, [_differences(differing), Text(text)] if differing else [Text(text)])


def _files(files: list[Path] | None) -> list[Path]:
    from siteshift.app.share import scenarios

    chosen = files or sorted(scenarios().glob("*.yaml"))
    if not chosen:
        raise usage(f"{scenarios()} holds no scenarios", remedy="Name scenario files.")
    return chosen


def _unusable(error: Exception) -> Failure:
    return Failure(ExitCode.USAGE, str(error), remedy="Nothing was run. Correct the files; see simulations/README.md.")


def _more_or_less(saved: float) -> str:
    return f"{abs(saved):,.0f} requests {'less' if saved >= 0 else 'more'}"


def _seconds(value_ms: int | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.1f}"


def _scores(library: LibraryScore) -> WideTable:
    delays = ("T_detect", "bound", "×", "T_decide", "T50", "T95")
    table = WideTable("bound s", "regret s", *delays, "moves", "wrong", "peak %", "probes %")
    for one in library.scores:
        figures = one.figures
        times = (figures.decide_ms, figures.t50_ms, figures.t95_ms)
        table.add_row(
            one.id,
            f"{one.least_s:.1f}",
            f"{one.regret_s:.1f}",
            _seconds(figures.detect_ms),
            _seconds(one.bound_ms),
            "-" if one.detect_to_bound is None else f"{one.detect_to_bound:.1f}",
            *(_seconds(value) for value in times),
            str(figures.moves),
            Text(str(figures.wrong_moves), style=BAD if figures.wrong_moves else ""),
            f"{figures.peak_utilisation_pm / 10:.0f}",
            f"{figures.extra_probes_pm / 10:+.1f}",
        )
    return table


def _line(one: Score) -> str:
    """One scenario as soon as it is scored: the whole library takes a while."""
    from siteshift.sim.peers.peers import NOTHING
    from siteshift.sim.score.score import INFORMED, OURS

    bound = "" if one.detect_to_bound is None else f", detected in {one.detect_to_bound:.1f} x the bound"
    lost = f"lost {one.lost_s(OURS):.1f} s, bound {one.least_s:.1f} s, informed {one.lost_s(INFORMED):.1f} s"
    lost += f", nothing done {one.lost_s(NOTHING.name):.1f} s"
    best_peer = one.best_peer()
    peer = f"{best_peer} {one.lost_s(best_peer):.1f} s" if one.loses_anything() else "nothing to lose"
    return f"{one.id}: {lost}, {peer}{bound}, {one.figures.wrong_moves} wrong moves"


def _losses(library: LibraryScore) -> WideTable:
    """Losses in seconds of the failed site's traffic, a column for each controller."""
    names = list(library.scores[0].lost) if library.scores else []
    title = "lost, in seconds of the failed site's traffic; a late answer is half a loss"
    table = WideTable(*names, "to best", title=title)
    for one in library.scores:
        to_best = one.to(one.best_peer())
        ratio = f"{to_best:.2f}" if one.loses_anything() else "-"
        style = GOOD if to_best <= 1 else BAD
        table.add_row(one.id, *(_lost(one, name) for name in names), Text(ratio, style=style))
    return table


def _lost(one: Score, name: str) -> Text:
    style = WATCH if name == one.best_peer() and one.loses_anything() else ""
    return Text(f"{one.lost_s(name):.1f}", style=style)


def _beside_nothing(library: LibraryScore) -> WideTable:
    """Ours and nothing done's, by the weight of a late answer."""
    from siteshift.sim.peers.peers import NOTHING
    from siteshift.sim.results.loss import WEIGHTS
    from siteshift.sim.score.score import OURS

    title = "siteshift / nothing done, by the weight w of a late answer, in seconds; and of which requests"
    table = WideTable(*(f"w = {name}" for name in WEIGHTS), "more", "failed", "shed", "late", title=title)
    for one in library.scores:
        beside = one.beside_nothing
        ours, nothing = beside.ours, beside.nothing
        pairs = [(ours.failed, nothing.failed), (ours.shed, nothing.shed), (ours.late, nothing.late)]
        table.add_row(
            one.id,
            *(f"{one.lost_s(OURS, w):.1f} / {one.lost_s(NOTHING.name, w):.1f}" for w in WEIGHTS.values()),
            Text(f"{beside.more_s():+.1f}", style=BAD if beside.is_worse else ""),
            *(f"{mine:,.0f} / {theirs:,.0f}" for mine, theirs in pairs),
        )
    return table


def _by_fault(library: LibraryScore) -> WideTable:
    """What was lost after each fault, up to the next; the best peer is the one that lost least then."""
    from siteshift.sim.peers.peers import NOTHING
    from siteshift.sim.score.score import OURS

    title = "lost after each fault, up to the next one or the end, in seconds of the sites' traffic that it harms"
    table = WideTable("from s", OURS, NOTHING.name, "best peer", "more than nothing", title=title)
    for score in library.scores:
        for one in (found for found in score.by_fault if found.loses_anything):
            table.add_row(
                f"{score.id}: {one.stretch.label}",
                f"{one.stretch.from_ms / 1_000:g}",
                f"{one.lost_s(OURS):.1f}",
                f"{one.lost_s(NOTHING.name):.1f}",
                f"{one.best_peer} {one.lost_s(one.best_peer):.1f}",
                Text(f"{one.beside.more_s():+.1f}", style=BAD if one.beside.is_worse else ""),
            )
    return table


def _summary(library: LibraryScore) -> list[Text]:
    from siteshift.sim.peers.peers import NOTHING
    from siteshift.sim.results.loss import JUDGING, WEIGHTS

    mean = library.to_best_peer()
    style = GOOD if mean <= 1 / 3 else WATCH
    lossy = len(library.lossy())
    beside = ", ".join(f"{library.to_best_peer(w):.3f} with w = {name}" for name, w in WEIGHTS.items() if w != JUDGING)
    to_nothing = ", ".join(f"{library.to(NOTHING.name, w):.3f} with w = {name}" for name, w in WEIGHTS.items())
    worse = library.worse_than_nothing
    named = ", ".join(f"{one.id} by {one.beside_nothing.more_s():.1f} s" for one in worse)
    return [
        Text(f"loss {mean:.3f} of the best peer's (geometric mean over {lossy} scenarios where anything is lost)", style=style),
        Text(f"  {beside}", style=QUIET),
        Text(f"loss of nothing done's: {to_nothing}"),
        Text(f"{len(worse)} scenarios worse than nothing{': ' if worse else ''}{named}", style=BAD if worse else GOOD),
        Text(_after_faults(library), style=BAD if library.worse_after_a_fault else GOOD),
        Text(f"{library.wrong_moves} wrong moves", style=BAD if library.wrong_moves else GOOD),
    ]


def _after_faults(library: LibraryScore) -> str:
    worse = library.worse_after_a_fault
    named = ", ".join(f'"{one.stretch.label}" of {score.id} by {one.beside.more_s():.1f} s' for score, one in worse)
    return f"worse than nothing after {len(worse)} single faults{': ' if worse else ''}{named}"


def _differences(found: list[Compared]) -> WideTable:
    table = WideTable("lost", "T_detect", "T95", "moves", "wrong", "peak %", "missed")
    for entry in found:
        one, other = entry.one.figures, entry.other.figures
        table.add_row(
            entry.id,
            _change(f"{one.loss.weighed():,.0f}", f"{other.loss.weighed():,.0f}"),
            _change(_seconds(one.detect_ms), _seconds(other.detect_ms)),
            _change(_seconds(one.t95_ms), _seconds(other.t95_ms)),
            _change(str(one.moves), str(other.moves)),
            _change(str(one.wrong_moves), str(other.wrong_moves)),
            _change(f"{one.peak_utilisation_pm / 10:.0f}", f"{other.peak_utilisation_pm / 10:.0f}"),
            _change(str(len(entry.one.missed)), str(len(entry.other.missed))),
        )
    return table


def _change(one: str, other: str) -> Text:
    return Text(one, style=QUIET) if one == other else Text(f"{one} > {other}", style=WATCH)
