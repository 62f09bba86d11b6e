"""How far back a loss still reaches, in the precision of a number format.

The horizon of L_t is the smallest lag from which on ‖∂L_t/∂h_{t−lag}‖ stays below u ‖∂L_t/∂h_t‖:
what lies further back is lost when it is added to the direct term in a format of rounding unit u.
Without a loss it is that of the last state: from which lag on ‖∂s_T/∂s_{T−lag}‖ stays below u.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers, quietly

UNITS: Mapping[str, int] = MappingProxyType({"bfloat16": -8, "float32": -24, "float64": -53})
"""Format -> log2 of its rounding unit: the one place to add a format."""


TIE = 1e-9
"""Decades within which a ratio counts as the unit itself, and so not as below it."""


class Horizon(NamedTuple):
    """Over the losses: the median, least and greatest horizon, inf where a loss reaches beyond
    h_0; ``reaching`` of them do, out of ``losses``."""

    format: str
    median: float
    low: float
    high: float
    reaching: int
    losses: int


def horizons(log10_paths: Array, steps: Sequence[int] | None = None) -> tuple[Horizon, ...]:
    """The horizon in each format, from log10 ‖∂L_t/∂h_k‖, (T, T+1), or from the rows of some steps
    t, (n, T+1); empty without any loss."""
    lags = {name: lags_until(log10_paths, log2, steps) for name, log2 in UNITS.items()}
    return tuple(_summed_up(name, found) for name, found in lags.items() if len(found))


def lags_until(log10_paths: Array, log2_unit: int, steps: Sequence[int] | None = None) -> Array:
    """The horizon of every L_t that reaches h_t at all, (n,); inf where it is beyond h_0."""
    of = range(1, len(log10_paths) + 1) if steps is None else steps
    rows = (row[t::-1] for t, row in zip(of, log10_paths, strict=True))
    return np.array([_lag(back, log2_unit) for back in rows if np.isfinite(back[0])])


def lags_of_every_loss(log10_paths: Array) -> Array:
    """The horizon of each L_t in each format, (T, 3), from log10 ‖∂L_t/∂h_k‖, (T, T+1): inf where
    it is beyond h_0, nan where L_t does not count."""
    found = np.full((len(log10_paths), len(UNITS)), np.nan)
    for t, row in enumerate(log10_paths, 1):
        if np.isfinite(row[t]):
            found[t - 1] = [_lag(row[t::-1], log2) for log2 in UNITS.values()]
    return found


def _lag(back: Array, log2_unit: int) -> float:
    """From log10 of sizes at lag 0, 1 …: the first lag from which on all are below the unit."""
    above = np.flatnonzero(~(back - back[0] < log2_unit * np.log10(2.0) - TIE))
    last: Integers = above[-1]
    return np.inf if last == len(back) - 1 else float(last + 1)


def lag_profile(log10_paths: Array, steps: Sequence[int] | None = None) -> Array:
    """log10 ‖∂L_t/∂h_{t−d}‖ / ‖∂L_t/∂h_t‖ for d = 0 … T, (T+1,): the median over the losses that
    reach h_t and are at least d steps long; nan where there is none. Arguments as of
    ``horizons``."""
    of = range(1, len(log10_paths) + 1) if steps is None else steps
    found = [(t, row) for t, row in zip(of, log10_paths, strict=True) if np.isfinite(row[t])]
    width = log10_paths.shape[1]
    back = np.full((width, max(len(found), 1)), np.nan)
    with quietly():
        for i, (t, row) in enumerate(found):
            back[: t + 1, i] = row[t::-1] - row[t]
        back.sort(axis=1)  # nan last
        counts = np.maximum(np.count_nonzero(~np.isnan(back), axis=1), 1)
        lower, upper = (
            back[np.arange(width), (counts - 1) // 2],
            back[np.arange(width), counts // 2],
        )
        return np.asarray((lower + upper) / 2)


def horizons_of_the_state(log10_chain: Array) -> tuple[Horizon, ...]:
    """The horizon in each format from log10 ‖∂s_T/∂s_k‖, (T+1,), where there is no loss."""
    back = log10_chain[::-1]
    lags = {name: np.array([_lag(back, log2)]) for name, log2 in UNITS.items()}
    return tuple(_summed_up(name, found) for name, found in lags.items())


def _summed_up(name: str, lags: Array) -> Horizon:
    middle = np.sort(lags)[[(len(lags) - 1) // 2, len(lags) // 2]]
    return Horizon(
        name,
        float(middle.mean()),
        float(lags.min()),
        float(lags.max()),
        int(np.isinf(lags).sum()),
        len(lags),
    )
