"""The JSON Schema of the file, for editors and for finding one's way from an error back to the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from siteshift.config.model.enactors import BY_PATTERN, LISTED
from siteshift.config.model.root import ConfigFile
from siteshift.config.problem import Path

Schema = Mapping[str, Any]
SCHEMA_ID = "https://siteshift.dev/schema/config-1.json"


class _InPeoplesUnits(GenerateJsonSchema):
    """Defaults as the file would say them, not as the core keeps them."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        match schema:
            case {"schema": {"serialization": {"type": "function-plain", "function": back}}, "default": int(value)}:
                made["default"] = back(value)
        return made


@cache
def config_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a configuration; the same object each time."""
    schema = ConfigFile.model_json_schema(mode="validation", schema_generator=_InPeoplesUnits)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = SCHEMA_ID
    schema["title"] = "siteshift configuration"
    schema["patternProperties"] = {"^x-": True}
    return schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a validation error is: its path in the document, what the schema says there, and of what is around it."""

    path: Path
    schema: Schema
    around: Schema


def locate(loc: tuple[str | int, ...]) -> Spot:
    """Follow a pydantic location through the schema. Tags of unions stand in a location but not in the document."""
    here: Schema = resolved(config_schema())
    around: Schema = here
    path: Path = ()
    for part in loc:
        if isinstance(part, str) and part in here.get("discriminator", {}).get("mapping", {}):
            here = resolved({"$ref": here["discriminator"]["mapping"][part]})
            continue
        if part in (BY_PATTERN, LISTED) and "oneOf" in here:
            here = next(option for option in here["oneOf"] if ("items" in option) is (part == LISTED))
            continue
        if part == "[key]":
            continue
        path, around = (*path, part), here
        if isinstance(part, int):
            here = resolved(here.get("items", {}))
        else:
            here = resolved(here.get("properties", {}).get(part) or here.get("additionalProperties") or {})
    return Spot(path=path, schema=here, around=around)


def example_of(schema: Schema) -> Any:
    """A valid value for a required key: its first example, or its only value."""
    if schema.get("examples"):
        return schema["examples"][0]
    return schema.get("const")


def keys_of(schema: Schema) -> tuple[str, ...]:
    """The keys a mapping may have."""
    return tuple(schema.get("properties", {}))


def home_of(key: str, schema: Schema) -> str:
    """The sub-mapping of ``schema`` that knows ``key``, as `policy` knows `mode`; empty when none does."""
    for name, inner in schema.get("properties", {}).items():
        if key in resolved(inner).get("properties", {}):
            return str(name)
    return ""


def resolved(schema: Any) -> Schema:
    """Without references and without the "or null" of optional values; sibling keys of a reference are kept."""
    while isinstance(schema, Mapping):
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**config_schema()["$defs"][name], **beside}
        elif "anyOf" in schema:
            choice = next(option for option in schema["anyOf"] if option.get("type") != "null")
            beside = {key: value for key, value in schema.items() if key != "anyOf"}
            schema = {**choice, **beside}
        else:
            return schema
    return {}
