"""The problem: a net, its weights, one sequence. Everything the core needs and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.arithmetic.functions import Activation
from rnngrad.errors import UsageError, escaped
from rnngrad.net.cells import Cell, sizes_in
from rnngrad.net.losses import Loss
from rnngrad.net.outputs import Output


class TrainedIn(NamedTuple):
    """Where in a trained model's file the weights stood: the ``prefix`` and ``direction`` of the
    recurrent net, the ``keys`` of the read-out's parameters; ``assumed`` says in words what the
    file left open."""

    prefix: str | None
    direction: str | None
    keys: Mapping[str, str]
    assumed: tuple[str, ...]


class Tokens(NamedTuple):
    """That x_t are rows of an embedding: ``ids`` (T,), the row of each step, ``rows`` how many the
    embedding has, and the ``key`` it stood under in a model's file, if it did."""

    ids: Integers
    rows: int
    key: str | None


class Dense(NamedTuple):
    """A dense layer before the recurrent one (``net.dense``): ``x`` (T, I) what it reads, ``W``
    (D, I), ``b`` (D,) and its ``activation``."""

    x: Array
    W: Array
    b: Array
    activation: Activation


REVERSE = "_reverse"
"""What the names of a reverse half end in, before the number of the layer: W_hh_reverse.0."""


class Half(NamedTuple):
    """Which half of a bidirectional net a problem is (``net.bidirectional``): that of a ``layer``,
    from 0, of the ``whole``, whose weights have the names of both directions."""

    whole: Problem
    layer: int
    reverse: bool

    @property
    def name(self) -> str:
        """``forward``, or of a stack ``reverse.1``."""
        way = "reverse" if self.reverse else "forward"
        return way if self.whole.depth == 1 else f"{way}.{self.layer}"

    @property
    def suffix(self) -> str:
        """What the names of its parameters, and of all else that it has alone, end in."""
        end = "" if self.whole.depth == 1 else f".{self.layer}"
        return REVERSE * self.reverse + end


