"""A sweep on a real Dask cluster: a scheduler and two workers on loopback, one of them killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnngrad
from cli.running import run
from rnngrad.analyses import sweeping_run
from rnngrad.analyses.scales import scales_of
from rnngrad.cli.executors import workers
from rnngrad.errors import RnngradError, UsageError

pytest.importorskip("distributed")

NET = {
    "seed": 1,
    "sizes": {"inputs": 1, "hidden": 8},
    "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}},
    "inputs": {"random": "normal", "steps": 100},
}


class Cluster:
    """Processes that the test started, and the scheduler's address."""

    def __init__(self, count: int) -> None:
        self.processes = [self._start("scheduler", "--port", "0")]
        stream = self.processes[0].stderr
        assert stream is not None
        self.address = next(line.split()[-1] for line in stream if "Scheduler at" in line)
        more = ("--nthreads", "1", "--no-nanny")
        self.workers = [self._start("worker", self.address, *more) for _ in range(count)]
        self.processes += self.workers

    @staticmethod
    def _start(what: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *args]
        command += ["--host", "127.0.0.1", "--no-dashboard"]
        stderr = subprocess.PIPE if what == "scheduler" else subprocess.DEVNULL
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(command, stderr=stderr, text=True, env=env)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(timeout=30)
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
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


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_worker_loses_no_row_and_doubles_none(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping_run, "TASK_SECONDS", 0.02)
    problem = rnngrad.load(NET)
    whole = sweeping_run.plan(problem, scales_of("0.2:4:25"), 4)
    expected = [row for task in sweeping_run.rows_of(whole) for row in task]
    rows, killed = [], False
    with workers(1, cluster.address) as found:
        for task in sweeping_run.rows_of(whole, found.executor, found.at_once):
            rows += task
            if len(rows) > 20 and not killed:
                cluster.workers[0].kill()
                killed = True
    assert killed
    assert len(rows) == len(expected) == 100
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.cli.executors.PATIENCE", 1.0)
    alone = Cluster(0)
    try:
        with pytest.raises(UsageError, match="has no workers"), workers(1, alone.address):
            pass
    finally:
        alone.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_scheduler_that_dies_is_said_in_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping_run, "TASK_SECONDS", 0.02)
    whole = sweeping_run.plan(rnngrad.load(NET), scales_of("0.2:4:400"), 4)

    def sweep_it() -> None:
        with workers(1, cluster.address) as found:
            for task in sweeping_run.rows_of(whole, found.executor, found.at_once):
                assert task
                cluster.processes[0].kill()

    with pytest.raises(RnngradError, match="the cluster failed"):
        sweep_it()


def test_a_worker_process_that_dies_is_said_in_words() -> None:
    def die() -> None:
        with workers(2, None) as found:
            assert found.executor is not None
            found.executor.submit(os._exit, 1).result()

    with pytest.raises(RnngradError, match="a worker process died"):
        die()
