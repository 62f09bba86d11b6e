"""Immediate partials ∂⁺s_t/∂W, s_{t−1} held fixed: what leads to each use of W, times what W meets.

    ∂⁺h_t/∂W = ∂h_t/∂a_t ⊗ v_t        where a_t = … + W v_t

Where ∂h_t/∂a_t is a diagonal, each row of W belongs to one unit: entry [row, k] is that of the
row's own unit, and the others, which are 0, are not stored. Else the value is (T, H, rows,
columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import ONE, added
from rnngrad.algebra.steps import Matrix, Use
from rnngrad.analyses.cell_partials import Values, full, graph_of
from rnngrad.analyses.cell_text import CellText, name_of, signed_sum
from rnngrad.analyses.lines import Own
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.layers import source_values
from rnngrad.core.problem import Problem

Found = tuple[str, str, Own]
"""Symbol, formula, numbers."""


class _Block(NamedTuple):
    """A parameter of the equations, and where it is used."""

    parameter: str
    matrices: tuple[Matrix, ...]
    vectors: tuple[Use, ...]


def immediate(problem: Problem, part: str, weight: str) -> Found | None:
    """∂⁺part/∂W of one layer; None where the part does not depend on W within the step."""
    cell, text = problem.cell, CellText(problem, 0)
    blocks = [_block(problem, part, name) for name in cell.blocks.get(weight, (weight,))]
    if not any(one.matrices or one.vectors for one in blocks):
        return None
    size = problem.layers[0].sizes[cell.step.sizes[part]]
    whole = problem.weights[weight].shape
    by_row = all(_by_row(problem, part, one) for one in blocks)
    shape = (problem.steps, *((size,) if not by_row or not whole else ()), *whole)
    formula = _formula(problem, text, part, blocks, by_row)
    own = Own(shape, partial(_value, part, tuple(blocks), by_row))
    return f"∂⁺{text.name(part)}/∂{weight}", formula, own


def _block(problem: Problem, part: str, parameter: str) -> _Block:
    """Its uses on a way to the part."""
    step, graph = problem.cell.step, graph_of(problem.cell)
    return _Block(
        parameter,
        tuple(m for m in step.matrices
              if m.parameter == parameter and graph.measure(part, m.target).number),
        tuple(u for u in step.uses
              if u.parameter == parameter and graph.measure(part, u.target).number),
    )  # fmt: skip


def _by_row(problem: Problem, part: str, block: _Block) -> bool:
    graph = graph_of(problem.cell)
    targets = [m.target for m in block.matrices] + [u.target for u in block.vectors]
    diagonal = not any(graph.measure(part, target).full for target in targets)
    return diagonal and not any(matrix.transposed for matrix in block.matrices)


# ---------------------------------------------------------------------------- text


def _formula(
    problem: Problem, text: CellText, part: str, blocks: Sequence[_Block], by_row: bool
) -> str:
    if len(blocks) == 1 and blocks[0].vectors:
        return _of_vectors(problem, text, part, blocks[0], by_row)
    if len(blocks) == 1:
        return signed_sum([_use(problem, text, part, use, by_row) for use in blocks[0].matrices])
    led = [_leading(problem, text, part, one.matrices[0].target, by_row) if one.matrices else "0"
           for one in blocks]  # fmt: skip
    source = next(one.matrices[0].source for one in blocks if one.matrices)
    return f"[{', '.join(led)}] ⊗ {text.name(source)}"


def _leading(problem: Problem, text: CellText, part: str, target: str, by_row: bool) -> str:
    """∂part/∂target in full; of a diagonal what is on it."""
    ways = graph_of(problem.cell).ways(part, target)
    node = text.diagonals(ways) if by_row else None
    return text.sum(ways) if node is None else text.written(node)


def _use(
    problem: Problem, text: CellText, part: str, use: Matrix, by_row: bool
) -> tuple[bool, str]:
    """Whether it is subtracted, and the outer product."""
    beside = text.closed(text.of(name_of(use.source)))
    product = f"[{_leading(problem, text, part, use.target, by_row)}] ⊗ {beside}"
    return use.sign < 0, f"({product})ᵀ" if use.transposed else product


def _of_vectors(problem: Problem, text: CellText, part: str, block: _Block, by_row: bool) -> str:
    """Of a vector diag(…), of a number the same without diag."""
    graph, number = graph_of(problem.cell), not problem.layers[0].own[block.parameter].ndim
    ways = [(graph.ways(part, use.target), use.factor) for use in block.vectors]
    if not number:
        return text.sums(ways)
    if by_row:
        return text.written(added([text.diagonals(*one) for one in ways]) or ONE)
    words = [f"[{text.sum(way)}]·{text.closed(text.of(factor))}" for way, factor in ways]
    return " + ".join(words)


# ---------------------------------------------------------------------------- numbers


def _value(part: str, blocks: Sequence[_Block], by_row: bool, passes: Passes) -> Array:
    values = Values(passes, 0)
    with quietly():
        found = [_of_block(values, part, one, by_row) for one in blocks]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1 if by_row else 2)


def _of_block(values: Values, part: str, block: _Block, by_row: bool) -> Array:
    W = values.layer.own[block.parameter]
    steps, size = len(values.share.x), values.size(part)
    total = np.zeros((steps, *(() if by_row and W.ndim else (size,)), *W.shape))
    for matrix in block.matrices:
        led = values.partial(part, matrix.target)
        led = led if by_row else full(led)
        beside = source_values(values.problem, values.layer, values.share, matrix.source)
        outer = led[..., np.newaxis] * beside[:, *(np.newaxis,) * (led.ndim - 1), :]
        total = total + matrix.sign * (np.swapaxes(outer, -1, -2) if matrix.transposed else outer)
    for use in block.vectors:
        led, (factor,) = values.partial(part, use.target), values.of([use.factor], [use.target])
        if not W.ndim:
            total = total + (
                led * factor if led.ndim == 2 else (led @ factor[..., np.newaxis])[..., 0]
            )
        else:
            led = led if by_row else full(led)
            total = total + (led * factor if by_row else led * factor[:, np.newaxis])
    return total
