"""Any cell and any stack of layers, forward, equation by equation, for any kind of number.

A net is the plain dict of ``oracles.plain`` with ``cell`` beside the rest; a stack's parameters are
``W_xh.0``, ``W_hh.0`` …, lowest first. ``h_0`` and ``c_0`` hold all layers. gru has ``b_xh`` and
``b_hh``, lstm and rnn have ``b_h``: the contract's equations, in PyTorch's row order.

The state s_t is one vector, [h¹, c¹, h², c², …], and the net one function: s_t = step(t, s_{t−1}).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from oracles import plain
from oracles.plain import COMPLEX, Maths, Net, Numbers


class Kind(NamedTuple):
    """The functions of one kind of vector; ``@``, ``+``, ``*`` and slices are its own."""

    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    activate: Callable[[str, Any], Any]
    join: Callable[[list[Any]], Any]


def kind_of(m: Maths) -> Kind:
    """Arrays of one kind of number."""
    return Kind(partial(plain.sigmoid, m=m), m.tanh, partial(plain.activate, m=m), np.concatenate)


class Place(NamedTuple):
    """A layer: how its parameters' names end, and where its h and c stand in s."""

    suffix: str
    h: slice
    c: slice


def layers(net: Net) -> list[Place]:
    """The layers, lowest first; ``c`` is empty but for lstm."""
    count = sum(name.startswith("W_hh.") for name in net)
    places, at = [], 0
    for suffix in [f".{layer}" for layer in range(count)] or [""]:
        hidden = net[f"W_hh{suffix}"].shape[1]
        memory = hidden if net["cell"] == "lstm" else 0
        places.append(
            Place(suffix, slice(at, at + hidden), slice(at + hidden, at + hidden + memory))
        )
        at += hidden + memory
    return places


def columns(net: Net, part: str) -> Numbers:
    """Where the h, or the c, of all layers stand in s."""
    slices = [getattr(place, part) for place in layers(net)]
    return np.concatenate([np.arange(s.start, s.stop) for s in slices])


def parameters(net: Net) -> list[str]:
    """The names of all weights and biases."""
    return [name for name in net if name[:2] in ("W_", "b_")]


def biases(net: Net, suffix: str) -> tuple[str, str]:
    """The bias beside W_xh x and the one beside W_hh h; the same but for gru."""
    return (f"b_xh{suffix}", f"b_hh{suffix}") if net["cell"] == "gru" else (f"b_h{suffix}",) * 2


def start(net: Net) -> Numbers:
    """s_0"""
    size = len(net["h_0"]) + len(net.get("c_0", ()))
    s = np.zeros(size, dtype=net["h_0"].dtype)
    s[columns(net, "h")] = net["h_0"]
    if "c_0" in net:
        s[columns(net, "c")] = net["c_0"]
    return s


def step(net: Net, t: int, s: Any, kind: Kind) -> Any:
    """s_t from s_{t−1}, t from 1."""
    below, parts = net["x"][t - 1], []
    for place in layers(net):
        found = CELLS[net["cell"]](net, place.suffix, below, s[place.h], s[place.c], kind)
        below = found[0]
        parts += found
    return kind.join(parts)


def _rnn(net: Net, at: str, x: Any, h: Any, c: Any, kind: Kind) -> list[Any]:
    a = net[f"W_xh{at}"] @ x + net[f"W_hh{at}"] @ h + net[f"b_h{at}"]
    return [kind.activate(net["activation"], a)]


def _gru(net: Net, at: str, x: Any, h: Any, c: Any, kind: Kind) -> list[Any]:
    from_x = net[f"W_xh{at}"] @ x + net[f"b_xh{at}"]
    from_h = net[f"W_hh{at}"] @ h + net[f"b_hh{at}"]
    H = net[f"W_hh{at}"].shape[1]
    r = kind.sigmoid(from_x[:H] + from_h[:H])
    a_z = from_x[H : 2 * H] + from_h[H : 2 * H]
    n = kind.tanh(from_x[2 * H :] + r * from_h[2 * H :])
    return [kind.sigmoid(-a_z) * n + kind.sigmoid(a_z) * h]  # 1 − z = σ(−a_z)


def _lstm(net: Net, at: str, x: Any, h: Any, c: Any, kind: Kind) -> list[Any]:
    a = net[f"W_xh{at}"] @ x + net[f"W_hh{at}"] @ h + net[f"b_h{at}"]
    H = net[f"W_hh{at}"].shape[1]
    i, f = kind.sigmoid(a[:H]), kind.sigmoid(a[H : 2 * H])
    g, o = kind.tanh(a[2 * H : 3 * H]), kind.sigmoid(a[3 * H :])
    c = f * c + i * g
    return [o * kind.tanh(c), c]


CELLS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


def top(net: Net, s: Numbers) -> Numbers:
    """The h that the read-out sees, of one state or of rows of states."""
    return s[..., layers(net)[-1].h]


def states(net: Net, m: Maths, k: int = 0, s_k: Numbers | None = None) -> list[Numbers]:
    """s_k, …, s_T from s_k on."""
    kind, s = kind_of(m), [start(net) if s_k is None else s_k]
    for t in range(k + 1, len(net["x"]) + 1):
        s.append(step(net, t, s[-1], kind))
    return s


def loss_per_step(net: Net, m: Maths, k: int = 0, s_k: Numbers | None = None) -> Numbers:
    """L_1 … L_T, (T,); with ``s_k`` given the net runs from there, and L_t is 0 for t < k."""
    losses = np.zeros(len(net["x"]), dtype=m.number)
    for t, s in enumerate(states(net, m, k, s_k), start=k):
        if t > 0:
            losses[t - 1] = plain.weighted_loss(net, t, top(net, s), m)
    return losses


def cast(net: Net, m: Maths, convert: Callable[[float], Any] = complex) -> Net:
    """The same net in another kind of number."""
    each = np.frompyfunc(convert, 1, 1)
    others = ("x", "h_0", "c_0", "targets", "rounding")
    names = [*parameters(net), *(name for name in others if name in net)]
    return net | {name: each(net[name]).astype(m.number) for name in names}


def real_states(net: Net) -> Numbers:
    """s_0 … s_T in float64, (T+1, S)."""
    with np.errstate(all="ignore"):
        return np.array(states(cast(net, COMPLEX), COMPLEX)).real
