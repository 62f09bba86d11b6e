"""Recurrent cells: one record each. A cell is what happens between the two matrix products.

    u_x = W_xh x_t + bias        u_h = W_hh h_{t−1} + bias        s_t = advance(u_x, u_h, s_{t−1})

Everything in ``advance`` acts unit by unit, so its derivative is a handful of diagonals a step, the
cell's *terms*. ``pull`` takes rows ∂L/∂s_t through them back to u_x, u_h and s_{t−1}; ``push``
takes tangents forward (``u_x`` None: the inputs are held fixed). Both run in either kind of
``core.arithmetic``. Products with W_xh and W_hh, stacks and sums over time are the same for every
cell: ``core.linear``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.functions import ACTIVATIONS, Activation, sigmoid
from rnngrad.core.arithmetic import Arithmetic, Entries
from rnngrad.arithmetic.arrays import Array, Numbers

Shape = tuple[str, ...]
"""Sizes by letter: ``("3H", "I")``."""

Parts = tuple[Numbers, ...]
"""The parts of a state, (…, H) each: h, or h and c."""


class Advanced(NamedTuple):
    """One step: ``a`` (…, G·H) the pre-activations, gate by gate; ``inner`` what else the
    derivative needs (gru: W_hn h + b_hn); ``state`` the parts of s_t."""

    a: Numbers
    inner: Numbers | None
    state: Parts


class LayerTrace(NamedTuple):
    """One layer over T steps: ``x`` (T, I) what enters it, ``a`` (T, G·H), ``h`` (T+1, H), ``c``
    (T+1, H) and ``inner`` (T, H) where the cell has them."""

    x: Numbers
    a: Numbers
    h: Numbers
    c: Numbers | None
    inner: Numbers | None


Terms = tuple[Entries, ...]
"""Diagonals of the linearised step; over all steps (T, H) each, at one step (H,)."""

Gates = tuple[Entries, ...]
"""What reaches the pre-activations, gate by gate."""


class PulledTerms(NamedTuple):
    """∂L/∂u_x and ∂L/∂u_h gate by gate, and the part of ∂L/∂s_{t−1} that passes by the matrices,
    None where nothing does."""

    at_x: Gates
    at_h: Gates
    kept: tuple[Entries | None, ...]


class Cell(NamedTuple):
    """What a cell's parameters are called, and its equations as functions.

    ``gates`` names the blocks of rows of the matrices, ``parts`` those of the state. ``weights``
    must be given, ``biases`` default to zero; ``enters`` says whether a bias is added to u_x or
    u_h. ``activation`` is None where the spec chooses σ. ``equations`` is the cell as on paper.
    """

    name: str
    gates: tuple[str, ...]
    parts: tuple[str, ...]
    weights: Mapping[str, Shape]
    biases: Mapping[str, Shape]
    enters: Mapping[str, str]
    advance: Callable[[Numbers, Numbers, Parts, Activation], Advanced]
    linearise: Callable[[LayerTrace, Activation, Arithmetic], Terms]
    pull: Callable[[Terms, Gates], PulledTerms]
    push: Callable[[Terms, Gates | None, Gates, Gates], Gates]
    equations: tuple[str, ...]
    activation: str | None = None

    @property
    def parameters(self) -> Mapping[str, Shape]:
        """Weights and biases together, in the order in which they are shown."""
        return {**self.weights, **self.biases}

    def bias(self, weights: Mapping[str, Array], side: str) -> Array | float:
        """The bias that is added to u_x or u_h; 0 where there is none."""
        names = [name for name, enters in self.enters.items() if enters == side]
        return weights[names[0]] if names else 0.0


def split(values: Entries, count: int) -> Gates:
    """(…, G·H) -> G times (…, H)."""
    if count == 1:
        return (values,)
    size = values.shape[-1] // count
    return tuple(values[..., g * size : (g + 1) * size] for g in range(count))


def _sum(u_x: Gates | None, u_h: Gates) -> Gates:
    return u_h if u_x is None else tuple(x + h for x, h in zip(u_x, u_h, strict=True))


# ---------------------------------------------------------------------------- rnn


def _rnn_advance(u_x: Numbers, u_h: Numbers, state: Parts, f: Activation) -> Advanced:
    a = u_x + u_h
    return Advanced(a, None, (f.f(a),))


def _rnn_terms(trace: LayerTrace, f: Activation, kind: Arithmetic) -> Terms:
    return (kind.slope(f, trace.a),)


def _rnn_pull(terms: Terms, rows: Gates) -> PulledTerms:
    """∂L/∂a = ∂L/∂h ∘ σ'(a)."""
    at = (rows[0] * terms[0],)
    return PulledTerms(at, at, (None,))


