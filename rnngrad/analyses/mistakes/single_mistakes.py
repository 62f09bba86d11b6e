"""The wrong passes that are tried: single changes of the graph, of many links alike, of the carry,
and of what the read-out hands on. One mistake may be made in several ways; each is an element.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import ONE
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Add, Call, Index, Name, Neg, Node, nodes, rebuilt
from rnngrad.algebra.step_graph import BEFORE, NOW, Matrix, before, key_of, names_in
from rnngrad.algebra.writing import named
from rnngrad.analyses.derivation.step_partials import Link, inside
from rnngrad.analyses.derivation.step_text import name_of, rebuilt_names
from rnngrad.analyses.mistakes.alternatives import ZERO, Way, by_name, slopes, ways_of
from rnngrad.analyses.mistakes.local_partials import (
    BACK,
    BOTH,
    ENDS,
    HERE,
    STARTS,
    Carry,
    Change,
    Edge,
    Other,
    Turned,
    Wrong,
    shifted,
    without_positions,
)
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.sums import limits, listed, wrong_sums
from rnngrad.analyses.mistakes.words import PLACES, Found, Saying
from rnngrad.arithmetic.arrays import Array

SLOPES = {
    "left out": "1",
    "taken at the function's own output": "{0}'({0}(a))",
    "taken twice": "{0}'(a)^2",
}
"""What people do most with slopes, and how it is written."""


GATES = "gates"
"""The functions that are taken of a sum inside an equation."""

LISTED = {
    "left out": "missing-activation-derivative",
    "taken at the function's own output": "activation-derivative-of-output",
}
"""What stands in the list of known mistakes as well."""


class Element(NamedTuple):
    """A wrong pass and what it is called; ``usual`` ones are tried in pairs."""

    wrong: Wrong
    found: Found
    usual: bool = False


def elements(apart: Apart, saying: Saying) -> list[Element]:
    """Every element of a problem, the plain ones first."""
    every = _in_all_layers(apart, saying)
    return every if apart.problem.depth == 1 else [*every, *_in_one_layer(apart, every)]


def _in_one_layer(apart: Apart, every: Iterable[Element]) -> Iterator[Element]:
    """The same changes in one layer alone: less likely than in the code that all layers share."""
    for one in every:
        for number in range(apart.problem.depth) if one.wrong.changes else ():
            if number == 0 and any(_source(apart, c.edge) == X for c in one.wrong.changes):
                continue
            place = f" in layer {number} alone"
            found = one.found._replace(
                words=f"{one.found.words}{place}" if one.found.words else "",
                hint=f"{one.found.hint}{place}" if one.found.hint else "",
                where={**one.found.where, "layer": number}, rank=one.found.rank + 1,
            )  # fmt: skip
            changes = tuple(change._replace(layer=number) for change in one.wrong.changes)
            yield Element(one.wrong._replace(changes=changes), found)


def _source(apart: Apart, edge: Edge) -> str:
    return apart.graph.links[edge[0]][edge[1]].source


def _in_all_layers(apart: Apart, saying: Saying) -> list[Element]:
    return [
        *_single(apart, saying),
        *_without_a_carry(apart, saying),
        *_rows_of_another(apart, saying),
        *_alike(apart),
        *_renamed(apart, saying),
        *_carries(apart),
        *_clipped(apart, saying),
        *_read_out(apart),
    ]


def compatible(one: Element, other: Element) -> bool:
    """Whether both can be made at once, each of something else."""
    edges = {change.edge for change in one.wrong.changes}
    return (
        edges.isdisjoint(change.edge for change in other.wrong.changes)
        and (one.wrong.carry is None or other.wrong.carry is None)
        and (one.wrong.dL_da_y is None or other.wrong.dL_da_y is None)
    )


def together(a: Wrong, b: Wrong) -> Wrong:
    """Both at once."""
    dL_da_y = a.dL_da_y if b.dL_da_y is None else b.dL_da_y
    return Wrong((*a.changes, *b.changes), a.carry or b.carry, dL_da_y)


def _links(apart: Apart) -> Iterator[tuple[Edge, Link]]:
    for target, links in apart.graph.links.items():
        for i, link in enumerate(links):
            yield (target, i), link


def _single(apart: Apart, saying: Saying) -> Iterator[Element]:
    """One link changed, everywhere, or in one half alone."""
    layer = apart.layers[0]
    for edge, link in _links(apart):
        if link.source == X and apart.problem.depth == 1:
            continue
        matrix = isinstance(link.factor, Matrix)
        for way in ways_of(layer, edge):
            for at in (BOTH,) if matrix else (BOTH, BACK, HERE):
                if _is_another(apart, link, way, at):
                    continue
                found = saying.partial(link, way.other, at, way.rank)
                if way.other.end in STARTS:
                    found = at_the_start(found, way.other, saying)
                if matrix and way.other.node == Turned("T") and _is_only(apart, link):
                    found = found._replace(bug="transposed-W_hh")
                usual = way.rank == 0 and (at == BOTH or _is_plain(way))
                yield Element(Wrong((Change(edge, way.other, at),)), found, usual)


def _is_plain(way: Way) -> bool:
    """Left out, or 1."""
    return not isinstance(way.other.node, Turned) and way.other.node in (ZERO, ONE)


def _is_another(apart: Apart, link: Link, way: Way, at: str) -> bool:
    """Whether another element is the same by its effect: to cut, or to turn the sign of, the one
    way back that there is from here on."""
    node = way.other.node
    cut = node.kind == "0" if isinstance(node, Turned) else node == ZERO
    if isinstance(node, Turned) or isinstance(link.factor, Matrix):
        return cut and sum(_leads_back(apart, one.source) for _, one in _links(apart)
                           if one.source in apart.graph.before) == 1  # fmt: skip
    turns = isinstance(node, Neg) and without_positions(node.operand) == without_positions(
        link.factor
    )
    if at != BACK or not (cut or turns):
        return False
    below = apart.graph.links.get(link.source, [])
    return sum(_leads_back(apart, one.source) for one in below) == 1


def _leads_back(apart: Apart, key: str) -> bool:
    """Whether the state before is beneath it."""
    return key in apart.graph.before or any(
        _leads_back(apart, one.source) for one in apart.graph.links.get(key, [])
    )


def at_the_start(found: Found, other: Other, saying: Saying) -> Found:
    """Something else for s_0, or for the parts of it that stand there."""
    assert not isinstance(other.node, Turned)
    parts = [part for part in saying.cell.parts
             if any(key_of(name) == before(part) for name in names_in(other.node))]  # fmt: skip
    right = " and ".join(f"{part}_0" for part in parts)
    if other.end == "none":
        words = f"at step 1 you took 0 where {right} belongs: its own term is missing"
        where = {} if parts == [saying.cell.parts[0]] else {"used": "0", "right": right}
        return found._replace(bug="dropped-h_0", where=where, words=words, hint=words, rank=0)
    used = " and ".join(f"{part}_T" if other.end == "last" else f"{part}_1" for part in parts)
    words = f"at step 1 you took {used} where {right} belongs"
    end = other.end
    if end == "last":
        words += f": in Python, index -1 of a list without {right} is its last"
    bug = "wrapped-index" if end == "last" else "wrong-partial"
    where = {"partial": found.where.get("partial", ""), "used": used, "right": right}
    if end == "last":
        where.pop("partial")
    return found._replace(bug=bug, where=where, words=words, hint=words, rank=0)


def _without_a_carry(apart: Apart, saying: Saying) -> Iterator[Element]:
    """A part of the state of which nothing comes back, and a matrix' diagonal in all places."""
    for part in apart.problem.cell.parts:
        cut = Wrong(carry=Carry("cut", part=apart.problem.cell.parts.index(part)))
        changes, diagonals, transposes = [], [], []
        for edge, link in _links(apart):
            if link.source != before(part):
                continue
            matrix = isinstance(link.factor, Matrix)
            changes.append(Change(edge, Other(Turned("0") if matrix else ZERO), BACK))
            if isinstance(link.factor, Matrix) and _square(apart, link.factor):
                diagonals.append(Change(edge, Other(Turned("diag")), BACK))
                transposes.append(Change(edge, Other(Turned("T")), BACK))
        name, then = named(Name(part, NOW)), named(Name(part, BEFORE))
        if len(changes) > 1 and len(apart.problem.cell.parts) > 1:
            words = f"L depends on {then} by way of step t: you let nothing come back to it"
            where = {"partial": f"∂s_t/∂{then}", "used": "0", "right": f"∂s_t/∂{then}"}
            yield Element(cut, Found("wrong-partial", where, words, words), True)
        if len(changes) == 1 and len(apart.problem.cell.parts) > 1:
            (target, i) = changes[0].edge
            link = apart.graph.links[target][i]
            yield Element(cut, saying.partial(link, changes[0].other, BOTH, 0), True)
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
        if len(transposes) > 1:
            yield Element(Wrong(tuple(transposes)), Found("transposed-W_hh", {}, "", ""), True)
        if len(diagonals) > 1:
            words = "on the way back you used the diagonals of the recurrent matrices alone"
            where = {"partial": f"∂a_t/∂{then}", "used": "diag(W)", "right": "W"}
            yield Element(
                Wrong(tuple(diagonals)), Found("wrong-partial", where, words, words), True
            )


