"""A running Dask cluster as an executor, or one message that says why it is none.

What answers at an address may be anything, and Dask's client waits for ever for some of it. So a
scheduler is asked for its name first, within ``PATIENCE``; then every worker, and the scheduler,
which unpickles tasks too, are asked for their rnngrad before there is anything to lose.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rnngrad.errors import RnngradError, UsageError
from rnngrad.version import __version__

PATIENCE = 10.0
"""Seconds that a scheduler has to answer, and to have a worker."""

SHARES = (0.1, 0.2, 0.6)
"""Of ``PATIENCE``, what each try to connect to a scheduler has."""

JOINING = 32
"""Workers that tasks are kept ready for on a cluster, where more may join."""

ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+:\d+")


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """The workers of a running Dask scheduler, and how many tasks to keep on their way."""
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"--scheduler {address}: give it as tcp://host:port")
    distributed = _distributed()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    _see_that_it_is_a_scheduler(address)
    client = _client(distributed, address)
    try:
        count = sum(worker["nthreads"] for worker in _its_workers(client, address))
        _see_that_workers_have_rnngrad(client, address)
        with client.get_executor(pure=False, retries=3) as executor:
            _see_that_tasks_arrive(executor, address)
            yield executor, max(count, JOINING)
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


def _failures(distributed: Any) -> tuple[type[Exception], ...]:
    return (ImportError, CancelledError, distributed.KilledWorker, _closed())


def _closed() -> type[Exception]:
    found: type[Exception] = import_module("distributed.comm").CommClosedError
    return found


# ---------------------------------------------------------------------------- the scheduler


def _see_that_it_is_a_scheduler(address: str) -> None:
    answer = asyncio.run(_answer(address))
    if isinstance(answer, dict):
        if answer.get("type") == "Scheduler":
            return
        what = f"a Dask {answer.get('type')}".lower().replace("dask", "Dask")
        raise UsageError(f"--scheduler {address}: is {what}; give the scheduler's address")
    if isinstance(answer, OSError) and not _hung_up(answer):
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there within {PATIENCE:g} s"
        )
    raise UsageError(f"--scheduler {address}: the server there is not a Dask scheduler")


def _hung_up(error: OSError) -> bool:
    """Whether somebody took the connection and closed it. Where he is quick, connecting fails,
    is tried again and ends as a timeout, whose causes tell."""
    closed = (_closed(), ConnectionResetError, BrokenPipeError)
    causes = [error, error.__cause__, getattr(error.__cause__, "__cause__", None)]
    return any(isinstance(each, closed) for each in causes) and not any(
        isinstance(each, ConnectionRefusedError) for each in causes
    )


async def _answer(address: str) -> object:
    """What is at the address says of itself, or the exception that asking ended in."""
    asking = asyncio.ensure_future(_asked(address))
    done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
    if not done:
        asking.cancel()
        return TimeoutError()
    return asking.exception() or asking.result()


async def _asked(address: str) -> object:
    channel = await _connected(address)
    try:
        await channel.write({"op": "identity", "reply": True})
        return await channel.read()
    finally:
        channel.abort()


async def _connected(address: str) -> Any:
    """Dask connects again and again until its time is up, also to who hangs up at once. So it gets
    its time in pieces: who has hung up within the first is not asked again. All pieces end before
    ``_answer`` gives up."""
    connect = import_module("distributed.comm").connect
    how = import_module("distributed").Security().get_connection_args("client")
    for share in SHARES[:-1]:
        try:
            return await connect(address, timeout=share * PATIENCE, **how)
        except OSError as error:
            if _hung_up(error):
                raise
    return await connect(address, timeout=SHARES[-1] * PATIENCE, **how)


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except OSError as error:
        raise UsageError(f"--scheduler {address}: cannot be connected to: {error}") from None


# ---------------------------------------------------------------------------- its workers


def _its_workers(client: Any, address: str) -> list[Any]:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError):
        raise UsageError(
            f"--scheduler {address}: has no workers, and none came within {PATIENCE:g} s"
        ) from None
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def version_here() -> str:
    """The rnngrad of the process that this runs in."""
    return __version__


def _see_that_workers_have_rnngrad(client: Any, address: str) -> None:
    answers = client.run(version_here, on_error="return")
    others = {worker: answer for worker, answer in answers.items() if answer != __version__}
    if others:
        worker, answer = next(iter(others.items()))
        found = f"has rnngrad {answer}" if isinstance(answer, str) else f"answers {answer}"
        raise UsageError(
            f"--scheduler {address}: {len(others)} of {len(answers)} workers cannot run rnngrad "
            f"{__version__}; {worker} {found}; every worker needs the same rnngrad as here"
        )


def _see_that_tasks_arrive(executor: Executor, address: str) -> None:
    """The scheduler unpickles a task before a worker does."""
    reason: object
    try:
        error = executor.submit(version_here).exception(timeout=PATIENCE)
        reason = error and (error.__cause__ or error)
    except TimeoutError:
        reason = f"no task was done within {PATIENCE:g} s"
    if reason:
        raise UsageError(
            f"--scheduler {address}: cannot run rnngrad ({reason}); the scheduler, too, needs the "
            "same rnngrad and Python as here"
        )
