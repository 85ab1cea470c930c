"""The forms of the lab with real HAProxy, real BIND and network namespaces."""

from __future__ import annotations

import shutil
from pathlib import Path

import dns.message
import dns.query
import dns.tsigkeyring
import dns.update
import pytest

from lab.test_world import alive
from lab.waiting import until
from siteshift.config.load import check_config
from siteshift.lab.balancer import Balancer, Place, Retry, Standby, Watcher
from siteshift.lab.bind import KEY_NAME
from siteshift.lab.comparison import lose
from siteshift.lab.control import ask
from siteshift.lab.faults import BlackHole, Crash, Hang
from siteshift.lab.ground import Namespaces
from siteshift.lab.measure import shares_seen
from siteshift.lab.spec import SERVICE_NAME, ZONE, ClientSpec
from siteshift.lab.timeline import totals
from siteshift.lab.world import Lab, LabShape, NamesBy

pytestmark = pytest.mark.servers

CLIENTS = ClientSpec(load_rps=200, users=200, resolvers=200)


@pytest.fixture(autouse=True)
def servers_are_installed() -> None:
    for program, package in (("haproxy", "haproxy"), ("named", "bind9"), ("nft", "nftables"), ("ip", "iproute2")):
        assert shutil.which(program), f"{program} is missing: apt-get install {package}"


def served(lab: Lab) -> dict[str, int]:
    lab.timeline.refresh()
    return {site: count.served for site, count in totals(lab.timeline.bins).items()}


def lost(lab: Lab) -> int:
    lab.timeline.refresh()
    return sum(entry.lost for entry in lab.timeline.bins)


def network_namespaces() -> set[int]:
    """Every network namespace some process of this machine is in."""
    return {inode for process in Path("/proc").iterdir() if process.name.isdigit() if (inode := namespace_of(process.name))}


