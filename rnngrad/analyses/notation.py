"""How a net writes its own functions: σ', g', diag(…), and the pieces that formulas are made of.

A scalar net is written as on the exercise sheet, without diag and without transposes.
"""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.core.problem import Problem


class Notation(NamedTuple):
    """The symbols for one problem."""

    problem: Problem

    @property
    def scalar(self) -> bool:
        """Whether I = H = O = 1, so that every product commutes."""
        return self.problem.inputs == self.problem.hidden == self.problem.outputs == 1

    @property
    def g(self) -> str:
        """The output activation: σ where it is the hidden one too, as on the sheet."""
        return "σ" if self.problem.output.name == self.problem.activation.name else "g"

    def pre_activation(self, t: str, previous: str) -> str:
        """W_xh x_t + W_hh h_{t−1} + b_h"""
        return f"W_xh x_{t} + W_hh h_{previous} + b_h"

    def one_step(self) -> str:
        """∂h_t/∂h_{t−1}"""
        slope = f"σ'({self.pre_activation('t', '{t−1}')})"
        return f"{slope}·W_hh" if self.scalar else f"diag({slope})·W_hh"

    def immediate(self, what: str) -> str:
        """∂⁺h_t/∂W: σ' times what W is multiplied by; for a vector net the entry [i, k]."""
        slope = f"σ'({self.pre_activation('t', '{t−1}')})"
        return f"{slope}·{what}" if self.scalar else f"{slope}[i]·{what}[k]"

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
        return f"(1/{int((weights > 0).sum())})·{inner}"

    def readout_slope(self, t: int) -> str:
        """∂y_t/∂h_t"""
        problem = self.problem
        W_hy = "W_hy" if problem.has_readout else ""
        if problem.output.name == "identity":
            return W_hy or "1"
        inner = f"W_hy h_{t} + b_y" if problem.has_readout else f"h_{t}"
        if problem.output.elementwise is None:
            slope = f"(diag(y_{t}) − y_{t} y_{t}ᵀ)"
        elif self.scalar:
            slope = f"{self.g}'({inner})"
        else:
            slope = f"diag({self.g}'({inner}))"
        return f"{slope}·{W_hy}" if W_hy else slope
