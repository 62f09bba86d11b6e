"""The properties of random nets, on as many nets as are asked for, every night on others.

python .ci/random_nets.py --nets 10000              2,000 of each metamorphic one, and so on
python .ci/random_nets.py --nets 10000 --record     writes docs/stress/properties.json
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from stress import KINDS, ROOT, Row, record


class Shown(NamedTuple):
    """One property: its kind and name, on how many nets it was shown, and whether it holds."""

    kind: str
    name: str
    nets: int
    holds: bool


def run(nets: int, more: list[str]) -> list[Shown]:
    """The properties of tests/properties on so many nets."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        environment = {**os.environ, "RNNGRAD_NETS": str(nets), "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/properties",
            f"--junitxml={report}",
            "-o",
            "junit_family=xunit1",
        ]
        subprocess.run(
            [*command, "-k", "test_it_holds", *more], cwd=ROOT, env=environment, check=False
        )
        return shown(report.read_text(encoding="utf-8"))


def shown(report: str) -> list[Shown]:
    """The properties in a report of pytest's; of one that does not hold no nets are known."""
    found = []
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = re.search(r"\[(.*)\]", case.get("name", ""))
        kind = "metamorphic" if "metamorphic" in case.get("classname", "") else "properties"
        counts = {one.get("name"): one.get("value") for one in case.iter("property")}
        holds = case.find("failure") is None and case.find("error") is None
        if name:
            found.append(Shown(kind, name[1], int(counts.get(kind) or 0), holds))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--nets", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--record", action="store_true", help="write docs/stress/properties.json")
    asked, more = parser.parse_known_args()
    found = run(asked.nets, more)
    if asked.record:
        rows = [
            Row(
                one.kind, one.name, f"{one.nets:,} nets" if one.holds else "a net that breaks it",
                one.holds, "" if one.holds else "see the run's output",
            )
            for one in sorted(found, key=lambda one: list(KINDS).index(one.kind))
        ]  # fmt: skip
        record("properties", f"python .ci/random_nets.py --nets {asked.nets} --record", rows)
    return int(not found or not all(one.holds for one in found))


if __name__ == "__main__":
    sys.exit(main())
