"""One BLAS thread for every command, and the environment of a library's user left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.running import SHEET
from rnngrad.cli.blas import BLAS

DERIVE = ("derive", SHEET)

BARE = """
import os, sys
from rnngrad.cli.main import main
try:
    main()
except SystemExit as done:
    assert not done.code
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"), file=sys.stderr)
"""

LIBRARY = """
import os, sys
before = dict(os.environ)
import rnngrad
rnngrad.gradients(rnngrad.load(sys.argv[1]))
rnngrad.check(rnngrad.load(sys.argv[1]))
assert dict(os.environ) == before
"""


def bare() -> dict[str, str]:
    """The environment of a user who has not said how many threads there shall be."""
    return {name: value for name, value in os.environ.items() if name not in BLAS}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads where Linux does")
@pytest.mark.parametrize(
    ("words", "given", "threads", "variable"),
    [
        (DERIVE, {}, 1, "1"),
        (("check", SHEET), {}, 1, "1"),
        (("init",), {}, 1, "1"),
        (("sweep", SHEET, "--whh-scale", "1,2", "-q"), {}, 1, "1"),
        (DERIVE, {"OPENBLAS_NUM_THREADS": "1"}, 1, "1"),
        (DERIVE, {"OPENBLAS_NUM_THREADS": "2"}, 2, "2"),
        (DERIVE, {"OMP_NUM_THREADS": "2"}, 2, "None"),
        (DERIVE, {"BLIS_NUM_THREADS": "2"}, 64, "None"),
    ],
    ids=str,
)
def test_blas_stays_on_one_core_unless_told_otherwise(
    words: tuple[str, ...], given: dict[str, str], threads: int, variable: str
) -> None:
    """It reads its environment once, when NumPy is imported: a thread more would be there. What
    the environment says is read in one place for all commands, so one of them tells of it."""
    command = [sys.executable, "-c", BARE, *words]
    done = subprocess.run(command, env=bare() | given, capture_output=True, text=True, check=True)
    found, told = done.stderr.splitlines()[-1].split()
    assert told == variable
    assert int(found) <= threads


def test_a_library_leaves_the_environment_alone() -> None:
    command = [sys.executable, "-c", LIBRARY, SHEET]
    done = subprocess.run(command, env=bare(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
