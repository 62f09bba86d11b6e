"""Where the tasks of a sweep run: here, in processes, or on a Dask cluster (``cluster``)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NamedTuple

from rnngrad.cli.blas import BLAS
from rnngrad.cli.parent import end_with_parent
from rnngrad.errors import RnngradError, UsageError


class Workers(NamedTuple):
    """An executor, or None for this process, and how many tasks it works at at once."""

    executor: Executor | None
    at_once: int


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Workers]:
    """The workers that ``--jobs`` and ``--scheduler`` ask for, gone when done."""
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: must be at least 1")
    if scheduler is not None and jobs > 1:
        raise UsageError("--jobs and --scheduler: give one of them")
    if scheduler is not None:
        from rnngrad.cli.sweeps.cluster import cluster

        with cluster(scheduler) as (executor, at_once):
            yield Workers(executor, at_once)
    elif jobs > 1:
        with _processes(jobs) as found:
            yield found
    else:
        yield Workers(None, 1)


@contextmanager
def _processes(count: int) -> Iterator[Workers]:
    """Fresh processes, one BLAS thread each, deaf to Ctrl-C: this one tells them to stop, or takes
    them with it."""
    before = {name: os.environ.get(name) for name in BLAS}
    os.environ.update(dict.fromkeys(BLAS, "1"))
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_deaf)
    try:
        yield Workers(pool, count)
    except BrokenProcessPool:
        raise RnngradError(
            "--jobs: a worker process died, out of memory perhaps; fewer of them need less"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _deaf() -> None:
    """Whoever started it says when to end, and where that one is gone, so is this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_with_parent()