def _is_only(apart: Apart, link: Link) -> bool:
    """Whether it is the one matrix on the way back."""
    back = [one for _, one in _links(apart)
            if isinstance(one.factor, Matrix) and _leads_back(apart, one.source)]  # fmt: skip
    return len(back) == 1 and back[0] is link


def _rows_of_another(apart: Apart, saying: Saying) -> Iterator[Element]:
    """∂L/∂a of another gate in the place of one's own, where it is multiplied by W."""
    own = apart.layers[0].layer.own
    back = [(edge, link, link.factor) for edge, link in _links(apart)
            if isinstance(link.factor, Matrix) and link.source in apart.graph.before]  # fmt: skip
    for edge, link, matrix in back:
        for other_edge, other, another in back:
            if other is link or own[matrix.parameter].shape != own[another.parameter].shape:
                continue
            if other.source != link.source:
                continue
            changes = (
                Change(edge, Other(Turned("0")), BACK),
                Change(other_edge, Other(Turned("plus", matrix.parameter)), BACK),
            )
            right, used = saying.gate(link.target), saying.gate(other.target)
            where = {
                "partial": f"∂L/∂{saying.name(link.source)}",
                "used": f"{used} · {matrix.parameter}",
                "right": f"{right} · {matrix.parameter}",
            }  # fmt: skip
            words = (
                f"on the way back you multiplied ∂L/∂{used} by {matrix.parameter}; it belongs to "
                f"∂L/∂{right}"
            )
            hint = f"on the way back you multiplied ∂L/∂{used} by {matrix.parameter}"
            yield Element(Wrong(changes), Found("wrong-partial", where, words, hint, 1))


