"""The schema for editors, the reference for people, and the examples that stand in for broken values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from siteshift.config import ProblemCode, config_schema
from siteshift.config.reference import reference
from siteshift.config.schema import example_of, resolved

ROOT = Path(__file__).parents[2]


def definitions() -> Iterator[tuple[str, dict[str, Any]]]:
    schema = config_schema()
    yield "the file", schema
    yield from schema["$defs"].items()


def valid(value: Any, schema: dict[str, Any]) -> bool:
    whole = {**schema, "$defs": config_schema()["$defs"]}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(value))


def keys() -> list[tuple[str, str]]:
    return [(name, key) for name, schema in definitions() for key in schema.get("properties", {})]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())


@pytest.mark.parametrize(("name", "key"), keys())
def test_defaults_and_examples_are_valid_where_they_stand(name: str, key: str) -> None:
    schema = dict(definitions())[name]
    inner = schema["properties"][key]
    if inner.get("default") is not None:
        assert valid(inner["default"], {part: said for part, said in inner.items() if part != "default"})
    for example in inner.get("examples", []):
        assert valid(example, inner)
    if key in schema.get("required", []) and key != "kind":
        example = example_of(resolved(inner))
        assert example is not None, "a required key needs an example: it stands in for a missing one"


@pytest.mark.parametrize(("name", "schema"), [(name, schema) for name, schema in definitions() if "properties" in schema])
def test_every_mapping_refuses_other_keys_and_says_what_it_is(name: str, schema: dict[str, Any]) -> None:
    assert schema["additionalProperties"] is False
    assert schema["description"]


def test_ids_of_problems_are_unique_and_in_order() -> None:
    ids = [code.id for code in ProblemCode]
    assert len(set(ids)) == len(ids)
    assert all(len(name) == 7 and name.startswith("CFG-") and name[4:].isdigit() for name in ids)


def test_every_problem_is_shown_by_a_test() -> None:
    said = "".join(path.read_bytes().decode(errors="replace") for path in Path(__file__).parent.rglob("*.[py]*"))
    missing = [code.id for code in ProblemCode if code.id not in said]
    assert missing == []


def test_the_reference_is_current() -> None:
    current = (ROOT / "docs" / "CONFIG.md").read_text()
    assert current == reference(), "run: .venv/bin/python -m siteshift.config.reference > docs/CONFIG.md"
