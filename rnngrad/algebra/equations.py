"""A cell's equations: text -> checked trees, with the size of every name.

    i_t = σ(W_xi x_t + W_hi h_{t−1} + b_i)       names: x_t, parts of the state at t−1, what earlier
    c_t = f_t ∘ c_{t−1} + i_t ∘ g_t               equations defined, and parameters: every other

Products are of two kinds. Side by side, or with · or @ between them, stand a matrix and what it
multiplies, or a number and what it scales; this binds tighter than ∘, ⊙, * and /, which act element
by element. So r_t ∘ W h is r_t ∘ (W h), and W h ∘ r_t is (W h) ∘ r_t.

A parameter that begins with a capital letter is a matrix, one with a small letter a vector.
What sizes they have follows from what they meet (``Sizes``), and ``shapes`` says otherwise.
Nothing of the text is evaluated: what is not in the grammar is a mistake with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from rnngrad.algebra.equation_tokens import EquationScanner, plain_name
from rnngrad.algebra.expressions import (
    Add,
    Apply,
    Call,
    Div,
    FormulaError,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Tight,
    Transpose,
    nodes,
    parts,
)
from rnngrad.algebra.grammar import Parser
from rnngrad.algebra.writing import named, written_in_cell
from rnngrad.errors import did_you_mean

Path = tuple[str | int, ...]
"""Where in the mapping: ``("equations", 2)``."""

Letters = tuple[str, ...]
"""Sizes by letter: ``("P", "H")`` a matrix, ``("H",)`` a vector, ``()`` a scalar."""

MOST_EQUATIONS = 150
MOST_NAMES = 500
"""Names in one equation; the rules of derivatives take a step for each pair of them."""
MOST_FACTORS = 60
DEEPEST = 100
"""Levels of one equation; three times as many of all together, as one may stand in another."""
X = "x"


class CellMistake(NamedTuple):
    """What is wrong, where in the mapping, and at which character of the text that stands there."""

    message: str
    path: Path
    at: int | None = None


class CellMistakesError(Exception):
    """All that is wrong with a cell."""

    def __init__(self, mistakes: Sequence[CellMistake]) -> None:
        super().__init__("; ".join(mistake.message for mistake in mistakes))
        self.mistakes = tuple(mistakes)


class Equation(NamedTuple):
    """``name``_t = ``right``; ``text`` as it was given."""

    name: str
    right: Node
    text: str

    def __str__(self) -> str:
        return f"{self.name}_t = {written_in_cell(self.right)}"


class Equations(NamedTuple):
    """A cell as on paper. ``sizes`` has a letter for x, every part of the state and every equation;
    ``parameters`` the letters of each parameter, in the order in which they occur."""

    name: str
    state: tuple[str, ...]
    equations: tuple[Equation, ...]
    sizes: Mapping[str, str]
    parameters: Mapping[str, Letters]
    recurrent: tuple[str, ...] | None

    def right(self, name: str) -> Node:
        """What an equation says of a name."""
        return next(e.right for e in self.equations if e.name == name)


def read_cell(
    name: str,
    equations: Sequence[str],
    state: Sequence[str] = ("h",),
    shapes: Mapping[str, Sequence[str]] | None = None,
    recurrent: Sequence[str] | None = None,
) -> Equations:
    """The equations, checked. Raises CellMistakesError with all that is wrong.

    >>> read_cell("leaky", ["h_t = 0.9 h_{t-1} + 0.1 tanh(W x_t + U h_{t-1})"]).parameters
    {'W': ('H', 'I'), 'U': ('H', 'H')}
    """
    return _Reader(name, equations, state, shapes or {}, recurrent).read()


def read_expression(text: str) -> Node:
    """One side of an equation as it was written, its names and sizes not yet looked at.

    Raises FormulaError.
    """
    return _EquationParser(EquationScanner(text).run()).chain()[0]


# ---------------------------------------------------------------------------- grammar


class _EquationParser(Parser):
    """``algebra.grammar`` with two kinds of products."""

    def product(self) -> Node:
        minus = self.signs()
        found = [self.group(divided=False)]
        while self.sees("∘", "/", "·"):
            sign = self.take()
            after = self.group(divided=sign.text == "/")
            if sign.text == "/":
                found = [Div(_times(found), after)]
            elif sign.text == "·":
                found = [Tight((_times(found), after), sign.at)]
            else:
                found.append(after)
        node = _times(found)
        return Neg(node) if minus else node

    def group(self, *, divided: bool) -> Node:
        """Factors side by side; behind a "/" there is one."""
        at, found = self.token.at, [self.one()]
        while True:
            if self.sees("·") and not divided:
                self.take()
            elif not self.starts_a_factor():
                break
            else:
                self.check_implicit(divided)
            found.append(self.one())
        return Tight(tuple(found), at) if len(found) > 1 else found[0]

    def one(self) -> Node:
        minus = self.signs()
        node = self.base()
        return Neg(node) if minus else node


def _times(factors: Sequence[Node]) -> Node:
    return Mul(tuple(factors)) if len(factors) > 1 else factors[0]


# ---------------------------------------------------------------------------- sizes


class Sizes:
    """Which things are of one size: classes of numbers that were found equal, each with a letter
    where one is known."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.letters: list[str | None] = []

    def new(self, letter: str | None = None) -> int:
        """A size of its own, or that of a letter."""
        if letter is not None and letter in self.letters:
            return self.root(self.letters.index(letter))
        self.parent.append(len(self.parent))
        self.letters.append(letter)
        return len(self.parent) - 1

    def root(self, size: int) -> int:
        while self.parent[size] != size:
            self.parent[size] = size = self.parent[self.parent[size]]
        return size

    def letter(self, size: int) -> str | None:
        return self.letters[self.root(size)]

    def join(self, one: int, other: int) -> bool:
        """They are the same; whether that can be."""
        a, b = self.root(one), self.root(other)
        if a == b:
            return True
        if self.letters[a] is not None and self.letters[b] is not None:
            return False
        if self.letters[a] is None:
            a, b = b, a
        self.parent[b] = a
        return True


