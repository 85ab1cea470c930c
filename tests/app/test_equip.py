"""Every example configuration can be equipped: its adapters are made, and let go again."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby
from siteshift.app.equip import Workshop
from siteshift.app.secrets import secrets_of
from siteshift.config import Resolved, Surroundings, load_config, resolve
from siteshift.config.setups import AgentCheckSetup, EmbeddedDnsSetup, PlaneSetup
from siteshift.core.model.units import DriverId, EnactorId
from siteshift.errors import SiteshiftError
from siteshift.runtime.clock import SystemClock

EXAMPLES = Path(__file__).parents[2] / "config"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml") if "siteshift" not in path.stem and "prom" not in path.stem)
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture
def secret_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where every secret of the examples is found: files and systemd credentials."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    for name in ("SITESHIFT_TSIG", "SITESHIFT_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    yield folder


def example(name: str, folder: Path) -> Resolved:
    """An example with its secrets in ``folder``, listening on free ports of loopback."""
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    for reference in re.findall(r"(?:file:/etc/siteshift/|credential:)([A-Za-z0-9./-]+)", text):
        path = folder / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("https://page.example.net/x" if reference == "oncall-url" else SECRET, encoding="utf-8")
        path.chmod(0o600)
    copy = folder / f"{name}.yaml"
    copy.write_text(text.replace("/etc/siteshift/", f"{folder}/"), encoding="utf-8")
    resolved = resolve(load_config(copy, Surroundings.IGNORED).config)
    return replace(resolved, planes=tuple(on_loopback(plane) for plane in resolved.planes))


def on_loopback(plane: PlaneSetup) -> PlaneSetup:
    match plane:
        case EmbeddedDnsSetup():
            return replace(plane, listen=(("127.0.0.1", 0),))
        case AgentCheckSetup():
            return replace(plane, listen=("127.0.0.1", 0))
        case _:
            return plane


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_is_equipped_with_everything_it_names(name: str, secret_folder: Path) -> None:
    resolved = example(name, secret_folder)
    workshop = Workshop(clock=SystemClock())
    try:
        equipment = await workshop.equip(resolved, None)
        assert set(equipment.enactors) == {plane.id for plane in resolved.planes}
        assert set(equipment.drivers) == {driver.id for driver in resolved.drivers}
        assert [entry.id for entry in equipment.meters] == [entry.id for entry in resolved.meters]
        assert [entry.id for entry in equipment.evidence] == [entry.id for entry in resolved.evidence]
        assert len(equipment.notifiers) == len(resolved.notifiers)
    finally:
        await workshop.close()


async def test_what_the_configuration_says_of_times_and_bounds_arrives(secret_folder: Path) -> None:
    resolved = example("three-sites", secret_folder)
    drivers = tuple(replace(driver, timeout_ms=1_234) for driver in resolved.drivers)
    meters = tuple(replace(meter, every_ms=700, timeout_ms=900) for meter in resolved.meters)
    limits = replace(resolved.limits, event_queue=111, api_subscribers=3, enact_timeout_ms=4_321)
    workshop = Workshop(clock=SystemClock())
    try:
        equipment = await workshop.equip(replace(resolved, drivers=drivers, meters=meters, limits=limits), None)
        assert set(equipment.driver_timeout_ms.values()) == {1_234}
        assert {(entry.every_ms, entry.timeout_ms) for entry in equipment.meters} == {(700, 900)}
        assert {entry.every_ms for entry in equipment.evidence} == {1_000, 15_000}
        bounds = equipment.limits
        assert (bounds.event_queue, bounds.api_subscribers, bounds.enact_timeout_ms) == (111, 3, 4_321)
        assert equipment.setup.metered == {"login", "chat"}
    finally:
        await workshop.close()


async def test_what_did_not_change_is_kept_and_what_did_is_changed_in_place(secret_folder: Path) -> None:
    resolved = example("three-sites", secret_folder)
    workshop = Workshop(clock=SystemClock())
    try:
        before = await workshop.equip(resolved, None)
        again = await workshop.equip(resolved, None)
        assert all(again.enactors[name] is plane for name, plane in before.enactors.items())
        assert all(again.drivers[name] is driver for name, driver in before.drivers.items())
        dns = before.enactors[EnactorId("dns")]
        assert isinstance(dns, EmbeddedDns)
        where = dns.addresses
        services = tuple(replace(s, names=("new.gslb.example.com",)) if s.id == "chat" else s for s in resolved.topology.services)
        after = await workshop.equip(replace(resolved, topology=replace(resolved.topology, services=services)), None)
        await workshop.put_away()
        assert after.enactors[EnactorId("dns")] is dns
        assert dns.addresses == where
    finally:
        await workshop.close()


async def test_a_new_secret_in_the_old_place_makes_its_driver_anew(secret_folder: Path) -> None:
    resolved = example("three-sites", secret_folder)
    workshop = Workshop(clock=SystemClock())
    try:
        before = await workshop.equip(resolved, None)
        (secret_folder / "tokens" / "standby").write_text("another-secret-0123456789", encoding="utf-8")
        after = await workshop.equip(resolved, None)
        await workshop.put_away()
        assert after.drivers[DriverId("cloud")] is not before.drivers[DriverId("cloud")]
        assert isinstance(after.drivers[DriverId("lb-gasan")], HaproxyServerStandby)
        assert after.drivers[DriverId("lb-gasan")] is before.drivers[DriverId("lb-gasan")]
    finally:
        await workshop.close()


async def test_a_data_plane_that_cannot_be_had_leaves_all_others_as_they_were(secret_folder: Path) -> None:
    """The DNS is changed first, the agent check fails: the DNS goes back, and the old agent check answers again."""
    resolved = example("three-sites", secret_folder)
    workshop = Workshop(clock=SystemClock())
    try:
        before = await workshop.equip(resolved, None)
        agent = before.enactors[EnactorId("lb-anyang")]
        assert isinstance(agent, AgentCheckEnactor)
        services = resolved.topology.services[1:]
        planes = tuple(
            replace(plane, listen=("192.0.2.77", 1)) if isinstance(plane, AgentCheckSetup) else plane
            for plane in resolved.planes
        )
        topology = replace(resolved.topology, services=services)
        with pytest.raises(SiteshiftError, match="lb-anyang"):
            await workshop.equip(replace(resolved, topology=topology, planes=planes), None)
        dns = before.enactors[EnactorId("dns")]
        assert isinstance(dns, EmbeddedDns)
        assert set((await dns.read_back(deadline_ms=1_000)).shares_bp) == {"login", "chat"}
        assert agent.port > 0
        again = await workshop.equip(resolved, None)
        assert again.enactors[EnactorId("lb-anyang")] is agent
    finally:
        await workshop.close()


def test_every_secret_of_a_configuration_is_known_to_the_redaction(secret_folder: Path) -> None:
    example("three-sites", secret_folder)
    copy = secret_folder / "three-sites.yaml"
    text = copy.read_text(encoding="utf-8")
    (secret_folder / "probe-header").write_text("probe-header-secret", encoding="utf-8")
    header = f"path: /healthz\n  secret_headers: {{Authorization: 'file:{secret_folder}/probe-header'}}"
    copy.write_text(text.replace("path: /healthz", header, 1), encoding="utf-8")
    found = secrets_of(load_config(copy, Surroundings.IGNORED).config)
    names = {name.rpartition("/")[2].rpartition(":")[2] for name in found}
    assert names == {"tls.key", "grafana", "release-robot", "tsig.key", "standby", "oncall-url", "probe-header"}
    assert found[f"file:{secret_folder}/probe-header"] == "probe-header-secret"
