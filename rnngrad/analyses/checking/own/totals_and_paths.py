"""Totals and paths: what a perturbation in mid-sequence, or of a parameter, does to every loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.checking.comparing.tolerance import Compared
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.own.path_norms import explained, log10_paths
from rnngrad.analyses.checking.own.paths import check_paths
from rnngrad.analyses.checking.references import (
    finite_differences,
    perturbations,
    perturbed_forward,
)
from rnngrad.analyses.checking.references.perturbations import Probes
from rnngrad.analyses.checking.references.perturbed_forward import Perturbations, some
from rnngrad.analyses.checking.references.probes import (
    at_places,
    certain_at_own_step,
    of_later_losses,
    of_part,
    of_state,
    probes_of,
)
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import Scaled, total

BEYOND = 1e-260
"""How far a total may be off where a ∂L_t/∂h_t is too small for a complex step."""

INPUTS, WEIGHTS = 2000, 4000
"""Streams of directions, far enough apart."""


def checks(checker: Checker) -> Iterator[Checked]:
    """dLt_dht, dL_dh, dL_dc, ∂L_t/∂s_k, ∂L_t/∂a_k, log10_paths, dL_dx, and every parameter's."""
    yield from _of_states(checker)
    yield from _of_places(checker)
    yield from _of_inputs(checker)
    yield from _of_parameters(checker)


def _of_states(checker: Checker) -> Iterator[Checked]:
    """From s_k moved: the direct term, the totals, each ∂L_t/∂s_k, and the norms of the paths."""
    problem, tested = checker.setting.problem, checker.tested
    totals = {part: _totals_of(checker, part) for part in problem.cell.parts}
    wanted = {"dLt_dht", "log10_paths"} & set(tested)
    if not wanted and not any(totals.values()) and checker.paths is None:
        return
    parts = list(of_state(problem, checker.plan))
    groups = [one.group for one in parts]
    probes = perturbations.side_by_side([(g.probes, g.columns) for g in groups], problem.state_size)
    answer = checker.answers(perturbations.of_states(problem, probes), "dL_dh")
    value = _shaped(answer.value, probes, problem.steps)
    error = of_later_losses(answer.error.reshape(value.mantissa.shape), probes.rows)
    first = 0
    for one in parts:
        last = first + one.group.probes.entry.shape[1]
        if one.group.columns != checker.setting.top:
            certain_at_own_step(error[:, first:last], probes.rows)
        first = last
    for part, names in enumerate(totals.values()):
        mine, columns = of_part(problem, parts, part)
        if part == 0 and "dLt_dht" in tested:
            yield _direct(checker, mine, value[:, columns], error[:, columns])
        for name in names:
            sums = total(value[:, columns], axis=2).floats(), error[:, columns].sum(axis=2)
            yield _totals(checker, name, mine, sums[0], sums[1], first=0)
    rows = None
    if checker.paths is not None:
        rows = explained(check_paths(checker, "dLt_dhk", groups, value, error), checker)
        yield rows
    if "log10_paths" in tested and "log10_paths" not in checker.plan.left_out:
        yield log10_paths(checker, rows)


def _totals_of(checker: Checker, part: str) -> list[str]:
    """What ∂L/∂ of a part of the state is called, if it is tested."""
    records = checker.records.items()
    mine = (name for name, r in records if r.part == part and r.needs_loss)
    return [name for name in mine if name in checker.tested]


def _direct(checker: Checker, probes: Probes, value: Scaled, error: Array) -> Checked:
    """∂L_t/∂h_t"""
    later = probes.rows[probes.rows > 0]
    inner = np.arange(len(probes.rows))[probes.rows > 0]
    direct = Probes(later, probes.direction[inner], probes.entry[inner])
    at = value[inner, :, later - 1].floats(), error[inner, :, later - 1]
    return _totals(checker, "dLt_dht", direct, at[0], at[1], first=1)


