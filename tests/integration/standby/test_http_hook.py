"""The HTTP hook says precisely what it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from integration.probes.pki import Authority
from servers.hook_server import HookServer, hook_server
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.probe import TlsCheck
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


async def test_over_tls_the_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with hook_server(authority.server("hook.test")) as running:
        plain = hook_at(running.port)
        urls = (plain.activate_url, plain.retire_url, plain.phase_url)
        activate, retire, phase = (url.replace("http:", "https:") for url in urls)
        secure = replace(plain, activate_url=activate, retire_url=retire, phase_url=phase)
        for tls, good in (
            (TlsCheck(ca_file=authority.ca_file, server_name="hook.test"), True),
            (TlsCheck(ca_file=authority.ca_file, server_name="another.test"), False),
            (TlsCheck(server_name="hook.test"), False),
            (TlsCheck(verify=False), True),
        ):
            driver = HttpHookStandby(replace(secure, tls=tls))
            if good:
                await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
            else:
                with pytest.raises(Permanent):
                    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
            await driver.close()
        assert len(running.seen) == 2


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_another_method_may_be_chosen(hook: HookServer, method: Literal["PUT", "GET"]) -> None:
    driver = HttpHookStandby(replace(hook_at(hook.port), method=method))
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    await driver.close()
    assert hook.seen[0][0] == method
    assert len(hook.bodies) == (method == "PUT")


def test_an_unknown_field_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="host"):
        replace(hook_at(9), retire_url="http://{host}/")
