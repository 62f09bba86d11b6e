"""The wrong passes that are tried: single changes of the graph, of many links alike, of the carry,
and of what the read-out hands on. One mistake may be made in several ways; each is an element.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, Name, Neg, Node, nodes, rebuilt
from rnngrad.algebra.steps import BEFORE, NOW, Matrix, before
from rnngrad.algebra.writing import named
from rnngrad.analyses.cell_partials import Link
from rnngrad.analyses.mistakes.alternatives import ZERO, Way, slopes, ways_of
from rnngrad.analyses.mistakes.passes import (
    BACK,
    BOTH,
    HERE,
    START,
    Apart,
    Carry,
    Change,
    Edge,
    Other,
    Turned,
    Wrong,
    bare,
)
from rnngrad.analyses.mistakes.saying import PLACES, Found, Saying
from rnngrad.analyses.mistakes.sums import limits
from rnngrad.arithmetic.arrays import Array

SLOPES = {
    "left out": "1", "taken at the function's own output": "{0}'({0}(a))", "taken twice": "{0}'(a)^2"
}  # fmt: skip
"""What people do most with slopes, and how it is written."""


class Element(NamedTuple):
    """A wrong pass and what it is called; ``usual`` ones are tried in pairs."""

    wrong: Wrong
    found: Found
    usual: bool = False


def elements(apart: Apart, saying: Saying) -> list[Element]:
    """Every element of a problem, the plain ones first."""
    return [
        *_single(apart, saying),
        *_without_a_carry(apart, saying),
        *_alike(apart),
        *_carries(apart),
        *_read_out(apart),
    ]


def _links(apart: Apart) -> Iterator[tuple[Edge, Link]]:
    for target, links in apart.graph.links.items():
        for i, link in enumerate(links):
            yield (target, i), link


def _single(apart: Apart, saying: Saying) -> Iterator[Element]:
    """One link changed, everywhere, or in one half alone."""
    layer = apart.layers[0]
    for edge, link in _links(apart):
        if link.source == "x" and apart.problem.depth == 1:
            continue
        matrix = isinstance(link.factor, Matrix)
        for way in ways_of(layer, edge):
            for at in (BOTH,) if matrix else (BOTH, BACK, HERE):
                if _is_another(apart, link, way, at):
                    continue
                found = saying.partial(link, way.other, at, way.rank)
                if way.other.end == START:
                    found = wrapped(found, saying)
                usual = at == BOTH and way.rank == 0
                yield Element(Wrong((Change(edge, way.other, at),)), found, usual)


def _is_another(apart: Apart, link: Link, way: Way, at: str) -> bool:
    """Whether another element is the same by its effect: to cut, or to turn the sign of, the one
    way back that there is from here on."""
    node = way.other.node
    assert not isinstance(link.factor, Matrix) or isinstance(node, Turned)
    cut = node.kind == "0" if isinstance(node, Turned) else node == ZERO
    turns = isinstance(node, Neg) and bare(node.operand) == bare(link.factor)
    if isinstance(node, Turned):
        return cut and sum(_leads_back(apart, one.source) for _, one in _links(apart)
                           if one.source in apart.graph.before) == 1  # fmt: skip
    if at != BACK or not (cut or turns):
        return False
    below = apart.graph.links.get(link.source, [])
    return sum(_leads_back(apart, one.source) for one in below) == 1


def _leads_back(apart: Apart, key: str) -> bool:
    """Whether the state before is beneath it."""
    return key in apart.graph.before or any(
        _leads_back(apart, one.source) for one in apart.graph.links.get(key, [])
    )


def wrapped(found: Found, saying: Saying) -> Found:
    """s_T for s_0."""
    part = saying.cell.parts[0]
    words = (
        f"at step 1 you met the last state where {part}_0 belongs, as [-1] of a list that does not "
        f"hold {part}_0 does"
    )
    return found._replace(bug="wrapped-index", where={"used": f"{part}_T", "right": f"{part}_0"},
                          words=words, hint=words, rank=0)  # fmt: skip


def _without_a_carry(apart: Apart, saying: Saying) -> Iterator[Element]:
    """A part of the state of which nothing comes back, and a matrix' diagonal in all places."""
    for part in apart.problem.cell.parts:
        changes, diagonals = [], []
        for edge, link in _links(apart):
            if link.source != before(part):
                continue
            matrix = isinstance(link.factor, Matrix)
            changes.append(Change(edge, Other(Turned("0") if matrix else ZERO), BACK))
            if isinstance(link.factor, Matrix) and _square(apart, link.factor):
                diagonals.append(Change(edge, Other(Turned("diag")), BACK))
        name, then = named(Name(part, NOW)), named(Name(part, BEFORE))
        if len(changes) > 1 and len(apart.problem.cell.parts) > 1:
            words = f"L depends on {then} by way of step t: you let nothing come back to it"
            where = {"partial": f"∂s_t/∂{then}", "used": "0", "right": f"∂s_t/∂{then}"}
            yield Element(Wrong(tuple(changes)), Found("wrong-partial", where, words, words), True)
        if len(changes) > 1:
            where = {"partial": f"∂s_t/∂{then}", "right": f"∂s_t/∂{then}"}
            for one in changes:
                rest = tuple(change for change in changes if change is not one)
                link = apart.graph.links[one.edge[0]][one.edge[1]]
                way = saying.name(link.target)
                words = f"of the ways from {name} back to {then} you kept the one by {way} alone"
                where = where | {"used": f"by {way} alone"}
                yield Element(
                    Wrong(rest), Found("wrong-partial", where, words, f"look at ∂s_t/∂{then}")
                )
        if len(diagonals) > 1:
            words = "on the way back you used the diagonals of the recurrent matrices alone"
            where = {"partial": f"∂a_t/∂{then}", "used": "diag(W)", "right": "W"}
            yield Element(
                Wrong(tuple(diagonals)), Found("wrong-partial", where, words, words), True
            )


