"""A mistake in the words of the cell's own equations.

∂c_t/∂i_t is g_t, from c_t = f_t ∘ c_{t−1} + i_t ∘ g_t; your numbers are those of i_t
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rnngrad.algebra.expressions import Name, Neg, Node, Number, Transpose
from rnngrad.algebra.step_graph import NOW, Matrix
from rnngrad.algebra.writing import written_in_cell
from rnngrad.analyses.derivation.step_partials import Link, inside
from rnngrad.analyses.derivation.step_text import CellText, name_of, rebuilt_names
from rnngrad.analyses.mistakes.local_partials import BACK, HERE, Other, Turned
from rnngrad.analyses.mistakes.passes import Apart

PLACES = {BACK: " on the way back to the step before", HERE: " where the parameters are met"}


class Found(NamedTuple):
    """A mistake that was found: its id, where it is (contract: ``where``), what is said of it, and
    what without a formula; the smaller ``rank`` the nearer to a slip. ``way``: what is done alike
    in several blocks of rows. ``read_off``: its limit is the array's own largest entry, which
    therefore proves nothing."""

    bug: str
    where: Mapping[str, Any]
    words: str
    hint: str
    rank: int = 0
    limit: float | None = None
    way: str = ""
    read_off: bool = False

    @property
    def key(self) -> tuple[str, str, float | None]:
        """What makes it another one."""
        return self.bug, repr(sorted(self.where.items())), self.limit


class Saying:
    """The names of a cell, without layers: a mistake is made in all of them alike."""

    def __init__(self, apart: Apart) -> None:
        self.cell = apart.problem.cell
        self.text = CellText(apart.problem, 0)

    def name(self, key: str) -> str:
        """c_{t−1}; a_t for the sum inside an equation, or what the heading calls it."""
        return self.written(name_of(key))

    def written(self, node: Node) -> str:
        """An expression with a short name for every sum inside an equation."""
        return _plain(written_in_cell(rebuilt_names(node, self._short)))

    def _short(self, name: Name) -> Node:
        """A short name for the sum inside an equation; what a matrix multiplies stays as it is."""
        if not inside(name.head):
            return name
        if name.head.startswith("v."):
            return self.text.unfolded(name)
        known = self.text.where.get(self._sum(name.head))
        return Name(known or "a", name.step or NOW)

    def gate(self, key: str) -> str:
        """a_t of gate i, or the name."""
        name = self.name(key)
        if name == "a_t" or not inside(key):
            return f"{name}{self.of_gate(key)}"
        return f"{name} (that is {self._sum(key)})"

    def of_gate(self, key: str) -> str:
        """Which of the sums a_t it is, where there are several."""
        is_one = self.name(key) == "a_t" and len(self._sums()) > 1
        return f" of gate {key.partition('.')[2]}" if is_one else ""

    def _sums(self) -> list[str]:
        return [one.key for one in self.cell.step.definitions if inside(one.key) and one.matrices]

    def _sum(self, key: str) -> str:
        return written_in_cell(self.text.unfolded(Name(key, NOW)))

    def used(self, other: Other, matrix: Matrix | None = None) -> str:
        """What stands in the place of the right one."""
        if not isinstance(other.node, Turned):
            return self.written(other.node)
        assert matrix is not None
        W = Name(matrix.parameter, None)
        if other.node.kind in ("other", "plus"):
            return other.node.parameter
        forms: dict[str, Node] = {"0": Number("0"), "−": Neg(W), "T": Transpose(W), "diag": W}
        text = written_in_cell(forms[other.node.kind])
        return f"diag({text})" if other.node.kind == "diag" else text

    def right(self, link: Link) -> str:
        """The right one."""
        if isinstance(link.factor, Matrix):
            W = Name(link.factor.parameter, None)
            node: Node = Transpose(W) if link.factor.transposed else W
            return written_in_cell(Neg(node) if link.factor.sign < 0 else node)
        return self.written(link.factor)

    def equation(self, key: str) -> str:
        """The equation to which a key belongs."""
        name = re.sub(r"\d*$", "", key.partition(".")[2]) if inside(key) else key
        one = next(one for one in self.cell.equations.equations if one.name == name)
        return f"{written_in_cell(Name(name, NOW))} = {written_in_cell(one.right)}"

    def partial(self, link: Link, other: Other, at: str, rank: int) -> Found:
        """A wrong local partial."""
        name = f"∂{self.name(link.target)}/∂{self.name(link.source)}"
        matrix = link.factor if isinstance(link.factor, Matrix) else None
        return self.of(
            name, self.right(link), self.used(other, matrix), link.target, PLACES.get(at, ""), rank
        )

    def of(
        self, partial: str, right: str, used: str, key: str, place: str = "", rank: int = 0
    ) -> Found:
        """``partial`` is ``right`` and was taken as ``used``; it is of the equation of ``key``."""
        equation, gate = self.equation(key), self.of_gate(key)
        where = {"partial": partial, "used": used, "right": right}
        partial = f"{partial}{gate}"
        if used == "0":
            return Found(
                "wrong-partial", where,
                f"{partial} is {right}, from {equation}; you left this path out{place}",
                f"a path is missing{place}: look at {equation}", rank,
            )  # fmt: skip
        said = "you took 1 for it" if used == "1" else f"your numbers are those of {used}"
        turned = used in (f"−{right}", f"−({right})")
        wrong = "its sign is wrong" if turned else said
        return Found(
            "wrong-partial", where,
            f"{partial} is {right}, from {equation}; {said}{place}",
            f"look at {partial} again, from {equation}: {wrong}{place}",
            rank,
        )  # fmt: skip


def _plain(text: str) -> str:
    return text.replace("_{t}", "_t")
