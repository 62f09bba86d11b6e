"""What every check of one run shares: the setting, the plan, and the gradients under test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np

from rnngrad.analyses.checking.comparing.input_sensitivity import Sensitivity
from rnngrad.analyses.checking.comparing.tolerance import EPS, LOG10_ATOL, RTOL, Compared, judged
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own.every_row import EveryRow
from rnngrad.analyses.checking.own.work import shares
from rnngrad.analyses.checking.references.methods import Answer
from rnngrad.analyses.checking.references.perturbed_forward import (
    Perturbations,
    Setting,
    some,
    too_saturated,
)
from rnngrad.analyses.checking.references.plan import Plan, steps_chosen
from rnngrad.analyses.checking.references.products import Explicit
from rnngrad.analyses.derivation.quantities import Passes, records
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import PulledBack
from rnngrad.net.given_arrays import Mask
from rnngrad.progress import reporting_to

Progress = Callable[[float, str], None]
Paths = Callable[[], Iterator[PulledBack]]

MOST_KEPT = 2**23
"""Numbers of the paths that are kept at a time."""

BATCH, MOVED = 2**19, 2**25
"""Perturbations × steps, and perturbations × the numbers of a parameter, run at a time."""


class Checker:
    """One run: what is checked, how, and to which tolerance."""

    def __init__(
        self, setting: Setting, plan: Plan, tested: Mapping[str, Any], paths: Paths | None,
        rtol: float | None, progress: Progress,
    ) -> None:  # fmt: skip
        self.setting = setting
        self.too_saturated = too_saturated(setting)
        self.blind = setting.blind
        self.plan = plan
        self.tested = tested
        self.records = records(setting.problem)
        self.paths = paths
        self.rtol = RTOL if rtol is None else rtol
        self.progress, self._reached = progress, 0.0
        self._shares = shares(setting.problem, plan, self.tested, paths is not None)
        self.explicit: Explicit | None = None
        self.sensitivity = Sensitivity(setting.problem)
        self.every_row = None if plan.every else EveryRow(setting, self.unseen, self.rtol)
        self._kept: list[PulledBack] | None = None

    def paths_at(self) -> Iterable[PulledBack]:
        """The paths at the steps that are looked at. Walked along once, and kept where these are
        few."""
        if self._kept is not None:
            return self._kept
        problem, stride = self.setting.problem, self.plan.stride
        chosen = {int(k) for first in (0, 1) for k in steps_chosen(problem, first, stride)}
        if problem.steps * len(chosen) * problem.state_size > MOST_KEPT:
            return self._walk()
        self._kept = [reached for reached in self._walk() if reached.k in chosen]
        return self._kept

    def _walk(self) -> Iterator[PulledBack]:
        """Along all paths; the first time every row is compared with the one after it."""
        assert self.paths is not None
        if self.every_row is None or self.every_row.found:
            return self.paths()
        return self.every_row.along(self.paths())

    def array(
        self, name: str, method: str, expected: Array, error: Array, noise: Array | None = None,
        got: Array | None = None,
    ) -> Checked:  # fmt: skip
        """The verdict on a whole array; ``noise`` of its rows where it need not be measured, and
        ``got``, what is under test, where it has been looked up: that may take seconds."""
        if got is None:
            got = np.asarray(self.tested[name], dtype=np.float64)
        if got.shape != expected.shape:
            reason = f"its shape is {got.shape}, and must be {expected.shape}"
            return Checked(name, Verdict.FAIL, method, reason=reason)
        flat = self.as_rows(name, expected)

        def place(row: int, column: int) -> tuple[int, ...]:
            index = np.unravel_index(row * flat.shape[1] + column, expected.shape)
            return tuple(int(i) for i in index)

        compared = Compared(
            name, method, self.as_rows(name, got), flat, self.as_rows(name, error),
            self._size(name, flat), place, self.resolution(flat, self.as_rows(name, error)),
        )  # fmt: skip
        if noise is not None:
            return judged(compared, self.rtol, lambda: noise)
        compute = self.records[name].compute
        return self.judged(compared, lambda passes: self.as_rows(name, compute(passes)))

    def as_rows(self, name: str, array: Array) -> Array:
        """(R, n): a row a step, or the whole quantity as one row where it has no step axis.

        The logarithms and the losses count entry by entry.
        """
        if name.startswith("log10_") or name == "losses":
            return array.reshape(-1, 1)
        whole = self.records[name].first_step is None
        return array.reshape(1, -1) if whole else array.reshape(len(array), -1)

    def within(
        self, part: str, done: float = 0.0, share: float = 1.0
    ) -> AbstractContextManager[None]:
        """What loops tell of how far they are is this ``share`` of a part of the check."""
        first, whole = self._shares.get(part, (self._reached, 0.0))
        start, furthest = max(first + done * whole, self._reached), 0.0
        self.progress(start, f"check, {part}")

        def listener(fraction: float, _: str) -> None:
            nonlocal furthest
            furthest = max(furthest, fraction)  # several passes make one answer
            self._reached = min(start + whole * share * furthest, 1.0)
            self.progress(self._reached, f"check, {part}")

        return reporting_to(listener)

    def unseen(self, k: int, steps: Integers) -> Mask:
        """Which of the paths from L_t back to step k pass what no complex step sees."""
        return np.logical_or(self.too_saturated[steps - 1], self.blindly(k, steps))

    def blindly(self, k: Integers | int, steps: Integers | int) -> Mask:
        """Which of the Jacobians ∂s_t/∂s_k do, a gate of step k told as well."""
        return np.asarray(self._blind_before[steps] > self._blind_before[np.maximum(k - 1, 0)])

    @cached_property
    def _blind_before(self) -> Integers:
        """How many blind steps there are up to each, (T+1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.blind)])

    def _size(self, name: str, expected: Array) -> Array:
        """What errors are relative to; 1 for logarithms, which are compared absolutely."""
        if name.startswith("log10_"):
            return np.ones(len(expected))
        size: Array = np.max(np.abs(expected), axis=1, initial=0.0)
        return size

    def resolution(self, expected: Array, error: Array) -> float:
        """The relative precision of the reference: rounding's, or the method's where that is less.

        The median row's, for a row that vanishes says nothing of the method.
        """
        size = np.max(np.abs(expected), axis=1, initial=0.0)
        share = np.max(error, axis=1, initial=0.0) / np.where(size == 0, 1.0, size)
        share = share[np.isfinite(share)]
        return max(EPS, float(np.median(share)) if share.size else EPS)

    def judged(
        self, compared: Compared, rows: Callable[[Passes], Array] | None = None,
        size: float | None = None,
    ) -> Checked:  # fmt: skip
        """The verdict, with the net's own amplification of rounding measured where it matters;
        ``size`` is that of ``rows``, where it is no entry of them."""
        logarithm = compared.name.startswith("log10_")
        limit = LOG10_ATOL if logarithm else self.rtol
        excuse = None if rows is None else lambda: self.sensitivity.noise(rows, size)
        return judged(compared, limit, excuse)

    def answers(self, seeds: Perturbations, what: str) -> Answer:
        """The method's answers to all the perturbations, batch by batch."""
        count, steps = len(seeds.start), self.setting.problem.steps
        numbers = max((part[0].size for part in seeds.weights.values()), default=1)
        batch = max(1, min(BATCH // steps, MOVED // numbers))
        parts = []
        for start in range(0, count, batch):
            with self.within(what, start / count, min(batch, count - start) / count):
                batch_seeds = some(seeds, slice(start, start + batch))
                parts.append(self.plan.method.losses(self.setting, batch_seeds))
        value = Scaled(
            np.concatenate([part.value.mantissa for part in parts]),
            np.concatenate([part.value.exponent for part in parts]),
        )
        return Answer(value, np.concatenate([part.error for part in parts]))