def _square(apart: Apart, matrix: Matrix) -> bool:
    rows, columns = apart.layers[0].layer.own[matrix.parameter].shape
    return bool(rows == columns > 1)


def _alike(apart: Apart) -> Iterator[Element]:
    """The slopes of one function wrong alike wherever it stands, and those of all."""
    functions = apart.problem.functions
    with_slopes: dict[Edge, Link] = {
        edge: link for edge, link in _links(apart)
        if not isinstance(link.factor, Matrix) and any(_is_slope(n) for n in nodes(link.factor))
    }  # fmt: skip
    if len(with_slopes) < 2:
        return
    signs = list(dict.fromkeys(
        n.function for link in with_slopes.values() if not isinstance(link.factor, Matrix)
        for n in nodes(link.factor) if isinstance(n, Call) and n.prime
    ))  # fmt: skip
    kinds = dict.fromkeys(
        kind for link in with_slopes.values() if not isinstance(link.factor, Matrix)
        for n in nodes(link.factor) if isinstance(n, Call) and n.prime
        for kind in slopes(functions, n)
    )  # fmt: skip
    seen: set[str] = set()
    for of in (*signs, None) if len(signs) > 1 else (None,):
        for kind in kinds:
            for at in (BOTH, BACK, HERE):
                changes = []
                for edge, link in with_slopes.items():
                    assert not isinstance(link.factor, Matrix)
                    node = _with_slopes(apart, link.factor, of, kind)
                    if node is not None:
                        changes.append(Change(edge, Other(node), at))
                made = repr([(change.edge, change.other) for change in changes]) + at
                if len(changes) > 1 and made not in seen:
                    seen.add(made)
                    found = _of_slopes(of, kind, PLACES.get(at, ""))
                    yield Element(Wrong(tuple(changes)), found, at == BOTH and kind in SLOPES)


def _of_slopes(of: str | None, kind: str, place: str) -> Found:
    every = "every function" if of is None else of
    sign = "f" if of is None else of
    words = f"the derivative of {every} is {kind}{place}: it is {sign}'(a), once, at a itself"
    used = SLOPES.get(kind, kind).format(sign)
    where = {"partial": f"∂{sign}(a)/∂a", "used": used, "right": f"{sign}'(a)"}
    return Found("wrong-partial", where, words, f"the derivative of {every} is {kind}{place}")


