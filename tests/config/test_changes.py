"""A reload is told in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from siteshift.config import Surroundings, describe_changes, load_config, resolve
from siteshift.config.resolve import Resolved

EXAMPLE = Path(__file__).parents[2] / "config" / "three-sites.yaml"
Change = Callable[[dict[str, Any]], object]


def resolved(values: dict[str, Any], folder: Path) -> Resolved:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return resolve(load_config(path, Surroundings.IGNORED).config)


def service(values: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in values["services"] if entry["id"] == name)
    return found


CASES: list[tuple[Change, list[str]]] = [
    (lambda values: values.get("version"), []),
    (
        lambda values: values["services"].pop(3),
        ["service resolver removed", "probe resolver/answer removed (2 probes)", "probe resolver/ping removed (2 probes)"],
    ),
    (lambda values: service(values, "chat").update(tier=2), ["service chat: tier 1 → 2"]),
    (
        lambda values: service(values, "shop")["pools"][0]["members"].append(
            {"name": "p2", "address": "10.1.3.2", "port": 8080, "capacity_rps": 100}
        ),
        [
            "service shop: pool pangyo: member p2 added",
            "probe shop/health: 1 probe added",
            "probe shop/database: 1 probe added",
            "probe shop/promoted: 1 probe added",
        ],
    ),
    (
        lambda values: service(values, "resolver")["probes"][0].update(interval_ms=2000),
        ["probe resolver/answer: 2 probes changed"],
    ),
    (
        lambda values: (
            service(values, "chat")["pools"][0].update(nominal_percent=40)
            or service(values, "chat")["pools"][1].update(nominal_percent=40)
        ),
        [
            "service chat: pool pangyo: nominal share 50 % → 40 %",
            "service chat: pool gasan: nominal share 30 % → 40 %",
        ],
    ),
    (
        lambda values: service(values, "shop")["pools"][0]["members"][0].update(capacity_rps=1900),
        ["service shop: pool pangyo: member p1: capacity_rps 1800 → 1900"],
    ),
    (lambda values: values["policy"].update(hold_down_s=60), ["policy: hold_down_ms 300000 → 60000"]),
    (
        lambda values: service(values, "login").update(policy={"mode": "observe"}),
        ["policy of login: mode auto → observe", "policy of login: min_serving_sites 2 → 1"],
    ),
    (lambda values: values["judging"].update(confirm_hard_ms=200), ["judging: confirm_hard_ms 300 → 200"]),
    (
        lambda values: values["anchors"]["outside"].append({"id": "d", "kind": "tcp", "address": "203.0.113.9", "port": 1}),
        ["anchor anchor:d added (1 probe)"],
    ),
    (lambda values: values["notifiers"].pop(0), ["notifier log removed"]),
    (lambda values: values["enactors"][0].update(zone="gslb.example.com"), []),
    (lambda values: values["api"]["tokens"][0].update(role="operator"), ["api: tokens changed"]),
    (lambda values: values["log"].update(level="debug"), ["log: level info → debug"]),
]


@pytest.mark.parametrize(("change", "expected"), CASES, ids=range(len(CASES)))
def test_a_change_is_told(change: Change, expected: list[str], tmp_path: Path) -> None:
    values: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    before = resolved(values, tmp_path)
    values = yaml.safe_load(EXAMPLE.read_text())
    change(values)
    assert list(describe_changes(before, resolved(values, tmp_path))) == expected


def test_changes_never_show_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITESHIFT_OLD", "old-secret-value")
    monkeypatch.setenv("SITESHIFT_NEW", "new-secret-value")
    values = yaml.safe_load(EXAMPLE.read_text())
    values["services"][0]["probes"][0]["secret_headers"] = {"Authorization": "env:SITESHIFT_OLD"}
    values["notifiers"][1]["url_secret"] = "env:SITESHIFT_OLD"
    before = resolved(values, tmp_path)
    values["services"][0]["probes"][0]["secret_headers"] = {"Authorization": "env:SITESHIFT_NEW"}
    values["notifiers"][1]["url_secret"] = "env:SITESHIFT_NEW"
    told = describe_changes(before, resolved(values, tmp_path))
    assert "notifier oncall: url_secret env:SITESHIFT_OLD → env:SITESHIFT_NEW" in told
    assert any(sentence.startswith("probe login/health: ") for sentence in told)
    assert "secret-value" not in " ".join(told)
