"""Products of one-step Jacobians ∂s_t/∂s_{t−1}, for rnn diag(σ'(a_t)) W_hh, in log space.

Rows are pulled back through the steps, row · J_T · J_{T−1} ⋯ J_{k+1}, as numbers of
``arithmetic.scaled``: nothing under- or overflows at any T, and a part that is small now is still
there when it matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers, quietly
from rnngrad.arithmetic.evaluation import SMALLEST_SURE, scaled_slope
from rnngrad.arithmetic.number_types import FLOATS, SCALED, Entries
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, log10_lengths, log10_spectral_norms, scaled
from rnngrad.chains.chain_norms import log10_norms
from rnngrad.chains.float_rows import FloatRows, raised
from rnngrad.chains.jacobian_product import Aligned, aligned_chain, plain_net
from rnngrad.chains.leading_norms import log10_end_norm, log10_leading_norms
from rnngrad.chains.matrix_norms import ln_largest
from rnngrad.chains.path_norms import log10_path_norms
from rnngrad.chains.whole_product import products, sizes_of
from rnngrad.net.linearised import LinearNet, Rows, linear_net
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.progress import OF_A_STEP, growing, reported

CHUNK = 2**21
"""Numbers held back for one batched SVD (16 MiB)."""

LARGE, LARGE_RNN = 48, 384
"""Sizes S from which on few directions are faster than all, as measured; for rnn, later."""

LONG = 64
"""Steps from which on the end of the chain alone takes less than all of it."""


def one_step_jacobians(problem: Problem, trace: ForwardTrace) -> Array:
    """∂s_t/∂s_{t−1}, (T, S, S), rows the output."""
    with quietly():
        if problem.single_rnn:
            slopes = problem.activation.slope(trace.a)
            jacobians: Array = slopes[:, :, np.newaxis] * problem.weights["W_hh"]
            return jacobians
        net, units = linear_net(problem, trace, FLOATS), np.eye(problem.state_size)
        return np.array([net.pull(units, t).rows for t in range(1, problem.steps + 1)])


def log10_step_norms(
    problem: Problem, trace: ForwardTrace, steps: Sequence[int] | None = None
) -> Array:
    """log10 ‖∂s_t/∂s_{t−1}‖₂ for some steps t, (n,), or for t = 1 … T, (T,)."""
    chosen = range(1, problem.steps + 1) if steps is None else steps
    if not len(chosen):
        return np.empty(0)
    with quietly():
        norms = _Norms(len(chosen), problem.state_size)
        jacobians = scaled_jacobians(problem, trace, chosen)
        for jacobian in reported(jacobians, len(chosen), "norms of the steps"):
            values, exponent = jacobian.aligned(axis=(0, 1))
            norms.add(Aligned(values, int(exponent)))
        return norms.values()


def scaled_jacobians(
    problem: Problem, trace: ForwardTrace, steps: Sequence[int]
) -> Iterator[Scaled]:
    """∂s_t/∂s_{t−1} for the steps t, (S, S) each, right to rounding entry by entry. To be run
    within ``quietly()``."""
    if problem.single_rnn:
        W_hh = scaled(problem.weights["W_hh"])
        slopes = scaled_slope(problem.activation, trace.a[np.asarray(steps) - 1])
        yield from (slopes[i, :, np.newaxis] * W_hh for i in range(len(steps)))
        return
    net, units = linear_net(problem, trace, SCALED), scaled(np.eye(problem.state_size))
    yield from (net.pull(units, t).rows for t in steps)


def sure_slopes(problem: Problem, trace: ForwardTrace) -> Array | Scaled:
    """The σ'(a_t) of one layer of rnn, (T, H): plain floats if every one is right to rounding, else
    with exponents."""
    slopes = problem.activation.slope(trace.a)
    return slopes if slopes.min() >= SMALLEST_SURE else scaled_slope(problem.activation, trace.a)


def scaled_slopes(problem: Problem, trace: ForwardTrace) -> Scaled:
    """σ'(a_t) of rnn, (T, H), right to rounding even where it is no normal float any more."""
    return scaled_slope(problem.activation, trace.a)