def _rnn_push(terms: Terms, u_x: Gates | None, u_h: Gates, state: Gates) -> Gates:
    return (_sum(u_x, u_h)[0] * terms[0],)


# ---------------------------------------------------------------------------- gru


def _gru_advance(u_x: Numbers, u_h: Numbers, state: Parts, f: Activation) -> Advanced:
    """h = (1 − z) n + z h_{t−1}, with r, z = σ(u_x + u_h) and n = tanh(u_xn + r u_hn)."""
    (x_r, x_z, x_n), (h_r, h_z, inner) = split(u_x, 3), split(u_h, 3)
    a_r, a_z = x_r + h_r, x_z + h_z
    a_n = x_n + sigmoid(a_r) * inner
    h = sigmoid(-a_z) * f.f(a_n) + sigmoid(a_z) * state[0]
    return Advanced(np.concatenate([a_r, a_z, a_n], axis=-1), inner, (h,))


def _gru_terms(trace: LayerTrace, f: Activation, kind: Arithmetic) -> Terms:
    """∂h/∂h_{t−1} = z, and the gates' (1 − z) n' q r', (h_{t−1} − n) z', (1 − z) n' and, towards
    u_h, (1 − z) n' r; q = W_hn h_{t−1} + b_hn, r' and z' the sigmoid's slopes."""
    a_r, a_z, a_n = split(trace.a, 3)
    assert trace.inner is not None
    gate = ACTIVATIONS["sigmoid"]
    towards_n = kind.sigmoid(-a_z) * kind.slope(f, a_n)
    towards_r = towards_n * kind.of(trace.inner) * kind.slope(gate, a_r)
    towards_z = kind.gap(trace.h[:-1], a_n) * kind.slope(gate, a_z)
    return kind.sigmoid(a_z), towards_r, towards_z, towards_n, towards_n * kind.sigmoid(a_r)


def _gru_pull(terms: Terms, rows: Gates) -> PulledTerms:
    (row,), (z, towards_r, towards_z, towards_n, within_n) = rows, terms
    shared = (row * towards_r, row * towards_z)
    return PulledTerms((*shared, row * towards_n), (*shared, row * within_n), (row * z,))


def _gru_push(terms: Terms, u_x: Gates | None, u_h: Gates, state: Gates) -> Gates:
    z, towards_r, towards_z, towards_n, within_n = terms
    u = _sum(u_x, u_h)
    h = state[0] * z + u[0] * towards_r + u[1] * towards_z + u_h[2] * within_n
    return (h if u_x is None else h + u_x[2] * towards_n,)


# ---------------------------------------------------------------------------- lstm


def _lstm_advance(u_x: Numbers, u_h: Numbers, state: Parts, f: Activation) -> Advanced:
    """c = f c_{t−1} + i g,  h = o tanh(c), with i, f, o = σ(u), g = tanh(u), u = u_x + u_h."""
    a = u_x + u_h
    i, forget, g, o = split(a, 4)
    c = sigmoid(forget) * state[1] + sigmoid(i) * f.f(g)
    return Advanced(a, None, (sigmoid(o) * f.f(c), c))


def _lstm_terms(trace: LayerTrace, f: Activation, kind: Arithmetic) -> Terms:
    """∂c/∂c_{t−1} = f, ∂h/∂c = o (1 − tanh²c); the gates' i' g, f' c_{t−1}, i g' towards c and
    o' tanh(c) towards h (``core.stages`` counts on this order)."""
    i, forget, g, o = split(trace.a, 4)
    assert trace.c is not None
    gate, kept = ACTIVATIONS["sigmoid"], kind.sigmoid(forget)
    input_gate, new = kind.sigmoid(i), kind.of(f.f(g))
    c, squashed = kind.memory(f, trace.c, kept, input_gate * new)
    return (
        kept,
        kind.sigmoid(o) * kind.slope(f, trace.c[1:]),
        kind.slope(gate, i) * new,
        kind.slope(gate, forget) * c[:-1],
        input_gate * kind.slope(f, g),
        kind.slope(gate, o) * squashed[1:],
    )


