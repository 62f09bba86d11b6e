"""What each known mistake is told as: where it shows, and the equation that it breaks.

No number that gives the right one away; for any cell but one layer of rnn in words about gates,
or about the functions of its equations.
"""

from __future__ import annotations

from typing import NamedTuple


class Location(NamedTuple):
    """Where a mistake shows: in the pass from step ``s`` back to step ``p`` = s − 1 of T steps.

    ``cell`` is the cell's name where σ'(a_s) W_hh is not the whole of ∂h_s/∂h_p: any but rnn, and
    rnn in a stack; ``matrices`` are its recurrent ones.
    """

    s: int
    steps: int
    scalar: bool
    cut: int | None
    where: str
    cell: str = ""
    matrices: str = "W_hh"

    @property
    def p(self) -> int:
        return self.s - 1

    @property
    def known(self) -> bool:
        """Whether its gates have names that everybody knows."""
        return self.cell in _ON_THE_WAY

    @property
    def jacobian(self) -> str:
        """∂h_s/∂h_p"""
        if self.cell:
            return _ON_THE_WAY.get(self.cell, _ANY_WAY)
        slope = f"σ'(a_{self.s})"
        return f"{slope} W_hh" if self.scalar else f"diag({slope}) W_hh"


_ON_THE_WAY = {
    "rnn": "diag(σ') W_hh, layer by layer",
    "gru": "diag(z) + the gates' σ' and tanh' times their rows of W_hh",
    "lstm": "the gates' σ' and tanh' times their rows of W_hh, and ∂c_t/∂c_{t−1} = diag(f)",
}
"""∂s_t/∂s_{t−1} in words."""

_ANY_WAY = "the sum over all paths through the equations, each with the slopes and matrices on it"


_DENSE = "∂L/∂a_t = φ'(a_t) ∘ ∂L/∂x'_t, with x'_t = φ(a_t) and a_t = W_in x_t + b_in"


def missing_activation_derivative(b: Location) -> str:
    if b.where == "dense":
        return f"you applied no φ' in the dense layer before the net: {_DENSE}"
    if b.cell:
        place = f"where step {b.s} meets its weights" if b.where == "weights" else f"at step {b.s}"
        if not b.known:
            return (
                f"you applied no derivative of the activations {place}: what reaches f(a) is "
                "multiplied by f'(a) on its way to a, for every function of the equations"
            )
        return (
            f"you applied no derivative of the activations {place}: what reaches a gate's "
            f"pre-activation a_{b.s} is multiplied by σ'(a_{b.s}), tanh' for the candidate"
        )
    if b.where == "weights":
        return (
            f"you applied no σ' where step {b.s} meets its weights: "
            f"∂⁺h_{b.s}/∂W_xh = σ'(a_{b.s}) x_{b.s}, and likewise for W_hh and b_h"
        )
    return (
        f"you applied no σ' on the way back from step {b.s} to step {b.p}: "
        f"∂h_{b.s}/∂h_{b.p} = {b.jacobian}"
    )


def activation_derivative_of_output(b: Location) -> str:
    if b.where == "dense":
        return f"you took φ' at x'_t, which has been through φ already: {_DENSE}"
    if b.cell and not b.known:
        return (
            f"you took the derivatives at the functions' values of step {b.s}; they belong at what "
            "the functions are taken of"
        )
    if b.cell:
        return (
            f"you took the derivatives at the gates' outputs of step {b.s}, which have been "
            f"through σ already; they belong at the pre-activations a_{b.s}"
        )
    return (
        f"you took σ' at h_{b.s}, which has been through σ already; it belongs at the "
        f"pre-activation a_{b.s}: ∂h_{b.s}/∂h_{b.p} = {b.jacobian}"
    )


def activation_derivative_wrong_step(b: Location) -> str:
    if b.cell and not b.known:
        return (
            "you took the functions' derivatives at a neighbouring step: those of step "
            f"{b.s} are taken of that step's own numbers"
        )
    if b.cell:
        return (
            "you took the gates' derivatives at the pre-activations of a neighbouring step: at "
            f"step {b.s} they are σ'(a_{b.s}), tanh' for the candidate"
        )
    return (
        f"you took σ' at the pre-activation of a neighbouring step: on the way back from step "
        f"{b.s} to step {b.p} it is σ'(a_{b.s}), so ∂h_{b.s}/∂h_{b.p} = {b.jacobian}"
    )


def immediate_only(b: Location) -> str:
    if b.cell:
        return (
            f"you kept no path through earlier states: L_{b.s} depends on the state of step {b.p} "
            f"as well, by way of ∂s_{b.s}/∂s_{b.p}, so ∂L/∂s_{b.p} holds "
            f"∂L_{b.p}/∂s_{b.p} + ∂L/∂s_{b.s} · ∂s_{b.s}/∂s_{b.p}"
        )
    return (
        f"you kept no path through earlier states: L_{b.s} depends on h_{b.p} as well, by way of "
        f"∂h_{b.s}/∂h_{b.p}, so ∂L/∂h_{b.p} holds ∂L_{b.p}/∂h_{b.p} + ∂L/∂h_{b.s} · "
        f"∂h_{b.s}/∂h_{b.p}"
    )


