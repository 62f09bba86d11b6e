"""What a wrong answer is made of: right paths, known mistakes, and what nothing explains.

The values v of a right answer are Σ_p c_p path_p with every c_p = 1. So an answer, or a summand of
it, is first fitted by least squares to all paths at once: c_p = 0 is a missing path, −1 a wrong
sign, 2 a factor, however the formula is factored or nested. What leaves a residual is compared
with each path times each entry of ``hints.catalogue``; what is not explained so either is taken
apart at its sums, and its summands are explained one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rnngrad.algebra.expressions import (
    Add,
    Call,
    Derivative,
    Div,
    FormulaError,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Power,
    Series,
    Transpose,
    nodes,
)
from rnngrad.algebra.grammar import parse_one
from rnngrad.analyses.grading.evaluation import Binding, OrderError, UnreadError, Work, stepped
from rnngrad.analyses.grading.hints import Known, catalogue
from rnngrad.analyses.grading.reference import Task
from rnngrad.analyses.grading.sampling import Sample
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem

FIT = 1e-8
"""The largest residual of a fit, relative to what is fitted."""

MOST_PIECES = 200
"""Summands that are looked at in one answer."""

MOST_WORK = 60_000
"""Nodes that are visited to explain one answer."""

MOST_STEPS = 8
"""Steps of a net up to which the catalogue is tried on each path."""

Bools: TypeAlias = npt.NDArray[np.bool_]


class Mistake(NamedTuple):
    """A summand that is path ``way`` times a known mistake; ``flipped``: and of the wrong sign."""

    way: int
    known: Known
    flipped: bool


@dataclass(slots=True)
class Explanation:
    """``coefficients``: how often each path is there; ``candidates``: for each summand that is a
    known mistake, which it can be; ``shared``: for each summand that is several paths with one
    mistake, all of them; ``unknown``: how many summands nothing explains."""

    coefficients: Array
    candidates: list[list[Mistake]] = field(default_factory=list)
    unknown: int = 0
    shared: list[list[Mistake]] = field(default_factory=list)

    def add(self, other: Explanation) -> None:
        """Both together."""
        self.coefficients = self.coefficients + other.coefficients
        self.candidates += other.candidates
        self.shared += other.shared
        self.unknown += other.unknown

    @property
    def found(self) -> bool:
        """Whether anything of it was recognised."""
        return bool(self.candidates or self.shared or np.any(self.coefficients != 0))

    @property
    def wrong(self) -> int:
        """Summands that are no right path."""
        return len(self.candidates) + len(self.shared) + self.unknown

    @property
    def mistakes(self) -> list[Mistake]:
        """One for each wrong path: of those that a summand can be, one that is not there yet."""
        chosen: list[Mistake] = []
        for candidates in self.candidates:
            there = {i for i, c in enumerate(self.coefficients) if c} | {m.way for m in chosen}
            free = [mistake for mistake in candidates if mistake.way not in there]
            chosen.append((free or candidates)[0])
        return chosen + [mistake for mistakes in self.shared for mistake in mistakes]


class Explainer:
    """Explains the answers to one task on one sample; keeps the values of paths and ratios."""

    def __init__(self, problem: Problem, task: Task, sample: Sample) -> None:
        self.problem, self.task, self.sample = problem, task, sample
        self.paths = [sample.values(way.tree) for way in task.ways]
        self._ratios: dict[str, Array | None] = {}
        self._catalogues: dict[int, tuple[Bools, list[Known], Array]] = {}
        self.pieces = 0

    def explain(self, node: Node) -> Explanation:
        """What the formula consists of."""
        self.pieces, self.sample.work.left = 0, MOST_WORK
        return self._explain(node)

    def _explain(self, node: Node) -> Explanation:
        none = np.zeros(len(self.paths))
        self.pieces += 1
        try:
            self.sample.work.spend(self._cost)
            values = self.sample.values(node)
        except (FormulaError, OrderError, UnreadError):
            return Explanation(none, unknown=1)
        if any(values.shape != path.shape for path in self.paths[:1]):
            return Explanation(none, unknown=1)
        if not values.any():
            return Explanation(none)
        fitted = self._fit(values)
        if fitted is not None:
            return Explanation(fitted)
        known = self._known(values)
        if known:
            return Explanation(none, [known])
        shared = self._shared(values)
        if shared:
            return Explanation(none, shared=[shared])
        return self._apart(node) or Explanation(none, unknown=1)

    def _apart(self, node: Node) -> Explanation | None:
        """The node taken apart at the first sum whose summands can be explained."""
        work = self.sample.work
        try:
            for summands in splits(node, self.sample.places[0][1], work):
                if self.pieces + len(summands) > MOST_PIECES or work.left <= 0:
                    return None
                whole = Explanation(np.zeros(len(self.paths)))
                for summand in summands:
                    whole.add(self._explain(summand))
                if whole.found:
                    return whole
        except FormulaError:  # no more work is to be spent
            return None
        return None

    @property
    def _cost(self) -> int:
        """What a fit to all paths and a look into the catalogue cost, in visits of nodes."""
        return (1 if self.problem.steps > MOST_STEPS else 15) * len(self.paths)

    def _fit(self, values: Array) -> Array | None:
        """c with values = Σ_p c_p path_p, rounded where it is whole; None where there is none."""
        if not self.paths:
            return None
        values = values * self._row_scale
        c = self._inverse @ values
        size = np.abs(values) + np.abs(self._matrix * c).sum(axis=1)
        if not np.all(np.abs(self._matrix @ c - values) <= FIT * size):
            return None
        whole = np.round(2.0 * c) / 2.0
        c = np.where(np.abs(c - whole) < 1e-6, whole, c)
        return np.where(self._matrix.any(axis=0), c, 1.0)

    @cached_property
    def _row_scale(self) -> Array:
        """What brings the paths at each point to the same size, so that no point outweighs all."""
        size = np.abs(np.stack(self.paths)).sum(axis=0)
        return 1.0 / np.where(size > 0, size, 1.0)

    @cached_property
    def _matrix(self) -> Array:
        """A path a column, a point a row."""
        return np.stack(self.paths, axis=1) * self._row_scale[:, None]

    @cached_property
    def _inverse(self) -> Array:
        """The pseudo-inverse of the paths, each brought to the same size first."""
        scale = np.linalg.norm(self._matrix, axis=0)
        scale[scale == 0] = 1.0
        inverse: Array = np.linalg.pinv(self._matrix / scale, rcond=1e-13) / scale[:, None]
        return inverse

    def _known(self, values: Array) -> list[Mistake]:
        """The paths and entries of the catalogue that the values are the product of."""
        if len(self.paths) > 1 and self.problem.steps > MOST_STEPS:
            return []
        found: list[Mistake] = []
        for index in range(len(self.paths)):
            there, entries, ratios = self._entries(index)
            if there.sum() > 3 and entries:
                quotient = values[there] / self.paths[index][there]
                near = np.abs(np.abs(ratios) - np.abs(quotient)) <= FIT * np.abs(ratios)
                found.extend(
                    Mistake(index, entries[row], bool(quotient[0] * ratios[row, 0] < 0))
                    for row in np.flatnonzero(near.all(axis=1))
                    if len(set(np.sign(quotient * ratios[row]))) == 1
                )
        return found

    def _shared(self, values: Array) -> list[Mistake]:
        """Several paths with one and the same mistake: Σ_k ∂L/∂h_k x_k lacks each σ'(h̃_k)."""
        if len(self.paths) < 2 or self.problem.steps > MOST_STEPS:
            return []
        with np.errstate(all="ignore"):
            divided = values / self._all_ratios[1]
        for known, quotient in zip(self._all_ratios[0], divided, strict=True):
            c = self._fit(quotient) if np.isfinite(quotient).all() else None
            there = np.flatnonzero(c) if c is not None else np.array([], dtype=int)
            if c is None or len(there) < 2 or abs(c[there[0]]) != 1:
                continue
            if np.all(c[there] == c[there[0]]):
                return [Mistake(int(way), known, bool(c[way] < 0)) for way in there]
        return []

    @cached_property
    def _all_ratios(self) -> tuple[list[Known], Array]:
        """The catalogue of all paths, each ratio once, and the ratios, one a row."""
        entries = (e for way in self.task.ways for e in catalogue(self.problem, self.task, way))
        once = {known.ratio: known for known in reversed(list(entries))}
        found = [(known, self._ratio(known.ratio)) for known in reversed(once.values())]
        with_values = [(known, ratio) for known, ratio in found if ratio is not None]
        rows = np.array([ratio for _, ratio in with_values]).reshape(-1, len(self.paths[0]))
        return [known for known, _ in with_values], rows

    def _entries(self, index: int) -> tuple[Bools, list[Known], Array]:
        """Where a path is not zero, the catalogue for it, and the ratios there, one a row."""
        if index not in self._catalogues:
            path = self.paths[index]
            there = np.abs(path) > 1e-12 * np.max(np.abs(path), initial=0.0)
            entries, rows = [], []
            for known in catalogue(self.problem, self.task, self.task.ways[index]):
                ratio = self._ratio(known.ratio)
                if ratio is not None:
                    entries.append(known)
                    rows.append(ratio[there])
            self._catalogues[index] = there, entries, np.array(rows)
        return self._catalogues[index]

    def _ratio(self, text: str) -> Array | None:
        """The values of an entry of the catalogue; None where it has none on these nets."""
        if text not in self._ratios:
            try:
                ratio = self.sample.values(parse_one(text))
                constant = np.allclose(ratio, ratio[0], rtol=1e-9)
                fits = ratio.shape == self.paths[0].shape
                self._ratios[text] = ratio if fits and not constant else None
            except (FormulaError, OrderError, UnreadError):
                self._ratios[text] = None
        return self._ratios[text]


