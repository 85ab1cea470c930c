"""YAML: scalars of 1.2, anchors, merges, and what is refused before anything is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from siteshift.config import Surroundings, check_config
from siteshift.config.document import MAX_BYTES, parse_document
from siteshift.config.scalars import plain_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("0", 0),
        ("-7", -7),
        ("010", "010"),
        ("0o17", 15),
        ("0xff", 255),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1.2.3.4", "1.2.3.4"),
        ("99999999999999999999999", 1e23),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_scalars_are_text() -> None:
    assert parse_document(b"a: \"5\"\nb: 'true'\nc: |\n  x\n", file="f").values == {"a": "5", "b": "true", "c": "x\n"}


def test_places_count_from_one_and_know_keys_and_values() -> None:
    document = parse_document(b"a: 1\nb:\n  - x: 2\n    y: [3, 4]\n", file="f")
    assert document.value_places[("a",)] == (1, 4)
    assert document.key_places[("b", 0, "y")] == (4, 5)
    assert document.value_places[("b", 0, "y", 1)] == (4, 12)
    assert document.place(("b", 0, "missing")) == (3, 5)


def test_merges_take_what_the_mapping_does_not_say_itself() -> None:
    text = b"x-base: &base {p: 1, q: 2}\nx-more: &more {<<: *base, r: 3}\nm: {<<: *more, q: 9}\nn: {<<: [*base, {s: 4}]}\n"
    document = parse_document(text, file="f")
    assert document.values == {"m": {"q": 9, "p": 1, "r": 3}, "n": {"p": 1, "q": 2, "s": 4}}
    assert document.place(("m", "p")) == (1, 19)
    assert document.problems == []


def test_a_merge_of_something_else_is_a_problem() -> None:
    (problem,) = parse_document(b"a: {<<: 5}\n", file="f").problems
    assert (problem.id, problem.line, problem.column) == ("CFG-103", 1, 9)


def test_free_keys_may_hold_anything_but_tags() -> None:
    document = parse_document(b"x-any: {deep: [1, {two: 3}]}\nx-bad: !tag 1\n", file="f")
    assert document.values == {}
    assert [problem.id for problem in document.problems] == ["CFG-007"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "CFG-009"),
        (b"# only a comment\n", "CFG-009"),
        (b"just text\n", "CFG-009"),
        (b"a: \x07\n", "CFG-004"),
        (b"a: *nowhere\n", "CFG-004"),
        (b'a: "\n', "CFG-004"),
        (b"\xff\xfea\x00", "CFG-003"),
        (b"? [a]\n: 1\n", "CFG-008"),
        (b"[" * 100_000, "CFG-006"),
        (b"a: &a {b: *a}\n", "CFG-006"),
        (b"x-a: &a {<<: *a}\n", "CFG-006"),
        (b"a: 1\n" + b"#" * MAX_BYTES, "CFG-002"),
    ],
)
def test_what_is_no_configuration_is_refused_with_one_problem(raw: bytes, expected: str) -> None:
    assert [problem.id for problem in parse_document(raw, file="f").problems] == [expected]


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    document = parse_document(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", file="f")
    assert document.values == {"a": 1, "b": 2}
    assert document.place(("b",))[0] == 2


def test_the_place_of_a_wrong_byte_is_told() -> None:
    (problem,) = parse_document(b"a: 1\nb: caf\xe9\n", file="f").problems
    assert (problem.line, problem.column) == (2, 7)


def test_a_syntax_error_never_quotes_the_file() -> None:
    (problem,) = parse_document(b"secret: hunter2: x\n", file="f").problems
    assert "hunter2" not in str(problem)


def test_files_that_cannot_be_read_are_one_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        (problem,) = check_config(path, Surroundings.IGNORED)
        assert problem.id == "CFG-001"
    long_path = tmp_path / "large.yaml"
    long_path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert [problem.id for problem in check_config(long_path)] == ["CFG-002"]
