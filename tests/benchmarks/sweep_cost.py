"""What a point of a sweep is estimated to take against what it takes, for nets of every kind.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/sweep_cost.py

CPU seconds, each the mean of four scales from 0.3 to 5; ``ratio`` is measured over estimated. The
formulas are in ``rnngrad/analyses/sweeping_cost.py``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

import rnngrad
from rnngrad.analyses.sweeping import Net, Setting
from rnngrad.analyses.sweeping_cost import seconds_a_point, seconds_a_rate

SCALES = np.geomspace(0.3, 5, 4).tolist()

RNN = [(1, 1000), (4, 2000), (16, 1000), (64, 200), (64, 2000), (128, 500), (256, 100), (500, 10),
       (500, 50)]  # fmt: skip
GATED = [(1, 1000), (4, 1000), (16, 200), (64, 200), (128, 50), (256, 10)]
CASES = [
    *(("rnn", 1, name, size) for name in ("identity", "tanh", "relu") for size in RNN),
    *((cell, 1, "tanh", size) for cell in ("gru", "lstm") for size in GATED),
    *((cell, 2, "tanh", (16, 200)) for cell in ("rnn", "gru", "lstm")),
    ("rnn", 2, "tanh", (64, 200)),
]


def problem(cell: str, layers: int, activation: str, hidden: int, steps: int) -> rnngrad.Problem:
    """A net with normal weights."""
    layer = {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}}
    random = {"random": "normal", "steps": steps}
    return rnngrad.load({
        "cell": cell,
        "activation": activation,
        "sizes": {"inputs": 1, "hidden": hidden},
        "weights": layer if layers == 1 else {"layers": [layer] * layers},
        "inputs": random,
        "targets": random,
    })  # fmt: skip


def seconds(work: Callable[[Sequence[float]], object], parts: Sequence[Sequence[float]]) -> float:
    """CPU seconds a scale."""
    work(parts[0])
    began = time.process_time()
    for part in parts:
        work(part)
    return (time.process_time() - began) / len(SCALES)


def line(cell: str, layers: int, activation: str, hidden: int, steps: int) -> str:
    """One kind of net: measured, and measured over estimated."""
    net = problem(cell, layers, activation, hidden, steps)
    setting = Setting(0, steps, activation)
    found = Net(net, setting)
    point = seconds(lambda scales: found.rows(scales, 0.01), [SCALES])
    rate = seconds(found.rates, [[scale] for scale in SCALES])
    return (
        f"{cell:4}  {layers:6}  {activation:10}  {hidden:3}  {steps:4}  {point:11.5f}  "
        f"{point / seconds_a_point(net, setting):5.2f}  {rate:10.5f}  "
        f"{rate / seconds_a_rate(net, setting):5.2f}\n"
    )


def main() -> None:
    """Write the table."""
    sys.stdout.write("cell  layers  activation    H     T  a point (s)  ratio  a rate (s)  ratio\n")
    for cell, layers, activation, (hidden, steps) in CASES:
        sys.stdout.write(line(cell, layers, activation, hidden, steps))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
