"""The OpenAPI 3.1 document, made from the same tables the routes are made from."""

from __future__ import annotations

from typing import Any

from siteshift.api.bodies import ACTS, Body

_PROBLEM = {
    "description": "A problem document (RFC 9457) with a stable `code`",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


_NUMBER = {"type": "integer", "minimum": 0}
_WORDS = {"type": "array", "items": {"type": "string"}}
QUERIES: dict[str, dict[str, Any]] = {
    "/v1/why/{site}": {"at_ms": _NUMBER},
    "/v1/journal": {
        "since_ms": _NUMBER,
        "until_ms": _NUMBER,
        "after": _NUMBER,
        "limit": {"type": "integer", "minimum": 1, "maximum": 1_000},
        "kind": _WORDS,
        "without": _WORDS,
    },
}
"""What may follow the question mark of a path; anything else there is refused, as an unknown field of a body is."""
OPEN = frozenset({"/healthz", "/readyz"})
"""Answered to anybody: load balancers and systemd ask these."""


def document(version: str, looks: dict[str, str]) -> dict[str, Any]:
    """The whole document. ``looks`` is path → summary of everything that only looks."""
    schemas: dict[str, Any] = {"Problem": _problem_schema(), "Answer": _answer_schema()}
    paths: dict[str, Any] = {path: {"get": _look(path, summary)} for path, summary in looks.items()}
    for name, body in ACTS.items():
        schemas[body.__name__] = _schema_of(body)
        paths[f"/v1/{name}"] = {"post": _act(name, body)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "siteshift",
            "version": version or "0",
            "summary": "Multi-datacentre failover traffic controller",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
        "security": [{"token": []}, {"certificate": []}, {}],
    }


def _schema_of(body: type[Body]) -> dict[str, Any]:
    return body.model_json_schema(ref_template="#/components/schemas/{model}")


def _look(path: str, summary: str) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in QUERIES.get(path, {}).items()
    ]
    media = {"/v1/events": "text/event-stream", "/metrics": "text/plain"}.get(path, "application/json")
    opened: dict[str, Any] = {"security": []} if path in OPEN else {}
    return {
        **opened,
        "summary": summary,
        "operationId": "get_" + path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace(".", "_"),
        "parameters": parameters,
        "responses": {
            "200": {"description": "As asked", "content": {media: {"schema": {}}}},
            "4XX": _PROBLEM,
        },
    }


def _act(name: str, body: type[Body]) -> dict[str, Any]:
    return {
        "summary": (body.__doc__ or name).strip(),
        "operationId": "post_" + name.replace("-", "_"),
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Required unless `dry_run`: a repeated request is carried out once.",
                "schema": {"type": "string", "maxLength": 200},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}},
        },
        "responses": {
            "200": {
                "description": "Granted, or a dry run",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
            },
            "400": _PROBLEM,
            "401": _PROBLEM,
            "403": _PROBLEM,
            "409": {**_PROBLEM, "description": "Confirm it by its `digest`, or wait for others to approve it"},
            "422": {**_PROBLEM, "description": "Refused by a rule"},
        },
    }


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
        "additionalProperties": True,
    }


def _answer_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["severity", "findings", "plans"],
        "properties": {
            "severity": {"enum": ["allowed", "needs_approval", "refused"]},
            "findings": {"type": "array", "items": {"type": "object"}},
            "plans": {"type": "array", "items": {"type": "object"}},
            "override": {"type": ["object", "null"]},
            "offer": {"type": ["object", "null"]},
            "approved_by": _WORDS,
            "waits_until_ms": {"type": ["integer", "null"]},
            "note": {"type": "string"},
            "dry_run": {"type": "boolean"},
        },
    }
