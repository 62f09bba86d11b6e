"""Time left: what the bar says is done against what has been done, and estimates against clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import SHEET, run
from rnngrad.analyses.sweep import result
from rnngrad.analyses.sweeping import Net, Setting
from rnngrad.analyses.sweeping_cost import seconds_a_point, seconds_a_rate, seconds_a_zero
from rnngrad.analyses.sweeping_run import plan, rows_of, zeros_of
from rnngrad.analyses.sweeping_zeros import gaps
from rnngrad.cli.executors import BLAS, Workers, workers
from rnngrad.cli.sweep_progress import Work
from rnngrad.cli.sweep_run import run as run_sweep


def spec(hidden: int, steps: int) -> dict[str, object]:
    return {
        "activation": "identity",
        "sizes": {"inputs": 1, "hidden": hidden},
        "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}},
        "inputs": {"random": "normal", "steps": steps},
        "targets": {"random": "normal", "steps": steps},
    }


@pytest.mark.parametrize(("hidden", "steps"), [(4, 2000), (64, 200), (500, 10)])
def test_an_estimate_is_no_multiple_of_the_truth(hidden: int, steps: int) -> None:
    """CPU time of one thread, so that a busy machine does not count; a factor of four, so that
    another machine does not."""
    with workers(2, None) as found:
        assert found.executor is not None
        point, rate = found.executor.submit(measured, hidden, steps).result()
    setting = Setting(0, steps, "identity")
    assert 0.25 < seconds_a_point(hidden, setting) / point < 4
    assert 0.25 < seconds_a_rate(hidden, setting) / rate < 4


def measured(hidden: int, steps: int) -> tuple[float, float]:
    """CPU seconds of a row and of a rate."""
    setting = Setting(0, steps, "identity")
    net = Net(rnngrad.load(spec(hidden, steps)), setting)
    net.rows([1.0], 0.01)
    began = time.process_time()
    net.rows(list(np.geomspace(0.3, 5, 4)), 0.01)
    a_point = (time.process_time() - began) / 4
    began = time.process_time()
    net.rates([1.0])
    return a_point, time.process_time() - began


def test_closing_in_is_in_the_bar_from_the_start() -> None:
    """Two scales of ten seeds have ten zeros, and those take most of the time."""
    whole = plan(rnngrad.load(spec(8, 500)), (0.1, 8.0), 10)
    setting = whole.settings[0]
    points, zeros = 20 * seconds_a_point(8, setting), 10 * seconds_a_zero(8, setting)
    assert zeros > points
    work, rows = Work(whole, [], None), []
    assert work.fraction == 0.0
    for task in rows_of(whole):
        rows += task
        work.rows_came(task)
        done = len(rows) / 20 * points
        assert work.fraction == pytest.approx(done / (points + zeros), rel=1e-6)
    fractions = [work.fraction]
    for zero in zeros_of(whole, gaps(rows), tell=work.rate_came):
        fractions.append(work.fraction)
        work.zero_came(zero)
        fractions.append(work.fraction)
    assert fractions == sorted(fractions)
    assert len(set(fractions)) == 21
    assert fractions[-1] == pytest.approx(1.0)


def test_a_resumed_sweep_begins_at_nothing() -> None:
    whole = plan(rnngrad.load(spec(3, 20)), (0.1, 1.0, 9.0), 4)
    rows = [row for task in rows_of(whole) for row in task]
    assert Work(whole, rows[:7], None).fraction == 0.0
    alone = plan(rnngrad.load(spec(3, 20)), (0.1,), 4)
    rows = [row for task in rows_of(alone) for row in task]
    assert Work(alone, rows, None).fraction == 1.0


def test_a_run_hears_of_every_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """One long zero must move the bar while it is closed in."""
    heard: list[int] = []
    monkeypatch.setattr(Work, "rate_came", lambda _: heard.append(1))
    whole = plan(rnngrad.load(spec(3, 50)), (0.1, 9.0))
    done = run_sweep(whole, None, Workers(None, 1), quiet=True)
    assert done.result == result(whole, done.result.rows, done.result.zeros)
    assert len(heard) > 4


BARE = """
import os, sys
from rnngrad.cli.main import main
try:
    main()
except SystemExit as done:
    assert not done.code
print(len(os.listdir("/proc/self/task")), os.environ["OPENBLAS_NUM_THREADS"], file=sys.stderr)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads where Linux does")
@pytest.mark.parametrize(
    "given", [{}, {"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}]
)
def test_blas_stays_on_one_core_unless_told_otherwise(given: dict[str, str]) -> None:
    """It reads its environment once, when NumPy is imported: a thread more would be there."""
    env = {name: value for name, value in os.environ.items() if name not in BLAS}
    command = [sys.executable, "-c", BARE, "sweep", SHEET, "--whh-scale", "1,2", "-q"]
    done = subprocess.run(command, env=env | given, capture_output=True, text=True, check=True)
    threads, variable = done.stderr.split()
    assert variable == given.get("OPENBLAS_NUM_THREADS", "1")
    assert int(threads) <= int(variable)


def test_ten_million_points_of_500_units_are_not_overestimated() -> None:
    """A point took 1.0 s when it was measured, so 10^7 of them some 116 days."""
    sets = [item for key, value in spec(500, 50).items() for item in ("--set", f"{key}={value}")]
    done = run("sweep", "-", "--whh-scale", "1:2:10000000", *sets, stdin="{}")
    assert done.returncode == 2
    days = int(done.stderr.split("about ")[1].split(" days")[0])
    assert 58 < days < 232
