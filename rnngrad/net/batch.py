"""A batch: B sequences through one net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import UsageError
from rnngrad.net.bidirectional import Bidirectional, half_of
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
    _rows: list[Problem] = field(default_factory=list, init=False, repr=False)

    def __repr__(self) -> str:
        return f"<rnngrad.Batch {self.words()}>"

    def words(self, what: str = "") -> str:
        """On a line: name, cell, sizes."""
        return self.net.words(f"{what}a batch of {self.size}, ", self.steps)

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

    @property
    def rows(self) -> Problem:
        """The T·B rows of all sequences as those of one problem, filled up with what does not
        count, the rows of a step together; its starts are those of the first."""
        if not self._rows:
            x = self._together(lambda one: one.x)
            assert x is not None
            self._rows.append(replace(
                self.net, x=x, targets=self._together(lambda one: one.targets),
                loss_weights=self._together(lambda one: one.loss_weights),
                draw=None, lengthen=None,
            ))  # fmt: skip
        return self._rows[0]

    def _together(self, of: Callable[[Problem], Array | None]) -> Array | None:
        found = [of(one) for one in self.sequences]
        if found[0] is None:
            return None
        whole = np.zeros((self.steps, self.size, *found[0].shape[1:]))
        for k, row in enumerate(found):
            assert row is not None
            whole[: len(row), k] = row
        whole = whole.reshape(-1, *whole.shape[2:])
        whole.flags.writeable = False
        return whole

    def redraw(self, seed: int) -> Batch:
        """The same spec with its random numbers drawn from another seed."""
        if self.draw is None:
            raise UsageError(f"nothing in '{self.name}' is random: another seed changes nothing")
        return self.draw(seed)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Chosen(Problem):
    """Sequence k of ``batch``, which is looked at: whatever has a step axis is its own, L and
    ∂L/∂W are the batch's. ``alone`` is the sequence by itself, with its share of L."""

    batch: Batch = field(kw_only=True, repr=False)

    @property
    def alone(self) -> Problem:
        """The sequence by itself."""
        assert self.of_batch is not None
        return self.batch.sequences[self.of_batch[0] - 1]


def chosen(batch: Batch, k: int) -> Chosen:
    """Sequence k, from 1, of a batch."""
    one = batch.sequences[k - 1]
    own = {each.name: getattr(one, each.name) for each in fields(Problem) if each.init}
    own["draw"] = batch.draw and partial(_chosen_again, batch.draw, k)
    own["lengthen"] = batch.lengthen and partial(_chosen_again, batch.lengthen, k)
    return Chosen(**own, batch=batch)


def _chosen_again(make: Callable[[int], Batch], k: int, number: int) -> Problem:
    return chosen(make(number), k)


class BidirectionalBatch(Batch):
    """B sequences through one net of bidirectional layers. A sequence is the ``net`` of a ``Both``
    then, which is not to be run: that is for its halves, each of which begins at the sequence's own
    end."""

    def words(self, what: str = "bidirectional, ") -> str:
        return super().words(what)

    @property
    def each(self) -> tuple[Bidirectional, ...]:
        """The sequences, each by itself."""
        return tuple(map(Bidirectional, self.sequences))

    @property
    def halves(self) -> tuple[Batch, ...]:
        """The same half of all sequences as a batch, one after the other."""
        return tuple(half_of_batch(self, h.layer, h.reverse) for h in self.each[0].halves)


def half_of_batch(batch: Batch, layer: int, reverse: bool) -> Batch:
    """One half of every sequence, in its own time, with what it gets from above."""
    return Batch(
        tuple(half_of(one, layer, reverse) for one in batch.sequences),
        axis=batch.axis,
        reduction=batch.reduction,
        draw=batch.draw and partial(_half_again, batch.draw, layer, reverse),
        lengthen=batch.lengthen and partial(_half_again, batch.lengthen, layer, reverse),
    )


def _half_again(make: Callable[[int], Batch], layer: int, reverse: bool, number: int) -> Batch:
    return half_of_batch(make(number), layer, reverse)


def alone(problem: Problem) -> Problem:
    """A problem as it is; of a sequence that is chosen the one with its share of L."""
    return problem.alone if isinstance(problem, Chosen) else problem


def without_dense(problem: Problem, what: str) -> Problem:
    """A problem as it is; UsageError for one with a dense layer before the recurrent one."""
    if problem.dense is None:
        return problem
    raise UsageError(
        f"'{problem.name}' has a dense layer W_in before the recurrent one, and {what} takes nets "
        "without; leave W_in, b_in and input_activation out, and give its outputs as inputs"
    )


def one_sequence(problem: Problem | Batch | Bidirectional, what: str) -> Problem:
    """A problem as it is; UsageError for a batch, of which ``what`` takes a single sequence, and
    for a bidirectional net, of which it takes a half."""
    if isinstance(problem, Problem):
        return problem
    if isinstance(problem, Bidirectional):
        names = " or ".join(half.name for half in problem.halves[-2:])
        raise UsageError(
            f"'{problem.name}' is bidirectional, and {what} takes one direction: "
            f"half: NAME in the spec, or --set half=NAME, chooses it, such as {names}"
        )
    half = ""
    if isinstance(problem, BidirectionalBatch):
        half = f"; and half: NAME one direction, such as {problem.each[0].halves[-2].name}"
    raise UsageError(
        f"'{problem.name}' is a batch of {problem.size}, and {what} takes one sequence: "
        "sequence: k in the spec, or --set sequence=k, chooses it, k from 1 to "
        f"{problem.size}{half}"
    )
