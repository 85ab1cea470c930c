"""A scenario file as plain values, each with the line it stands in, and the problems a file can have.

Strict on purpose: unquoted words stay words (``no`` is not false), a key that stands twice is a problem, and every
problem is reported at once with file:line, a stable id and a remedy. An id never changes its meaning:

``SIM-0xx`` the file itself    ``SIM-1xx`` the shape of a value    ``SIM-2xx`` names    ``SIM-3xx`` what does not fit
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import yaml

from siteshift.errors import SiteshiftError

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
Spot = tuple[str | int, ...]
"""Where in the file: ``("events", 3, "site")``."""

MAX_BYTES = 512 * 1024
"""A scenario is a page or two; a larger file is a mistake."""
MAX_DEPTH = 12

_TEXT_TAG = "tag:yaml.org,2002:str"
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?\Z")
"""No scenario needs more digits; Python refuses to read 4,300 of them, and 400 of a fraction are infinite."""
_WORDS: dict[str, Value] = {"": None, "~": None, "null": None, "true": True, "false": False}


class ScenarioProblemCode(Enum):
    """Stable id and meaning."""

    UNREADABLE = ("SIM-001", "the file cannot be read")
    SYNTAX = ("SIM-002", "not YAML")
    NOT_A_MAPPING = ("SIM-003", "the file is not one mapping of keys to values")
    DUPLICATE_KEY = ("SIM-004", "a key stands twice")
    TOO_COMPLEX = ("SIM-005", "too large, too deep, or built from aliases")
    MISSING = ("SIM-101", "a key that must be there is missing")
    UNKNOWN_KEY = ("SIM-102", "a key that is not known")
    WRONG_TYPE = ("SIM-103", "a value of the wrong kind")
    OUT_OF_RANGE = ("SIM-104", "a number or word outside what is allowed")
    UNKNOWN_FAULT = ("SIM-201", "a fault that the world cannot make")
    UNKNOWN_CRITERION = ("SIM-202", "a pass criterion that is not registered")
    UNKNOWN_NAME = ("SIM-203", "a site, service, member or node that the world does not have")
    DUPLICATE_ID = ("SIM-204", "two scenarios with one id")
    ID_NOT_FILE_NAME = ("SIM-205", "the id is not the file's name")
    AFTER_THE_END = ("SIM-301", "an instant that lies outside the scenario")
    NOTHING_TO_HEAL = ("SIM-302", "a heal of what was never broken")
    DOES_NOT_FIT = ("SIM-303", "numbers that do not fit together")
    CANNOT_FAIL = ("SIM-304", "a pass criterion that no run could miss")

    def __init__(self, id: str, meaning: str) -> None:
        self.id = id
        self.meaning = meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioProblem:
    """One problem at one place. ``line`` and ``column`` count from 1."""

    code: ScenarioProblemCode
    file: str
    line: int
    column: int
    where: str
    message: str
    remedy: str = ""

    @property
    def id(self) -> str:
        return self.code.id

    def as_values(self) -> dict[str, str | int]:
        """For JSON."""
        return {
            "id": self.id,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.where,
            "message": self.message,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}:{self.column} {self.id} {where}{self.message}{remedy}"


class ScenarioError(SiteshiftError):
    """A scenario file that cannot be used; carries every problem."""

    def __init__(self, problems: Sequence[ScenarioProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class ScenarioDocument:
    """The values, where each stands, and the problems found so far."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)
    places: dict[Spot, tuple[int, int]] = field(default_factory=dict)
    key_places: dict[Spot, tuple[int, int]] = field(default_factory=dict)
    problems: list[ScenarioProblem] = field(default_factory=list)

    def note(
        self,
        code: ScenarioProblemCode,
        spot: Spot,
        message: str,
        remedy: str = "",
        *,
        place: tuple[int, int] | None = None,
    ) -> None:
        """Add a problem; its place is that of ``spot``, or of the nearest thing around it."""
        line, column = place or self._nearest(code, spot)
        problem = ScenarioProblem(
            code=code, file=self.file, line=line, column=column, where=spot_text(spot), message=message, remedy=remedy
        )
        self.problems.append(problem)

    def _nearest(self, code: ScenarioProblemCode, spot: Spot) -> tuple[int, int]:
        if code is ScenarioProblemCode.UNKNOWN_KEY and spot in self.key_places:
            return self.key_places[spot]
        for length in range(len(spot), 0, -1):
            if found := self.places.get(spot[:length]):
                return found
        return (1, 1)

    def refuse(self) -> None:
        """Raise `ScenarioError` when there is any problem, in the order of the lines."""
        if self.problems:
            raise ScenarioError(sorted(self.problems, key=lambda problem: (problem.line, problem.column, problem.id)))