class _Of(NamedTuple):
    """A tree with every product known, and the size of the vector; None for a single number."""

    node: Node
    size: int | None


class _Reader:
    """One cell: what is known so far, and what is wrong."""

    def __init__(
        self,
        name: str,
        equations: Sequence[str],
        state: Sequence[str],
        shapes: Mapping[str, Sequence[str]],
        recurrent: Sequence[str] | None,
    ) -> None:
        self.name, self.texts, self.state = name, tuple(equations), tuple(state)
        self.shapes, self.recurrent = shapes, recurrent
        self.mistakes: list[CellMistake] = []
        self.sizes = Sizes()
        self.of: dict[str, int] = {X: self.sizes.new(next(iter(shapes.get(X, ())), "I"))}
        self.parameters: dict[str, tuple[int, ...]] = {}
        self.defined: list[Equation] = []
        self.tops: list[str | None] = []
        self.depth = 0

    def read(self) -> Equations:
        self.check_state()
        parsed = [self.parse(index, text) for index, text in enumerate(self.texts)]
        self.tops = [self.left(i) if one is None else one[0] for i, one in enumerate(parsed)]
        for index, one in enumerate(parsed):
            if one is not None:
                self.define(index, *one)
            elif name := self.tops[index]:  # what is wrong with it is said; others may use it
                self.of.setdefault(name, self.sizes.new())
                self.defined.append(Equation(name, Number("0"), self.texts[index]))
        self.check_defined()
        if self.mistakes:
            raise CellMistakesError(self.mistakes)
        letters = self.named_sizes()
        parameters = {n: tuple(letters[s] for s in sizes) for n, sizes in self.parameters.items()}
        self.check_recurrent(parameters)
        self.check_shapes(parameters)
        if self.mistakes:
            raise CellMistakesError(self.mistakes)
        of = {name: letters[size] for name, size in self.of.items()}
        recurrent = None if self.recurrent is None else tuple(self.recurrent)
        return Equations(self.name, self.state, tuple(self.defined), of, parameters, recurrent)

    def wrong(self, message: str, path: Path, at: int | None = None) -> None:
        self.mistakes.append(CellMistake(message, path, at))

    # ------------------------------------------------------------------ state and left sides

    def check_state(self) -> None:
        if not self.state:
            self.wrong("the state has no part; it is a list of names, such as [h, c]", ("state",))
        for index, part in enumerate(self.state):
            if part in self.of:
                why = "x is the input" if part == X else "it stands here twice"
                self.wrong(f"'{part}' cannot be a part of the state: {why}", ("state", index))
                continue
            given = self.shapes.get(part)
            letter = given[0] if given is not None and len(given) == 1 else None
            if given is not None and len(given) != 1:
                self.wrong(f"{part} is a part of the state, so a vector", ("shapes", part))
            self.of[part] = self.sizes.new(letter)
        if len(self.texts) > MOST_EQUATIONS:
            words = f"{len(self.texts):,} equations; a cell has {MOST_EQUATIONS} at most"
            self.wrong(words, ("equations",))
            self.texts = ()
        if not self.texts and not self.mistakes:
            self.wrong("there is no equation", ("equations",))

    def parse(self, index: int, text: str) -> tuple[str, Node] | None:
        """The name that an equation defines, and what it says of it."""
        path: Path = ("equations", index)
        try:
            sides = _EquationParser(EquationScanner(text).run()).chain()
            if len(sides) == 1:
                words = "an '=' is missing; an equation is written h_t = tanh(W_xh x_t)"
                raise FormulaError(words)
            if len(sides) > 2:
                raise FormulaError("an equation has one '='")
            self.check_extent(sides[1])
            left = sides[0]
            if not isinstance(left, Name) or left.step != Index("t", 0):
                raise FormulaError("on the left stands one name at step t, such as h_t", 0)
        except FormulaError as error:
            self.wrong(error.message, path, error.at)
            return None
        return left.head, sides[1]

    def left(self, index: int) -> str | None:
        """The name that an equation seems to define, though it cannot be read."""
        left, sign, _ = self.texts[index].partition("=")
        name = plain_name(left)
        return name if sign and re.fullmatch(r"[^\W\d]\w*", name) else None

    def check_extent(self, right: Node) -> None:
        """Whether all that follows can be worked out in a moment, and without a stack overflow."""
        deep, names = _depth(right), 0
        for node in nodes(right):
            names += isinstance(node, Name)
            if isinstance(node, Mul | Tight) and len(node.factors) > MOST_FACTORS:
                words = f"{len(node.factors)} factors in one product; {MOST_FACTORS} are the most"
                raise FormulaError(words, _place(node))
        if names > MOST_NAMES:
            raise FormulaError(
                f"{names:,} names in one equation; {MOST_NAMES} are the most{_SPLIT}"
            )
        if deep > DEEPEST:
            raise FormulaError(f"this nests {deep} deep; {DEEPEST} is the most{_SPLIT}")
        before, self.depth = self.depth, self.depth + deep
        if before <= 3 * DEEPEST < self.depth:
            raise FormulaError(f"from here on the cell is too long: {3 * DEEPEST} levels in all")

    def define(self, index: int, name: str, right: Node) -> None:
        path: Path = ("equations", index)
        if name == X:
            self.wrong("x_t is the input; no equation defines it", path, 0)
            return
        if name in [e.name for e in self.defined]:
            self.wrong(f"{name}_t is defined twice", path, 0)
            return
        try:
            found = _Resolver(self, index).of(right)
            if found.size is None:
                raise FormulaError(f"{name}_t would be a single number; an equation is of a vector")
            if name not in self.of:
                given = self.shapes.get(name)
                self.of[name] = self.sizes.new(given[0] if given else None)
            if not self.sizes.join(self.of[name], found.size):
                own, other = self.sizes.letter(self.of[name]), self.sizes.letter(found.size)
                said = " by shapes" if name in self.shapes else ""
                words = f"{name}_t has {own}{said}, but the right side has {other}"
                raise FormulaError(f"{words}{self.if_tied(own, other)}")
        except FormulaError as error:
            self.wrong(error.message, path, error.at)
            self.of.setdefault(name, self.sizes.new())
            found = _Of(Number("0"), None)
        self.defined.append(Equation(name, found.node, self.texts[index]))

    def if_tied(self, *letters: str | None) -> str:
        """What to do where x_t is meant to have the size that it met."""
        other = next((letter for letter in letters if letter != "I"), None)
        if "I" not in letters or X in self.shapes or other is None:
            return ""
        return f"; where I is {other}, say so: shapes: {{x: [{other}]}}"

    def check_defined(self) -> None:
        if not self.tops or any(top is None for top in self.tops):
            return
        for index, part in enumerate(self.state):
            if part not in self.tops:
                words = f"no equation defines {part}_t, a part of the state"
                self.wrong(
                    f"{words}{did_you_mean(part, [t for t in self.tops if t])}", ("state", index)
                )

    # ------------------------------------------------------------------ sizes and parameters

    def named_sizes(self) -> Mapping[int, str]:
        """A letter for every size: H for what the state has where nothing says another."""
        hidden = self.of[self.state[0]]
        for part in self.state:
            size = self.of[part]
            if self.sizes.letter(size) is None:
                self.sizes.letters[self.sizes.root(size)] = "H"
        if self.sizes.letter(hidden) == "I":
            self.sizes.letters[self.sizes.root(hidden)] = "H"
        free = iter([c for c in "PQRSKMNABCDEFG" if c not in self.sizes.letters])
        letters = {}
        for size in range(len(self.sizes.parent)):
            root = self.sizes.root(size)
            if self.sizes.letters[root] is None:
                self.sizes.letters[root] = next(free, f"N{root}")
            letters[size] = self.sizes.letters[root] or "H"
        return letters

    def parameter(self, name: str) -> tuple[int, ...]:
        """The sizes of a parameter; it becomes known where it is met first."""
        if name not in self.parameters:
            given = self.shapes.get(name)
            count = (2 if name[0].isupper() else 1) if given is None else len(given)
            letters = [None] * count if given is None else list(given)
            self.parameters[name] = tuple(self.sizes.new(letter) for letter in letters)
        return self.parameters[name]

    def check_recurrent(self, parameters: Mapping[str, Letters]) -> None:
        for index, name in enumerate(self.recurrent or ()):
            if name not in parameters:
                words = f"'{name}' is no parameter of the equations{did_you_mean(name, parameters)}"
                self.wrong(words, ("recurrent", index))

    def check_shapes(self, parameters: Mapping[str, Letters]) -> None:
        known = [*parameters, *self.of]
        for name in self.shapes:
            if name not in known:
                words = f"'{name}' is in no equation{did_you_mean(name, known)}"
                self.wrong(words, ("shapes", name))


