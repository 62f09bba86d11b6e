"""How far a ∏ without brackets reaches: to the last factor that holds its index.

    ∏_{s=k+1..t} ∂h_s/∂h_{s−1} · ∂h_k/∂W  =  (∏_{s=k+1..t} ∂h_s/∂h_{s−1}) · ∂h_k/∂W

Two things hold no step at all and stand behind that factor: W_hh, which belongs to each step back
(∏ σ'(a_s) W_hh) and is in the ∏; and anything else (∏ σ'(a_s) · 2), which people read in two ways
and which is refused.
Source: Werbos, "Backpropagation through time", Proc. IEEE 78 (1990), in the form of Pascanu et al.,
"On the difficulty of training recurrent neural networks", ICML (2013), equations (4) and (5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnngrad.algebra.expressions import (
    Derivative,
    FormulaError,
    Index,
    Name,
    Node,
    Series,
    Transpose,
    parts,
)


class Factor(NamedTuple):
    """A factor of a product, whether a "/" stands before it, and at which character it begins."""

    node: Node
    divided: bool
    at: int


def reach(variable: str, factors: Sequence[Factor]) -> int:
    """How many of the factors behind a ∏ are in it. Raises FormulaError where that is unclear."""
    holding = (n for n, factor in enumerate(factors, 1) if holds(factor.node, variable))
    count = max(holding, default=1)
    while count < len(factors) and _steps_back(factors[count]):
        count += 1
    if count < len(factors) and next(_indices(factors[count].node, variable), None) is None:
        message = "is this still in the ∏? put what the ∏ is taken of in brackets: prod_{..} (..)"
        raise FormulaError(message, factors[count].at)
    return count


def holds(node: Node, variable: str) -> bool:
    """Whether the index stands anywhere in it, other than as that of a Σ or ∏ within."""
    return any(index.variable == variable for index in _indices(node, variable))


def _steps_back(factor: Factor) -> bool:
    node = factor.node.base if isinstance(factor.node, Transpose) else factor.node
    return not factor.divided and isinstance(node, Name) and node.head == "W_hh"


def _indices(node: Node, variable: str) -> Iterator[Index]:
    """All steps in it; a Σ or ∏ with the same variable hides those of its body."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        name = found.bottom if isinstance(found, Derivative) else found
        if isinstance(name, Name) and name.step is not None:
            yield name.step
        if isinstance(found, Series):
            yield from (found.start, found.stop)
            if found.variable == variable:
                continue
        waiting.extend(parts(found))
