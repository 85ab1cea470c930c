"""Reading a configuration: the file, its shape, its references, its numbers, and what lies around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from siteshift.config.checks.drivers import check_drivers
from siteshift.config.checks.findings import Findings
from siteshift.config.checks.identities import check_identities
from siteshift.config.checks.planes import check_planes
from siteshift.config.checks.policies import check_policies
from siteshift.config.checks.probing import check_probing
from siteshift.config.checks.references import check_references
from siteshift.config.checks.services import check_services
from siteshift.config.checks.surroundings import check_surroundings
from siteshift.config.document import Document, parse_document, read_document
from siteshift.config.errors import ConfigError
from siteshift.config.model.root import ConfigFile
from siteshift.config.problem import Problem, ProblemCode, ProblemSeverity
from siteshift.config.salvage import salvage

Check = Callable[[ConfigFile, Findings], None]

CHECKS: tuple[Check, ...] = (
    check_identities,
    check_references,
    check_policies,
    check_services,
    check_probing,
    check_planes,
    check_drivers,
)


class Surroundings(Enum):
    """Whether secrets and files that the configuration names are looked at. ``IGNORED``: on another machine, in CI."""

    CHECKED = "checked"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A configuration without errors."""

    path: Path
    config: ConfigFile
    warnings: tuple[Problem, ...]


def load_config(path: Path, surroundings: Surroundings = Surroundings.CHECKED) -> LoadedConfig:
    """Read and check the file. Raises `ConfigError` with every problem when one of them is an error.

    Reads files and takes some 30 ms for 60 members: call it off the loop (``asyncio.to_thread``).
    """
    config, problems = _judge(read_document(path), path, surroundings)
    if config is None or any(problem.severity is ProblemSeverity.ERROR for problem in problems):
        raise ConfigError(problems)
    return LoadedConfig(path=path, config=config, warnings=problems)


def check_config(path: Path, surroundings: Surroundings = Surroundings.CHECKED) -> tuple[Problem, ...]:
    """Every problem of the file, errors and warnings, in the order of the lines. Never raises."""
    return _judge(read_document(path), path, surroundings)[1]


def check_text(text: str, *, file: str = "<text>") -> tuple[Problem, ...]:
    """Like `check_config`, of a text at hand; nothing around it is looked at."""
    return judge(parse_document(text.encode(), file=file))[1]


def judge(document: Document) -> tuple[ConfigFile | None, tuple[Problem, ...]]:
    """The model (with broken values replaced) and the problems of a document; nothing around it is looked at."""
    return _judge(document, None, Surroundings.IGNORED)


def _judge(document: Document, path: Path | None, surroundings: Surroundings) -> tuple[ConfigFile | None, tuple[Problem, ...]]:
    problems = list(document.problems)
    if not document.values and problems:
        return None, _in_order(problems)
    salvaged = salvage(document)
    problems += salvaged.problems
    if salvaged.config is not None:
        findings = Findings(document, salvaged)
        for check in CHECKS:
            check(salvaged.config, findings)
        if path is not None and surroundings is Surroundings.CHECKED:
            check_surroundings(salvaged.config, findings, path)
        problems += findings.problems
    elif not problems:
        problems.append(document.problem(ProblemCode.WRONG_TYPE, (), "cannot be understood as a whole"))
    return salvaged.config, _in_order(problems)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column, p.id, p.path)))
