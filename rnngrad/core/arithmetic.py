"""Two kinds of numbers for one set of equations: plain floats, and numbers beyond their range.

The linearised net is sums and products of slopes, gates and weights. Written once, it runs in
either kind: floats for back-propagation, ``arithmetic.scaled`` for chains of thousands of Jacobians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rnngrad.arithmetic.functions import Activation, log2_sigmoid, sigmoid
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.memory import scaled_gap, scaled_memory
from rnngrad.core.outputs import scaled_slope
from rnngrad.arithmetic.scaled import Scaled, bands, scaled, scaled_from_log2, times

Entries: TypeAlias = Any
"""An Array or a Scaled: ``*``, ``+`` and indexing are all that the equations need."""


class Arithmetic(NamedTuple):
    """``of`` takes floats in; ``sigmoid(a)`` and ``slope(record, a)`` = f'(a) are right to rounding
    as far as the kind reaches; ``matrix`` prepares W for ``multiply(rows, W)`` = rows · W, (n, ·);
    ``join`` puts parts side by side along the last axis; ``memory`` gives lstm's c and f(c)
    (``core.memory``), ``gap`` gru's h − tanh(a)."""

    of: Callable[[Array], Entries]
    sigmoid: Callable[[Array], Entries]
    slope: Callable[[Activation, Array], Entries]
    matrix: Callable[[Array], Any]
    multiply: Callable[[Entries, Any], Entries]
    join: Callable[[Sequence[Entries]], Entries]
    memory: Callable[[Activation, Array, Entries, Entries], tuple[Entries, Entries]]
    gap: Callable[[Array, Array], Entries]


def _float_join(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _scaled_join(parts: Sequence[Scaled]) -> Scaled:
    if len(parts) == 1:
        return parts[0]
    return Scaled(
        np.concatenate([part.mantissa for part in parts], axis=-1),
        np.concatenate([part.exponent for part in parts], axis=-1),
    )


FLOATS = Arithmetic(
    of=lambda values: values,
    sigmoid=sigmoid,
    slope=lambda record, a: record.slope(a),
    matrix=lambda W: W,
    multiply=np.matmul,
    join=_float_join,
    memory=lambda record, c, forget, written: (c, record.f(c)),
    gap=lambda h, a: h - np.tanh(a),
)

SCALED = Arithmetic(
    of=scaled,
    sigmoid=lambda a: scaled_from_log2(log2_sigmoid(a)),
    slope=scaled_slope,
    matrix=bands,
    multiply=times,
    join=_scaled_join,
    memory=scaled_memory,
    gap=scaled_gap,
)
