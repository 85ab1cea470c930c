"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

TYPE = "application/problem+json"


def problem(status: int, code: str, title: str, detail: str = "", **more: Any) -> web.Response:
    """One problem. ``code`` is stable; ``type`` is a URN made of it, for it needs no server to be unique."""
    document = {"type": f"urn:siteshift:problem:{code}", "title": title, "status": status, "code": code}
    if detail:
        document["detail"] = detail
    return web.Response(
        status=status, content_type=TYPE, text=json.dumps({**document, **more}, ensure_ascii=False) + "\n"
    )


def reply(document: Any, status: int = 200) -> web.Response:
    """A plain JSON answer."""
    return web.Response(
        status=status, content_type="application/json", text=json.dumps(document, ensure_ascii=False) + "\n"
    )
