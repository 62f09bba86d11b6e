"""One step of any cell, any number of layers: rnn, gru and lstm from PyTorch's equations, the
others from their own, tree by tree.

Every variable has the name that it has in a formula; partials between any two by complex step. The
tree is walked as it was read: nothing is shared with the algebra's derivatives, steps and tapes.

``pinned`` variables keep their values: what is held fixed in an immediate partial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from oracles import plain
from oracles.any_cell import value as computed
from rnngrad.analyses.derivation.notation import raised
from rnngrad.net.problem import Problem

STEP = 1e-30
Variables = dict[str, np.ndarray]
Put = Callable[[str, np.ndarray], np.ndarray]


def _sigma(a: np.ndarray) -> np.ndarray:
    return plain.sigmoid(a, plain.COMPLEX)


class OneStep:
    """The variables of each step of a problem: ``h_t``, ``c²_t``, ``z¹_t``, ``h_{t−1}`` …"""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.depth = problem, problem.depth
        self.weights = {k: np.asarray(v, complex) for k, v in problem.weights.items()}
        self.cuts = np.array([0, *(layer.units.stop for layer in problem.layers)])
        before = {
            f"{part}{self.up(at)}_{{t−1}}": np.asarray(problem.start(i)[layer.parts[i]], complex)
            for at, layer in enumerate(problem.layers)
            for i, part in enumerate(problem.cell.parts)
        }
        self.before = [before]
        self.state = [f"{part}{self.up(at)}_t" for at in range(self.depth)
                      for part in problem.cell.parts]  # fmt: skip
        for t in range(1, problem.steps + 1):
            now = self.run(t)
            self.before.append({f"{n.removesuffix('_t')}_{{t−1}}": now[n] for n in self.state})

    def up(self, at: int) -> str:
        return raised(at + 1) if self.depth > 1 else ""

    def end(self, at: int) -> str:
        return f".{at}" if self.depth > 1 else ""

    def parts(self, name: str) -> list[str]:
        """What a name is put together from: s_t is [h¹_t, c¹_t, h²_t, …], h_t [h¹_t, h²_t, …]."""
        found = re.fullmatch(r"(\w+?)([⁰¹²³⁴-⁹]*)_(t|\{.*\}|\d+)", name)
        assert found is not None
        letter, up, index = found.groups()
        ups = [up] if up or letter == "x" else [self.up(at) for at in range(self.depth)]
        letters = self.problem.cell.parts if letter == "s" else (letter,)
        return [f"{one}{each}_{index}" for each in ups for one in letters]

    # -- the equations

    def run(self, t: int, put: Put = lambda name, value: value, weights: Any = None) -> Variables:
        """Every variable of step t; ``put`` may change each as soon as it is computed."""
        found: Variables = {}
        weights = self.weights if weights is None else weights

        def keep(name: str, value: np.ndarray) -> np.ndarray:
            found[name] = put(name, value)
            return found[name]

        below = keep("x_t", np.asarray(self.problem.x[t - 1], complex))
        for at in range(self.depth):
            up = self.up(at)
            names = [f"{part}{up}_{{t−1}}" for part in self.problem.cell.parts]
            before = [keep(name, self.before[t - 1][name]) for name in names]
            layer = {k: weights[k + self.end(at)] for k in self.problem.cell.parameters}
            run = _CELLS.get(self.problem.cell.name, OneStep.any)
            below = run(self, layer, below, before, up, keep)
        return found

    def rnn(self, w: Any, x: Any, before: Any, up: str, keep: Put) -> np.ndarray:
        a = w["W_xh"] @ x + w["W_hh"] @ before[0] + w["b_h"]
        return keep(f"h{up}_t", plain.activate(self.problem.activation.name, a, plain.COMPLEX))

    def gru(self, w: Any, x: Any, before: Any, up: str, keep: Put) -> np.ndarray:
        (h,) = before
        u_x, u_h = (np.split(w[W] @ v + w[b], 3)
                    for W, v, b in (("W_xh", x, "b_xh"), ("W_hh", h, "b_hh")))  # fmt: skip
        r = keep(f"r{up}_t", _sigma(u_x[0] + u_h[0]))
        z = keep(f"z{up}_t", _sigma(u_x[1] + u_h[1]))
        keep(f"q{up}_t", u_h[2])
        n = keep(f"n{up}_t", np.tanh(u_x[2] + r * u_h[2]))
        return keep(f"h{up}_t", (1 - z) * n + z * h)

    def lstm(self, w: Any, x: Any, before: Any, up: str, keep: Put) -> np.ndarray:
        h, c = before
        a = np.split(w["W_xh"] @ x + w["W_hh"] @ h + w["b_h"], 4)
        i, f, o = (
            keep(f"{name}{up}_t", _sigma(a[k])) for name, k in (("i", 0), ("f", 1), ("o", 3))
        )
        g = keep(f"g{up}_t", np.tanh(a[2]))
        c = keep(f"c{up}_t", f * c + i * g)
        return keep(f"h{up}_t", o * np.tanh(c))

    def any(self, w: Any, x: Any, before: Any, up: str, keep: Put) -> np.ndarray:
        cell, now = self.problem.cell, {"x": x}
        earlier = dict(zip(cell.parts, before, strict=True))
        own = cell.split(w)
        for equation in cell.equations.equations:
            value = computed(equation.right, now, earlier, own, "sigmoid")
            now[equation.name] = keep(f"{equation.name}{up}_t", value)
        return now[cell.parts[0]]

    # -- partials

    def value(self, t: int, name: str) -> np.ndarray:
        """A variable of step t, real."""
        return self.stacked(self.run(t), name).real

    def stacked(self, found: Variables, name: str) -> np.ndarray:
        return np.concatenate([found[part] for part in self.parts(name)])

    def partial(self, t: int, top: str, bottom: str, *, immediate: bool = False) -> np.ndarray:
        """∂top/∂bottom at step t; with ``immediate`` all other variables of the step are pinned."""
        nominal = self.run(t)
        free = {top} | {n for n in nominal if n.endswith("{t−1}")}
        if self.problem.cell.name == "gru":  # q_t is a part of n_t's equation
            free.add(f"q{top[1:]}")
        pinned = {n: v for n, v in nominal.items() if n not in free} if immediate else {}
        columns = []
        for name in self.parts(bottom):
            for unit in range(len(nominal[name])):
                put = _bump(name, unit, pinned)
                columns.append(self.stacked(self.run(t, put), top).imag / STEP)
        return np.array(columns).T

    def by_weight(self, t: int, top: str, weight: str) -> np.ndarray:
        """∂⁺top/∂W with s_{t−1} held fixed, (size of top, size of W)."""
        columns = []
        for index in np.ndindex(self.weights[weight].shape):
            bumped = self.weights[weight].copy()
            bumped[index] += 1j * STEP
            found = self.run(t, weights=self.weights | {weight: bumped})
            columns.append(self.stacked(found, top).imag / STEP)
        return np.array(columns).T


_CELLS = {"rnn": OneStep.rnn, "gru": OneStep.gru, "lstm": OneStep.lstm}


def _bump(name: str, unit: int, pinned: Variables) -> Put:
    def put(which: str, value: np.ndarray) -> np.ndarray:
        value = pinned.get(which, value)
        if which != name:
            return value
        return value + 1j * STEP * (np.arange(len(value)) == unit)

    return put


def rows_of_gate(problem: Problem, name: str) -> np.ndarray:
    """W_hi.1, b_xr: the rows of one gate; the whole parameter where it is named itself."""
    if name in problem.weights:
        return np.asarray(problem.weights[name])
    assert problem.cell.blocks, name
    stem, _, layer = name.partition(".")
    whole = problem.weights[f"{stem[:-1]}h{'.' + layer if layer else ''}"]
    gates: Iterable[str] = problem.cell.gates
    return np.split(np.asarray(whole), len(problem.cell.gates))[list(gates).index(stem[-1])]
