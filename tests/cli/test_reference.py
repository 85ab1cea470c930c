"""The reference of the command line is that of the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from siteshift.api.bodies import ACTS
from siteshift.api.server import LOOKS
from siteshift.cli.api_reference import reference as api
from siteshift.cli.metrics_reference import reference as metrics
from siteshift.cli.notices_reference import reference as notices
from siteshift.cli.reference import reference
from siteshift.config import ProblemSeverity, check_text
from siteshift.runtime.metrics import Metrics

CLI_MD = Path(__file__).parents[2] / "docs" / "CLI.md"


def test_the_reference_is_current() -> None:
    assert CLI_MD.read_text(encoding="utf-8") == reference(), "run: python -m siteshift.cli.reference > docs/CLI.md"


def test_every_act_can_be_looked_at_first() -> None:
    acts = ("drain SITE", "undrain SITE", "pool MEMBER", "depool MEMBER", "override lift", "override shares", "override mode")
    acts += ("freeze", "unfreeze", "approve", "ack", "switch off", "switch on")
    sections = {part.partition("`")[0]: part for part in reference().split("## `siteshift ")[1:]}
    for act in acts:
        assert any(name.startswith(act) and "--dry-run" in text for name, text in sections.items()), act


def test_the_table_of_notices_is_current() -> None:
    current = (Path(__file__).parents[2] / "docs" / "NOTICES.md").read_text()
    assert current == notices(), "run: .venv/bin/python -m siteshift.cli.notices_reference > docs/NOTICES.md"


@pytest.mark.parametrize(("name", "generated"), [("METRICS.md", metrics), ("API.md", api)])
def test_the_tables_of_metrics_and_of_the_api_are_current(name: str, generated: Callable[[], str]) -> None:
    current = (Path(__file__).parents[2] / "docs" / name).read_text()
    assert current == generated(), f"run: .venv/bin/python -m siteshift.cli.{name[:-3].lower()}_reference > docs/{name}"


def test_every_metric_and_every_path_stands_in_its_document() -> None:
    docs = Path(__file__).parents[2] / "docs"
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in Metrics().names() if name.startswith("siteshift_")}
    text = (docs / "METRICS.md").read_text()
    assert {name for name in families if f"| `{name}` |" not in text} == set()
    paths = {*LOOKS, *(f"/v1/{name}" for name in ACTS)}
    text = (docs / "API.md").read_text()
    assert {path for path in paths if f"| `{path}` |" not in text} == set()


def test_the_scrape_job_of_the_document_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", metrics(), re.S)
    job = tmp_path / "prometheus.yml"
    files = ("siteshift.token", "siteshift-ca.crt")
    text = blocks[1].replace("/etc/prometheus/", f"{tmp_path}/")
    root = Path(__file__).parents[2]
    (tmp_path / "siteshift-alerts.yaml").write_text((root / "config" / "prometheus-alerts.yaml").read_text())
    for name in files:
        (tmp_path / name).write_text("x")
    job.write_text(text)
    if shutil.which("promtool") is None:
        pytest.fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    ended = subprocess.run(["promtool", "check", "config", job], capture_output=True, text=True, timeout=120, check=False)
    assert "FAILED" not in ended.stdout + ended.stderr and "1 rule files found" in ended.stdout, ended.stdout + ended.stderr
    values = yaml.safe_load((root / "config" / "one-node-embedded-dns.yaml").read_text())
    values["api"] = yaml.safe_load(blocks[0])["api"]
    problems = check_text(yaml.safe_dump(values))
    assert [str(problem) for problem in problems if problem.severity is ProblemSeverity.ERROR] == []