def splits(node: Node, binding: Binding, work: Work) -> Iterator[tuple[Node, ...]]:
    """The ways to write a node as a sum of others, by the distributive law.

    Raises FormulaError where that is too much work.
    """
    work.spend()
    if isinstance(node, Add):
        yield node.terms
    elif isinstance(node, Neg):
        yield from (tuple(map(Neg, terms)) for terms in splits(node.operand, binding, work))
    elif isinstance(node, Div):
        yield from (
            tuple(Div(t, node.bottom) for t in terms) for terms in splits(node.top, binding, work)
        )
    elif isinstance(node, Power) and 2 <= node.exponent <= 4:
        yield from splits(Mul((node.base,) * node.exponent), binding, work)
    elif isinstance(node, Series):
        yield from _unrolled(node, binding, work)
    elif isinstance(node, Mul):
        for index, factor in enumerate(node.factors):
            before, after = node.factors[:index], node.factors[index + 1 :]
            for terms in splits(factor, binding, work):
                work.spend(len(terms) * len(node.factors) // 10)
                yield tuple(Mul((*before, term, *after)) for term in terms)


def _unrolled(node: Series, binding: Binding, work: Work) -> Iterator[tuple[Node, ...]]:
    try:
        start, stop = (stepped(end, binding, node.at) for end in (node.start, node.stop))
    except FormulaError:
        return
    if 2 <= stop - start + 1 <= MOST_PIECES:
        work.spend((stop - start + 1) * sum(1 for _ in nodes(node.body)))
        bodies = tuple(at_step(node.body, node.variable, s) for s in range(start, stop + 1))
        if node.kind == "sum":
            yield bodies
        else:
            yield from splits(Mul(bodies), binding, work)


def at_step(node: Node, variable: str, step: int) -> Node:
    """The node with a number for the variable of a Σ."""

    def put(index: Index) -> Index:
        return Index(None, step + index.offset) if index.variable == variable else index

    def go(inner: Node) -> Node:
        return at_step(inner, variable, step)

    if isinstance(node, Name):
        return node if node.step is None else node._replace(step=put(node.step))
    if isinstance(node, Neg):
        return Neg(go(node.operand))
    if isinstance(node, Add):
        return Add(tuple(map(go, node.terms)))
    if isinstance(node, Mul):
        return Mul(tuple(map(go, node.factors)))
    if isinstance(node, Div):
        return Div(go(node.top), go(node.bottom))
    if isinstance(node, Power | Transpose):
        return node._replace(base=go(node.base))
    if isinstance(node, Call):
        return node._replace(argument=go(node.argument))
    if isinstance(node, Derivative):
        bottom = go(node.bottom)
        assert isinstance(bottom, Name)
        return node._replace(top=go(node.top), bottom=bottom)
    if isinstance(node, Series):
        inner = node.body if node.variable == variable else go(node.body)
        return node._replace(start=put(node.start), stop=put(node.stop), body=inner)
    return node
