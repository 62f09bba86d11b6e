"""What people take for a local partial: what may stand in the place of the right one.

For a diagonal, from the tree of its factor, one place of it changed at a time:

    left out (0), the wrong sign, 1, the factor of a neighbouring step
    a slope f'(a): left out, taken at f(a), twice, by the formula in f(a) taken at a, of another
    function, f(a) itself
    a name: another one of the same size, the same one of a neighbouring step, s_T for s_0
    a product without one of its factors, a sum without one of its terms or with its sign turned

For a matrix: left out, the wrong sign, transposed, its diagonal alone, another of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import NamedTuple

from rnngrad.algebra.derivatives import ONE, is_one, product
from rnngrad.algebra.equations import read_expression
from rnngrad.algebra.expressions import (
    Add,
    Call,
    Div,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    parts,
    rebuilt,
)
from rnngrad.algebra.functions import WRITTEN
from rnngrad.algebra.step_graph import BEFORE, NOW, Matrix, key_of
from rnngrad.analyses.derivation.step_partials import inside
from rnngrad.analyses.derivation.step_text import name_of, rebuilt_names
from rnngrad.analyses.mistakes.local_partials import (
    ENDS,
    STARTS,
    Edge,
    LayerApart,
    Other,
    Turned,
    without_positions,
)
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.arithmetic.functions import FUNCTIONS

ZERO = Number("0")

_RULES = {name: FUNCTIONS[name].by_value for name in ("sigmoid", "tanh")}
"""Slopes by the function's value that people know by heart."""


class Way(NamedTuple):
    """A wrong partial and how near to people's habits it is: 0 for a slip of the rule, 1 for
    another name or step in its place."""

    edge: Edge
    other: Other
    rank: int


def ways_of(layer: LayerApart, edge: Edge) -> list[Way]:
    """Everything that may stand for one link."""
    link = layer.graph.links[edge[0]][edge[1]]
    if isinstance(link.factor, Matrix):
        return [Way(edge, Other(turned), rank) for turned, rank in _turned(layer, link.factor)]
    found = list(_whole(layer, edge, link.factor))
    found += [Way(edge, *one) for one in inner(layer, link.factor, layer.width(edge[0]))]
    found = [
        way._replace(other=way.other._replace(node=by_name(layer, way.other.node)))
        for way in found
        if not isinstance(way.other.node, Turned)
    ]
    return _once(found, link.factor)


def by_name(layer: LayerApart, node: Node) -> Node:
    """The same with no factor 1 and no 1 − (1 − z), and i_t for σ(…) where an equation says so."""
    if isinstance(node, Call) and node.prime:
        return node
    node = rebuilt(node, lambda part: by_name(layer, part))
    if isinstance(node, Mul):
        node = product(node.factors)
    inner = _opposite(node)
    node = node if inner is None else _opposite(inner) or node
    found = layer.named_values.get(repr(without_positions(node)))
    return node if found is None else name_of(found)


def _once(found: Sequence[Way], right: Node) -> list[Way]:
    """Without what is written twice, or is written as the right one."""
    seen, kept = {(repr(without_positions(right)), "")}, []
    for way in found:
        assert not isinstance(way.other.node, Turned)
        key = (repr(without_positions(way.other.node)), way.other.end)
        if key not in seen:
            seen.add(key)
            kept.append(way)
    return kept


def _opposite(node: Node) -> Node | None:
    """z of 1 − z."""
    if not isinstance(node, Add) or len(node.terms) != 2 or not is_one(node.terms[0]):
        return None
    return node.terms[1].operand if isinstance(node.terms[1], Neg) else None


# ---------------------------------------------------------------------------- a diagonal


def _whole(layer: LayerApart, edge: Edge, factor: Node) -> Iterator[Way]:
    """The factor as a whole."""
    source = layer.graph.links[edge[0]][edge[1]].source
    if not _one_way_up(layer, source):
        yield Way(edge, Other(ZERO), 0)
        yield Way(edge, Other(Neg(factor)), 0)
        for number in ("0.5", "2"):
            yield Way(edge, Other(product((Number(number), factor))), 1)
    yield Way(edge, Other(ONE), 0)
    if not isinstance(factor, Name):
        for by in (-1, 1):
            yield from (Way(edge, one, 1) for one in moved(factor, by))
    if not isinstance(factor, Name):
        for key in _names(layer, layer.width(edge[0])):
            yield Way(edge, Other(name_of(key)), 1)


