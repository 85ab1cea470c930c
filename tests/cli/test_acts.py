"""Everything else that acts: each on a real node, with its effect and its JSON."""

from __future__ import annotations

import pytest
from rich.text import Text

from nodes.command_line import Cli
from nodes.running_node import RunningNode
from siteshift.cli.act import Act, plan_and_findings, refused
from siteshift.cli.exits import ExitCode


def test_undrain_brings_a_site_back(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes", "--wait").code == ExitCode.DONE
    ended = cli("undrain", "pangyo", "--yes", "--wait")
    assert ended.code == ExitCode.DONE
    assert "pangyo comes back" in ended.out
    assert node.site("pangyo")["real_life"] == "serving"


def test_a_rule_that_only_holds_later_steps_does_not_look_like_a_refusal() -> None:
    finding = {"code": "CAPACITY_SHORT", "severity": "refused", "text": "gasan is full", "remedy": "wait"}
    steps = [{"kind": "soak", "before_bp": {}, "after_bp": {}, "members": [], "weights_pm": {}, "ttl_s": None, "wait_ms": 0}]
    plan = {"digest": "0" * 16, "cause": "release", "services": [], "steps": [{**steps[0], "postcondition": "x"}], "loads": []}
    plan |= {"findings": [finding], "ttl_tail_ms": 0, "expected_ms": 0, "is_cut": False}
    for severity, said in (("allowed", "they do not stop the request"), ("refused", "Rules touched:")):
        shown = plan_and_findings({"severity": severity, "plans": [plan], "findings": []})
        assert any(said in str(entry) for entry in shown if isinstance(entry, Text))


def test_a_wrong_mode_is_told_with_those_there_are(cli: Cli) -> None:
    said = cli("override", "mode", "shop", "off", "-r", "x").err
    assert "'observe', 'recommend' or 'auto'" in said and "^" not in said


def test_undrain_of_a_site_that_serves(cli: Cli) -> None:
    ended = cli("undrain", "pangyo", "--yes")
    assert ended.code == ExitCode.DONE
    assert "nothing to do: pangyo is not drained" in ended.out


def test_a_member_is_taken_out_and_put_back(cli: Cli, node: RunningNode) -> None:
    assert cli("depool", "shop/pangyo/pangyo-1", "-r", "disk", "--yes").code == ExitCode.DONE
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["members"]["pangyo-1"]["weight_pm"] == 0)
    assert cli("pool", "shop/pangyo/pangyo-1", "--yes").code == ExitCode.DONE
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["members"]["pangyo-1"]["weight_pm"] > 0)
    assert cli("depool", "shop/pangyo/nobody", "-r", "x", "--yes").code == ExitCode.USAGE


def test_shares_are_forced_in_percent(cli: Cli, node: RunningNode) -> None:
    ended = cli("override", "shares", "shop", "pangyo=33.34", "gasan=33.33", "anyang=33.33", "-r", "test", "--yes", "--json")
    assert ended.code == ExitCode.DONE
    assert ended.document["override"]["shares_bp"] == {"pangyo": 3334, "gasan": 3333, "anyang": 3333}
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 3334)


def test_overrides_are_listed_and_lifted(cli: Cli, node: RunningNode) -> None:
    assert cli("override", "list").out.strip() == "nothing is forced"
    forced = cli("override", "mode", "shop", "observe", "-r", "quiet please", "-t", "OPS-7", "--json").document["override"]
    listed = cli("override", "list")
    for part in (forced["id"], "shop: observe", "root", "quiet please (OPS-7)"):
        assert part in listed.out
    assert node.status()["services"][0]["mode"] == "observe"
    assert cli("override", "lift", forced["id"], "--yes").code == ExitCode.DONE
    assert cli("override", "list", "--json").document == {"overrides": []}


def test_a_freeze_holds_changes_until_it_is_lifted(cli: Cli, node: RunningNode) -> None:
    assert cli("freeze", "-r", "holiday", "--for", "1h").code == ExitCode.DONE
    assert cli("freeze", "shop", "-r", "holiday", "--for", "1h").code == ExitCode.DONE
    ended = cli("drain", "pangyo", "-r", "test", "--yes")
    assert ended.code == ExitCode.NEEDS_APPROVAL
    assert "CHANGE_FREEZE" in ended.out
    assert cli("unfreeze", "shop", "--yes").code == ExitCode.DONE
    assert [entry["service"] for entry in node.status()["overrides"]] == [None]
    told = cli("unfreeze", "shop", "--yes")
    assert told.code == ExitCode.REFUSED
    assert "Everything is frozen by override" in told.err
    assert cli("unfreeze", "--yes").code == ExitCode.DONE
    assert "nothing is frozen" in cli("unfreeze", "--yes").out


