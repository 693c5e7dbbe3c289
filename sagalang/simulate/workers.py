"""Work that falls into independent jobs, spread over the machine's cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")

Told = Callable[[int, int], None]
"""How many jobs are done, of how many."""


def spread(work: Callable[[J], R], jobs: Sequence[J], told: Told) -> list[R]:
    """`work` of each job, in the order of the jobs. The last jobs are begun first: put the long
    ones there. `work` must be a function of a module, and what it takes and gives picklable.
    """
    workers = min(_cores(), len(jobs))
    done = 0
    if workers <= 1:
        results = []
        for job in jobs:
            results.append(work(job))
            told(len(results), len(jobs))
        return results
    pool = ProcessPoolExecutor(workers, initializer=_end_at_once)
    try:
        futures = [pool.submit(work, job) for job in reversed(jobs)]
        for _ in as_completed(futures):
            done += 1
            told(done, len(jobs))
        return [future.result() for future in reversed(futures)]
    except BaseException:
        # Nothing is waited for that nobody will look at, as after Ctrl-C.
        for process in tuple(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_at_once() -> None:
    """Ctrl-C reaches every process of the group: a worker ends on the spot and without a word.
    So it does when the main process dies, however that happened."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def nobody(*_: Any) -> None:
    """For `told`, where nobody wants to know."""
