"""Notifications as an HTTP POST of JSON.

The URL and the headers are often secrets themselves: errors name the scheme and host only. Redirects are not followed,
so that no secret travels on. The header ``Idempotency-Key`` lets the receiver drop a repetition.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

from siteshift.adapters.notify.message import Message
from siteshift.core.model.codes import Severity
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable
from siteshift.ports import Clock

_BUSY = frozenset({408, 425, 429, 503})
"""Statuses by which a server says that it did nothing and may be asked again (RFC 9110, RFC 6585, RFC 8470)."""


class WebhookNotifier:
    """Posts to one URL. Made on the loop it is used on. Raises `Permanent` for a URL that is none."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        node: str,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._shown = _shown(url)
        self._clock = clock
        self._node = node
        self._headers = dict(headers or {})
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def notify(self, *, severity: Severity, code: str, text: str, deadline_ms: int) -> None:
        """Deliver. Raises `Retryable` (not sent), `Permanent` (refused), `Ambiguous` (sent, no clear answer)."""
        message = Message(severity=severity, code=code, text=text, node=self._node, at_ms=self._clock.now_ms())
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                status = await self._post(message)
        except TimeoutError:
            raise self._error(Ambiguous, f"no answer within {deadline_ms} ms") from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError) as error:
            raise self._error(Retryable, f"cannot connect: {error.strerror or type(error).__name__}") from None
        except aiohttp.InvalidURL:
            raise self._error(Permanent, "the URL is not one") from None
        except aiohttp.ServerDisconnectedError:
            raise self._error(Ambiguous, "the connection ended before the answer") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._error(Ambiguous, type(error).__name__) from None
        self._judge(status)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _post(self, message: Message) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, cookie_jar=aiohttp.DummyCookieJar())
        tls: ssl.SSLContext | bool = True if self._tls is None else self._tls
        async with self._session.post(
            self._url,
            json=message.fields(),
            headers={"Idempotency-Key": message.key},
            allow_redirects=False,
            ssl=tls,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            return answer.status

    def _judge(self, status: int) -> None:
        if 200 <= status < 300:
            return
        if status in _BUSY:
            raise self._error(Retryable, f"answered {status}")
        if status >= 500:
            raise self._error(Ambiguous, f"answered {status}")
        raise self._error(Permanent, f"answered {status}")

    def _error(self, kind: type[AdapterError], detail: str) -> AdapterError:
        return kind(detail, system="webhook", operation="notify", target=self._shown)


def _shown(url: str) -> str:
    """Scheme and host: what may be shown of a URL. Raises `Permanent` when it is not one of http or https."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise Permanent("the URL is not one of http or https", system="webhook", operation="configure")
    return f"{parts.scheme}://{host}"