def _square(apart: Apart, matrix: Matrix) -> bool:
    rows, columns = apart.layers[0].layer.own[matrix.parameter].shape
    return bool(rows == columns > 1)


def _alike(apart: Apart) -> Iterator[Element]:
    """The slopes of one function wrong alike wherever it stands, and those of all."""
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
        for kind in slopes(apart.layers[0], n)
    )  # fmt: skip
    seen: set[str] = set()
    for of in (*signs, GATES, None):
        for kind in kinds:
            for at in (BOTH, BACK, HERE):
                changes = []
                for edge, link in with_slopes.items():
                    assert not isinstance(link.factor, Matrix)
                    if of == GATES and not inside(link.source):
                        continue
                    node = _with_slopes(apart, link.factor, of, kind)
                    if node is not None:
                        changes.append(Change(edge, Other(node), at))
                made = repr([(change.edge, change.other) for change in changes]) + at
                if len(changes) > 1 and made not in seen:
                    seen.add(made)
                    found = _of_slopes(of, kind, PLACES.get(at, ""))
                    yield Element(Wrong(tuple(changes)), found, at == BOTH and kind in SLOPES)


def _of_slopes(of: str | None, kind: str, place: str) -> Found:
    every = {None: "every function", GATES: "every gate's function"}.get(of, of)
    sign = "f" if of in (None, GATES) else of
    words = f"the derivative of {every} is {kind}{place}: it is {sign}'(a), once, at a itself"
    used = SLOPES.get(kind, kind).format(sign)
    where = {"partial": f"∂{sign}(a)/∂a", "used": used, "right": f"{sign}'(a)"}
    if of in (None, GATES) and kind in LISTED:
        return Found(LISTED[kind], {}, words, f"the derivative of {every} is {kind}{place}")
    return Found("wrong-partial", where, words, f"the derivative of {every} is {kind}{place}")


def _is_slope(node: Node) -> bool:
    return isinstance(node, Call) and node.prime


def _with_slopes(apart: Apart, node: Node, of: str | None, kind: str) -> Node | None:
    """Every slope of a function replaced; None where there is none that can be."""
    hits = 0

    def one(part: Node) -> Node:
        nonlocal hits
        if isinstance(part, Call) and part.prime and of in (None, GATES, part.function):
            other = slopes(apart.layers[0], part).get(kind)
            hits += other is not None
            return part if other is None else other
        return rebuilt(part, one)

    changed = one(node)
    return changed if hits else None