def test_a_data_plane_goes_out_of_service_and_comes_back(cli: Cli, node: RunningNode) -> None:
    told = cli("plane", "out", "dns", "-r", "new disk")
    assert told.code == ExitCode.REFUSED
    assert "LAST_PLANE" in told.err + told.out
    assert cli("plane", "out", "lb-mars", "-r", "x").code == ExitCode.USAGE
    assert "nothing to do: dns is in service" in cli("plane", "in", "dns").out
    assert cli("plane", "out", "dns").code == ExitCode.USAGE, "without a reason"
    assert node.status()["planes"]["dns"]["out_of_service"] is None


def test_the_off_switch(cli: Cli, node: RunningNode) -> None:
    assert cli("switch", "off", "--dry-run").code == ExitCode.DONE
    assert not node.status()["switched_off"]
    assert cli("switch", "off", "-r", "drill").code == ExitCode.DONE
    assert node.status()["switched_off"]
    assert "SWITCHED OFF" in cli("status").out
    assert cli("switch", "on").code == ExitCode.DONE
    assert "already on" in cli("switch", "on").out


def test_a_plan_that_waits_is_approved_by_its_digest(cli: Cli, node: RunningNode) -> None:
    """In mode recommend a dead site waits for a person, who finds the digest in `plan`."""
    cli("override", "mode", "shop", "recommend", "-r", "test")
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)
    node.until(lambda status: any(f["code"] == "MODE_RECOMMEND" for f in status["services"][0]["findings"]))
    status = cli("status").out
    assert "needs approval MODE_RECOMMEND" in status
    assert "`siteshift plan`" in status
    assert "SITE_DOWN pangyo" in status.replace("  ", " ") or "SERVICE_DOWN" in status
    digest = cli("plan", "--json").document["plan"]["digest"]
    assert digest in cli("plan").out
    unseen = cli("approve", digest)
    assert (unseen.code, "share now" in unseen.out) == (ExitCode.USAGE, True), "a digest alone, where nobody sits, is not a yes"
    assert f"siteshift approve {digest} --yes" in unseen.err
    assert cli("approve", digest, "--yes").code == ExitCode.DONE
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    acknowledged = cli("ack", "pangyo")
    assert acknowledged.code == ExitCode.DONE, acknowledged.err


def test_what_nobody_asked_for_cannot_be_approved(cli: Cli) -> None:
    ended = cli("approve", "0123456789abcdef")
    assert ended.code == ExitCode.REFUSED
    assert "who wants it asks for it first" in ended.out
    assert "nothing waits" in cli("approvals").out or "over:" in cli("approvals").out


def test_the_same_drain_twice_is_one_override(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes").code == ExitCode.DONE
    again = cli("drain", "pangyo", "-r", "test", "--yes")
    assert again.code == ExitCode.DONE
    assert "in force as override" in again.out
    assert len(node.status()["overrides"]) == 1


def test_what_would_be_lost_with_a_site(cli: Cli) -> None:
    assert "every data plane that steers it stands in anyang" in cli("fate").out
    assert len(cli("fate", "--json").document["lonely"]) == 1


def test_a_site_that_is_down_is_undrained_only_by_somebody_who_knows_it(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes", "--wait").code == ExitCode.DONE
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)
    node.until(lambda status: status["sites"]["pangyo"]["standing"] == "down")
    looked = cli("undrain", "pangyo", "--dry-run", "--json")
    assert looked.code == ExitCode.NEEDS_APPROVAL
    digest = looked.document["plans"][0]["digest"]
    asked = cli("undrain", "pangyo", "--yes")
    assert asked.code == ExitCode.NEEDS_APPROVAL
    assert "shop at pangyo is down by the evidence" in " ".join(asked.out.split())
    assert f"siteshift undrain pangyo --digest {digest}" in asked.err
    assert node.status()["overrides"], "a yes is no approval"
    assert cli("undrain", "pangyo", "--digest", digest).code == ExitCode.DONE
    assert node.status()["overrides"] == []
    assert node.site("pangyo")["desired_bp"] == 0


def test_an_override_that_is_not_there_cannot_be_lifted(cli: Cli) -> None:
    ended = cli("override", "lift", "o999", "--yes")
    assert ended.code == ExitCode.USAGE
    assert "UNKNOWN_NAME" in ended.out and "no such name" in ended.err


@pytest.mark.parametrize(
    ("path", "verb", "said"),
    [
        ("approve", "shares", "kim has to ask again for what would happen now, with --digest 00000000000000ab"),
        ("approve", "proposed", "give that digest once it is as you want it"),
        ("drain", "drain", "give that digest once it is as you want it"),
    ],
)
def test_who_has_to_look_again_when_the_plan_has_changed_is_named(path: str, verb: str, said: str) -> None:
    """An approver cannot approve what nobody has asked for: the new digest is for who asked."""
    stale = {"code": "STALE_DIGEST", "severity": "refused"}
    answer = {"findings": [stale], "offer": {"digest": "00000000000000ab", "goal": {"verb": verb, "owner": "kim"}}}
    failure = refused(Act(path=path, body={}, words=(path,), done=""), answer)
    assert (failure.exit_code, said in failure.remedy) == (ExitCode.REFUSED, True)
