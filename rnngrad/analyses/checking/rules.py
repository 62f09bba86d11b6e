"""One backward pass with every rule in it open to change: what the known mistakes are made of.

    ∂L/∂h_{t−1} = ∂L_{t−1}/∂h_{t−1} + (∂L/∂h_t ∘ back_t) W_hh
    ∂L/∂W_hh    = Σ_t (∂L/∂h_t ∘ here_t) ⊗ h_{t−1}         likewise W_xh with x_t, b_h with 1

In the right pass ``back`` and ``here`` are both σ'(a_t); a mistake replaces one field or another.
Written apart from ``core.backward``, so that a mistake needs no hook there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.quantities import Passes
from rnngrad.core.arrays import Array
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled, bands, log10_lengths, log10_spectral_norms, scaled, times


class Rules(NamedTuple):
    """What a backward pass multiplies, step t in row t − 1.

    ``x`` (T, I), ``h_prev`` (T, H) beside W_hh, ``h`` (T, H) beside W_hy, ``dL_dy`` and
    ``dL_da_y`` (T, O), ``dLt_dht`` (T, H), ``back`` (T, H) the σ' of ∂h_t/∂h_{t−1}, ``here``
    (T, H) that of the immediate partials, ``counting`` the rows of the losses that count.
    ``dL_dh`` (T+1, H) is taken as it is where it is given.
    """

    x: Array
    h_prev: Array
    h: Array
    a: Array
    W_xh: Array
    W_hh: Array
    W_hy: Array | None
    dL_dy: Array
    dL_da_y: Array
    dLt_dht: Array
    back: Array
    here: Array
    slope: Callable[[Array], Array]
    counting: tuple[int, ...]
    dL_dh: Array | None = None

    @property
    def steps(self) -> int:
        """T"""
        return len(self.x)


def right_rules(passes: Passes) -> Rules:
    """The rules as they ought to be."""
    problem, forward, backward = passes.problem, passes.forward, passes.backward
    slopes = problem.activation.slope(forward.a)
    return Rules(
        x=problem.x,
        h_prev=forward.h[:-1],
        h=forward.h[1:],
        a=forward.a,
        W_xh=problem.weights["W_xh"],
        W_hh=problem.weights["W_hh"],
        W_hy=problem.weights.get("W_hy"),
        dL_dy=backward.dL_dy,
        dL_da_y=backward.dL_da_y,
        dLt_dht=backward.dLt_dht,
        back=slopes,
        here=slopes,
        slope=problem.activation.slope,
        counting=_counting(problem),
    )


def _counting(problem: Problem) -> tuple[int, ...]:
    """The rows of the steps whose loss counts."""
    if problem.loss_weights is None:
        return ()
    return tuple(int(row) for row in np.flatnonzero(problem.loss_weights))


def through_time(rules: Rules) -> Array:
    """∂L/∂h_t for t = 0 … T, (T+1, H)."""
    if rules.dL_dh is not None:
        return rules.dL_dh
    dL_dh = np.concatenate([np.zeros_like(rules.dLt_dht[:1]), rules.dLt_dht])
    for t in range(rules.steps, 0, -1):
        if dL_dh[t].any():
            dL_dh[t - 1] += (dL_dh[t] * rules.back[t - 1]) @ rules.W_hh
    return dL_dh


def by_reach(rules: Rules) -> Iterator[Array]:
    """∂L_{t+d}/∂h_t for every t = 0 … T at once, (T+1, H), for d = 0, 1 … T."""
    rows = np.concatenate([np.zeros_like(rules.dLt_dht[:1]), rules.dLt_dht])
    yield rows
    for _ in range(rules.steps):
        rows = np.concatenate([(rows[1:] * rules.back) @ rules.W_hh, np.zeros_like(rows[:1])])
        yield rows


def with_direct(rules: Rules, dL_da_y: Array) -> Rules:
    """The same with another ∂L/∂(W_hy h_t + b_y), and what follows for ∂L_t/∂h_t."""
    direct = dL_da_y if rules.W_hy is None else dL_da_y @ rules.W_hy
    return rules._replace(dL_da_y=dL_da_y, dLt_dht=direct)


def _dL_da(rules: Rules) -> Array:
    dL_dh = through_time(rules)[1:]
    return np.where(dL_dh == 0, 0.0, dL_dh * rules.here)


def _log10_chain(rules: Rules) -> Array:
    rows, W_hh, slopes = scaled(np.eye(len(rules.W_hh))), bands(rules.W_hh), scaled(rules.back)
    logs = [0.0]
    for t in range(rules.steps, 0, -1):
        at_a = rows * Scaled(slopes.mantissa[t - 1], slopes.exponent[t - 1])
        rows = times(at_a, W_hh)
        values, exponent = rows.aligned(axis=(0, 1))
        norms = log10_spectral_norms(values[np.newaxis], np.atleast_1d(exponent))
        logs.append(float(norms[0]))
    return np.array(logs[::-1])


def _log10_paths(rules: Rules) -> Array:
    """Row t − 1, column k: log10 ‖∂L_t/∂h_k‖₂."""
    steps, W_hh, slopes = rules.steps, bands(rules.W_hh), scaled(rules.back)
    paths = np.where(np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis], np.nan, -np.inf)
    for t in range(1, steps + 1):
        row = scaled(rules.dLt_dht[t - 1 : t])
        for k in range(t, -1, -1):
            paths[t - 1, k] = log10_lengths(row)[0]
            if k and row.mantissa.any():
                row = times(row * Scaled(slopes.mantissa[k - 1], slopes.exponent[k - 1]), W_hh)
    return paths


def _units(rules: Rules, beside: Array) -> Array:
    """∂⁺h_t[i]/∂W[i, k], (T, H, n)."""
    return np.asarray(rules.here[:, :, np.newaxis] * beside[:, np.newaxis, :])


READ: Mapping[str, Callable[[Rules], Array]] = MappingProxyType(
    {
        "dL_dy": lambda r: r.dL_dy,
        "dLt_dht": lambda r: r.dLt_dht,
        "dht_dhprev": lambda r: r.back[:, :, np.newaxis] * r.W_hh,
        "dL_dh": through_time,
        "dht_dW_xh": lambda r: _units(r, r.x),
        "dht_dW_hh": lambda r: _units(r, r.h_prev),
        "dht_db_h": lambda r: r.here,
        "dL_dW_xh": lambda r: _dL_da(r).T @ r.x,
        "dL_dW_hh": lambda r: _dL_da(r).T @ r.h_prev,
        "dL_db_h": lambda r: _dL_da(r).sum(axis=0),
        "dL_dW_hy": lambda r: r.dL_da_y.T @ r.h,
        "dL_db_y": lambda r: r.dL_da_y.sum(axis=0),
        "dL_dx": lambda r: _dL_da(r) @ r.W_xh,
        "log10_chain": _log10_chain,
        "log10_paths": _log10_paths,
    }
)
"""name of a quantity -> how these rules make it."""
