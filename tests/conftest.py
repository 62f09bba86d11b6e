"""What all tests share: Hypothesis without a clock, since a timed test proves nothing, and one BLAS
thread, since two on a machine that runs several tests wait for each other twenty times as long."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first", action="store_true", help="only the first case of every test")


@pytest.hookimpl(trylast=True)  # after -m: the first case may be a slow one
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --first: one case of each test, which fails where a whole feature is broken."""
    if config.getoption("--first"):
        first: dict[str, pytest.Item] = {}
        for item in items:
            first.setdefault(item.nodeid.partition("[")[0], item)
        kept = set(first.values())
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = first.values()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be proved here is said where nobody overlooks it."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for why, what in UNPROVED.items():
        count = sum(f"Skipped: {why}:" in one for one in skipped)
        if count:
            terminalreporter.section("NOT PROVED", red=True)
            terminalreporter.line(f"{count} tests of {what}")
