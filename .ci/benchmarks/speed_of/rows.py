"""The rows of the table: what is run, by whom, how near the answers must be, and the goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import rnngrad
from speed_of import naive
from speed_of.cases import Case, batch, case, family, usual
from speed_of.timing import Work

OURS, SVDS = "rnngrad", "an SVD a step"
ALONE, ONE = "rnngrad, each sequence alone", "rnngrad, one sequence"
PRODUCTS = "its products alone"

PEERS = {
    "JAX": "speed_of.with_jax",
    "PyTorch": "speed_of.with_torch",
    "autograd": "speed_of.with_autograd",
    "Numba": "speed_of.with_numba",
    "NumPy": "speed_of.naive",
}
"""name -> the module that holds its functions, imported when it is wanted."""

CLOSE = 1e-8


class Row(NamedTuple):
    """``makers``: name -> what prepares a work (peers compile there, or when it first runs);
    ``error``: how far an answer is from ours; ``goals``: ratios ours/theirs that are wanted."""

    name: str
    makers: Mapping[str, Callable[[], Work]]
    error: Callable[[Any, Any], float]
    goals: Mapping[str, float]


def rows(quick: bool) -> Iterator[Row]:
    """Every row; small ones, without goals, for ``quick``."""
    for row in _rows(quick):
        yield row._replace(goals={}) if quick else row


def _rows(quick: bool) -> Iterator[Row]:
    yield from _gradient_rows(quick)
    yield from _gated_rows(quick)
    yield from _batch_rows(quick)
    yield from _chain_rows(quick)
    yield from _large_rows(quick)
    yield _paths_row((40, 8, 4, 4) if quick else (300, 64, 32, 16))
    yield _lyapunov_row((500, 16, 8, 4) if quick else (10_000, 64, 8, 4))
    yield _sweep_row(*((16, 40, 6, 2) if quick else (64, 200, 64, 16)))


SIZES = {
    (3, 4, 3, 2): {"JAX": 1.0, "PyTorch": 0.1},
    (100, 32, 16, 8): {"JAX": 1.0, "PyTorch": 0.1, "NumPy": 0.1},
    (1000, 64, 32, 16): {"JAX": 1.0, "PyTorch": 0.1, "NumPy": 0.1},
    (1000, 256, 64, 32): {"JAX": 1.0},
    (10_000, 64, 32, 16): {"JAX": 1.0, "PyTorch": 0.1, "NumPy": 0.1},
    (100_000, 16, 8, 4): {"JAX": 0.5, "PyTorch": 0.1, "NumPy": 0.1},
}


def _gradient_rows(quick: bool) -> Iterator[Row]:
    for sizes, goals in SIZES.items():
        if quick and sizes[0] * sizes[1] > 64_000:
            continue
        slow = {"autograd"} if sizes[0] > 1000 else set()
        yield _row(f"`gradients`, (T, H, I, O) = {sizes}", case(sizes), "gradients",
                   set(PEERS) - slow, _gradient_error, goals)  # fmt: skip


def _gated_rows(quick: bool) -> Iterator[Row]:
    sizes = (40, 8, 4, 4) if quick else (1000, 64, 32, 16)
    for cell in ("gru", "lstm"):
        yield _row(f"`gradients`, {cell}, (T, H, I, O) = {sizes}", case(sizes, cell=cell),
                   f"{cell}_gradients", {"JAX", "PyTorch", "NumPy"}, _gradient_error,
                   {"JAX": 1.0}, call=rnngrad.gradients)  # fmt: skip


SEQUENCES = 32


def _batch_rows(quick: bool) -> Iterator[Row]:
    """A batch at once, beside JAX's vmap, PyTorch and each sequence by itself."""
    usual, digits = (100, 64, 32, 16), (784, 128, 1, 10)
    goals = {usual: {"JAX": 1.0, ONE: 4.0}, digits: {"PyTorch": 2.0}}
    for sizes, cell in product([(20, 8, 4, 4)] if quick else goals, ("rnn", "gru", "lstm")):
        net = batch(sizes, 4 if quick else SEQUENCES, cell)
        work = "batch_gradients" if cell == "rnn" else f"{cell}_batch_gradients"
        yield Row(f"`gradients` of a batch of {net.batch.size}, {cell}, (T, H, I, O) = {sizes}", {
            OURS: lambda net=net: lambda: rnngrad.gradients(net.batch),
            "JAX": lambda net=net, work=work: getattr(_peer("JAX"), work)(net),
            "PyTorch": lambda net=net, work=work: getattr(_peer("PyTorch"), work)(net),
            ALONE: lambda net=net: lambda: _each_alone(net.batch),
            ONE: lambda net=net: lambda: rnngrad.gradients(net.batch.net) and {},
            PRODUCTS: lambda net=net: naive.batch_products(net),
        }, _batch_error, goals.get(sizes, {}))  # fmt: skip


def _each_alone(net: rnngrad.Batch) -> dict[str, Any]:
    found = [rnngrad.gradients(one) for one in net.sequences]
    return {
        name: sum(one[name] for one in found)
        for name in found[0]
        if name == "loss" or name.removeprefix("dL_d") in net.net.weights
    }


