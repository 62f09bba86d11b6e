"""Where the tasks of a sweep run: here, in processes, or on a Dask cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from typing import Any, NamedTuple

from rnngrad.errors import RnngradError, UsageError

PATIENCE = 10.0
"""Seconds that a scheduler has to answer."""

JOINING = 32
"""Workers that tasks are kept ready for on a cluster, where more may join."""

BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+:\d+")


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
        with _cluster(scheduler) as found:
            yield found
    elif jobs > 1:
        with _processes(jobs) as found:
            yield found
    else:
        yield Workers(None, 1)


@contextmanager
def _processes(count: int) -> Iterator[Workers]:
    """Fresh processes, one BLAS thread each, deaf to Ctrl-C: this one tells them to stop."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    """The workers of a running Dask scheduler."""
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"--scheduler {address}: give it as tcp://host:port")
    distributed = _distributed()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    client = _client(distributed, address)
    try:
        count = sum(worker["nthreads"] for worker in _its_workers(client, address))
        with client.get_executor(pure=False, retries=3) as executor:
            yield Workers(executor, max(count, JOINING))
    except _failures(distributed) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise RnngradError(
            f"--scheduler {address}: the cluster failed ({reason}); every worker needs the same "
            "rnngrad and Python as here; with -o FILE.jsonl, --resume goes on from what is done"
        ) from None
    finally:
        client.close()


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        raise UsageError("--scheduler needs dask: pip install 'rnngrad[dask]'") from None


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except OSError:
        raise UsageError(
            f"--scheduler {address}: no scheduler answers there within {PATIENCE:g} s"
        ) from None


def _its_workers(client: Any, address: str) -> list[Any]:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError):
        raise UsageError(f"--scheduler {address}: has no workers") from None
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _failures(distributed: Any) -> tuple[type[Exception], ...]:
    closed = import_module("distributed.comm").CommClosedError
    return (ImportError, CancelledError, distributed.KilledWorker, closed)
