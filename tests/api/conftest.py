"""A node behind its API, new for every test."""

from collections.abc import AsyncIterator

import pytest

from api.served import Served, served


@pytest.fixture
async def node() -> AsyncIterator[Served]:
    async with served() as found:
        yield found
