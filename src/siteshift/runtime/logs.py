"""Logging: structlog to one stream, one line an event, as JSON for journald and machines or coloured for people.

Every line passes: fields bound to the context, level, time, exceptions, the limit on repeated messages, and last the
redactor, so that nothing written later escapes it. Libraries that use `logging` come out the same way.

An event's name is a constant sentence ("enactor refused a write"); what varies is in fields, so that lines can be
counted and limited: `RateLimit` lets `BURST` lines of one event about one subject through per window and says at the
next one how many it held back.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from enum import StrEnum
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from siteshift.runtime.redact import Redactor

BURST = 10
WINDOW_MS = 10_000
"""Ten lines in ten seconds show a pattern; a flapping target at 5 probes a second would write 50."""
SUBJECTS_LIMIT = 4_096
_SUBJECT = ("logger", "level", "event", "site", "service", "target", "enactor", "driver", "probe", "task")
_PRIORITY = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7, "notset": 6}


class LogForm(StrEnum):
    """``auto``: console on a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class RateLimit:
    """Lets a burst of equal events through per window, and tells at the next one how many were held back."""

    def __init__(
        self,
        *,
        burst: int = BURST,
        window_ms: int = WINDOW_MS,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._burst = burst
        self._window_ms = window_ms
        self._now_ms = now_ms
        self._windows: dict[tuple[object, ...], list[int]] = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        if event.get("level") == "critical":
            return event
        subject = tuple(str(event.get(name, "")) for name in _SUBJECT)
        now_ms = self._now_ms()
        window = self._windows.get(subject)
        if window is None or now_ms - window[0] >= self._window_ms:
            held_back = max(window[1] - self._burst, 0) if window else 0
            self._make_room(now_ms)
            self._windows[subject] = [now_ms, 1]
            return {**event, "held_back": held_back} if held_back else event
        window[1] += 1
        if window[1] > self._burst:
            raise structlog.DropEvent
        return event

    def _make_room(self, now_ms: int) -> None:
        """Forget subjects whose window is over; if all are fresh, everything (a count is lost, never a line)."""
        if len(self._windows) < SUBJECTS_LIMIT:
            return
        fresh = {key: value for key, value in self._windows.items() if now_ms - value[0] < self._window_ms}
        self._windows = fresh if len(fresh) < SUBJECTS_LIMIT else {}


def configure_logs(
    *,
    form: LogForm = LogForm.AUTO,
    level: str = "info",
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
    rate_limit: RateLimit | None = None,
) -> Redactor:
    """Set up structlog and `logging` for this process; the redactor, to learn secrets of a later config.

    Raises `ValueError` for a level that does not exist.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no such log level: {level}")
    target = stream if stream is not None else sys.stderr
    console = form is LogForm.CONSOLE or (form is LogForm.AUTO and target.isatty())
    redactor = Redactor(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _DroppingHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                rate_limit or RateLimit(),
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _redact_with(redactor),
                *_renderers(console=console, journald=_is_journald(target)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    logging.captureWarnings(True)
    return redactor


class _DroppingHandler(logging.StreamHandler[TextIO]):
    """Takes a dropped event as nothing to write. Lines end up on the stream whole."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except structlog.DropEvent:
            return
        except Exception:
            self.handleError(record)
            return
        try:
            self.stream.write(line + self.terminator)
            self.flush()
        except (OSError, ValueError):
            return  # nobody reads any more: logging must not stop the work


def _redact_with(redactor: Redactor) -> Processor:
    def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        return {name: redactor.field(name, value) for name, value in event.items()}

    return redact


def _renderers(*, console: bool, journald: bool) -> list[Processor]:
    if console:
        return [structlog.dev.ConsoleRenderer(colors=True, timestamp_key="time")]
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    if not journald:
        return [_event_first, as_json]

    def with_priority(logger: WrappedLogger, method: str, event: EventDict) -> str:
        """The ``<N>`` in front is taken off by journald and becomes the entry's priority (sd-daemon(3))."""
        priority = _PRIORITY.get(str(event.get("level")), 6)
        return f"<{priority}>{as_json(logger, method, event)!s}"

    return [_event_first, with_priority]


def _event_first(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Time, level and event in front, for those who read JSON with their eyes."""
    del logger, method
    ordered: MutableMapping[str, Any] = {name: event[name] for name in ("time", "level", "event") if name in event}
    ordered.update(event)
    return ordered


def _is_journald(stream: TextIO) -> bool:
    """Whether the stream is the one systemd connected to the journal (``JOURNAL_STREAM``, systemd.exec(5))."""
    wanted = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return wanted == f"{status.st_dev}:{status.st_ino}"
