"""Recurrent cells: what follows from a cell's equations (``algebra``) for passes and Jacobians.

    equations -> the graph of a step -> diagonals along a trace, matrices by what they multiply

A cell's parameters may lie in blocks of rows, as W_hh (4H, H) of lstm holds W_hi, W_hf, W_hg, W_ho;
equations speak of the blocks, files and results of the whole. Nothing here knows any cell by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import is_one
from rnngrad.algebra.equations import Equations, X
from rnngrad.algebra.expressions import Name, Node, nodes
from rnngrad.algebra.functions import WRITTEN
from rnngrad.algebra.step_graph import Matrix, Step, Use, before, key_of, names_in, step_of
from rnngrad.algebra.tape import Tape, tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.arithmetic.functions import FUNCTIONS, Activation

Shape = tuple[str, ...]
"""Sizes by letter: ``("3H", "I")``."""


class Group(NamedTuple):
    """All matrices that multiply one value: [W_1; W_2; …] source, a block of rows a target. Several
    that are added to the same target are one block, their sum. ``targets``: what the blocks are
    added to."""

    source: str
    matrices: tuple[Matrix, ...]
    targets: tuple[str, ...]


class Link(NamedTuple):
    """A key on the way through a step: the ``place`` of the group of matrices that multiplies it,
    what these are added to, and the other ends of its diagonals with the places of their terms: on
    the way back their sources, on the way forth their targets."""

    key: str
    place: int | None
    targets: tuple[str, ...]
    edges: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell by its equations, and what its parameters are called.

    ``blocks`` maps a parameter as files and results have it to those of the equations whose rows it
    holds, in order (a parameter that is not there is one of the equations itself). ``gates`` names
    the blocks of rows. ``activation`` is None where the spec chooses σ (rnn). ``own``: a cell of
    the user's; ``shown`` how its equations are printed where not as they are. ``made_by`` is the
    function, and what it is called with, that gives the cell in another process.
    """

    equations: Equations
    blocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates: tuple[str, ...] = ()
    activation: str | None = "tanh"
    own: bool = True
    shown: tuple[str, ...] = ()
    made_by: tuple[Callable[..., Cell], tuple[Any, ...]] | None = None

    def __reduce__(self) -> tuple[Callable[..., Cell], tuple[Any, ...]]:
        """By what made it: a pickled cell is small, and the same object in one process."""
        if self.made_by is not None:
            return self.made_by
        blocks = dict(self.blocks)
        return Cell, (self.equations, blocks, self.gates, self.activation, self.own, self.shown)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.equations.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the state; the first is what the read-out sees."""
        return self.equations.state

    @cached_property
    def step(self) -> Step:
        """The graph of a step."""
        return step_of(self.equations)

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """What a trace holds besides the state."""
        return self.step.stored

    @cached_property
    def parameters(self) -> Mapping[str, Shape]:
        """Weights, then biases, in the order in which they are shown."""
        shapes: dict[str, Shape] = {}
        inside = {name: whole for whole, names in self.blocks.items() for name in names}
        for name, letters in self.equations.parameters.items():
            whole = inside.get(name, name)
            count = len(self.blocks.get(whole, (name,)))
            if whole not in shapes:
                rows = (f"{count}{letters[0]}" if count > 1 else letters[0],) if letters else ()
                shapes[whole] = (*rows, *letters[1:])
        order = sorted(shapes, key=lambda name: name[0] == "b")
        listed = [
            *(n for n in self.blocks if n in shapes),
            *(n for n in order if n not in self.blocks),
        ]
        return MappingProxyType({name: shapes[name] for name in listed})

    def whole(self, name: str) -> str | None:
        """The parameter that one of the equations is some rows of: W_hh for W_hn of gru."""
        return next((whole for whole, names in self.blocks.items() if name in names), None)

    @property
    def weights(self) -> Mapping[str, Shape]:
        """What must be given."""
        return {name: shape for name, shape in self.parameters.items() if name[0] != "b"}

    @property
    def biases(self) -> Mapping[str, Shape]:
        """What is 0 unless given."""
        return {name: shape for name, shape in self.parameters.items() if name[0] == "b"}

    @property
    def letters(self) -> tuple[str, ...]:
        """The size of each part of the state."""
        return tuple(self.equations.sizes[part] for part in self.parts)

    @property
    def input_letter(self) -> str:
        """The size of x: I, or that of what it is added to unit by unit."""
        return self.equations.sizes[X]

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """The parameters on a path from s_{t−1} to s_t, unless the cell says which: every matrix;
        the vectors there where no matrix is."""
        if self.equations.recurrent is not None:
            return self.equations.recurrent
        reached = {before(part) for part in self.parts}
        matrices = []
        for one in self.step.definitions:
            through = [matrix for matrix in one.matrices if matrix.source in reached]
            matrices += [matrix.parameter for matrix in through]
            if through or reached & set(map(key_of, names_in(one.rest))):
                reached.add(one.key)
        vectors = [
            use.parameter
            for use in self.step.uses
            if reached & set(map(key_of, names_in(use.factor)))
        ]
        return tuple(dict.fromkeys(matrices or vectors))

    @cached_property
    def scaled(self) -> tuple[str, ...]:
        """What ``--whh-scale`` multiplies: the recurrent parameters; where none is on a path, the
        weights on which ∂s_t/∂s_{t−1} depends, as W_xz of h_t = (1 − z_t) ∘ h_{t−1} + z_t ∘ n_t.
        Rows of parts that the next step does not read do not count: no product carries them on."""
        if self.recurrent or self.equations.recurrent is not None:
            return self.recurrent
        names = set[str]()
        for edge in self.step.diagonals:
            if edge.source in self.reached and edge.target in self.carried:
                names |= _names(edge.factor)
        for one in reversed(self.step.definitions):
            if one.key in names:
                names |= _names(one.rest) | {matrix.parameter for matrix in one.matrices}
        return tuple(n for n in self.equations.parameters if n in names and n[0] != "b")

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The parts of the state that the next step reads."""
        read = {m.source for m in self.step.matrices} | {d.source for d in self.step.diagonals}
        return tuple(part for part in self.parts if before(part) in read)

    @cached_property
    def carried(self) -> frozenset[str]:
        """The parts that the next step reads, and all keys from which edges lead to them."""
        found = set(self.read)
        for key in reversed(self.step.kept):
            if key in found:
                found |= self._sources(key)
        return frozenset(found)

    @cached_property
    def reached(self) -> frozenset[str]:
        """The parts at t − 1, and all keys to which edges lead from them."""
        found = {before(part) for part in self.parts}
        for key in self.step.kept:
            if found & self._sources(key):
                found.add(key)
        return frozenset(found)

    def _sources(self, key: str) -> set[str]:
        """Where the edges to a key come from."""
        diagonals = {d.source for d in self.step.diagonals if d.target == key}
        return diagonals | {m.source for m in self.step.matrices if m.target == key}

    def functions(self, activation: Activation) -> Functions:
        """What the signs of the equations stand for."""
        if self.activation is None:
            return {"σ": activation}
        return _FUNCTIONS

    def split(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """The parameters of the equations, views of those of files and results."""
        found: dict[str, Array] = {}
        for name in self.parameters:
            parts = self.blocks.get(name)
            if parts is None:
                found[name] = weights[name]
            else:
                rows = len(weights[name]) // len(parts)
                found |= {
                    part: weights[name][i * rows : (i + 1) * rows] for i, part in enumerate(parts)
                }
        return found

    # ------------------------------------------------------------------ the graph, arranged

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The matrices by what they multiply, in the order of the blocks of rows where these have
        one, what is computed first first."""
        place = {name: i for names in self.blocks.values() for i, name in enumerate(names)}
        sources = dict.fromkeys(matrix.source for matrix in self.step.matrices)
        groups = []
        for source in sources:
            matrices = [matrix for matrix in self.step.matrices if matrix.source == source]
            matrices.sort(key=lambda matrix: place.get(matrix.parameter, 0))
            targets = dict.fromkeys(matrix.target for matrix in matrices)
            groups.append(Group(source, tuple(matrices), tuple(targets)))
        return tuple(groups)

    @cached_property
    def way_back(self) -> Mapping[bool, tuple[Link, ...]]:
        """In which order rows go back through the graph: to s_{t−1} and, where True, to x_t."""
        found = {}
        for to_x in (False, True):
            last = (*map(before, self.parts), *([X] if to_x else []))
            links = []
            for key in (*reversed(self.step.kept), *last):
                place = self.by_source.get(key)
                targets = () if place is None else self.groups[place].targets
                edges = self.by_target.get(key, ())
                kept = tuple(edge for edge in edges if to_x or edge[0] != X)
                if place is not None or kept:
                    links.append(Link(key, place, targets, kept))
            found[to_x] = tuple(links)
        return found

    @cached_property
    def way_forth(self) -> Mapping[bool, tuple[Link, ...]]:
        """In which order tangents go from s_{t−1} and, where True, from x_t through the graph."""
        found = {}
        for from_x in (False, True):
            reached = {*map(before, self.parts), *([X] if from_x else [])}
            links = []
            for key in (X, *map(before, self.parts), *self.step.kept):
                if key not in reached:
                    continue
                place = self.by_source.get(key)
                targets = () if place is None else self.groups[place].targets
                edges = self.by_edge.get(key, ())
                reached.update(targets, (target for target, _ in edges))
                if targets or edges:
                    links.append(Link(key, place, targets, edges))
            found[from_x] = tuple(links)
        return found

    @property
    def defined(self) -> Mapping[str, Node]:
        """The definitions that act unit by unit."""
        return {
            one.key: one.rest
            for one in self.step.definitions
            if not one.matrices and one.rest is not None
        }

    @cached_property
    def given(self) -> frozenset[str]:
        """The keys that a trace holds."""
        parts = self.parts
        return frozenset((X, *parts, *map(before, parts), *self.step.stored))

    @cached_property
    def terms(self) -> tuple[tuple[str, str], ...]:
        """(target, source) of each diagonal that is not the identity, in the order of a layer's
        terms."""
        return tuple((d.target, d.source) for d in self.step.diagonals if not d.is_one)

    @cached_property
    def terms_tape(self) -> Tape:
        """What computes all terms."""
        factors = [d.factor for d in self.step.diagonals if not d.is_one]
        return tape_of(factors, self.given, self.defined)

    @cached_property
    def with_factors(self) -> tuple[tuple[Use, ...], Tape]:
        """The uses of vectors and scalars that are not added alone, and what computes their
        factors."""
        uses = tuple(use for use in self.step.uses if not is_one(use.factor))
        return uses, self.value_tape([use.factor for use in uses])

    @cached_property
    def added(self) -> Mapping[str, tuple[str, ...]]:
        """target -> the vectors and scalars that are added to it."""
        found: dict[str, tuple[str, ...]] = {}
        for use in self.step.uses:
            if is_one(use.factor):
                found[use.target] = (*found.get(use.target, ()), use.parameter)
        return found

    @cached_property
    def tapes(self) -> Mapping[str, Tape]:
        """What computes the part of each definition that no matrix has, from the definitions before
        it; missing where there is none."""
        known = {one.key for one in self.step.definitions} | self.given
        return {
            one.key: tape_of([one.rest], known, {})
            for one in self.step.definitions
            if one.rest is not None
        }

    @cached_property
    def by_target(self) -> Mapping[str, tuple[tuple[str, int | None], ...]]:
        """target -> (source, place of the term) of its diagonals; None for the identity."""
        place = {pair: i for i, pair in enumerate(self.terms)}
        found: dict[str, list[tuple[str, int | None]]] = {key: [] for key in self.step.kept}
        for one in self.step.diagonals:
            found[one.target].append((one.source, place.get((one.target, one.source))))
        return {key: tuple(edges) for key, edges in found.items()}

    @cached_property
    def by_edge(self) -> Mapping[str, tuple[tuple[str, int | None], ...]]:
        """source -> (target, place of the term) of the diagonals out of it."""
        found: dict[str, tuple[tuple[str, int | None], ...]] = {}
        for target, edges in self.by_target.items():
            for source, i in edges:
                found[source] = (*found.get(source, ()), (target, i))
        return found

    @cached_property
    def from_x(self) -> tuple[tuple[str, int | None], ...]:
        """(target, place of the term) of the diagonals out of x_t."""
        return self.by_edge.get(X, ())

    @cached_property
    def by_source(self) -> Mapping[str, int]:
        """source -> place of the group of matrices that multiply it."""
        return {group.source: i for i, group in enumerate(self.groups)}

    def value_tape(self, expressions: Sequence[Node]) -> Tape:
        """What computes expressions of the equations' names from a trace."""
        return tape_of(expressions, self.given, self.defined)


def _names(expression: Node | None) -> set[str]:
    """The keys and parameters in it."""
    inside = () if expression is None else nodes(expression)
    return {key_of(node) for node in inside if isinstance(node, Name)}


_FUNCTIONS: Functions = MappingProxyType(
    {WRITTEN.get(name, name): record for name, record in FUNCTIONS.items()}
)


READOUT: Mapping[str, Shape] = MappingProxyType({"W_hy": ("O", "H"), "b_y": ("O",)})
"""The parameters of y_t = g(W_hy h_t + b_y); without ``W_hy`` the read-out is y_t = g(h_t)."""


INPUT: Mapping[str, Shape] = MappingProxyType({"W_in": ("D", "I"), "b_in": ("D",)})
EMBEDDING = "embedding"
OF_THE_INPUTS = (*INPUT, EMBEDDING)
"""Their gradients follow from ∂L/∂x_t."""
"""The parameters of a dense layer before the recurrent one, which then takes D numbers."""


def multiple(letter: str) -> tuple[int, str]:
    """``3H`` -> (3, "H"); a letter alone counts once."""
    digits = len(letter) - len(letter.lstrip("0123456789"))
    return int(letter[:digits] or 1), letter[digits:]


def lengths(shape: Sequence[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers behind a shape by letter."""
    return tuple(times * sizes[letter] for times, letter in map(multiple, shape))


def sizes_in(cell: Cell, weights: Mapping[str, Array]) -> dict[str, int]:
    """letter -> number, as the parameters of one layer have it."""
    sizes: dict[str, int] = {}
    for name, shape in cell.parameters.items():
        for letter, length in zip(shape, np.shape(weights[name]), strict=True):
            times, letter = multiple(letter)
            sizes[letter] = length // times
    return sizes


def stacked(cell: Cell, count: int) -> dict[str, Shape]:
    """The parameters of ``count`` layers, W_xh.0, W_hh.0 … lowest first; of one layer W_xh, W_hh ….

    Layer l of a stack has ``H.l`` units, and its inputs are those of the layer below.
    """
    if count == 1:
        return dict(cell.parameters)
    return {
        f"{name}.{at}": tuple(letter_in(cell, letter, at, count) for letter in shape)
        for at in range(count)
        for name, shape in cell.parameters.items()
    }


def letter_in(cell: Cell, letter: str, at: int, count: int) -> str:
    """A letter of a cell as layer ``at`` of ``count`` has it."""
    if count == 1:
        return letter
    top = cell.letters[0]
    if letter == "I":
        return letter_in(cell, top, at - 1, count) if at else "I"
    if cell.input_letter == top == multiple(letter)[1]:
        return letter  # x and the first part of the state are of one size: so are all layers
    return f"{letter}.{at}"
