"""Expressions as text: for a terminal, in plain ASCII, in LaTeX.

``written`` is for formulas of answers; ``grammar.parse`` and it are inverse to each other: reading
what was written gives a tree that is written the same way. ``written_in_cell`` is for the equations
of a cell, in which any name may stand, in one of three scripts that ``equations.read_cell`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rnngrad.algebra.equation_tokens import GREEK
from rnngrad.algebra.expressions import (
    Add,
    Apply,
    Call,
    Derivative,
    Div,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Series,
    Tight,
    Transpose,
)

SIGNS = {"target": "t", "a": "a", "o": "ỹ", "sum": "Σ", "prod": "∏"}
"""How a name of an answer is written where it is not written as itself."""


def written(node: Node) -> str:
    """The formula of an answer, with no bracket more than it needs."""
    return Text(" · ", SIGNS).sum(node)


def written_in_cell(node: Node, script: str = "text", times: str | None = None) -> str:
    """An expression of a cell's equation: ``text``, ``ascii`` or ``latex``; ``times`` stands
    between the factors of a product.

    >>> from rnngrad.algebra.equations import read_cell
    >>> right = read_cell("leaky", ["h_t = 0.9 h_{t-1} + tanh(W_xh x_t)"]).right("h")
    >>> for script in SCRIPTS: print(written_in_cell(right, script))
    0.9 ∘ h_{t−1} + tanh(W_xh x_t)
    0.9 * h[t-1] + tanh(W_xh @ x[t])
    0.9 \\odot h_{t-1} + \\tanh\\left(W_{xh} x_{t}\\right)
    """
    writer = SCRIPTS[script]
    return writer(writer.between if times is None else times, {}).sum(node)


class Text:
    """How sums, products, names and functions are written."""

    between = " ∘ "
    minus = "−"

    def __init__(self, times: str, signs: Mapping[str, str]) -> None:
        self.times, self.signs = times, signs

    def sum(self, node: Node) -> str:
        if not isinstance(node, Add):
            return self.signed(node)
        words = [self.signed(node.terms[0])]
        for term in node.terms[1:]:
            sign, rest = (self.minus, term.operand) if isinstance(term, Neg) else ("+", term)
            words.append(f" {sign} {self.product(rest)}")
        return "".join(words)

    def signed(self, node: Node) -> str:
        if isinstance(node, Neg):
            return f"{self.minus}{self.product(node.operand)}"
        return self.product(node)

    def product(self, node: Node) -> str:
        if isinstance(node, Mul):
            *before, last = node.factors
            return self.times.join([*map(self.factor, before), self.factor(last, last=True)])
        if isinstance(node, Div):
            return self.quotient(node)
        if isinstance(node, Tight):
            return " ".join(map(self.factor, node.factors))
        return self.factor(node, last=True)

    def quotient(self, node: Div) -> str:
        return f"{self.factor(node.top)} / {self.factor(node.bottom)}"

    def factor(self, node: Node, *, last: bool = False) -> str:
        """One factor; Σ reaches as far as it can, so it needs brackets unless it is the last."""
        if isinstance(node, Power):
            return self.raised(node)
        if isinstance(node, Transpose):
            return self.transposed(self.base(node.base))
        if isinstance(node, Apply):
            return self.applied(self.factor(node.matrix), self.factor(node.operand))
        if isinstance(node, Series):
            return self.series(node) if last else f"({self.series(node)})"
        return self.atom(node)

    def raised(self, node: Power) -> str:
        return f"{self.base(node.base)}^{node.exponent}"

    def transposed(self, base: str) -> str:
        return f"{base}ᵀ"

    def applied(self, matrix: str, operand: str) -> str:
        return f"{matrix} {operand}"

    def base(self, node: Node) -> str:
        bare = not isinstance(node, Derivative | Power | Transpose | Apply)
        return self.atom(node) if bare else self.bracketed(self.product(node))

    def series(self, node: Series) -> str:
        """Σ reaches over all that follows; what a ∏ reaches over is said in brackets."""
        bounds = f"{{{node.variable}={node.start}..{node.stop}}}"
        bare = node.kind == "sum" or not isinstance(node.body, Mul | Div)
        body = self.product(node.body) if bare else f"({self.product(node.body)})"
        return f"{SIGNS[node.kind]}_{bounds} {body}"

    def atom(self, node: Node) -> str:
        if isinstance(node, Number):
            return node.text
        if isinstance(node, Name):
            return self.name(node)
        if isinstance(node, Call):
            return self.called(node.function, node.prime, self.sum(node.argument))
        if isinstance(node, Derivative):
            top = node.top if isinstance(node.top, Name | Call) else None
            above = self.atom(top) if top is not None else f"({self.sum(node.top)})"
            return f"∂{'⁺' if node.immediate else ''}{above}/∂{self.name(node.bottom)}"
        return self.bracketed(self.sum(node))

    def bracketed(self, inner: str) -> str:
        return f"({inner})"

    def called(self, function: str, prime: bool, argument: str) -> str:
        return f"{function}{chr(39) if prime else ''}({argument})"

    def name(self, node: Name) -> str:
        return named(node, self.signs)


def named(name: Name, signs: Mapping[str, str] = SIGNS) -> str:
    """h_3, h_{t−1}, W_hh"""
    return name.head if name.step is None else at(signs.get(name.head, name.head), name.step)


def at(name: str, step: object) -> str:
    """h_3, h_T, h_{t−1}: an index of more than one sign is put in braces unless it is a number."""
    text = str(step)
    return f"{name}_{text}" if len(text) == 1 or text.isdigit() else f"{name}_{{{text}}}"


class Ascii(Text):
    """h[t-1], W @ x[t], sigmoid(…)"""

    between = " * "
    minus = "-"

    def transposed(self, base: str) -> str:
        return f"{base}^T"

    def applied(self, matrix: str, operand: str) -> str:
        return f"{matrix} @ {operand}"

    def called(self, function: str, prime: bool, argument: str) -> str:
        return super().called("sigmoid" if function == "σ" else function, prime, argument)

    def name(self, node: Name) -> str:
        if node.step is None:
            return node.head
        return f"{node.head}[{str(node.step).replace('−', '-')}]"


class Latex(Text):
    """h_{t-1}, W_{xi} x_{t}, \\sigma\\left(…\\right)"""

    between = r" \odot "
    minus = "-"

    def quotient(self, node: Div) -> str:
        return rf"\frac{{{self.sum(node.top)}}}{{{self.sum(node.bottom)}}}"

    def raised(self, node: Power) -> str:
        return f"{self.base(node.base)}^{{{node.exponent}}}"

    def transposed(self, base: str) -> str:
        return rf"{base}^{{\top}}"

    def bracketed(self, inner: str) -> str:
        return rf"\left({inner}\right)"

    def called(self, function: str, prime: bool, argument: str) -> str:
        sign = _LATEX.get(function) or rf"\operatorname{{{function.replace('_', '')}}}"
        return rf"{sign}{chr(39) if prime else ''}\left({argument}\right)"

    def name(self, node: Name) -> str:
        head, _, below = node.head.partition("_")
        step = "" if node.step is None else str(node.step).replace("−", "-")
        accent = re.fullmatch(r"(\w)(tilde|hat|bar)", head)
        if accent:
            head = rf"\{accent[2]}{{{accent[1]}}}"
        elif len(head) > 1:
            head = rf"\{head}" if head in GREEK else rf"\mathrm{{{head}}}"
        index = ",".join(part for part in (below, step) if part)
        return f"{head}_{{{index}}}" if index else head


_LATEX = {"σ": r"\sigma"} | {name: rf"\{name}" for name in ("tanh", "exp", "log", "sin", "cos")}

SCRIPTS: Mapping[str, type[Text]] = {"text": Text, "ascii": Ascii, "latex": Latex}
"""name -> how it writes."""
