"""What the node says is read as milestones, shares and events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import web

from lab.waiting import until
from siteshift.lab.feed import Interpreter, Message, interpret, node_messages
from siteshift.lab.measure import DIAGNOSIS, HIGHLIGHT, NOTE, SUSPICION, WRITE


def message(at_ms: int, kind: str, **data: object) -> Message:
    return {"sequence": at_ms, "at_ms": at_ms, "kind": kind, "data": data}


def life(at_ms: int, to: str, because: str | None = None) -> Message:
    return message(at_ms, "life", service="shop", site="pangyo", **{"from": "serving", "to": to, "because": because})


def decision(at_ms: int, generation: int, before: dict[str, int], after: dict[str, int]) -> Message:
    service = {"service": "shop", "before_bp": before, "after_bp": after}
    return message(at_ms, "decision", generation=generation, digest="d", services=[service])


def belief(at_ms: int, *diagnoses: tuple[str, str, str | None]) -> Message:
    named = [
        {"code": code, "site": site, "service": "shop", "member": member, "reason": "refused"} for code, site, member in diagnoses
    ]
    return message(at_ms, "belief", diagnoses=named, blind=False)


NOMINAL = {"pangyo": 5_000, "gasan": 3_000, "anyang": 2_000}
MOVED = {"pangyo": 0, "gasan": 5_000, "anyang": 5_000}
A_CRASH = [
    life(1_000, "suspect"),
    decision(1_001, 2, NOMINAL, NOMINAL),
    message(1_002, "enacted", enactor="dns", generation=2, outcome="applied", detail=""),
    message(1_100, "standby_activate", member="shop/gasan/gs1"),
    belief(1_400, ("SITE_DOWN", "pangyo", None), ("MEMBER_DOWN", "pangyo", "shop/pangyo/p1")),
    life(1_401, "draining", "dead"),
    decision(1_402, 3, NOMINAL, MOVED),
    message(1_410, "enacted", enactor="dns", generation=3, outcome="applied", detail=""),
    belief(1_500, ("SITE_DOWN", "pangyo", None)),
    message(2_600, "standby_report", member="shop/gasan/gs1", phase="ready"),
    message(2_700, "notice", severity="allowed", code="SITE_DOWN", text="refused"),
    message(2_800, "input", event={}),
]


def kinds(interpreter: Interpreter, kind: str) -> list[int]:
    return [event.at_ms for event in interpreter.events if event.kind == kind]


def test_suspicion_diagnosis_and_the_first_write_that_moves_are_found() -> None:
    found = interpret(A_CRASH)
    assert kinds(found, SUSPICION) == [1_000]
    assert kinds(found, DIAGNOSIS) == [1_400]
    assert kinds(found, WRITE) == [1_410]
    assert kinds(found, HIGHLIGHT) == [1_401]


def test_a_write_that_moves_nothing_or_failed_is_only_noted() -> None:
    found = interpret([decision(1, 3, NOMINAL, MOVED), message(2, "enacted", enactor="dns", generation=3, outcome="failed")])
    assert kinds(found, WRITE) == []
    assert 2 in kinds(found, NOTE)
    assert 1_002 in kinds(interpret(A_CRASH), NOTE)


def test_desired_shares_follow_the_decisions() -> None:
    assert [dict(entry.shares_bp) for entry in interpret(A_CRASH).desired] == [MOVED]


def test_the_first_decision_has_no_before_and_moves_nothing() -> None:
    first = message(1, "decision", generation=1, digest="d", services=[{"service": "shop", "after_bp": NOMINAL}])
    found = interpret([first, message(2, "enacted", enactor="dns", generation=1, outcome="applied")])
    assert kinds(found, WRITE) == []
    assert dict(found.desired[0].shares_bp) == NOMINAL


def test_standbys_and_notices_are_told_with_their_site() -> None:
    found = interpret(A_CRASH)
    again = message(2_650, "standby_report", member="shop/gasan/gs1", phase="ready")
    found.take(again)
    assert [event.site for event in found.events if "standby" in event.text] == ["gasan", "gasan"]
    assert any(event.text.startswith("SITE_DOWN: refused") for event in found.events)


async def test_messages_are_read_from_a_stream_of_server_sent_events(tmp_path: Path) -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        for number, said in enumerate(A_CRASH):
            await response.write(f"id: {number}\nevent: {said['kind']}\ndata: {json.dumps(said)}\n\n".encode())
        return response

    app = web.Application()
    app.router.add_get("/v1/events", events)
    runner = web.AppRunner(app)
    await runner.setup()
    socket = tmp_path / "api.sock"
    await web.UnixSite(runner, str(socket)).start()
    heard: list[Message] = []

    async def listen() -> None:
        heard.extend([said async for said in node_messages(socket)])

    task = asyncio.create_task(listen())
    await until(task.done, "the stream ends")
    await task
    await runner.cleanup()
    assert heard == A_CRASH
