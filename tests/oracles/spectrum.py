"""The Lyapunov spectrum from the product itself: J_T ⋯ J_1 in mpmath, then Gram–Schmidt once.

No QR on the way, no interval, no scaling: thousands of bits hold what floats would lose. A column
that lies in the span of those before it, to within those bits, has died.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
import numpy as np

from oracles import plain
from oracles.plain import Net, Numbers


def lyapunov_spectrum(net: Net, bits: int = 4000) -> Numbers:
    """ln |R[i, i]| / T of J_T ⋯ J_1 = Q R, (S,), largest first."""
    with mpmath.workprec(bits):
        return _gram_schmidt(_product(net), bits) / len(net["x"])


def spectrum_of(jacobians: Sequence[Numbers], bits: int = 4000) -> Numbers:
    """The same of given Jacobians J_1 … J_T, whose entries may be mpmath's."""
    with mpmath.workprec(bits):
        product = np.frompyfunc(mpmath.mpf, 1, 1)(jacobians[0])
        for jacobian in jacobians[1:]:
            product = np.frompyfunc(mpmath.mpf, 1, 1)(jacobian) @ product
        return _gram_schmidt([list(column) for column in product.T], bits) / len(jacobians)


def _gram_schmidt(columns: list[list[mpmath.mpf]], bits: int) -> Numbers:
    """ln of what is left of each column without those before it, largest first."""
    done: list[list[mpmath.mpf]] = []
    logs = []
    for column in columns:
        rest = column
        for direction in done:
            shadow = mpmath.fdot(direction, rest)
            rest = [x - shadow * d for x, d in zip(rest, direction, strict=True)]
        before, after = mpmath.norm(column), mpmath.norm(rest)
        if after <= before * mpmath.mpf(2) ** (-bits + 200):
            logs.append(-np.inf)
            continue
        done.append([x / after for x in rest])
        logs.append(float(mpmath.log(after)))
    return np.sort(np.array(logs))[::-1]


def _product(net: Net) -> list[list[mpmath.mpf]]:
    """The columns of J_T ⋯ J_1, with the slopes taken anew from float64 pre-activations."""
    W = [[mpmath.mpf(float(w)) for w in row] for row in net["W_hh"]]
    size = len(W)
    columns = [[mpmath.mpf(int(i == j)) for i in range(size)] for j in range(size)]
    for a in plain.real_forward(net)["a"]:
        slopes = [_slope(net["activation"], mpmath.mpf(float(x))) for x in a]
        columns = [
            [slope * mpmath.fdot(row, c) for slope, row in zip(slopes, W, strict=True)]
            for c in columns
        ]
    return columns


def _slope(name: str, a: mpmath.mpf) -> mpmath.mpf:
    if name == "identity":
        return mpmath.mpf(1)
    if name == "relu":
        return mpmath.mpf(int(a > 0))
    if name == "softplus":
        return 1 / (1 + mpmath.exp(-a))
    if name == "tanh":
        return 1 / mpmath.cosh(a) ** 2
    assert name == "sigmoid", name
    return mpmath.exp(-a) / (1 + mpmath.exp(-a)) ** 2
