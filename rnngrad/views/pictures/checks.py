"""A check as pictures: errors against their tolerances, and the V of errors by step size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.document import shown
from rnngrad.analyses.checking.step_errors import step_errors
from rnngrad.net.problem import Problem
from rnngrad.views.numbers import grouped
from rnngrad.views.pictures.picture import Axis, Bar, Bars, Line, Mark, Picture, Tone
from rnngrad.views.pictures.words import called, rough

MOST = 40
"""Quantities that a picture has, the worst first."""

LEAST = 1e-18
"""Where a bar begins, and where an error of exactly 0 ends it."""

MUCH = 1e3
"""Where a bar ends, however wrong."""

TONES: dict[Verdict, Tone] = {
    Verdict.PASS: "gone", Verdict.INCONCLUSIVE: "kept", Verdict.FAIL: "blown up",
}  # fmt: skip


class CheckedNet(NamedTuple):
    """A net, and the verdicts on its gradients."""

    problem: Problem
    checked: tuple[Checked, ...]
    hide_expected: bool = False


def errors(of: CheckedNet) -> Iterator[Picture]:
    """The largest error of each quantity, and its tolerance."""
    title, x = "Error by quantity, and the tolerance", Axis("largest relative error", log=True)
    entries = [one for one in shown(of.checked, of.hide_expected) if one.max_rel_error is not None]
    fails = sum(one.verdict is Verdict.FAIL for one in of.checked)
    undecided = sum(one.verdict is Verdict.INCONCLUSIVE for one in of.checked)
    finding = (
        f"Of {len(of.checked)} quantities {len(of.checked) - fails - undecided} pass, "
        f"{fails} fail, {undecided} cannot be decided."
    )
    name = called(of.problem)
    if not entries:
        yield Picture("errors", title, f"{finding} No error is known.", x, Axis(""), (), of=name)
        return
    kept = sorted(entries, key=lambda one: -_size(one))[:MOST] if len(entries) > MOST else entries
    limits = np.array([np.nan if one.limit is None else one.limit for one in kept])
    marks: list[Mark] = [Bars(tuple(_bar(one) for one in kept))]
    if np.isfinite(limits).any():
        marks.append(Line("tolerance", limits, np.arange(len(kept), dtype=float), points=True))
    notes = ["Quantities that begin with log10_ are compared absolutely."]
    if len(kept) < len(of.checked):
        notes.append(f"{grouped(len(kept))} of {grouped(len(of.checked))} quantities.")
    axis = x._replace(low=LEAST, high=10.0 * max(1e-6, *map(_size, kept), *_finite(limits)))
    yield Picture("errors", title, finding, axis, Axis(""), tuple(marks), notes=tuple(notes),
                  of=name)  # fmt: skip


def _finite(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    return [float(value) for value in values if np.isfinite(value)]


def _size(entry: Checked) -> float:
    error = entry.max_rel_error
    return LEAST if error is None or not error > LEAST else min(error, MUCH)


def _bar(entry: Checked) -> Bar:
    error = entry.max_rel_error
    words = "0" if not error else f"{error:.1e}".replace("e-0", "e-").replace("inf", "∞")
    verdict = entry.verdict.upper() if entry.verdict is Verdict.FAIL else str(entry.verdict)
    return Bar(entry.name, LEAST, _size(entry), f"{words} {verdict}".replace("-", "−"),
               TONES[entry.verdict])  # fmt: skip


def by_step(of: CheckedNet) -> Iterator[Picture]:
    """The error of ‖∂L/∂θ‖ by differences and by complex step, against the step h."""
    title, name = "Differences and the complex step", called(of.problem)
    x, y = Axis("step h", log=True), Axis("relative error", log=True)
    found = step_errors(of.problem)
    if found is None:
        why = "∂L/∂θ is 0 or not finite, so no error is relative to it."
        yield Picture("step-size", title, why, x, y, (), of=name)
        return
    curves = (
        Line("central differences", found.steps, _above_0(found.central)),
        Line("one-sided differences", found.steps, _above_0(found.one_sided)),
        Line("complex step", found.complex_steps, _above_0(found.by_complex_step)),
    )
    best = int(np.nanargmin(found.central)) if np.isfinite(found.central).any() else None
    last = float(found.by_complex_step[-1])
    said = [] if best is None else [
        f"Central differences are {rough(float(np.log10(found.central[best])))} wrong at best, at "
        f"h = {rough(float(np.log10(found.steps[best])))}"
    ]  # fmt: skip
    if np.isfinite(last):
        said.append(f"the complex step {_tiny(last)}")
    yield Picture("step-size", title, f"{', '.join(said)}.", x, y, curves, of=name)


def _tiny(error: float) -> str:
    return "0" if error == 0 else f"{rough(float(np.log10(error)))} at 1e−30"


EXACT = 1e-17
"""Where an error of exactly 0 is drawn: half a unit of rounding is 1.1e-16."""


def _above_0(errors: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[
    tuple[int], np.dtype[np.float64]
]:  # fmt: skip
    return np.where(errors == 0, EXACT, errors)
