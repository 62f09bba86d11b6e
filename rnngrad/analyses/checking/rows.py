"""Totals and paths: what a perturbation in mid-sequence, or of a parameter, does to every loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.checking import estimates, experiments, products, seeds
from rnngrad.analyses.checking.checker import Checker, as_rows
from rnngrad.analyses.checking.experiments import Seeds, some
from rnngrad.analyses.checking.paths import check_paths
from rnngrad.analyses.checking.plan import steps_chosen
from rnngrad.analyses.checking.seeds import Probes
from rnngrad.analyses.checking.tangent import output_slopes
from rnngrad.analyses.checking.tolerance import LOG10_ATOL, Compared
from rnngrad.analyses.checking.verdicts import Checked, Verdict
from rnngrad.analyses.quantities import Quantities
from rnngrad.core.arrays import Array
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled, scaled, total

PER_STEP = ("dLt_dht", "dL_dh", "dL_dx")
"""Rows a step, of which a large net has only some checked."""

BEYOND = 1e-260
"""How far a total may be off where a ∂L_t/∂h_t is too small for a complex step."""

STATES, INPUTS, PRE, WEIGHTS = 1000, 2000, 3000, 4000
"""Streams of directions, far enough apart."""


def checks(checker: Checker) -> Iterator[Checked]:
    """dLt_dht, dL_dh, ∂L_t/∂h_k, ∂L_t/∂a_k, log10_paths, dL_dx and every parameter's gradient."""
    yield from _of_states(checker)
    yield from _of_pre_activations(checker)
    yield from _of_inputs(checker)
    yield from _of_parameters(checker)


def _probes(checker: Checker, first: int, size: int, stream: int) -> Probes:
    chosen = steps_chosen(checker.setting.problem, first, checker.plan.stride)
    if checker.plan.every:
        return seeds.all_entries(chosen, size)
    return seeds.by_direction(chosen, size, stream)


def _of_states(checker: Checker) -> Iterator[Checked]:
    """From h_k moved: the direct term, the total, each ∂L_t/∂h_k, and the norms of the paths."""
    problem, tested = checker.setting.problem, checker.tested
    wanted = {"dLt_dht", "dL_dh", "log10_paths"} & set(tested)
    if not wanted and checker.paths is None:
        return
    probes = _probes(checker, 0, problem.hidden, STATES)
    answer = checker.answers(seeds.of_states(problem, probes), (0.1, 0.4), "dL_dh")
    value = _shaped(answer.value, probes, problem.steps)
    error = answer.error.reshape(value.mantissa.shape)
    if "dLt_dht" in tested:
        later = probes.rows[probes.rows > 0]
        inner = np.arange(len(probes.rows))[probes.rows > 0]
        direct = Probes(later, probes.direction[inner], probes.entry[inner])
        at = value[inner, :, later - 1].floats(), error[inner, :, later - 1]
        yield _totals(checker, "dLt_dht", direct, at[0], at[1], first=1)
    if "dL_dh" in tested:
        sums = total(value, axis=2).floats(), error.sum(axis=2)
        yield _totals(checker, "dL_dh", probes, sums[0], sums[1], first=0)
    if checker.paths is not None:
        yield explained(check_paths(checker, "dLt_dhk", probes, value, error), checker)
    if "log10_paths" in tested and "log10_paths" not in checker.plan.left_out:
        yield _log10_paths(checker)


def _of_pre_activations(checker: Checker) -> Iterator[Checked]:
    """∂L_t/∂a_k, each on its own; times h_{k−1}, x_k and 1 they are the summands of ∂L/∂W."""
    problem = checker.setting.problem
    if checker.paths is None:
        return
    probes = _probes(checker, 1, problem.hidden, PRE)
    moved = seeds.of_pre_activations(problem, probes.rows, probes.direction)
    answer = checker.answers(moved, (0.4, 0.6), "dLt_dak")
    value = _shaped(answer.value, probes, problem.steps)
    error = answer.error.reshape(value.mantissa.shape)
    yield explained(check_paths(checker, "dLt_dak", probes, value, error), checker)


def _of_inputs(checker: Checker) -> Iterator[Checked]:
    problem = checker.setting.problem
    if "dL_dx" not in checker.tested:
        return
    probes = _probes(checker, 1, problem.inputs, INPUTS)
    pre = probes.direction @ problem.weights["W_xh"].T
    moved = seeds.of_pre_activations(problem, probes.rows, pre)
    answer = checker.answers(moved, (0.6, 0.8), "dL_dx")
    value = total(_shaped(answer.value, probes, problem.steps), axis=2).floats()
    error = answer.error.reshape(*value.shape, -1).sum(axis=2)
    yield _totals(checker, "dL_dx", probes, value, error, first=1)


