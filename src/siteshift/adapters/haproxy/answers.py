"""The grammar of runtime API answers (HAProxy 2.4 and later): lines of commands out, answers counted one by one.

HAProxy runs the ``;``-joined commands of a line in order; an error in the middle does not stop the rest, and nothing
says which answer belongs to which command except their order. Every answer ends with an empty line, save a ``get
var`` that found something: that is exactly one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LINE_BYTES = 15_000
"""A line must fit HAProxy's ``tune.bufsize``, 16,384 by default; measured best near the limit (limits.md)."""


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


def split(commands: Sequence[str], raw: str) -> list[str]:
    """One answer per command that was answered; the list is shorter than ``commands`` when the answer was cut off.

    Only the last command of a line may answer with free text (a ``show``).
    """
    if not any(command.startswith(("get var", "show ")) for command in commands):
        return _split_writes(len(commands), raw)
    answers: list[str] = []
    at = 0
    for position, command in enumerate(commands):
        if command.startswith("show ") and position == len(commands) - 1:
            if at < len(raw):
                answers.append(raw[at:])
            break
        one_line = command.startswith("get var") and raw.startswith(f"{command.split()[-1]}: type=", at)
        ends = raw.find("\n" if one_line else "\n\n", at)
        if not one_line and raw.startswith("\n", at):
            answers.append("")
            at += 1
        elif ends >= 0:
            answers.append(raw[at:ends])
            at = ends + (1 if one_line else 2)
        else:
            break
    return answers


def _split_writes(count: int, raw: str) -> list[str]:
    """Writes answer with an empty line, after a message when something was wrong."""
    if raw == "\n" * count:
        return [""] * count
    answers: list[str] = []
    message: list[str] = []
    for line in raw.split("\n")[:-1]:
        if line:
            message.append(line)
        else:
            answers.append(" ".join(message))
            message = []
    return answers


def variable(answer: str) -> int | None:
    """The integer in the answer of ``get var``; None when there is no such variable."""
    if "type=sint value=<" not in answer:
        return None
    return int(answer.rpartition("<")[2].rstrip(">"))