def _one_way_up(layer: LayerApart, source: str) -> bool:
    """Whether what is computed from ``source`` is one thing, unit by unit: to leave out what is
    above is then the same as to leave out this."""
    if not inside(source) and source not in layer.graph.names:
        return False
    users = [link for links in layer.graph.links.values() for link in links
             if link.source == source]  # fmt: skip
    target = users[0].target if users else source
    above = [link for links in layer.graph.links.values() for link in links
             if link.source == target]  # fmt: skip
    return (
        len(users) == 1 and len(above) == 1 and target not in layer.cell.parts
        and not isinstance(above[0].factor, Matrix)
    )  # fmt: skip


def moved(node: Node, by: int) -> Iterator[Other]:
    """The same of a neighbouring step, with everything that may stand where there is none."""
    other = rebuilt_names(
        node,
        lambda name: name if name.step is None
        else name._replace(step=Index("t", name.step.offset + by)),
    )  # fmt: skip
    if repr(without_positions(other)) != repr(without_positions(node)):
        yield from (Other(other, end) for end in ENDS)


def inner(layer: LayerApart, factor: Node, width: int) -> Iterator[tuple[Other, int]]:
    """One place in the factor changed."""
    names = _names(layer, width)

    def at(node: Node) -> Iterator[tuple[Node, str, int]]:
        if isinstance(node, Call) and node.prime:
            yield from ((one, "", 0) for one in slopes(layer, node).values())
            yield from ((one, "", 1) for one in _of_others(layer, node, names))
            yield from ((one.node, one.end, 1) for by in (-1, 1) for one in moved(node, by)
                        if not isinstance(one.node, Turned))  # fmt: skip
        if isinstance(node, Name) and node.step is not None:
            yield from _other_names(layer, node, names)
        if isinstance(node, Mul):
            for i in range(len(node.factors)):
                yield product((*node.factors[:i], *node.factors[i + 1 :])), "", 0
        if isinstance(node, Add):
            yield from ((one, "", 0) for one in _other_sums(node))

    for node, end, rank in _everywhere(factor, at):
        yield Other(node, end), rank


def _of_others(layer: LayerApart, call: Call, names: Sequence[str]) -> Iterator[Node]:
    """The slope by its formula, with another value than f(a) in it, such as h_{t−1}."""
    own = layer.problem.functions[call.function].by_value
    if own:
        yield from (_by_value(own, name_of(key)) for key in names if not inside(key))


def _everywhere(
    node: Node, change: Callable[[Node], Iterator[tuple[Node, str, int]]]
) -> Iterator[tuple[Node, str, int]]:
    """The tree with one place of it changed, the uppermost first; a slope is one place."""
    yield from change(node)
    below = parts(node)
    if isinstance(node, Call) and node.prime:
        return
    for place, child in enumerate(below):
        for new, end, rank in _everywhere(child, change):
            yield rebuilt(node, _putting(new, place)), end, rank


def _putting(new: Node, place: int) -> Callable[[Node], Node]:
    """What puts a node in the place of one of those below another."""
    numbers = count()
    return lambda one: new if next(numbers) == place else one


def slopes(layer: LayerApart, call: Call) -> dict[str, Node]:
    """What people take for f'(a), by what they do."""
    key = repr(call)
    if key not in layer.slopes:
        layer.slopes[key] = _slopes(layer.problem.functions, call)
    return layer.slopes[key]


