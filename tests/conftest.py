"""What all tests share: Hypothesis without a clock, since a timed test proves nothing, and one BLAS
thread, since two on a machine that runs several tests wait for each other twenty times as long."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from oracles.examples import EVERY

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # read when NumPy is imported, by child processes too

os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")  # compiled to run once

settings.register_profile(
    "rnngrad", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("rnngrad")

UNPROVED = {
    "network": "trained nets: no network to fetch them by",
    "latex": "sheets: no pdflatex to set them with",
    "browser": "the report's page: no Chromium to look at it in",
}
"""Why a test was skipped -> what that leaves open."""


CASES = 16
"""So many cases of a test are run, spread evenly over all of them, unless it is marked
``cases(N)``, or ``cases(None)``: all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first", action="store_true", help="only the first case of every test")
    parser.addoption("--every-case", action="store_true", help="all cases of every test")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--every-case"):
        os.environ[EVERY] = "1"


@pytest.hookimpl(trylast=True)  # after -m: a case may be a slow one
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Which cases are run; the command line says how many, or the tests do."""
    if config.getoption("--every-case"):
        return
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept: set[pytest.Item] = set()
    for cases in tests.values():
        mark = cases[0].get_closest_marker("cases")
        most = CASES if mark is None else mark.args[0] or len(cases)
        kept |= set(spread(cases, 1 if config.getoption("--first") else most))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def spread(cases: list[pytest.Item], most: int) -> list[pytest.Item]:
    """At most so many of the cases, from the first on at even distances."""
    return [cases[i * len(cases) // most] for i in range(most)] if len(cases) > most else cases


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be proved here is said where nobody overlooks it."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for why, what in UNPROVED.items():
        count = sum(f"Skipped: {why}:" in one for one in skipped)
        if count:
            terminalreporter.section("NOT PROVED", red=True)
            terminalreporter.line(f"{count} tests of {what}")
