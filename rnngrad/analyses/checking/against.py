"""Somebody else's arrays against rnngrad's own: a verdict and a diagnosis for each.

An array fails where an entry is off by more than its tolerance (``comparing.py``) and neither
rounding, as this net amplifies it (``conditioning.py``), nor the other branch of a relu at its kink
explains that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing import (
    EPS,
    Compared,
    arithmetic,
    compare,
    logarithmic,
    narrow,
    scales,
)
from rnngrad.analyses.checking.conditioning import Conditioning
from rnngrad.analyses.checking.diagnosing import diagnose, named_exactly
from rnngrad.analyses.checking.fitting import Case
from rnngrad.analyses.checking.verdicts import Checked, Diagnosis, Verdict, worst
from rnngrad.analyses.quantities import Passes, Quantities, Quantity
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.given import GivenArray, Mask, given, reshaped
from rnngrad.core.problem import Problem
from rnngrad.errors import QuantityError, UsageError

METHOD = "bptt"
WIDEST, WIDEST_SINGLE = 1e-4, 1e-2
"""A tolerance widened beyond this decides nothing any more."""

LOSS = Quantity(
    "loss", (), "L", lambda passes: np.asarray(passes.forward.loss), first_step=None,
    needs_loss=True,
)  # fmt: skip
"""L itself is no quantity of ``derive``, but whoever has gradients has it too."""


def check_arrays(
    problem: Problem, arrays: Mapping[str, GivenArray | Any], *, rtol: float | None = None
) -> list[Checked]:
    """A verdict for every array given, in the order of the contract's table; no others.

    ``arrays`` maps the names of quantities (and ``loss``) to arrays of the shapes there. ``rtol``
    is relative to the largest entry of the quantity, or of its step's row; 1e-9 by default, 1e-4
    for a float32 array. Raises QuantityError for a name that does not exist, or not for this
    problem, and UsageError where there is nothing to check.
    """
    records = _records(problem, arrays)
    passes = Passes(problem)
    conditioning = Conditioning(passes)
    judged = [_judge(record, arrays[record.name], conditioning, rtol) for record in records]
    judged = _without_doubt(judged, conditioning)
    told: dict[str, Diagnosis | None] = {}
    if _of(judged, Verdict.FAIL):
        told = diagnose(_of(judged, Verdict.FAIL), _of(judged, Verdict.PASS), conditioning)
    return [one.checked._replace(diagnosis=told.get(one.checked.name)) for one in judged]


def check_given(
    problem: Problem,
    arrays: Mapping[str, GivenArray | Any],
    twice: Mapping[str, tuple[str, GivenArray]],
    *,
    rtol: float | None = None,
) -> list[Checked]:
    """``check_arrays``; of a gradient given ``twice``, the other under a key, the worse counts."""
    checked = {entry.name: entry for entry in check_arrays(problem, arrays, rtol=rtol)}
    for name, (key, other) in twice.items():
        (again,) = check_arrays(problem, {name: other}, rtol=rtol)
        first = checked[name]
        if worst((first.verdict, again.verdict)) is not first.verdict:
            reason = "; ".join(filter(None, (f"the array of {key}", again.reason)))
            checked[name] = again._replace(reason=reason)
    return list(checked.values())


class Judged(NamedTuple):
    """A verdict and, where there was an array to compare, what was compared. ``by_noise``: nothing
    but the noise of this net excuses it."""

    checked: Checked
    case: Case | None = None
    by_noise: bool = False


def _of(judged: list[Judged], verdict: Verdict) -> list[Case]:
    return [one.case for one in judged if one.case and one.checked.verdict is verdict]


def _without_doubt(judged: list[Judged], conditioning: Conditioning) -> list[Judged]:
    """What rounding may explain is wrong all the same where one mistake explains it exactly."""
    doubtful = [one.case for one in judged if one.case and one.by_noise]
    wrong, right = _of(judged, Verdict.FAIL), _of(judged, Verdict.PASS)
    if not doubtful or not named_exactly(doubtful, wrong, right, conditioning):
        return judged
    return [_failed(one) if one.by_noise else one for one in judged]


def _failed(one: Judged) -> Judged:
    case = None if one.case is None else one.case._replace(noise=None)
    return Judged(one.checked._replace(verdict=Verdict.FAIL, reason=""), case)


def names_that_do_not_exist(problem: Problem, names: Iterable[str]) -> dict[str, str]:
    """name -> why there is no such quantity, or not for this problem."""
    quantities = Quantities(problem)
    reasons = {}
    for name in names:
        try:
            _record(quantities, name)
        except QuantityError as error:
            reasons[name] = str(error)
    return reasons


def _record(quantities: Quantities, name: str) -> Quantity:
    if name != LOSS.name:
        return quantities.record(name)
    if quantities.problem.loss is None:
        raise QuantityError(
            f"'loss' does not exist here: '{quantities.problem.name}' has no targets"
        )
    return LOSS


def _records(problem: Problem, names: Iterable[str]) -> list[Quantity]:
    """The records behind the names, in the order of the table, ``loss`` first."""
    quantities = Quantities(problem)
    wanted = {name: _record(quantities, name) for name in names}
    if not wanted:
        raise UsageError("there is nothing to check: no array was given")
    return [wanted[name] for name in (LOSS.name, *quantities.names()) if name in wanted]


def _judge(
    record: Quantity, array: GivenArray | Any, conditioning: Conditioning, rtol: float | None
) -> Judged:
    problem = conditioning.passes.problem
    try:
        got = array if isinstance(array, GivenArray) else given(array)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f"is no array of real numbers: {error}"
        return Judged(Checked(record.name, Verdict.FAIL, METHOD, reason=reason))
    with quietly():
        right = record.compute(conditioning.passes)
        got = _in_shape(got, right.shape)
        case = Case(record, got, right, rtol, None)
        if got.values.shape != right.shape:
            return Judged(_misshapen(record, got, problem), case)
        return _compared(case._replace(compared=compare(got, right, record, rtol)), conditioning)


def _compared(case: Case, conditioning: Conditioning) -> Judged:
    """The verdict on an array of the right shape."""
    compared = case.compared
    assert compared is not None
    kept = narrow(case.got)
    verdict, reason, by_noise = Verdict.PASS, kept.own if kept else "", False
    if not compared.fits:
        noise = scales(conditioning.noise(case.record.compute, arithmetic(case.got)), case.record)
        case = case._replace(noise=_relative(noise, case))
        verdict, reason = _off_a_kink(case, noise, conditioning)
        if compare(case.got, case.right, case.record, case.rtol, noise).fits:
            verdict, reason = _within_noise(case, compared.wrong)
            by_noise = verdict is Verdict.INCONCLUSIVE
    if verdict is not Verdict.FAIL and compared.unsure.any():
        verdict, reason = Verdict.INCONCLUSIVE, _unsure(case, compared) or reason
    return Judged(_checked(case, compared, verdict, reason), case, by_noise)


def _relative(noise: Array, case: Case) -> Array:
    """Noise over the scale; infinite where the right numbers are zero but for rounding."""
    if logarithmic(case.record):
        return noise
    scale = scales(case.right, case.record)
    return np.where(noise == 0, 0.0, noise / np.where(scale > 0, scale, 0.0))


def _in_shape(got: GivenArray, shape: tuple[int, ...]) -> GivenArray:
    """A single number for an array of one; a flat list typed for rows of one number each."""
    values = got.values
    single = values.ndim == 0 and int(np.prod(shape)) == 1
    flat = got.typed and values.ndim == 1 < len(shape) and values.shape == _long_sides(shape)
    return reshaped(got, shape) if single or flat else got


def _long_sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *(n for n in shape[1:] if n != 1))


def _misshapen(record: Quantity, got: GivenArray, problem: Problem) -> Checked:
    shape, wanted = (_sides(s) for s in (got.values.shape, record.shape(problem)))
    letters = f" ({', '.join(record.dims)})" if record.dims else ""
    reason = f"its shape is {shape}, must be {wanted}{letters}"
    return Checked(record.name, Verdict.FAIL, METHOD, reason=reason)


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "that of a single number"


def _checked(case: Case, compared: Compared, verdict: Verdict, reason: str) -> Checked:
    at = compared.worst()
    return Checked(
        case.name,
        verdict,
        METHOD,
        float(compared.error[at]),
        at or None,
        float(case.right[at]),
        float(case.got.values[at]),
        reason=reason,
    )


def _off_a_kink(case: Case, noise: Array, conditioning: Conditioning) -> tuple[Verdict, str]:
    """Wrong, unless a function at its kink could as well be on the other branch."""
    for passes in conditioning.other_branches():
        other = case.record.compute(passes)
        if compare(case.got, other, case.record, case.rtol, noise).fits:
            step = conditioning.kinks[0][0] + 1
            return Verdict.INCONCLUSIVE, (
                f"{_kinked(conditioning)} is within rounding of its kink (first at step {step}), and "
                "the other branch gives these numbers"
            )
    return Verdict.FAIL, ""


def _kinked(conditioning: Conditioning) -> str:
    problem = conditioning.passes.problem
    return f"a {problem.activation.name}" if problem.cell.activation is None else "a function"


def _within_noise(case: Case, wrong: Mask) -> tuple[Verdict, str]:
    """A tolerance that noise widens, or where it is too wide to decide anything, the estimate."""
    assert case.noise is not None
    estimate = float(case.noise[wrong].max())
    if estimate <= (WIDEST_SINGLE if case.got.eps > EPS else WIDEST):
        return Verdict.PASS, (
            f"the tolerance was widened to {estimate:.1e}: the net amplifies rounding to that"
        )
    if not np.isfinite(estimate):
        return Verdict.INCONCLUSIVE, "rounding alone explains the difference from zero"
    return Verdict.INCONCLUSIVE, (
        f"rounding alone, as this net amplifies it, is worth up to {estimate:.1e} here, "
        "and explains the difference"
    )


def _unsure(case: Case, compared: Compared) -> str:
    if compared.overflows.any():
        return "the right numbers are beyond the range of float64 here"
    kept = narrow(case.got)
    if kept and not np.isfinite(case.got.values[compared.unsure]).all():
        return f"the right numbers are beyond the range of {kept.name}"
    return "right to the digits given, but fewer than three significant digits decide nothing"
