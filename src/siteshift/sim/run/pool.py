"""Many runs at a time: each in a process of its own, so that one core is not the limit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from itertools import islice, takewhile
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers(processes: int, jobs: int) -> ProcessPoolExecutor:
    """A pool of so many processes, and of no more than there are jobs. They end with the process that made it, also if it is
    killed."""
    return ProcessPoolExecutor(
        max_workers=max(1, min(processes, jobs)), mp_context=get_context("spawn"), initializer=_die_with_parent
    )


def run_each(
    run: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    tell: Callable[[Result], None],
    goes_on: Callable[[], bool] = lambda: True,
) -> list[Result]:
    """Run them, ``jobs`` processes at a time, for as long as ``goes_on`` says so before each next one.

    ``tell`` hears of each as it ends. The results are in the order given; what was begun is finished.
    """
    if jobs <= 1 or len(items) <= 1:
        done = []
        for item in takewhile(lambda _: goes_on(), items):
            done.append(run(item))
            tell(done[-1])
        return done
    ended: dict[int, Result] = {}
    ahead = iter(enumerate(items))
    with workers(jobs, len(items)) as pool:
        under_way = {pool.submit(run, item): number for number, item in islice(ahead, jobs) if goes_on()}
        while under_way:
            finished, _ = wait_for(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                number = under_way.pop(future)
                ended[number] = future.result()
                tell(ended[number])
                under_way |= {pool.submit(run, item): next_ for next_, item in islice(ahead, 1) if goes_on()}
    return [ended[number] for number in sorted(ended)]


def _die_with_parent() -> None:
    """A worker whose parent was killed would compute on for nobody."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
