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
    """What could not be had, and so kept something from being proved, is said where nobody
    overlooks it."""
    skipped = terminalreporter.stats.get("skipped", [])
    unproved = {
        "network": "tests of trained nets: no network to fetch them by",
        "latex": "tests of sheets: no pdflatex to set them with",
    }
    said = []
    for mark, why in unproved.items():
        count = sum(f"Skipped: {mark}:" in str(report.longrepr) for report in skipped)
        said += [f"{count} {why}"] if count else []
    if said:
        terminalreporter.section("NOT PROVED", red=True)
        for line in said:
            terminalreporter.line(line)
