"""The known mistakes: one record each.

A record holds how people make it (``variations.py``), what it looks like, the equations of exercise
sheet 7 that it breaks (empty where none is), and what to tell the student.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rnngrad.analyses.checking import variations
from rnngrad.analyses.checking.rules import Rules
from rnngrad.analyses.checking.variations import Variation
from rnngrad.core.problem import Problem

Vary = Callable[[Rules], Iterator[Variation]]


class Bite(NamedTuple):
    """Where a mistake shows: in the pass from step ``s`` back to step ``p`` = s − 1 of T steps.

    ``cell`` is the cell's name where σ'(a_s) W_hh is not the whole of ∂h_s/∂h_p: gru, lstm, and
    rnn in a stack.
    """

    s: int
    steps: int
    scalar: bool
    cut: int | None
    where: str
    cell: str = ""

    @property
    def p(self) -> int:
        return self.s - 1

    @property
    def jacobian(self) -> str:
        """∂h_s/∂h_p"""
        if self.cell:
            return _ON_THE_WAY[self.cell]
        slope = f"σ'(a_{self.s})"
        return f"{slope} W_hh" if self.scalar else f"diag({slope}) W_hh"


_ON_THE_WAY = {
    "rnn": "diag(σ') W_hh, layer by layer",
    "gru": "diag(z) + the gates' σ' and tanh' times their rows of W_hh",
    "lstm": "the gates' σ' and tanh' times their rows of W_hh, and ∂c_t/∂c_{t−1} = diag(f)",
}
"""∂s_t/∂s_{t−1} in words."""


class Mistake(NamedTuple):
    """A mistake: ``vary`` makes it, ``explain`` tells it, without a number that gives the right one
    away; ``hint`` is the same without a formula, for whoever is not to be shown the right one.
    ``rank`` puts the specific (0) before the general; ``reads_off`` is the number that the
    array itself must give (``limit``, ``factor``). ``applies`` says whether a net has the rule.
    """

    bug: str
    looks_like: str
    equation: str
    explain: Callable[[Bite], str]
    vary: Vary
    hint: str
    rank: int = 0
    reads_off: str = ""
    applies: Callable[[Problem], bool] = lambda problem: True


def _missing_slope(b: Bite) -> str:
    if b.cell:
        place = f"where step {b.s} meets its weights" if b.where == "weights" else f"at step {b.s}"
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


def _slope_of_output(b: Bite) -> str:
    if b.cell:
        return (
            f"you took the derivatives at the gates' outputs of step {b.s}, which have been "
            f"through σ already; they belong at the pre-activations a_{b.s}"
        )
    return (
        f"you took σ' at h_{b.s}, which has been through σ already; it belongs at the "
        f"pre-activation a_{b.s}: ∂h_{b.s}/∂h_{b.p} = {b.jacobian}"
    )


def _wrong_step(b: Bite) -> str:
    if b.cell:
        return (
            "you took the gates' derivatives at the pre-activations of a neighbouring step: at "
            f"step {b.s} they are σ'(a_{b.s}), tanh' for the candidate"
        )
    return (
        f"you took σ' at the pre-activation of a neighbouring step: on the way back from step "
        f"{b.s} to step {b.p} it is σ'(a_{b.s}), so ∂h_{b.s}/∂h_{b.p} = {b.jacobian}"
    )


def _immediate_only(b: Bite) -> str:
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


def _truncated(b: Bite) -> str:
    cut = b.cut or 2
    reached = max(1, b.steps - cut + 1)
    return (
        f"you stopped each loss's way back after {cut} steps: L_{b.steps} reaches "
        f"h_{b.steps} to h_{reached} and no earlier state, but its paths go on to step 1"
    )


def _transposed_W_hh(b: Bite) -> str:
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


def _h_t(b: Bite) -> str:
    if b.cell:
        return (
            f"you multiplied by h_{b.s} where W_hh meets h_{b.p}: ∂L/∂W_hh is the sum of "
            f"∂L/∂a_{b.s} ⊗ h_{b.p} over the steps"
        )
    return (
        f"you multiplied by h_{b.s} where W_hh meets h_{b.p}: ∂⁺h_{b.s}/∂W_hh = σ'(a_{b.s}) h_{b.p}"
    )


def _half(b: Bite) -> str:
    return f"the square's 2 is missing: ∂L_{b.s}/∂y_{b.s} = −2 (t_{b.s} − y_{b.s})"


def _sign(b: Bite) -> str:
    return (
        "every sign is the wrong way round, as without the inner derivative −1 of "
        f"t_{b.s} − y_{b.s}: this points where L falls, and descent would climb"
    )


def _averaged(b: Bite) -> str:
    return "you divided by the number of steps: L is defined without that division here"


def _last_loss(b: Bite) -> str:
    return (
        "you back-propagated the last loss alone, but earlier ones count as well: ∂L/∂h_t holds "
        "∂L_t/∂h_t at each of their steps, besides what comes back from step t + 1"
    )


def _no_output_slope(b: Bite) -> str:
    return (
        f"you went from y_{b.s} to h_{b.s} without the output's derivative: "
        f"∂L_{b.s}/∂h_{b.s} = ∂L_{b.s}/∂y_{b.s} · g'(W_hy h_{b.s} + b_y) W_hy"
    )


def _dropped(b: Bite) -> str:
    if b.cell:
        return (
            "you left out h_0's own term: W_hh is used at step 1 too, where ∂L/∂a_1 ⊗ h_0 is zero "
            "only for h_0 = 0"
        )
    return (
        "you left out h_0's own term: W_hh is used at step 1 too, where "
        "∂⁺h_1/∂W_hh = σ'(a_1) h_0, which is zero only for h_0 = 0"
    )


def _clipped(b: Bite) -> str:
    return (
        "you clipped the gradient element by element: that is a step of training, after the "
        "gradient, and its entries are no derivatives of L any more"
    )


def _eq_32(b: Bite) -> str:
    return (
        "you multiplied the path ∂h_3/∂h_2 · ∂h_2/∂h_1 by ∂h_2/∂W_xh, as (32) is misprinted: it "
        "has reached h_1, so its last factor is ∂h_1/∂W_xh"
    )


def _gate_order(b: Bite) -> str:
    gates = b.where or "i, f, o, g"
    return (
        f"you gave the gates' blocks of rows in the order {gates}: the numbers are right, and "
        "belong in the order that this cell has (r, z, n for gru, i, f, g, o for lstm)"
    )


def _turned(b: Bite) -> str:
    return (
        "you gave the transpose of the array: a gradient has the shape of its parameter, with row "
        "i for unit i, and a Jacobian's rows are the outputs"
    )


def _scaled(b: Bite) -> str:
    return "every number is the same multiple of the right one: a factor too many or too few"


def _squares(problem: Problem) -> bool:
    return problem.loss is not None and problem.loss.name in ("squared_error", "mean_squared_error")


def _gated(problem: Problem) -> bool:
    return len(problem.cell.gates) > 1


def _single_rnn(problem: Problem) -> bool:
    return problem.single_rnn


def _nothing(rules: Rules) -> Iterator[Variation]:
    """What is read off the array needs no rules."""
    return iter(())


_RECORDS = (
    Mistake("missing-activation-derivative", "σ' is missing: ∂h_t/∂h_{t−1} = W_hh, or "
            "∂⁺h_t/∂W = x_t", "(17), (26), (28)", _missing_slope, variations.no_slope,
            hint="you left out σ' somewhere on the way back"),
    Mistake("activation-derivative-of-output", "σ'(h_t) for σ'(a_t)", "(17)", _slope_of_output,
            variations.slope_of_output,
            hint="you took σ' at a value that has been through σ already"),
    Mistake("activation-derivative-wrong-step", "σ'(a_{t−1}), or σ'(a_{t+1}), for σ'(a_t)",
            "(17)", _wrong_step, variations.slope_of_wrong_step,
            hint="you took σ' at the pre-activation of a neighbouring step"),
    Mistake("immediate-only", "∂L/∂h_t is ∂L_t/∂h_t alone: no path through earlier states",
            "(18)–(24)", _immediate_only, variations.immediate_only,
            hint="you kept no path through earlier states"),
    Mistake("truncated", "each L_t keeps k immediate partials, those of steps t to t−k+1",
            "(29)–(35)", _truncated, variations.truncated,
            hint="you stopped each loss's way back too early", rank=1),
    Mistake("transposed-W_hh", "W_hhᵀ for W_hh on the way back", "(17)", _transposed_W_hh,
            variations.transposed_W_hh,
            hint="you multiplied by W_hh the wrong way round on the way back"),
    Mistake("h_t-for-h_prev", "h_t for h_{t−1} in ∂L/∂W_hh", "(28)", _h_t,
            variations.h_t_for_h_prev,
            hint="you took the state of the wrong step beside W_hh"),
    Mistake("missing-factor-2", "(y_t − t_t) for 2 (y_t − t_t)", "(8)", _half, variations.half,
            hint="a constant factor of the loss's derivative is missing",
            applies=_squares),
    Mistake("sign-flipped", "minus the gradient", "(8)", _sign, variations.sign_flipped,
            hint="every sign is the wrong way round"),
    Mistake("averaged-over-steps", "the gradient divided by the number of steps", "(4)",
            _averaged, variations.averaged,
            hint="you divided by the number of steps, and L is defined without that here"),
    Mistake("last-loss-only", "only the last loss is back-propagated", "(4), (21)–(24)",
            _last_loss, variations.last_loss_only,
            hint="you back-propagated the last loss alone, but earlier ones count as well"),
    Mistake("missing-output-derivative", "∂L_t/∂h_t = ∂L_t/∂y_t · W_hy, without g'", "(15)",
            _no_output_slope, variations.no_output_slope,
            hint="you left out the derivative of the output's function"),
    Mistake("dropped-h_0", "right forward pass, but the term of h_0 left out of ∂L/∂W_hh",
            "(33)–(35)", _dropped,
            variations.dropped_h_0,
            hint="you left out h_0's own term"),
    Mistake("clipped", "every entry cut to between −c and c at the end",
            "", _clipped, _nothing,
            hint="you clipped the gradient element by element, which is a step of training",
            rank=1, reads_off="limit"),
    Mistake("sheet-eq-32", "∂h_2/∂W_xh for ∂h_1/∂W_xh at the end of L_3's longest path",
            "(32)", _eq_32, variations.sheet_eq_32,
            hint="the last factor of a path belongs to another step than the one it has reached",
            applies=_single_rnn),
    Mistake("gate-order", "gru, lstm: the gates' blocks of rows in another order, such as i, f, o, "
            "g or z, r, n", "", _gate_order, variations.other_order,
            hint="you gave the gates' blocks of rows in another order", applies=_gated),
    Mistake("transposed", "the array itself is transposed", "",
            _turned, variations.turned,
            hint="you gave the transpose of the array"),
    Mistake("scaled", "every entry times one factor c", "", _scaled,
            _nothing,
            hint="every number is the same multiple of the right one", rank=2, reads_off="factor"),
)  # fmt: skip

CATALOGUE: Mapping[str, Mistake] = MappingProxyType({r.bug: r for r in _RECORDS})
"""bug id -> record, the specific before the general: the one place to add a known mistake."""
