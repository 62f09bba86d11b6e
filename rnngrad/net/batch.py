"""A batch: B sequences through one net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rnngrad.errors import UsageError
from rnngrad.net.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B sequences, each a problem of its own; the net, the loss and the weights are the same.

        L = Σ_k L_k        ∂L/∂W = Σ_k ∂L_k/∂W

    Where L is the mean over the sequences, the factor 1/B is in the ``loss_weights`` of each, so
    that whatever belongs to sequence k alone, such as ∂L/∂h_t, is ∂L_k/∂h_t all the same.
    ``axis``: which axis of its arrays counts the sequences, ``first`` or ``second``; ``steps`` T is
    that of these arrays, where a shorter sequence is filled up. ``draw`` and ``lengthen`` are those
    of ``Problem``, and give batches.
    """

    sequences: tuple[Problem, ...]
    axis: str = "first"
    reduction: str = "sum"
    draw: Callable[[int], Batch] | None = field(default=None, repr=False)
    lengthen: Callable[[int], Batch] | None = field(default=None, repr=False)

    @property
    def net(self) -> Problem:
        """The first sequence, for what is the same in all."""
        return self.sequences[0]

    @property
    def name(self) -> str:
        """That of the spec."""
        return self.net.name

    @property
    def size(self) -> int:
        """B"""
        return len(self.sequences)

    @property
    def steps(self) -> int:
        """T, of the longest sequence."""
        return max(self.lengths)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The steps of each sequence."""
        return tuple(one.steps for one in self.sequences)

    def redraw(self, seed: int) -> Batch:
        """The same spec with its random numbers drawn from another seed."""
        if self.draw is None:
            raise UsageError(f"nothing in '{self.name}' is random: another seed changes nothing")
        return self.draw(seed)


def one_sequence(problem: Problem | Batch, what: str) -> Problem:
    """A problem as it is; UsageError for a batch, of which ``what`` takes a single sequence."""
    if isinstance(problem, Problem):
        return problem
    raise UsageError(
        f"'{problem.name}' is a batch of {problem.size}, and {what} takes one sequence: "
        f"--set sequence=k chooses it, k from 1 to {problem.size}"
    )
