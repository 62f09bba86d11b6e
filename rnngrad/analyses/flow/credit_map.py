"""‖∂L_t/∂s_k‖ for all t and k on a grid that can be drawn, however long the sequence is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array


class Grid(NamedTuple):
    """The credit map on a grid: ``log10`` (n, m), row i for the loss L_t of ``steps[i]``, column j
    the largest log10 ‖∂L_t/∂s_k‖ for k from ``edges[j]`` up to ``edges[j + 1]`` − 1; nan where all
    of these k are beyond t. ``losses``: the rows are of so many whose gradient has a finite number
    in it."""

    steps: tuple[int, ...]
    edges: tuple[int, ...]
    log10: Array
    losses: int

    @property
    def largest(self) -> float:
        """log10 of the largest number on it that is finite; 0 where there is none."""
        finite = self.log10[np.isfinite(self.log10)]
        return float(finite.max()) if finite.size else 0.0


def credit_grid(flow: GradientFlow, down: int = 64, across: int = 64) -> Grid:
    """At most ``down`` losses, spread over those that are known, and ``across`` columns."""
    every = list(flow.credit_rows())
    at = np.linspace(0, len(every) - 1, min(down, len(every))).astype(np.int64)
    rows, width = [every[int(i)] for i in at], flow.problem.steps + 1
    columns = min(width, across)
    edges = tuple(width * i // columns for i in range(columns + 1))
    log10 = np.full((len(rows), columns), np.nan)
    starts = np.array(edges[:-1])
    for cells, (t, row) in zip(log10, rows, strict=True):
        known = np.where(np.arange(width) <= t, row, -np.inf)
        cells[:] = np.where(starts <= t, np.maximum.reduceat(known, starts), np.nan)
    return Grid(tuple(t for t, _ in rows), edges, log10, len(every))
