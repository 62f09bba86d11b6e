"""Which directions are alive after so many steps, exactly.

However many digits it has, a number that is next to nothing looks like one that is nothing. But a
number m·2^e has an image modulo a prime p, as in ``exponents.rank``, and so has the whole
product of a net's factors: column i of J_T ⋯ J_1 is dead where it lies in the span of those before
it, and modulo p it does so as well. The other way round fails where p divides a minor that is not
0: for p = 2⁶¹ − 1 about one net in 10¹⁷. The terms of the net, right to rounding, count as they
are.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Numbers
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.net.linearised import LinearNet, stacked_matrix

PRIME = 2**61 - 1


def living(net: LinearNet, steps: int) -> list[int]:
    """The columns of Q_0 = 1 that are not in the span of those before them, after all steps; for a
    net in ``SCALED`` arithmetic, T·S³ operations on Python's integers."""
    layers = tuple(
        one._replace(
            terms=tuple(_residues(term) for term in one.terms),
            forth=tuple(
                _residues(scaled(stacked_matrix(one.layer.own, group).T))
                for group in one.cell.groups
            ),
        )
        for one in net.layers
    )
    modular = net._replace(layers=layers, kind=FLOATS)
    rows = _residues(scaled(np.eye(net.size)))
    for t in range(1, steps + 1):
        rows = modular.push(rows, t) % PRIME
    return _independent(rows)


def _residues(values: Scaled) -> Numbers:
    def residue(mantissa: float, exponent: int) -> int:
        whole = int(np.ldexp(mantissa, 53))
        return whole * pow(2, (int(exponent) - 53) % (PRIME - 1), PRIME) % PRIME if whole else 0

    return np.asarray(np.frompyfunc(residue, 2, 1)(values.mantissa, values.exponent))


def _independent(rows: Numbers) -> list[int]:
    """The rows that are not in the span of those before them; ``rows`` are used up."""
    found = []
    for j, row in enumerate(rows):
        nonzero = np.flatnonzero(row)
        if nonzero.size:
            found.append(j)
            pivot = int(nonzero[0])
            row[:] = row * pow(int(row[pivot]), -1, PRIME) % PRIME
            later = rows[j + 1 :]
            later -= np.multiply.outer(later[:, pivot], row)
            later %= PRIME
    return found
