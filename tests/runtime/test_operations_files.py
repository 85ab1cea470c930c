"""The files operators take over: alert rules, dashboard and systemd unit are right by the tools that will read them."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from siteshift.runtime.metrics import Metrics

CONFIG = Path(__file__).parents[2] / "config"
RULES = CONFIG / "prometheus-alerts.yaml"
DASHBOARD = json.loads((CONFIG / "grafana-dashboard.json").read_text())
UNIT = CONFIG / "siteshift.service"
OF_PROMETHEUS = {"up", "ALERTS"}


def tool(*command: str | Path, package: str) -> str:
    """What the tool says; it must be content."""
    if shutil.which(str(command[0])) is None:
        pytest.fail(f"{command[0]} is missing: apt-get install --no-install-recommends {package}")
    run = subprocess.run(list(command), capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def rules() -> Iterator[dict[str, object]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def dashboard_expressions() -> list[str]:
    """Every query of the dashboard, its variables filled in."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    found += [entry["expr"] for entry in DASHBOARD["annotations"]["list"]]
    filled = [one.replace("$__rate_interval", "5m").replace("$service", "web").replace("$job", ".*") for one in found]
    assert not [one for one in filled if "$" in one]
    return filled


def metric_names(expression: str) -> set[str]:
    """The metric names in a query: what is left without strings, label lists, functions and keywords."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])", text)
    return {word for word in words if word not in {"or", "and", "unless", "by", "on", "bool"}}


def test_every_metric_the_alerts_ask_for_exists() -> None:
    known = Metrics().names() | OF_PROMETHEUS
    unknown = {(rule["alert"], name) for rule in rules() for name in metric_names(str(rule["expr"])) - known}
    assert unknown == set()


def test_every_metric_the_dashboard_asks_for_exists_and_every_metric_of_ours_is_asked_for_somewhere() -> None:
    known = Metrics().names() | OF_PROMETHEUS
    asked = set().union(*(metric_names(one) for one in dashboard_expressions()))
    assert asked - known == set()
    variables = " ".join(str(entry["query"]) for entry in DASHBOARD["templating"]["list"])
    assert set(re.findall(r"siteshift_\w+", variables)) <= known
    asked |= set().union(*(metric_names(str(rule["expr"])) for rule in rules()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known if name.startswith("siteshift_")}
    unseen = {one for one in families if not any(name.startswith(one) for name in asked)}
    assert unseen == set()


def test_the_finder_of_metric_names_finds_them() -> None:
    expression = 'max by (site) (a_b{c="d_e"}) > on (x) group_left () rate(f_total[5m]) or vector(0) * g'
    assert metric_names(expression) == {"a_b", "f_total", "g"}


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(list(rules()))} rules found" in tool("promtool", "check", "rules", RULES, package="prometheus")


def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "alerts_test.yaml").read_text().replace("RULES", str(RULES))
    (tmp_path / "alerts_test.yaml").write_text(cases)
    tool("promtool", "test", "rules", tmp_path / "alerts_test.yaml", package="prometheus")


def test_every_alert_says_how_urgent_it_is_what_is_wrong_and_what_is_done() -> None:
    for rule in rules():
        assert isinstance(rule["labels"], dict)
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert isinstance(rule["annotations"], dict)
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert str(rule["alert"]).startswith("Siteshift")


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    as_rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(dashboard_expressions())]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": as_rules}]}))
    tool("promtool", "check", "rules", file, package="prometheus")


def test_the_dashboard_s_panels_have_their_own_ids_and_places() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.fixture
def unit() -> Iterator[Path]:
    """The unit with a program that is here, under its own name, in a folder without others."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "siteshift.service"
        copy.write_text(re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", UNIT.read_text()))
        yield copy


def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    assert tool("systemd-analyze", "verify", "--man=no", unit, package="systemd") == ""


def test_systemd_finds_the_unit_well_hardened(unit: Path) -> None:
    """Exposure at most 2.0 of 10 ("OK"); the network itself costs 1.0."""
    tool("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit, package="systemd")


def test_the_unit_starts_our_program_and_knows_notify_watchdog_and_reload() -> None:
    lines = set(UNIT.read_text().splitlines())
    assert {
        "Type=notify",
        "ExecStart=/opt/siteshift/.venv/bin/siteshift run --config /etc/siteshift/siteshift.yaml",
        'ExecReload=/bin/sh -c "kill -HUP $MAINPID"',
        "WatchdogSec=10",
        "StateDirectory=siteshift",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "MemoryDenyWriteExecute=yes",
    } <= lines


def test_what_siteshift_loads_runs_where_memory_is_never_writable_and_executable() -> None:
    """`MemoryDenyWriteExecute` as the kernel's own switch (PR_SET_MDWE, Linux 6.3), with everything that has C inside."""
    code = """
import ctypes, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit("PR_SET_MDWE is not known to this kernel" if ctypes.get_errno() == 22 else "prctl failed")
import mmap
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    sys.exit("the switch does not work")
except PermissionError:
    pass
import sqlite3, ssl, uvloop, httptools, aiohttp, grpc, pydantic, yaml, dns.resolver
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
generate_private_key(SECP256R1())
ssl.create_default_context()
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: 0)
array = (ctypes.c_int * 4)(4, 3, 2, 1)
libc.qsort(array, 4, 4, compare)
async def main():
    import asyncio
    async with aiohttp.ClientSession():
        process = await asyncio.create_subprocess_exec("/bin/true")
        return await process.wait()
sys.exit(uvloop.run(main()))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "PR_SET_MDWE is not known" in run.stderr:
        pytest.skip("this kernel is older than 6.3 and has no switch to try it with")
    assert run.returncode == 0, run.stderr
