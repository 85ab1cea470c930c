"""``siteshift sim fuzz``: the hunt, its progress, and the short stories of what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure
from siteshift.cli.figures import BAD, GOOD, WATCH
from siteshift.cli.session import Session
from siteshift.sim.fuzz.fuzz import Ran, run_seeds
from siteshift.sim.fuzz.mutants import MUTANTS
from siteshift.sim.fuzz.shrink import shrunk
from siteshift.sim.fuzz.swarm import draw_case
from siteshift.sim.results.loss import WEIGHTS

STORIES = 5
"""So many findings are shrunk, one of each check: the others are most likely the same again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What to hunt in. ``within_s``: after so many real seconds no further run is begun (None: the seeds are the bound)."""

    seeds: Sequence[int]
    minutes: int
    jobs: int
    bug: str | None
    within_s: float | None
    out: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunted:
    """What came of the runs. ``worse``: those that lost more than nothing done, worst first."""

    runs: int
    found: tuple[Ran, ...]
    worse: tuple[Ran, ...]

    @classmethod
    def of(cls, done: Sequence[Ran]) -> Hunted:
        worse = sorted((ran for ran in done if ran.is_worse), key=lambda ran: -ran.more_s())
        return cls(runs=len(done), found=tuple(ran for ran in done if ran.found is not None), worse=tuple(worse))

    @property
    def unasked(self) -> tuple[Ran, ...]:
        """Those of ``worse`` that were so without what people moved themselves."""
        return tuple(ran for ran in self.worse if ran.is_worse_unasked)

    def failures(self, *, fail_worse: bool) -> list[str]:
        """Why the hunt failed; empty: it did not."""
        said = [f"{len(self.found)} runs found something wrong"] if self.found else []
        if fail_worse and self.unasked:
            said.append(f"{len(self.unasked)} runs lost more than nothing done")
        return said

    def beside_nothing(self) -> Text:
        """How many were worse, and the worst of those that nobody asked for."""
        whole = self.runs - len(self.found)
        text = f"{len(self.worse)} of {whole} runs that went through worse than nothing"
        if asked := len(self.worse) - len(self.unasked):
            text += f", in {asked} of them people moved traffic"
        if hidden := sum(ran.beside is not None and not ran.beside.is_worse for ran in self.worse):
            text += f", in {hidden} of them after one fault and not as a whole"
        if self.unasked:
            first = self.unasked[0]
            text += f"; the worst, seed {first.seed}, by {first.more_s():.1f} s of the site's traffic"
        return Text(text, style=WATCH if self.worse else GOOD)


def hunt(session: Session, wanted: Hunt) -> Hunted:
    """Run the seeds and show what was found."""
    minutes, bug, out = wanted.minutes, wanted.bug, wanted.out
    if bug is not None and bug not in MUTANTS:
        raise Failure(ExitCode.USAGE, f"there is no deliberate bug `{bug}`", remedy=f"Known: {', '.join(MUTANTS)}.")
    done = _run(session, wanted)
    hunted = Hunted.of(done)
    found = hunted.found
    files = _stories(session, found, minutes=minutes, bug=bug, out=out)
    digest = sha256(" ".join(ran.digest for ran in done).encode()).hexdigest()[:16]
    document = {
        "runs": len(done),
        "asked": len(wanted.seeds),
        "minutes": minutes,
        "bug": bug,
        "moves": sum(ran.moves for ran in done),
        "digest": digest,
        "found": [{"seed": ran.seed, "found": str(ran.found), "file": files.get(ran.seed)} for ran in found],
        "worse_than_nothing": [_worse_document(ran) for ran in hunted.worse],
    }
    lines = [Text.assemble((f"seed {ran.seed} ", BAD), str(ran.found)) for ran in found]
    lines += [Text(f"  siteshift sim run {file}") for file in files.values()]
    lines += [Text.assemble((f"seed {ran.seed} ", WATCH), _worse_text(ran)) for ran in hunted.worse]
    sound = Text(f"{len(done) - len(found)} of {len(done)} runs sound", style=BAD if found else GOOD)
    moves = f", {document['moves']} moves, digest {digest}"
    if len(done) < len(wanted.seeds):
        moves += f"; time was up before the other {len(wanted.seeds) - len(done)}"
    session.show(document, [*lines, sound + Text(moves), hunted.beside_nothing()])
    return hunted


def _worse_text(ran: Ran) -> str:
    asked = "; people moved traffic" if ran.by_request else ""
    assert ran.beside is not None
    whole = [str(ran.beside)] if ran.beside.is_worse or not ran.worse_faults else []
    return f"worse than nothing: {'; '.join([*whole, *(str(one) for one in ran.worse_faults)])}{asked}"


def _worse_document(ran: Ran) -> dict[str, object]:
    assert ran.beside is not None
    beside = ran.beside
    return {
        "seed": ran.seed,
        "more_s": {name: beside.more_s(weight) for name, weight in WEIGHTS.items()},
        "lost": beside.ours.as_document(),
        "nothing_done": beside.nothing.as_document(),
        "site_rps": beside.site_rps,
        "by_request": ran.by_request,
        "is_worse_as_a_whole": beside.is_worse,
        "after_faults": [one.as_document() for one in ran.worse_faults],
    }


def _run(session: Session, wanted: Hunt) -> list[Ran]:
    """With progress on standard error."""
    ends_s = None if wanted.within_s is None else monotonic() + wanted.within_s

    def goes_on() -> bool:
        return ends_s is None or monotonic() < ends_s

    def run(tell: Callable[[Ran], None]) -> list[Ran]:
        return run_seeds(
            wanted.seeds, minutes=wanted.minutes, bug=wanted.bug, jobs=wanted.jobs, tell=tell, goes_on=goes_on
        )

    if session.is_json or not session.err.is_terminal:

        def say(ran: Ran) -> None:
            if ran.found is not None:
                session.say(f"seed {ran.seed}: {ran.found}")

        return run(say)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("hunting", total=len(wanted.seeds))
        wrong = 0

        def tell(ran: Ran) -> None:
            nonlocal wrong
            wrong += ran.found is not None
            progress.update(task, advance=1, description=f"hunting, {wrong} found")

        return run(tell)


def _stories(session: Session, found: Sequence[Ran], *, minutes: int, bug: str | None, out: Path) -> dict[int, str]:
    """Shrink the first finding of each check into a scenario file; the file of each seed that has one."""
    files: dict[int, str] = {}
    told: set[str] = set()
    for ran in found:
        if ran.found is None or ran.found.check in told or len(told) >= STORIES:
            continue
        told.add(ran.found.check)
        session.say(f"shrinking seed {ran.seed} ...")
        case = shrunk(draw_case(ran.seed, minutes=minutes), ran.found, bug=bug)
        path = out / f"{case.name}.yaml"
        try:
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(case.text(), encoding="utf-8")
        except OSError as error:
            raise Failure(ExitCode.FAILED, f"{path} cannot be written: {error.strerror}") from error
        files[ran.seed] = str(path)
    return files