def namespace_of(pid: int | str) -> int:
    """The inode of a process's network namespace; 0 when the process is gone."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


async def test_haproxy_at_the_edge_spreads_users_by_weight() -> None:
    async with Lab(LabShape(clients=CLIENTS, balancer=Balancer(watcher=Watcher.NODE))) as lab:
        await lab.start_clients()
        await until(lambda: sum(served(lab).values()) > 600, "users are served")
        whole = sum(served(lab).values())
        shares = {site: round(served(lab).get(site, 0) / whole * 100) for site in lab.site_ids}
        assert shares["pangyo"] == pytest.approx(50, abs=3)
        assert shares["gasan"] == pytest.approx(30, abs=3)
        assert lost(lab) == 0


async def test_without_anybody_watching_a_crash_loses_and_with_tuned_checks_it_stops() -> None:
    clients = ClientSpec(load_rps=100, users=100)
    nobody = await lose(Crash(site="pangyo"), Balancer(watcher=Watcher.NOBODY), fault_s=4, clients=clients)
    tuned = await lose(Crash(site="pangyo"), Balancer(watcher=Watcher.TUNED_WIDE), fault_s=4, clients=clients)
    assert nobody.lost_before == tuned.lost_before == 0
    assert nobody.lost > 100
    assert tuned.lost < nobody.lost / 2


async def test_every_variant_is_a_configuration_haproxy_takes() -> None:
    for watcher in Watcher:
        for retry in Retry:
            async with Lab(LabShape(clients=CLIENTS, balancer=Balancer(watcher=watcher, retry=retry))) as lab:
                assert lab.children["haproxy"].is_running
                assert "ALERT" not in lab.children["haproxy"].log_tail()


@pytest.mark.parametrize("names_by", list(NamesBy))
@pytest.mark.parametrize("balancer", [None, Balancer(), Balancer(standby=Standby.WARM), Balancer(place=Place.SITES)])
async def test_the_node_gets_a_configuration_without_a_problem(names_by: NamesBy, balancer: Balancer | None) -> None:
    async with Lab(LabShape(clients=CLIENTS, balancer=balancer, names_by=names_by)) as lab:
        assert [str(problem) for problem in check_config(lab.write_config())] == []


async def test_a_black_hole_swallows_a_site_and_gives_it_back() -> None:
    async with Lab(LabShape(clients=CLIENTS, balancer=Balancer(watcher=Watcher.NOBODY)), Namespaces()) as lab:
        await lab.start_clients()
        await until(lambda: served(lab).get("pangyo", 0) > 50, "pangyo serves")
        assert lost(lab) == 0
        await lab.apply(BlackHole(site="pangyo"))
        await until(lambda: lost(lab) > 50, "requests vanish")
        await lab.undo(BlackHole(site="pangyo"))
        before = served(lab)["pangyo"]
        await until(lambda: served(lab)["pangyo"] > before + 50, "pangyo serves again")


async def test_no_namespace_and_no_process_outlives_the_lab() -> None:
    before = network_namespaces()
    async with Lab(LabShape(clients=CLIENTS, balancer=Balancer()), Namespaces()) as lab:
        await lab.start_clients()
        pids = lab.children.pids
        made = {namespace_of(lab.children[f"net-{place}"].pid) for place in ("edge", "gasan")}
        assert not made & before
    assert not [pid for pid in pids if alive(pid)]
    assert not made & network_namespaces()


async def test_a_site_with_its_own_haproxy_answers_by_bind_and_dies_as_a_whole() -> None:
    shape = LabShape(clients=CLIENTS, balancer=Balancer(place=Place.SITES), names_by=NamesBy.BIND)
    async with Lab(shape, Namespaces()) as lab:
        await lab.start_clients()
        await until(lambda: sum(served(lab).values()) > 1_000, "users are served")
        assert lost(lab) == 0
        _, shares = shares_seen(lab.timeline.bins, window_ms=60_000)[-1]
        assert shares["pangyo"] == pytest.approx(5_000, abs=700)
        await lab.apply(Crash(site="pangyo"))
        assert not lab.children["haproxy-pangyo"].is_running
        await until(lambda: lost(lab) > 50, "the crash loses requests")
        await lab.undo(Crash(site="pangyo"))
        before = served(lab)["pangyo"]
        await until(lambda: served(lab)["pangyo"] > before + 50, "pangyo serves again")


async def test_bind_takes_an_update_with_the_lab_key_and_users_follow() -> None:
    async with Lab(LabShape(clients=CLIENTS, names_by=NamesBy.BIND)) as lab:
        await lab.start_clients()
        await until(lambda: served(lab).get("pangyo", 0) > 50, "pangyo serves")
        secret = (lab.spec.path / "tsig.key").read_text()
        keyring = dns.tsigkeyring.from_text({KEY_NAME: secret})
        update = dns.update.UpdateMessage(ZONE, keyring=keyring, keyalgorithm="hmac-sha256")
        update.replace(f"{SERVICE_NAME}.", 1, "A", *lab.spec.site("gasan").answers)
        answer = dns.query.tcp(update, lab.spec.dns, port=lab.spec.dns_port, timeout=10)
        assert answer.rcode() == 0
        query = dns.message.make_query(SERVICE_NAME, "A")
        found = dns.query.udp(query, lab.spec.dns, port=lab.spec.dns_port, timeout=10)
        assert {record.address for record in found.answer[0]} == set(lab.spec.site("gasan").answers)
        await until(lambda: leaves(lab, "pangyo"), "users leave pangyo as their answers run out")


def leaves(lab: Lab, site: str) -> bool:
    """Whether the site's share of the last second is small: what is left are resolvers that stretch TTLs."""
    lab.timeline.refresh()
    return shares_seen(lab.timeline.bins)[-1][1].get(site, 0) < 1_200


async def test_a_hang_in_a_namespace_is_a_hang() -> None:
    async with Lab(LabShape(clients=CLIENTS, balancer=Balancer(watcher=Watcher.NOBODY)), Namespaces()) as lab:
        await lab.start_clients()
        await until(lambda: served(lab).get("pangyo", 0) > 20, "pangyo serves")
        await lab.apply(Hang(site="pangyo"))
        await until(lambda: "deadline" in reasons(lab), "users give up")
        await ask(lab.spec.control("gasan"), {"do": "stats"})


def reasons(lab: Lab) -> set[str]:
    lab.timeline.refresh()
    return {reason for count in totals(lab.timeline.bins).values() for reason in count.lost}
