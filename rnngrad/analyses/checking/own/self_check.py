"""rnngrad's own gradients, or any others that are given, proved without back-propagation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnngrad.analyses.checking.comparing.input_sensitivity import noise_of_states
from rnngrad.analyses.checking.comparing.kinks import Kinks, finite_steps_may_cross, kinks, reason
from rnngrad.analyses.checking.comparing.places import with_places
from rnngrad.analyses.checking.comparing.rounding_noise import Conditioning
from rnngrad.analyses.checking.comparing.tolerance import RTOL, Compared, judged
from rnngrad.analyses.checking.comparing.verdicts import (
    Checked,
    CutShortError,
    Verdict,
    not_checked,
    worst,
)
from rnngrad.analyses.checking.own import one_step, path_norms, totals_and_paths
from rnngrad.analyses.checking.own.by_direction import OF_DENSE, by_direction, with_dense_moved
from rnngrad.analyses.checking.own.checker import Checker, Paths, Progress
from rnngrad.analyses.checking.references import perturbations
from rnngrad.analyses.checking.references.methods import AUTO, method_named
from rnngrad.analyses.checking.references.perturbed_forward import setting as set_up
from rnngrad.analyses.checking.references.plan import PATHS, plan
from rnngrad.analyses.derivation.quantities import Passes, Quantities, records
from rnngrad.analyses.memory import ask_for_check
from rnngrad.arithmetic.arrays import Array, Numbers, quietly
from rnngrad.chains.jacobians import pulled_back
from rnngrad.net.forward import forward_within
from rnngrad.net.problem import Problem

PLAINLY = "plain evaluation"


def check_own(
    problem: Problem,
    *,
    method: str = AUTO,
    rtol: float | None = None,
    progress: Progress | None = None,
    gradients: Mapping[str, Any] | None = None,
    paths: Paths | None = None,
) -> list[Checked]:
    """A verdict for every quantity of the contract, for each ∂L_t/∂h_k and each ∂L_t/∂a_k.

    ``gradients`` are the arrays under test, by name (rnngrad's own by default; what is absent is
    not checked); ``paths`` yields ∂L_t/∂h_k and ∂L_t/∂a_k as ``chains.jacobians.pulled_back`` does.
    The states are taken as rnngrad computes them, and h, y and losses are checked against the
    equations step by step. Raises UsageError for a method that does not exist, and at Ctrl-C a
    CutShortError, which is a KeyboardInterrupt, with what was found by then.
    """
    if problem.dense is not None:
        return _behind_a_dense_layer(problem, method, rtol, progress, gradients, paths)
    chosen = plan(problem, method)
    ask_for_check(problem)
    left_out = set(PATHS) & set(chosen.left_out)
    with quietly():
        setting = set_up(problem)
        tested = Quantities(problem) if gradients is None else gradients
        own_paths = paths or _own_paths(problem, gradients is None and not left_out)
        checker = Checker(setting, chosen, tested, own_paths, rtol, progress or _silent)
        found, interrupted = _by_name(_every_check(checker))
    if interrupted:
        found |= {name: not_checked(name) for name in _asked_for(checker) if name not in found}
    order = [
        *(name for name in records(problem) if name in found),
        *(n for n in found if n not in tested),
    ]
    near = kinks(problem, setting.trace)
    entries = [_kinked(problem, found[name], near) for name in dict.fromkeys(order)]
    if chosen.method.finite:
        entries = [_in_reach(problem, entry) for entry in entries]
    entries = with_places(problem, entries)
    if interrupted:
        raise CutShortError(entries)
    return entries


def _behind_a_dense_layer(
    problem: Problem, method: str, rtol: float | None, progress: Progress | None,
    gradients: Mapping[str, Any] | None, paths: Paths | None,
) -> list[Checked]:  # fmt: skip
    """The recurrent net behind a dense layer as one of its own, whose x_t is what it reads; then
    the gradients of that layer, and of what it reads, from the losses of the whole."""
    inner, own = replace(problem, dense=None), Quantities(problem)
    tested = own if gradients is None else gradients
    within: Mapping[str, Any] = {name: tested[name] for name in tested if name not in _DENSE}
    if problem.loss is not None:
        within = {**within, "dL_dx": Quantities(inner)["dL_dx"]}
    found = check_own(
        inner, method=method, rtol=rtol, progress=progress,
        gradients=None if gradients is None else within, paths=paths,
    )  # fmt: skip
    if problem.loss is None:
        return found
    conditioning, by_name = Conditioning(own.passes), {entry.name: entry for entry in found}
    for name in _DENSE:
        of = name.removeprefix("dL_d")
        array = tested[name] if name in tested else own[name]

        def losses(change: Numbers, of: str = of) -> Numbers:
            return forward_within(with_dense_moved(problem, of, change)).losses

        with quietly():
            entry = by_direction(
                own.record(name), array, losses, method_named(method), conditioning,
                RTOL if rtol is None else rtol,
            )  # fmt: skip
        before = by_name.get(name, entry)
        if worst((before.verdict, entry.verdict)) is not entry.verdict:
            entry = before
        by_name[name] = entry
    return list(by_name.values())


_DENSE = tuple(f"dL_d{name}" for name in OF_DENSE)
"""What is not as the recurrent net by itself has it."""


def _asked_for(checker: Checker) -> list[str]:
    """Whatever a check that nobody interrupts has a verdict on."""
    names = [n for n in checker.records if n in checker.tested and n not in checker.plan.left_out]
    if checker.setting.problem.loss is not None and checker.paths is not None:
        names += PATHS if perturbations.places(checker.setting.problem) else PATHS[:1]
    return names


def _in_reach(problem: Problem, entry: Checked) -> Checked:
    why = finite_steps_may_cross(problem, entry.name)
    if why is None or entry.verdict is not Verdict.FAIL or entry.max_rel_error is None:
        return entry
    return entry._replace(verdict=Verdict.INCONCLUSIVE, reason=why)


def _by_name(entries: Iterable[Checked]) -> tuple[dict[str, Checked], bool]:
    """name -> the worst that was found of it; and whether Ctrl-C came before the end."""
    found: dict[str, Checked] = {}
    try:
        for entry in entries:
            before = found.setdefault(entry.name, entry)
            if worst((before.verdict, entry.verdict)) is not before.verdict:
                found[entry.name] = entry
    except KeyboardInterrupt:
        return found, True
    return found, False


def _silent(fraction: float, what: str) -> None:
    return None


def _own_paths(problem: Problem, wanted: bool) -> Paths | None:
    if not wanted or problem.loss is None:
        return None
    passes = Passes(problem)
    return lambda: pulled_back(problem, passes.forward, passes.direct)


def _kinked(problem: Problem, entry: Checked, found: Kinks) -> Checked:
    """Right by its branch, but the branch is rounding's choice."""
    why = reason(problem, found, entry.name)
    if why is None or entry.verdict is not Verdict.PASS:
        return entry
    return entry._replace(verdict=Verdict.INCONCLUSIVE, reason=why)


