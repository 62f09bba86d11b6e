"""Where the answers of one subtask are compared: nets, and what t means on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.algebra.expressions import FormulaError, Node
from rnngrad.analyses.grading.evaluation import (
    SEVERAL,
    Binding,
    Evaluator,
    OrderError,
    Work,
    in_letters,
)
from rnngrad.analyses.grading.nets import Nets, nets
from rnngrad.analyses.grading.reference import Task
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem

OF_SUMS = 1e-9
"""Of the sum of the sizes of the paths: evaluation in another order, and nothing more."""

SPARE = 24
"""Points beyond two a path."""


class Sample(NamedTuple):
    """Pairs of nets and bindings; ``values`` lays the values on all of them end to end."""

    places: tuple[tuple[Evaluator, Binding], ...]
    work: Work

    def values(self, node: Node) -> Array:
        """The values, (number of them,). Raises FormulaError, also where one is not finite."""
        found = [self._at(node, evaluator, binding) for evaluator, binding in self.places]
        values = np.concatenate(found)
        if not np.isfinite(values).all():
            raise FormulaError("has no finite value: it divides by 0, or overflows")
        return values

    def _at(self, node: Node, evaluator: Evaluator, binding: Binding) -> Array:
        value = evaluator.value(node, binding)
        if evaluator.scalar:
            value = np.broadcast_to(value, (evaluator.nets.count,))
        return np.asarray(value, dtype=np.float64).ravel()


def scalar_sample(problem: Problem, task: Task, work: Work) -> Sample:
    """Nets with I = H = O = 1, as on the sheet; with vectors for a softmax, which is 1 there."""
    count = 2 * len(task.ways) + SPARE
    if problem.output.elementwise is None:
        return _vectors(problem, task, 6 + len(task.ways) // 2, work)
    found = _nets(problem, task, count, (1, 1, 1))
    evaluator = Evaluator(found, work=work)
    return Sample(tuple((evaluator, binding) for binding in bindings(task, found.steps)), work)


def vector_sample(problem: Problem, task: Task, work: Work) -> Sample:
    """Two nets with vectors and matrices."""
    return _vectors(problem, task, 2, work)


def _vectors(problem: Problem, task: Task, count: int, work: Work) -> Sample:
    inputs, hidden, outputs = SEVERAL
    found = _nets(
        problem, task, count, (inputs, hidden, outputs if problem.has_readout else hidden)
    )
    outer = task.weight is not None
    return Sample(
        tuple(
            (Evaluator(found, one, outer=outer, work=work), binding)
            for one in range(count)
            for binding in bindings(task, found.steps)
        ),
        work,
    )


def _nets(problem: Problem, task: Task, count: int, sizes: tuple[int, int, int]) -> Nets:
    """With h_0 = 0 where the problem has it. What holds for every t is tried with h_0 ≠ 0, and with
    a step more on either side, so that a wrong h_{t+1} has a value too; of one step, step 1 is all.
    """
    several = task.every_step and problem.steps > 1
    steps = max(problem.steps, 3) + 1 if several else problem.steps
    start = task.every_step or bool(problem.h_0.any())
    return nets(problem, count, steps, sizes, start=start)


def bindings(task: Task, steps: int) -> list[dict[str, int]]:
    """What t and T mean: t is each of several steps where the subtask holds for every t."""
    if task.every_step:
        last = max(steps - 1, 1)
        return [{"T": last, "t": t} for t in sorted({*range(2, min(last, 8) + 1), last})]
    fixed = {} if task.step is None else {"t": task.step}
    return [{"T": steps, **fixed}]


def same_with_vectors(sample: Sample, node: Node, asked: Node) -> bool:
    """Whether both have the same value between vectors, up to the compact form [i, k] of ∂h/∂W.

    Raises OrderError where ``node`` has none.
    """
    for evaluator, binding in sample.places:
        value, right = evaluator.value(node, binding), evaluator.value(asked, binding)
        if right.ndim == 3 and value.ndim == 2:
            right = np.einsum("jjk->jk", right)
        if value.shape != right.shape:
            raise OrderError(
                f"the answer is {in_letters(value.shape)}, must be {in_letters(right.shape)}"
            )
        if not np.allclose(value, right, rtol=1e-8, atol=1e-10 * float(np.max(np.abs(right)))):
            return False
    return True
