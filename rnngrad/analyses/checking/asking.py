"""What the report asks where no mistake is named, or only a factor: a mean, a batch, float32,
not filled in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.analyses.checking.comparing import EPS, EPS_SINGLE, logarithmic
from rnngrad.analyses.checking.fitting import Case
from rnngrad.analyses.checking.verdicts import Diagnosis
from rnngrad.core.given import GivenArray
from rnngrad.core.problem import Problem

UNKNOWN = "no known mistake gives these numbers"
LONELY = "a single number is wrong, and that alone does not tell one mistake from another"
BATCH = (
    f"{UNKNOWN}, and nothing is right: is it the gradient of another loss, such as a mean over "
    "steps or outputs, or of more sequences than this one, a batch?"
)
IN_FLOAT64 = "compute and save in float64"
SINGLE = (
    f"these are numbers of float32, and off by no more than its rounding may grow to: {IN_FLOAT64}"
)
EMPTY = "every number is 0: is it not filled in yet?"

SINGLE_GROWS_TO = 1e-3
"""Ten times the tolerance of float32: what is further off is no residual of rounding."""
LARGEST_BATCH = 10_000
"""Sequences; a larger factor is no count of them."""


def of_a_factor(factor: float, problem: Problem, tolerance: float) -> str:
    """``; the factor is 1/(T·O) = 1/15: the mean …?`` where it is one of the counts of this net, or
    of a batch; nothing elsewhere. ``tolerance`` is how exactly the factor is known, relatively."""
    count = (
        round(max(factor, 1.0 / factor)) if 1.0 / LARGEST_BATCH <= factor <= LARGEST_BATCH else 0
    )
    mean = factor < 1.0
    exact = 1.0 / count if mean and count else float(count)
    if count < 2 or abs(factor / exact - 1.0) > tolerance or tolerance * count > 0.1:
        return ""
    sign, over = _counts(problem).get(count, ("", ""))
    named = f"1/{f'({sign})' if '·' in sign else sign}" if mean else sign
    number = f"1/{count}" if mean else f"{count}"
    return (
        f"; the factor is {f'{named} = ' if sign else ''}{number}: the {'mean' if mean else 'sum'} "
        f"over {f'{over}, or over ' if over else ''}a batch of {count}?"
    )


def _counts(problem: Problem) -> dict[int, tuple[str, str]]:
    """number -> its sign, if it has one, and what it counts."""
    steps, outputs = problem.steps, problem.outputs
    weights = problem.loss_weights
    counting = steps if weights is None else int(np.count_nonzero(weights))
    counts = {
        counting * outputs: ("", "steps that count and outputs"),
        counting: ("", "steps that count"),
        steps * outputs: ("T·O", "steps and outputs"),
        outputs: ("O", "outputs"),
        steps: ("T", "steps"),
    }
    return {number: words for number, words in counts.items() if number > 1}


def of_float32(case: Case) -> bool:
    """Whether the numbers are float32, and wrong by what its rounding may have become.

    In a float64 array they are told by their bits: each is a float32, and some need more of them
    than float16 has, as no number that somebody typed does.
    """
    compared = case.compared
    if compared is None or logarithmic(case.record) or compared.largest_error > SINGLE_GROWS_TO:
        return False
    return _single(case.got)


def _single(got: GivenArray) -> bool:
    values = got.values
    if got.eps > EPS:
        return got.eps <= EPS_SINGLE
    with np.errstate(all="ignore"):
        single, half = values.astype(np.float32), values.astype(np.float16)
    return bool((single == values).all() and (half != values).any())


def of_a_batch(told: Mapping[str, Diagnosis | None]) -> dict[str, Diagnosis | None]:
    """The diagnoses of a framework's arrays of which none is right: asked about where none of them
    names a mistake. Of an array of a single number any factor is a candidate: it stays as it is."""
    if any(one is not None and one.explanation not in (UNKNOWN, LONELY) for one in told.values()):
        return dict(told)
    asked = {}
    for name, one in told.items():
        lonely = one is not None and one.explanation == LONELY
        asked[name] = one if lonely else Diagnosis(None, BATCH, None, one and one.first_wrong_step)
    return asked
