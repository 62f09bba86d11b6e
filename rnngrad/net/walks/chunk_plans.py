"""Whether chunks of time will pay (``chunks``): how fast two starts merge, what steps cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array

ROUNDING = 4 * 2.0**-53
"""Times |M||z| it is what one step may be wrong by."""

PROBE = 96
"""Steps, at most, on which two starts are tried."""

SHORTEST_PROBE = 16
"""Of a walk of a thousand steps a long probe would be a large part."""

SINGLE = 0.65
"""What a single entry's slowness counts for."""

ROOM = 1.25
"""Times the steps to merge a chunk must at least be long."""

State = tuple[Array, ...]
"""The parts of s, a row for each chunk."""

Step = Callable[..., object]
"""step(*given): s ← φ(p, s)"""

Prepare = Callable[[Array, State], Step]
"""The step on buffers p, (K, P) or (G, K, P), and s, that stay where they are."""


class Costs(NamedTuple):
    """Microseconds, roughly: a ``plain`` step of a row, and one of K rows, ``call`` + K ``row``."""

    plain: float
    call: float
    row: float


class Recurrence(NamedTuple):
    """s_j = φ_j(M z_{j−1}, s_{j−1}) as in ``net.walks.chunks``.

    ``M_T`` (S, P) is Mᵀ, or (G, S, P) that of each gate; it takes ``columns`` of the first part.
    ``given`` is what φ_j takes from outside, (n, …) each; ``start`` the parts of s_{−1}, ``parts``
    (n, …) to be filled, in buffers (K, …); ``carries``: whether φ takes s.
    """

    M_T: Array
    given: State
    start: State
    parts: State
    prepare: Prepare
    costs: Costs
    columns: slice = slice(None)
    carries: bool = False


class Plan(NamedTuple):
    """The rows already ``probed``; K, L, the steps to merge, and those worth running again."""

    probed: int
    chunks: int
    length: int
    merge: float
    patience: int


def product(M_T: Array) -> np.ufunc | Callable[..., Array]:
    """What takes z to M z for all chunks: one product, or one of each gate."""
    return np.dot if M_T.ndim == 2 else np.matmul


def steps_to_merge(r: Recurrence, probed: int) -> float:
    """From a true and a false start on the first steps, whose true rows are kept; inf where they
    do not draw near. The false one comes in after a step, when there is a size to compare with."""
    s = tuple(np.stack([part, part]) for part in r.start)
    times, z, sizes = product(r.M_T), s[0][:, r.columns], [np.abs(part) for part in r.start]
    p = times(z, r.M_T)
    step = r.prepare(p, s)
    for i in range(probed):
        times(z, r.M_T, p)
        step(*(given[i] for given in r.given))
        for part, rows, size in zip(s, r.parts, sizes, strict=True):
            rows[i] = part[0]
            np.maximum(size / 2, np.abs(part[0]), out=size)
            if not i:
                part[1] = 0.0 if part[0].any() else 1.0
    allowed, gap = times(np.abs(z[:1]), np.abs(r.M_T)), np.abs(times(z[:1] - z[1:], r.M_T))
    merge = _at_the_rate_of(_apart(gap, allowed), probed)
    return max(merge, _steps_to_forget(r, s, sizes, probed)) if r.carries else merge


def _steps_to_forget(r: Recurrence, s: State, sizes: list[Array], probed: int) -> float:
    """The same from what is carried on: each part as a whole, and entry by entry. An entry that
    happens to be near 0 is measured by what it was before; single ones mislead the other way, so
    that they count for less, as tried on nets of forget biases −1 … 3."""
    beside = np.delete(s[0], r.columns, axis=1)
    wholes, apart = (beside, *s) if beside.size else s, ROUNDING
    for part in wholes:
        apart = max(apart, _apart(np.abs(part[0] - part[1]).max(), np.abs(part[0]).max()))
    entries = (_apart(np.abs(part[0] - part[1]), size) for part, size in zip(s, sizes, strict=True))
    single = SINGLE * _at_the_rate_of(max(entries), probed)
    return max(_at_the_rate_of(apart, probed), single)


def _apart(gap: Array, size: Array) -> float:
    """The largest relative gap; what is not finite never draws near."""
    if not np.isfinite(gap).all():
        return 1.0
    return float((gap[gap > 0] / size[gap > 0]).max(initial=ROUNDING))


def _at_the_rate_of(apart: float, probed: int) -> float:
    """The steps down to rounding, where so many came down to ``apart``."""
    return probed * float(np.log(ROUNDING) / np.log(apart)) if apart < 0.5 else np.inf


def planned(steps: int, probed: int, costs: Costs, merge: float) -> Plan | None:
    """How many chunks, or None where a plain loop is faster: (call + K row) (L + merge) is least
    for the K taken."""
    steps -= probed
    if not np.isfinite(merge):
        return None
    chunks = int(min(np.sqrt(costs.call / costs.row * steps / merge), steps / (ROOM * merge)))
    if chunks < 2:
        return None
    length = steps // chunks
    affordable = int(steps * costs.plain / (costs.call + chunks * costs.row)) - length
    return Plan(probed, chunks, length, merge, affordable) if merge < 0.8 * affordable else None
