"""Totals and paths: what a perturbation in mid-sequence, or of a parameter, does to every loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.checking import estimates, experiments, seeds
from rnngrad.analyses.checking.checker import Checker, as_rows
from rnngrad.analyses.checking.experiments import Seeds, some
from rnngrad.analyses.checking.parts import (
    at_gates,
    certain_at_own_step,
    of_later_losses,
    of_part,
    of_state,
    probes_of,
)
from rnngrad.analyses.checking.path_norms import explained, log10_paths
from rnngrad.analyses.checking.paths import check_paths
from rnngrad.analyses.checking.seeds import Probes
from rnngrad.analyses.checking.tolerance import Compared
from rnngrad.analyses.checking.verdicts import Checked, Verdict
from rnngrad.analyses.quantities import Quantities
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.problem import Problem
from rnngrad.arithmetic.scaled import Scaled, total

PER_STEP = ("dLt_dht", "dL_dh", "dL_dx")
"""Rows a step, of which a large net has only some checked."""

BEYOND = 1e-260
"""How far a total may be off where a ∂L_t/∂h_t is too small for a complex step."""

INPUTS, WEIGHTS = 2000, 4000
"""Streams of directions, far enough apart."""


def checks(checker: Checker) -> Iterator[Checked]:
    """dLt_dht, dL_dh, dL_dc, ∂L_t/∂s_k, ∂L_t/∂a_k, log10_paths, dL_dx, and every parameter's."""
    yield from _of_states(checker)
    yield from _of_pre_activations(checker)
    yield from _of_inputs(checker)
    yield from _of_parameters(checker)


def _of_states(checker: Checker) -> Iterator[Checked]:
    """From s_k moved: the direct term, the totals, each ∂L_t/∂s_k, and the norms of the paths."""
    problem, tested = checker.setting.problem, checker.tested
    wanted = {"dLt_dht", "dL_dh", "dL_dc", "log10_paths"} & set(tested)
    if not wanted and checker.paths is None:
        return
    parts = list(of_state(problem, checker.plan))
    groups = [one.group for one in parts]
    probes = seeds.side_by_side([(g.probes, g.columns) for g in groups], problem.state_size)
    answer = checker.answers(seeds.of_states(problem, probes), "dL_dh")
    value = _shaped(answer.value, probes, problem.steps)
    error = of_later_losses(answer.error.reshape(value.mantissa.shape), probes.rows)
    first = 0
    for one in parts:
        last = first + one.group.probes.entry.shape[1]
        if one.group.columns != checker.setting.top:
            certain_at_own_step(error[:, first:last], probes.rows)
        first = last
    for part, name in enumerate(("dL_dh", "dL_dc")):
        if {name, "dLt_dht"} & set(tested) and part < len(problem.cell.parts):
            mine, columns = of_part(problem, parts, part)
            yield from _direct_and_total(checker, name, mine, value[:, columns], error[:, columns])
    if checker.paths is not None:
        yield explained(check_paths(checker, "dLt_dhk", groups, value, error), checker)
    if "log10_paths" in tested and "log10_paths" not in checker.plan.left_out:
        yield log10_paths(checker)


def _direct_and_total(
    checker: Checker, name: str, probes: Probes, value: Scaled, error: Array
) -> Iterator[Checked]:
    """∂L_t/∂h_t and ∂L/∂h_t, or ∂L/∂c_t."""
    if "dLt_dht" in checker.tested and name == "dL_dh":
        later = probes.rows[probes.rows > 0]
        inner = np.arange(len(probes.rows))[probes.rows > 0]
        direct = Probes(later, probes.direction[inner], probes.entry[inner])
        at = value[inner, :, later - 1].floats(), error[inner, :, later - 1]
        yield _totals(checker, "dLt_dht", direct, at[0], at[1], first=1)
    if name in checker.tested:
        sums = total(value, axis=2).floats(), error.sum(axis=2)
        yield _totals(checker, name, probes, sums[0], sums[1], first=0)


def _of_pre_activations(checker: Checker) -> Iterator[Checked]:
    """∂L_t/∂a_k, each on its own; times h_{k−1}, x_k and 1 they are the summands of ∂L/∂W. For
    one layer of rnn (H,); else ∂L_t/∂u_x of every layer and gate, then ∂L_t/∂u_h, (2 G·H,)."""
    problem = checker.setting.problem
    if checker.paths is None:
        return
    count = seeds.gate_count(problem)
    groups = list(at_gates(problem, checker.plan))
    width = groups[-1].columns.stop
    probes = seeds.side_by_side([(g.probes, g.columns) for g in groups], width)
    sides = probes.direction[..., :count], probes.direction[..., count:]
    moved = seeds.of_pre_activations(
        problem, probes.rows, sides[0], sides[1] if width > count else None
    )
    answer = checker.answers(moved, "dLt_dak")
    value = _shaped(answer.value, probes, problem.steps)
    error = of_later_losses(answer.error.reshape(value.mantissa.shape), probes.rows)
    yield explained(check_paths(checker, "dLt_dak", groups, value, error), checker)


def _of_inputs(checker: Checker) -> Iterator[Checked]:
    problem = checker.setting.problem
    if "dL_dx" not in checker.tested:
        return
    probes = probes_of(problem, checker.plan, 1, problem.inputs, INPUTS)
    lowest = problem.layers[0]
    pre = np.zeros((*probes.entry.shape, seeds.gate_count(problem)))
    pre[..., lowest.gates] = probes.direction @ lowest.weights["W_xh"].T
    moved = seeds.of_pre_activations(problem, probes.rows, pre)
    answer = checker.answers(moved, "dL_dx")
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
        answer = checker.answers(moved, name)
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
    if checker.faint.any() or checker.blind.any():
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
