"""Somebody else's arrays against rnngrad's own: a verdict and a diagnosis for each.

An array fails where an entry is off by more than its tolerance (``comparing.py``) and neither
rounding, as this net amplifies it (``rounding_noise.py``), nor the other branch of a relu at its
kink explains that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import (
    Compared,
    arithmetic,
    compare,
    logarithmic,
    narrow,
    relative_tolerance,
    scales,
)
from rnngrad.analyses.checking.comparing.places import with_places
from rnngrad.analyses.checking.comparing.rounding_noise import Conditioning
from rnngrad.analyses.checking.comparing.tolerance import EPS, LOG10_ATOL
from rnngrad.analyses.checking.comparing.verdicts import (
    Checked,
    CutShortError,
    Diagnosis,
    Verdict,
    not_checked,
    worst,
)
from rnngrad.analyses.checking.diagnosing.diagnosing import diagnose, named_exactly
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.checking.diagnosing.questions import (
    IN_FLOAT64,
    of_a_batch,
    of_a_norm,
    of_turned,
    of_zeros,
)
from rnngrad.analyses.checking.spelling import Read, note, read, two_of_one
from rnngrad.analyses.derivation.on_request import of_tokens
from rnngrad.analyses.derivation.quantities import Passes, Quantities, Quantity, of_start, records
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.errors import QuantityError, UsageError
from rnngrad.net.cells import Cell
from rnngrad.net.given_arrays import GivenArray, Mask, given, reshaped
from rnngrad.net.problem import Problem

METHOD = "bptt"
WIDEST, WIDEST_SINGLE = 1e-4, 1e-2
"""A tolerance widened beyond this decides nothing any more."""

LOSS = Quantity(
    "loss", (), "L", lambda passes: np.asarray(passes.forward.loss), first_step=None,
    needs_loss=True,
)  # fmt: skip
"""L itself is no quantity of ``derive``, but whoever has gradients has it too."""


def starts(cell: Cell) -> dict[str, Quantity]:
    """Row 0 of ``dL_dh`` and ``dL_dc`` by itself, which is all that most people keep."""
    found = map(of_start, cell.parts)
    return {record.name: record for record in found}


Twice = Mapping[str, tuple[str, Any]]
"""name -> the key of a second array of the same gradient, and that array"""


def check_arrays(
    problem: Problem,
    arrays: Mapping[str, GivenArray | Any],
    twice: Twice = MappingProxyType({}),
    *,
    rtol: float | None = None,
    framework: bool = False,
) -> list[Checked]:
    """A verdict for every array given, in the order of the contract's table; no others.

    ``arrays`` maps the names of quantities (and ``loss``), spelled as people do (``spelling.py``),
    to arrays of the shapes there. ``rtol`` is relative to the largest entry of the quantity, or of
    its step's row; 1e-9 by default, 1e-4 for a float32 array. Of a gradient that is given ``twice``
    the worse counts. ``framework``: a framework wrote them, as it did where the names or the
    problem's weights are its own. Raises QuantityError for a name that does not exist, or not for
    this problem, or that stands for what another one stands for, and UsageError where there is
    nothing to check.
    """
    there = _records(problem)
    asked = named(arrays, twice, readings(problem, arrays, there))
    framework |= problem.trained is not None or asked.of_torch
    checked: dict[str, Checked] = {}
    interrupted = False
    try:
        for entry in _check(problem, asked.first, rtol, there, framework):
            checked[entry.name] = entry
        for name, key, other in asked.again:
            second = _check(problem, {name: other}, rtol, there)[0]
            checked[name] = worse(checked[name], key, second)
    except CutShortError as cut:
        interrupted = True
        left = {entry.name: entry for entry in cut.checked if entry.name not in checked}
        checked |= left or {name: not_checked(name) for name, *_ in asked.again}
    placed = with_places(problem, [*map(asked.noted, checked.values())], there)
    if interrupted:
        raise CutShortError(placed)
    return placed


class Named(NamedTuple):
    """The arrays given, by the contract's names; ``again``: the name, key and array of those that
    are given a second time; ``keys``: how a name was written."""

    first: dict[str, Any]
    again: list[tuple[str, str, Any]]
    keys: dict[str, list[str]]
    of_torch: bool

    def noted(self, entry: Checked) -> Checked:
        """With what is said of how its name was written."""
        how = note(self.keys.get(entry.name, [entry.name]), entry.name)
        return entry._replace(note=", ".join(filter(None, (how, entry.note))))


def named(
    arrays: Mapping[str, Any], twice: Twice, found: tuple[dict[str, Read], dict[str, str]]
) -> Named:
    """What is given, of what ``readings`` found; raises QuantityError, UsageError for nothing."""
    known, refused = found
    if refused:
        raise QuantityError(next(iter(refused.values())))
    if not known:
        raise UsageError("there is nothing to check: no array was given")
    keys: dict[str, list[str]] = {}
    for key, one in known.items():
        keys.setdefault(one.name, []).append(key)
    first = {name: arrays[of[0]] for name, of in keys.items()}
    again = [(name, of[1], arrays[of[1]]) for name, of in keys.items() if of[1:]]
    again += [(name, key, array) for name, (key, array) in twice.items()]
    return Named(first, again, keys, any(one.of_torch for one in known.values()))


def worse(first: Checked, key: str, again: Checked) -> Checked:
    """The worse verdict of two on the same gradient, the other under a key."""
    if worst((first.verdict, again.verdict)) is first.verdict:
        return first
    reason = "; ".join(filter(None, (f"the array of {key}", again.reason)))
    return again._replace(reason=reason)


def _check(
    problem: Problem,
    arrays: Mapping[str, Any],
    rtol: float | None,
    there: Mapping[str, Quantity],
    framework: bool = False,
) -> list[Checked]:
    """The verdicts on arrays by the contract's names."""
    conditioning = Conditioning(Passes(problem))
    records = [record for name, record in there.items() if name in arrays]
    judged: list[Judged] = []
    told = dict[str, Diagnosis | None]()
    try:
        for record in records:
            one = judge(record, arrays[record.name], conditioning, rtol)
            judged.append(one)
        judged = _without_doubt(judged, conditioning)
        wrong = of_verdict(judged, Verdict.FAIL)
        if wrong:
            told = diagnose(wrong, of_verdict(judged, Verdict.PASS), conditioning)
            told = of_a_norm(told, wrong, problem)
    except KeyboardInterrupt:
        raise CutShortError(_so_far(judged, records)) from None
    if framework and all(is_wrong(one.checked) for one in judged) and not all(map(_empty, judged)):
        told = of_a_batch(told)
    return [with_diagnosis(told.get(one.checked.name), one, problem) for one in judged]


