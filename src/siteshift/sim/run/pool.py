"""Many runs at a time: each in a process of its own, so that one core is not the limit."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait


def workers(processes: int, jobs: int) -> ProcessPoolExecutor:
    """A pool of so many processes, and of no more than there are jobs. They end with the process that made it, also if it is
    killed."""
    return ProcessPoolExecutor(
        max_workers=max(1, min(processes, jobs)), mp_context=get_context("spawn"), initializer=_die_with_parent
    )


def _die_with_parent() -> None:
    """A worker whose parent was killed would compute on for nobody."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