def _lstm_pull(terms: Terms, rows: Gates) -> PulledTerms:
    (row_h, row_c), (forget, h_of_c, i, f, g, o) = rows, terms
    at_c = row_c + row_h * h_of_c
    at = (at_c * i, at_c * f, at_c * g, row_h * o)
    return PulledTerms(at, at, (None, at_c * forget))


def _lstm_push(terms: Terms, u_x: Gates | None, u_h: Gates, state: Gates) -> Gates:
    forget, h_of_c, i, f, g, o = terms
    u = _sum(u_x, u_h)
    c = state[1] * forget + u[0] * i + u[1] * f + u[2] * g
    return c * h_of_c + u[3] * o, c


# ---------------------------------------------------------------------------- the table


def _sizes(gates: int) -> dict[str, Shape]:
    rows = f"{gates}H" if gates > 1 else "H"
    return {"W_xh": (rows, "I"), "W_hh": (rows, "H")}


_RECORDS = (
    # Elman, Finding structure in time, Cognitive Science 14 (1990)
    Cell(
        "rnn", ("h",), ("h",), _sizes(1), {"b_h": ("H",)}, {"b_h": "x"},
        _rnn_advance, _rnn_terms, _rnn_pull, _rnn_push,
        ("h_t = σ(a_t)", "a_t = W_xh x_t + W_hh h_{t−1} + b_h"),
    ),
    # Cho et al., EMNLP (2014), with the reset gate behind the matrix product, as in cuDNN, PyTorch
    Cell(
        "gru", ("r", "z", "n"), ("h",), _sizes(3), {"b_xh": ("3H",), "b_hh": ("3H",)},
        {"b_xh": "x", "b_hh": "h"}, _gru_advance, _gru_terms, _gru_pull, _gru_push,
        (
            "r_t = σ(W_xr x_t + b_xr + W_hr h_{t−1} + b_hr)",
            "z_t = σ(W_xz x_t + b_xz + W_hz h_{t−1} + b_hz)",
            "n_t = tanh(W_xn x_t + b_xn + r_t ∘ q_t),  q_t = W_hn h_{t−1} + b_hn",
            "h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t−1}",
        ),
        "tanh",
    ),
    # Hochreiter, Schmidhuber, Neural Computation 9 (1997); the forget gate: Gers et al. (2000)
    Cell(
        "lstm", ("i", "f", "g", "o"), ("h", "c"), _sizes(4), {"b_h": ("4H",)}, {"b_h": "x"},
        _lstm_advance, _lstm_terms, _lstm_pull, _lstm_push,
        (
            "i_t, f_t, o_t = σ(a_t)",
            "g_t = tanh(a_t)",
            "a_t = W_xh x_t + W_hh h_{t−1} + b_h, gate by gate",
            "c_t = f_t ∘ c_{t−1} + i_t ∘ g_t",
            "h_t = o_t ∘ tanh(c_t)",
        ),
        "tanh",
    ),
)  # fmt: skip

CELLS: Mapping[str, Cell] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a cell."""

READOUT: Mapping[str, Shape] = MappingProxyType({"W_hy": ("O", "H"), "b_y": ("O",)})
"""The parameters of y_t = g(W_hy h_t + b_y); without ``W_hy`` the read-out is y_t = g(h_t)."""


def multiple(letter: str) -> tuple[int, str]:
    """``3H`` -> (3, "H"); a letter alone counts once."""
    digits = len(letter) - len(letter.lstrip("0123456789"))
    return int(letter[:digits] or 1), letter[digits:]


def lengths(shape: Sequence[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers behind a shape by letter."""
    return tuple(times * sizes[letter] for times, letter in map(multiple, shape))


def stacked(cell: Cell, count: int) -> dict[str, Shape]:
    """The parameters of ``count`` layers, W_xh.0, W_hh.0 … lowest first; of one layer W_xh, W_hh ….

    Layer l of a stack has ``H.l`` units, and its inputs are those of the layer below.
    """
    if count == 1:
        return dict(cell.parameters)
    return {
        f"{name}.{at}": tuple(_of_layer(letter, at) for letter in shape)
        for at in range(count)
        for name, shape in cell.parameters.items()
    }


def _of_layer(letter: str, at: int) -> str:
    if letter == "I":
        return f"H.{at - 1}" if at else "I"
    return f"{letter}.{at}"