def log10_chain(problem: Problem, trace: ForwardTrace) -> Array:
    """log10 ‖∂s_T/∂s_k‖₂ for k = 0 … T, (T+1,); entry T is 0, −inf only for an exact zero.

    The largest singular value of J_T ⋯ J_{k+1}. Error: that of a product whose factors have entries
    right to rounding; from ``LARGE`` on, where only the directions that count are followed, within
    5e-9, certified step by step (``chains.leading_norms``). Source: Pascanu, Mikolov, Bengio, *On
    the difficulty of training recurrent neural networks*, ICML (2013), section 2; see
    ``arithmetic.scaled`` for the range.
    """
    with quietly():
        if problem.state_size >= (LARGE_RNN if problem.single_rnn else LARGE):
            net = plain_net(problem, trace)
            norms_of_few = None if net is None else log10_leading_norms(net, problem.steps)
            if norms_of_few is not None:
                return norms_of_few
        if problem.single_rnn:
            return log10_norms(sure_slopes(problem, trace), problem.weights["W_hh"])
        norms = _Norms(problem.steps + 1, problem.state_size)
        for product in reported(aligned_chain(problem, trace), problem.steps + 1, "log10_chain"):
            norms.add(product)
        return norms.values()[::-1].copy()


def log10_end(problem: Problem, trace: ForwardTrace) -> float | None:
    """Entry 0 of ``log10_chain``, to the same error, in a fraction of the time; None where there is
    no such way: the net is small, the sequence short, or too many directions count."""
    large = problem.state_size >= (LARGE_RNN if problem.single_rnn else LARGE)
    if not large or problem.steps < LONG:
        return None
    with quietly():
        net = plain_net(problem, trace)
        return None if net is None else log10_end_norm(net, problem.steps)


def chain(problem: Problem, trace: ForwardTrace) -> Iterator[Aligned]:
    """∂s_T/∂s_k for k = T, T−1 … 0, (S, S) each, in plain floats with an exponent of its own. To be
    run within ``quietly()``."""
    if not problem.single_rnn:
        yield from aligned_chain(problem, trace)
        return
    for product in products(scaled_slopes(problem, trace), problem.weights["W_hh"]):
        values, exponent = product.aligned(axis=(0, 1))
        yield Aligned(values, int(exponent))


def chain_end(problem: Problem, trace: ForwardTrace) -> tuple[float, float]:
    """log10 of ‖P‖₂ and of the largest |R[i, i]| of P = Q R, P = ∂s_T/∂s_0, for any net; −inf for
    an exact zero, nan for undefined, the second nan also where it is not certain."""
    with quietly():
        for product in reported(chain(problem, trace), problem.steps + 1, "the chain"):
            end = product
        return sizes_of(*end)