def _chain_rows(quick: bool) -> Iterator[Row]:
    goals = {(1000, 64): 0.1, (1000, 256): 0.1, (10_000, 64): 0.03}
    for (steps, hidden), goal in {(200, 32): 0.1}.items() if quick else goals.items():
        peers = {"JAX", "PyTorch", "NumPy"} if hidden < 256 else {"JAX"}
        yield _row(f"`log10_chain`, (T, H) = {(steps, hidden)}", case((steps, hidden, 8, 4)),
                   "log10_chain", peers, _largest_gap, {"JAX": goal})  # fmt: skip


LARGE = (("lstm", (784, 128), 1, 0.15, 0.3), ("gru", (200, 128), 2, 0.2, 0.5),
         ("rnn", (500, 512), 1, 0.08, 0.15))  # fmt: skip
"""Cell, (T, H), layers; what ``log10_chain`` and what ``derive`` may take of an SVD a step."""


def _large_rows(quick: bool) -> Iterator[Row]:
    for cell, at, depth, goal, _ in LARGE:
        sizes = (40, 24) if quick else at
        net = rnngrad.load(usual(cell, sizes, depth))
        yield Row(f"`log10_chain`, {named(cell, sizes, depth)}",
                  {OURS: lambda net=net: lambda: rnngrad.log10_chain(net),
                   SVDS: lambda net=net: naive.svd_a_step(net)},
                  _largest_gap, {SVDS: goal})  # fmt: skip


def named(cell: str, sizes: tuple[int, int], depth: int) -> str:
    """How a row calls a large net."""
    layers = f", {depth} layers" if depth > 1 else ""
    return f"{cell}{layers}, (T, H) = {sizes}"


def _paths_row(sizes: tuple[int, int, int, int]) -> Row:
    return _row(f"`log10_paths`, (T, H) = {sizes[:2]}", case(sizes), "log10_paths",
                {"JAX", "NumPy"}, _largest_gap, {"JAX": 0.25})  # fmt: skip


def _lyapunov_row(sizes: tuple[int, int, int, int]) -> Row:
    return _row(f"`lyapunov_spectrum`, (T, H) = {sizes[:2]}", case(sizes), "lyapunov",
                {"JAX", "NumPy"}, _largest_gap, {"JAX": 1.0},
                call=rnngrad.lyapunov_spectrum)  # fmt: skip


def _sweep_row(hidden: int, steps: int, count: int, seeds: int) -> Row:
    problem, scales, cases = family(hidden, steps, np.geomspace(0.1, 4.0, count), seeds)

    def ours() -> np.ndarray:
        report: Any = rnngrad.sweep(problem, scales, seeds=seeds)
        norms = {(row["seed"], row["scale"]): row["log10_chain_norm"] for row in report["rows"]}
        return np.array([norms[key] for key in sorted(norms)]).reshape(seeds, count)

    makers = {OURS: lambda: ours}
    for name in ("JAX", "NumPy"):
        makers[name] = lambda name=name: _peer(name).sweep(cases, scales)
    return Row(f"`sweep`, {count} scales × {seeds} seeds, (T, H) = {(steps, hidden)}", makers,
               _contracting_gap, {"JAX": 0.07, "NumPy": 0.15})  # fmt: skip


def _row(
    name: str,
    net: Case,
    work: str,
    peers: set[str],
    error: Callable[[Any, Any], float],
    goals: Mapping[str, float],
    call: Callable[[Any], Any] | None = None,
) -> Row:
    call = call or getattr(rnngrad, work)
    makers: dict[str, Callable[[], Work]] = {OURS: lambda: lambda: call(net.problem)}
    for peer in PEERS:
        if peer in peers:
            makers[peer] = lambda peer=peer: getattr(_peer(peer), work)(net)
    return Row(name, makers, error, goals)


def _peer(name: str) -> Any:
    return naive if name == "NumPy" else import_module(PEERS[name])


def _gradient_error(ours: Any, theirs: Any) -> float:
    """The largest deviation of an array, relative to its largest entry, over what both have."""
    errors = []
    for name, value in theirs.items():
        parts = value if isinstance(value, tuple) else (value,)
        got = np.concatenate([np.atleast_1d(np.asarray(part)).ravel() for part in parts])
        expected = np.ravel(ours[name])
        errors.append(np.max(np.abs(got - expected)) / np.max(np.abs(expected)))
    return float(np.max(errors))


def _batch_error(ours: Any, theirs: Any) -> float:
    """The same; what has no answer is there for its time."""
    return _gradient_error(ours, theirs) if theirs else 0.0


def _largest_gap(ours: Any, theirs: Any) -> float:
    """The largest absolute deviation; nan and infinities in the same places are none."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(ours - theirs))
    return float(np.max(np.where(np.isnan(gap), np.inf, gap)))


def _contracting_gap(ours: Any, theirs: Any) -> float:
    """Where the chain shrinks: beyond that, trajectories part on rounding."""
    shrinks = np.asarray(ours, dtype=float) < -2.0
    return _largest_gap(np.asarray(ours)[shrinks], np.asarray(theirs)[shrinks])
