"""QR of matrices whose rows differ beyond the range of floats, and whose columns may vanish.

Rows are 2^exponent · value. Those within 400 bits of the largest make a band and are reflected
together; what the bands below them add to a column that has its pivot is far below rounding. A
column that lies in the span of those before it has no pivot: it is dropped, not replaced.

Error: row by row, each a few units of rounding of its own size. Sources: Powell, Reid, IFIP (1968);
Cox, Higham, *Stability of Householder QR factorization for weighted least squares* (1998).
"""

from __future__ import annotations

import numpy as np

from rnngrad.core.arrays import Array, Integers


def graded_qr(values: Array, noise: Array, exponents: Integers) -> tuple[Array, Array, Integers]:
    """QR of diag(2^exponents) · values, (S, n), rows of any size, columns in their order.

    Rows go in bands of 400 bits, the largest first. Within a band: Householder, a column that is
    left with nothing taking no row. What later bands add to a column that has its pivot is below
    rounding; from the others the pivots are eliminated. ``noise`` is what counts as nothing, entry
    by entry. Returns Q (S, living), ln |R[i, i]| and the living columns.
    """
    size, count = values.shape
    rows = np.flatnonzero((values != 0).any(axis=1))
    weights = exponents[rows] + np.frexp(np.abs(values[rows]).max(axis=1))[1]
    open_columns, pivots, logs = np.arange(count), [], np.full(count, -np.inf)
    columns: dict[int, Array] = {}
    values = values.copy()
    while rows.size and open_columns.size:
        here = weights >= weights.max() - 400
        top = int(weights[here].max())
        band = rows[here][np.argsort(-weights[here], kind="stable")]
        shift = (exponents[band] - top).astype(np.intc)[:, None]
        R, Q, found = _echelon(
            np.ldexp(values[np.ix_(band, open_columns)], shift),
            np.ldexp(noise[np.ix_(band, open_columns)], shift),
        )
        rows, weights = rows[~here], weights[~here]
        for level, j in enumerate(found):
            column = int(open_columns[j])
            logs[column] = np.log(abs(R[level, j])) + top * np.log(2.0)
            columns[column] = np.zeros(size)
            columns[column][band] = Q[:, level]
        if found:
            _eliminate(values, rows, open_columns, R[: len(found)], found)
        pivots += [int(open_columns[j]) for j in found]
        open_columns = np.delete(open_columns, found)
        rows, weights = _weighed(values, rows, open_columns, exponents)
    living = np.sort(np.array(pivots, dtype=np.int64))
    Q_all = np.array([columns[int(j)] for j in living]).reshape(len(living), size).T
    return Q_all, logs[living], living


def _weighed(
    values: Array, rows: Integers, columns: Integers, exponents: Integers
) -> tuple[Integers, Integers]:
    """The rows with anything left in the open columns, and the exponent of each one's largest."""
    if not rows.size or not columns.size:
        return rows[:0], rows[:0]
    largest = np.abs(values[np.ix_(rows, columns)]).max(axis=1)
    rows, largest = rows[largest > 0], largest[largest > 0]
    weights: Integers = exponents[rows] + np.frexp(largest)[1]
    return rows, weights


def _eliminate(
    values: Array, rows: Integers, columns: Integers, R: Array, found: list[int]
) -> None:
    """Take the pivots of a band out of the later columns of the rows below it."""
    if rows.size:
        mixing = np.linalg.solve(R[:, found], R)
        mixing[:, found] = 0.0
        below = np.ix_(rows, columns)
        values[below] -= values[np.ix_(rows, columns[found])] @ mixing


def _echelon(A: Array, noise: Array) -> tuple[Array, Array, list[int]]:
    """Householder's QR of A (m, n) without exchanging columns: R, Q (m, m), the pivot columns.

    The largest entry of a column is its pivot: rows of any size keep their digits, and reflections
    stay within a block that does not feed the others, so that its zeros stay exact.
    """
    A, noise, m = A.copy(), noise.copy(), len(A)
    Q, found = np.eye(m), list[int]()
    for j in range(A.shape[1]):
        r = len(found)
        if r == m:
            break
        if not (np.abs(A[r:, j]) > noise[r:, j]).any():
            A[r:, j] = 0.0
            continue
        swap = [r, r + int(np.argmax(np.abs(A[r:, j])))]
        for rows in (A, noise):
            rows[swap] = rows[swap[::-1]]
        Q[:, swap] = Q[:, swap[::-1]]
        found.append(j)
        if not A[r + 1 :, j].any():
            continue
        v = A[r:, j] / A[r, j]
        v[0] += np.linalg.norm(v)
        v /= np.linalg.norm(v)
        A[r:, j:] -= np.outer(2 * v, v @ A[r:, j:])
        Q[:, r:] -= np.outer(Q[:, r:] @ v, 2 * v)
        A[r + 1 :, j] = 0.0
    return A, Q, found
