"""What the search for a mistake costs: CPU seconds of ``rnngrad.check`` on wrong arrays.

    python .ci/benchmarks/mistakes.py                    prints the table of docs/speed.md
    python .ci/benchmarks/mistakes.py --right            a check that passes, alone

Nothing fits the wrong arrays, so that everything is tried, pairs too: noise on every parameter.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

import rnngrad
from rnngrad.net.problem import Problem

SIZES = ((30, 16), (200, 64))
CELLS = {"rnn": (1, ("b_h",)), "gru": (3, ("b_xh", "b_hh")), "lstm": (4, ("b_h",))}
INPUTS = OUTPUTS = 4


def net(cell: str, steps: int, hidden: int) -> Problem:
    """A random net with a softmax at every step."""
    rng = np.random.default_rng(0)
    blocks, biases = CELLS[cell]
    rows = blocks * hidden
    return rnngrad.load({
        "cell": cell,
        "weights": {
            "W_xh": rng.normal(0, 0.5, (rows, INPUTS)),
            "W_hh": rng.normal(0, hidden**-0.5, (rows, hidden)),
            **{name: rng.normal(0, 0.3, rows) for name in biases},
            "W_hy": rng.normal(size=(OUTPUTS, hidden)), "b_y": rng.normal(size=OUTPUTS),
        },
        "inputs": rng.normal(size=(steps, INPUTS)),
        "targets": np.eye(OUTPUTS)[rng.integers(0, OUTPUTS, steps)],
        "h_0": rng.normal(0, 0.5, hidden),
        "output_activation": "softmax", "loss": "cross_entropy",
    })  # fmt: skip


def arrays(problem: Problem) -> dict[str, np.ndarray]:
    """The right gradients of all parameters."""
    found = rnngrad.gradients(problem)
    return {name: np.array(found[name]) for name in found if name.startswith(("dL_dW", "dL_db"))}


def seconds(problem: Problem, given: dict[str, Any]) -> float:
    """CPU time of one check."""
    began = time.process_time()
    rnngrad.check(problem, against=given)
    return time.process_time() - began


def main() -> None:
    """Print a row a net."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--right", action="store_true", help="a check that passes, 30 times")
    options = parser.parse_args()
    write = sys.stdout.write
    if options.right:
        for cell in CELLS:
            problem = net(cell, 30, 16)
            given = arrays(problem)
            times = sorted(seconds(problem, given) for _ in range(30))
            write(f"{cell} {1e3 * times[0]:.1f} ms, median {1e3 * times[15]:.1f} ms\n")
        return
    write("| T | H | rnn | gru | lstm |\n| ---: | ---: | ---: | ---: | ---: |\n")
    for steps, hidden in SIZES:
        row = []
        for cell in CELLS:
            problem = net(cell, steps, hidden)
            rng = np.random.default_rng(1)
            given = {
                name: array + 0.3 * np.abs(array).max() * rng.normal(size=array.shape)
                for name, array in arrays(problem).items()
            }
            row.append(f"{seconds(problem, given):.1f} s")
        write(f"| {steps} | {hidden} | {' | '.join(row)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
