"""The shipped unit under a real systemd: ready, watched, reloaded, and reached by whom it should be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from systemd.machine import Machine, machine

CONFIG = """
version: 1
node: {id: node-a, site: anyang}
api: {unix: {grants: [{group: siteshift, role: viewer}]}}
sites: [{id: anyang}, {id: gasan}]
anchors:
  outside:
    - {id: anchor-1, kind: tcp, address: 127.0.0.1, port: 9}
    - {id: anchor-2, kind: tcp, address: 127.0.0.1, port: 7}
services:
  - id: shop
    names: [www.shop.test]
    tier: 1
    demand_rps: 10
    probes: [{id: health, kind: http, path: /healthz, twin: {path: /no-such-page}}]
    pools:
      - {site: anyang, nominal_percent: 50, answers: [127.0.1.1],
         members: [{name: a, address: 127.0.0.1, port: 8080, capacity_rps: 100}]}
      - {site: gasan, nominal_percent: 50, answers: [127.0.2.1],
         members: [{name: g, address: 127.0.0.1, port: 8081, capacity_rps: 100}]}
enactors:
  - {id: dns, kind: embedded_dns, zone: shop.test, listen: ["127.0.0.1:53"], nameservers: [ns1.shop.test],
     records: [{name: ns1, type: A, value: 127.0.0.1}]}
"""
STATUS = ("/opt/siteshift/.venv/bin/siteshift", "status", "--json")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("machine"), CONFIG) as box:
        box.run("systemd-sysusers")
        for name in ("anna", "berta"):
            box.run("useradd", "--create-home", name)
        box.run("usermod", "--append", "--groups", "siteshift", "anna")
        yield box


@pytest.fixture(autouse=True)
def running(box: Machine) -> None:
    box.config.write_text(CONFIG, encoding="utf-8")
    box.run("systemctl", "reset-failed", "siteshift", check=False)
    box.run("systemctl", "start", "siteshift")


def test_it_becomes_ready_by_its_own_word_and_says_what_it_does(box: Machine) -> None:
    assert box.show("Type") == "notify"
    assert box.show("ActiveState") == "active"
    assert "generation" in box.show("StatusText") or "configuration" in box.show("StatusText")


def test_it_runs_as_a_user_that_stays_the_same(box: Machine) -> None:
    assert box.show("DynamicUser") == "no"
    pid = box.show("MainPID")
    assert box.run("stat", "-c", "%U:%G", f"/proc/{pid}").strip() == "siteshift:siteshift"
    owner = box.run("stat", "-c", "%U:%G %a", "/var/lib/siteshift", "/run/siteshift").split()
    assert owner == ["siteshift:siteshift", "700", "siteshift:siteshift", "750"]


def test_a_person_in_the_group_reaches_the_socket_and_others_do_not(box: Machine) -> None:
    assert '"node": "node-a"' in box.run(*STATUS, user="anna")
    refused = box.run(*STATUS, user="berta", check=False)
    assert '"node"' not in refused and refused


def test_a_reload_that_fails_keeps_running_and_says_so(box: Machine) -> None:
    pid = box.show("MainPID")
    box.config.write_text(CONFIG.replace("tier: 1", "tier: one"), encoding="utf-8")
    box.run("systemctl", "reload", "siteshift")
    box.until("the refusal is told", lambda: "refused" in box.show("StatusText"))
    assert box.show("MainPID") == pid
    assert box.show("ActiveState") == "active"
    assert '"node": "node-a"' in box.run(*STATUS)
    box.config.write_text(CONFIG.replace("demand_rps: 10", "demand_rps: 20"), encoding="utf-8")
    box.run("systemctl", "reload", "siteshift")
    box.until("the next reload is taken", lambda: "refused" not in box.show("StatusText"))
    assert box.show("MainPID") == pid


def test_a_process_that_stands_still_is_ended_by_the_watchdog_and_started_again(box: Machine) -> None:
    pid, restarts = box.show("MainPID"), int(box.show("NRestarts"))
    box.run("sh", "-c", f"kill -STOP {pid}")
    box.until("it was started again", lambda: int(box.show("NRestarts")) == restarts + 1 and box.show("ActiveState") == "active")
    assert box.show("MainPID") != pid
    assert "watchdog" in box.run("journalctl", "-b", "--no-pager", "-n", "400").lower()
