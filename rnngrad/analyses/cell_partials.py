"""The partials inside one step of a cell, as data: edges of a small graph, and paths through it.

An edge is a local partial, everything else that it depends on held fixed: ∂top/∂bottom = diag(d) or
diag(d) · W, with d a product of factors such as o_t and 1 − tanh²(c_t). What is beneath h_{t−1},
c_{t−1} or the step's input x_t is the past or the layer below. A derivative of the step is the sum
over the paths from top to bottom, and the diagonals along a path multiply:

    ∂c_t/∂i_t · ∂i_t/∂h_{t−1} = diag(g_t) · diag(i_t ∘ (1 − i_t)) W_hi
                              = diag(g_t ∘ i_t ∘ (1 − i_t)) W_hi

Numbers and text come from the same factors: each is written as it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.functions import ACTIVATIONS, Activation, sigmoid
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.traces import LayerTrace

H_PREV, C_PREV, BELOW = "h_{t−1}", "c_{t−1}", "x_t"
"""What a step starts from."""

Factors = Mapping[str, Array]
"""The factors of one layer by how they are written, (T, H) each."""


class Edge(NamedTuple):
    """∂top/∂bottom = diag(product of ``factors``) · ``matrix``; no matrix where it is empty."""

    top: str
    bottom: str
    factors: tuple[str, ...]
    matrix: str = ""


Path = tuple[Edge, ...]
"""Edges from top to bottom."""


class Graph(NamedTuple):
    """A cell's edges in the order in which they are shown, and the numbers behind its factors."""

    edges: tuple[Edge, ...]
    factors: Callable[[LayerTrace, Activation], Factors]

    def paths(self, top: str, bottom: str) -> list[Path]:
        """Every path from ``top`` to ``bottom``."""
        return list(self._paths(top, bottom))

    def _paths(self, top: str, bottom: str) -> Iterator[Path]:
        for edge in self.edges:
            if edge.top != top:
                continue
            if edge.bottom == bottom:
                yield (edge,)
            else:
                yield from ((edge, *rest) for rest in self._paths(edge.bottom, bottom))

    def nodes(self) -> list[str]:
        """What is computed within a step, what comes first coming first."""
        tops = list(dict.fromkeys(edge.top for edge in self.edges))
        within = {top: [e.bottom for e in self.edges if e.top == top] for top in tops}
        return sorted(tops, key=lambda top: _height(top, within))


def _height(node: str, within: Mapping[str, Sequence[str]]) -> int:
    return 1 + max((_height(below, within) for below in within.get(node, ())), default=0)


def diagonal(path: Path, factors: Factors) -> Array:
    """The product of all factors along a path, (T, H)."""
    return reduce(np.multiply, [factors[name] for edge in path for name in edge.factors])


def matrix_of(path: Path) -> str:
    """The matrix at the end of a path; empty where there is none."""
    return path[-1].matrix


def rows_of(cell: Cell, matrix: str, weights: Mapping[str, Array]) -> Array:
    """W_hi: the rows of a gate in W_hh or W_xh; the whole matrix for rnn."""
    if matrix in weights:
        return weights[matrix]
    whole = weights[f"{matrix[:-1]}h"]
    gates = len(cell.gates)
    return np.asarray(np.split(whole, gates)[cell.gates.index(matrix[-1])])


def sum_over(paths: Sequence[Path], cell: Cell, factors: Factors, weights: Mapping[str, Array]
             ) -> Array:  # fmt: skip
    """∂top/∂bottom of every step: (T, H) where it is all diagonal, else (T, H, size of bottom)."""
    if not any(map(matrix_of, paths)):
        return reduce(np.add, (diagonal(path, factors) for path in paths))
    return reduce(np.add, (_full(path, cell, factors, weights) for path in paths))


def _full(path: Path, cell: Cell, factors: Factors, weights: Mapping[str, Array]) -> Array:
    scale = diagonal(path, factors)[:, :, np.newaxis]
    if matrix_of(path):
        return np.asarray(scale * rows_of(cell, matrix_of(path), weights))
    return np.asarray(scale * np.eye(scale.shape[1]))


# ---------------------------------------------------------------------------- the cells

_GATE = ACTIVATIONS["sigmoid"]


