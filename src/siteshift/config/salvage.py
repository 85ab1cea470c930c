"""Judge a whole file although parts of it are broken.

Validation stops at the shape of values; references and numbers can only be checked on a model that exists. So every
broken or missing value is noted, then replaced by the default or by the example of its key, and marked as *tainted*.
The checks that follow see a complete model and say nothing about tainted values. A list's item that cannot be
replaced is left out; the model's indices are translated back to those of the document.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from siteshift.config.document import Document
from siteshift.config.model.root import ConfigFile
from siteshift.config.problem import Path, Problem, ProblemCode
from siteshift.config.schema import example_of, locate
from siteshift.config.wording import wording

ROUNDS = 12
"""Each round uncovers at most one more level of nesting; the model has nine."""


class _Items(list[Any]):
    """A list that remembers which of the document's items it still holds."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items)
        self.origin = list(range(len(items)))

    def drop(self, index: int) -> None:
        del self[index]
        del self.origin[index]


@dataclass(slots=True)
class Salvaged:
    """The model of what is sound. ``config`` None: not even with repairs; then ``problems`` says why."""

    config: ConfigFile | None
    problems: list[Problem]
    tainted: set[Path]
    """Document paths of values that were replaced or left out."""
    lost_ids: dict[Path, set[str]] = field(default_factory=dict)
    """Ids of items that had to be left out, by the document path of their list: they exist, so refer to them freely."""
    values: Any = None

    def origin(self, path: Path) -> Path:
        """The document's path of a path in the model."""
        here: Any = self.values
        found: list[str | int] = []
        for part in path:
            known = isinstance(here, _Items) and isinstance(part, int) and part < len(here)
            found.append(here.origin[part] if known else part)
            try:
                here = here[part]
            except (KeyError, IndexError, TypeError):
                here = None
        return tuple(found)


def salvage(document: Document) -> Salvaged:
    """Validate, and repair until what is left is valid."""
    result = Salvaged(config=None, problems=[], tainted=set(document.damaged), values=_working_copy(document.values))
    for _ in range(ROUNDS):
        try:
            text = json.dumps(result.values)
            result.config = ConfigFile.model_validate_json(text)
            return result
        except ValidationError as error:
            _Round(document, result).repair(error.errors(include_url=False))
    return result


def _working_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _working_copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return _Items([_working_copy(inner) for inner in value])
    return deepcopy(value)


class _Round:
    """One pass over the errors of one validation."""

    def __init__(self, document: Document, result: Salvaged) -> None:
        self._document = document
        self._result = result
        self._drops: dict[tuple[int, int], _Items] = {}

    def repair(self, errors: list[ErrorDetails]) -> None:
        for error in errors:
            self._one(error)
        for (_, index), items in sorted(self._drops.items(), key=lambda drop: -drop[0][1]):
            items.drop(index)

    def _one(self, error: ErrorDetails) -> None:
        spot = locate(error["loc"])
        origin = self._result.origin(spot.path)
        kind = error["type"]
        known = self._tainted(origin, kind)
        if not known:
            said = wording(error, spot)
            told = (*origin, "kind") if kind.startswith("union_tag") else origin
            if said.code is ProblemCode.MISSING_KEY:
                place = self._document.key_place_around(told)
            elif kind == "extra_forbidden":
                place = self._document.key_place(told)
            else:
                place = self._document.place(told)
            problem = self._document.problem(said.code, told, said.message, said.remedy, place=place)
            self._result.problems.append(problem)
        around = self._value(spot.path[:-1])
        last = spot.path[-1] if spot.path else None
        if kind == "missing" and isinstance(around, dict):
            around[last] = _working_copy(example_of(spot.schema))
        elif isinstance(around, _Items) and isinstance(last, int):
            self._remember_id(around[last], origin)
            self._drops[id(around), last] = around
        elif isinstance(around, dict):
            around.pop(last, None)
        if kind != "extra_forbidden":
            self._result.tainted.add(origin)

    def _tainted(self, origin: Path, kind: str) -> bool:
        """Whether the error follows from one that was noted before."""
        tainted = self._result.tainted
        if kind.startswith("union_tag"):
            return (*origin, "kind") in tainted or self._inside(origin)
        if kind == "too_short":
            return self._inside(origin) or any(path[: len(origin)] == origin for path in tainted)
        return self._inside(origin)

    def _inside(self, origin: Path) -> bool:
        return any(origin[:length] in self._result.tainted for length in range(1, len(origin) + 1))

    def _remember_id(self, item: Any, origin: Path) -> None:
        name = item.get("id") if isinstance(item, dict) else None
        ids = self._result.lost_ids.setdefault(origin[:-1], set())
        ids.add(name if isinstance(name, str) else "")

    def _value(self, path: Path) -> Any:
        here = self._result.values
        for part in path:
            try:
                here = here[part]
            except (KeyError, IndexError, TypeError):
                return None
        return here
