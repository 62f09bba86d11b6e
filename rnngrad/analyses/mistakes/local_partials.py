"""One layer's step taken apart: its links along the trace, what may stand in their place, and what
the parameters meet.

    ∂L/∂source[k] += ∂L/∂target[k] ∘ factor        factor[k] where pass k replaces it
    ∂L/∂W[k]      = Σ_t ∂L/∂a_t[k] ⊗ v_t           v[k] where pass k meets another one

The graph is that of the equations as they stand (``step_partials``): a link is ∂target/∂source, a
diagonal (T, n) or a matrix. Rows of K passes go side by side, (K, n) at one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Call, Name, Node, nodes, rebuilt
from rnngrad.algebra.functions import WRITTEN
from rnngrad.algebra.step_graph import NOW, Matrix, key_of
from rnngrad.algebra.tape import tape_of
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.derivation.step_partials import Link, graph_of, inside
from rnngrad.analyses.derivation.step_text import name_of, rebuilt_names
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.evaluation import run
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.jacobian_diagonals import evaluated
from rnngrad.net.problem import Layer

K = TypeVar("K")

_SIGNS = {WRITTEN.get(name, name): record for name, record in FUNCTIONS.items()}

Edge = tuple[str, int]
"""A target of the graph, and the number of its link."""

BOTH, BACK, HERE = "both", "back", "here"
"""Where a partial is wrong: everywhere, on the way to s_{t−1} alone, at the parameters alone."""

ENDS = ("", "wrap", "zero")
"""What stands for a step that does not exist: the nearest, the one at the other end, as in a list
of Python, or nothing."""
STARTS = ("last", "first", "none")
"""What stands for s_0: s_T, as ``h[-1]`` of a list that begins with h_1; s_1; nothing."""


AS_A_WHOLE = "|"


class Turned(NamedTuple):
    """What stands for a matrix: ``kind`` is "0", "−", "T" (transposed), "diag"; or "other", the
    ``parameter``, and "plus" where that is added."""

    kind: str
    parameter: str = ""


class Other(NamedTuple):
    """What stands in the place of a factor: an expression, whose names may be of any step, and what
    stands for steps that do not exist; or of a matrix."""

    node: Node | Turned
    end: str = ""


class Change(NamedTuple):
    """A local partial and what was taken for it, ``at`` both halves of the pass or one, in all
    layers or in one."""

    edge: Edge
    other: Other
    at: str = BOTH
    layer: int | None = None


class Met(NamedTuple):
    """v in a term ∂L/∂a ⊗ v of a parameter of the equations, by its number, and what was taken
    for it."""

    parameter: str
    term: int
    other: Other


class Carry(NamedTuple):
    """What is done with what comes back from step t + 1, of all parts of the state or of one:
    ``kept`` and added up, ``clipped`` entry by entry or by ``norm``, to ``limit``; ``cut``."""

    kind: str
    limit: float = 0.0
    part: int | None = None


class Wrong(NamedTuple):
    """A wrong backward pass: changes, a carry, ∂L/∂a_y (T, O) in another form (for W_hy and b_y as
    well, unless ``on_the_way``), ∂L/∂ of a key of the graph clipped to a limit, ∂L/∂s (T+1, S)
    taken as it is given, and what the parameters meet."""

    changes: tuple[Change, ...] = ()
    carry: Carry | None = None
    dL_da_y: Array | None = None
    on_the_way: bool = False
    clipped: tuple[str, float] | None = None
    dL_ds: Array | None = None
    met: tuple[Met, ...] = ()


Replaced = tuple[Integers, Any]
"""Which of the passes replace a link, and by what: (T, m, n), or a matrix for all of them."""


Known = Mapping[str, Array]
NOTHING: Known = MappingProxyType({})


class Plan(NamedTuple):
    """What is replaced in one half of the passes, link by link, and what is clipped, by key."""

    replaced: Mapping[Edge, list[Replaced]]
    clipped: Mapping[str, list[tuple[int, float]]]


class LayerApart:
    """A layer's links along the trace: factors (T, n), matrices, and the values of every name."""

    def __init__(self, passes: Passes, number: int) -> None:
        self.problem, self.number = passes.problem, number
        self.layer: Layer = self.problem.layers[number]
        self.cell, self.trace = self.problem.cell, passes.forward.layers[number]
        self.graph = graph_of(self.cell)
        self.steps = len(self.trace.x)
        self.keys = [X, *self.graph.before, *(one.key for one in self.cell.step.definitions)]
        found = self._along_the_trace({key: (key, name_of(key)) for key in self.keys})
        self.values: Mapping[str, Array] = found | {X: np.asarray(self.trace.x)}
        self.factors = self._along_the_trace(
            {
                (target, i): (target, link.factor)
                for target, links in self.graph.links.items()
                for i, link in enumerate(links)
                if not isinstance(link.factor, Matrix)
            }
        )
        self.cache: dict[tuple[Edge, str], Array] = {}
        self.slopes: dict[str, dict[str, Node]] = {}

    def _along_the_trace(self, wanted: Mapping[K, tuple[str, Node]]) -> dict[K, Array]:
        """Expressions, each of the size of a key, (T, n)."""
        tape = self.cell.value_tape([node for _, node in wanted.values()])
        sizes = [self.layer.sizes[self.cell.step.sizes[key]] for key, _ in wanted.values()]
        found = evaluated(self.problem, self.layer, self.trace, tape, sizes)
        return dict(zip(wanted, map(np.asarray, found), strict=True))

    @cached_property
    def named_values(self) -> dict[str, str]:
        """The right-hand side of an equation without a matrix as a tree -> its name."""
        found: dict[str, str] = {}
        for one in self.cell.step.definitions:
            if not one.matrices and one.rest is not None and not inside(one.key):
                found.setdefault(repr(without_positions(one.rest)), one.key)
        return found

    @cached_property
    def unnamed(self) -> dict[str, Node]:
        """The key of a part of an equation without a matrix -> that part."""
        return {
            one.key: one.rest for one in self.cell.step.definitions
            if inside(one.key) and not one.matrices and one.rest is not None
        }  # fmt: skip

    def width(self, key: str) -> int:
        """The size of what a key stands for."""
        return int(self.values[key].shape[1])

    # ------------------------------------------------------------------ values of expressions

    def of(self, others: Sequence[Other], width: int) -> list[Array]:
        """Expressions with names of any step, (T, width) each."""
        found: list[Array] = []
        for end in dict.fromkeys(one.end for one in others):
            nodes = [_apart(one.node) for one in others if one.end == end]
            keys = {name for node in nodes for name in _heads(node)}
            tape = tape_of(nodes, keys, {})
            functions = {**FUNCTIONS, **_SIGNS, **self.problem.functions}
            values = run(tape.instructions, partial(self.value, end=end), functions)
            found += [
                np.broadcast_to(np.asarray(values[place], dtype=np.float64), (self.steps, width))
                for place in tape.outputs
            ]
        order = [i for end in dict.fromkeys(o.end for o in others)
                 for i, o in enumerate(others) if o.end == end]  # fmt: skip
        return [value for _, value in sorted(zip(order, found, strict=True), key=lambda p: p[0])]

    def value(self, key: str, end: str) -> Any:
        """h⁻, or h@+1: the same of another step; h⁻|+1: its rows moved, the last one twice."""
        whole, _, rows_by = key.partition(AS_A_WHOLE)
        if rows_by:
            return shifted(self.value(whole, end), int(rows_by), "", first=0, count=self.steps)
        head, _, offset = key.partition("@")
        if head in self.layer.own:
            return self.layer.own[head]
        if not offset and head not in self.values:
            head, offset = head.removesuffix("⁻"), "-1"
        if not offset:
            rows = self.values[head]
            if end in STARTS and head.endswith("⁻"):
                states = self.trace.states[head[:-1]]
                other = {"last": states[-1:], "first": states[1:2], "none": 0.0 * states[:1]}[end]
                return np.concatenate([other, rows[1:]])
            return rows
        by = int(offset)
        of_state = head in self.cell.parts
        rows = self.trace.states[head] if of_state else self.values[head]
        return shifted(rows, by, end, first=1 if of_state else 0, count=self.steps)

    # ------------------------------------------------------------------ replacing

    def plan(self, wrongs: Sequence[Wrong], half: str) -> Plan:
        """What the passes replace in one half of the way."""
        wanted: dict[Edge, dict[str, tuple[Other, list[int]]]] = {}
        for k, wrong in enumerate(wrongs):
            for change in wrong.changes:
                if change.at in (BOTH, half) and change.layer in (None, self.number):
                    key = f"{change.other.node!r}{change.other.end}"
                    place = wanted.setdefault(change.edge, {})
                    place.setdefault(key, (change.other, []))[1].append(k)
        clipped: dict[str, list[tuple[int, float]]] = {}
        for k, wrong in enumerate(wrongs):
            if wrong.clipped is not None:
                clipped.setdefault(wrong.clipped[0], []).append((k, wrong.clipped[1]))
        return Plan({edge: self._replaced(edge, w) for edge, w in wanted.items()}, clipped)

    def _replaced(self, edge: Edge, ways: Mapping[str, tuple[Other, list[int]]]) -> list[Replaced]:
        link = self.graph.links[edge[0]][edge[1]]
        if isinstance(link.factor, Matrix):
            return [
                (np.array(ks), self.matrix(link.factor, other.node))
                for other, ks in ways.values()
                if isinstance(other.node, Turned)
            ]
        missing = {key: other for key, (other, _) in ways.items()
                   if (edge, key) not in self.cache}  # fmt: skip
        if missing:
            values = self.of(list(missing.values()), self.width(edge[0]))
            for key, value in zip(missing, values, strict=True):
                self.cache[edge, key] = value
        rows = np.array([k for _, ks in ways.values() for k in ks])
        terms = [self.cache[edge, key] for key, (_, ks) in ways.items() for _ in ks]
        return [(rows, np.stack(terms, axis=1))]

    def matrix(self, matrix: Matrix, other: Turned | None = None) -> Array:
        """The matrix of a link, or what stands for it; rows are multiplied by it from the left."""
        if other is not None and other.kind in ("other", "plus"):
            another = np.asarray(self.layer.own[other.parameter])
            return another if other.kind == "other" else another + self.matrix(matrix)
        W = np.asarray(self.layer.own[matrix.parameter])
        W = W.T if matrix.transposed else W
        W = -W if matrix.sign < 0 else W
        if other is None:
            return W
        if other.kind == "T":
            return W.T
        return {"0": 0.0 * W, "−": -W, "diag": W * np.eye(*W.shape)}[other.kind]

    # ------------------------------------------------------------------ the way through a step

    def pull(
        self, parts: Sequence[Array], plan: Plan, row: int | None, *, to_x: bool,
        known: Known = NOTHING, seen: dict[str, Array] | None = None,
    ) -> dict[str, Array]:  # fmt: skip
        """Rows at the parts of s_t -> at all that the graph computes, at s_{t−1}, at x_t: (K, n) at
        one step, (T, K, n) at all of them. At a key that is ``known``, (T, n), its rows take the
        place of what was pulled there, which is kept in ``seen``."""
        at: dict[str, Array] = dict(zip(self.cell.parts, parts, strict=True))
        for key in reversed(self.graph.links):
            rows = at.get(key)
            if rows is None:
                continue
            if key in known and seen is not None:
                seen[key] = rows
                given = known[key] if row is None else known[key][row]
                rows = at[key] = np.broadcast_to(given, rows.shape)
            if key in plan.clipped:
                rows = at[key] = rows.copy()
                for k, limit in plan.clipped[key]:
                    rows[..., k, :] = np.clip(rows[..., k, :], -limit, limit)
            for i, link in enumerate(self.graph.links[key]):
                if link.source == X and not to_x:
                    continue
                more = self._along((key, i), link, rows, plan, row)
                at[link.source] = at[link.source] + more if link.source in at else more
        return at

    def _along(self, edge: Edge, link: Link, rows: Array, plan: Plan, row: int | None) -> Array:
        matrix = isinstance(link.factor, Matrix)
        if isinstance(link.factor, Matrix):
            more = rows @ self.matrix(link.factor)
        else:
            factor = self.factors[edge]
            more = rows * (factor[:, np.newaxis] if row is None else factor[row])
        for some, other in plan.replaced.get(edge, ()):
            if matrix:
                more[..., some, :] = rows[..., some, :] @ other
            else:
                more[..., some, :] = rows[..., some, :] * (other if row is None else other[row])
        return np.asarray(more)

    # ------------------------------------------------------------------ the sums

    def block(self, part: str, at: Mapping[str, Array], met: Sequence[Sequence[Met]] = ()) -> Array:
        """∂L/∂ of a parameter of the equations, (K, n) or (K, n, m); with what each of the passes
        takes for v."""
        own = self.layer.own[part]
        passes = next(iter(at.values())).shape[1]
        total = np.zeros((passes, *np.shape(own)))
        for i, term in enumerate(self.terms[part]):
            if term.target not in at:
                continue
            rows = at[term.target]
            more = term.summed(rows, np.ndim(own))
            for k, others in enumerate(met):
                for one in others:
                    if (one.parameter, one.term) == (part, i):
                        (v,) = self.of([one.other], term.beside.shape[1])
                        more[k] = term.summed(rows[:, k : k + 1], np.ndim(own), v)[0]
            total += more
        return total if total.ndim > 1 else total[:, np.newaxis]

    def some(self, part: str, at: Mapping[str, Array], i: Integers, j: Integers) -> Array:
        """Single entries of ``block`` where every parameter meets its own v, (K, m)."""
        ndim = np.ndim(self.layer.own[part])
        found = [t.some(at[t.target], ndim, i, j) for t in self.terms[part] if t.target in at]
        passes = next(iter(at.values())).shape[1]
        return np.asarray(sum(found)) if found else np.zeros((passes, len(i)))

    @cached_property
    def terms(self) -> Mapping[str, list[Term]]:
        """parameter of the equations -> what makes up its gradient."""
        return {part: self._terms_of(part) for part in self.layer.own}

    def _terms_of(self, part: str) -> list[Term]:
        step = self.cell.step
        terms = [
            Term(m.target, self.values[m.source], m, name_of(m.source))
            for m in step.matrices if m.parameter == part
        ]  # fmt: skip
        uses = [use for use in step.uses if use.parameter == part]
        for use in uses:
            (value,) = self.of([Other(use.factor)], self.width(use.target))
            terms.append(Term(use.target, value, None, use.factor))
        return terms


