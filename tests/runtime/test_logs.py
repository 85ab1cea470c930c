"""What is written: one line an event, limited when repeated, and never a secret."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from siteshift.runtime.logs import BURST, LogForm, RateLimit, configure_logs
from siteshift.runtime.redact import Redactor


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_time_level_and_fields(stream: io.StringIO) -> None:
    configure_logs(stream=stream)
    structlog.get_logger("siteshift.core").warning("site left", site="pangyo", share_bp=0)
    (line,) = lines(stream)
    assert list(line)[:3] == ["time", "level", "event"]
    assert str(line["time"]).endswith("Z")
    assert (line["level"], line["event"], line["site"], line["share_bp"]) == ("warning", "site left", "pangyo", 0)
    assert line["logger"] == "siteshift.core"


def test_what_is_bound_to_the_context_is_on_every_line_also_of_libraries(stream: io.StringIO) -> None:
    configure_logs(stream=stream)
    with structlog.contextvars.bound_contextvars(node="gasan-1"):
        structlog.get_logger().info("started")
        logging.getLogger("aiohttp.server").error("bad %s", "request", extra={"peer": "127.0.0.1"})
    first, second = lines(stream)
    assert first["node"] == second["node"] == "gasan-1"
    assert (second["event"], second["peer"], second["level"]) == ("bad request", "127.0.0.1", "error")


def test_levels_are_respected_and_unknown_ones_refused(stream: io.StringIO) -> None:
    configure_logs(stream=stream, level="warning")
    structlog.get_logger().info("too quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]
    with pytest.raises(ValueError, match="shout"):
        configure_logs(stream=stream, level="shout")


def test_an_exception_is_one_line_and_its_secrets_are_hidden(stream: io.StringIO) -> None:
    configure_logs(stream=stream, secrets=["hunter2-hunter2"])
    try:
        raise OSError("login with hunter2-hunter2 failed")
    except OSError:
        structlog.get_logger().exception("enactor failed")
    (line,) = lines(stream)
    assert "OSError: login with *** failed" in str(line["exception"])
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "s3cret-value"},
        {"tsig_secret": "s3cret-value"},
        {"api_token": "s3cret-value"},
        {"headers": {"Authorization": "s3cret-value"}},
        {"headers": [{"X-Api-Key": 1, "proxy-authorization": "s3cret-value"}]},
        {"detail": "Authorization: Bearer s3cret-value"},
        {"url": "https://user:s3cret-value@hooks.example/x"},
        {"detail": "learned s3cret-value in text"},
        {"raw": b"learned s3cret-value in bytes"},
        {"error": OSError("learned s3cret-value")},
        {"deep": {"a": [{"b": ("learned s3cret-value",)}]}},
    ],
)
def test_secrets_do_not_get_out(stream: io.StringIO, fields: dict[str, object]) -> None:
    redactor = configure_logs(stream=stream)
    if "learned" in str(fields):
        redactor.learn(["s3cret-value"])
    structlog.get_logger().info("event", **fields)
    assert "***" in stream.getvalue()
    assert "s3cret-value" not in stream.getvalue()


def test_ordinary_words_stay() -> None:
    redactor = Redactor(["abc"])
    for name, value in [("key", "overrides"), ("bypass", "abc"), ("site", "pangyo"), ("tokenizer", "x"), ("passed", 3)]:
        assert redactor.field(name, value) == value


def test_the_longer_secret_is_hidden_whole_though_it_begins_with_another() -> None:
    assert Redactor(["secret-1", "secret-1-and-more"]).text("x secret-1-and-more y") == "x *** y"


def test_repeated_lines_are_held_back_and_counted_by_subject(stream: io.StringIO) -> None:
    now_ms = 0
    configure_logs(stream=stream, rate_limit=RateLimit(now_ms=lambda: now_ms, window_ms=1_000))
    log = structlog.get_logger()
    for number in range(BURST + 25):
        log.warning("probe refused", target="member:web/pangyo/p1", latency_us=number)
    log.warning("probe refused", target="member:web/pangyo/p2")
    assert len(lines(stream)) == BURST + 1
    now_ms = 1_000
    log.warning("probe refused", target="member:web/pangyo/p1")
    assert lines(stream)[-1]["held_back"] == 25


def test_critical_lines_are_never_held_back_and_memory_is_bounded(stream: io.StringIO) -> None:
    limit = RateLimit(now_ms=lambda: 0)
    configure_logs(stream=stream, rate_limit=limit)
    for _ in range(BURST * 3):
        structlog.get_logger().critical("invariant violated")
    assert len(lines(stream)) == BURST * 3
    for number in range(10_000):
        limit(None, "info", {"event": "x", "target": str(number)})
    assert len(limit._windows) <= 4_096


def test_a_terminal_gets_readable_lines_without_secrets(stream: io.StringIO) -> None:
    configure_logs(stream=stream, form=LogForm.CONSOLE)
    structlog.get_logger().info("site left", site="pangyo", token="s3cret")
    assert "site left" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "s3cret" not in stream.getvalue()


def test_a_stream_that_was_closed_does_not_stop_the_work(stream: io.StringIO) -> None:
    configure_logs(stream=stream)
    stream.close()
    structlog.get_logger().info("nobody reads")


def test_under_systemd_the_priority_stands_in_front() -> None:
    code = (
        "import os, sys\n"
        "status = os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{status.st_dev}:{status.st_ino}'\n"
        "import structlog\n"
        "from siteshift.runtime.logs import configure_logs\n"
        "configure_logs()\n"
        "structlog.get_logger().error('lost the store')\n"
        "structlog.get_logger().info('한글')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    error, info = run.stderr.splitlines()
    assert error.startswith("<3>{")
    assert info.startswith("<6>{")
    assert json.loads(info[3:])["event"] == "한글"
