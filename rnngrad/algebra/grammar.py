"""The grammar of a formula, read by recursive descent: no eval, and no depth that could overflow.

    chain    = [ "=" ] sum { "=" sum }
    sum      = [ sign ] product { sign product }
    product  = factor { ( "*" | "/" | nothing ) factor }
    factor   = { sign } base [ "^" integer | "^T" ]
    base     = number | name | function "(" sum ")" | "(" sum ")" | derivative | series
             | "\\frac" "{" sum "}" "{" sum "}"
    derivative = ∂ [ "+" ] ( name | function "(" sum ")" | "(" sum ")" ) "/" ∂ name
             | "\\frac" "{" ∂ … "}" "{" ∂ name "}"
    series   = ( Σ | ∏ ) "_{" k "=" step ( ".." | "}^{" ) step "}" product

A product without a sign is read only where it can mean one thing: not between two numbers, not
before a number, and not after a "/", where people differ on how far the denominator reaches.
The product behind a Σ is all in it; of that behind a ∏, what ``reach`` says.
Source: Aho, Lam, Sethi, Ullman, *Compilers* (2006), section 4.4.
"""

from __future__ import annotations

import re

from rnngrad.algebra.equation_numbers import without_number
from rnngrad.algebra.expressions import (
    Add,
    Call,
    Derivative,
    Div,
    FormulaError,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Series,
    Transpose,
)
from rnngrad.algebra.product_scope import Factor, reach
from rnngrad.algebra.tokens import LONGEST, Token, tokens

DEEPEST = 60
"""Brackets within brackets."""

LARGEST_POWER = 8

_OF_TEN = re.compile(r"\d{1,3}")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse(text: str, step: str = "3") -> tuple[Node, ...]:
    """The sides of a formula, one for each piece between "=" signs; ``step`` is shown in messages.
    Raises FormulaError."""
    return Parser(tokens(without_number(text[: LONGEST + 1]).text, step)).chain()


def parse_one(text: str) -> Node:
    """The tree of a formula without "=". Raises FormulaError."""
    sides = parse(text)
    if len(sides) != 1:
        raise FormulaError("an '=' cannot stand here")
    return sides[0]