def _renamed(apart: Apart, saying: Saying) -> Iterator[Element]:
    """One name of a neighbouring step, or 1 − z for z, in every partial that holds it."""
    layer = apart.layers[0]
    nodes_of = {edge: link.factor for edge, link in _links(apart)
                if not isinstance(link.factor, Matrix)}  # fmt: skip
    names = dict.fromkeys(
        key_of(name) for node in nodes_of.values() for name in names_in(node)
        if not inside(name.head)
    )  # fmt: skip
    for key in names:
        name = name_of(key)
        assert name.step is not None
        others: list[tuple[Node, str]] = [
            (name._replace(step=Index("t", name.step.offset + by)), end)
            for by in (-1, 1) for end in ENDS
        ]  # fmt: skip
        if key not in apart.graph.before:
            others.append((Add((ONE, Neg(name))), ""))
        for other, end in others:
            changes = [
                Change(edge, Other(by_name(layer, _put(node, key, other)), end))
                for edge, node in nodes_of.items()
                if any(key_of(one) == key for one in names_in(node))
            ]
            if len(changes) > 1:
                used, right = saying.written(other), saying.written(name)
                where = {"partial": "all that hold it", "used": used, "right": right}
                words = f"you took {used} where {right} belongs, in every partial that holds it"
                hint = f"you took {used} for another one, in every partial that holds it"
                yield Element(
                    Wrong(tuple(changes)), Found("wrong-partial", where, words, hint, 1), not end
                )


def _put(node: Node, key: str, other: Node) -> Node:
    return rebuilt_names(node, lambda name: other if key_of(name) == key else name)


# ---------------------------------------------------------------------------- the carry


def _carries(apart: Apart) -> Iterator[Element]:
    parts = apart.problem.cell.parts
    for part in (None, *range(len(parts))) if len(parts) > 1 else (None,):
        of = "s" if part is None and len(parts) > 1 else parts[part or 0]
        words = (
            f"what comes back to {of}_t from step t + 1 is added up and never reset: each step "
            "hands on its own alone"
        )
        found = Found("carry-not-reset", {"sum": f"∂L/∂{of}_t"}, words, words)
        yield Element(Wrong(carry=Carry("kept", part=part)), found, True)
        largest = np.abs(apart.right.dL_ds[..., apart.columns(part)]).max(initial=0.0)
        for kind in ("clipped", "norm"):
            for limit in limits(float(largest) * (1 if kind == "clipped" else 10)):
                how = "entry by entry" if kind == "clipped" else "to a norm"
                found = clipped_at(f"∂L/∂{of}_t as it comes back from step t + 1", how, limit)
                yield Element(Wrong(carry=Carry(kind, limit, part)), found)
    words = "nothing comes back from step t + 1: ∂L/∂s_t is ∂L_t/∂s_t alone"
    found = Found("immediate-only", {}, words, words)
    yield Element(Wrong(carry=Carry("cut")), found, True)


def _clipped(apart: Apart, saying: Saying) -> Iterator[Element]:
    """∂L/∂ of what the graph computes, clipped at each step on the way."""
    for key in apart.graph.links:
        largest = max(float(np.abs(at[key]).max(initial=0.0)) for at in apart.right.at if key in at)
        for limit in limits(largest):
            found = clipped_at(f"∂L/∂{saying.gate(key)}", "entry by entry", limit)
            yield Element(Wrong(clipped=(key, limit)), found)


def clipped_at(what: str, how: str, limit: float) -> Found:
    """Something clipped at each step of the way back."""
    words = (
        f"you clipped {what} {how}, at each step: that is a step of training, after the whole "
        "gradient"
    )
    where = {"clipped": what, "by": how}
    return Found("clipped-on-the-way", where, words, words, limit=limit)


# ---------------------------------------------------------------------------- the read-out


