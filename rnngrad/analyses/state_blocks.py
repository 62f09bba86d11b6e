"""The Jacobian of a state of several parts, written in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rnngrad.analyses.formulas import SPELLED
from rnngrad.analyses.notation import Notation, raised
from rnngrad.core.problem import Problem


def part_blocks(rows: Sequence[Sequence[str]]) -> str:
    """[[∂h_t/∂h_{t−1}, ∂h_t/∂c_{t−1}], [∂c_t/∂h_{t−1}, ∂c_t/∂c_{t−1}]]"""
    inner = (f"[{', '.join(row)}]" for row in rows)
    return f"[{', '.join(inner)}]"


def stack_blocks(problem: Problem) -> str:
    """∂s_t/∂s_{t−1} of a stack, block lower triangular; as a rule where that is too long."""
    s, h, depth = Notation(problem).own_state, problem.cell.parts[0], problem.depth
    if depth * (depth + 1) * (depth + 2) // 6 > SPELLED:
        return (
            f"block (l, m) = ∂{s}ˡ_t/∂{h}ˡ⁻¹_t ⋯ ∂{h}ᵐ_t/∂{s}ᵐ_{{t−1}} for m < l, "
            f"∂{s}ˡ_t/∂{s}ˡ_{{t−1}} for m = l, 0 for m > l"
        )
    layers = range(1, depth + 1)
    return part_blocks([[_block(s, h, top, bottom) for bottom in layers] for top in layers])


def _block(s: str, h: str, top: int, bottom: int) -> str:
    """∂s³_t/∂h²_t · ∂h²_t/∂h¹_t · ∂h¹_t/∂s¹_{t−1}"""
    if bottom > top:
        return "0"
    names = [f"{h if at < top else s}{raised(at)}_t" for at in range(top, bottom - 1, -1)]
    names.append(f"{s}{raised(bottom)}_{{t−1}}")
    return " · ".join(f"∂{above}/∂{below}" for above, below in pairwise(names))
