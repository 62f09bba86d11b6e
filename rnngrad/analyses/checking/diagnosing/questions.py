"""What the report asks where no mistake is named, or only a factor: a mean, a batch, a norm,
float32, not filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import EPS_SINGLE, logarithmic
from rnngrad.analyses.checking.comparing.places import gates_of, of_a_row
from rnngrad.analyses.checking.comparing.tolerance import EPS
from rnngrad.analyses.checking.comparing.verdicts import Diagnosis
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.net.cells import EMBEDDING as TOKENS
from rnngrad.net.cells import OF_THE_INPUTS
from rnngrad.net.given_arrays import GivenArray, Mask
from rnngrad.net.problem import REVERSE, Problem

UNKNOWN = "no known mistake gives these numbers"
EMBEDDING = f"dL_d{TOKENS}"
LONELY = "a single number is wrong, and that alone does not tell one mistake from another"
BATCH = (
    f"{UNKNOWN}, and nothing is right: is it the gradient of another loss, such as a mean over "
    "steps or outputs, or of more sequences than this one, a batch?"
)
NUMBERS_OF = "these are the numbers of "
SWAPPED = f"{NUMBERS_OF}the other direction: forward and reverse are swapped"
IN_FLOAT64 = "compute and save in float64"
SINGLE = (
    f"these are numbers of float32, and off by no more than its rounding may grow to: {IN_FLOAT64}"
)
ZERO = "every number is 0"
EMPTY = f"{ZERO}: is it not filled in yet?"

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
    of = [
        over,
        *([f"over a batch of {count}" if over else f"a batch of {count}"] if count > 2 else []),
    ]
    what = ", or ".join(filter(None, of))
    if not what:  # a 2 has other reasons than a batch of two sequences
        return ""
    shown = f"{named} = {number}" if sign else number
    return f"; the factor is {shown}: the {'mean' if mean else 'sum'} over {what}?"


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
    if any(map(_says_more, told.values())):
        return dict(told)
    asked = {}
    for name, one in told.items():
        lonely = one is not None and one.explanation == LONELY
        step, where = (None, None) if one is None else (one.first_wrong_step, one.where)
        asked[name] = one if lonely else Diagnosis(None, BATCH, None, step, where=where)
    return asked


def _says_more(one: Diagnosis | None) -> bool:
    """Whether it says more than that nothing is known."""
    if one is None or one.explanation == LONELY:
        return False
    return bool(one.bug or one.candidates) or not one.explanation.startswith(UNKNOWN)


# ---------------------------------------------------------------------------- zeros


def of_zeros(case: Case, problem: Problem) -> str:
    """``gate f: every number is 0`` where that is wrong; of a step, a row, or of everything."""
    got = case.got.values
    if got.size and not got.any():
        return EMPTY
    if case.compared is None or logarithmic(case.record) or got.ndim == 0:
        return ""
    zero, wrong = got == 0, case.compared.wrong
    if case.record.first_step is not None:
        first = case.record.first_step
        steps = [int(t) + first for t in _rows_of_zeros(zero, wrong)]
        return _all_zero("step", _ranges(steps), one=got[0].size == 1) if steps else ""
    if case.name == EMBEDDING:
        rows = _rows_of_zeros(zero, wrong)
        padding = f"{ZERO}: does the embedding have padding_idx={rows[0]}?" if rows else ""
        return f"row {rows[0]}: {padding}" if len(rows) == wrong.any(axis=1).sum() == 1 else ""
    parameter = case.record.parameter
    return "" if parameter is None else _in_a_parameter(zero, wrong, parameter, problem)


def of_turned(case: Case, problem: Problem) -> str:
    """``gate f: transposed`` where the block of a gate is right but for that."""
    got, parameter = case.got.values, case.record.parameter
    gates = gates_of(problem, parameter) if parameter and case.compared else ()
    if not gates or got.shape != (len(gates) * got.shape[-1], got.shape[-1]):
        return ""
    near = case.tolerance * np.abs(case.right).max(initial=0.0)
    blocks = (np.split(array, len(gates)) for array in (got, case.right))
    turned = [
        gate
        for gate, a, b in zip(gates, *blocks, strict=True)
        if np.abs(a - b.T).max() <= near < np.abs(a - b).max()
    ]
    return f"gate{'s' * (len(turned) > 1)} {', '.join(turned)}: transposed" if turned else ""


def _in_a_parameter(zero: Mask, wrong: Mask, parameter: str, problem: Problem) -> str:
    """Whole gates, else rows of several numbers."""
    gates = gates_of(problem, parameter)
    if gates:
        blocks = zero.reshape(len(gates), -1), wrong.reshape(len(gates), -1)
        empty = [gates[at] for at in _rows_of_zeros(*blocks)]
        if empty:
            return _all_zero("gate", empty, one=blocks[0].shape[1] == 1)
    if zero.ndim < 2 or zero.shape[1] < 2:
        return ""
    rows = _rows_of_zeros(zero, wrong)
    said = "; ".join(of_a_row(problem, parameter, int(row)) for row in rows[:_FEW])
    more = f"; and {len(rows) - _FEW} more rows" if len(rows) > _FEW else ""
    return f"{said}{more}: {ZERO}" if said else ""


_FEW = 4
"""Rows that are listed one by one."""


def _rows_of_zeros(zero: Mask, wrong: Mask) -> Sequence[int]:
    """The rows that are all zero, and wrong."""
    flat = zero.reshape(len(zero), -1).all(axis=1) & wrong.reshape(len(wrong), -1).any(axis=1)
    return [int(row) for row in np.flatnonzero(flat)]


def _all_zero(what: str, names: Sequence[str], *, one: bool) -> str:
    plural = "s" if len(names) > 1 or "to" in names[0] else ""
    return f"{what}{plural} {', '.join(names)}: {'the number is 0' if one else ZERO}"


def _ranges(steps: Sequence[int]) -> list[str]:
    """``1 to 4``, ``6``"""
    runs: list[list[int]] = []
    for step in steps:
        if not runs or runs[-1][-1] != step - 1:
            runs.append([])
        runs[-1].append(step)
    found: list[str] = []
    for run in runs:
        found += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    return found


# ---------------------------------------------------------------------------- a norm

AFTER = "that is a step of training, after the gradient"
PYTORCH_ADDS = 1e-6
"""clip_grad_norm_ multiplies by N / (‖g‖ + 10⁻⁶)."""
DIGITS = ((1e-7, 3), (1e-5, 2), (2e-4, 1))
"""How exactly a norm is known -> the digits of a round one: with more, any norm would look round
once in a hundred times."""


def of_a_norm(
    told: Mapping[str, Diagnosis | None], cases: Iterable[Case], problem: Problem
) -> dict[str, Diagnosis | None]:
    """The diagnoses; where one factor gives the parameters' gradients together, or the one array
    that has this factor, a round norm, ``scaled`` says so.

    What is said where the expected values are hidden has no number, and goes by the norm of what
    was given alone: PyTorch's 10⁻⁶ would tell the factor.
    """
    known = dict(told)
    scaled = {
        case.name: (case, one)
        for case in cases
        if (one := told.get(case.name)) is not None and _is_free(one, case, problem)
    }
    while scaled:
        first, one = next(iter(scaled.values()))
        group = {n: pair for n, pair in scaled.items() if _same_factor(pair[1], one, first)}
        words, hint = _to_a_norm([case for case, _ in group.values()], one.factor or 1.0)
        for name, (_, mine) in group.items():
            del scaled[name]
            if words:
                known[name] = mine._replace(explanation=words, hint=hint)
    return known


def _is_free(one: Diagnosis, case: Case, problem: Problem) -> bool:
    """Whether a derivative is scaled by a factor that says nothing of itself, as 2 or 1/T do."""
    if one.factor is None or one.factor <= 0 or not case.record.symbol.startswith("∂"):
        return False
    tolerance = 4.0 * case.tolerance
    simple = any(abs(one.factor * q / p - 1.0) <= tolerance for p in _SMALL for q in _SMALL)
    round_one = simple or _round(one.factor, tolerance) is not None
    return not round_one and not of_a_factor(one.factor, problem, tolerance)


_SMALL = range(1, 5)


def _same_factor(one: Diagnosis, other: Diagnosis, case: Case) -> bool:
    assert one.factor
    assert other.factor
    return abs(one.factor / other.factor - 1.0) <= 4.0 * case.tolerance


def _to_a_norm(group: Sequence[Case], factor: float) -> tuple[str, str]:
    """What is said of arrays that one factor gives a round norm, openly and hidden."""
    of_parameters = [case for case in group if case.record.parameter is not None
                     or case.name.removeprefix("dL_d") in OF_THE_INPUTS]  # fmt: skip
    among = of_parameters or group
    if len(among) > 1 and not of_parameters:
        return "", ""
    exactly, tolerance = _norms(among), max(_norm_known_to(case.got) for case in among)
    found = [_round(norm, tolerance) for norm in exactly]
    added = [_round(norm + factor * PYTORCH_ADDS, tolerance) for norm in exactly]
    norm = next((one for one in (*found, *added) if one is not None), None)
    if norm is None:
        return "", ""
    of = "this gradient has" if len(group) == 1 else "the gradients have"
    how = f"as {'clipping by norm' if factor < 1.0 else 'normalising'} does: {AFTER}"
    hint = f"{of} been scaled to a norm, {how}" if any(one is not None for one in found) else ""
    return f"{of} been scaled to norm {norm:g}, {how}", hint


def _norms(cases: Sequence[Case]) -> tuple[float, ...]:
    """The norm of all numbers, also with b_h counted twice: PyTorch has two that are alike."""
    squares = [float(np.linalg.norm(case.got.values)) ** 2 for case in cases]
    again = sum(
        square
        for case, square in zip(cases, squares, strict=True)
        if (case.record.parameter or "").partition(".")[0].removesuffix(REVERSE) == "b_h"
    )
    once = sum(squares)
    return tuple(dict.fromkeys((float(once**0.5), float((once + again) ** 0.5))))


def _norm_known_to(got: GivenArray) -> float:
    """How exactly an array's own norm is known, relatively."""
    size = float(np.linalg.norm(got.values))
    if got.eps > EPS:
        return 1e-5 if got.eps <= EPS_SINGLE else 1.0
    typed = 0.0 if got.half_unit is None else float(np.linalg.norm(got.half_unit))
    return 1e-9 + (typed / size if size else 0.0)


def _round(value: float, tolerance: float) -> float | None:
    """The round number that a value is to its tolerance, if it is one."""
    digits = next((count for fine, count in DIGITS if tolerance <= fine), 0)
    if not digits:
        return None
    near = float(f"{value:.{digits - 1}e}")
    return near if near and abs(value / near - 1.0) <= tolerance else None
