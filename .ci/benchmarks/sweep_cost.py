"""What a point of a sweep is estimated to take against what it takes, for nets of every kind.

    OPENBLAS_NUM_THREADS=1 python .ci/benchmarks/sweep_cost.py

CPU seconds, each the mean of scales from 0.3 to 5: of a point 40, or as many as are a second by the
estimate but 4 at least, advanced together as in a sweep; of a rate 4, one by one, as closing in has
them. ``ratio`` is measured over estimated. The formulas are in
``rnngrad/analyses/sweeping_cost.py``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

import rnngrad
from rnngrad.analyses.sweep.cost import seconds_a_point, seconds_a_rate
from rnngrad.analyses.sweep.points import Net, Setting

MOST, LEAST = 40, 4

RNN = [(1, 1000), (4, 2000), (16, 50), (16, 1000), (32, 1000), (40, 100), (64, 100), (64, 200),
       (64, 300), (64, 2000), (128, 200), (128, 300), (128, 400), (128, 600), (256, 100),
       (256, 600), (500, 10), (500, 50), (500, 1100)]  # fmt: skip
RELU = [(1, 1000), (4, 2000), (16, 1000), (64, 200), (64, 2000), (128, 500), (256, 100), (500, 10),
        (500, 50)]  # fmt: skip
GATED = [(1, 1000), (4, 1000), (16, 200), (32, 50), (64, 200), (64, 600), (128, 50), (256, 10)]
CASES = [
    *(("rnn", 1, name, size) for name in ("identity", "tanh", "sigmoid") for size in RNN),
    *(("rnn", 1, "relu", size) for size in RELU),
    *((cell, 1, "tanh", size) for cell in ("gru", "lstm") for size in GATED),
    *((cell, 2, "tanh", (16, 200)) for cell in ("rnn", "gru", "lstm")),
    ("rnn", 2, "tanh", (64, 200)),
    ("rnn", 2, "tanh", (64, 600)),
    ("gru", 2, "tanh", (64, 100)),
    ("lstm", 3, "tanh", (32, 100)),
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
    work(parts[0][:1])
    began = time.process_time()
    for part in parts:
        work(part)
    return (time.process_time() - began) / sum(map(len, parts))


def scales(count: int) -> list[float]:
    """From 0.3 to 5, evenly in the logarithm."""
    found: list[float] = np.geomspace(0.3, 5, count).tolist()
    return found


def line(cell: str, layers: int, activation: str, hidden: int, steps: int) -> str:
    """One kind of net: measured, and measured over estimated."""
    net = problem(cell, layers, activation, hidden, steps)
    setting = Setting(0, steps, activation)
    found, estimated = Net(net, setting), seconds_a_point(net, setting)
    count = min(max(int(1 / estimated), LEAST), MOST)
    point = seconds(lambda part: found.rows(part, 0.01), [scales(count)])
    rate = seconds(found.rates, [[scale] for scale in scales(LEAST)])
    return (
        f"{cell:4}  {layers:6}  {activation:10}  {hidden:3}  {steps:4}  {point:11.5f}  "
        f"{point / estimated:5.2f}  {rate:10.5f}  {rate / seconds_a_rate(net, setting):5.2f}\n"
    )


def main() -> None:
    """Write the table."""
    sys.stdout.write("cell  layers  activation    H     T  a point (s)  ratio  a rate (s)  ratio\n")
    for cell, layers, activation, (hidden, steps) in CASES:
        sys.stdout.write(line(cell, layers, activation, hidden, steps))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
