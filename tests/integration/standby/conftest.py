"""Hooks against a small HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from servers.hook_server import HookServer, hook_server


@pytest.fixture
async def hook() -> AsyncIterator[HookServer]:
    async with hook_server() as running:
        yield running
