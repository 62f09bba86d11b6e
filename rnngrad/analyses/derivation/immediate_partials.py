"""Immediate partials ∂⁺s_t/∂W, s_{t−1} held fixed: what leads to each use of W, times what W meets.

    ∂⁺h_t/∂W = ∂h_t/∂a_t ⊗ v_t        where a_t = … + W v_t

Where ∂h_t/∂a_t is a diagonal, each row of W belongs to one unit: entry [row, k] is that of the
row's own unit, and the others, which are 0, are not stored. Else the value is (T, H, rows,
columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import ONE
from rnngrad.algebra.step_graph import Matrix, Use
from rnngrad.analyses.derivation.formulas import Line, own_line
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.derivation.step_partials import (
    Measure,
    Values,
    Way,
    full,
    graph_of,
    times_diagonal,
)
from rnngrad.analyses.derivation.step_text import CellText, name_of, signed_sum
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.backward_layers import source_values


def immediate(notation: Notation, part: str, weight: str) -> Line | None:
    """∂⁺part/∂W of one layer; None where the part does not depend on W within the step."""
    problem = notation.problem
    found = _Immediate(notation, part, weight)
    if not any(one.matrices or one.vectors for one in found.blocks):
        return None
    size, whole = problem.layers[0].sizes[problem.cell.step.sizes[part]], problem.weights[weight]
    shape = (problem.steps, *(() if found.by_row and whole.ndim else (size,)), *whole.shape)
    symbol = f"∂⁺{found.text.name(part)}/∂{weight}"
    return own_line(symbol, found.formula(), shape, found.numbers)


class _Block(NamedTuple):
    """A parameter of the equations, and where it is used on a way to the part."""

    parameter: str
    matrices: list[Matrix]
    vectors: list[Use]


class _Immediate:
    """One part of the state and one weight of one layer."""

    def __init__(self, notation: Notation, part: str, weight: str) -> None:
        problem = notation.problem
        self.part, self.own, cell = part, problem.layers[0].own, problem.cell
        self.graph, self.text = graph_of(cell), CellText(problem, 0, notation.matrix)
        self.blocks = [
            _Block(
                name,
                [m for m in cell.step.matrices if m.parameter == name and self._led(m).number],
                [u for u in cell.step.uses if u.parameter == name and self._led(u).number],
            )
            for name in cell.blocks.get(weight, (weight,))
        ]
        turned = [m.transposed for block in self.blocks for m in block.matrices]
        targets = [m.target for block in self.blocks for m in block.matrices]
        targets += [u.target for block in self.blocks for u in block.vectors]
        full = (self.graph.measure(part, target).full for target in targets)
        self.by_row = not any(turned) and not any(full)

    def _led(self, use: Matrix | Use) -> Measure:
        return self.graph.measure(self.part, use.target)

    def formula(self) -> str:
        """What leads to each use, times what is there."""
        (_, matrices, vectors), *others = self.blocks
        if others:
            first = [one.matrices[0] if one.matrices else None for one in self.blocks]
            led = ["0" if use is None else self._leading(use) for use in first]
            source = next(use.source for use in first if use is not None)
            return f"[{', '.join(led)}] ⊗ {self.text.name(source)}"
        if not vectors:
            return signed_sum([(use.sign < 0, self._outer(use)) for use in matrices])
        if self.own[vectors[0].parameter].ndim == 0 and not self.by_row:
            closed = [self.text.closed(self.text.of(use.factor)) for use in vectors]
            led = [self._leading(use) for use in vectors]
            return " + ".join(f"[{a}]·{b}" for a, b in zip(led, closed, strict=True))
        ways = [(*way, use.factor) for use in vectors for way in self._ways(use)]
        if self.own[vectors[0].parameter].ndim:
            return self.text.sum(ways)
        return self.text.written(self.text.diagonals(ways) or ONE)

    def _ways(self, use: Matrix | Use) -> Iterator[Way]:
        return self.graph.ways(self.part, use.target)

    def _leading(self, use: Matrix | Use) -> str:
        """∂part/∂target in full; of a diagonal what is on it."""
        node = self.text.diagonals(self._ways(use)) if self.by_row else None
        return self.text.sum(self._ways(use)) if node is None else self.text.written(node)

    def _outer(self, use: Matrix) -> str:
        beside = self.text.closed(self.text.of(name_of(use.source)))
        product = f"[{self._leading(use)}] ⊗ {beside}"
        return f"({product})ᵀ" if use.transposed else product

    def numbers(self, passes: Passes) -> Array:
        """Its value, the blocks one below the other."""
        with quietly():
            found = [self._of_block(Values(passes, 0), one) for one in self.blocks]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1 if self.by_row else 2)

    def _of_block(self, values: Values, block: _Block) -> Array:
        W = self.own[block.parameter]
        units = () if self.by_row and W.ndim else (values.size(self.part),)
        total = np.zeros((len(values.share.x), *units, *W.shape))
        uses: tuple[Matrix | Use, ...] = (*block.matrices, *block.vectors)
        for use in uses:
            led = values.partial(self.part, use.target)
            led = led if self.by_row or not W.ndim else full(led)
            if isinstance(use, Matrix):
                beside = source_values(values.problem, values.layer, values.share, use.source)
                more = led[..., np.newaxis] * beside[:, *(np.newaxis,) * (led.ndim - 1), :]
                more = use.sign * (np.swapaxes(more, -1, -2) if use.transposed else more)
            else:
                factor = values.of(use.factor, use.target)
                more = times_diagonal(led, factor)
                if led.ndim == 3 and not W.ndim:
                    more = (led @ factor[..., np.newaxis])[..., 0]
            total = total + more
        return total
