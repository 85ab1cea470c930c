"""A HAProxy before six members at three sites, and steerings for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from servers.haproxy_server import HaproxyServer, haproxy
from servers.web_members import WebMember, web_members

NAMES = ("p1", "p2", "g1", "g2", "a1", "a2")


class WallClock:
    """`ports.Clock` for tests of real servers."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
async def members() -> AsyncIterator[dict[str, WebMember]]:
    async with web_members(NAMES) as running:
        yield running


def backend(members: dict[str, WebMember], name: str = "web", *options: str, extra: str = "") -> str:
    """A backend section with one server per member."""
    lines = [f"backend {name}", *(f"  {option}" for option in options)]
    lines += [f"  server {member.name} 127.0.0.1:{member.port} weight 10 {extra}" for member in members.values()]
    return "\n".join(lines) + "\n"


@pytest.fixture
async def lb(members: dict[str, WebMember], tmp_path: Path) -> AsyncIterator[HaproxyServer]:
    """Round robin over all six members, no health checks."""
    async with haproxy(tmp_path, backend(members)) as server:
        yield server
