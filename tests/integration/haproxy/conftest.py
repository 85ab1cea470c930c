"""A HAProxy before six members at three sites, and steerings for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy
from servers.web_members import WebMember, web_members

from .planes import ALL, WallClock, backend


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
async def members() -> AsyncIterator[dict[str, WebMember]]:
    async with web_members(ALL) as running:
        yield running


@pytest.fixture(params=list(HaproxyVersion))
def version(request: pytest.FixtureRequest) -> HaproxyVersion:
    """Every test that takes it runs with each version."""
    return HaproxyVersion(request.param)


@pytest.fixture
async def lb(members: dict[str, WebMember], tmp_path: Path, version: HaproxyVersion) -> AsyncIterator[HaproxyServer]:
    """Round robin over all six members, no health checks."""
    async with haproxy(tmp_path, backend(members), version) as server:
        yield server
