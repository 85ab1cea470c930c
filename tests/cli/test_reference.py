"""The reference of the command line is that of the program."""

from __future__ import annotations

from pathlib import Path

from siteshift.cli.notices_reference import reference as notices
from siteshift.cli.reference import reference

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