def _of_parameters(checker: Checker) -> Iterator[Checked]:
    problem, tested = checker.setting.problem, checker.tested
    for number, weight in enumerate(problem.weights):
        name = f"dL_d{weight}"
        if name not in tested:
            continue
        got = np.asarray(tested[name], dtype=np.float64)
        if got.shape != problem.weights[weight].shape:
            yield _wrong_shape(checker, name, got, problem.weights[weight].shape)
            continue
        direction, entry = seeds.weight_probes(got, checker.plan.every, WEIGHTS + number)
        moved = seeds.of_weights(problem, weight, direction)
        span = 0.8 + 0.2 * number / len(problem.weights)
        answer = checker.answers(moved, (span, span + 0.04), name)
        probes = Probes(
            np.zeros(1, dtype=np.int64), direction.reshape(1, len(entry), -1), entry.reshape(1, -1)
        )
        value = total(answer.value, axis=1).floats().reshape(1, -1)
        error = answer.error.sum(axis=1).reshape(1, -1)
        checked = _totals(checker, name, probes, value, error, first=0)
        yield _with_rate(checker, checked, some(moved, slice(0, 1)), probes, got)


def _with_rate(
    checker: Checker, entry: Checked, seed: Seeds, probes: Probes, got: Array
) -> Checked:
    """The measured rate of the first direction's remainder, for the method that is about it."""
    if not checker.plan.method.remainder:
        return entry
    claimed = float(probes.direction[0, 0] @ got.ravel())
    rate = estimates.rate(lambda size: experiments.moved(checker.setting, seed, size), claimed)
    told = "all rounding" if rate is None else f"falls as h^{rate:.2f}"
    return entry._replace(method=f"{entry.method}; {told}")


def _shaped(value: Scaled, probes: Probes, steps: int) -> Scaled:
    """(R·m, T) -> (R, m, T)"""
    shape = (*probes.entry.shape, steps)
    return Scaled(value.mantissa.reshape(shape), value.exponent.reshape(shape))


def _wrong_shape(checker: Checker, name: str, got: Array, shape: tuple[int, ...]) -> Checked:
    reason = f"its shape is {got.shape}, and must be {shape}"
    return Checked(name, Verdict.FAIL, checker.plan.method.title, reason=reason)


def _totals(
    checker: Checker, name: str, probes: Probes, expected: Array, error: Array, *, first: int
) -> Checked:
    """The rows of a quantity against what the probes saw, (R, m)."""
    problem = checker.setting.problem
    got = np.asarray(checker.tested[name], dtype=np.float64)
    shape = Quantities(problem).record(name).shape(problem)
    if got.shape != shape:
        return _wrong_shape(checker, name, got, shape)
    mine = as_rows(name, got)[probes.rows - first]
    claimed = _claimed(probes, mine)
    if checker.faint.any():
        apart = np.abs(claimed - expected)
        error = np.where((apart > 0) & (apart < BEYOND), BEYOND, error)
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    if not checker.plan.every:
        size = np.maximum(np.max(np.abs(mine), axis=1, initial=0.0), size / mine.shape[1])

    def place(row: int, column: int) -> tuple[int, ...]:
        entry = int(probes.entry[row, column])
        step = int(probes.rows[row]) - first
        if entry < 0:
            return (step,) if len(as_rows(name, got)) > 1 else ()
        index = np.unravel_index(step * mine.shape[1] + entry, got.shape)
        return tuple(int(i) for i in index)

    compared = Compared(
        name, checker.plan.title(per_step=name in PER_STEP), claimed, expected, error, size, place,
        checker.resolution(expected, error), axes=got.ndim,
    )  # fmt: skip

    def same_rows(other: Problem) -> Array:
        return as_rows(name, Quantities(other)[name])[probes.rows - first]

    return explained(checker.judged(compared, same_rows), checker)


def _claimed(probes: Probes, rows: Array) -> Array:
    """⟨row, d⟩ for every probe, (R, m); for a single entry that itself, whatever the others."""
    claimed = np.einsum("rmn,rn->rm", probes.direction, rows)
    single = probes.entry >= 0
    entries = np.take_along_axis(rows, np.maximum(probes.entry, 0), axis=1)
    return np.where(single, entries, claimed)


def _log10_paths(checker: Checker) -> Checked:
    """The lengths of ∂L_t/∂h_t · J_t ⋯ J_{k+1}, from explicit Jacobians."""
    setting = checker.setting
    problem, steps = setting.problem, setting.problem.steps
    direct = output_slopes(setting)
    if problem.has_readout:
        direct = direct @ problem.weights["W_hy"]
    later = np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis]
    expected = np.where(later, np.nan, -np.inf)
    for k, reached, path in products.paths(setting, scaled(direct)):
        if len(reached):
            expected[reached - 1, k] = products.log10_lengths(path)
    got = np.asarray(checker.tested["log10_paths"], dtype=np.float64)
    if got.shape == expected.shape:
        agree = (got == expected) | (np.abs(got - expected) <= LOG10_ATOL)
        expected = np.where(checker.faint[:, np.newaxis] & ~agree & ~later, np.inf, expected)
    entry = checker.array("log10_paths", products.TITLE, expected, np.zeros_like(expected))
    return explained(entry, checker)


def explained(entry: Checked, checker: Checker) -> Checked:
    """An undecided entry with the reason, where it is a read-out beyond the range of floats."""
    beyond = np.flatnonzero(checker.faint)
    if entry.verdict is not Verdict.INCONCLUSIVE or not len(beyond):
        return entry
    reason = (
        f"the read-out of step {beyond[0] + 1} is saturated: ∂L_t/∂h_t is below the range of "
        "floats, where a complex step does not reach"
    )
    return entry._replace(reason=reason)
