"""``siteshift sim fuzz``: the hunt, its progress, and the short stories of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure
from siteshift.cli.figures import BAD, GOOD
from siteshift.cli.session import Session
from siteshift.sim.fuzz import Ran, run_seeds
from siteshift.sim.mutants import MUTANTS
from siteshift.sim.shrink import shrunk
from siteshift.sim.swarm import draw_case

STORIES = 5
"""So many findings are shrunk, one of each check: the others are most likely the same again."""


def hunt(session: Session, seeds: Sequence[int], *, jobs: int, minutes: int, bug: str | None, out: Path) -> int:
    """Run the seeds and show what was found; how many found something wrong."""
    if bug is not None and bug not in MUTANTS:
        raise Failure(ExitCode.USAGE, f"there is no deliberate bug `{bug}`", remedy=f"Known: {', '.join(MUTANTS)}.")
    done = _run(session, seeds, jobs=jobs, minutes=minutes, bug=bug)
    found = [ran for ran in done if ran.found is not None]
    files = _stories(session, found, minutes=minutes, bug=bug, out=out)
    digest = sha256(" ".join(ran.digest for ran in done).encode()).hexdigest()[:16]
    document = {
        "runs": len(done),
        "minutes": minutes,
        "bug": bug,
        "moves": sum(ran.moves for ran in done),
        "digest": digest,
        "found": [{"seed": ran.seed, "found": str(ran.found), "file": files.get(ran.seed)} for ran in found],
    }
    lines = [Text.assemble((f"seed {ran.seed} ", BAD), str(ran.found)) for ran in found]
    lines += [Text(f"  siteshift sim run {file}") for file in files.values()]
    sound = Text(f"{len(done) - len(found)} of {len(done)} runs sound", style=BAD if found else GOOD)
    moves = f", {document['moves']} moves, digest {digest}"
    session.show(document, [*lines, sound + Text(moves)])
    return len(found)


def _run(session: Session, seeds: Sequence[int], *, jobs: int, minutes: int, bug: str | None) -> list[Ran]:
    """With progress on standard error."""
    if session.is_json or not session.err.is_terminal:

        def say(ran: Ran) -> None:
            if ran.found is not None:
                session.say(f"seed {ran.seed}: {ran.found}")

        return run_seeds(seeds, minutes=minutes, bug=bug, jobs=jobs, tell=say)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("hunting", total=len(seeds))
        wrong = 0

        def tell(ran: Ran) -> None:
            nonlocal wrong
            wrong += ran.found is not None
            progress.update(task, advance=1, description=f"hunting, {wrong} found")

        return run_seeds(seeds, minutes=minutes, bug=bug, jobs=jobs, tell=tell)


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
