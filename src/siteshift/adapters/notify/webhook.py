"""Notifications as an HTTP POST of JSON.

The URL and the headers are often secrets themselves: errors name the scheme and host only. Redirects are not followed,
so that no secret travels on. The header ``Idempotency-Key`` lets the receiver drop a repetition.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping

from yarl import URL

from siteshift.adapters.http_exchange import Cause, NoAnswer, Question, exchange
from siteshift.adapters.notify.message import Message
from siteshift.adapters.probes.http_reply import HttpBounds, Wanted
from siteshift.core.model.notice import Notice
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

BOUNDS = HttpBounds()
"""Of the answer only the status is looked at."""
_BUSY = frozenset({408, 425, 429, 503})
"""Statuses by which a server says that it did nothing and may be asked again (RFC 9110, RFC 6585, RFC 8470)."""


class WebhookNotifier:
    """Posts to one URL. Made on the loop it is used on. Raises `Permanent` for a URL that is none."""

    def __init__(
        self,
        url: str,
        *,
        node: str,
        cluster: str = "siteshift",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._shown = _shown(url)
        self._url = URL(url)
        self._node = node
        self._cluster = cluster
        self._headers = dict(headers or {})
        self._tls = tls

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        """Deliver. Raises `Retryable` (not sent), `Permanent` (refused), `Ambiguous` (sent, no clear answer)."""
        message = Message(notice=notice, node=self._node, cluster=self._cluster, at_ms=at_ms)
        question = Question(
            url=self._url,
            method="POST",
            headers={"Content-Type": "application/json", "Idempotency-Key": message.delivery, **self._headers},
            body=json.dumps(message.fields()).encode(),
            tls=self._tls,
        )
        try:
            status, _ = await exchange(question, deadline_ms=deadline_ms, bounds=BOUNDS, wanted=Wanted.HEAD)
        except NoAnswer as error:
            raise self._error(_kind_of(error), str(error)) from None
        self._judge(status)

    async def close(self) -> None:
        """Nothing is kept between messages."""

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


def _kind_of(error: NoAnswer) -> type[AdapterError]:
    if error.cause in (Cause.ASKED_WRONGLY, Cause.UNTRUSTED):
        return Permanent
    return Ambiguous if error.was_sent else Retryable


def _shown(url: str) -> str:
    """Scheme and host: what may be shown of a URL. Raises `Permanent` when it is not one of http or https."""
    try:
        parts = URL(url)
        host = parts.raw_host
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise Permanent("the URL is not one of http or https", system="webhook", operation="configure")
    return f"{parts.scheme}://{host}"
