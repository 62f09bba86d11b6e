"""Time left: what the bar says is done against what has been done; estimates against each other."""

from __future__ import annotations

import pytest

import rnngrad
from cli.running import run
from rnngrad.analyses.sweep.cost import seconds_a_point, seconds_a_rate, seconds_a_zero
from rnngrad.analyses.sweep.critical_scales import gaps
from rnngrad.analyses.sweep.points import Setting
from rnngrad.analyses.sweep.sweep import result
from rnngrad.analyses.sweep.tasks import plan, rows_of, zeros_of
from rnngrad.cli.sweeps.executors import Workers
from rnngrad.cli.sweeps.progress import Work
from rnngrad.cli.sweeps.run import run as run_sweep


def spec(hidden: int, steps: int) -> dict[str, object]:
    return {
        "activation": "identity",
        "sizes": {"inputs": 1, "hidden": hidden},
        "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}},
        "inputs": {"random": "normal", "steps": steps},
        "targets": {"random": "normal", "steps": steps},
    }


KINDS = [("rnn", "identity"), ("rnn", "relu"), ("gru", None), ("lstm", None)]


@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_an_estimate_grows_with_all_that_takes_time(cell: str, activation: str | None) -> None:
    """With T and H alone: how far off it is, is measured by .ci/benchmarks/sweep_cost.py."""

    def estimates(hidden: int, steps: int) -> list[float]:
        chosen = {"cell": cell} | ({} if activation is None else {"activation": activation})
        problem = rnngrad.load({**spec(hidden, steps), "activation": "tanh", **chosen})
        setting = Setting(0, steps, problem.activation.name)
        functions = (seconds_a_point, seconds_a_rate, seconds_a_zero)
        return [function(problem, setting) for function in functions]

    for sizes in ([(1, 50), (8, 50), (64, 50), (300, 50)], [(8, 10), (8, 50), (8, 2000)]):
        columns = list(zip(*(estimates(*size) for size in sizes), strict=True))
        assert all(list(column) == sorted(set(column)) for column in columns)
    point, rate, zero = estimates(8, 50)
    assert point <= rate < zero


def test_an_estimate_knows_what_a_step_has_to_multiply() -> None:
    """Of one H an lstm, whose state is twice as long, takes longest, and so does a stack."""
    one = {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}}

    def estimate(cell: str, layers: int = 1) -> float:
        weights = one if layers == 1 else {"layers": [one] * layers}
        given = {**spec(16, 50), "cell": cell, "activation": "tanh", "weights": weights}
        return seconds_a_point(rnngrad.load(given), Setting(0, 50, "tanh"))

    assert estimate("rnn") < estimate("gru") < estimate("lstm") < estimate("lstm", 2)
    assert estimate("rnn") < estimate("rnn", 2)


def test_an_estimate_knows_where_a_few_columns_will_do() -> None:
    """A step of a long chain of many units takes S², not S³: at H = 256 it was a tenth."""

    def a_step(hidden: int, steps: int, activation: str = "tanh") -> float:
        given = {**spec(hidden, steps), "activation": activation}
        return seconds_a_point(rnngrad.load(given), Setting(0, steps, activation)) / steps

    assert a_step(256, 1100) < a_step(256, 200) / 4
    assert a_step(128, 2000) < 5 * a_step(64, 2000)
    assert a_step(256, 1100, "relu") > a_step(256, 200, "relu") / 1.5
    assert a_step(16, 1100) > a_step(16, 200) / 1.5


def test_closing_in_is_in_the_bar_from_the_start() -> None:
    """Two scales of ten seeds have ten zeros, and those take most of the time."""
    problem = rnngrad.load(spec(8, 500))
    whole = plan(problem, (0.1, 8.0), 10)
    setting = whole.settings[0]
    points, zeros = 20 * seconds_a_point(problem, setting), 10 * seconds_a_zero(problem, setting)
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


def test_ten_million_points_of_500_units_are_not_overestimated() -> None:
    """A point took 0.14 to 0.21 s when it was measured, so 10^7 of them 17 to 24 days."""
    sets = [item for key, value in spec(500, 50).items() for item in ("--set", f"{key}={value}")]
    done = run("sweep", "-", "--whh-scale", "1:2:10000000", *sets, stdin="{}")
    assert done.returncode == 2
    days = int(done.stderr.split("about ")[1].split(" days")[0])
    assert 12 < days < 50
