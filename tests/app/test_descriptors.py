"""The file descriptors of probes and data planes are set aside before clients get any."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from siteshift.adapters.clients import Descriptors
from siteshift.app.descriptors import LEAST_FOR_CLIENTS, Need, need_of, share_out
from siteshift.config import Surroundings, load_config, resolve
from siteshift.core.model.probe import ProbeKind, ProxyProtocol, TlsCheck

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def soft(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_the_soft_limit_is_raised_as_far_as_needed(limit: None) -> None:
    soft(1_024)
    descriptors = Descriptors()
    share_out(Need(own=3_000, clients=400), descriptors)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 3_400
    assert descriptors.most == 400


def test_a_high_limit_stays_as_it_is_and_clients_get_no_more_than_they_may(limit: None) -> None:
    soft(5_000)
    descriptors = Descriptors()
    share_out(Need(own=100, clients=400), descriptors)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 5_000
    assert descriptors.most == 400


@pytest.mark.parametrize(("own", "most"), [(19_900, 100), (50_000, LEAST_FOR_CLIENTS)])
def test_where_descriptors_are_short_it_is_clients_who_get_fewer(
    limit: None, own: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 20_000))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    descriptors = Descriptors()
    share_out(Need(own=own, clients=400), descriptors)
    assert descriptors.most == most


def test_every_probe_has_room_for_its_twin_and_every_listener_for_its_clients() -> None:
    resolved = resolve(load_config(CONFIG / "three-sites.yaml", Surroundings.IGNORED).config)
    need = need_of(resolved)
    assert need.own > 2 * len(resolved.probes)
    assert need.clients >= 256


def test_a_grpc_check_whose_connection_is_ours_has_room_for_all_of_it() -> None:
    resolved = resolve(load_config(CONFIG / "three-sites.yaml", Surroundings.IGNORED).config)
    plain = next(spec for spec in resolved.probes if spec.kind is ProbeKind.GRPC)
    tunnelled = (replace(plain, tls=TlsCheck()), replace(plain, proxy_protocol=ProxyProtocol.V1))
    before = need_of(replace(resolved, probes=(plain,))).own
    for one in tunnelled:
        assert need_of(replace(resolved, probes=(one,))).own - before >= 2 * 3, "a listener and both ends of a connection to it"
