"""The bounds of a running node. What happens at each bound is written where it is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Queues, streams, bodies and calls; the configuration's `limits` section."""

    event_queue: int = 10_000
    notify_queue: int = 1_000
    journal_rows: int = 2_000
    api_subscribers: int = 64
    api_body_bytes: int = 65_536
    enact_timeout_ms: int = 5_000


DEFAULT_LIMITS = Limits()
