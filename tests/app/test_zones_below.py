"""A zone inside another one: each name is answered from the deepest zone that holds it, as DNS itself does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.rcode

from config.test_resolve import example, resolved
from integration.dns.embedded_world import WEB_ADDRESS, ask, steer, values, world
from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.memory.clock import ManualClock
from siteshift.app.planes import change_zone, make_plane
from siteshift.config.setups import EmbeddedDnsSetup, StaticRecordSetup
from siteshift.core.model.mark import Origin
from siteshift.core.model.units import EnactorId

IN_CHILD, IN_PARENT = "deep.below.example.test", "web.example.test"


def zone(origin: str, *below: str) -> EmbeddedDnsSetup:
    """A server of its own; a zone below it is delegated."""
    return EmbeddedDnsSetup(
        id=EnactorId(origin),
        origin=f"{origin}.",
        ns_names=("ns1.example.net.",),
        listen=(("127.0.0.1", 0),),
        soa_mname="ns1.example.net.",
        soa_rname="hostmaster.example.net.",
        records=tuple(StaticRecordSetup(name=f"{name}.", kind="NS", value="ns2.example.net.", ttl_s=60) for name in below),
        ns_ttl_s=60,
        negative_ttl_s=60,
        services=(),
        signer=Origin(cluster="shop", node="c1"),
        below=below,
    )


async def served(setup: EmbeddedDnsSetup) -> EmbeddedDns:
    made = await make_plane(setup, world(), ManualClock(), steer(1), Descriptors())
    assert isinstance(made, EmbeddedDns)
    return made


async def test_a_name_is_steered_in_the_zone_that_users_are_led_to_and_in_no_other() -> None:
    parent, child = await served(zone("example.test", "below.example.test")), await served(zone("below.example.test"))
    try:
        assert values(await ask(parent, IN_PARENT))[0] in WEB_ADDRESS.values()
        led_on = await ask(parent, IN_CHILD)
        assert (values(led_on), led_on.rcode()) == ([], dns.rcode.NOERROR)
        assert [str(entry) for entry in led_on.authority[0]] == ["ns2.example.net."]
        assert values(await ask(child, IN_CHILD))[0] in WEB_ADDRESS.values()
        assert (await ask(child, IN_PARENT)).rcode() == dns.rcode.REFUSED
        await change_zone(parent, zone("example.test"), world())
        assert values(await ask(parent, IN_CHILD))[0] in WEB_ADDRESS.values(), "the child zone was given up"
    finally:
        await parent.close()
        await child.close()


def two_zones(*, names: list[str], records: list[dict[str, Any]]) -> dict[str, Any]:
    found = example("one-node-embedded-dns")
    (parent,) = (entry for entry in found["enactors"] if entry["kind"] == "embedded_dns")
    child = {**parent, "id": "below", "zone": f"a.{parent['zone']}", "listen": ["192.0.2.253:53"], "records": []}
    child["nameservers"] = ["ns.example.org"]
    parent["records"] = [*parent.get("records", []), *records]
    found["enactors"].append(child)
    found["services"][0]["names"] = [name.replace("ZONE", parent["zone"]) for name in names]
    return found


def test_a_plane_carries_the_services_whose_names_its_zone_answers_for(tmp_path: Path) -> None:
    found = resolved(two_zones(names=["www.a.ZONE"], records=[]), tmp_path)
    carried = {plane.id: plane.services for plane in found.planes if isinstance(plane, EmbeddedDnsSetup)}
    (service,) = found.topology.services
    assert sorted(carried.values()) == [(), (service.id,)]
    assert carried[EnactorId("below")] == (service.id,)
    both = resolved(two_zones(names=["www.a.ZONE", "www.ZONE"], records=[]), tmp_path)
    assert {plane.services for plane in both.planes if isinstance(plane, EmbeddedDnsSetup)} == {(service.id,)}
