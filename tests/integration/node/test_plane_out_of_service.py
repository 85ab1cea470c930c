"""A real HAProxy that is gone: a planned drain waits for it, and goes on without it once it is out of service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration.node.behind_haproxy import PLANE, RAMPED, BehindHaproxy, haproxy_sections, node_behind_haproxy
from nodes.running_node import LOOPBACK, free_port

pytestmark = pytest.mark.servers


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHaproxy]:
    """A HAProxy and the embedded DNS carry the service; nobody counts requests."""
    folder = tmp_path_factory.mktemp("lb")
    dns = {
        "id": "dns",
        "kind": "embedded_dns",
        "zone": "shop.test",
        "listen": [f"{LOOPBACK}:{free_port()}"],
        "nameservers": ["ns1.shop.test"],
        "records": [{"name": "ns1", "type": "A", "value": LOOPBACK}],
    }
    (balancer,) = haproxy_sections(folder / "lb.sock")["enactors"]
    sections = {"enactors": [dns, balancer], "traffic": []}
    policy = {**RAMPED.policy, "ttl_normal_s": 5, "ttl_suspect_s": 5}
    with node_behind_haproxy(folder, replace(RAMPED, sections=sections, policy=policy)) as found:
        yield found


def test_a_planned_drain_goes_on_without_a_haproxy_that_is_out_of_service(world: BehindHaproxy) -> None:
    override = world.drain_under_way()
    world.kill_haproxy()
    world.node.until(lambda status: status["planes"][PLANE]["unreadable_since_ms"] is not None)
    code, offer = world.node.act("drain", site="gasan", reason="look", dry_run=True)
    assert "DATA_PLANE_UNKNOWN" in [entry["code"] for entry in offer["findings"]], (code, offer)
    assert world.node.site("pangyo")["desired_bp"] > 0, "it waits"
    code, answer = world.node.act("plane-out", plane=PLANE, reason="rack is dead", ticket="OPS-3")
    assert code == 200, answer
    world.node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    status = world.node.status()
    assert status["planes"][PLANE]["out_of_service"]["reason"] == "rack is dead"
    assert {entry["kind"] for entry in status["overrides"]} == {"drain", "plane_out"}
    world.node.kill()
    world.node.launch()
    world.node.until(lambda status: status["fresh"] and status["planes"][PLANE]["out_of_service"] is not None)
    world.restart_haproxy()
    world.until_haproxy_is_as_desired()
    assert world.weights()["pangyo-1"] == 0, "it came back without the shares of its file"
    code, answer = world.node.act("plane-in", plane=PLANE, reason="new rack")
    assert code == 200, answer
    status = world.node.until(lambda status: status["planes"][PLANE]["out_of_service"] is None)
    assert [entry["id"] for entry in status["overrides"]] == [override["id"]]
