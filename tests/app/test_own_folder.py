"""A node that cannot make its own folder says which, whose and what to do; it ended with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nodes.command_line import run
from siteshift.cli.exits import ExitCode

CONFIG = Path(__file__).parents[2] / "config" / "one-node-embedded-dns.yaml"


@pytest.mark.parametrize("parent", ["/proc/siteshift", "FILE/siteshift", "FILE"])
def test_a_state_dir_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").write_text("")
    folder = parent.replace("FILE", str(tmp_path / "file"))
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    values["node"]["state_dir"] = folder
    (config := tmp_path / "siteshift.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    ended = run("run", "-c", str(config))
    assert ended.code == ExitCode.FAILED
    assert f"make the folder {folder}" in ended.err and "node.state_dir" in ended.err
