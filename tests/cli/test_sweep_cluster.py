"""A sweep on a real Dask cluster: a scheduler and two workers on loopback, one of them killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

import rnngrad
from cli.running import SHEET, run
from rnngrad.analyses.sweep import tasks
from rnngrad.analyses.sweep.scales import scales_of
from rnngrad.cli.sweeps import cluster as rnngrad_cluster
from rnngrad.cli.sweeps.cluster import version_here
from rnngrad.cli.sweeps.executors import workers
from rnngrad.errors import RnngradError, UsageError

distributed = pytest.importorskip("distributed")

NET = {
    "seed": 1,
    "sizes": {"inputs": 1, "hidden": 8},
    "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}},
    "inputs": {"random": "normal", "steps": 100},
}


class Cluster:
    """Processes that the test started, and the scheduler's address."""

    def __init__(self, count: int, path: Path | None = None, path_too: Path | None = None) -> None:
        """``path`` goes before all others on the workers' import path, ``path_too`` on the
        scheduler's."""
        self.processes = [self._start(path_too, "scheduler", "--port", "0")]
        stream = self.processes[0].stderr
        assert stream is not None
        self.address = next(line.split()[-1] for line in stream if "Scheduler at" in line)
        more = ("--nthreads", "1", "--no-nanny")
        self.workers = [self._start(path, "worker", self.address, *more) for _ in range(count)]
        self.processes += self.workers
        if count:
            with distributed.Client(self.address, timeout=60, set_as_default=False) as client:
                client.wait_for_workers(count, timeout=60)

    @staticmethod
    def _start(path: Path | None, what: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *args]
        command += ["--host", "127.0.0.1", "--no-dashboard"]
        stderr = subprocess.PIPE if what == "scheduler" else subprocess.DEVNULL
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        env |= {} if path is None else {"PYTHONPATH": str(path)}
        return subprocess.Popen(command, stderr=stderr, text=True, env=env, cwd=path)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(timeout=30)
            if process.stderr is not None:
                process.stderr.close()


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler has its time to answer; no worker is waited for just a moment."""
    its_workers = rnngrad_cluster._its_workers

    def impatient(*args: object) -> object:
        monkeypatch.setattr(rnngrad_cluster, "PATIENCE", 0.05)
        return its_workers(*args)

    monkeypatch.setattr(rnngrad_cluster, "_its_workers", impatient)
    alone = Cluster(0)
    try:
        with pytest.raises(UsageError, match="and none came within"), workers(1, alone.address):
            pass
    finally:
        alone.stop()


@pytest.mark.parametrize("whose", ["workers", "scheduler"])
def test_a_cluster_without_rnngrad(whose: str, tmp_path: Path) -> None:
    """Another rnngrad stands before this one on their path, and has none of its modules."""
    old = tmp_path / "old"
    (old / "rnngrad").mkdir(parents=True)
    (old / "rnngrad" / "__init__.py").write_text("")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("mine")
    wrong = Cluster(1, old, None) if whose == "workers" else Cluster(1, None, old)
    try:
        options = ("--whh-scale", "1", "-o", str(rows), "--force", "--scheduler", wrong.address)
        done = run("sweep", SHEET, *options)
    finally:
        wrong.stop()
    assert (done.returncode, done.stdout, rows.read_text()) == (2, "", "mine")
    assert "No module named 'rnngrad." in done.stderr
    assert "the same rnngrad" in done.stderr
    assert done.stderr.count("\n") == 1


# --- what answers and is no scheduler


class Listening:
    """A server on loopback that does ``greet`` with whoever connects, then keeps quiet."""

    def __init__(self, greet: Callable[[socket.socket], object]) -> None:
        self.greet, self.taken = greet, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self.server.accept()[0])
                self.greet(self.taken[-1])

    def stop(self) -> None:
        for each in (self.server, *self.taken):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: a web server\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(("greet", "patience", "words"), [
    (lambda _: None, 0.2, "no Dask scheduler answers there within 0.2 s"),
    (lambda it: it.sendall(HTTP), 20.0, "the server there is not a Dask scheduler"),
    (lambda it: it.close(), 20.0, "the server there is not a Dask scheduler"),
])  # fmt: skip
def test_what_answers_and_is_no_scheduler(
    greet: Callable[[socket.socket], object],
    patience: float,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What answers is told when it does, however busy the machine; silence after the patience."""
    monkeypatch.setattr("rnngrad.cli.sweeps.cluster.PATIENCE", patience)
    server = Listening(greet)
    began = time.monotonic()
    try:
        done = run("sweep", SHEET, "--whh-scale", "1", "--scheduler", server.address)
    finally:
        server.stop()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--scheduler {server.address}: {words}\n"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("end", "words", "tries"), [
    (ConnectionResetError, "the server there is not a Dask scheduler", 1),
    (ConnectionRefusedError, "no Dask scheduler answers there within 0.2 s", 3),
])  # fmt: skip
def test_a_connection_that_never_stands(
    end: type[OSError], words: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes before connecting is done has answered, and is not asked again; of who refuses,
    Dask tries again, and times out."""
    asked, dask = [], distributed.comm.connect

    async def connect(*_: object, **__: object) -> object:
        raise distributed.comm.CommClosedError("closed") from end()

    def counted(*args: object, **how: object) -> object:
        asked.append(how)
        return dask(*args, **how)

    monkeypatch.setattr("rnngrad.cli.sweeps.cluster.PATIENCE", 0.2)
    monkeypatch.setattr("distributed.comm.tcp.TCPConnector.connect", connect)
    monkeypatch.setattr("distributed.comm.connect", counted)
    done = run("sweep", SHEET, "--whh-scale", "1", "--scheduler", "tcp://127.0.0.1:1")
    assert done.stderr == f"--scheduler tcp://127.0.0.1:1: {words}\n"
    assert len(asked) == tries


def test_a_worker_process_that_dies_is_said_in_words() -> None:
    def die() -> None:
        with workers(2, None) as found:
            assert found.executor is not None
            found.executor.submit(os._exit, 1).result()

    with pytest.raises(RnngradError, match="a worker process died"):
        die()


# --- one cluster for all


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """For all that follow: first those that leave it as it was, then a worker is killed, and last
    the scheduler."""
    started = Cluster(2)
    yield started
    started.stop()


def test_the_command_runs_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "{seed: 1, sizes: {inputs: 1, hidden: 8}, inputs: {random: normal, steps: 100},\n"
        " weights: {W_xh: {init: normal}, W_hh: {init: gaussian}}}\n"
    )
    options = ("sweep", str(spec), "--whh-scale", "0.5:3:6", "--seeds", "2", "--json")
    there = run(*options, "--scheduler", cluster.address)
    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout == run(*options).stdout


def test_a_worker_of_another_version(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.cli.sweeps.cluster.__version__", "99.0")
    words = "2 of 2 workers cannot run rnngrad 99.0; tcp://.* has rnngrad"
    with pytest.raises(UsageError, match=words), workers(1, cluster.address):
        pass


def test_a_workers_address_is_not_the_schedulers(cluster: Cluster) -> None:
    with workers(1, cluster.address) as found:
        assert found.executor is not None
        worker = next(iter(found.executor._client.run(version_here)))
    with pytest.raises(UsageError, match="is a Dask worker; give the"), workers(1, worker):
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_worker_loses_no_row_and_doubles_none(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "TASK_SECONDS", 0.02)
    problem = rnngrad.load(NET)
    whole = tasks.plan(problem, scales_of("0.2:4:25"), 4)
    expected = [row for task in tasks.rows_of(whole) for row in task]
    rows, killed = [], False
    with workers(1, cluster.address) as found:
        for task in tasks.rows_of(whole, found.executor, found.at_once):
            rows += task
            if len(rows) > 20 and not killed:
                cluster.workers[0].kill()
                killed = True
    assert killed
    assert len(rows) == len(expected) == 100
    assert sorted(rows, key=str) == sorted(expected, key=str)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_scheduler_that_dies_is_said_in_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "TASK_SECONDS", 0.02)
    whole = tasks.plan(rnngrad.load(NET), scales_of("0.2:4:400"), 4)

    def sweep_it() -> None:
        with workers(1, cluster.address) as found:
            for task in tasks.rows_of(whole, found.executor, found.at_once):
                assert task
                cluster.processes[0].kill()

    with pytest.raises(RnngradError, match="the cluster failed"):
        sweep_it()
