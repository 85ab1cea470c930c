"""What the checks say in words, and what they keep to themselves because something else is wrong already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from siteshift.config import Problem, check_text, idle_services, idle_text, policy_of
from siteshift.config.document import parse_document
from siteshift.config.load import judge
from siteshift.core.model.units import ServiceId

EXAMPLES = Path(__file__).parents[2] / "config"
Values = dict[str, Any]
Change = Callable[[Values], object]


def problems_of(change: Change, example: str = "one-node-embedded-dns") -> list[Problem]:
    values: Values = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    change(values)
    return list(check_text(yaml.safe_dump(values), file="c.yaml"))


def said(change: Change, example: str = "one-node-embedded-dns") -> list[str]:
    return [f"{problem.id} {problem.path}" for problem in problems_of(change, example)]


def web(values: Values) -> Values:
    found: Values = values["services"][0]
    return found


def test_losing_the_largest_site_is_told_with_numbers() -> None:
    (problem,) = problems_of(lambda values: web(values).update(demand_rps=4321))
    assert problem.id == "CFG-502"
    assert problem.message == (
        "without 'pangyo' the other sites carry 4320 rps, all standby included, at 90 % utilisation;"
        " the demand is 4321: 1 rps would be shed"
    )


def test_a_sites_own_capacity_counts_for_all_services_together() -> None:
    def change(values: Values) -> None:
        for site in values["sites"]:
            site["capacity_rps"] = 1_600

    (problem,) = problems_of(change)
    assert (problem.id, problem.path) == ("CFG-502", "sites")
    assert "carry 2880 rps for all services together; their demand is 3000" in problem.message


def test_more_probing_than_a_core_carries_is_told() -> None:
    def change(values: Values) -> None:
        web(values)["probes"][0]["kind"] = "https"
        web(values)["pools"][0]["members"] = [
            {"name": f"m{n}", "address": f"10.0.{n // 250}.{n % 250 + 1}", "port": 443, "capacity_rps": 5000} for n in range(600)
        ]

    assert said(change) == ["CFG-509 services"]

    def kept(values: Values) -> None:
        change(values)
        web(values)["probes"][0]["keep_alive"] = True

    assert said(kept) == []


def test_a_key_at_the_wrong_place_is_sent_home() -> None:
    (problem,) = problems_of(lambda values: web(values).update(hold_down_s=3))
    assert (problem.id, problem.remedy) == ("CFG-101", "write it under `policy:`")


def test_yaml_1_1_truth_values_are_explained() -> None:
    text = (EXAMPLES / "one-node-embedded-dns.yaml").read_text() + "policy: {warm_on_suspicion: yes}\n"
    (problem,) = check_text(text)
    assert problem.id == "CFG-103"
    assert "YAML 1.2" in problem.remedy


SILENT: list[tuple[str, Change, list[str]]] = [
    (
        "a share that is no number says nothing about the sum",
        lambda values: web(values)["pools"][0].update(nominal_percent="half"),
        ["CFG-103 services[0].pools[0].nominal_percent"],
    ),
    (
        "a site without an id leaves references alone",
        lambda values: values["sites"][0].pop("id"),
        ["CFG-102 sites[0].id"],
    ),
    (
        "a site with a bad id leaves references alone",
        lambda values: values["sites"][0].update(id="Pan Gyo"),
        ["CFG-106 sites[0].id"],
    ),
    (
        "a driver of an unknown kind is still a driver",
        lambda values: (
            values.update(standby_drivers=[{"id": "d", "kind": "magic"}]),
            web(values)["pools"][0]["members"][0].update(role="standby", standby_driver="d"),
        ),
        ["CFG-104 standby_drivers[0].kind"],
    ),
    (
        "an enactor of an unknown kind does not leave the service uncarried",
        lambda values: values["enactors"][0].update(kind="dnsmagic"),
        ["CFG-104 enactors[0].kind"],
    ),
    (
        "services that are no list are one problem",
        lambda values: values.update(services="web"),
        ["CFG-103 services"],
    ),
    (
        "a bad answer address is no missing family",
        lambda values: web(values)["pools"][0].update(answers=["192.0.2.1", "2001:db8::g"]),
        ["CFG-106 services[0].pools[0].answers[1]"],
    ),
    (
        "a bad member does not make the pool empty, nor the capacity short",
        lambda values: web(values)["pools"][0].update(members=["p1"]),
        ["CFG-103 services[0].pools[0].members[0]"],
    ),
    (
        "a bad ramp step says nothing about the ramp",
        lambda values: values.update(policy={"ramp_percent": [1, "x", 100]}),
        ["CFG-103 policy.ramp_percent[1]"],
    ),
    (
        "bad anchors are not too few",
        lambda values: values["anchors"].update(outside=[{"id": "a", "kind": "ping"}, 5]),
        ["CFG-104 anchors.outside[0].kind", "CFG-103 anchors.outside[1]"],
    ),
    (
        "a bad pool says nothing about shares and sites",
        lambda values: web(values)["pools"].__setitem__(0, "pangyo"),
        ["CFG-103 services[0].pools[0]"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in SILENT], ids=[case[0] for case in SILENT])
def test_one_mistake_is_one_problem(change: Change, expected: list[str]) -> None:
    assert said(change) == expected


def test_indices_stay_those_of_the_file_when_an_item_is_unusable() -> None:
    def change(values: Values) -> None:
        web(values)["pools"].insert(0, "nonsense")
        web(values)["pools"][2]["site"] = "gasn"

    assert said(change) == ["CFG-103 services[0].pools[0]", "CFG-204 services[0].pools[2].site"]


def test_a_driver_in_the_site_it_saves_is_fine_and_elsewhere_it_is_not() -> None:
    def change(site: str) -> Change:
        def apply(values: Values) -> None:
            driver = {"id": "d", "kind": "command_hook", "site": site}
            driver |= {key: ["/bin/true", "{member}"] for key in ("activate", "retire", "phase")}
            values["standby_drivers"] = [driver]
            extra = {"name": "s", "address": "10.9.9.9", "port": 1, "capacity_rps": 9, "role": "standby"}
            web(values)["pools"][1]["members"].append({**extra, "standby_driver": "d"})

        return apply

    assert said(change("gasan")) == []
    assert said(change("pangyo")) == ["CFG-517 services[0].pools[1].members[2].standby_driver"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("{member}", []), ("{membre}", ["CFG-106"]), ("{", ["CFG-106"]), ("{{json}}", []), ("{name!r}", ["CFG-106"])],
)
def test_placeholders_of_hooks_must_exist(word: str, expected: list[str]) -> None:
    def change(values: Values) -> None:
        driver = values["standby_drivers"][2]
        driver["activate"] = ["/usr/local/bin/standby", word]

    found = [problem.id for problem in problems_of(change, "three-sites") if problem.id != "CFG-407"]
    assert found == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [("body_match", "(?P<x"), ("body_match", "(?L)ok"), ("body_not_match", "["), ("header_match", {"X-Health": "*"})],
)
def test_patterns_must_compile_as_the_prober_compiles_them(key: str, value: object) -> None:
    where = f"services[0].probes[0].{key}" + (".X-Health" if key == "header_match" else "")
    assert said(lambda values: web(values)["probes"][0].update({key: value})) == [f"CFG-106 {where}"]


def test_expected_dns_answers_are_values_of_their_type() -> None:
    def change(values: Values) -> None:
        probe = {"id": "d", "kind": "dns", "name": "x.example.com", "expect": ["192.0.2.1", "2001:db8::1"]}
        web(values)["probes"].append({**probe, "twin": {"name": "must-fail.invalid"}})

    assert said(change) == ["CFG-106 services[0].probes[1].expect[1]"]


def test_records_of_the_zone_are_read_as_the_server_reads_them() -> None:
    def change(values: Values) -> None:
        values["enactors"][0]["records"] += [
            {"name": "@", "type": "MX", "value": "10 mail"},
            {"name": "@", "type": "MX", "value": "mail"},
            {"name": "t", "type": "TXT", "value": '"open'},
        ]

    assert said(change) == ["CFG-106 enactors[0].records[2].value", "CFG-106 enactors[0].records[3].value"]


def test_a_problem_can_be_told_to_programs() -> None:
    (problem,) = problems_of(lambda values: values.update(nodes=[]))
    values = problem.as_values()
    assert values["id"] == "CFG-101"
    assert values["severity"] == "error"
    assert (values["file"], values["path"]) == ("c.yaml", "nodes")
    assert values["remedy"] == "did you mean `node`?"


def test_a_data_role_is_asked_of_writable_services_and_of_no_other() -> None:
    def stateless(values: Values) -> None:
        web(values)["probes"][0]["role"] = "data"

    def writable(values: Values) -> None:
        web(values)["data"] = "writable"

    def asked(values: Values) -> None:
        web(values)["data"] = "writable"
        web(values)["probes"].append({**web(values)["probes"][0], "id": "promoted", "role": "data"})

    assert said(stateless) == ["CFG-210 services[0].probes[0].role"]
    assert said(writable) == ["CFG-518 services[0].data"]
    assert said(asked) == []


def test_a_meter_of_pages_names_services_sites_and_metrics_that_can_be() -> None:
    def change(values: Values) -> None:
        page = {"site": "busan", "url": "http://192.0.2.1:9100/metrics"}
        meter = {"id": "m", "kind": "scrape", "service": "web2", "counter": "requests{site=}", "pages": [page]}
        values["traffic"] = [meter, {**meter, "id": "n", "counter": "requests_total", "every_s": 5}]

    assert sorted(said(change)) == [
        "CFG-105 traffic[1].every_s",
        "CFG-106 traffic[0].counter",
        "CFG-204 traffic[0].pages[0].site",
        "CFG-204 traffic[1].pages[0].site",
        "CFG-205 traffic[0].service",
        "CFG-205 traffic[1].service",
    ]


@pytest.mark.parametrize(
    ("host", "way"),
    [
        ("예시.한국", "write `xn--vv4b11d.xn--3e0b707e`"),
        ("2001:db8::1", "write `[2001:db8::1]`"),
        ("shop", ""),
        ("shop.example.com.", ""),
        ("shop.example.com:8443", ""),
        ("[2001:db8::1]:8443", ""),
        ("192.0.2.1:80", ""),
        ("a_b.example", ""),
    ],
)
def test_a_host_is_one_that_can_be_sent_or_the_remedy_says_how_to_write_it(host: str, way: str) -> None:
    found = problems_of(lambda values: web(values)["probes"][0].update({"host": host}))
    assert [problem.remedy for problem in found] == ([way] if way else [])


def test_the_members_port_is_looked_at_where_a_check_has_none() -> None:
    def change(values: Values) -> None:
        for pool in web(values)["pools"]:
            for member in pool["members"]:
                member["port"] = 3306
        web(values)["probes"] = [{"id": "db", "kind": "tcp"}]

    (problem,) = problems_of(change)
    assert (problem.id, problem.path) == ("CFG-519", "services[0].probes[0].kind")
    assert "max_connect_errors" in problem.message
    assert problem.remedy == "use `kind: mysql` with a `user`"


@pytest.mark.parametrize(("kind", "most"), [("udp", 65_507), ("tcp", 65_536)])
def test_what_is_longer_than_an_answer_can_be_is_not_expected(kind: str, most: int) -> None:
    def expecting(size: int) -> Change:
        probe = {"id": "x", "kind": kind, "send": "a", "expect": "x" * size, "twin": {"send": "b"}}
        return lambda values: web(values)["probes"].append(probe)

    assert said(expecting(most)) == []
    assert said(expecting(most + 1)) == ["CFG-105 services[0].probes[1].expect"]


def test_a_datagram_that_is_too_long_is_not_sent() -> None:
    probe = {"id": "x", "kind": "udp", "send": "x" * 65_508, "expect": "a", "twin": {"send": "b"}}
    assert said(lambda values: web(values)["probes"].append(probe)) == ["CFG-105 services[0].probes[1].send"]


@pytest.mark.parametrize(
    ("everywhere", "own", "mode", "is_warned"),
    [
        (None, None, "recommend", True),
        ("auto", None, "auto", False),
        ("recommend", None, "recommend", False),
        (None, "auto", "auto", False),
        ("auto", "observe", "observe", False),
    ],
)
def test_a_service_without_a_mode_is_recommend_and_said_to_be(
    everywhere: str | None, own: str | None, mode: str, is_warned: bool
) -> None:
    """It was silently `auto`: who had not said that siteshift may act saw it act."""

    def change(values: Values) -> None:
        values["policy"] = {"mode": everywhere} if everywhere else {}
        web(values)["policy"] = {"mode": own} if own else {}

    found = [problem for problem in problems_of(change) if problem.id == "CFG-520"]
    assert len(found) == is_warned
    if is_warned:
        assert "web" in found[0].message and "nothing moves by itself" in found[0].message
        assert "`mode: auto`" in found[0].remedy
    values: Values = yaml.safe_load((EXAMPLES / "one-node-embedded-dns.yaml").read_text())
    change(values)
    config, _ = judge(parse_document(yaml.safe_dump(values).encode(), file="c.yaml"))
    assert config is not None
    policy = policy_of(config)
    assert policy.of(ServiceId("web")).mode.value == mode
    said_idle = idle_text(idle_services(policy, [ServiceId("web")]))
    assert (f"nothing moves by itself for web ({mode})" in said_idle) == (mode != "auto")