class Term(NamedTuple):
    """∂L/∂target_t ⊗ v_t, or ∘ v_t for a vector (``matrix`` None), over all steps; ``written``
    is v."""

    target: str
    beside: Array
    matrix: Matrix | None
    written: Node

    def each(self, rows: Array) -> Array:
        """Term by term, rows (T, K, n) -> (K, T, …)."""
        if self.matrix is None:
            return np.asarray((rows * self.beside[:, np.newaxis]).swapaxes(0, 1))
        block = np.einsum("tkn,tm->ktnm", rows, self.beside)
        block = self.matrix.sign * block
        return np.asarray(block.swapaxes(2, 3) if self.matrix.transposed else block)

    def summed(self, rows: Array, ndim: int, beside: Array | None = None) -> Array:
        """The sum over the steps, (K, …)."""
        v = self.beside if beside is None else beside
        if self.matrix is None:
            summed = (rows * v[:, np.newaxis]).sum(axis=0)
            return np.asarray(summed if ndim else summed.sum(axis=1))
        T, K, n = rows.shape
        block = (rows.transpose(1, 2, 0).reshape(K * n, T) @ v).reshape(K, n, -1)
        block = self.matrix.sign * block
        return block.swapaxes(1, 2) if self.matrix.transposed else block

    def some(self, rows: Array, ndim: int, i: Integers, j: Integers) -> Array:
        """Single entries [i, j] of ``summed`` (of a vector [i]), (K, m)."""
        v = self.beside
        if self.matrix is None:
            return self.summed(rows, ndim)[:, i] if ndim else self.summed(rows, 0)[:, np.newaxis]
        i, j = (j, i) if self.matrix.transposed else (i, j)
        return np.asarray(self.matrix.sign * np.einsum("tkm,tm->km", rows[:, :, i], v[:, j]))