def _slopes(functions: Functions, call: Call) -> dict[str, Node]:
    value = call._replace(prime=False)
    again = call._replace(argument=value)
    found: dict[str, Node] = {
        "left out": ONE,
        "taken at the function's own output": again,
        "taken twice": Power(call, 2),
        "divided by": Div(ONE, call),
        "taken as the function itself": value,
        "taken as the function of its output": again._replace(prime=False),
    }
    own = functions[call.function].by_value
    if own:
        found["the formula in f(a), taken at a"] = _by_value(own, call.argument)
        for number, (form, _, _) in enumerate(_everywhere(_read(own), _slips)):
            found[f"by its formula with a slip ({number + 1})"] = _by_value(form, value)
    for name, rule in _RULES.items():
        if rule != own:
            sign = WRITTEN.get(name, name)
            other = sign if functions[call.function].by_value and sign in functions else name
            found[f"that of {name}"] = _by_value(rule, value)
            found[f"that of {name}, taken at a"] = call._replace(function=other)
            found[f"that of {name}, taken at the output"] = again._replace(function=other)
    seen: dict[str, str] = {}
    for how, form in found.items():
        seen.setdefault(repr(without_positions(form)), how)
    return {how: found[how] for how in seen.values()}


def _slips(node: Node) -> Iterator[tuple[Node, str, int]]:
    """One slip in a formula of v."""
    if isinstance(node, Mul):
        for i in range(len(node.factors)):
            yield product((*node.factors[:i], *node.factors[i + 1 :])), "", 0
    if isinstance(node, Add):
        yield from ((one, "", 0) for one in _other_sums(node))
    if isinstance(node, Power):
        yield node.base, "", 0


def _by_value(rule: str | Node, put: Node) -> Node:
    return rebuilt_names(_read(rule) if isinstance(rule, str) else rule, lambda _: put)


@cache
def _read(rule: str) -> Node:
    return read_expression(rule)


def _other_sums(node: Add) -> Iterator[Node]:
    terms = node.terms
    for i, term in enumerate(terms):
        rest = (*terms[:i], *terms[i + 1 :])
        yield rest[0] if len(rest) == 1 else Add(rest)
        turned = term.operand if isinstance(term, Neg) else Neg(term)
        yield Add((*terms[:i], turned, *terms[i + 1 :]))
    opposite = _opposite(node)
    if opposite is not None:
        yield opposite


def _names(layer: LayerApart, width: int) -> list[str]:
    return [key for key in layer.keys if layer.width(key) == width]


def _other_names(
    layer: LayerApart, name: Name, names: Sequence[str]
) -> Iterator[tuple[Node, str, int]]:
    """Another name of its size, the same of another step, and 1 minus a gate."""
    own = key_of(name)
    for key in names:
        if key != own:
            yield name_of(key), "", 1
    assert name.step is not None
    for by in (-1, 1):
        other = name._replace(step=Index("t", name.step.offset + by))
        if key_of(other) in names and other.step in (NOW, BEFORE):
            continue
        yield from ((other, end, 1) for end in ENDS)
    if own.endswith("⁻"):
        yield from ((name, end, 1) for end in STARTS)
    if own in layer.graph.names and own not in layer.cell.parts:
        yield Add((ONE, Neg(name))), "", 0


# ---------------------------------------------------------------------------- a matrix


def _turned(layer: LayerApart, matrix: Matrix) -> Iterator[tuple[Turned, int]]:
    own = layer.layer.own
    shape = own[matrix.parameter].shape
    yield Turned("0"), 0
    yield Turned("−"), 0
    if shape[0] == shape[1] > 1:
        yield Turned("T"), 0
        yield Turned("diag"), 0
    others = dict.fromkeys(m.parameter for m in layer.cell.step.matrices)
    for name in others:
        if name != matrix.parameter and own[name].shape == shape and not matrix.transposed:
            yield Turned("other", name), 1


def besides(layer: LayerApart, written: Node, width: int) -> list[tuple[Other, int]]:
    """What may stand for v in ∂L/∂a ⊗ v, or ∘ v."""
    found = [(Other(node, end), rank)
             for node, end, rank in _beside(layer, written, width)]  # fmt: skip
    ways = _once([Way(("", 0), other, rank) for other, rank in found], written)
    return [(way.other, way.rank) for way in ways]


def _beside(layer: LayerApart, written: Node, width: int) -> Iterator[tuple[Node, str, int]]:
    if isinstance(written, Name):
        for node, end, rank in _other_names(layer, written, _names(layer, width)):
            if end not in STARTS:
                yield node, end, rank
        if written.step == BEFORE:
            yield from ((written, end, 0) for end in STARTS)
        return
    for other, rank in inner(layer, written, width):
        assert not isinstance(other.node, Turned)
        yield other.node, other.end, rank
