"""The contract of `ports.Notifier`: memory, log, command and webhook tell the same; then each one's own faults."""

import asyncio
import json
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from siteshift.adapters.memory.notify import MemoryNotifier
from siteshift.adapters.notify.command import CommandNotifier
from siteshift.adapters.notify.log import LogNotifier
from siteshift.adapters.notify.message import Message
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.core.model.notice import AlertSeverity, Notice
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable
from siteshift.ports import Notifier

PATIENCE_MS = 30_000
AT_MS = 1_700_000_000_000
INFO, WARNING, CRITICAL = AlertSeverity.INFO, AlertSeverity.WARNING, AlertSeverity.CRITICAL
Told = Callable[[], list[tuple[str, str, str]]]


def notice(severity: AlertSeverity, code: str, text: str) -> Notice:
    return Notice(severity=severity, code=code, text=text)


@dataclass
class Receiver:
    """A real HTTP server that answers as told and remembers what it was sent."""

    status: int = 204
    silent: bool = False
    hang_up: bool = False
    got: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.hang_up and request.transport is not None:
            request.transport.abort()
        if self.silent:
            await self.gone.wait()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiving = Receiver()
    app = web.Application()
    app.router.add_post("/hook/s3cret-path", receiving.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiving.url = f"http://127.0.0.1:{port}/hook/s3cret-path"
    yield receiving
    receiving.gone.set()
    await runner.cleanup()


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(params=["memory", "log", "command", "webhook"])
async def notifier(
    request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver
) -> AsyncIterator[tuple[Notifier, Told]]:
    match request.param:
        case "memory":
            memory = MemoryNotifier()
            yield memory, lambda: [(m.notice.severity.value, m.notice.code, m.notice.text) for m in memory.sent]
        case "log":
            with structlog.testing.capture_logs() as lines:
                yield (
                    LogNotifier(node="gasan-1"),
                    lambda: [(line["severity"], line["code"], line["text"]) for line in lines],
                )
        case "command":
            out = tmp_path / "told"
            command = script(tmp_path / "tell", f'read -r line; printf "%s\\n" "$line" >> {out}')
            yield CommandNotifier([command], node="gasan-1"), lambda: facts(out.read_text().splitlines())
        case _:
            webhook = WebhookNotifier(receiver.url, node="gasan-1")
            yield webhook, lambda: facts([json.dumps(body) for body in receiver.got])
            await webhook.close()


def facts(lines: list[str]) -> list[tuple[str, str, str]]:
    bodies = [json.loads(line) for line in lines]
    return [(body["severity"], body["code"], body["text"]) for body in bodies]


async def test_severity_code_and_text_arrive_in_order(notifier: tuple[Notifier, Told]) -> None:
    tell, told = notifier
    await tell.notify(notice(INFO, "SITE_DOWN", "판교 left"), at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    await tell.notify(
        notice(CRITICAL, "LAST_SERVING_SITE", '"quotes"; $(touch x)\nline 2'), at_ms=AT_MS, deadline_ms=PATIENCE_MS
    )
    assert told() == [
        ("info", "SITE_DOWN", "판교 left"),
        ("critical", "LAST_SERVING_SITE", '"quotes"; $(touch x)\nline 2'),
    ]


async def test_several_at_once_all_arrive(notifier: tuple[Notifier, Told]) -> None:
    tell, told = notifier
    sending: list[Awaitable[None]] = [
        tell.notify(notice(WARNING, "VELOCITY", str(n)), at_ms=AT_MS, deadline_ms=PATIENCE_MS)
        for n in range(5)
    ]
    await asyncio.gather(*sending)
    assert sorted(text for _, _, text in told()) == list("01234")


async def test_raise_and_clear_share_a_key_and_nothing_else_has_it(receiver: Receiver) -> None:
    """A pager opened one incident for the raise and another one for the clear, and closed neither."""
    raised = Notice(severity=CRITICAL, code="SITE_DOWN", text="four of four refuse", site=SiteId("pangyo"), since_ms=AT_MS - 900)
    changes: list[dict[str, Any]] = [{"site": SiteId("gasan")}, {"service": ServiceId("shop")}, {"code": "SITE_DEGRADED"}]
    others = [replace(raised, **change) for change in changes]
    webhook = WebhookNotifier(receiver.url, node="gasan-1", cluster="prod")
    for told in (raised, raised.resolved(), *others):
        await webhook.notify(told, at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    elsewhere = WebhookNotifier(receiver.url, node="gasan-1", cluster="staging")
    await elsewhere.notify(raised, at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    first, second, *rest = receiver.got
    assert first["key"] == second["key"] == first["groupKey"]
    assert first["delivery"] != second["delivery"]
    assert len({str(body["key"]) for body in (first, *rest)}) == 5
    assert (first["state"], second["state"]) == ("firing", "resolved")


async def test_a_webhook_has_the_shape_of_alertmanager_s_and_says_who_where_since_when_and_what_to_do(receiver: Receiver) -> None:
    told = Notice(
        severity=CRITICAL, code="SITE_DOWN", text="four of four refuse", site=SiteId("pangyo"), since_ms=AT_MS - 900
    )
    webhook = WebhookNotifier(receiver.url, node="gasan-1", cluster="prod")
    for one in (told, told.resolved()):
        await webhook.notify(one, at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    firing, resolved = receiver.got
    assert {"version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels"} < firing.keys()
    assert {"commonAnnotations", "externalURL", "alerts"} < firing.keys()
    (alert,), (over,) = firing["alerts"], resolved["alerts"]
    assert alert["labels"] == {
        "alertname": "SITE_DOWN", "severity": "critical", "cluster": "prod", "node": "gasan-1", "site": "pangyo"
    }
    assert (alert["status"], alert["startsAt"], alert["endsAt"]) == (
        "firing", "2023-11-14T22:13:19.100Z", "0001-01-01T00:00:00Z"
    )
    assert (over["status"], over["startsAt"], over["endsAt"]) == (
        "resolved", "2023-11-14T22:13:19.100Z", "2023-11-14T22:13:20.000Z"
    )
    assert alert["fingerprint"] == over["fingerprint"]
    assert "`siteshift why pangyo`" in alert["annotations"]["description"] == firing["todo"]
    assert resolved["todo"] == ""
    assert (firing["severity"], firing["site"], firing["since_ms"]) == ("critical", "pangyo", AT_MS - 900)
    assert "service" not in firing


async def test_the_trouble_of_one_node_is_not_that_of_another_and_the_trouble_of_a_site_is(receiver: Receiver) -> None:
    keys = []
    for node in ("a", "b"):
        for code in ("BLIND", "SITE_DOWN"):
            message = Message(notice=notice(CRITICAL, code, "x"), node=node, at_ms=AT_MS)
            keys.append((code, message.key))
    assert len({key for code, key in keys if code == "BLIND"}) == 2
    assert len({key for code, key in keys if code == "SITE_DOWN"}) == 1


def test_an_event_that_nobody_has_to_look_at_leaves_nothing_open_at_a_pager() -> None:
    for code, severity, status in (
        ("OVERRIDE_EXPIRED", INFO, "resolved"), ("OVERRIDE_LIFTED", WARNING, "firing"), ("HOLD_DOWN", INFO, "firing")
    ):
        assert Message(notice=notice(severity, code, "x"), node="n", at_ms=AT_MS).fields()["status"] == status


# ---- webhook --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def webhook(receiver: Receiver) -> AsyncIterator[WebhookNotifier]:
    opened = WebhookNotifier(
        receiver.url, node="gasan-1", headers={"Authorization": "Bearer s3cret-token"}
    )
    yield opened
    await opened.close()


async def caught(notifier: Notifier, deadline_ms: int = PATIENCE_MS) -> AdapterError:
    with pytest.raises(AdapterError) as error:
        await notifier.notify(notice(INFO, "X", "y"), at_ms=AT_MS, deadline_ms=deadline_ms)
    assert "s3cret" not in str(error.value)
    return error.value


async def test_a_webhook_carries_the_headers_and_a_key_against_repetition(
    webhook: WebhookNotifier, receiver: Receiver
) -> None:
    for _ in range(2):
        await webhook.notify(notice(INFO, "X", "y"), at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret-token"
    assert receiver.headers[0]["Idempotency-Key"] == receiver.headers[1]["Idempotency-Key"] == receiver.got[0]["delivery"]
    assert receiver.got[0]["at_ms"] == AT_MS


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, Retryable), (503, Retryable), (500, Ambiguous), (502, Ambiguous), (403, Permanent), (302, Permanent)],
)
async def test_each_status_has_its_meaning(
    webhook: WebhookNotifier, receiver: Receiver, status: int, kind: type[AdapterError]
) -> None:
    receiver.status = status
    error = await caught(webhook)
    assert type(error) is kind
    assert str(status) in str(error)
    assert len(receiver.got) == 1


async def test_silence_and_a_lost_connection_are_ambiguous(webhook: WebhookNotifier, receiver: Receiver) -> None:
    receiver.silent = True
    assert type(await caught(webhook, deadline_ms=200)) is Ambiguous
    receiver.silent, receiver.hang_up = False, True
    assert type(await caught(webhook)) is Ambiguous


async def test_nobody_there_is_retryable() -> None:
    webhook = WebhookNotifier("http://127.0.0.1:1/s3cret", node="n")
    error = await caught(webhook)
    assert type(error) is Retryable
    assert "http://127.0.0.1" in str(error)
    await webhook.close()


@pytest.mark.parametrize("url", ["ftp://example/s3cret", "s3cret", "http://[s3cret", "https:///s3cret"])
async def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(Permanent) as error:
        WebhookNotifier(url, node="n")
    assert "s3cret" not in str(error.value)


# ---- command --------------------------------------------------------------------------------------------------------


async def test_a_command_gets_the_facts_in_a_clean_environment_and_none_of_ours(tmp_path: Path) -> None:
    out = tmp_path / "env"
    command = script(tmp_path / "tell", f"env > {out}; cat > /dev/null")
    os.environ["OUR_OWN_SECRET"] = "s3cret"
    notifier = CommandNotifier([command], node="gasan-1", environment={"PAGER_KEY": "p4ger"})
    told = replace(notice(CRITICAL, "BLIND", "a\0b"), site=SiteId("pangyo"))
    await notifier.notify(told, at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    del os.environ["OUR_OWN_SECRET"]
    seen = dict(line.split("=", 1) for line in out.read_text().splitlines())
    assert seen["SITESHIFT_CODE"] == "BLIND"
    assert (seen["SITESHIFT_STATE"], seen["SITESHIFT_SITE"], seen["SITESHIFT_MEMBER"]) == ("firing", "pangyo", "")
    assert seen["SITESHIFT_KEY"] == "siteshift@gasan-1 BLIND site=pangyo"
    assert "anchors" in seen["SITESHIFT_TODO"]
    assert seen["SITESHIFT_TEXT"] == "ab"
    assert seen["PAGER_KEY"] == "p4ger"
    assert "OUR_OWN_SECRET" not in seen


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("exit 75", Retryable, "exit status 75"),
        ("echo no such pager $1 >&2; exit 3", Permanent, r"exit status 3: no such pager \*\*\*"),
        ("kill -9 $$", Ambiguous, "signal 9"),
        ("exec 0<&-; exit 1", Permanent, "exit status 1"),
    ],
)
async def test_a_command_s_end_has_its_meaning(tmp_path: Path, body: str, kind: type[AdapterError], said: str) -> None:
    command = script(tmp_path / "tell", body)
    notifier = CommandNotifier([command, "--key=s3cret"], node="n")
    error = await caught(notifier)
    assert type(error) is kind
    with pytest.raises(kind, match=said):
        raise error


async def test_a_command_that_hangs_is_killed_with_its_children_at_the_deadline(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "tell", f"sleep 600 & echo $! > {pids}.part; mv {pids}.part {pids}; wait")
    notifier = CommandNotifier([command], node="n")
    assert type(await caught(notifier, deadline_ms=1_000)) is Ambiguous
    if pids.exists():
        await until_gone(int(pids.read_text()))


async def test_a_command_that_complains_without_end_fails_long_before_the_deadline(tmp_path: Path) -> None:
    """Its complaint fits nowhere any more, so it fails; nobody reads a pipe that never ends, and no memory is filled."""
    command = script(tmp_path / "tell", "exec yes only words >&2")
    with pytest.raises(Permanent, match="only words"):
        raise await caught(CommandNotifier([command], node="n"))


@pytest.mark.parametrize("where", [">&2", "> /dev/stderr", ">> /dev/stderr"])
async def test_a_script_may_complain_by_the_name_of_its_standard_error(tmp_path: Path, where: str) -> None:
    """A file in memory that is sealed against growth cannot be opened anew: the script ended there, and nobody was told."""
    told = tmp_path / "told"
    command = script(tmp_path / "tell", f"set -e; echo sending {where}; cat /dev/stdin > {told}; echo no route {where}; exit 3")
    assert "exit status 3: sending" in str(await caught(CommandNotifier([command], node="n")))
    assert json.loads(told.read_text())["node"] == "n"


async def test_one_that_complains_without_end_and_does_not_mind_is_killed_at_the_deadline(tmp_path: Path) -> None:
    command = script(tmp_path / "tell", "while :; do echo only words >&2; done 2>/dev/null || true")
    assert type(await caught(CommandNotifier([command], node="n"), deadline_ms=1_000)) is Ambiguous


@pytest.mark.parametrize("end", ["exit 3", "sleep 600"], ids=["a failure", "the deadline"])
async def test_what_a_command_leaves_running_with_its_input_and_errors_open_does_not_hold_us(tmp_path: Path, end: str) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "tell", f"setsid sleep 600 <&0 & echo $! > {pids}; {end}")
    try:
        async with asyncio.timeout(PATIENCE_MS / 1_000):
            error = await caught(CommandNotifier([command], node="n"), deadline_ms=2_000)
        assert type(error) in (Permanent, Ambiguous)
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("length", [1_000_000])
async def test_a_message_larger_than_a_pipe_is_read_whole_or_not_at_all(tmp_path: Path, length: int) -> None:
    """A program that listens gets all of it; one that does not cannot hold us by a full pipe."""
    sizes = tmp_path / "sizes"
    for body in (f"wc -c > {sizes}", "exit 0"):
        notifier = CommandNotifier([script(tmp_path / "tell", body)], node="n")
        await notifier.notify(notice(INFO, "X", "y" * length), at_ms=AT_MS, deadline_ms=PATIENCE_MS)
    assert int(sizes.read_text()) >= length


async def test_a_cancelled_caller_leaves_no_process_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "tell", f"echo $$ > {pids}.part; mv {pids}.part {pids}; exec sleep 600")
    notifier = CommandNotifier([command], node="n")
    telling = asyncio.create_task(
        notifier.notify(notice(INFO, "X", "y"), at_ms=AT_MS, deadline_ms=PATIENCE_MS * 10)
    )
    async with asyncio.timeout(PATIENCE_MS / 1_000):
        while not pids.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await until_gone(int(pids.read_text()))