class Layer(NamedTuple):
    """One layer of a net, and where it stands in the arrays of the whole.

    ``suffix`` is what its parameters' names end in: nothing, or ``.0``, ``.1`` … in a stack;
    ``weights`` has the cell's own names, ``own`` those of its equations. ``sizes`` is the number of
    each letter. ``parts`` are its columns of each part of the state of all layers, ``state`` those
    of s.
    """

    suffix: str
    weights: Mapping[str, Array]
    own: Mapping[str, Array]
    sizes: Mapping[str, int]
    parts: tuple[slice, ...]
    state: tuple[slice, ...]

    @property
    def hidden(self) -> int:
        """The size of h, the first part."""
        return int(self.units.stop - self.units.start)

    @property
    def units(self) -> slice:
        """Its columns of h."""
        return self.parts[0]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One net, its weights and one sequence of T steps; every array float64 and read-only.

        h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h)       W_xh (H, I)   W_hh (H, H)   b_h (H,)
        y_t = g(W_hy h_t + b_y)                      W_hy (O, H)   b_y (O,)
        L   = Σ_t L_t,   L_t = loss_weights[t−1] · ℓ(target_t, y_t)

    for the cell ``rnn``; any other by its equations (``net.cells``). ``weights`` maps the cell's
    names to arrays, in a stack with the layer's number behind a dot (``W_hy`` and ``b_y`` may be
    absent together: then y_t = g(h_t)). ``x`` (T, I), ``h_0`` (H,), all layers one after the other;
    ``starts`` has what the other parts of the state begin with, such as c (0 where it is missing).
    ``targets`` (T, O), ``loss`` and ``loss_weights`` (T,) (0 where a step does not
    count, 1/n each for a mean) are None together when there is no loss; where ∂L/∂h_t is given
    (``upstream``) the loss is ``losses.UPSTREAM``, and the targets are its rows. ``draw`` rebuilds
    the problem under another seed; it is None where nothing is random. ``trained`` tells of the
    model's file that the weights came from, if any, ``tokens`` of the ids and the embedding that
    ``x`` are rows of, ``checkpoint`` which of several trained files of one net it is.
    ``lengthen`` rebuilds it with so many steps; it is None where a sequence is given, not drawn.
    ``of_batch``: this is sequence k of B; ``half``: this is one direction of a bidirectional net;
    ``dense``: x is what a dense layer makes of the inputs.
    """

    name: str
    cell: Cell
    activation: Activation
    output: Output
    weights: Mapping[str, Array]
    x: Array
    h_0: Array
    loss: Loss | None = None
    targets: Array | None = None
    loss_weights: Array | None = None
    seed: int = 0
    draw: Callable[[int], Problem] | None = field(default=None, repr=False)
    lengthen: Callable[[int], Problem] | None = field(default=None, repr=False)
    starts: Mapping[str, Array] = field(default_factory=dict)
    trained: TrainedIn | None = None
    tokens: Tokens | None = None
    checkpoint: str | None = None
    of_batch: tuple[int, int] | None = None
    half: Half | None = None
    dense: Dense | None = None
    _layers: list[Layer] = field(default_factory=list, init=False, repr=False)

    def __repr__(self) -> str:
        return f"<rnngrad.Problem {self.words()}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Problem:
        """Itself: nothing of it changes."""
        return self

    def words(self, what: str = "", steps: int | None = None) -> str:
        """``'name': lstm, T=60, H=16``, on a line; ``what`` it is besides stands before T."""
        hidden = "+".join(str(layer.hidden) for layer in self.layers)
        if self.of_batch is not None and steps is None:
            what += "sequence {} of {}, ".format(*self.of_batch)
        long = self.steps if steps is None else steps
        return f"'{escaped(self.name)}': {self.cell.name}, {what}T={long}, H={hidden}"

    @property
    def steps(self) -> int:
        """T"""
        return int(self.x.shape[0])

    @property
    def given_inputs(self) -> int:
        """I of the x that the user gave: before the dense layer, if there is one."""
        return self.inputs if self.dense is None else int(self.dense.x.shape[1])

    @property
    def inputs(self) -> int:
        """I"""
        return int(self.x.shape[1])

    @property
    def hidden(self) -> int:
        """H; in a stack the units of all layers."""
        return int(self.h_0.shape[0])

    @property
    def outputs(self) -> int:
        """O"""
        if self.has_readout:
            return int(self.weights["b_y"].shape[0])
        return self.hidden if self.depth == 1 else self.layers[-1].hidden

    @property
    def state_size(self) -> int:
        """S, the length of the recurrent state: H, or 2H for lstm."""
        return int(self.layers[-1].state[-1].stop)

    @property
    def has_readout(self) -> bool:
        """Whether y_t goes through W_hy and b_y."""
        return "W_hy" in self.weights

    @property
    def upstream(self) -> bool:
        """Whether ∂L/∂h_t was given in place of targets: ``targets`` are these rows, and L is not
        known."""
        return self.loss is not None and self.loss.given

    @property
    def last_step_with_loss(self) -> int:
        """The largest t whose L_t counts; 0 where none does."""
        if self.loss_weights is None:
            return 0
        if self.loss_weights[-1]:
            return self.steps
        counting = self.loss_weights.nonzero()[0]
        return int(counting[-1]) + 1 if counting.size else 0

    @property
    def depth(self) -> int:
        """How many layers there are."""
        first = next(iter(self.cell.parameters))
        return 1 if first in self.weights else sum(n.startswith(f"{first}.") for n in self.weights)

    @property
    def single_rnn(self) -> bool:
        """One layer of rnn, where s_t is h_t and ∂h_t/∂h_{t−1} = diag(σ'(a_t)) W_hh."""
        return self.cell.activation is None and "W_hh" in self.weights

    @property
    def functions(self) -> Functions:
        """What the signs of the cell's equations stand for."""
        return self.cell.functions(self.activation)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, lowest first."""
        found = self._layers
        if not found:
            suffixes = ("",) if self.depth == 1 else tuple(f".{at}" for at in range(self.depth))
            layers: list[Layer] = []
            for suffix in suffixes:
                layers.append(self._layer(suffix, layers[-1] if layers else None))
            found += layers
        return tuple(found)

    def _layer(self, suffix: str, below: Layer | None) -> Layer:
        cell = self.cell
        weights = {name: self.weights[name + suffix] for name in cell.parameters}
        sizes = sizes_in(cell, weights)
        for part, letter in zip(cell.parts, cell.letters, strict=True):
            begins = self.h_0 if part == cell.parts[0] else self.starts.get(part)
            if letter not in sizes and begins is not None:  # no parameter is of this size
                sizes[letter] = len(begins) // self.depth
        sizes["x"] = self.inputs if below is None else below.hidden
        parts, state = [], []
        stop = 0 if below is None else below.state[-1].stop
        for index, letter in enumerate(cell.letters):
            start = 0 if below is None else below.parts[index].stop
            parts.append(slice(start, start + sizes[letter]))
            state.append(slice(stop, stop + sizes[letter]))
            stop += sizes[letter]
        return Layer(suffix, weights, cell.split(weights), sizes, tuple(parts), tuple(state))

    def start(self, index: int) -> Array:
        """What a part of the state begins with, all layers."""
        if index == 0:
            return self.h_0
        size = self.layers[-1].parts[index].stop
        return self.starts.get(self.cell.parts[index], np.zeros(size))

    def redraw(self, seed: int) -> Problem:
        """The same spec with its random numbers drawn from another seed."""
        if self.draw is None:
            raise UsageError(f"nothing in '{self.name}' is random: another seed changes nothing")
        return replace(self.draw(seed), checkpoint=self.checkpoint)
