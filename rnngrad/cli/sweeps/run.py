"""Running a sweep: a bar, a file that grows, and Ctrl-C that keeps what is done."""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.analyses.sweep.critical_scales import Zero, gaps
from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import SweepResult, cut_short, result
from rnngrad.analyses.sweep.tasks import Plan, forget, rows_of, zeros_of
from rnngrad.cli.progress import progress_bar
from rnngrad.cli.sweeps.executors import Workers
from rnngrad.cli.sweeps.file import RowsFile
from rnngrad.cli.sweeps.progress import Work


class Finished(NamedTuple):
    """A sweep as far as it came; ``resumed`` rows were there before."""

    result: SweepResult
    resumed: int
    interrupted: bool


def run(whole: Plan, file: RowsFile | None, found: Workers, quiet: bool) -> Finished:
    """Every point that is missing, then the zeros between them."""
    wanted = ((setting, scale) for setting in whole.settings for scale in whole.scales)
    rows = [] if file is None else file.rows(wanted, whole.steady)
    resumed, interrupted = len(rows), False
    zeros: list[Zero] = []
    try:
        with progress_bar(quiet) as report:
            work = Work(whole, rows, report)
            _points(whole, file, found, rows, work)
            _zeros(whole, found, rows, zeros, work)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        forget()
    done = result(whole, rows, [] if interrupted else zeros)
    return Finished(cut_short(done) if interrupted else done, resumed, interrupted)


def _points(
    whole: Plan, file: RowsFile | None, found: Workers, rows: list[Row], work: Work
) -> None:
    done = frozenset((r.setting, r.scale) for r in rows)
    for task in rows_of(whole, found.executor, found.at_once, done):
        rows.extend(task)
        if file is not None:
            file.append(task)
        work.rows_came(task)


def _zeros(whole: Plan, found: Workers, rows: list[Row], zeros: list[Zero], work: Work) -> None:
    changes = gaps(rows)
    for zero in zeros_of(whole, changes, found.executor, found.at_once, work.rate_came):
        zeros.append(zero)
        work.zero_came(zero)
