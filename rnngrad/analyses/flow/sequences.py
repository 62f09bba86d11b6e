"""How the gradient flows through each sequence of a batch, a row each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rnngrad.analyses.derivation.derive import BatchDerivation, BidirectionalDerivation, Derivation
from rnngrad.analyses.derivation.selection import quick_paths
from rnngrad.analyses.flow.flow import AFFORDABLE, SAMPLED, GradientFlow
from rnngrad.analyses.flow.horizons import Horizon
from rnngrad.analyses.flow.stability import growth_rate, largest_exponent, regime
from rnngrad.chains.jacobians import chain_end
from rnngrad.progress import announce


class SequenceRow(NamedTuple):
    """One sequence of a batch, ``sequence`` from 1. ``loss`` is its share of L; ``rate`` and
    ``lyapunov_max`` natural log per step; ``horizons`` None where they are not computed unasked."""

    sequence: int
    steps: int
    loss: float | None
    rate: float
    regime: str | None
    lyapunov_max: float
    horizons: tuple[Horizon, ...] | None
    first_nonfinite_step: int | None


def rows_of(result: BatchDerivation, full: bool = False) -> Iterator[SequenceRow]:
    """A row a sequence; what would take more than some seconds for all of them is left out, unless
    ``full``."""
    for at, one in enumerate(result.sequences):
        assert isinstance(one, Derivation)
        announce(at / result.batch.size, f"sequence {at + 1} of {result.batch.size}")
        yield row_of(at + 1, one, full, result.batch.size)


def rows_by_half(result: BatchDerivation, full: bool = False) -> Iterator[dict[str, SequenceRow]]:
    """The same of bidirectional layers: of each sequence a row a half, by its name."""
    for at, one in enumerate(result.sequences):
        assert isinstance(one, BidirectionalDerivation)
        announce(at / result.batch.size, f"sequence {at + 1} of {result.batch.size}")
        count = result.batch.size * len(one.halves)
        yield {name: row_of(at + 1, half, full, count) for name, half in one.halves.items()}


def row_of(number: int, one: Derivation, full: bool, count: int) -> SequenceRow:
    """The row of one of so many."""
    problem, passes = one.problem, one.passes
    norm, growth = chain_end(problem, passes.forward)
    rate = growth_rate(norm, problem.steps)
    horizons = GradientFlow(one, full).horizons if full or _affordable(one, count) else None
    return SequenceRow(
        number,
        problem.steps,
        one.loss,
        rate,
        regime(rate),
        largest_exponent(passes, norm, growth),
        horizons,
        one.first_nonfinite_step,
    )


def _affordable(one: Derivation, count: int) -> bool:
    """Whether the horizons of so many sequences take some seconds at most."""
    problem, flow = one.problem, GradientFlow(one)
    if not flow.sampled_paths:
        work = problem.steps * (problem.state_size**3 + 2e4)
        return count * work <= 10 * AFFORDABLE and quick_paths(problem)
    weights = sum(layer.own[m.parameter].size for layer in problem.layers
                  for m in problem.cell.step.matrices)  # fmt: skip
    return count * problem.steps * (weights + 3e5) <= SAMPLED
