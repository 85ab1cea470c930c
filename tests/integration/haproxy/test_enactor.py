"""A real HAProxy does what the steering says, and says what it does."""

from __future__ import annotations

import asyncio

from servers.haproxy_server import HaproxyServer, until
from servers.web_members import WebMember, get, tally

from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.core.model.codes import EnactOutcome

from .conftest import WallClock
from .planes import ANYANG, GASAN, PANGYO, WEB, global_plane, mapped, steering

DEADLINE_MS = 10_000


async def test_weights_deliver_the_shares_to_real_requests(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    result = await enactor.enact(steering(1, {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result.detail
    counts = await tally(lb.port, 200)
    assert {name: counts[name] for name in ("p1", "g1", "a1")} == {"p1": 50, "g1": 30, "a1": 20}
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.generation == 1
    assert back.shares_bp[WEB] == {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
    assert back.drifts == ()
