"""The records behind docs/stress.md: one JSON file a command in ``docs/stress/``.

    from stress import Row, record        # python finds it from .ci/, and from the tests
    record("mutants", "python .ci/mutants.py", [Row("mutants", "algebra", "9 of 9 killed", True)])

Whoever runs the proofs writes what it found with ``record``; nobody types a record. Then
``python docs/pages.py stress.md`` puts all of them into the page's table.
"""

from __future__ import annotations

import datetime
import json
import runpy
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "stress"

KINDS = {
    "inputs": "Bad inputs",
    "faults": "Faults",
    "mutants": "Mutants",
    "fuzzing": "Fuzzing",
    "properties": "Properties of random nets",
    "metamorphic": "Metamorphic properties",
}
"""Kind of row -> its heading, in the page's order; the one place to add a kind."""


class Row(NamedTuple):
    """One row of the table: ``ok`` is False where something is open, and ``note`` says what."""

    kind: str
    what: str
    figure: str
    ok: bool
    note: str = ""


def record(name: str, command: str, rows: Iterable[Row]) -> Path:
    """Writes ``docs/stress/NAME.json``: the rows, and what they were found on."""
    found = list(rows)
    wrong = [row for row in found if row.kind not in KINDS or not (row.ok or row.note)]
    if wrong or not found:
        raise ValueError(f"a row is of no kind, or open without a note: {wrong or 'no row'}")
    version = runpy.run_path(str(ROOT / "rnngrad" / "version.py"))["__version__"]
    written = {
        "command": command,
        "version": version,
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": [row._asdict() for row in found],
    }
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{name}.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _commit() -> str:
    """The commit that is checked out, ``+`` where the package differs from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain", "rnngrad"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + "+" * bool(changed.strip())


def page() -> str:
    """docs/stress.md: all records as tables, a kind after the other."""
    lines = [
        "# Stress",
        "",
        "What was done to break rnngrad, and what became of it. Each command writes the record of",
        "what it found to `docs/stress/`; `python docs/pages.py stress.md` makes this page of the",
        "records. Nothing in it is typed by hand.",
    ]
    records = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))
    ]
    for kind, heading in KINDS.items():
        rows = [(row, one) for one in records for row in one["rows"] if row["kind"] == kind]
        lines += ["", f"## {heading}", ""]
        if not rows:
            lines.append("No record yet.")
            continue
        lines += ["| what | found | state | on | command |", "| --- | --- | --- | --- | --- |"]
        for row, one in rows:
            state = "holds" if row["ok"] else "open"
            state += f": {row['note']}" if row["note"] else ""
            on = f"{one['version']} ({one['commit']}), {one['date']}"
            cells = (row["what"], row["figure"], state, on, f"`{one['command']}`")
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
