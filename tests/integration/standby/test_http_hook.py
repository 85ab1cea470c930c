"""The HTTP hook says precisely what it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from servers.hook_server import HookServer
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.core.model.codes import StandbyPhase
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

from .standbys import DEADLINE_MS, DRIVER, MEMBER, SHORT_MS


def hook_at(port: int) -> HttpHook:
    url = f"http://127.0.0.1:{port}"
    return HttpHook(
        id=DRIVER,
        activate_url=url + "/activate/{site}/{name}",
        retire_url=url + "/retire/{site}/{name}",
        phase_url=url + "/phase?member={member}&port={port}",
        headers={"Authorization": "Bearer secret"},
    )


@pytest.fixture
async def driver(hook: HookServer) -> AsyncIterator[HttpHookStandby]:
    running = HttpHookStandby(hook_at(hook.port))
    yield running
    await running.close()


async def test_fields_are_quoted_and_the_member_is_posted(driver: HttpHookStandby, hook: HookServer) -> None:
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    await driver.phase(MEMBER, deadline_ms=DEADLINE_MS)
    (post, get) = hook.seen
    assert post == ("POST", "/activate/gasan/g%209%3B%26%24%28touch%20x%29", "Bearer secret")
    assert get[1] == "/phase?member=web%2Fgasan%2Fg%209%3B%26%24%28touch%20x%29&port=8080"
    assert hook.bodies == [
        {
            "member": MEMBER.id,
            "service": "web",
            "site": "gasan",
            "name": MEMBER.name,
            "address": "127.0.0.1",
            "port": "8080",
        }
    ]


@pytest.mark.parametrize("answer", ["ready", "READY\n", '"ready"', '{{"phase": "ready", "more": 1}}'])
async def test_a_phase_may_be_json_or_text(driver: HttpHookStandby, hook: HookServer, answer: str) -> None:
    hook.answer = answer
    assert await driver.phase(MEMBER, deadline_ms=DEADLINE_MS) is StandbyPhase.READY


@pytest.mark.parametrize("answer", ["", "<html>it works</html>", '{{"state": "ready"}}', "[1]"])
async def test_anything_else_is_no_phase(driver: HttpHookStandby, hook: HookServer, answer: str) -> None:
    hook.answer = answer
    with pytest.raises(Permanent):
        await driver.phase(MEMBER, deadline_ms=DEADLINE_MS)


@pytest.mark.parametrize(
    ("status", "of_post", "of_get"),
    [
        (301, Permanent, Permanent),
        (403, Permanent, Permanent),
        (429, Retryable, Retryable),
        (503, Retryable, Retryable),
        (500, Ambiguous, Retryable),
    ],
)
async def test_what_a_status_means(
    driver: HttpHookStandby,
    hook: HookServer,
    status: int,
    of_post: type[AdapterError],
    of_get: type[AdapterError],
) -> None:
    hook.status = status
    for call, kind in ((driver.activate, of_post), (driver.retire, of_post), (driver.phase, of_get)):
        with pytest.raises(AdapterError) as caught:
            await call(MEMBER, deadline_ms=DEADLINE_MS)
        assert type(caught.value) is kind
        assert (caught.value.target, str(status) in str(caught.value)) == (MEMBER.id, True)


async def test_silence_after_a_post_is_ambiguous(driver: HttpHookStandby, hook: HookServer) -> None:
    hook.hang = True
    with pytest.raises(Ambiguous):
        await driver.activate(MEMBER, deadline_ms=SHORT_MS)
    with pytest.raises(Retryable):
        await driver.phase(MEMBER, deadline_ms=SHORT_MS)


async def test_nobody_listening_is_retryable() -> None:
    driver = HttpHookStandby(hook_at(9))
    with pytest.raises(Retryable):
        await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    await driver.close()


def test_an_unknown_field_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="host"):
        replace(hook_at(9), retire_url="http://{host}/")