UNNAMED = "interrupted before the mistake was looked for"


def _so_far(judged: list[Judged], records: list[Quantity]) -> list[Checked]:
    """The verdicts there are when Ctrl-C comes; no mistake has a name."""
    found = [one.checked for one in judged]
    named = [
        entry._replace(reason="; ".join(filter(None, (entry.reason, UNNAMED))))
        if is_wrong(entry) else entry
        for entry in found
    ]  # fmt: skip
    return named + [not_checked(record.name) for record in records[len(found) :]]


def is_wrong(checked: Checked) -> bool:
    """Whether it has the right shape and fails."""
    return checked.verdict is Verdict.FAIL and checked.max_rel_error is not None


def with_diagnosis(diagnosis: Diagnosis | None, one: Judged, problem: Problem) -> Checked:
    """The verdict and its diagnosis; where none names a mistake, zeros are told."""
    checked = one.checked._replace(diagnosis=diagnosis)
    named = diagnosis is not None and (diagnosis.bug or diagnosis.candidates)
    if checked.verdict is not Verdict.FAIL or named or one.case is None:
        return checked
    return checked._replace(
        reason=checked.reason or of_zeros(one.case, problem) or of_turned(one.case, problem)
    )


class Judged(NamedTuple):
    """A verdict and, where there was an array to compare, what was compared. ``by_noise``: nothing
    but the noise of this net excuses it."""

    checked: Checked
    case: Case | None = None
    by_noise: bool = False


def _empty(one: Judged) -> bool:
    """Whether there are numbers, and every one is 0."""
    return one.case is not None and one.case.got.values.size > 0 and not one.case.got.values.any()


def of_verdict(judged: list[Judged], verdict: Verdict) -> list[Case]:
    """The arrays with that verdict."""
    return [one.case for one in judged if one.case and one.checked.verdict is verdict]


def _without_doubt(judged: list[Judged], conditioning: Conditioning) -> list[Judged]:
    """What rounding may explain is wrong all the same where one mistake explains it exactly."""
    doubtful = [one.case for one in judged if one.case and one.by_noise]
    wrong, right = of_verdict(judged, Verdict.FAIL), of_verdict(judged, Verdict.PASS)
    if not doubtful or not named_exactly(doubtful, wrong, right, conditioning):
        return judged
    return [_failed(one) if one.by_noise else one for one in judged]


def _failed(one: Judged) -> Judged:
    case = None if one.case is None else one.case._replace(noise=None)
    return Judged(one.checked._replace(verdict=Verdict.FAIL, reason=""), case)


