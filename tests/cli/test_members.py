"""``siteshift members``: every server by name, at 80 columns as at 120."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nodes.command_line import Cli
from nodes.running_node import RunningNode
from siteshift.cli.exits import ExitCode
from siteshift.cli.members import member_renderables

Document = dict[str, Any]
AT_MS = 1_790_000_000_000


def rendered(document: Document, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    for entry in member_renderables(document):
        console.print(entry)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def member(site: str, name: str, **changes: object) -> Document:
    entry = {
        "member": f"shop/{site}/{name}",
        "service": "shop",
        "site": site,
        "name": name,
        "address": "198.51.100.200:8443",
        "role": "active",
        "phase": None,
        "state": "serving",
        "standing": "up",
        "since_ms": AT_MS - 86_400_000,
        "weight_pm": 1000,
        "desired_bp": 1_667,
        "actual_bp": 1_640,
        "reason": "",
        "taken_out_by": None,
        "evidence": [],
    }
    return {**entry, **changes}


LONG = "shop-frontend-0123456789-eu"
PAGE: Document = {
    "at_ms": AT_MS,
    "generation": 7,
    "blind": False,
    "members": [
        member("pangyo", "p1"),
        member(
            "pangyo",
            "p2",
            state="out",
            standing="down",
            weight_pm=0,
            desired_bp=0,
            actual_bp=0,
            reason="node-gasan: bad status (status 500) in 37 of 60 checks, for 62 s",
        ),
        member(
            "gasan-industrial-campus",
            LONG,
            state="depooled",
            weight_pm=0,
            desired_bp=0,
            actual_bp=1_640,
            reason="depool by kim: swap disk (o12, OPS-7)",
            taken_out_by={"expires_ms": AT_MS + 3_600_000},
        ),
        member("gasan-industrial-campus", "s1", role="standby", phase="starting", state="starting", actual_bp=None, desired_bp=0),
    ],
}


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_names_and_what_is_wrong_are_there_at_every_width(width: int) -> None:
    text = rendered(PAGE, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for said in ("pangyo", "p2", "gasan-industrial-campus", LONG, "depooled", "starting", "37 of 60", "kim", "OPS-7", "until 20"):
        assert said in " ".join(text.split())
    assert ("address" in text) is (width == 160)


def test_a_weight_that_is_not_what_was_meant_stands_beside_it() -> None:
    row = next(line for line in rendered(PAGE, 160).splitlines() if LONG in line)
    assert "0 %" in row and "16.4 %" in row


def test_members_of_a_real_node_with_one_taken_out_and_one_that_answers_500(cli: Cli, node: RunningNode) -> None:
    cli("depool", "shop/gasan/gasan-1", "-r", "swap disk", "-t", "OPS-7", "--yes")
    node.members.sicken("pangyo-1")
    try:
        node.until(lambda _: "status 500" in _reason(cli, "shop/pangyo/pangyo-1"))
        ended = cli("members")
        assert ended.code == ExitCode.DONE
        assert "depool by root: swap disk" in ended.out and "OPS-7" in ended.out
        assert "status 500" in ended.out
        assert "status 500" in cli("why", "pangyo").out
        only = cli("members", "gasan", "--json").document["members"]
        assert {entry["site"] for entry in only} == {"gasan"}
        assert only[0]["taken_out_by"]["ticket"] == "OPS-7"
    finally:
        node.members.heal("pangyo-1")


def _reason(cli: Cli, name: str) -> str:
    found = cli("members", "--json").document["members"]
    return str(next(entry["reason"] for entry in found if entry["member"] == name))


def test_an_unknown_site_is_refused_like_any_unknown_name(cli: Cli) -> None:
    ended = cli("members", "atlantis")
    assert (ended.code, "UNKNOWN_NAME" in ended.err, "pangyo" in ended.err) == (ExitCode.USAGE, True, True)
