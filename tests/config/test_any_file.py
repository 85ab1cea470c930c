"""Whatever is in the file: checking never raises, errors keep it from being loaded, and what loads resolves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siteshift.config import ProblemSeverity, check_text, resolve
from siteshift.config.document import parse_document
from siteshift.config.load import judge
from siteshift.core.model.units import WHOLE_BP

EXAMPLES = [
    yaml.safe_load((Path(__file__).parents[2] / "config" / f"{name}.yaml").read_text())
    for name in ("one-node-haproxy", "one-node-embedded-dns", "three-sites")
]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-1, 200),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["gasan", "web", "auto", "192.0.2.1", "::1", "example.com", "file:/x", "50", "{", "http://x/{a}"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "kind", "site", "x"]), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path below a value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An example with a few values replaced, removed, doubled or moved."""
    values = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(values)))
        around = values
        for part in path[:-1]:
            around = around[part]
        match draw(st.sampled_from(["replace", "remove", "double", "rename", "swap"])):
            case "remove":
                del around[path[-1]]
            case "double" if isinstance(around, list):
                around.append(copy.deepcopy(around[path[-1]]))
            case "rename" if isinstance(around, dict):
                around[draw(st.text("abcdefgh_", max_size=8))] = around.pop(path[-1])
            case "swap":
                other = draw(st.sampled_from(places(values)))
                found: Any = values
                for part in other:
                    found = found[part]
                around[path[-1]] = copy.deepcopy(found)
            case _:
                around[path[-1]] = draw(VALUES)
    return yaml.safe_dump(values)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_a_damaged_configuration_is_judged_and_what_passes_resolves(text: str) -> None:
    document = parse_document(text.encode(), file="f")
    config, problems = judge(document)
    assert list(problems) == sorted(problems, key=lambda p: (p.line, p.column, p.id, p.path))
    if any(problem.severity is ProblemSeverity.ERROR for problem in problems):
        return
    assert config is not None
    resolved = resolve(config)
    for service in resolved.topology.services:
        assert sum(pool.nominal_bp for pool in service.pools) == WHOLE_BP
    assert {spec.target for spec in resolved.probes} <= set(resolved.topology.targets)
    assert len({spec.id for spec in resolved.probes}) == len(resolved.probes)
    assert all(0 <= spec.phase_ms < spec.interval_ms for spec in resolved.probes)
    assert all(0 < spec.timeout_ms < spec.interval_ms for spec in resolved.probes)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    assert isinstance(check_text(text.encode("utf-8", "replace").decode()), tuple)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_judged(raw: bytes) -> None:
    assert isinstance(judge(parse_document(raw, file="f"))[1], tuple)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_yaml_is_judged(value: object) -> None:
    assert check_text(yaml.safe_dump({"services": value, "node": value, "enactors": [value], "x": value}))