def shifted(rows: Array, by: int, end: str, *, first: int, count: int) -> Array:
    """Row first + t + by for t = 0 … count − 1."""
    wanted = np.arange(first, first + count) + by
    inside = (wanted >= 0) & (wanted < len(rows))
    if end == "wrap":
        return np.asarray(rows[wanted % len(rows)])
    found = rows[np.clip(wanted, 0, len(rows) - 1)]
    return found if end != "zero" else np.where(inside[:, np.newaxis], found, 0.0)


def _apart(node: Node | Turned) -> Node:
    """Names of other steps than t and t − 1 as names of their own: x@+1."""
    assert not isinstance(node, Turned)

    def one(name: Name) -> Node:
        if name.step is None or name.step.offset in (0, -1):
            return name
        return Name(f"{name.head}@{name.step.offset:+d}", NOW)

    return rebuilt_names(node, one)


def rows_moved(node: Node, by: int) -> Node:
    """An expression of step t + by; the first step's, or the last's, where there is none."""
    return rebuilt_names(
        node,
        lambda name: name if name.step is None else Name(f"{key_of(name)}{AS_A_WHOLE}{by:+d}", NOW),
    )


def _heads(node: Node) -> Iterator[str]:
    for one in nodes(node):
        if isinstance(one, Name) and one.step is not None:
            yield key_of(one)


def without_positions(node: Node) -> Node:
    """Without the characters at which its names stand."""
    if isinstance(node, Name | Call):
        node = node._replace(at=0)
    return rebuilt(node, without_positions)
