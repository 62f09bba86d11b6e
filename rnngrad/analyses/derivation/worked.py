"""The numbers behind what stands in a formula: h_2, W_hh, ∂h_3/∂h_2, σ'(a_3) of one net.

    ∂L_t/∂y_t (1, O)   ∂y_t/∂h_t (O, H)   ∂h_t/∂h_{t−1} (H, H):  rows the outputs, as in Jacobians

A name is looked up as it is written, with a number for its step. What has no number of its own (a
partial by a whole matrix of weights) is None.
"""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.gates import gates
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.arithmetic.arrays import Array, quietly

_STEPPED = re.compile(r"(.+)_\{?(\d+)\}?")


LARGEST = 10_000_000
"""Numbers of all Jacobians together, beyond which a partial is not looked up."""


class Symbol:
    """A name taken apart: ``h_3`` is h and 3, ``W_hh`` is itself and None."""

    def __init__(self, text: str) -> None:
        match = _STEPPED.fullmatch(text)
        self.head = match[1] if match else text
        self.step = int(match[2]) if match else None


class Numbers:
    """The values of one derivation's names and partials."""

    def __init__(self, result: Derivation) -> None:
        self.result, self.problem = result, result.problem
        self.forward = result.passes.forward
        self.notation = Notation(result.problem)

    def name(self, text: str) -> Array | None:
        """h_3, x_1, t_2, a_3, W_hh, a gate; a vector as (n,). O is the number of outputs."""
        own, (head, t) = self.problem.layers[0].own, (Symbol(text).head, Symbol(text).step)
        if self.problem.depth == 1 and text in own:
            return np.asarray(own[text])
        if text in self.problem.weights:
            return np.asarray(self.problem.weights[text])
        if t is None:
            return np.array([self.problem.outputs]) if text == "O" else None
        if head in self.problem.cell.parts and self.problem.depth == 1:
            return np.asarray(self.forward.part(head)[t])
        if t < 1:
            return None
        if head in ("t", "u"):
            return None if self.problem.targets is None else self.problem.targets[t - 1]
        rows: Array | None = {"x": self.problem.x, "y": self.forward.y}.get(head)
        if rows is None and head == "a" and self.problem.single_rnn:
            rows = self.forward.a
        rows = self._gates.get(head) if rows is None else rows
        return None if rows is None else np.asarray(rows[t - 1])

    @cached_property
    def _gates(self) -> dict[str, Array]:
        problem = self.problem
        if problem.depth > 1 or problem.cell.activation is None:
            return {}
        return {gate.name: gate.value for gate in gates(problem, problem.layers[0],
                                                       self.forward.layers[0])}  # fmt: skip

    def slope(self, function: str, t: int) -> Array | None:
        """σ'(a_t) of rnn, g'(…) of the read-out at step t; a vector."""
        problem = self.problem
        with quietly():
            if function == "g" or (function == "σ" and not problem.single_rnn):
                g = problem.output.elementwise
                return None if g is None else np.asarray(g.slope(self.readout_sum[t - 1]))
            return problem.activation.slope(self.forward.a[t - 1])

    @cached_property
    def readout_sum(self) -> Array:
        """W_hy h_t + b_y, or h_t of the top layer, (T, O)."""
        problem = self.problem
        top = self.forward.part(problem.cell.parts[0])[1:, problem.layers[-1].units]
        if not problem.has_readout:
            return top
        summed: Array = top @ problem.weights["W_hy"].T + problem.weights["b_y"]
        return summed

    @cached_property
    def _readout(self) -> Array:
        """∂y_t/∂s_t, (T, O, S)."""
        problem = self.problem
        with quietly():
            slopes = problem.output.jacobian(self.readout_sum, self.forward.y)
            towards = slopes @ problem.weights["W_hy"] if problem.has_readout else slopes
        whole = np.zeros((*towards.shape[:2], problem.state_size))
        whole[:, :, problem.layers[-1].state[0]] = towards
        return whole

    def partial(self, top: str, bottom: str, *, immediate: bool = False) -> Array | None:
        """∂top/∂bottom as a matrix: rows the outputs, a loss one row."""
        above, below = Symbol(top), Symbol(bottom)
        if above.head == "L":
            return self._of_loss(above, below)
        if above.step is None or below.step is None:
            return self._immediate(above, bottom) if immediate else None
        if immediate or self.problem.steps * self.problem.state_size**2 > LARGEST:
            return None
        if above.head == "y" and above.step == below.step:
            columns = self._columns(below.head)
            at = self._readout[above.step - 1]
            return None if columns is None else np.asarray(at[:, columns])
        rows, columns = self._columns(above.head), self._columns(below.head)
        if rows is None or columns is None or above.step != below.step + 1 or below.step < 0:
            return None
        return np.asarray(self._jacobians[below.step][rows][:, columns])

    @cached_property
    def _jacobians(self) -> Array:
        return self.result["dht_dhprev"]

    def _columns(self, head: str) -> slice | None:
        """Which of the state's coordinates a part is: all for s, of one layer those of h or c."""
        problem = self.problem
        if head == self.notation.state:
            return slice(0, problem.state_size)
        if problem.depth > 1 or head not in problem.cell.parts:
            return None
        return problem.layers[0].state[problem.cell.parts.index(head)]

    def _of_loss(self, above: Symbol, below: Symbol) -> Array | None:
        if self.problem.loss is None or below.step is None:
            return None
        if below.head == "L":
            return np.ones((1, 1))
        if below.head == "y" and above.step in (None, below.step):
            return np.asarray(self.result["dL_dy"][below.step - 1][np.newaxis])
        if self.problem.upstream and above.step == below.step:
            return np.asarray(self.result["dLt_dht"][below.step - 1][np.newaxis])
        if above.step is None and below.head == self.notation.state and self.problem.depth == 1:
            rows = self.result.passes.backward.dL_ds.values()
            return np.concatenate([row[below.step] for row in rows])[np.newaxis]
        name = f"dL_d{below.head}"
        if above.step is None and name in self.result and below.head in self.problem.cell.parts:
            return np.asarray(self.result[name][below.step][np.newaxis])
        return None

    def _immediate(self, above: Symbol, weight: str) -> Array | None:
        """∂⁺h_t/∂W where all of it is one number."""
        if above.step is None or not self.notation.all_one or not self.problem.single_rnn:
            return None
        name = f"dht_d{weight}"
        return self.result[name][above.step - 1].reshape(1, 1) if name in self.result else None

    def by_step(self, weight: str) -> Array | None:
        """The terms of ∂L/∂W, (T, …): that of step k is ∂L/∂s_k · ∂⁺s_k/∂W."""
        name, _, layer = weight.partition(".")
        asked = f"dL_d{name}_by_step" + (f".{layer}" if layer else "")
        return self.result.get(asked)
