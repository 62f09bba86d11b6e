"""Counts the tests of bad inputs and of injected faults, by running them.

python .ci/stress_tests.py --record     all their cases; writes docs/stress/tests.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from stress import ROOT, Row, record

GROUPS: dict[tuple[str, str], tuple[str, ...]] = {
    ("inputs", "specs with mistakes"): (
        "tests/files/test_mistakes.py", "tests/files/test_huge_integers.py",
        "tests/files/test_batches.py",
    ),
    ("inputs", "cells and equations with mistakes"): (
        "tests/files/test_cell_mistakes.py", "tests/files/test_equation_mistakes.py",
    ),
    ("inputs", "hostile files of trained models"): ("tests/models/test_hostile.py",),
    ("inputs", "hostile input on the command line"): ("tests/cli/test_hostile_input.py",),
    ("inputs", "what fuzzing starts from, and what it found"): ("tests/test_fuzz_seeds.py",),
    ("faults", "functions that crash, hang, flood or change NumPy"): (
        "tests/checking/test_hostile_functions.py",
    ),
    ("faults", "checks cut short"): ("tests/checking/test_cut_short.py",),
    ("faults", "sweeps killed, damaged files of rows, a full disk"): (
        "tests/cli/test_sweep.py", "tests/cli/test_sweep_progress.py",
        "tests/cli/test_sweep_cluster.py",
    ),
}  # fmt: skip
"""(kind, what) -> the files of the tests; the one place to add a group. What is not there yet is
left out."""


class Counted(NamedTuple):
    passed: int
    failed: int


def run(files: Iterable[str]) -> Counted:
    """All cases of the tests in these files."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--every-case", f"--junitxml={report}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, *files], cwd=ROOT, env=environment, check=False)
        return counted(report.read_text(encoding="utf-8"))


def counted(report: str) -> Counted:
    """Those in a report of pytest's that passed, and that did not; a skipped one is neither."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))
    failed = sum(any(case.find(tag) is not None for tag in ("failure", "error")) for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Counted(len(cases) - failed - skipped, failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=sorted({kind for kind, _ in GROUPS}))
    parser.add_argument("--record", action="store_true", help="write docs/stress/tests-KIND.json")
    asked = parser.parse_args()
    rows = []
    for (kind, what), files in GROUPS.items():
        there = [file for file in files if (ROOT / file).exists()]
        if not there or kind != asked.kind:
            continue
        found = run(there)
        figure = f"{found.passed:,} of {found.passed + found.failed:,} tests pass"
        note = "" if not found.failed else f"{found.failed} tests fail"
        rows.append(Row(kind, what, figure, not found.failed and found.passed > 0, note))
    if asked.record:
        record(f"tests-{asked.kind}", f"python .ci/stress_tests.py {asked.kind} --record", rows)
    return int(not all(row.ok for row in rows))


if __name__ == "__main__":
    sys.exit(main())
