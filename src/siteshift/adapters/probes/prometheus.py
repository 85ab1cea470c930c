"""Passive evidence from Prometheus: instant queries of one number each (an error ratio, a latency).

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping

import aiohttp

from siteshift.adapters import wire
from siteshift.errors import Permanent, Retryable

MAX_ANSWER_BYTES = 256 * 1024
"""One number is an answer of 200 bytes; this leaves room for warnings and for a query that gives a thousand series."""

READ_BYTES = 16 * 1024

MAX_QUOTED = 160
"""Characters of what came, in a message."""


class PrometheusSource:
    """Asks one Prometheus for the numbers of ``queries`` (label → PromQL).

    ``headers`` may carry a bearer token. `close` when done.
    """

    def __init__(
        self, url: str, queries: Mapping[str, str], *, timeout_ms: int = 2_000, headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._queries = dict(queries)
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1_000)
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def sample(self) -> Mapping[str, float]:
        """Label → value, now. A label is absent when its query has no result or is not a number: no evidence.

        Raises `Retryable` when Prometheus cannot be asked, `Permanent` when it refuses a query or a query gives more
        than one series.
        """
        if self._session is None:
            # An answer is so short that packing it gains nothing, and one that is packed all the same is not unpacked.
            headers = {"Accept-Encoding": "identity", **self._headers}
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=headers, auto_decompress=False)
        session = self._session
        asked = (self._ask(session, label, query) for label, query in self._queries.items())
        values = await asyncio.gather(*asked, return_exceptions=True)
        for value in values:
            if isinstance(value, BaseException):
                raise value
        return {label: value for label, value in zip(self._queries, values, strict=True) if isinstance(value, float)}

    async def _ask(self, session: aiohttp.ClientSession, label: str, query: str) -> float | None:
        try:
            # Not followed: the token goes to the Prometheus that is configured, and to nobody that it names.
            async with session.post(self._url, data={"query": query}, allow_redirects=False) as answer:
                status = answer.status
                if 300 <= status < 400:
                    place = answer.headers.get("Location", "nowhere")[:MAX_QUOTED]
                    raise Permanent(f"status {status}: redirected to {place!r}, which is not followed", **self._about(label))
                document = await _document(answer.content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as problem:
            raise Retryable(str(problem) or type(problem).__name__, **self._about(label)) from problem
        if not isinstance(document, dict) or status >= 500:
            raise Retryable(f"status {status}", **self._about(label))
        if document.get("status") != "success":
            raise Permanent(str(document.get("error", f"status {status}"))[:MAX_QUOTED], **self._about(label))
        return self._number(document.get("data"), label)

    def _number(self, data: object, label: str) -> float | None:
        match data:
            case {"resultType": "scalar", "result": [_, str(text)]}:
                value = self._real(text, label)
            case {"resultType": "vector", "result": []}:
                return None
            case {"resultType": "vector", "result": [{"value": [_, str(text)]}]}:
                value = self._real(text, label)
            case {"resultType": "vector", "result": [*series]}:
                raise Permanent(f"the query gives {len(series)} series, it must give one", **self._about(label))
            case _:
                raise Permanent("the query gives neither a scalar nor a vector", **self._about(label))
        return value if math.isfinite(value) else None

    def _real(self, text: str, label: str) -> float:
        try:
            return wire.real(text)
        except wire.BadWire as problem:
            raise Permanent(f"the query gives no number: {problem}", **self._about(label)) from None

    def _about(self, label: str) -> dict[str, str]:
        return {"system": f"prometheus {self._url}", "operation": "query", "target": label}

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


async def _document(stream: aiohttp.StreamReader) -> object:
    """The JSON of an answer. Raises ValueError (or RecursionError, for ten thousand brackets) for what is none."""
    answer = bytearray()
    while piece := await stream.read(READ_BYTES):
        answer += piece
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return json.loads(answer)