def _of_places(checker: Checker) -> Iterator[Checked]:
    """∂L_t/∂a_k of whatever a step keeps, each on its own; times what stands beside them they are
    the summands of ∂L/∂W. For one layer of rnn (H,); else layer by layer in the graph's order."""
    problem = checker.setting.problem
    columns = perturbations.places(problem)
    if checker.paths is None or not columns:
        return
    groups = list(at_places(problem, checker.plan))
    width = groups[-1].columns.stop
    probes = perturbations.side_by_side([(g.probes, g.columns) for g in groups], width)
    answer = checker.answers(perturbations.of_places(problem, probes, columns), "dLt_dak")
    value = _shaped(answer.value, probes, problem.steps)
    error = of_later_losses(answer.error.reshape(value.mantissa.shape), probes.rows)
    yield explained(check_paths(checker, "dLt_dak", groups, value, error), checker)


def _of_inputs(checker: Checker) -> Iterator[Checked]:
    problem = checker.setting.problem
    if "dL_dx" not in checker.tested:
        return
    probes = probes_of(problem, checker.plan, 1, problem.inputs, INPUTS)
    moved = perturbations.of_places(problem, probes, {(0, X): slice(0, problem.inputs)})
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
        direction, entry = perturbations.weight_probes(got, checker.plan.every, WEIGHTS + number)
        moved = perturbations.of_weights(problem, weight, direction)
        answer = checker.answers(moved, name)
        probes = Probes(
            np.zeros(1, dtype=np.int64), direction.reshape(1, len(entry), -1), entry.reshape(1, -1)
        )
        value = total(answer.value, axis=1).floats().reshape(1, -1)
        error = answer.error.sum(axis=1).reshape(1, -1)
        checked = _totals(checker, name, probes, value, error, first=0)
        yield _with_rate(checker, checked, some(moved, slice(0, 1)), probes, got)


def _with_rate(
    checker: Checker, entry: Checked, seed: Perturbations, probes: Probes, got: Array
) -> Checked:
    """The measured rate of the first direction's remainder, for the method that is about it."""
    if not checker.plan.method.remainder:
        return entry
    claimed = float(probes.direction[0, 0] @ got.ravel())
    rate = finite_differences.rate(
        lambda size: perturbed_forward.moved(checker.setting, seed, size), claimed
    )
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
    record = checker.records[name]
    shape = record.shape(problem)
    if got.shape != shape:
        return _wrong_shape(checker, name, got, shape)
    mine = checker.as_rows(name, got)[probes.rows - first]
    claimed = _claimed(probes, mine)
    if checker.too_saturated.any() or checker.blind.any():
        apart = np.abs(claimed - expected)
        error = np.where((apart > 0) & (apart < BEYOND), BEYOND, error)
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    if not checker.plan.every:
        size = np.maximum(np.max(np.abs(mine), axis=1, initial=0.0), size / mine.shape[1])

    def place(row: int, column: int) -> tuple[int, ...]:
        entry = int(probes.entry[row, column])
        step = int(probes.rows[row]) - first
        if entry < 0:
            return () if record.first_step is None else (step,)
        index = np.unravel_index(step * mine.shape[1] + entry, got.shape)
        return tuple(int(i) for i in index)

    compared = Compared(
        name, checker.plan.title(per_step=record.first_step is not None),
        claimed, expected, error, size, place,
        checker.resolution(expected, error), axes=got.ndim,
    )  # fmt: skip

    def same_rows(passes: Passes) -> Array:
        return checker.as_rows(name, record.compute(passes))[probes.rows - first]

    entry = explained(checker.judged(compared, same_rows), checker)
    if checker.plan.every:
        return entry
    return entry._replace(miss=perturbations.miss_probability(probes))


def _claimed(probes: Probes, rows: Array) -> Array:
    """⟨row, d⟩ for every probe, (R, m); for a single entry that itself, whatever the others."""
    claimed = np.einsum("rmn,rn->rm", probes.direction, rows)
    single = probes.entry >= 0
    entries = np.take_along_axis(rows, np.maximum(probes.entry, 0), axis=1)
    return np.where(single, entries, claimed)