def _read_out(apart: Apart) -> Iterator[Element]:
    """Other forms of ∂L_t/∂ỹ_t, ỹ_t = W_hy h_t + b_y."""
    forms = read_out_forms(apart)
    for form, values in forms.items():
        used = form.strip()
        where = {"partial": "∂L_t/∂ỹ_t", "used": used, "right": "∂L_t/∂y_t · ∂y_t/∂ỹ_t"}
        words = (
            "∂L_t/∂ỹ_t, ỹ_t = W_hy h_t + b_y, is ∂L_t/∂y_t · g'(ỹ_t); your numbers are those of "
            f"{used}"
        )
        hint = f"look at ∂L_t/∂ỹ_t again: your numbers are those of {used}"
        found = Found("wrong-partial", where, words, hint)
        if used == "∂L_t/∂y_t":
            found = found._replace(bug="missing-output-derivative")
        yield Element(Wrong(dL_da_y=values), found, "_{" not in used)
        yield Element(Wrong(dL_da_y=values, on_the_way=True), found)
    steps = apart.steps
    for factors in (*wrong_sums(steps), np.arange(steps, 0, -1), np.arange(1, steps + 1)):
        other = {str(t + 1): int(f) for t, f in enumerate(factors) if f != 1}
        if other and apart.W_hy is not None:
            found = losses_counted(other, "∂L_t/∂h_t")
            wrong = Wrong(dL_da_y=apart.dL_da_y * factors[:, np.newaxis], on_the_way=True)
            yield Element(wrong, found)
    last = np.zeros_like(apart.dL_da_y)
    last[-1] = apart.dL_da_y[-1]
    if len(last) > 1:
        yield Element(Wrong(dL_da_y=last), Found("last-loss-only", {}, "", ""), True)


def losses_counted(other: Mapping[str, int], terms: str) -> Found:
    """Losses that are missing or counted twice: on the way back alone (∂L_t/∂h_t), or for the
    read-out as well (L_t)."""
    words = f"on the way back, {listed(other, 'the loss of step')}: each counts once"
    return Found("wrong-steps", {"steps": other, "terms": terms}, words, words)


def read_out_forms(apart: Apart) -> dict[str, Array]:
    """What people take for ∂L_t/∂ỹ_t, (T, O) each, by how it is written."""
    problem, passes = apart.problem, apart.passes
    loss, output, targets = problem.loss, problem.output, problem.targets
    if loss is None or targets is None or problem.loss_weights is None or problem.upstream:
        return {}
    y, weights = passes.forward.y, problem.loss_weights[:, np.newaxis]
    dL_dy, right, T = passes.backward.dL_dy, apart.dL_da_y, problem.steps
    forms = {
        "y_t − t_t": weights * (y - targets),
        "2 (y_t − t_t)": 2.0 * weights * (y - targets),
        "t_t − y_t": weights * (targets - y),
        "y_t": weights * y,
        "−t_t": -weights * targets,
    }
    whole = targets.sum(axis=1, keepdims=True) if loss.name == "cross_entropy" else 1.0
    scale = np.where(y * whole != targets, right / (y * whole - targets), 0.0)
    for by, sign in ((-1, "t−1"), (1, "t+1")):
        for end in ENDS:
            moved = shifted(targets, by, end, first=0, count=T)
            later = shifted(y, by, end, first=0, count=T)
            of = " " * ENDS.index(end)  # one of three ways, which is not said
            forms[f"∂L_t/∂ỹ_t with t_{{{sign}}} for t_t{of}"] = scale * (y * whole - moved)
            forms[f"∂L_t/∂ỹ_t with y_{{{sign}}} for y_t{of}"] = scale * (later - targets)
            forms[f"∂L_{{{sign}}}/∂ỹ_{{{sign}}}{of}"] = shifted(right, by, end, first=0, count=T)
    if output.elementwise is not None and output.name != "identity":
        slope = output.pull_back(passes.forward.a_y, y, np.ones_like(y))
        a_y = np.asarray(passes.forward.a_y)
        forms |= {
            "∂L_t/∂y_t": dL_dy,
            "∂L_t/∂y_t ∘ g'(ỹ_t)^2": dL_dy * slope**2,
            "∂L_t/∂y_t ∘ g'(y_t)": dL_dy * output.elementwise.slope(y),
            "∂L_t/∂y_t ∘ ỹ_t ∘ (1 − ỹ_t)": dL_dy * a_y * (1.0 - a_y),
            "∂L_t/∂y_t ∘ y_t": dL_dy * y,
        }
    elif output.name == "softmax":
        forms |= {"∂L_t/∂y_t": dL_dy, "(y_t − t_t) ∘ y_t ∘ (1 − y_t)": right * y * (1.0 - y)}
    kept = dict[str, Array]()
    for used, values in sorted(forms.items(), key=lambda form: form[0] != "∂L_t/∂y_t"):
        known = (right, *kept.values())
        if values.shape == right.shape and not any(
            np.allclose(values, one, rtol=1e-12, atol=0) for one in known
        ):
            kept[used] = values
    return kept
