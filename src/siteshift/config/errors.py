"""Errors of configuration."""

from __future__ import annotations

from collections.abc import Sequence

from siteshift.config.problem import Problem, ProblemSeverity
from siteshift.errors import SiteshiftError


class ConfigError(SiteshiftError):
    """The configuration cannot be used. ``problems`` are all that were found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is ProblemSeverity.ERROR)


class SecretUnavailable(SiteshiftError):
    """A secret cannot be read from where the reference points. The text never holds any of it."""

    def __init__(self, reference: str, detail: str) -> None:
        self.reference = reference
        self.detail = detail
        super().__init__(f"{reference}: {detail}")