def spot_text(spot: Spot) -> str:
    """``events[3].site``."""
    text = ""
    for part in spot:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_scenario_document(path: Path) -> ScenarioDocument:
    """Read a file. Never raises: what is wrong stands in ``problems``."""
    document = ScenarioDocument(file=str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        document.note(ScenarioProblemCode.UNREADABLE, (), f"cannot be read: {reason}", "check the path")
        return document
    return parse_scenario_document(raw, document)


def parse_scenario_document(raw: bytes, document: ScenarioDocument) -> ScenarioDocument:
    """Like `read_scenario_document`, of bytes at hand."""
    if len(raw) > MAX_BYTES:
        document.note(ScenarioProblemCode.TOO_COMPLEX, (), f"larger than {MAX_BYTES // 1024} KiB", "is this the right file?")
        return document
    try:
        root = yaml.compose(raw.decode("utf-8"), Loader=_Loader)
    except UnicodeDecodeError as error:
        document.note(ScenarioProblemCode.UNREADABLE, (), f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        return document
    except (yaml.YAMLError, RecursionError) as error:
        _note_syntax(document, error)
        return document
    if not isinstance(root, yaml.MappingNode):
        message = "the file must hold one mapping (`id:`, `events:`, `pass:`, ...)"
        document.note(ScenarioProblemCode.NOT_A_MAPPING, (), message, "start from a file in simulations/")
        return document
    built = _build(document, root, ())
    assert isinstance(built, dict)
    document.values = built
    return document


class _Loader(yaml.SafeLoader):
    """Composes only; every plain scalar stays text until `_scalar` looks at it. Aliases are refused: a scenario is
    read by people, from top to bottom.
    """

    yaml_implicit_resolvers: dict[str, list[object]] = {}  # noqa: RUF012 (PyYAML's name and form)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML has no types here
            raise yaml.composer.ComposerError(None, None, "aliases (`*name`) are not allowed; write it out", mark)
        return super().compose_node(parent, index)


def _note_syntax(document: ScenarioDocument, error: Exception) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    parts = [part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part]
    message = ": ".join(parts) or "nested too deeply"
    remedy = "check indentation (spaces, no tabs), colons, quotes and braces here and in the line above"
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    document.note(ScenarioProblemCode.SYNTAX, (), message, remedy, place=place)


def _build(document: ScenarioDocument, node: yaml.Node, spot: Spot) -> Value:
    place = (node.start_mark.line + 1, node.start_mark.column + 1)
    if len(spot) > MAX_DEPTH:
        document.note(ScenarioProblemCode.TOO_COMPLEX, spot, "nested too deeply", "scenarios are flat", place=place)
        return None
    document.places[spot] = place
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else _scalar(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_build(document, item, (*spot, number)) for number, item in enumerate(node.value)]
    built: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key_place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TEXT_TAG:
            document.note(ScenarioProblemCode.WRONG_TYPE, spot, "a key that is not a word", place=key_place)
            continue
        key = str(key_node.value)
        if key in built:
            message = f"`{key}` stands twice here"
            document.note(ScenarioProblemCode.DUPLICATE_KEY, (*spot, key), message, "keep one", place=key_place)
            continue
        document.key_places[(*spot, key)] = key_place
        built[key] = _build(document, value_node, (*spot, key))
    return built


def _scalar(text: str) -> Value:
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.match(text):
        return float(text) if "." in text else int(text)
    return text
