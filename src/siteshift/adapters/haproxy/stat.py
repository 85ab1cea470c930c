"""``show stat`` of servers, read fast: the counters traffic is measured by.

What HAProxy 2.6 counts per server (tried with answers, 500s, resets, hangs and refused connections): ``stot`` every
attempt, ``wretr`` those that were repetitions, ``wredis`` requests it failed that went on to another server,
``hrsp_5xx`` its own 5xx answers and ``hrsp_1xx`` to ``hrsp_4xx`` its others, when they are complete, ``econ`` requests
that ended without a connection, ``eresp`` answers that never came. The 502, 503 or 504 HAProxy itself gives the client
for those is *not* in ``hrsp_5xx``. Times are means of the last 1,024 requests.

Under ``mode tcp`` a session is all that is seen: ``stot`` counts it when it begins, the ``hrsp`` columns stay empty, and
``rtime`` is 0. Whether its user was answered nobody counts there.
"""

from __future__ import annotations

from typing import NamedTuple

from siteshift.adapters import wire
from siteshift.adapters.haproxy.rows import Table, numbers
from siteshift.adapters.haproxy.runtime_api import TABLE_BYTES, RuntimeApi

HTTP = "http"
SHOW_SERVERS = "show stat -1 4 -1"
"""All proxies, servers only, all of them."""


class ServerCounters(NamedTuple):
    """Counters since HAProxy started (or they were cleared), and recent mean times."""

    attempts: int
    retries: int
    redispatches: int
    answers_1xx: int
    answers_2xx: int
    answers_3xx: int
    answers_4xx: int
    answers_5xx: int
    connect_errors: int
    response_errors: int
    queue_ms: int
    connect_ms: int
    response_ms: int
    mode: str = "http"

    def is_after(self, before: ServerCounters) -> bool:
        """Whether all counters only grew since: none was reset in between."""
        grew = zip(self.growing, before.growing, strict=True)
        return all(now >= earlier for now, earlier in grew)

    @property
    def growing(self) -> tuple[int, ...]:
        """What only grows as long as HAProxy runs: all but the times."""
        answers = (self.answers_1xx, self.answers_2xx, self.answers_3xx, self.answers_4xx, self.answers_5xx)
        return (self.attempts, self.retries, self.redispatches, *answers, self.connect_errors, self.response_errors)

    @property
    def tells_answers(self) -> bool:
        """Whether answers are counted; of a session of another protocol only its begin is seen."""
        return self.mode == HTTP

    @property
    def requests(self) -> int:
        """Requests that were given to the server, however often it was tried."""
        return self.attempts - self.retries

    @property
    def answered(self) -> int:
        """Requests it answered, and not with a 5xx."""
        return self.answers_1xx + self.answers_2xx + self.answers_3xx + self.answers_4xx

    @property
    def errors(self) -> int:
        """Requests the server failed, also where another one saved them."""
        return self.redispatches + self.answers_5xx + self.connect_errors + self.response_errors

    @property
    def latency_ms(self) -> int:
        """From the request until the answer begins."""
        return self.queue_ms + self.connect_ms + self.response_ms


_ANSWERS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx")
COLUMNS = ("stot", "wretr", "wredis", *_ANSWERS, "econ", "eresp", "qtime", "ctime", "rtime")

Counters = dict[tuple[str, str], ServerCounters]
"""By backend and server name."""


async def ask(api: RuntimeApi, *, deadline_ms: int) -> str:
    """The answer `parse` reads: the one question that every meter and evidence source asks."""
    (text,) = await api.ask([SHOW_SERVERS], deadline_ms=deadline_ms, at_most_bytes=TABLE_BYTES)
    return text


async def parse(text: str, *, system: str) -> Counters:
    """Every server of the answer. Raises `AdapterError` when a column is missing or a row does not fit."""
    table = Table(SHOW_SERVERS, ",", system=system)
    header = text[: max(text.find("\n"), 0)]
    table.header(header, ("pxname", "svname", "mode", *COLUMNS))
    counters: Counters = {}
    try:
        async for rows in table.rows(text, len(header) + 1):
            for backend, server, mode, *fields in rows:
                counters[backend, server] = ServerCounters._make((*numbers(fields), mode))
    except wire.BadWire as error:
        raise table.odd(str(error)) from error
    return counters
