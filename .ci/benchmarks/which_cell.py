"""Which cell keeps its gradient? Every cell that comes with rnngrad, side by side.

    python .ci/benchmarks/which_cell.py            prints the table
    python .ci/benchmarks/which_cell.py --write    and puts it into docs/which_cell.md

One size and one start for all: H = I = 16, T = 100, normal inputs; matrices normal with standard
deviation 1/√fan_in, vectors with 0.1, biases 0, but for what the cell's own file prescribes. A
state of two parts has 32 numbers. Medians over three seeds; the time is the least of many runs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import rnngrad
from rnngrad.analyses.flow.horizons import horizons_of_the_state
from rnngrad.cells import NAMES, shipped
from rnngrad.net.problem import Problem

PAGE = Path(__file__).parents[2] / "docs" / "which_cell.md"
BEGIN, END = "<!-- written by which_cell.py -->", "<!-- its end -->"
H, T, SEEDS, RUNS = 16, 100, 3, 15
SCALES = [float(s) for s in np.geomspace(0.25, 8.0, 11)]


def spec(name: str, seed: int) -> dict[str, Any]:
    """A net of the cell with a loss at every step."""
    found = shipped(name)
    start = dict(found.start)
    weights: dict[str, Any] = {}
    for parameter, shape in found.cell.parameters.items():
        if parameter in start:
            weights[parameter] = start[parameter]
        elif parameter[0] != "b":
            matrix = len(shape) == 2
            gaussian = {"init": "gaussian", "gain": 1.0}
            weights[parameter] = gaussian if matrix else {"init": "normal", "std": 0.1}
    letters = {
        letter.lstrip("0123456789") for shape in found.cell.parameters.values() for letter in shape
    }
    sizes = {"inputs": H, "hidden": H, "outputs": 2}
    sizes |= {letter: H for letter in letters | {*found.cell.letters} if letter not in "IHO"}
    return {
        "cell": name,
        "sizes": sizes,
        "seed": seed,
        "weights": weights | {"W_hy": {"init": "gaussian"}},
        "inputs": {"random": "normal", "steps": T},
        "targets": {"random": "normal"},
    }


def seconds(problems: list[Problem]) -> list[float]:
    """The least time of ``gradients`` of each, all taken in turn."""
    least = [math.inf] * len(problems)
    for _ in range(RUNS):
        for i, problem in enumerate(problems):
            begin = time.perf_counter()
            rnngrad.gradients(problem)
            least[i] = min(least[i], time.perf_counter() - begin)
    return least


def numbers(name: str) -> dict[str, Any]:
    """Rate, largest exponent, horizon of the last state in float32, critical scale."""
    nets = [rnngrad.load(spec(name, seed)) for seed in range(SEEDS)]
    chains = [rnngrad.log10_chain(net) for net in nets]
    rates = [float(chain[0]) * math.log(10.0) / T for chain in chains]
    exponents = [float(rnngrad.lyapunov_spectrum(net)[0]) for net in nets]
    reach = [next(h for h in horizons_of_the_state(c) if h.format == "float32") for c in chains]
    found = rnngrad.sweep(nets[0], SCALES, seeds=SEEDS)["critical_scale"]
    critical = None if found is None else found["value"]
    return {
        "rate": statistics.median(rates),
        "exponent": statistics.median(exponents),
        "horizon": statistics.median(h.median for h in reach),
        "critical": critical,
    }


def rows() -> list[tuple[str, ...]]:
    """The table: first what keeps the length of the gradient, whose rate is nearest to 0."""
    problems = [rnngrad.load(spec(name, 0)) for name in NAMES]
    times = dict(zip(NAMES, seconds(problems), strict=True))
    found = {name: numbers(name) for name in NAMES}
    order = sorted(NAMES, key=lambda name: abs(found[name]["rate"]))
    return [
        (f"`{name}`", *_shown(found[name]), f"{times[name] / times['lstm']:.2g}") for name in order
    ]


def _shown(numbers: dict[str, Any]) -> tuple[str, ...]:
    rate, exponent, horizon = numbers["rate"], numbers["exponent"], numbers["horizon"]
    reach = "> T" if math.isinf(horizon) else f"{horizon:.0f}"
    critical = numbers["critical"]
    scale = "–" if critical is None else f"{critical:.3g}"
    return f"{rate:.3f}", f"{exponent:.3f}", reach, scale


def table() -> str:
    """In Markdown."""
    head = ("cell", "rate", "largest exponent", "horizon, float32", "critical scale", "time / lstm")
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * 5]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    write = parser.parse_args().write
    found = table()
    sys.stdout.write(f"{found}\n")
    if write:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
