"""The known mistakes: one record each.

A record holds how people make it (``variations.py``, ``array_variations.py``), what it looks like,
the equations of exercise sheet 7 that it breaks (empty where none is), and what to tell the student
(``wording.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rnngrad.analyses.checking.diagnosing import array_variations, variations, wording
from rnngrad.analyses.checking.diagnosing.variations import Variation
from rnngrad.analyses.checking.diagnosing.wording import Location
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.net.problem import Problem

Vary = Callable[[Apart], Iterator[Variation]]


class Mistake(NamedTuple):
    """A mistake: ``vary`` makes it, ``explain`` tells it, without a number that gives the right one
    away; ``hint`` is the same without a formula, for whoever is not to be shown the right one.
    ``rank`` puts the specific (0) before the general; ``reads_off`` is the number that the
    array itself must give (``limit``, ``factor``). ``applies`` says whether a net has the rule.
    """

    bug: str
    looks_like: str
    equation: str
    explain: Callable[[Location], str]
    vary: Vary
    hint: str
    rank: int = 0
    reads_off: str = ""
    applies: Callable[[Problem], bool] = lambda problem: True


def _squares(problem: Problem) -> bool:
    return problem.loss is not None and problem.loss.name in ("squared_error", "mean_squared_error")


def _gated(problem: Problem) -> bool:
    return bool(problem.cell.blocks)


def _single_rnn(problem: Problem) -> bool:
    return problem.single_rnn


def _nothing(apart: Apart) -> Iterator[Variation]:
    """What is read off the array needs no pass."""
    return iter(())


_RECORDS = (
    Mistake("missing-activation-derivative", "σ' is missing: ∂h_t/∂h_{t−1} = W_hh, or "
            "∂⁺h_t/∂W = x_t", "(17), (26), (28)",
            wording.missing_activation_derivative, variations.missing_activation_derivative,
            hint="you left out σ' somewhere on the way back"),
    Mistake("activation-derivative-of-output", "σ'(h_t) for σ'(a_t)", "(17)",
            wording.activation_derivative_of_output, variations.activation_derivative_of_output,
            hint="you took σ' at a value that has been through σ already"),
    Mistake("activation-derivative-wrong-step", "σ'(a_{t−1}), or σ'(a_{t+1}), for σ'(a_t)",
            "(17)", wording.activation_derivative_wrong_step,
            variations.activation_derivative_wrong_step,
            hint="you took σ' at the pre-activation of a neighbouring step"),
    Mistake("immediate-only", "∂L/∂h_t is ∂L_t/∂h_t alone: no path through earlier states",
            "(18)–(24)", wording.immediate_only, variations.immediate_only,
            hint="you kept no path through earlier states"),
    Mistake("truncated", "each L_t keeps k immediate partials, those of steps t to t−k+1",
            "(29)–(35)", wording.truncated, variations.truncated,
            hint="you stopped each loss's way back too early", rank=1),
    Mistake("transposed-W_hh", "W_hhᵀ for W_hh on the way back", "(17)", wording.transposed_W_hh,
            variations.transposed_W_hh,
            hint="you multiplied by W_hh the wrong way round on the way back"),
    Mistake("h_t-for-h_prev", "h_t for h_{t−1} in ∂L/∂W_hh", "(28)", wording.h_t_for_h_prev,
            variations.h_t_for_h_prev,
            hint="you took the state of the wrong step beside W_hh"),
    Mistake("missing-factor-2", "(y_t − t_t) for 2 (y_t − t_t)", "(8)",
            wording.missing_factor_2, array_variations.missing_factor_2,
            hint="a constant factor of the loss's derivative is missing",
            applies=_squares),
    Mistake("sign-flipped", "minus the gradient", "(8)",
            wording.sign_flipped, array_variations.sign_flipped,
            hint="every sign is the wrong way round"),
    Mistake("averaged-over-steps", "the gradient divided by the number of steps", "(4)",
            wording.averaged_over_steps, array_variations.averaged_over_steps,
            hint="you divided by the number of steps, and L is defined without that here"),
    Mistake("last-loss-only", "only the last loss is back-propagated", "(4), (21)–(24)",
            wording.last_loss_only, variations.last_loss_only,
            hint="you back-propagated the last loss alone, but earlier ones count as well"),
    Mistake("missing-output-derivative", "∂L_t/∂h_t = ∂L_t/∂y_t · W_hy, without g'", "(15)",
            wording.missing_output_derivative, variations.missing_output_derivative,
            hint="you left out the derivative of the output's function"),
    Mistake("dropped-h_0", "right forward pass, but the term of h_0 left out of ∂L/∂W_hh",
            "(33)–(35)", wording.dropped_h_0,
            variations.dropped_h_0,
            hint="you left out h_0's own term"),
    Mistake("clipped", "every entry cut to between −c and c at the end",
            "", wording.clipped, _nothing,
            hint="you clipped the gradient element by element, which is a step of training",
            rank=1, reads_off="limit"),
    Mistake("sheet-eq-32", "∂h_2/∂W_xh for ∂h_1/∂W_xh at the end of L_3's longest path",
            "(32)", wording.sheet_eq_32, variations.sheet_eq_32,
            hint="the last factor of a path belongs to another step than the one it has reached",
            applies=_single_rnn),
    Mistake("gate-order", "gru, lstm: the gates' blocks of rows in another order, such as i, f, o, "
            "g or z, r, n", "", wording.gate_order, array_variations.gate_order,
            hint="you gave the gates' blocks of rows in another order", applies=_gated),
    Mistake("transposed", "the array itself is transposed", "",
            wording.transposed, array_variations.transposed,
            hint="you gave the transpose of the array"),
    Mistake("scaled", "every entry times one factor c", "", wording.scaled,
            _nothing,
            hint="every number is the same multiple of the right one: a mean, a sum, a batch?",
            rank=2, reads_off="factor"),
)  # fmt: skip

CATALOGUE: Mapping[str, Mistake] = MappingProxyType({r.bug: r for r in _RECORDS})
"""bug id -> record, the specific before the general: the one place to add a known mistake."""
