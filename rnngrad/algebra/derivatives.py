"""The derivative of an expression by a name, element by element.

    (u + v)' = u' + v'      (u ∘ v)' = u' ∘ v + u ∘ v'      (u / v)' = u'/v − u ∘ v'/v²
    (uⁿ)' = n uⁿ⁻¹ ∘ u'     f(u)' = f'(u) ∘ u'

All of it is a diagonal: a matrix product is an edge of its own (``algebra.step_graph``). f'(u) is
taken from u, never from f(u): 1 − tanh(u)² has lost every digit where tanh(u) is 1.
"""

from __future__ import annotations

from rnngrad.algebra.expressions import Add, Call, Div, Mul, Name, Neg, Node, Number, Power

ONE = Number("1")


def same(one: Node, other: Node) -> bool:
    """Whether two names are of the same thing at the same step."""
    return (
        isinstance(one, Name)
        and isinstance(other, Name)
        and one.head == other.head
        and one.step == other.step
    )


def is_one(node: Node) -> bool:
    """Whether it is the number 1 as it was written by the rules."""
    return isinstance(node, Number) and node.text == "1"


def derivative(node: Node, name: Name) -> Node | None:
    """∂node/∂name, unit by unit; None for an exact 0."""
    if isinstance(node, Name):
        return ONE if same(node, name) else None
    if isinstance(node, Number):
        return None
    if isinstance(node, Neg):
        return negative(derivative(node.operand, name))
    if isinstance(node, Add):
        return added([derivative(term, name) for term in node.terms])
    if isinstance(node, Mul):
        return added([_of_factor(node, index, name) for index in range(len(node.factors))])
    if isinstance(node, Div):
        return _of_quotient(node, name)
    if isinstance(node, Power):
        return _of_power(node, name)
    if isinstance(node, Call):
        inner = derivative(node.argument, name)
        return multiplied(node._replace(prime=True), inner)
    raise TypeError(f"no rule for {type(node).__name__}")


def _of_factor(node: Mul, index: int, name: Name) -> Node | None:
    others = (*node.factors[:index], *node.factors[index + 1 :])
    return multiplied(product(others), derivative(node.factors[index], name))


def _of_quotient(node: Div, name: Name) -> Node | None:
    top, bottom = derivative(node.top, name), derivative(node.bottom, name)
    first = None if top is None else Div(top, node.bottom)
    second = None
    if bottom is not None:
        second = Neg(Div(product((node.top, *_factors(bottom))), Power(node.bottom, 2)))
    return added([first, second])


def _of_power(node: Power, name: Name) -> Node | None:
    n = node.exponent
    if n == 0:
        return None
    inner = derivative(node.base, name)
    rest = node.base if n == 2 else Power(node.base, n - 1)
    outer = ONE if n == 1 else product((Number(str(n)) if n > 0 else Neg(Number(str(-n))), rest))
    return multiplied(outer, inner)


# ---------------------------------------------------------------------------- building


def negative(node: Node | None) -> Node | None:
    """−node"""
    if node is None:
        return None
    return node.operand if isinstance(node, Neg) else Neg(node)


def added(terms: list[Node | None]) -> Node | None:
    """A sum without its zeros, what is added first."""
    found: list[Node] = []
    for term in terms:
        if term is not None:
            found += term.terms if isinstance(term, Add) else (term,)
    found.sort(key=lambda term: isinstance(term, Neg))
    if not found:
        return None
    return Add(tuple(found)) if len(found) > 1 else found[0]


def multiplied(outer: Node, inner: Node | None) -> Node | None:
    """outer ∘ inner"""
    return None if inner is None else product((outer, inner))


def product(factors: tuple[Node, ...]) -> Node:
    """A product without its ones, the signs taken out in front."""
    found: list[Node] = []
    minus = False
    for factor in factors:
        inner = factor.operand if isinstance(factor, Neg) else factor
        minus ^= isinstance(factor, Neg)
        found += [one for one in _factors(inner) if not is_one(one)]
    node: Node = ONE if not found else found[0] if len(found) == 1 else Mul(tuple(found))
    return Neg(node) if minus else node


def _factors(node: Node) -> tuple[Node, ...]:
    return node.factors if isinstance(node, Mul) else (node,)
