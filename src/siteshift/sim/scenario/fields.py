"""From keys people write to the fields of frozen dataclasses.

One rule for policies, users, servers, faults and questions alike, the rule of the configuration: parts are written in per cent
(``max_utilisation_percent`` sets ``max_utilisation_pm``), times in seconds (``hold_down_s`` sets ``hold_down_ms``),
everything else under its own name. Kinds come from the annotations, so a new fault needs no second description.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from enum import Enum
from typing import Any

from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, VantageId
from siteshift.sim.scenario.document import ScenarioDocument, ScenarioProblemCode, Spot, Value

Code = ScenarioProblemCode

NAMED: dict[Any, str] = {
    SiteId: "site",
    ServiceId: "service",
    MemberId: "member",
    VantageId: "node",
    EnactorId: "data plane",
}
"""Kinds of names that a world has, in the words of the messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldKey:
    """One key of the file: the field it sets, its kind, and how many of the field's units one unit of the file is."""

    key: str
    field: str
    kind: Any
    factor: int = 1
    is_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the world of a scenario has, by kind of name."""

    known: Mapping[str, frozenset[str]]

    def has(self, kind: str, name: str) -> bool:
        return name in self.known.get(kind, frozenset())

    def listing(self, kind: str) -> str:
        return ", ".join(sorted(self.known.get(kind, frozenset()))) or "none"


class Unfit(Exception):
    """A value that cannot be taken: the code and what was wanted."""

    def __init__(self, code: ScenarioProblemCode, message: str, remedy: str = "") -> None:
        self.code = code
        self.remedy = remedy
        super().__init__(message)


_NONE: frozenset[str] = frozenset()
_KNOWN: dict[tuple[type[Any], frozenset[str]], dict[str, FieldKey]] = {}


def keys_of(made: type[Any], stays_ms: frozenset[str] = _NONE) -> dict[str, FieldKey]:
    """The keys that may be written for a dataclass, in the order of its fields."""
    known = (made, stays_ms)
    if known not in _KNOWN:
        _KNOWN[known] = _derive(made, stays_ms)
    return _KNOWN[known]


def _derive(made: type[Any], stays_ms: frozenset[str]) -> dict[str, FieldKey]:
    hints = typing.get_type_hints(made)
    found = {}
    for entry in fields(made):
        key, factor = _in_people_units(entry.name, entry.name in stays_ms)
        needed = entry.default is MISSING and entry.default_factory is MISSING
        found[key] = FieldKey(key=key, field=entry.name, kind=hints[entry.name], factor=factor, is_needed=needed)
    return found


def _in_people_units(name: str, stays_ms: bool) -> tuple[str, int]:
    for ending, instead, factor in (("_pm", "_percent", 10), ("_bp", "_percent", 100), ("_ms", "_s", 1_000)):
        if name == ending[1:]:
            return instead[1:], factor
        if name.endswith(ending) and not (stays_ms and ending == "_ms"):
            return name.removesuffix(ending) + instead, factor
    return name, 1


def read_fields(
    document: ScenarioDocument,
    values: Mapping[str, Value],
    spot: Spot,
    keys: Mapping[str, FieldKey],
    names: Names,
    *,
    what: str,
) -> dict[str, Any]:
    """The fields that ``values`` set. Unknown keys and unfit values are noted; what is missing is the caller's matter."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = keys.get(name)
        here = (*spot, name)
        if key is None:
            remedy = f"known here: {', '.join(keys)}" if keys else "nothing can be said here"
            document.note(Code.UNKNOWN_KEY, here, f"`{name}` is not known for {what}", remedy)
            continue
        try:
            found[key.field] = convert(value, key.kind, key.factor, names)
        except Unfit as unfit:
            document.note(unfit.code, here, str(unfit), unfit.remedy)
    return found


def note_missing(
    document: ScenarioDocument, values: Mapping[str, Value], spot: Spot, keys: Mapping[str, FieldKey], *, what: str
) -> None:
    """Note the keys that must be there and are not."""
    for key in keys.values():
        if key.is_needed and key.key not in values:
            document.note(Code.MISSING, spot, f"{what} needs `{key.key}`", f"add `{key.key}:`")


def convert(value: Value, kind: Any, factor: int, names: Names) -> Any:
    """The value in a field's kind and unit. Raises `Unfit` saying what was wanted."""
    if kind in NAMED:
        return _named(value, NAMED[kind], names)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return convert(value, next(part for part in arguments if part is not type(None)), factor, names)
    if origin is tuple:
        many = value if isinstance(value, list) else [value]
        return tuple(convert(entry, arguments[0], factor, names) for entry in many)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise Unfit(Code.WRONG_TYPE, "must hold names and values")
        return {convert(k, arguments[0], 1, names): convert(v, arguments[1], factor, names) for k, v in value.items()}
    return _plain(value, kind, factor)


def _named(value: Value, what: str, names: Names) -> str:
    if not isinstance(value, str):
        raise Unfit(Code.WRONG_TYPE, f"must name a {what}")
    if not names.has(what, value):
        raise Unfit(Code.UNKNOWN_NAME, f"there is no {what} `{value}`", f"this world has {names.listing(what)}")
    return value


def words_of(kind: type[Enum]) -> dict[str, Enum]:
    """The words a file may use for the entries of an enum."""
    return {str(entry.value) if isinstance(entry, str) else entry.name.lower(): entry for entry in kind}


def _plain(value: Value, kind: Any, factor: int) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        words = words_of(kind)
        if value not in words:
            raise Unfit(Code.OUT_OF_RANGE, f"must be one of {', '.join(words)}")
        return words[str(value)]
    if kind is bool:
        if not isinstance(value, bool):
            raise Unfit(Code.WRONG_TYPE, "must be true or false")
        return value
    if kind is int:
        return _number(value, factor)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Unfit(Code.WRONG_TYPE, "must be a number")
        return float(value)
    if not isinstance(value, str):
        raise Unfit(Code.WRONG_TYPE, "must be text")
    return value


def _number(value: Value, factor: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit(Code.WRONG_TYPE, "must be a number")
    exact = Decimal(str(value)) * factor
    if exact != exact.to_integral_value():
        raise Unfit(Code.OUT_OF_RANGE, f"{value} is finer than siteshift counts (1/{factor})")
    return int(exact)