class _Resolver:
    """One equation: what every name in it is, which products are of matrices, what sizes meet."""

    def __init__(self, reader: _Reader, index: int) -> None:
        self.reader, self.index, self.sizes = reader, index, reader.sizes

    def of(self, node: Node) -> _Of:
        """The tree with every product known, and its size (None: a single number)."""
        if isinstance(node, Number):
            return _Of(node, None)
        if isinstance(node, Name):
            return self.name(node)
        if isinstance(node, Neg):
            found = self.of(node.operand)
            return _Of(Neg(found.node), found.size)
        if isinstance(node, Add):
            return self.alike(node.terms, Add, "+")
        if isinstance(node, Mul):
            return self.alike(node.factors, Mul, "∘")
        if isinstance(node, Div):
            return self.quotient(node)
        if isinstance(node, Power):
            found = self.of(node.base)
            return _Of(Power(found.node, node.exponent), found.size)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, Tight):
            return self.tight(node)
        if isinstance(node, Transpose):
            self.lonely(node.base)
        raise FormulaError("this cannot stand in a cell's equation", _place(node))

    def alike(self, terms: Iterable[Node], kind: type[Add] | type[Mul], sign: str) -> _Of:
        found: list[Node] = []
        size: int | None = None
        first: Node | None = None
        for term in terms:
            one = self.of(term)
            found.append(one.node)
            if size is None:
                size, first = one.size, term
            else:
                size = self.met(first, size, term, one.size, sign)
        flat: list[Node] = []
        for node in found:
            flat += node.factors if kind is Mul and isinstance(node, Mul) else [node]
        return _Of(kind(tuple(flat)), size)

    def met(
        self, first: Node | None, size: int | None, term: Node, other: int | None, sign: str
    ) -> int | None:
        """The size of both, if they are of one or one of them is a number."""
        if size is None or other is None:
            return other if size is None else size
        if not self.sizes.join(size, other):
            words = (
                f"{_brief(first or term)} has {self.sizes.letter(size)}, but {_brief(term)} has "
                f"{self.sizes.letter(other)}: '{sign}' needs the same size"
            )
            words += self.reader.if_tied(self.sizes.letter(size), self.sizes.letter(other))
            raise FormulaError(words, _place(term))
        return size

    def quotient(self, node: Div) -> _Of:
        top, bottom = self.of(node.top), self.of(node.bottom)
        size = self.met(node.top, top.size, node.bottom, bottom.size, "/")
        return _Of(Div(top.node, bottom.node), size)

    def call(self, node: Call) -> _Of:
        if node.prime:
            words = f"{node.function}' is a derivative; equations have none"
            raise FormulaError(words, node.at)
        found = self.of(node.argument)
        return _Of(Call(node.function, False, found.node, node.at), found.size)

    def tight(self, node: Tight) -> _Of:
        """Factors from the right: a matrix multiplies all behind it, a number scales it."""
        *before, last = node.factors
        found, behind = self.of(last), last
        for factor in reversed(before):
            matrix = self.matrix(factor)
            if matrix is not None:
                found = self.applied(factor, matrix, found, behind)
            else:
                found = self.scaled(factor, found, behind)
            behind = factor
        return found

    def matrix(self, factor: Node) -> tuple[int, int] | None:
        """Rows and columns, if the factor is a matrix."""
        inner = factor.operand if isinstance(factor, Neg) else factor
        name = inner.base if isinstance(inner, Transpose) else inner
        if not isinstance(name, Name) or name.step is not None or name.head in self.known():
            if isinstance(inner, Transpose):
                raise FormulaError("ᵀ stands behind a matrix", _place(inner))
            return None
        sizes = self.reader.parameter(name.head)
        if len(sizes) != 2:
            return None
        rows, columns = sizes
        return (columns, rows) if isinstance(inner, Transpose) else (rows, columns)

    def applied(self, factor: Node, matrix: tuple[int, int], found: _Of, behind: Node) -> _Of:
        rows, columns = matrix
        inner = factor.operand if isinstance(factor, Neg) else factor
        assert isinstance(inner, Name | Transpose)
        name = inner.base if isinstance(inner, Transpose) else inner
        assert isinstance(name, Name)
        if found.size is None:
            raise FormulaError(
                f"{name.head} is a matrix; {_brief(behind)} is a single number", _place(behind)
            )
        if not self.sizes.join(columns, found.size):
            shape = "×".join(self.sizes.letter(s) or "?" for s in self.reader.parameter(name.head))
            said = "by shapes" if name.head in self.reader.shapes else "by what it met before"
            met = self.sizes.letter(found.size)
            if "?" in shape:
                shape = f"of {self.sizes.letter(columns)} columns"
            words = f"{name.head} is {shape} {said}, but what it multiplies has {met}"
            raise FormulaError(words, name.at)
        applied: Node = Apply(inner, found.node)
        return _Of(Neg(applied) if isinstance(factor, Neg) else applied, rows)

    def scaled(self, factor: Node, found: _Of, behind: Node) -> _Of:
        scale = self.of(factor)
        if scale.size is not None and found.size is not None:
            words = (
                f"{_brief(factor)} and {_brief(behind)} are two vectors side by side; write ∘ "
                "between them" + self.scalars(factor)
            )
            raise FormulaError(words, _place(behind))
        size = found.size if scale.size is None else scale.size
        inner = found.node.factors if isinstance(found.node, Mul) else (found.node,)
        return _Of(Mul((scale.node, *inner)), size)

    def scalars(self, factor: Node) -> str:
        """What to do where a number was meant."""
        names = [n.head for n in nodes(factor) if isinstance(n, Name) and n.step is None]
        return f", or say that {names[0]} is a number: shapes: {{{names[0]}: []}}" if names else ""

    def known(self) -> set[str]:
        return {X, *self.reader.state, *(top for top in self.reader.tops if top)}

    def name(self, node: Name) -> _Of:
        reader = self.reader
        if node.step is None:
            if node.head in self.known():
                raise FormulaError(
                    f"{node.head} needs its step: {node.head}_t or {node.head}_{{t−1}}", node.at
                )
            sizes = reader.parameter(node.head)
            if len(sizes) == 2:
                self.lonely(node)
            return _Of(node, sizes[0] if sizes else None)
        if node.step not in (Index("t", 0), Index("t", -1)):
            words = f"{named(node, {})}: an equation knows the steps t and t−1 alone"
            raise FormulaError(words, node.at)
        if node.step.offset:
            return self.earlier(node)
        if node.head == X:
            return _Of(node, reader.of[X])
        if any(e.name == node.head for e in reader.defined):
            return _Of(node, reader.of[node.head])
        return self.undefined(node)

    def earlier(self, node: Name) -> _Of:
        if node.head in self.reader.state:
            return _Of(node, self.reader.of[node.head])
        shown = named(node, {})
        if node.head == X:
            raise FormulaError(
                f"{shown} is not known; keep it as a part of the state, v_t = x_t", node.at
            )
        if node.head in self.known():
            raise FormulaError(
                f"{shown} is not known; {node.head} is no part of the state", node.at
            )
        hint = did_you_mean(node.head, self.reader.state)
        raise FormulaError(f"nothing defines {shown}{hint}", node.at)

    def undefined(self, node: Name) -> NoReturn:
        shown = named(node, {})
        if node.head in self.known():
            raise FormulaError(f"{shown} is used before its equation", node.at)
        names = [X, *(e.name for e in self.reader.defined)]
        hint = did_you_mean(node.head, names)
        raise FormulaError(f"nothing defines {shown}{hint}; a parameter has no step", node.at)

    def lonely(self, node: Node) -> NoReturn:
        shown = node.head if isinstance(node, Name) else "this"
        where = "it stands before the vector that it multiplies, as in W_hh h_{t−1}"
        words = f"{shown} is a matrix; {where}"
        if isinstance(node, Name):
            words += f"; if it is a vector, say so: shapes: {{{shown}: [H]}}"
        raise FormulaError(words, _place(node))


_SPLIT = "; define parts of it by equations of their own"


def _depth(node: Node) -> int:
    """Levels of the tree, counted without recursion."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        found, level = waiting.pop()
        deepest = max(deepest, level)
        waiting.extend((part, level + 1) for part in parts(found))
    return deepest


def _place(node: Node) -> int | None:
    """The character at which a tree begins, as far as it is known."""
    found = [n.at for n in nodes(node) if isinstance(n, Name | Call | Tight)]
    return min(found, default=None)


def _brief(node: Node) -> str:
    text = written_in_cell(node)
    return text if len(text) <= 30 else f"{text[:27]}.."