class _Norms:
    """log10 spectral norms of matrices handed in one by one, taken by batched SVDs, from ``LARGE``
    on as √λ₁(M Mᵀ), which is right to S roundings all the same (``chains.matrix_norms``)."""

    def __init__(self, count: int, size: int) -> None:
        self._batch = max(1, min(count, CHUNK // (size * size)))
        self._values = np.empty((self._batch, size, size))
        self._exponents = np.empty(self._batch, dtype=np.int64)
        self._filled = 0
        self._done: list[Array] = []

    def add(self, matrix: Aligned) -> None:
        self._values[self._filled], self._exponents[self._filled] = matrix
        self._filled += 1
        if self._filled == self._batch:
            self._flush()

    def _flush(self) -> None:
        filled = slice(0, self._filled)
        values, exponents = self._values[filled], self._exponents[filled]
        sizes = np.abs(values).max(axis=(1, 2))
        if values.shape[1] < LARGE or not ((sizes > 0) & (sizes < np.inf)).all():
            self._done.append(log10_spectral_norms(values, exponents))
        else:
            logs = ln_largest(values @ values.transpose(0, 2, 1)) / (2 * np.log(10.0))
            self._done.append(logs + exponents * LOG10_2)
        self._filled = 0

    def values(self) -> Array:
        if self._filled:
            self._flush()
        return np.concatenate(self._done)


class PulledBack(NamedTuple):
    """What reaches step k: row i of ``rows`` is ∂L_t/∂s_k for t = ``steps[i]``, largest t first.

    ``at`` is what the same rows are at what the graph of step k keeps, layer by layer: for rnn
    ``a.h`` is ∂L_t/∂a_k = ∂L_t/∂h_k ∘ σ'(a_k). None for k = 0.
    """

    k: int
    steps: Integers
    rows: FloatRows | Scaled
    at: tuple[Rows, ...] | None

    @property
    def at_s(self) -> Scaled:
        """The rows with an exponent for every entry."""
        return _exact(self.rows)

    @property
    def in_floats(self) -> FloatRows:
        """The rows with an exponent each; an entry far below its row's largest is 0."""
        return self.rows if isinstance(self.rows, FloatRows) else FloatRows(*self.rows.aligned(1))


class _AtExactly(Mapping[str, Entries]):
    """Rows in plain floats at what the graph keeps, by key, each with an exponent for every entry
    when it is asked for."""

    def __init__(self, at: Rows, exponents: Integers) -> None:
        self._at, self._exponents = at, exponents

    def __getitem__(self, key: str) -> Scaled:
        return raised(self._at[key], self._exponents)

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


def pulled_back(
    problem: Problem, trace: ForwardTrace, direct: Scaled, a_step: float = OF_A_STEP
) -> Iterator[PulledBack]:
    """∂L_t/∂s_k for k = T, T−1 … 0 and every t ≥ k whose loss counts, each L_t on its own.

        ∂L_t/∂s_t = the direct term        ∂L_t/∂s_{k−1} = ∂L_t/∂s_k · ∂s_k/∂s_{k−1}

    ``direct`` is ∂L_t/∂h_t of the top layer, (T, H) (``chains.path_norms``). Steps without a loss
    (``loss_weights`` 0) have no row. In plain floats with an exponent a row as long as no entry
    comes near their ends, then entry by entry. To be run within ``quietly()``. ``a_step``: as many
    rows take as long as a step takes without any, all that is done with it told (``progress``).
    """
    weights = problem.loss_weights
    counts = np.zeros(problem.steps, bool) if weights is None else weights != 0
    size, top = problem.state_size, problem.layers[-1].state[0]
    steps: Integers = np.empty(0, dtype=np.int64)
    floats = plain_net(problem, trace)
    plain = FloatRows(np.empty((0, size)), steps)
    net = linear_net(problem, trace, SCALED) if floats is None else None
    rows: FloatRows | Scaled = plain
    work = growing(np.cumsum(counts[::-1]).tolist(), a_step)
    for k in reported(range(problem.steps, 0, -1), problem.steps, "paths", work):
        if counts[k - 1]:
            row, steps = _in_state(direct[k - 1], top, size), np.append(steps, k)
            if net is None:
                rows = plain = plain.added(row)
            else:
                rows = _append(_exact(rows), row)
        if not len(steps):
            continue
        if net is None and floats is not None:
            pulled = floats.pull(plain.values, k)
            at = tuple(_AtExactly(one, plain.exponents) for one in pulled.at)
            yield PulledBack(k, steps, rows, at)
            after = plain.moved(pulled.rows)
            if after is not None:
                rows = plain = after
                continue
            net = linear_net(problem, trace, SCALED)
            rows = net.pull(plain.exact, k).rows
            continue
        assert net is not None
        pulled = net.pull(_exact(rows), k)
        yield PulledBack(k, steps, rows, pulled.at)
        rows = pulled.rows
    yield PulledBack(0, steps, rows, None)


def _exact(rows: FloatRows | Scaled) -> Scaled:
    return rows.exact if isinstance(rows, FloatRows) else rows


def _in_state(row: Scaled, top: slice, size: int) -> Scaled:
    """∂L_t/∂h_t of the top layer, (H,), as ∂L_t/∂s_t, (S,)."""
    if len(row.mantissa) == size:
        return row
    wide = scaled(np.zeros(size))
    wide.mantissa[top], wide.exponent[top] = row.mantissa, row.exponent
    return wide


def _append(rows: Scaled, row: Scaled) -> Scaled:
    return Scaled(
        np.vstack([rows.mantissa, row.mantissa]), np.vstack([rows.exponent, row.exponent])
    )


def log10_paths(problem: Problem, trace: ForwardTrace, direct: Scaled) -> Array:
    """log10 ‖∂L_t/∂s_k‖₂, (T, T+1), row t−1, column k; nan for k > t, −inf for an exact zero.

    Each loss on its own: the credit that step k gets from L_t.
    """
    weights = problem.loss_weights
    counts = np.zeros(problem.steps, bool) if weights is None else weights != 0
    with quietly():
        if problem.single_rnn:
            slopes = scaled_slopes(problem, trace)
            return log10_path_norms(slopes, problem.weights["W_hh"], direct, counts)
        steps = problem.steps
        later = np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis]
        paths = np.where(later, np.nan, -np.inf)
        net, some = plain_net(problem, trace), np.flatnonzero(counts) + 1
        found = None if net is None else _plain_paths(problem, net, direct, some, None)
        if found is not None:
            paths[some - 1] = found
            return paths
        for reached in pulled_back(problem, trace, direct):
            if len(reached.steps):
                paths[reached.steps - 1, reached.k] = log10_lengths(reached.at_s)
    return paths


Watcher = Callable[[int, slice, Sequence[Rows], Integers], None]
"""Told at every step k, from T down, which of the rows are there, what they are at what the graph
of step k keeps, layer by layer, and the exponent of each row."""


def log10_paths_from(
    problem: Problem, trace: ForwardTrace, direct: Scaled, steps: Integers,
    watcher: Watcher | None = None,
) -> Array:  # fmt: skip
    """The rows of ``log10_paths`` of some steps t, ascending, (n, T+1), with a row each to pull.

    In plain floats with an exponent a row while no entry comes near underflow, and a ``watcher``
    may look on; else entry by entry, and it is told no more.
    """
    with quietly():
        net = plain_net(problem, trace)
        found = None if net is None else _plain_paths(problem, net, direct, steps, watcher)
        if found is not None:
            return found
        only = np.zeros(problem.steps)
        only[steps - 1] = 1.0
        rows = log10_paths(replace(problem, loss_weights=only), trace, direct)
        return np.asarray(rows[steps - 1])


def _plain_paths(
    problem: Problem, net: LinearNet, direct: Scaled, steps: Integers, watcher: Watcher | None
) -> Array | None:
    """The same in plain floats; None where these do not do."""
    top, size, n = problem.layers[-1].state[0], net.size, len(steps)
    values, exponents = direct[steps - 1].aligned(axis=1)
    paths = np.full((n, problem.steps + 1), np.nan)
    rows, low = np.zeros((n, size)), n
    rows[:, top] = values
    work = growing(n - np.searchsorted(steps, np.arange(problem.steps, -1, -1)))
    for k in reported(range(problem.steps, -1, -1), problem.steps + 1, "paths", work):
        low = int(np.searchsorted(steps, k))  # steps[low:] are k or later
        squares = np.einsum("ns,ns->n", rows[low:], rows[low:])  # the largest entry is 1, or 0
        paths[low:, k] = 0.5 * np.log10(squares) + exponents[low:] * LOG10_2
        if k == 0 or low == n:
            continue
        pulled, at = net.pull(rows[low:], k)
        if watcher is not None:
            watcher(k, slice(low, n), at, exponents[low:])
        after = FloatRows(rows[low:], exponents[low:]).moved(pulled)
        if after is None:
            return None
        rows[low:], exponents[low:] = after
    return paths