class Parser:
    """The tokens, and how far they have been read."""

    def __init__(self, found: list[Token]) -> None:
        self.found, self.next, self.depth = found, 0, 0

    @property
    def token(self) -> Token:
        return self.found[self.next]

    def take(self) -> Token:
        token = self.token
        self.next += token.kind != "end"
        return token

    def sees(self, *signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs

    def taken(self, sign: str) -> bool:
        """Whether the sign stands here; it is passed if so."""
        if self.sees(sign):
            self.next += 1
            return True
        return False

    def expect(self, sign: str, why: str) -> None:
        if not self.taken(sign):
            raise FormulaError(f"a '{sign}' is missing here{why}", self.token.at)

    # ------------------------------------------------------------------ chain, sum, product

    def chain(self) -> tuple[Node, ...]:
        if self.token.kind == "end":
            raise FormulaError("there is no formula", 0)
        self.taken("=")
        sides = [self.sum()]
        while self.taken("="):
            sides.append(self.sum())
        if self.token.kind != "end":
            self.refuse()
        return tuple(sides)

    def refuse(self) -> None:
        """What stands here and cannot."""
        token = self.token
        if token.text in (")", "]", "}"):
            raise FormulaError(f"this '{token.text}' closes nothing", token.at)
        shown = {"frac": "\\frac"}.get(token.text, token.text)
        raise FormulaError(f"'{shown}' cannot stand here; an operator is missing", token.at)

    def sum(self) -> Node:
        terms = [self.product()]
        while self.sees("+", "-"):
            minus = self.take().text == "-"
            term = self.product()
            terms.append(Neg(term) if minus else term)
        return Add(tuple(terms)) if len(terms) > 1 else terms[0]

    def product(self) -> Node:
        """Factors from the left; a leading sign belongs to the whole product."""
        minus = self.signs()
        node = _product(self.factors())
        return Neg(node) if minus else node

    def factors(self) -> list[Factor]:
        """The factors of a product; those behind a ∏ that are not in it are this product's."""
        found, divided = self.factor(divided=False), False
        while True:
            if self.sees("*", "/"):
                divided = self.take().text == "/"
            elif self.starts_a_factor():
                self.check_implicit(divided)
            else:
                return found
            found += self.factor(divided=divided)

    def starts_a_factor(self) -> bool:
        token = self.token
        if token.kind in ("name", "call", "d", "series", "number"):
            return True
        return token.kind == "sign" and token.text in ("(", "[", "{", "frac")

    def check_implicit(self, divided: bool) -> None:
        token = self.token
        if token.kind == "number":
            raise FormulaError("a sign is missing before this number", token.at)
        if divided:
            message = "is this still below the '/'? put the denominator in brackets, or write *"
            raise FormulaError(message, token.at)

    def signs(self) -> bool:
        """Signs before a factor; whether they come to a minus."""
        minus = False
        while self.sees("+", "-"):
            minus ^= self.take().text == "-"
        return minus

    def factor(self, *, divided: bool) -> list[Factor]:
        at, minus = self.token.at, self.signs()
        node, behind = self.series() if self.token.kind == "series" else (self.base(), [])
        return [Factor(Neg(node) if minus else node, divided, at), *behind]

    # ------------------------------------------------------------------ powers, bases

    def base(self) -> Node:
        node = self.primary()
        if self.token.kind == "transpose":
            self.take()
            node = Transpose(node)
        if self.sees("^"):
            node = self.power(node)
        if self.sees("^"):
            raise FormulaError("a power of a power needs brackets", self.token.at)
        return node

    def power(self, base: Node) -> Node:
        """A small integer: no formula of the sheet needs another, and none can take forever."""
        at = self.take().at
        opened = self.take().text if self.sees("{", "(") else ""
        minus = self.signs()
        token = self.take()
        if opened:
            self.expect(_CLOSING[opened], f": the exponent's '{opened}' is not closed")
        if base == Number("10") and token.kind == "number" and _OF_TEN.fullmatch(token.text):
            return Number(f"1e{'-' if minus else ''}{token.text}")
        if token.kind != "number" or not token.text.isdigit():
            raise FormulaError("an exponent must be a small integer, or T for the transpose", at)
        if len(token.text) > 2 or int(token.text) > LARGEST_POWER:
            raise FormulaError(f"an exponent can be {LARGEST_POWER} at most", at)
        return Power(base, -int(token.text) if minus else int(token.text))

    def primary(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return Number(token.text)
        if token.kind == "name":
            return Name(token.text, token.step, token.at)
        if token.kind == "call":
            return self.call(token)
        if token.kind == "d":
            return self.derivative(token)
        if token.text == "frac":
            return self.frac(token)
        if token.kind == "sign" and token.text in _CLOSING:
            return self.bracket(token)
        raise self.missing(token)

    def missing(self, token: Token) -> FormulaError:
        if token.kind == "end":
            return FormulaError("the formula ends where a factor is missing", token.at)
        return FormulaError(f"a factor is missing before this '{token.text}'", token.at)

    def bracket(self, opened: Token) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormulaError(f"brackets nest more than {DEEPEST} deep", opened.at)
        node = self.sum()
        closing = _CLOSING[opened.text]
        if not self.taken(closing):
            self.unclosed(opened, closing)
        self.depth -= 1
        return node

    def unclosed(self, opened: Token, closing: str) -> None:
        token = self.token
        if token.kind == "end" or token.text in ("=", ")", "]", "}"):
            message = f"this '{opened.text}' is not closed by a '{closing}'"
            raise FormulaError(message, opened.at)
        self.refuse()

    def call(self, token: Token) -> Node:
        shown = f"{token.text}{chr(39) if token.prime else ''}"
        if not self.sees("(", "[", "{"):
            message = f"{shown} needs what it is taken of in brackets: {shown}(W_hy h_3 + b_y)"
            raise FormulaError(message, token.at)
        if token.prime and token.text in ("exp", "ln", "diag"):
            raise FormulaError(f"{shown}: write the derivative of {token.text} out", token.at)
        return Call(token.text, token.prime, self.bracket(self.take()), token.at)

    # ------------------------------------------------------------------ derivatives, Σ and ∏

    def derivative(self, d: Token) -> Node:
        """∂top/∂bottom on one line."""
        top = self.top()
        if not self.taken("/"):
            message = "∂ needs what it is differentiated by: ∂L_3/∂y_3"
            raise FormulaError(message, self.token.at)
        opened = self.taken("(")
        bottom = self.bottom()
        if opened:
            self.expect(")", ": the denominator's '(' is not closed")
        return Derivative(top, bottom, d.prime, d.at)

    def top(self) -> Node:
        """What is differentiated: a name, a function or something in brackets."""
        token = self.take()
        if token.kind == "name":
            return Name(token.text, token.step, token.at)
        if token.kind == "call":
            return self.call(token)
        if token.kind == "sign" and token.text in _CLOSING:
            return self.bracket(token)
        raise FormulaError("∂ must stand before a name: ∂L_3/∂y_3", token.at)

    def bottom(self) -> Name:
        d = self.take()
        if d.kind != "d":
            raise FormulaError("below a ∂ there must be another: ∂L_3/∂y_3", d.at)
        name = self.take()
        if name.kind != "name":
            raise FormulaError("∂ below must stand before a name: ∂L_3/∂y_3", name.at)
        return Name(name.text, name.step, name.at)

    def frac(self, token: Token) -> Node:
        """\\frac{top}{bottom}: a derivative if its top begins with ∂ and is nothing else."""
        self.brace(token)
        if self.token.kind == "d" and not self.quotient_inside():
            d = self.take()
            top = None if self.sees("}") else self.top()
            self.expect("}", ": the numerator of \\frac is not closed")
            self.brace(token)
            bottom = self.bottom()
            self.expect("}", ": the denominator of \\frac is not closed")
            return Derivative(self.top() if top is None else top, bottom, d.prime, token.at)
        top = self.bracket(Token("sign", "{", token.at))
        return Div(top, self.bracket(self.brace(token)))

    def quotient_inside(self) -> bool:
        """Whether a ∂ here belongs to a ∂…/∂… that stands in the numerator as a whole."""
        depth = 0
        for token in self.found[self.next :]:
            if token.text in _CLOSING:
                depth += 1
            elif token.text in ("}", ")", "]"):
                depth -= 1
            if depth < 0:
                return False
            if depth == 0 and token.text == "/":
                return True
        return False

    def brace(self, token: Token) -> Token:
        if not self.sees("{"):
            message = "\\frac needs two pairs of braces: \\frac{\\partial L_3}{\\partial y_3}"
            raise FormulaError(message, token.at)
        return self.take()

    def series(self) -> tuple[Node, list[Factor]]:
        """Σ_{k=1..t}, \\sum_{k=1}^{t}, with what it is taken of; and what stands behind a ∏."""
        token = self.take()
        assert token.bounds is not None
        variable, start, stop = token.bounds
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormulaError(f"sums nest more than {DEEPEST} deep", token.at)
        minus, factors = self.signs(), self.factors()
        self.depth -= 1
        count = reach(variable, factors) if token.text == "prod" else len(factors)
        body = _product(factors[:count])
        body = Neg(body) if minus else body
        return Series(token.text, variable, start, stop, body, token.at), factors[count:]


def _product(factors: list[Factor]) -> Node:
    """Factors from the left: a "/" divides all that stands before it."""
    found: list[Node] = []
    for factor in factors:
        if factor.divided:
            found = [Div(_times(found), factor.node)]
        else:
            found.append(factor.node)
    return _times(found)


def _times(nodes: list[Node]) -> Node:
    return Mul(tuple(nodes)) if len(nodes) > 1 else nodes[0]