def _rnn_factors(trace: LayerTrace, f: Activation) -> Factors:
    return {_RNN_SLOPE: f.slope(trace.values["a.h"])}


_RNN_SLOPE = "σ'(W_xh x_t + W_hh h_{t−1} + b_h)"
_RNN = (
    Edge("h_t", H_PREV, (_RNN_SLOPE,), "W_hh"),
    Edge("h_t", BELOW, (_RNN_SLOPE,), "W_xh"),
)


def _gru_factors(trace: LayerTrace, f: Activation) -> Factors:
    """Slopes from a, never from the gates: 1 − n² has lost every digit where n is 1."""
    a_r, a_z, a_n = (trace.values[key] for key in ("a.r", "a.z", "a.n"))
    return {
        "z_t": sigmoid(a_z),
        "1 − z_t": sigmoid(-a_z),
        "r_t": sigmoid(a_r),
        "h_{t−1} − n_t": trace.h[:-1] - f.f(a_n),
        "1 − n_t²": f.slope(a_n),
        "q_t": trace.values["a.n2"],
        "r_t ∘ (1 − r_t)": _GATE.slope(a_r),
        "z_t ∘ (1 − z_t)": _GATE.slope(a_z),
    }


_GRU = (
    Edge("h_t", H_PREV, ("z_t",)),
    Edge("h_t", "z_t", ("h_{t−1} − n_t",)),
    Edge("h_t", "n_t", ("1 − z_t",)),
    Edge("n_t", "r_t", ("1 − n_t²", "q_t")),
    Edge("r_t", H_PREV, ("r_t ∘ (1 − r_t)",), "W_hr"),
    Edge("z_t", H_PREV, ("z_t ∘ (1 − z_t)",), "W_hz"),
    Edge("n_t", H_PREV, ("1 − n_t²", "r_t"), "W_hn"),
    Edge("r_t", BELOW, ("r_t ∘ (1 − r_t)",), "W_xr"),
    Edge("z_t", BELOW, ("z_t ∘ (1 − z_t)",), "W_xz"),
    Edge("n_t", BELOW, ("1 − n_t²",), "W_xn"),
)


def _lstm_factors(trace: LayerTrace, f: Activation) -> Factors:
    i, forget, g, o = (trace.values[f"a.{gate}"] for gate in "ifgo")
    c = trace.states["c"]
    return {
        "f_t": sigmoid(forget),
        "o_t": sigmoid(o),
        "1 − tanh²(c_t)": f.slope(c[1:]),
        "tanh(c_t)": f.f(c[1:]),
        "g_t": f.f(g),
        C_PREV: c[:-1],
        "i_t": sigmoid(i),
        "i_t ∘ (1 − i_t)": _GATE.slope(i),
        "f_t ∘ (1 − f_t)": _GATE.slope(forget),
        "1 − g_t²": f.slope(g),
        "o_t ∘ (1 − o_t)": _GATE.slope(o),
    }


_LSTM_GATES = (
    ("i", "i_t ∘ (1 − i_t)"),
    ("f", "f_t ∘ (1 − f_t)"),
    ("g", "1 − g_t²"),
    ("o", "o_t ∘ (1 − o_t)"),
)
_LSTM = (
    Edge("c_t", C_PREV, ("f_t",)),
    Edge("h_t", "c_t", ("o_t", "1 − tanh²(c_t)")),
    Edge("c_t", "i_t", ("g_t",)),
    Edge("c_t", "f_t", (C_PREV,)),
    Edge("c_t", "g_t", ("i_t",)),
    Edge("h_t", "o_t", ("tanh(c_t)",)),
    *(Edge(f"{g}_t", H_PREV, (slope,), f"W_h{g}") for g, slope in _LSTM_GATES),
    *(Edge(f"{g}_t", BELOW, (slope,), f"W_x{g}") for g, slope in _LSTM_GATES),
)

GRAPHS: Mapping[str, Graph] = MappingProxyType(
    {
        "rnn": Graph(_RNN, _rnn_factors),
        "gru": Graph(_GRU, _gru_factors),
        "lstm": Graph(_LSTM, _lstm_factors),
    }
)
"""Cell -> its graph: the one place to add a cell's own partials."""
