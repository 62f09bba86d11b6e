"""Both passes by segments of time, for long sequences: memory grows with T·(I + O), not with T·H.

The forward pass keeps s at the start of every segment alone. Backward, segment by segment from the
last, each is run forward again, and then back from what the later one hands it:

    ∂L/∂s_T of a segment = its own direct term + ∂L/∂s_{T+1} · ∂s_{T+1}/∂s_T
    ∂L/∂W = Σ over segments

and J_T ⋯ J_{k+1} goes on where the later segment left it (``chains.chain_norms``). It costs a
second forward pass. For what has no row a step: the gradients of parameters, and for one layer of
rnn ``log10_chain``. Where plain floats will not do for the chain, it is computed the
ordinary way, in T·H memory. Error: that of the ordinary way; sums over T are rounded in another
order. Source: Griewank, Walther, *Evaluating Derivatives* (2008), chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.chains import jacobians
from rnngrad.chains.chain_norms import Chain
from rnngrad.net.backward import bptt_within
from rnngrad.net.forward import forward, forward_within
from rnngrad.net.problem import Problem

Report = Callable[[float], None]

LARGE = 2**22
"""Numbers of T·H below which the ordinary way is as well; of a cell with gates these count, too."""

TOGETHER = 2**19
"""Numbers of h and gates in a segment (4 MiB): long enough to go in chunks."""

CHAIN = "log10_chain"


class Summary(NamedTuple):
    """What is left of a net too long to keep: L, the first step with an inf or nan, the arrays."""

    loss: float
    first_nonfinite_step: int | None
    arrays: dict[str, Array]


def worthwhile(problem: Problem, names: Collection[str]) -> bool:
    """Whether these quantities can be had by segments, and T·H is large."""
    possible = {CHAIN} if problem.single_rnn else set()
    possible |= {f"dL_d{name}" for name in problem.weights} if problem.loss else set()
    large = problem.steps * _width(problem) >= LARGE
    return large and bool(names) and possible.issuperset(names)


def _width(problem: Problem) -> int:
    """Numbers of h a step, and of as many of what the passes keep besides as an rnn has."""
    cell = problem.cell
    return problem.hidden * (len(cell.parts) + len(cell.stored)) // 2


def run(problem: Problem, names: Collection[str], report: Report | None = None) -> Summary:
    """The quantities, each as the ordinary way has it to rounding; ``report`` is called with the
    share of the work that is done."""
    told = report or (lambda fraction: None)
    length, parts = max(1, TOGETHER // _width(problem)), problem.cell.parts
    starts = range(0, problem.steps, length)
    with quietly():
        loss, bad = 0.0, None
        states = [{part: problem.start(i) for i, part in enumerate(parts)}]
        for i, start in enumerate(starts):
            trace = forward_within(_segment(problem, start, length, states[-1]))
            states.append({part: trace.part(part)[-1].copy() for part in parts})
            loss += trace.loss
            found = trace.first_nonfinite_step if bad is None else None
            bad = bad if found is None else start + found
            told((i + 1) / (3 * len(starts)))
        back = _Back(problem, names)
        for i, start in reversed(list(enumerate(starts))):
            back.take(_segment(problem, start, length, states[i]), start)
            told(1 - 2 * i / (3 * len(starts)))
        return Summary(loss, bad, dict(back.arrays()))


def _segment(problem: Problem, start: int, length: int, state: Mapping[str, Array]) -> Problem:
    """Steps start + 1 … start + length as a problem of their own."""
    span = slice(start, start + length)
    targets = None if problem.targets is None else problem.targets[span]
    weights = None if problem.loss_weights is None else problem.loss_weights[span]
    first, *others = problem.cell.parts
    return replace(problem, x=problem.x[span], h_0=state[first], targets=targets,
                   starts={part: state[part] for part in others}, loss_weights=weights)  # fmt: skip


class _Back:
    """The backward pass so far, from T down."""

    def __init__(self, problem: Problem, names: Collection[str]) -> None:
        self.problem, self.names = problem, names
        self.enters: dict[str, Array] | None = None
        self.weights = {name: np.zeros_like(problem.weights[name]) for name in self._parameters()}
        self.chain = Chain(problem.weights["W_hh"]) if CHAIN in names else None  # of rnn alone
        self.norms = np.zeros(problem.steps + 1)

    def _parameters(self) -> list[str]:
        return [name for name in self.problem.weights if f"dL_d{name}" in self.names]

    def take(self, part: Problem, start: int) -> None:
        """One more segment, which begins after step ``start``."""
        reached = self.enters is not None or part.last_step_with_loss > 0
        if not (self.weights and reached) and self.chain is None:
            return
        trace = forward_within(part)
        if self.chain is not None:
            norms = self.chain.extend(jacobians.sure_slopes(part, trace))
            if norms is None:
                self.chain = None
            else:
                self.norms[start : start + len(norms)] = norms
        if self.weights and reached:
            back = bptt_within(part, trace, self.enters)
            self.enters = {part: rows[0].copy() for part, rows in back.dL_ds.items()}
            for name, so_far in self.weights.items():
                so_far += back.weights[name]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Name and array of everything that was asked for."""
        yield from ((f"dL_d{name}", value) for name, value in self.weights.items())
        if CHAIN in self.names and self.chain is not None:
            yield CHAIN, self.norms
        elif CHAIN in self.names:
            yield CHAIN, jacobians.log10_chain(self.problem, forward(self.problem))
