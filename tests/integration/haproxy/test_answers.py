"""Answers of the runtime API are told apart whatever the version does with line feeds, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.haproxy import answers
from siteshift.adapters.haproxy.answers import OddAnswer, split

NOT_FOUND = "Variable not found.\n\n"
ENDS = (
    NOT_FOUND,
    "Variable not found.\n",
    "variable not found\n\n\n",
    "Permission denied\n\n",
    "proc.siteshift_end: type=sint value=<1>\n",
)
BLANK = ("\n", "\n\n", "")
FOUND = "proc.x: type=sint value=<5>"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("after", ["\n", "\n\n", "\n\n\n"])
def test_a_variable_is_read_with_any_number_of_line_feeds_behind_it(after: str, end: str) -> None:
    raw = f"\n\n{FOUND}{after}{NOT_FOUND}{end}"
    commands = ["experimental-mode on", "set var proc.x int(5)", "get var proc.x", "get var proc.y"]
    *_, first, second = split(commands, raw)
    assert answers.integer(first) == 5
    assert answers.integer(second) is None


@pytest.mark.parametrize("blank", BLANK)
def test_changes_that_said_nothing_were_carried_out(blank: str) -> None:
    commands = [f"set server web/p{n} weight 1" for n in range(3)]
    assert split(commands, blank * 3 + NOT_FOUND) == ["", "", ""]


def test_a_refused_change_is_told_by_its_place() -> None:
    commands = [f"set server web/p{n} weight 1" for n in range(3)]
    assert split(commands, "\nNo such server.\n\n\n" + NOT_FOUND) == ["", "No such server.", ""]


@pytest.mark.parametrize("raw", ["No such server.\n\n\n", "\n\nNo such server.\n\n\n\n", "No such server.\n"])
def test_a_refusal_that_fits_no_command_is_laid_at_nobodys_door(raw: str) -> None:
    commands = [f"set server web/p{n} weight 1" for n in range(3)]
    with pytest.raises(OddAnswer, match="No such server"):
        split(commands, raw + NOT_FOUND)


@given(cut=st.integers(0, 300))
def test_an_answer_that_was_cut_off_anywhere_is_no_answer(cut: int) -> None:
    raw = f"\n\n{FOUND}\n\n{NOT_FOUND}{NOT_FOUND}"
    commands = ["experimental-mode on", "set var proc.x int(5)", "get var proc.x", "get var proc.y"]
    whole = raw.rstrip("\n") + "\n"
    if cut < len(whole):
        with pytest.raises(OddAnswer):
            split(commands, raw[:cut])


@given(cut=st.integers(0, 10_000))
def test_a_table_that_was_cut_off_anywhere_is_no_table(cut: int) -> None:
    """Also at the end of a row, where nothing else would show it."""
    table = "# pxname,svname\n" + "".join(f"web,s{n}\n" for n in range(500)) + "\n"
    whole = table + NOT_FOUND
    if cut < len(whole) - 1:
        with pytest.raises(OddAnswer):
            split(["show stat"], whole[:cut])
    assert split(["show stat"], whole) == [table]


@pytest.mark.parametrize(
    "answer",
    [
        "proc.x: type=sint value=<1e3>",
        "proc.x: type=sint value=<>",
        "proc.x: type=sint value=<+5>",
        "proc.x: type=sint value=< 5>",
        "proc.x: type=sint value=<5_0>",
        "proc.x: type=sint value=<٣>",
        "proc.x: type=sint value=<5",
        "proc.x: type=sint value=<" + "9" * 30 + ">",
        "proc.x: type=str value=<5>",
        "proc.x: type=bool value=<1>",
        "proc.x",
        "5",
    ],
)
def test_what_is_no_integer_variable_is_odd(answer: str) -> None:
    with pytest.raises(OddAnswer):
        answers.integer(answer)


def test_the_answer_for_another_variable_is_odd() -> None:
    with pytest.raises(OddAnswer, match=r"asked for proc\.x"):
        split(["get var proc.x"], "proc.y: type=sint value=<5>\n\n" + NOT_FOUND)


def test_fewer_variables_than_asked_for_is_odd() -> None:
    with pytest.raises(OddAnswer, match="1 of 2"):
        split(["get var proc.x", "get var proc.y"], FOUND + "\n\n" + NOT_FOUND)
