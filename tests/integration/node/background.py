"""A loop in a thread of its own, so that plain tests may drive servers whose drivers are coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
DEADLINE_S = 90.0


class Background:
    """Use as a context manager; `run` waits for the end of one coroutine."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Raises what it raises, and TimeoutError after `DEADLINE_S`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)