@pytest.mark.parametrize("turns", range(5))
async def test_a_caller_who_is_cancelled_while_the_program_starts_leaves_nothing_of_it(tmp_path: Path, turns: int) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "tell", f"sleep 600 & echo $! > {pids}.part; mv {pids}.part {pids}; wait")
    notifier = CommandNotifier([command], node="n")
    telling = asyncio.create_task(
        notifier.notify(notice(INFO, "X", "y"), at_ms=AT_MS, deadline_ms=PATIENCE_MS * 10)
    )
    for _ in range(turns):
        await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 (the program is there by now, and the loop has not noticed yet)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    if pids.exists():
        await until_gone(int(pids.read_text()))


@pytest.mark.parametrize("command", [["/nowhere/tell"], ["/etc/passwd"]])
async def test_a_program_that_cannot_be_started_is_permanent(command: list[str]) -> None:
    assert type(await caught(CommandNotifier(command, node="n"))) is Permanent


def test_an_empty_command_is_refused_at_once() -> None:
    with pytest.raises(Permanent):
        CommandNotifier([], node="n")


async def until_gone(pid: int) -> None:
    """Until the process ended; a zombie waiting for init counts as gone."""
    async with asyncio.timeout(PATIENCE_MS / 1_000):
        while is_running(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(autouse=True)
def plain_structlog() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
