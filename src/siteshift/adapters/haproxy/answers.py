"""The grammar of runtime API answers (HAProxy 2.4 and later): lines of commands out, answers told apart.

HAProxy runs the ``;``-joined commands of a line in order; an error in the middle does not stop the rest, and nothing
says which answer belongs to which command except their order. How many empty lines follow an answer depends on the
version (a ``get var`` that found something: none in 2.6, one in 2.8), so they are not counted where that can be helped:

* Every line ends with a question for a variable nobody sets (`END`). Its answer is the last of all: what ends without
  it was cut off, wherever that was and however the version ends its answers.
* A variable answers with exactly one line that is not empty, and variables are asked for after all changes.
* Changes that were carried out answer with nothing. Only where one was refused do empty lines tell which; when their
  number does not fit the commands, that is `OddAnswer`: better not to know than to blame the wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from siteshift.adapters import wire

LINE_BYTES = 15_000
"""A line must fit HAProxy's ``tune.bufsize``, 16,384 by default; measured best near the limit (limits.md)."""
END = "get var proc.siteshift_end"
"""The question that ends every line. Every level above ``user`` may ask it; ``user`` is told so, which ends the line as well."""
NOT_FOUND = "variable not found"
_END_ANSWERS = re.compile(r"(?:Variable not found\.?|Permission denied\.?|proc\.siteshift_end: type=.*)", re.IGNORECASE)
_END_CHARACTERS = 200
"""The answer to `END` with all line feeds around it is shorter."""
_VARIABLE = re.compile(r"([A-Za-z0-9_.]+): type=([a-z0-9]+) value=<(.*)>")
_PROMPT = "\n> "
"""A socket in interactive mode says so before every answer."""


class OddAnswer(ValueError):
    """An answer that was cut off, or that does not fit what was asked."""


def pack(commands: Sequence[str], limit: int = LINE_BYTES) -> Iterator[Sequence[str]]:
    """Groups of commands that fit one line each, in order."""
    group: list[str] = []
    size = 0
    for command in commands:
        if group and size + len(command) + 1 > limit:
            yield group
            group, size = [], 0
        group.append(command)
        size += len(command) + 1
    if group:
        yield group


def line_of(commands: Sequence[str]) -> str:
    """What to send for these commands."""
    return ";".join((*commands, END)) + "\n"


def split(commands: Sequence[str], raw: str) -> list[str]:
    """One answer per command: changes first, then variables, and at most one ``show``, at the end and without changes.

    Raises `OddAnswer` when the answer was cut off or does not fit the commands.
    """
    body = _before_end(raw)
    if commands[-1].startswith("show "):
        return _lines_then_text(len(commands) - 1, body)
    asked = [command.rpartition(" ")[2] for command in commands if command.startswith("get var ")]
    changes = len(commands) - len(asked)
    if not asked and body == "\n" * changes:
        return [""] * changes
    lines = body.split("\n")
    said = [at for at, line in enumerate(lines) if line]
    if len(said) < len(asked):
        raise OddAnswer(f"{len(said)} of {len(asked)} variables were answered")
    of_variables = said[len(said) - len(asked) :]
    values = [lines[at] for at in of_variables]
    for name, value in zip(asked, values, strict=True):
        if ": type=" in value and not value.startswith(f"{name}: type="):
            raise OddAnswer(f"asked for {name}, told {value[:60]!r}")
    before = lines[: of_variables[0]] if of_variables else lines[:-1]
    return [*_of_changes(changes, before), *values]


def _before_end(raw: str) -> str:
    """All but the answer to `END`, without prompts."""
    if raw.startswith("> ") or _PROMPT in raw:
        raw = raw.removeprefix("> ").replace(_PROMPT, "\n")
    tail = raw[-_END_CHARACTERS:]
    last = tail.rstrip("\n").rpartition("\n")[2]
    if last == tail.rstrip("\n") and len(tail) < len(raw):
        raise OddAnswer("the answer was cut off")
    if not tail.endswith("\n") or _END_ANSWERS.fullmatch(last) is None:
        raise OddAnswer("the answer was cut off")
    return raw[: raw.rindex(last)]


def _lines_then_text(lines: int, body: str) -> list[str]:
    answers = []
    for _ in range(lines):
        line, ended, body = body.lstrip("\n").partition("\n")
        if not ended:
            raise OddAnswer("a variable was not answered")
        answers.append(line)
    return [*answers, body.lstrip("\n")]


def _of_changes(count: int, lines: Sequence[str]) -> list[str]:
    """Messages of refused changes, by the empty line that ends each answer."""
    if not any(lines):
        return [""] * count
    answers: list[str] = []
    message: list[str] = []
    for line in lines:
        if line:
            message.append(line)
        else:
            answers.append(" ".join(message))
            message = []
    if message or len(answers) != count:
        first = next(line for line in lines if line)
        raise OddAnswer(f"something was refused, but {len(answers)} answers do not fit {count} commands: {first[:120]!r}")
    return answers


def integer(answer: str) -> int | None:
    """The integer in the answer of ``get var``; None when there is no such variable. Raises `OddAnswer`."""
    value = _value(answer, "sint")
    try:
        return None if value is None else wire.signed_decimal(value)
    except wire.BadWire as error:
        raise OddAnswer(str(error)) from error


def text(answer: str) -> str | None:
    """The text in the answer of ``get var``; None when there is no such variable. Raises `OddAnswer`."""
    return _value(answer, "str")


def _value(answer: str, kind: str) -> str | None:
    if answer.lower().startswith(NOT_FOUND):
        return None
    match = _VARIABLE.fullmatch(answer)
    if match is None or match[2] != kind:
        raise OddAnswer(f"not a variable of type {kind}: {answer[:80]!r}")
    return match[3]