def names_that_do_not_exist(problem: Problem, names: Iterable[str]) -> dict[str, str]:
    """name -> why there is no such quantity, or not for this problem, or it is given twice."""
    return readings(problem, names, _records(problem))[1]


def readings(
    problem: Problem, names: Iterable[str], there: Mapping[str, Quantity],
    why_not: Callable[[str], str] | None = None,
) -> tuple[dict[str, Read], dict[str, str]]:  # fmt: skip
    """What each name stands for; name -> why it stands for nothing that could be checked."""
    why_not = why_not or partial(_why_not, problem)
    found = {name: read(str(name), problem, there) for name in names}
    known = {name: one for name, one in found.items() if one is not None}
    refused = {name: why_not(name) for name, one in found.items() if one is None}
    for name, (meant, other) in two_of_one(known).items():
        refused[name] = f"'{name}' is {meant}, and so is '{other}'; give one of them"
    return known, refused


def _why_not(problem: Problem, name: str) -> str:
    if name in (LOSS.name, *starts(problem.cell)) and problem.loss is None:
        return f"'{name}' does not exist here: '{problem.name}' has no targets"
    if name == LOSS.name and problem.upstream:
        return f"'loss' does not exist here: '{problem.name}' has upstream in place of targets"
    try:
        Quantities(problem).record(str(name))
    except QuantityError as error:
        return str(error)
    raise AssertionError(f"{name} exists")


def _records(problem: Problem) -> dict[str, Quantity]:
    """The records of whatever may be given, in the order of the table, ``loss`` first."""
    if problem.loss is None:
        return records(problem)
    loss = {} if problem.upstream else {LOSS.name: LOSS}
    tokens = {record.name: record for record in of_tokens(problem)}
    return {**loss, **records(problem), **starts(problem.cell), **tokens}


def judge(
    record: Quantity, array: GivenArray | Any, conditioning: Conditioning, rtol: float | None
) -> Judged:
    """The verdict on one array, without a diagnosis."""
    problem = conditioning.passes.problem
    try:
        got = array if isinstance(array, GivenArray) else given(array)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f"is no array of real numbers: {error}"
        return Judged(Checked(record.name, Verdict.FAIL, METHOD, reason=reason))
    with quietly():
        right = record.compute(conditioning.passes)
        given_as, got = got.values.shape, _in_shape(got, right.shape)
        case = Case(record, got, right, rtol, None)
        if got.values.shape != right.shape:
            return Judged(_misshapen(record, got, problem), case)
        case = case._replace(compared=compare(got, right, record, rtol))
        judged = _compared(case, conditioning)
    words = _column(given_as, right.shape)
    return judged._replace(checked=judged.checked._replace(note=words))


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
    """A single number for an array of one; a column or row for a vector; a flat list typed for rows
    of one number each."""
    values = got.values
    single = values.ndim == 0 and int(np.prod(shape)) == 1
    flat = got.typed and values.ndim == 1 < len(shape) and values.shape == _long_sides(shape)
    return reshaped(got, shape) if single or flat or _column(values.shape, shape) else got


def _column(given_as: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is said of an (n, 1) or (1, n) for a vector of n; nothing of other shapes."""
    if len(shape) != 1 or given_as not in ((*shape, 1), (1, *shape)):
        return ""
    return f"{_sides(given_as)} for {shape[0]} number{'' if shape[0] == 1 else 's'}"


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
        limit=LOG10_ATOL if logarithmic(case.record) else relative_tolerance(case.got, case.rtol),
    )


def _off_a_kink(case: Case, noise: Array, conditioning: Conditioning) -> tuple[Verdict, str]:
    """Wrong, unless a function at its kink could as well be on the other branch."""
    for passes in conditioning.other_branches():
        other = case.record.compute(passes)
        if compare(case.got, other, case.record, case.rtol, noise).fits:
            where = f"(first at step {conditioning.kinks[0][0] + 1})"
            return Verdict.INCONCLUSIVE, (
                f"{_kinked(conditioning)} is within rounding of its kink {where}, and the other "
                "branch gives these numbers"
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
    advice = f"; {IN_FLOAT64}" if case.got.eps > EPS else ""
    return Verdict.INCONCLUSIVE, (
        f"rounding alone, as this net amplifies it, is worth up to {estimate:.1e} here, "
        f"and explains the difference{advice}"
    )


def _unsure(case: Case, compared: Compared) -> str:
    if compared.overflows.any():
        return "the right numbers are beyond the range of float64 here"
    kept = narrow(case.got)
    if kept and not np.isfinite(case.got.values[compared.unsure]).all():
        return f"the right numbers are beyond the range of {kept.name}; {IN_FLOAT64}"
    return "right to the digits given, but fewer than three significant digits decide nothing"
