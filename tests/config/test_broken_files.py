"""Every broken configuration gets all of its problems, each with the right line, and no other.

A file says with ``#! CFG-204 CFG-209`` at the end of a line which problems that line has.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from siteshift.config import ConfigError, ProblemSeverity, Surroundings, check_config, document, load_config

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
EXPECTED = re.compile(rb"#! ([A-Z0-9 -]+)")


def expected_problems(path: Path) -> list[tuple[int, str]]:
    """(line, id) of every problem, sorted."""
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if said := EXPECTED.search(line):
            found += [(number, name) for name in said[1].decode().split()]
    return sorted(found)


def found_problems(path: Path) -> list[tuple[int, str]]:
    return sorted((problem.line, problem.id) for problem in check_config(path, Surroundings.IGNORED))


def test_there_are_at_least_twenty_of_them() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_problems_are_found_each_in_its_line(path: Path) -> None:
    assert found_problems(path) == expected_problems(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_pure_python_parser_finds_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pure(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, list[object]] = {}  # noqa: RUF012

    monkeypatch.setattr(document, "_Loader", Pure)
    assert found_problems(path) == expected_problems(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_problem_says_what_to_do_or_is_plain(path: Path) -> None:
    for problem in check_config(path, Surroundings.IGNORED):
        assert problem.column >= 1
        assert str(problem).startswith(f"{path}:{problem.line}:{problem.column} {problem.id} ")
        assert problem.message


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_errors_keep_a_file_from_being_loaded(path: Path) -> None:
    problems = check_config(path, Surroundings.IGNORED)
    if any(problem.severity is ProblemSeverity.ERROR for problem in problems):
        with pytest.raises(ConfigError) as raised:
            load_config(path, Surroundings.IGNORED)
        assert raised.value.problems == problems
        assert all(str(problem) in str(raised.value) for problem in problems)
    else:
        assert load_config(path, Surroundings.IGNORED).warnings == problems


def test_secrets_in_the_file_are_never_shown() -> None:
    problems = check_config(BROKEN / "17-secrets-in-the-file.yaml", Surroundings.IGNORED)
    said = "\n".join(map(str, problems))
    for secret in ("hunter2", "PRIVATE KEY", "12345", "c2VjcmV0", "password@"):
        assert secret not in said


def test_a_reference_to_a_missing_site_reads_as_people_would_say_it(tmp_path: Path) -> None:
    text = (BROKEN / "21-references.yaml").read_text()
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "site: anyangg" in row)
    problem = next(p for p in check_config(BROKEN / "21-references.yaml", Surroundings.IGNORED) if p.line == line)
    assert str(problem).endswith(
        f"21-references.yaml:{line}:15 CFG-204 services[0].pools[1].site: no site 'anyangg'; did you mean 'anyang'?"
    )
