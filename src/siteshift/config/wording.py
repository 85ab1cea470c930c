"""From pydantic's errors to problems in words: which id, where, what is wrong and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from siteshift.config.fields import MALFORMED, NOT_SUPPORTED, OUT_OF_RANGE, PLAIN_SECRET, WRONG_TYPE, shown
from siteshift.config.problem import ProblemCode
from siteshift.config.scalars import OLD_BOOLEANS
from siteshift.config.schema import Schema, Spot, example_of, home_of, keys_of
from siteshift.core.model.spelling import nearest

_OWN = {
    MALFORMED: ProblemCode.MALFORMED,
    NOT_SUPPORTED: ProblemCode.NOT_SUPPORTED,
    OUT_OF_RANGE: ProblemCode.OUT_OF_RANGE,
    PLAIN_SECRET: ProblemCode.PLAIN_SECRET,
    WRONG_TYPE: ProblemCode.WRONG_TYPE,
}
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "array": "a list",
    "object": "a mapping",
}
_RANGES = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least {} entries"),
    "too_long": ("max_length", "at most {} entries"),
    "string_too_short": ("min_length", "at least {} characters"),
    "string_too_long": ("max_length", "at most {} characters"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A problem without its place."""

    code: ProblemCode
    message: str
    remedy: str = ""


def wording(error: ErrorDetails, spot: Spot) -> Wording:
    """Put one validation error into words."""
    kind, context, found = error["type"], error.get("ctx", {}), error.get("input")
    key = str(spot.path[-1]) if spot.path else ""
    if kind in _OWN:
        return Wording(code=_OWN[kind], message=str(context.get("said", "")), remedy=str(context.get("remedy", "")))
    match kind:
        case "extra_forbidden":
            return _unknown_key(key, spot.around)
        case "missing":
            return _missing_key(key, spot.schema)
        case "union_tag_not_found":
            choices = _choices(spot.schema)
            return Wording(code=ProblemCode.MISSING_KEY, message="`kind` is missing", remedy=f"add `kind:` with one of {choices}")
        case "union_tag_invalid":
            return _no_choice(str(context.get("tag", "")), tuple(spot.schema["discriminator"]["mapping"]))
        case "enum" | "literal_error":
            options = spot.schema.get("enum") or [spot.schema.get("const")]
            return _no_choice(found, tuple(str(option) for option in options))
    if kind in _RANGES:
        name, words = _RANGES[kind]
        message = f"{shown(found)} is out of range: must be {words} {context[name]}"
        return Wording(code=ProblemCode.OUT_OF_RANGE, message=message)
    if kind in _LENGTHS:
        name, words = _LENGTHS[kind]
        return Wording(code=ProblemCode.OUT_OF_RANGE, message=f"must have {words.format(context[name])}")
    return _wrong_type(found, spot.schema, kind)


def _unknown_key(key: str, around: Schema) -> Wording:
    known = keys_of(around)
    if home := home_of(key, around):
        remedy = f"write it under `{home}:`"
    elif close := nearest(key, known):
        remedy = f"did you mean `{close}`?"
    else:
        remedy = "known here: " + ", ".join(known)
    return Wording(code=ProblemCode.UNKNOWN_KEY, message=f"no key `{key}` here", remedy=remedy)


def _missing_key(key: str, schema: Schema) -> Wording:
    example = example_of(schema)
    simple = isinstance(example, (str, int, float)) and not isinstance(example, bool)
    remedy = f"add it, for example `{key}: {example}`" if simple else f"add `{key}:`"
    return Wording(code=ProblemCode.MISSING_KEY, message=f"`{key}` is missing", remedy=remedy)


def _no_choice(found: Any, options: tuple[str, ...]) -> Wording:
    if isinstance(found, (dict, list)) or found is None:
        return Wording(code=ProblemCode.WRONG_TYPE, message=f"expected one of {_listed(options)}, found {shown(found)}")
    close = nearest(str(found), options)
    remedy = f"did you mean `{close}`?" if close else f"possible: {_listed(options)}"
    return Wording(code=ProblemCode.NOT_A_CHOICE, message=f"`{str(found)[:40]}` is not possible here", remedy=remedy)


def _wrong_type(found: Any, schema: Schema, kind: str) -> Wording:
    wanted = "a mapping" if kind in ("dict_type", "model_type", "model_attributes_type") else ""
    kinds = schema.get("type", "")
    wanted = wanted or _TYPES.get(kinds if isinstance(kinds, str) else "", "something else")
    remedy = ""
    if found is None:
        remedy = "give it a value, or remove the key to have the default"
    elif wanted == _TYPES["boolean"] and str(found).lower() in OLD_BOOLEANS:
        remedy = "this is YAML 1.2: only `true` and `false` are truth values"
    elif wanted == _TYPES["string"]:
        remedy = 'put it in quotes: "..."'
    elif isinstance(found, str) and wanted in (_TYPES["integer"], _TYPES["number"]):
        remedy = "write the bare number, without quotes, unit or leading zero"
    elif wanted == _TYPES["array"]:
        remedy = "write `[...]`, or one line with `- ` for each"
    return Wording(code=ProblemCode.WRONG_TYPE, message=f"expected {wanted}, found {shown(found)}", remedy=remedy)


def _choices(schema: Schema) -> str:
    return _listed(tuple(schema.get("discriminator", {}).get("mapping", {})))


def _listed(options: tuple[str, ...]) -> str:
    return ", ".join(f"`{option}`" for option in options)
