"""A configuration as a virtual world: what stands in the file stands in the world, and a scenario plays in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.app.own_world import load_ground
from siteshift.cli.exits import ExitCode
from siteshift.core.model.codes import Mode
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.scenario.document import ScenarioError
from siteshift.sim.scenario.scenario import load_scenario
from siteshift.sim.world.spec import OUTSIDE, Entry

CONFIG = Path(__file__).parents[2] / "config"
THREE = CONFIG / "three-sites.yaml"
FIRE = """\
id: ours
title: Our own Pangyo burns
source: Routine
happened: All of Pangyo goes dark at once.
lesson: See what our own configuration does.
world: {users: {reuse_percent: 0}, cold_start_s: 5}
lasts_s: 120
warm_up_s: 30
events:
  - {at_s: 0, fault: facility, site: pangyo, hazard: fire, lead_s: 0, is_signalled: false, name: fire}
pass:
  - share: {service: login, site: pangyo, at_s: 60, at_most_percent: 1, of: desired}
"""


def ours(folder: Path, text: str = FIRE) -> Path:
    path = folder / "ours.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_stands_in_the_file_stands_in_the_world() -> None:
    """Secrets, certificates and servers of that machine are not here, and need not be."""
    ground = load_ground(THREE)
    world = ground.world
    assert world.topology.site_ids == ("pangyo", "gasan", "anyang")
    login = world.topology.service_by_id[ServiceId("login")]
    assert {pool.site: pool.nominal_bp for pool in login.pools} == {"pangyo": 4_000, "gasan": 3_000, "anyang": 3_000}
    assert world.topology.sites[0].capacity_rps == 14_000
    assert world.topology.share_fate(SiteId("gasan"), SiteId("anyang"))
    assert [(node.id, node.site) for node in world.nodes] == [("node-anyang", "anyang")]
    assert {plane.id: plane.place for plane in world.planes} == {
        "dns": "anyang", "bind": OUTSIDE, "lb-pangyo": "pangyo", "lb-gasan": "gasan", "lb-anyang": "anyang",
    }  # fmt: skip
    assert world.entry_of(ServiceId("login")) is Entry.DNS_AND_BALANCER
    assert world.entry_of(ServiceId("shop")) is Entry.DNS
    assert ground.policy.of(ServiceId("shop")).mode is Mode.RECOMMEND


def test_what_is_otherwise_than_for_real_is_said() -> None:
    notes = " / ".join(load_ground(THREE).notes)
    assert "checks by command, dns, grpc, journey, tcp, udp are made like checks by http" in notes
    assert "no data plane carries resolver" in notes


def test_a_balancer_that_no_dns_leads_to_stands_before_all_sites() -> None:
    ground = load_ground(CONFIG / "one-node-haproxy.yaml")
    assert {ground.world.entry_of(service.id) for service in ground.world.topology.services} == {Entry.BALANCER}
    assert {plane.place for plane in ground.world.planes} == {OUTSIDE}


def test_a_scenario_changes_habits_and_not_the_shape(tmp_path: Path) -> None:
    ground = load_ground(THREE)
    scenario = load_scenario(ours(tmp_path), None, ground)
    assert scenario.world.topology is ground.world.topology
    assert scenario.world.clients_of(ServiceId("login")).reuse_pm == 0
    assert scenario.world.standby.cold_start_ms == 5_000
    with pytest.raises(ScenarioError) as caught:
        load_scenario(ours(tmp_path, FIRE.replace("cold_start_s: 5", "members: 3, nodes: 3")), None, ground)
    assert [(problem.id, problem.message) for problem in caught.value.problems] == [
        ("SIM-303", "`members` comes from the configuration"),
        ("SIM-303", "`nodes` comes from the configuration"),
    ]


def test_a_fire_in_our_own_world_from_the_command_line(tmp_path: Path) -> None:
    found = run("sim", "run", "--config", str(THREE), str(ours(tmp_path)), "--json")
    assert found.code == ExitCode.DONE, found.out + found.err
    assert any("no data plane carries resolver" in note for note in found.document["not_simulated"])
    (outcome,) = found.document["scenarios"]
    assert outcome["missed"] == [] and outcome["figures"]["detect_ms"] < 3_000


def test_a_report_says_what_is_otherwise_than_for_real(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    run("sim", "run", "--config", str(THREE), str(ours(tmp_path)), "--report", str(report))
    page = report.read_text(encoding="utf-8")
    assert "Not simulated" in page and "no data plane carries resolver" in page


def test_a_world_that_expects_no_requests_is_scored_like_any(tmp_path: Path) -> None:
    """Nobody asks anything, so nothing is lost: a division by zero, before."""
    config = tmp_path / "quiet.yaml"
    text = (CONFIG / "one-node-embedded-dns.yaml").read_text(encoding="utf-8")
    config.write_text(re.sub(r"demand_rps: \d+", "demand_rps: 0", text), encoding="utf-8")
    scenario = ours(tmp_path, FIRE.replace("service: login, ", ""))
    found = run("sim", "score", "--config", str(config), str(scenario), "--json")
    assert found.code == ExitCode.DONE, found.out + found.err
    assert found.document["scenarios"][0]["lost"]["siteshift"]["failed"] == 0


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    scenario = ours(tmp_path)
    found = run("sim", "run", "--config", str(scenario), str(scenario))
    assert found.code == ExitCode.USAGE
    assert "CFG-101" in found.err and "siteshift config check" in found.err