def truncated(b: Location) -> str:
    cut = b.cut or 2
    reached = max(1, b.steps - cut + 1)
    return (
        f"you stopped each loss's way back after {cut} steps: L_{b.steps} reaches "
        f"h_{b.steps} to h_{reached} and no earlier state, but its paths go on to step 1"
    )


def transposed_W_hh(b: Location) -> str:
    if b.cell and not b.known:
        return (
            f"you multiplied by the transpose of a recurrent matrix on the way back from step "
            f"{b.s} to step {b.p}: of a = W v, ∂L/∂v as a row is ∂L/∂a · W, as a column "
            f"Wᵀ · ∂L/∂a, for W = {b.matrices}"
        )
    if b.cell:
        return (
            f"you multiplied by the transpose of W_hh on the way back from step {b.s} to step "
            f"{b.p}: ∂L/∂h_{b.p} as a row is the sum over gates of ∂L/∂a_{b.s} · W_hh, as a column "
            f"W_hhᵀ · ∂L/∂a_{b.s}, with the gate's own rows of W_hh"
        )
    return (
        f"you multiplied by the transpose of W_hh on the way back from step {b.s} to step {b.p}: "
        f"∂L/∂h_{b.p} as a row is ∂L/∂h_{b.s} · {b.jacobian}, as a column "
        f"W_hhᵀ diag(σ'(a_{b.s})) · ∂L/∂h_{b.s}"
    )


def h_t_for_h_prev(b: Location) -> str:
    if b.cell and not b.known:
        return (
            f"you multiplied by h_{b.s} where a parameter meets h_{b.p}: of a = W h_{b.p}, ∂L/∂W "
            f"is the sum of ∂L/∂a ⊗ h_{b.p} over the steps"
        )
    if b.cell:
        return (
            f"you multiplied by h_{b.s} where W_hh meets h_{b.p}: ∂L/∂W_hh is the sum of "
            f"∂L/∂a_{b.s} ⊗ h_{b.p} over the steps"
        )
    return (
        f"you multiplied by h_{b.s} where W_hh meets h_{b.p}: ∂⁺h_{b.s}/∂W_hh = σ'(a_{b.s}) h_{b.p}"
    )


def missing_factor_2(b: Location) -> str:
    return f"the square's 2 is missing: ∂L_{b.s}/∂y_{b.s} = −2 (t_{b.s} − y_{b.s})"


def sign_flipped(b: Location) -> str:
    return (
        "every sign is the wrong way round, as without the inner derivative −1 of "
        f"t_{b.s} − y_{b.s}: this points where L falls, and descent would climb"
    )


def averaged_over_steps(b: Location) -> str:
    return "you divided by the number of steps: L is defined without that division here"


def last_loss_only(b: Location) -> str:
    return (
        "you back-propagated the last loss alone, but earlier ones count as well: ∂L/∂h_t holds "
        "∂L_t/∂h_t at each of their steps, besides what comes back from step t + 1"
    )


def missing_output_derivative(b: Location) -> str:
    return (
        f"you went from y_{b.s} to h_{b.s} without the output's derivative: "
        f"∂L_{b.s}/∂h_{b.s} = ∂L_{b.s}/∂y_{b.s} · g'(W_hy h_{b.s} + b_y) W_hy"
    )


def dropped_h_0(b: Location) -> str:
    if b.where == "start":
        return (
            "row 0 of your array is 0: it is ∂L/∂s_0, what comes back from step 1 to the state "
            "before it"
        )
    if b.cell and not b.known:
        return (
            "you left out the start's own term: step 1 meets h_0 as any other step meets its "
            "h_{t−1}, and that term is zero only where h_0 is"
        )
    if b.cell:
        return (
            "you left out h_0's own term: W_hh is used at step 1 too, where ∂L/∂a_1 ⊗ h_0 is zero "
            "only for h_0 = 0"
        )
    return (
        "you left out h_0's own term: W_hh is used at step 1 too, where "
        "∂⁺h_1/∂W_hh = σ'(a_1) h_0, which is zero only for h_0 = 0"
    )


def clipped(b: Location) -> str:
    return (
        "you clipped the gradient element by element: that is a step of training, after the "
        "gradient, and its entries are no derivatives of L any more"
    )


def sheet_eq_32(b: Location) -> str:
    return (
        "you multiplied the path ∂h_3/∂h_2 · ∂h_2/∂h_1 by ∂h_2/∂W_xh, as (32) is misprinted: it "
        "has reached h_1, so its last factor is ∂h_1/∂W_xh"
    )


def gate_order(b: Location) -> str:
    gates = b.where or "i, f, o, g"
    right = {"gru": "r, z, n", "lstm": "i, f, g, o"}.get(b.cell, "i, f, g, o of lstm")
    return (
        f"you gave the gates' blocks of rows in the order {gates}: the numbers are right, and "
        f"belong in the order {right}"
    )


def transposed(b: Location) -> str:
    return (
        "you gave the transpose of the array: a gradient has the shape of its parameter, with row "
        "i for unit i, and a Jacobian's rows are the outputs"
    )


def scaled(b: Location) -> str:
    return "every number is the same multiple of the right one: a factor too many or too few"
