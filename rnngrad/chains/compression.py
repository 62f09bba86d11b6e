"""Fewer rows for the same norm: M = Q R, without the rows of R that no longer count.

‖M X‖ = ‖R X‖ for any X, and a row of R far below the others is below what rounding leaves in them.
But only column by column: while no column of M is below ``MIXED`` of the largest, what is dropped
(``DROPPED`` of the norm), and the rounding of Q R itself, are small beside what is there in every
column, and no later slopes can bring them to the fore. Where W is reducible, or a unit all but cut
off, that fails, and M is left as it is. Source: Golub, Van Loan, *Matrix Computations* (2013),
sections 5.2 and 5.4.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array

MIXED, DROPPED = 1e-3, 2.0**-56
"""See above; ``DROPPED`` is relative to the norm of M."""


def compressed(M: Array, dropped: float = DROPPED) -> Array:
    """(n, r, S) -> (n, fewer, S), as few as all n allow; M itself where one forbids it.

    Error: ``dropped``/``MIXED`` of what a column holds.
    """
    if M.shape[1] == 1:
        return M
    columns = np.sqrt(np.einsum("nrs,nrs->ns", M, M))
    if not (columns.min(axis=1) >= MIXED * columns.max(axis=1)).all():
        return M
    R = np.asarray(np.linalg.qr(M, mode="r"), dtype=np.float64)
    squares = np.einsum("nrs,nrs->nr", R, R)
    below = np.sqrt(np.cumsum(squares[:, ::-1], axis=1)[:, ::-1])
    rows = int((below > dropped * below[:, :1]).sum(axis=1).max())
    return R[:, : max(1, rows)]
