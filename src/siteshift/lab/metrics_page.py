"""What a site says of itself: a page of counters in the text format of Prometheus, on an address of its own.

It lives in the site's process, so it dies, hangs and is cut off with it: then nobody knows what the site serves.
Only users' work counts; health pages and the node's own journeys are no traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from siteshift.lab.member import Counters
from siteshift.lab.spec import SERVICE

REQUESTS = "lab_requests_total"
ERRORS = "lab_request_errors_total"
QUESTION_BYTES = 4_096
QUESTION_S = 2.0


def page_text(members: Iterable[Counters]) -> str:
    """The page: how much work all members took on, and how much of it failed."""
    work = failed = 0
    for counters in members:
        work += counters.work
        failed += counters.work_failed
    return (
        f"# HELP {REQUESTS} Requests users sent to this site.\n# TYPE {REQUESTS} counter\n"
        f'{REQUESTS}{{service="{SERVICE}"}} {work}\n'
        f"# HELP {ERRORS} Of those, the ones that failed here.\n# TYPE {ERRORS} counter\n"
        f'{ERRORS}{{service="{SERVICE}"}} {failed}\n'
    )


async def serve_page(address: str, port: int, members: Callable[[], Iterable[Counters]]) -> asyncio.Server:
    """Answer every request with the page."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(QUESTION_S):
                await reader.readuntil(b"\r\n\r\n")
            body = page_text(members()).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, address, port, limit=QUESTION_BYTES)
