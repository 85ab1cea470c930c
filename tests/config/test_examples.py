"""The examples are configurations one can start from."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from siteshift.config import Surroundings, check_config, config_schema, describe_changes, load_config, resolve, show_config
from siteshift.config.problem import ProblemCode

EXAMPLES = Path(__file__).parents[2] / "config"
NAMES = ("one-node-embedded-dns", "one-node-haproxy", "one-node-bind", "three-sites")
EXPECTED_WARNINGS = {"three-sites": {ProblemCode.OPEN_SOCKET.id}}
"""The full example reaches HAProxies over TCP, and is told so."""


def example(name: str) -> Path:
    return EXAMPLES / f"{name}.yaml"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_problem(name: str) -> None:
    found = {problem.id for problem in check_config(example(name), Surroundings.IGNORED)}
    assert found == EXPECTED_WARNINGS.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_a_configuration_that_means_the_same(name: str, tmp_path: Path) -> None:
    loaded = load_config(example(name), Surroundings.IGNORED)
    shown = tmp_path / "shown.yaml"
    shown.write_text(show_config(loaded.config))
    again = load_config(shown, Surroundings.IGNORED)
    before, after = resolve(loaded.config), resolve(again.config)
    assert before == after
    assert describe_changes(before, after) == ()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_the_schema_that_editors_use(name: str) -> None:
    values = yaml.safe_load(example(name).read_text())
    validator = jsonschema.Draft202012Validator(config_schema())
    assert [error.message for error in validator.iter_errors(values)] == []


def test_the_full_example_resolves_to_what_it_says() -> None:
    resolved = resolve(load_config(example("three-sites"), Surroundings.IGNORED).config)
    topology = resolved.topology
    assert topology.site_ids == ("pangyo", "gasan", "anyang")
    assert [service.id for service in topology.services] == ["login", "chat", "shop", "resolver"]
    assert topology.share_fate("gasan", "anyang")
    assert not topology.share_fate("gasan", "pangyo")
    assert topology.vantages == (("node-anyang", "anyang"),)
    assert [plane.id for plane in resolved.planes] == ["dns", "bind", "lb-pangyo", "lb-gasan", "lb-anyang"]
    assert [driver.id for driver in resolved.drivers] == ["lb-gasan", "cloud", "power-on"]
    assert len(resolved.anchors) == 3
    assert len(resolved.own_site_anchors) == 1
    assert resolved.store.path == "/var/lib/siteshift/siteshift.db"
    assert resolved.api.unix_mode == 0o660
