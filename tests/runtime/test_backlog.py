"""What waits for the journal while the store is lost: bounded, and nothing that was done is counted away."""

from __future__ import annotations

from siteshift.ports import JournalRow
from siteshift.runtime.backlog import Backlog

STATE = {"generation": 3}


def heard(at_ms: int, kind: str = "input") -> JournalRow:
    return (at_ms, kind, {"n": at_ms})


def full() -> Backlog:
    """Three rows kept of three, then two counted."""
    backlog = Backlog(limit=3)
    for at_ms in range(3):
        backlog.keep_or_count(heard(at_ms))
    backlog.keep_or_count(heard(3))
    backlog.keep_or_count(heard(4, "belief"))
    return backlog


def kinds(rows: tuple[JournalRow, ...]) -> list[str]:
    return [kind for _, kind, _ in rows]


def test_beyond_the_limit_rows_are_counted_by_kind_and_the_state_stands_behind_the_gap() -> None:
    backlog = full()
    assert (len(backlog), backlog.summarised, backlog.has_gap) == (3, 2, True)
    rows = backlog.seal(9, STATE)
    assert kinds(rows) == ["input", "input", "input", "gap", "state"]
    gap = {"from_ms": 3, "until_ms": 4, "rows": 2, "kinds": {"belief": 1, "input": 1}}
    assert rows[3:] == ((9, "gap", gap), (9, "state", {"state": STATE}))


def test_what_was_done_is_kept_beyond_the_limit() -> None:
    backlog = full()
    acts: list[JournalRow] = [
        (5, "decision", {"generation": 4}),
        (6, "standby", {"member": "m"}),
        (7, "answer", {"severity": "allowed"}),
    ]
    for row in acts:
        backlog.keep_or_count(row)
    backlog.keep_or_count((8, "answer", {"severity": "refused"}))
    rows = backlog.seal(9, STATE)
    assert list(rows[3:6]) == acts
    assert rows[6][2]["kinds"] == {"answer": 1, "belief": 1, "input": 1}


def test_while_the_store_works_every_row_is_kept() -> None:
    backlog = Backlog(limit=3)
    for at_ms in range(10):
        backlog.keep(heard(at_ms))
    assert (len(backlog), backlog.has_gap) == (10, False)


def test_once_written_rows_are_kept_again() -> None:
    backlog = full()
    backlog.seal(9, STATE)
    backlog.written()
    assert (len(backlog), backlog.has_gap) == (0, False)
    backlog.keep_or_count(heard(10))
    assert kinds(backlog.seal(11, STATE)) == ["input"]


def test_what_was_not_written_waits_again_as_one_gap() -> None:
    backlog = full()
    backlog.seal(9, STATE)
    backlog.keep_or_count(heard(10))
    backlog.not_written()
    rows = backlog.seal(11, STATE)
    assert kinds(rows) == ["input", "input", "input", "gap", "state"]
    assert rows[3][2] == {"from_ms": 3, "until_ms": 10, "rows": 3, "kinds": {"belief": 1, "input": 2}}


def test_what_came_during_a_commit_whose_end_was_unknown_waits_behind_it() -> None:
    backlog = full()
    backlog.seal(9, STATE)
    backlog.keep_or_count(heard(10))
    backlog.keep_or_count((11, "decision", {"generation": 4}))
    backlog.written()
    rows = backlog.seal(12, STATE)
    assert kinds(rows) == ["decision", "gap", "state"]
    assert rows[1][2]["rows"] == 1
