"""What people read: in 100 columns, complete, and never by colour alone."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from nodes.command_line import Cli
from nodes.running_node import RunningNode
from siteshift.cli.client import NodeClient
from siteshift.cli.exits import ExitCode
from siteshift.cli.figures import WATCH
from siteshift.cli.members import member_renderables
from siteshift.cli.reach import UnixPlace
from siteshift.cli.session import Session
from siteshift.cli.show_plan import plan_renderables
from siteshift.cli.show_status import status_renderables, unless_same
from siteshift.cli.top import lately, page

Document = dict[str, Any]
WIDTH = 100


def rendered(*entries: Any, width: int = WIDTH) -> str:
    """As on a terminal of so many columns without colours."""
    console = Console(file=io.StringIO(), width=width, height=40, highlight=False, markup=False, emoji=False)
    for entry in entries:
        console.print(entry)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def changed(document: Document, **changes: Any) -> Document:
    """A deep copy with some keys replaced."""
    copy: Document = {**json.loads(json.dumps(document)), **changes}
    return copy


def is_settled(status: Document) -> bool:
    """Every plane has what was decided and every site is up."""
    return status["services"][0]["in_step"] and all(site["standing"] == "up" for site in status["sites"].values())


def test_the_status_fits_into_100_columns(cli: Cli, node: RunningNode) -> None:
    reason = "a long reason that explains at some length why this has to be done now"
    cli("drain", "pangyo", "-r", reason, "-t", "OPS-12345", "--yes")
    text = rendered(*status_renderables(node.until(is_settled)))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    headings = ("node-anyang", "desired", "actual", "seen", "limit", "capacity")
    for part in (*headings, "2/2 up", "in step", "credible, 2/2 anchors", "OPS-12345"):
        assert part in text
    for site in ("pangyo", "gasan", "anyang"):
        assert site in text


@pytest.mark.parametrize("width", [80, 90, 100, 120])
def test_the_status_names_every_site_and_its_shares_at_every_width(cli: Cli, node: RunningNode, width: int) -> None:
    status = node.status()
    for row in status["services"][0]["sites"].values():
        row.update(standing="degraded", life="held", real_life="draining", desired_bp=3334, actual_bp=3333, seen_bp=3456)
        row.update(utilisation_pm=1335, capacity_rps=12_345)
        row["members"]["standby"] = {"role": "standby", "phase": "starting", "standing": "down"}
    text = rendered(*status_renderables(status), width=width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    for site in ("pangyo", "gasan", "anyang"):
        row = next(line for line in text.splitlines() if line.startswith(site))
        for part in ("held (draining)", "33.34 %", "33.33 %", "34.56 %", "134 % !"):
            assert part in row


def test_the_status_in_json_is_that_of_the_node(cli: Cli, node: RunningNode) -> None:
    document = cli("status", "--json").document
    assert document.keys() == node.status().keys()
    assert cli("--json", "status").document.keys() == document.keys()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"blind": True}, "BLIND"),
        ({"fresh": False}, "NOT FRESH"),
        ({"switched_off": True}, "SWITCHED OFF"),
        ({"store_usable": False}, "STORE LOST"),
        ({"reload_refused": {"at_ms": 1, "problems": ["a.yaml:3:1 CFG-101 x", "y"]}}, "RELOAD REFUSED"),
    ],
)
def test_what_concerns_everything_is_said_in_words(node: RunningNode, changes: Document, said: str) -> None:
    assert said in rendered(*status_renderables(changed(node.status(), **changes)))


def test_what_waits_for_an_approval_stands_in_status_and_plan(cli: Cli, node: RunningNode) -> None:
    asked = ("override", "shares", "shop", "pangyo=100", "gasan=0", "anyang=0", "-r", "load test")
    digest = cli(*asked, "--dry-run", "--json").document["offer"]["digest"]
    assert cli(*asked, "--digest", digest).code == ExitCode.NEEDS_APPROVAL
    for look in ("status", "plan"):
        said = " ".join(cli(look).out.split())
        assert "shares of shop: pangyo 100 %, gasan 0 %, anyang 0 %, asked for by root, is waiting" in said, look
        assert "`siteshift approvals`" in said
        assert "nothing waits" not in said
    assert cli("revoke", digest).code == ExitCode.DONE
    assert "is waiting" not in cli("status").out
    assert "nothing waits" in cli("plan").out


def test_planes_behind_unreadable_and_drifted_are_told_apart(node: RunningNode) -> None:
    status = node.status()
    plane = status["planes"]["dns"]
    drift = {"what": "www A", "wanted": "127.0.1.1", "found": "192.0.2.7", "ours": False}
    status["planes"] = {
        "one": {**plane, "standing": "behind", "detail": "connection refused"},
        "two": {**plane, "unreadable_since_ms": status["at_ms"] - 12_000},
        "three": {**plane, "drifts": [drift]},
    }
    text = rendered(*status_renderables(status))
    assert "behind" in text
    assert "connection refused" in text
    assert "unreadable for 12 s" in text
    assert "drift at three: www A: wanted 127.0.1.1, found 192.0.2.7 (not ours: left alone)" in text


def test_standbys_tails_shed_and_real_lives_show(node: RunningNode) -> None:
    status = node.status()
    status["standbys"] = {
        "shop/gasan/gs1": {"phase": "starting", "since_ms": status["at_ms"] - 8_000, "detail": ""},
        "shop/gasan/gs2": {"phase": "cold", "since_ms": 0, "detail": ""},
        "shop/gasan/gs3": {"phase": "failed", "since_ms": status["at_ms"] - 9_000, "detail": "no answer"},
    }
    service = status["services"][0]
    service.update(tail_until_ms=status["at_ms"] + 7_000, shed_bp=1_250, in_step=False)
    service["sites"]["pangyo"].update(life="held", real_life="draining", seen_bp=None, actual_bp=4_000, utilisation_pm=950)
    text = rendered(*status_renderables(status))
    for part in (
        "standby shop/gasan/gs1 is starting for 8 s",
        "standby shop/gasan/gs3 is failed for 9 s: no answer",
        "live on for another 7 s",
        "12.5 % of the demand is turned away",
        "NOT in step",
        "held (draining)",
        "unknown",
        "95 % !",
    ):
        assert part in text
    assert "gs2" not in text


def test_a_plan_fits_into_100_columns_and_says_everything(cli: Cli) -> None:
    document = cli("drain", "pangyo", "-r", "x", "--dry-run", "--json").document
    text = rendered(*plan_renderables(document["plans"][0])).replace("\N{NO-BREAK SPACE}", " ")
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    for part in (document["plans"][0]["digest"], "pangyo 50 % → 0 %", "await ttl", "TTL", "Old answers live on", "capacity"):
        assert part in text


def test_overload_in_a_plan_is_marked_in_words(cli: Cli) -> None:
    ended = cli("override", "shares", "shop", "pangyo=100", "gasan=0", "anyang=0", "-r", "x", "--dry-run")
    assert ended.code == ExitCode.NEEDS_APPROVAL
    assert "CAPACITY_SHORT" in ended.out


def test_the_live_page_has_status_and_the_newest_events(node: RunningNode) -> None:
    events = [{"sequence": n, "at_ms": 1_000 * n, "kind": "term", "data": {"term": n}} for n in range(100)]
    session = Session()
    text = rendered(page(node.status(), events, "", session))
    assert "pangyo" in text
    assert "term  term 99" in text
    assert "term 1\n" not in text
    assert "What follows is old" in rendered(page(node.status(), [], "the node did not answer", session))


def test_why_now_and_why_then(cli: Cli, node: RunningNode) -> None:
    before = datetime.now().astimezone().isoformat()
    cli("drain", "pangyo", "-r", "rack work", "--yes", "--wait")
    now = cli("why", "pangyo").out
    assert "drained by root: rack work" in now
    then = cli("why", "pangyo", "--at", before)
    assert then.code == ExitCode.DONE
    assert "rack work" not in then.out
    assert "50.00 % desired" in then.out
    assert "diagnosis of " in then.out and "(reasons of " in then.out, "each part says of which instant it is"
    ahead = cli("why", "pangyo", "--at", (datetime.now().astimezone() + timedelta(hours=1)).isoformat())
    assert ahead.code == ExitCode.USAGE and "the record goes until " in ahead.err
    lines = cli("why", "pangyo", "--at", "now", "--json").document["services"]["shop"]["lines"]
    assert any("rack work" in line for line in lines)
    assert "says nothing" in cli("why", "pangyo", "--at", "2020-01-01").out


def test_why_takes_a_service_too_and_says_it_for_each_of_its_sites(cli: Cli, node: RunningNode) -> None:
    ended = cli("why", "shop")
    assert ended.code == ExitCode.DONE, ended.err
    assert [line for line in ended.out.splitlines() if not line.startswith(" ")][1:] == ["pangyo", "gasan", "anyang"]
    said = cli("why", "shop", "--json").document
    assert (said["service"], list(said["sites"])) == ("shop", ["pangyo", "gasan", "anyang"])
    assert all(entry["lines"] for entry in said["sites"].values())
    before = datetime.now().astimezone().isoformat()
    assert cli("why", "shop", "--at", before).code == ExitCode.DONE
    assert cli("why", "shop", "--at", "2020-01-01").out.count("says nothing") == 3
    assert "did you mean 'shop'?" in cli("why", "shpo").err


def test_what_a_service_depends_on_and_does_not_have_stands_on_the_status(node: RunningNode) -> None:
    status = node.status()
    status["services"][0]["sites"]["pangyo"]["needs"] = "depends on login (down) at pangyo"
    assert "shop depends on login (down) at pangyo: `siteshift why shop`" in rendered(*status_renderables(status))


@pytest.mark.parametrize("mode", ["recommend", "observe"])
def test_that_nothing_moves_by_itself_is_said(node: RunningNode, mode: str) -> None:
    status = node.status()
    assert "NOTHING MOVES BY ITSELF" not in rendered(*status_renderables(status))
    status["services"][0]["mode"] = mode
    assert f"NOTHING MOVES BY ITSELF: shop ({mode})" in " ".join(rendered(*status_renderables(status)).split())


def test_the_live_page_begins_with_what_happened_lately(cli: Cli, node: RunningNode) -> None:
    """It said `nothing yet` until something happened, which on a calm night is for hours."""
    cli("freeze", "shop", "-r", "big sale", "--yes")
    status = node.status()
    found = lately(NodeClient(UnixPlace(path=node.socket)), status["at_ms"])
    text = rendered(page(status, found, "", Session()))
    assert "nothing yet" not in text
    assert "asked: freeze of shop (big sale)" in text


@pytest.mark.parametrize(
    ("actual_bp", "is_marked"),
    [(3_334, False), (3_380, False), (3_240, False), (3_500, True), (0, True), (None, True)],
)
def test_a_difference_of_less_than_a_percent_is_noise_and_not_coloured(actual_bp: int | None, is_marked: bool) -> None:
    assert (unless_same(actual_bp, 3_334).style == WATCH) == is_marked


LONG = {"pangyo": "eu-central-frankfurt-datacentre-1", "gasan": "eu-west-dublin-datacentre-22", "anyang": "a"}


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_are_folded_and_never_cut_in_any_table(cli: Cli, node: RunningNode, width: int) -> None:
    """A name that ends in `…` is none that can be typed."""
    cli("drain", "pangyo", "-r", "a reason", "--yes")
    status = node.status()
    service = status["services"][0]
    service["sites"] = {LONG[site]: row for site, row in service["sites"].items()}
    for row in service["sites"].values():
        row.update(standing="degraded", life="held", real_life="draining", actual_bp=3333)
        row.update(utilisation_pm=1335, capacity_rps=12_345)
    plane = next(iter(status["planes"].values()))
    name, owner = "haproxy-frankfurt-edge-balancer-number-1", "somebody-with-a-very-long-name@example.com"
    status["planes"] = {name: {**plane, "standing": "behind", "detail": "connection refused by 192.0.2.1 port 9999"}}
    status["overrides"][0].update(owner=owner, site=LONG["pangyo"], service="checkout-and-payment-for-customers")
    plan = cli("drain", "gasan", "-r", "x", "--dry-run", "--json").document["plans"][0]
    long_service = "checkout-and-payment-for-customers"
    text = json.dumps(plan).replace('"shop"', f'"{long_service}"')
    for short, long in LONG.items():
        text = text.replace(f'"{short}"', f'"{long}"')
    members = cli("members", "--json").document
    for entry in members["members"]:
        entry.update(site=LONG[entry["site"]], name=f"web-server-{entry['name']}-production")
    pages = (status_renderables(status), plan_renderables(json.loads(text)), member_renderables(members))
    for page_ in pages:
        said = rendered(*page_, width=width)
        assert max(len(line.rstrip()) for line in said.splitlines()) <= width
        assert "…" not in said
        folded = "".join(said.split())
        shown = [long for long in LONG.values() if long in folded or long[:16] in folded]
        assert shown, "a plan names only the sites it moves, and pangyo may be empty by now"