def _every_check(checker: Checker) -> Iterator[Checked]:
    tested, left_out = checker.tested, checker.plan.left_out
    yield from _states(checker)
    for name in one_step.VALUES:
        if name in tested:
            expected = one_step.VALUES[name](checker.setting)
            yield checker.array(name, PLAINLY, expected, np.zeros_like(expected))
    for name in ("dL_dy", *one_step.ONE_STEP):
        if name in tested and name not in left_out:
            yield _local(checker, name)
    if "log10_chain" in tested:
        yield path_norms.log10_chain(checker)
    if checker.setting.problem.loss is not None:
        yield from totals_and_paths.checks(checker)


def _states(checker: Checker) -> Iterator[Checked]:
    """Each part of the state by the equations, step by step; one that is no quantity of its own
    counts for the first."""
    noise = noise_of_states(checker.setting.problem, checker.setting.trace)
    first = checker.setting.problem.cell.parts[0]
    for name, record in checker.records.items():
        if name in checker.tested and record.part == name:
            index = checker.setting.problem.cell.parts.index(name)
            expected = one_step.part(checker.setting, index)
            found = [checker.array(name, PLAINLY, expected, np.zeros_like(expected), noise)]
            if name == first:
                found += _hidden_parts(checker, name, noise)
            yield from found  # all at once: Ctrl-C leaves no verdict on a half


def _hidden_parts(checker: Checker, name: str, noise: Array) -> Iterator[Checked]:
    """What is wrong with the parts that have no name of their own here, said of ``name``."""
    setting = checker.setting
    for index, part in enumerate(setting.problem.cell.parts):
        shown = checker.records.get(part)
        if shown is None or shown.part != part:
            expected, got = (
                one_step.part(setting, index),
                setting.trace.part(part),
            )
            compared = Compared(
                name, PLAINLY, got, expected, np.zeros_like(expected),
                np.max(np.abs(expected), axis=1, initial=0.0), lambda row, column: (row, column),
            )  # fmt: skip
            entry = judged(compared, checker.rtol, lambda: noise)
            if entry.verdict is Verdict.FAIL:
                reason = f"{part}_t is not what the equations give"
                yield entry._replace(worst_index=None, expected=None, got=None, reason=reason)


def _local(checker: Checker, name: str) -> Checked:
    checker.progress(0.0, name)
    method = checker.plan.method
    if name == "dL_dy":
        found = one_step.dL_dy(checker.setting, method)
    else:
        found = one_step.one_step(checker.setting, method, name)
    return checker.array(name, method.title, found.value, found.error)