def _is_slope(node: Node) -> bool:
    return isinstance(node, Call) and node.prime


def _with_slopes(apart: Apart, node: Node, of: str | None, kind: str) -> Node | None:
    """Every slope of a function replaced; None where there is none that can be."""
    hits = 0

    def one(part: Node) -> Node:
        nonlocal hits
        if isinstance(part, Call) and part.prime and of in (None, part.function):
            other = slopes(apart.problem.functions, part).get(kind)
            hits += other is not None
            return part if other is None else other
        return rebuilt(part, one)

    changed = one(node)
    return changed if hits else None


# ---------------------------------------------------------------------------- the carry


def _carries(apart: Apart) -> Iterator[Element]:
    words = "what comes back from step t + 1 is added up and never reset: each step takes its own"
    yield Element(
        Wrong(carry=Carry("kept")),
        Found("carry-not-reset", {"sum": "∂L/∂s_t"}, words, words), True,
    )  # fmt: skip
    words = "nothing comes back from step t + 1: ∂L/∂s_t is ∂L_t/∂s_t alone"
    yield Element(
        Wrong(carry=Carry("cut")), Found("immediate-only", {}, words, words), True
    )  # fmt: skip
    largest = float(np.abs(apart.right.dL_ds).max(initial=0.0))
    for kind in ("clipped", "norm"):
        for limit in limits(largest * (1 if kind == "clipped" else 10)):
            how = "entry by entry" if kind == "clipped" else "to a norm"
            words = (
                f"you clipped what goes back from step to step {how}: that is a step of training, "
                "after the whole gradient"
            )
            yield Element(
                Wrong(carry=Carry(kind, limit)),
                Found("clipped-on-the-way", {"clipped": "∂L/∂s_t", "by": how}, words, words,
                      limit=limit),
            )  # fmt: skip


# ---------------------------------------------------------------------------- the read-out


def _read_out(apart: Apart) -> Iterator[Element]:
    """Other forms of ∂L_t/∂ỹ_t, ỹ_t = W_hy h_t + b_y."""
    problem, passes = apart.problem, apart.passes
    loss, output = problem.loss, problem.output
    if loss is None or problem.targets is None or problem.loss_weights is None:
        return
    y, weights = passes.forward.y, problem.loss_weights[:, np.newaxis]
    dL_dy, right = passes.backward.dL_dy, apart.dL_da_y
    forms: list[tuple[str, Array]] = [
        ("y_t − t_t", weights * (y - problem.targets)),
        ("2 (y_t − t_t)", 2.0 * weights * (y - problem.targets)),
        ("t_t − y_t", weights * (problem.targets - y)),
        ("y_t", weights * y),
        ("−t_t", -weights * problem.targets),
    ]
    if output.elementwise is not None and output.name != "identity":
        slope = output.pull_back(passes.forward.a_y, y, np.ones_like(y))
        forms += [
            ("∂L_t/∂y_t", dL_dy),
            ("∂L_t/∂y_t ∘ g'(ỹ_t)^2", dL_dy * slope**2),
            ("∂L_t/∂y_t ∘ g'(y_t)", dL_dy * output.elementwise.slope(y)),
        ]
    for used, values in forms:
        if values.shape == right.shape and not np.allclose(values, right, rtol=1e-12, atol=0):
            where = {"partial": "∂L_t/∂ỹ_t", "used": used, "right": "∂L_t/∂y_t · ∂y_t/∂ỹ_t"}
            words = (
                f"∂L_t/∂ỹ_t, ỹ_t = W_hy h_t + b_y, is ∂L_t/∂y_t · g'(ỹ_t); your numbers are those "
                f"of {used}"
            )
            hint = f"look at ∂L_t/∂ỹ_t again: your numbers are those of {used}"
            yield Element(Wrong(dL_da_y=values), Found("wrong-partial", where, words, hint), True)
