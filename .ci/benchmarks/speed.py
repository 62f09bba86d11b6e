"""rnngrad beside JAX, PyTorch, HIPS autograd, Numba and plain NumPy: who is how fast, in one run.

    python .ci/benchmarks/speed.py                 # the table; half an hour
    python .ci/benchmarks/speed.py --quick         # small sizes, a minute; for wrong numbers
    python .ci/benchmarks/speed.py --only lyapunov # rows whose name holds the word
    python .ci/benchmarks/speed.py --json FILE     # every figure
    python .ci/benchmarks/speed.py --write         # refreshes the table of docs/speed.md

Every contestant must give our numbers to 1e-8 before it is timed; one that does not is named, and
the exit status is 1. Timings never fail. A peer that is not installed is left out by name. Needs
the ``bench`` extra for all of them. See ``speed_of/timing.py`` for how ratios are taken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
"""Set before NumPy, JAX and the others are imported: the program starts itself again with them."""


def main() -> int:
    """Run, print, write; 1 where a number was wrong."""
    options = _options()
    found = measure(options)
    from speed_of import page

    text = page.markdown(found)
    sys.stdout.write(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    if options.write:
        page.write(text)
    wrong = [f"{row['name']}: {name}: {why}" for row in found["rows"] for name, why in row["wrong"]]
    for line in wrong:
        sys.stderr.write(f"wrong: {line}\n")
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--write", action="store_true", help="refresh docs/speed.md")
    parser.add_argument("--budget", type=float, help="seconds to time a row for")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as it goes into JSON."""
    from speed_of import machine, processes, rows

    budget = options.budget or (0.3 if options.quick else 12.0)
    found: dict[str, Any] = {"machine": machine.names(), "limits": machine.limits(), "rows": []}
    for row in rows.rows(options.quick):
        if options.only in row.name:
            found["rows"].append(_row(row, budget))
    with tempfile.TemporaryDirectory() as folder:
        for process in processes.rows(Path(folder), options.quick):
            if options.only in process.name:
                wanted = {} if options.quick else process.goals
                found["rows"].append(_process(process._replace(goals=wanted), budget))
    found["memory"] = processes.peak_memory(options.quick) if options.only in "memory" else {}
    return found


def _row(row: Any, budget: float) -> dict[str, Any]:
    """One row: prepare, check, time."""
    from speed_of import rows, timing

    works, first, left_out, wrong = {}, {}, {}, []
    expected = None
    for name, maker in row.makers.items():
        start = time.perf_counter()
        try:
            work = maker()
        except ImportError as error:
            left_out[name] = f"left out: {error.name} is not installed"
            continue
        answer = work()
        first[name] = time.perf_counter() - start
        expected = answer if expected is None else expected
        error = row.error(expected, answer) if name != rows.OURS else 0.0
        if error <= rows.CLOSE:
            works[name] = work
        else:
            wrong.append((name, f"differs by {error:.1e}"))
    timed = timing.side_by_side(rows.OURS, works, budget)
    _tell(row, timed)
    return _document(row, timed, first, left_out, wrong)


def _process(row: Any, budget: float) -> dict[str, Any]:
    from speed_of import rows, timing

    first = {}
    for name, work in row.works.items():
        start = time.perf_counter()
        work()
        first[name] = time.perf_counter() - start
    error = row.check()
    wrong = [] if error <= rows.CLOSE else [("a process", f"differs by {error:.1e}")]
    timed = timing.side_by_side(rows.OURS, dict(row.works), budget)
    _tell(row, timed)
    return _document(row, timed, first, row.left_out, wrong)


def _tell(row: Any, timed: Any) -> None:
    """How it goes, on standard error."""
    ratios = ", ".join(f"{t.ratio[1]:.3g} x {name}" for name, t in list(timed.items())[1:])
    sys.stderr.write(f"{row.name}: {ratios}\n")
    sys.stderr.flush()


def _document(row: Any, timed: Any, first: Any, left_out: Any, wrong: Any) -> dict[str, Any]:
    entries = {
        name: {"seconds": t.seconds, "ratio": list(t.ratio), "rounds": t.rounds,
               "first_seconds": first[name]}
        for name, t in timed.items()
    }  # fmt: skip
    return {"name": row.name, "goals": dict(row.goals), "entries": entries,
            "left_out": dict(left_out), "wrong": wrong}  # fmt: skip


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    sys.exit(main())
