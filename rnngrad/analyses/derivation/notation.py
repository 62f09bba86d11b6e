"""How a net writes its own functions: σ', g', diag(…), and the pieces that formulas are made of.

A scalar net is written as on the exercise sheet, without diag and without transposes.
"""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.net.problem import Problem

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def raised(number: int) -> str:
    """12 -> ¹²"""
    return str(number).translate(_RAISED)


class Notation(NamedTuple):
    """The symbols for one problem; ``matrix``: also a scalar net is written with diag."""

    problem: Problem
    matrix: bool = False

    @property
    def scalar(self) -> bool:
        """Whether I = H = O = 1, so that every product commutes, and it is to be written so."""
        return not self.matrix and self.all_one

    @property
    def all_one(self) -> bool:
        """Whether I = H = O = 1."""
        problem = self.problem
        sizes = problem.layers[0].sizes.values()
        return problem.depth == 1 and problem.outputs == 1 and all(size == 1 for size in sizes)

    @property
    def state(self) -> str:
        """h, or s where the recurrent state is more than one h."""
        return self.own_state if self.problem.depth == 1 else self.whole

    @property
    def own_state(self) -> str:
        """The same of a layer for itself."""
        return self.first if len(self.problem.cell.parts) == 1 else self.whole

    @property
    def whole(self) -> str:
        """s, all parts of the state; S where an equation is of another s."""
        return "S" if "s" in self.problem.cell.equations.sizes else "s"

    @property
    def first(self) -> str:
        """h, or what the first part of the state is called."""
        return self.problem.cell.parts[0]

    @property
    def top(self) -> str:
        """The h that the read-out sees: h, or h² in a stack of two."""
        return f"{self.first}{raised(self.problem.depth)}" if self.problem.depth > 1 else self.first

    @property
    def g(self) -> str:
        """The output activation: σ where it is the σ of the cell too, as on the sheet."""
        problem = self.problem
        sigma = problem.activation.name if problem.cell.activation is None else "sigmoid"
        return "σ" if problem.output.name == sigma else "g"

    def pre_activation(self, t: str, previous: str) -> str:
        """W_xh x_t + W_hh h_{t−1} + b_h"""
        return f"W_xh x_{t} + W_hh h_{previous} + b_h"

    def one_step(self) -> str:
        """∂h_t/∂h_{t−1}"""
        slope = f"σ'({self.pre_activation('t', '{t−1}')})"
        return f"{slope}·W_hh" if self.scalar else f"diag({slope})·W_hh"

    def immediate(self, what: str) -> str:
        """∂⁺h_t/∂W: σ' times what W is multiplied by; for a vector net the compact form, whose
        entry [i, k] is σ'(a_t)[i] times entry k of that."""
        slope = f"σ'({self.pre_activation('t', '{t−1}')})"
        return f"{slope}·{what}" if self.scalar else f"{slope} ⊗ {what}"

    def loss_slope(self, t: int) -> str:
        """∂L_t/∂y_t in terms of y_t and the target t_t."""
        loss = self.problem.loss
        if loss is None:
            return "0"
        formula = loss.slope_formula.replace("target_t", f"t_{t}").replace("y_t", f"y_{t}")
        return self.weighted(formula)

    def weighted(self, formula: str) -> str:
        """The formula with the factor that loss_reduction 'mean' puts on every loss that counts."""
        weights = self.problem.loss_weights
        if weights is None or not (weights > 0).any() or weights.max() == 1.0:
            return formula
        inner = f"({formula})" if formula.startswith("−") else formula
        return f"(1/{1.0 / weights.max():.12g})·{inner}"

    def readout_slope(self, t: int) -> str:
        """∂y_t/∂h_t; in a stack y_t depends on the top layer alone."""
        slope = self._top_slope(t)
        below = self.problem.depth - 1
        return f"[{', '.join(['0'] * below)}, {slope}]" if below else slope

    def _top_slope(self, t: int) -> str:
        problem = self.problem
        W_hy = "W_hy" if problem.has_readout else ""
        if problem.output.name == "identity":
            return W_hy or "1"
        inner = f"W_hy {self.top}_{t} + b_y" if problem.has_readout else f"{self.top}_{t}"
        if problem.output.elementwise is None:
            slope = f"(diag(y_{t}) − y_{t} y_{t}ᵀ)"
        elif self.scalar:
            slope = f"{self.g}'({inner})"
        else:
            slope = f"diag({self.g}'({inner}))"
        return f"{slope}·{W_hy}" if W_hy else slope
