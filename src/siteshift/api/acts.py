"""``POST /v1/drain`` and its kin: who may, what exactly, once; then the core decides."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from siteshift.api.answers import respond
from siteshift.api.bodies import ACTS, ApproveBody, Body, RevokeBody
from siteshift.api.connections import body_of
from siteshift.api.idempotency import Keys, fingerprint_of
from siteshift.api.identity import ASKER, Identity, Rank
from siteshift.api.problems import problem
from siteshift.api.shown import Shown
from siteshift.core.messages.requests import OperatorRequest
from siteshift.runtime.node import Node

NEEDED = {"approve": Rank.APPROVER}
"""Acts that ask for more than an operator."""

KEY_LENGTH = 200

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True, kw_only=True)
class Acts:
    """Handlers of everything that acts."""

    node: Node
    shown: Shown = field(default_factory=Shown)
    keys: Keys = field(default_factory=Keys)
    _counter: itertools.count[int] = field(default_factory=itertools.count)

    def handler(self, name: str) -> Handler:
        """The handler of one act."""
        body_type = ACTS[name]

        async def handle(request: web.Request) -> web.Response:
            return await self._handle(request, body_type)

        return handle

    async def _handle(self, request: web.Request, body_type: type[Body]) -> web.Response:
        identity = request[ASKER]
        key = request.headers.get("Idempotency-Key", "")
        raw = await body_of(request, most_bytes=self.node.equipment.limits.api_body_bytes)
        if len(key) > KEY_LENGTH:
            return problem(400, "BAD_REQUEST", "the idempotency key is too long", f"use at most {KEY_LENGTH} characters")
        if not key:
            return await self._once(identity, key, request.path, raw, body_type)
        async with self.keys.turn(identity.person, key):
            return await self._once(identity, key, request.path, raw, body_type)

    async def _once(self, identity: Identity, key: str, path: str, raw: bytes, body_type: type[Body]) -> web.Response:
        fingerprint = fingerprint_of(path, raw)
        now_ms = self.node.clock.now_ms()
        kept = self.keys.find(identity.person, key, now_ms) if key else None
        if kept is not None:
            if kept.fingerprint != fingerprint:
                return problem(422, "KEY_REUSED", "idempotency key used for another request")
            return kept.again()
        try:
            body = body_type.model_validate_json(raw or b"{}")
        except ValidationError as error:
            return _invalid(error, body_type)
        if isinstance(body, ApproveBody | RevokeBody) and body.digest is None:
            return problem(400, "DIGEST_MISSING", "which goal? its digest is missing", "`GET /v1/approvals` lists them")
        if not key and not body.dry_run:
            detail = "send an Idempotency-Key header (a UUID): a repeated request is then carried out once"
            return problem(400, "KEY_MISSING", "idempotency key missing", detail)
        response = await self._carry_out(identity, body)
        if key and response.status < 500:
            self.keys.keep(identity.person, key, fingerprint, response, now_ms)
        return response

    async def _carry_out(self, identity: Identity, body: Body) -> web.Response:
        node, now_ms = self.node, self.node.clock.now_ms()
        asking = OperatorRequest(
            id=f"{uuid.uuid4().hex[:12]}-{next(self._counter)}",
            person=identity.person,
            request=body.request(),
            reason=body.reason,
            ticket=body.ticket,
            expires_ms=now_ms + body.expires_in_s * 1000 if body.expires_in_s else None,
            life_ms=body.expires_in_s * 1000 if body.expires_in_s else None,
            digest=body.digest,
            shown=self.shown.of(body.digest, now_ms),
            rank=identity.rank.name.lower(),
            via=identity.via,
            peer=identity.peer,
        )
        if body.dry_run:
            looked = await node.look(asking)
            self.shown.note(looked.offer, now_ms)
            return respond(looked, now_ms, is_dry_run=True)
        try:
            answer = await node.ask(asking)
        except TimeoutError:
            detail = "whether the request counts is not known; ask for the status, or repeat it with the same key"
            return problem(504, "NO_ANSWER", "the controller did not answer in time", detail)
        self.shown.note(answer.offer, now_ms)
        return respond(answer, now_ms, is_dry_run=False)


def _invalid(error: ValidationError, body_type: type[Body]) -> web.Response:
    errors = [
        {
            "field": ".".join(str(part) for part in entry["loc"]) or "(body)",
            "message": _said(entry),
            "remedy": _remedy(entry["type"], body_type),
        }
        for entry in error.errors(include_url=False, include_input=False)
    ]
    text = "; ".join(f"{entry['field']}: {entry['message']}" for entry in errors)
    return problem(400, "BAD_REQUEST", "the body does not fit", text, errors=errors)


def _said(entry: ErrorDetails) -> str:
    """What is wrong with a value, in words: a pattern is for machines, and stands in the schema."""
    if entry["type"] == "string_pattern_mismatch":
        return "is no digest, which has 16 hexadecimal digits" if "digest" in entry["loc"] else "has not the form it needs"
    return entry["msg"]


def _remedy(kind: str, body_type: type[Body]) -> str:
    match kind:
        case "missing":
            return "add it"
        case "extra_forbidden":
            return f"remove it; known are {', '.join(body_type.model_fields)}"
        case "json_invalid":
            return "send a JSON object"
        case _:
            return f"see #/components/schemas/{body_type.__name__} of /v1/openapi.json"
