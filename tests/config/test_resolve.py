"""From the file to the core's nouns: units, identifiers, policies, probes with phases, mappings of planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from siteshift.config import Surroundings, load_config, resolve
from siteshift.config.model.policy import JUDGE_FIELDS, SERVICE_POLICY_FIELDS
from siteshift.config.resolve import Resolved
from siteshift.config.setups import AgentCheckSetup, EmbeddedDnsSetup, HaproxySetup, PrometheusSetup, Rfc2136Setup
from siteshift.core.model.codes import Failback, MemberRole, Mode
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, ProxyProtocol, TlsCheck, bare_name

EXAMPLES = Path(__file__).parents[2] / "config"


def example(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return values


def resolved(values: dict[str, Any], folder: Path) -> Resolved:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return resolve(load_config(path, Surroundings.IGNORED).config)


def by_id(specs: tuple[ProbeSpec, ...]) -> dict[str, ProbeSpec]:
    return {str(spec.id): spec for spec in specs}


def test_every_field_of_the_cores_policies_has_a_key() -> None:
    assert set(SERVICE_POLICY_FIELDS.values()) == set(ServicePolicy.__dataclass_fields__)
    assert set(JUDGE_FIELDS.values()) == set(JudgePolicy.__dataclass_fields__)


def test_a_file_that_says_nothing_of_policy_has_the_cores_defaults_and_lets_nothing_move_by_itself(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    del values["services"][0]["policy"]
    assert resolved(values, tmp_path).policy == Policy(default=ServicePolicy(mode=Mode.RECOMMEND))


def test_peoples_units_become_the_cores(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["policy"] = {
        "mode": "observe",
        "max_utilisation_percent": 87.5,
        "velocity_percent": 12.34,
        "hold_down_s": 0.5,
        "ramp_percent": [0.5, 10, 100],
        "overrides": {"default_expiry_h": 0.5, "max_expiry_h": 24},
        "read_back_every_s": 2,
    }
    values["judging"] = {"interval_ms": 500, "timeout_ms": 400, "false_alarms_per_year": 2}
    values["services"][0]["policy"] = {"hold_down_s": 60}
    values["services"][0]["slo"] = {"latency_ms": 250, "error_percent": 0.1}
    policy = resolved(values, tmp_path).policy
    assert policy.default.max_utilisation_pm == 875
    assert policy.default.velocity_bp == 1234
    assert policy.default.hold_down_ms == 500
    assert policy.default.ramp_bp == (50, 1000, 10_000)
    assert (policy.override_default_ms, policy.override_max_ms) == (1_800_000, 86_400_000)
    assert policy.read_back_every_ms == 2_000
    assert policy.judge.false_alarms_per_year == 2.0
    web = policy.services["web"]  # type: ignore[index]
    assert (web.hold_down_ms, web.max_utilisation_pm, web.mode) == (60_000, 875, Mode.OBSERVE)
    service = resolved(values, tmp_path).topology.services[0]
    assert service.slo_latency_ms == 250


def test_a_service_that_promises_no_latency_has_no_objective_and_no_check_of_it_a_stopwatch(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["services"][0].pop("slo", None)
    found = resolved(values, tmp_path)
    assert found.topology.services[0].slo_latency_ms == 0
    checks = [spec for spec in found.probes if spec.target.startswith("member:")]
    assert {(spec.slo_latency_ms, spec.stopwatch_ms) for spec in checks} == {(0, 0)}


def test_writable_data_come_back_by_hand_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["services"][0]["data"] = "writable"
    assert resolved(values, tmp_path).policy.of("web").failback is Failback.MANUAL  # type: ignore[arg-type]
    values["services"][0]["policy"]["failback"] = "stay"
    assert resolved(values, tmp_path).policy.of("web").failback is Failback.STAY  # type: ignore[arg-type]


def test_members_pools_and_targets_are_named_alike(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    found = resolved(values, tmp_path)
    assert next(iter(found.topology.members)) == "web/pangyo/p1"
    spec = by_id(found.probes)["web/pangyo/p1#health"]
    assert spec.target == "member:web/pangyo/p1"
    assert {spec.target for spec in found.probes} <= set(found.topology.targets)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 50])
def test_the_phases_of_a_pool_are_spread_evenly(count: int, tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["services"][0]["pools"][0]["members"] = [
        {"name": f"m{n}", "address": f"10.0.0.{n + 1}", "port": 80, "capacity_rps": 5000} for n in range(count)
    ]
    specs = [spec for spec in resolved(values, tmp_path).probes if spec.target.startswith("member:web/pangyo/")]
    phases = sorted(spec.phase_ms for spec in specs)
    gaps = [later - earlier for earlier, later in zip(phases, [*phases[1:], phases[0] + 1_000], strict=True)]
    assert all(0 <= phase < 1_000 for phase in phases)
    assert all(abs(gap - 1_000 / count) <= 1 for gap in gaps)


def test_a_probe_keeps_its_phase_when_other_services_come(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    before = by_id(resolved(values, tmp_path).probes)
    other = {**values["services"][0], "id": "other", "names": ["other.gslb.example.com"]}
    values["services"].insert(0, other)
    after = by_id(resolved(values, tmp_path).probes)
    assert all(after[name] == spec for name, spec in before.items())


def test_every_kind_of_probe_is_made_out() -> None:
    found = by_id(resolve(load_config(EXAMPLES / "three-sites.yaml", Surroundings.IGNORED).config).probes)
    kinds = {spec.kind for spec in found.values()}
    assert kinds >= {ProbeKind.HTTP, ProbeKind.JOURNEY, ProbeKind.TCP, ProbeKind.GRPC, ProbeKind.COMMAND, ProbeKind.DNS}
    vip = found["login/pangyo#vip@2001:db8:1::110"]
    assert (vip.target, vip.address, vip.port) == ("pool:login/pangyo", "2001:db8:1::110", 443)
    push = found["chat/gasan/g3#push"]
    assert (push.port, push.grpc_service, push.twin) == (9090, "chat.Push", HttpCheck(path="must.Fail"))
    ping = found["resolver/pangyo/r1#ping"]
    assert (ping.send, ping.expect, ping.twin) == (b"\x00\x01", b"\x00\x02", HttpCheck(body=b"\xff\xff"))
    promoted = found["shop/gasan/g1#promoted"]
    assert promoted.command == ("/usr/local/bin/check-promoted", "--host", "10.2.3.1", "--max-lag-ms", "500")
    assert (promoted.target, promoted.slo_latency_ms) == ("data:shop/gasan", promoted.timeout_ms)
    journey = found["login/anyang/a1#journey"]
    assert [step.path for step in journey.steps] == ["/session", "/me?token={token}"]
    assert journey.twin is not None
    assert (journey.twin.method, journey.twin.path, journey.twin.body) == ("POST", "/session", b"user=nobody")
    health = found["login/anyang/a1#health"]
    assert (health.keep_alive, health.http.host, health.slo_latency_ms) == (True, "login.gslb.example.com", 200)


def test_tls_checks_know_the_name_they_ask_for() -> None:
    found = by_id(resolve(load_config(EXAMPLES / "one-node-bind.yaml", Surroundings.IGNORED).config).probes)
    health = found["web/gasan/w1#health"]
    assert (health.http.host, health.tls) == ("www.gslb.example.com", TlsCheck(min_days_left=14)), "the name follows the Host"
    assert found["web/gasan/w1#certificate"].twin == HttpCheck(host="siteshift-must-fail.invalid")


def test_grpc_speaks_tls_where_the_file_says_so_and_a_check_of_any_certificate_is_told(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["services"][0]["probes"] += [
        {"id": "plain", "kind": "grpc"},
        {"id": "tls", "kind": "grpc", "tls": {}},
        {"id": "any", "kind": "grpc", "tls": {"verify": False}},
    ]
    name = values["services"][0]["names"][0]
    found = by_id(resolved(values, tmp_path).probes)
    assert found["web/pangyo/p1#plain"].tls is None
    assert found["web/pangyo/p1#tls"].tls == TlsCheck(server_name=name)
    assert found["web/pangyo/p1#any"].tls == TlsCheck(server_name=name, verify=False)
    loaded = load_config(tmp_path / "config.yaml", Surroundings.IGNORED)
    assert any("any certificate passes" in str(warning) for warning in loaded.warnings)


def test_what_probes_show_and_say_first_reaches_the_prober(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    own = {"client_certificate": "/etc/siteshift/probe.pem", "client_key": "file:/etc/siteshift/probe.key"}
    values["services"][0]["probes"] += [
        {"id": "https", "kind": "https", "proxy_protocol": "v2", "tls": own},
        {"id": "grpc", "kind": "grpc", "authority": "shop.example:8443", "proxy_protocol": "v1", "tls": {}},
        {"id": "mail", "kind": "tcp", "port": 25, "expect": "220 ", "goodbye": "QUIT\r\n"},
        {"id": "db", "kind": "mysql", "port": 3306, "user": "siteshift", "proxy_protocol": "v1"},
        {"id": "steps", "kind": "journey", "scheme": "https", "steps": [{"host": "a.example:8443"}, {"host": "{name}.example"}]},
        {"id": "plain", "kind": "journey", "port": 443, "steps": [{}]},
    ]
    found = by_id(resolved(values, tmp_path).probes)
    https = found["web/pangyo/p1#https"]
    assert https.proxy_protocol is ProxyProtocol.V2
    assert https.tls == TlsCheck(client_certificate="/etc/siteshift/probe.pem", client_key="/etc/siteshift/probe.key")
    grpc = found["web/pangyo/p1#grpc"]
    assert (grpc.grpc_authority, grpc.proxy_protocol) == ("shop.example:8443", ProxyProtocol.V1)
    assert grpc.tls == TlsCheck(server_name="shop.example"), "by default the name of the authority, without its port"
    assert found["web/pangyo/p1#mail"].goodbye == b"QUIT\r\n"
    db = found["web/pangyo/p1#db"]
    assert (db.mysql_user, db.proxy_protocol) == ("siteshift", ProxyProtocol.V1)
    steps = found["web/pangyo/p1#steps"]
    assert (steps.tls, [step.host for step in steps.steps]) == (TlsCheck(), ["a.example:8443", "{name}.example"])
    assert found["web/pangyo/p1#plain"].speaks_tls is False, "port 443 alone is no TLS"


def test_an_address_of_ipv6_is_a_host_in_brackets(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["anchors"]["outside"] = [
        {"id": "a", "kind": "https", "address": "2001:db8::1", "port": 443},
        {"id": "b", "kind": "dns", "address": "192.0.2.1", "port": 53, "name": "example.com"},
    ]
    web, resolver = resolved(values, tmp_path).anchors
    assert (web.http.host, bare_name(web.http.host)) == ("[2001:db8::1]", "2001:db8::1")
    assert resolver.dns_any_answer, "an anchor proves the way to it, whatever it answers"
    assert not any(spec.dns_any_answer for spec in resolved(values, tmp_path).probes)


def test_a_general_timeout_shrinks_with_a_shorter_interval(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    values["services"][0]["probes"] += [
        {"id": "quick", "kind": "tcp", "interval_ms": 500},
        {"id": "slow", "kind": "tcp", "interval_ms": 5_000},
    ]
    found = by_id(resolved(values, tmp_path).probes)
    assert found["web/pangyo/p1#quick"].timeout_ms == 400
    assert found["web/pangyo/p1#slow"].timeout_ms == 800


def test_anchors_are_probes_with_targets_of_their_own() -> None:
    found = resolve(load_config(EXAMPLES / "three-sites.yaml", Surroundings.IGNORED).config)
    assert [spec.target for spec in found.anchors] == ["anchor:resolver-a", "anchor:carrier-b", "anchor:carrier-c"]
    assert [spec.target for spec in found.own_site_anchors] == ["own:gateway"]
    assert found.anchors[0].dns_name == "example.com"
    assert found.anchors[2].http.host == "status.example.net"
    assert len({spec.phase_ms for spec in found.anchors}) == 3


def test_dns_planes_get_absolute_names_and_the_services_of_their_zone() -> None:
    found = resolve(load_config(EXAMPLES / "three-sites.yaml", Surroundings.IGNORED).config)
    dns, bind = found.planes[:2]
    assert isinstance(dns, EmbeddedDnsSetup)
    assert isinstance(bind, Rfc2136Setup)
    assert (dns.origin, dns.ns_names) == ("gslb.example.com.", ("ns1.gslb.example.com.", "ns2.example.net."))
    assert (dns.soa_mname, dns.soa_rname) == ("ns1.gslb.example.com.", "hostmaster.example.com.")
    assert dns.listen == (("203.0.113.5", 53), ("2001:db8:3::5", 53))
    assert dns.services == ("login", "chat")
    assert (bind.services, bind.verify_servers) == (("shop",), (("198.51.100.5", 53),))
    assert str(bind.tsig_secret) == "credential:tsig.key"


def test_haproxy_servers_are_mapped_by_pattern_or_by_name() -> None:
    found = resolve(load_config(EXAMPLES / "three-sites.yaml", Surroundings.IGNORED).config)
    pangyo, gasan, anyang = found.planes[2:]
    assert isinstance(pangyo, HaproxySetup)
    assert isinstance(gasan, HaproxySetup)
    assert isinstance(anyang, AgentCheckSetup)
    chat = pangyo.backends[1]
    assert [(server.server, server.site, server.member) for server in chat.servers] == [
        ("p1", "pangyo", "chat/pangyo/p1"),
        ("p2", "pangyo", "chat/pangyo/p2"),
        ("to-gasan", "gasan", None),
        ("to-anyang", "anyang", None),
    ]
    listed = gasan.backends[0]
    assert [server.server for server in listed.servers] == ["g1", "g2", "g3", "tunnel-pangyo", "tunnel-anyang"]
    assert listed.servers[2].role is MemberRole.STANDBY
    assert listed.shed_servers == ("sorry",)
    assert (anyang.plane.address, anyang.listen, anyang.plane.beside) == ("", ("127.0.0.1", 8009), "anyang")


def test_a_global_haproxy_holds_the_members_of_all_sites() -> None:
    found = resolve(load_config(EXAMPLES / "one-node-haproxy.yaml", Surroundings.IGNORED).config)
    (plane,) = found.planes
    assert isinstance(plane, HaproxySetup)
    assert [server.server for server in plane.backends[0].servers] == ["gasan-s1", "gasan-s2", "anyang-s1", "anyang-s2"]
    assert plane.shutdown_sessions_after_ms == 60_000
    assert found.meters[0].plane == plane


def test_queries_are_made_out_for_every_site_of_the_service() -> None:
    found = resolve(load_config(EXAMPLES / "three-sites.yaml", Surroundings.IGNORED).config)
    prometheus = next(entry for entry in found.evidence if isinstance(entry, PrometheusSetup))
    assert [site for site, _ in prometheus.queries] == ["pangyo", "gasan", "anyang"]
    assert 'site="gasan"' in dict(prometheus.queries)["gasan"]  # type: ignore[index]
    assert "{site}" not in dict(prometheus.queries)["gasan"]  # type: ignore[index]
    assert prometheus.degraded_above_pm == 10


def test_the_digest_follows_what_takes_effect(tmp_path: Path) -> None:
    values = example("one-node-embedded-dns")
    before = resolved(values, tmp_path).digest
    values["log"] = {"level": "info"}
    values["policy"] = {"hold_down_s": 300}
    assert resolved(values, tmp_path).digest == before
    values["policy"] = {"hold_down_s": 301}
    assert resolved(values, tmp_path).digest != before
