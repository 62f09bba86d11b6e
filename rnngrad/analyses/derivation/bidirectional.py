"""The quantities of a net of bidirectional layers: those of the whole, and those of each half.

A half's arrays have ``_reverse`` behind their names where it is the reverse one, and stand in the
time of the sequence: row j of ``h`` is h→_j, row j of ``h_reverse`` is h←_{j+1}, its last one where
that half begins. What is of one chain has the layer's number behind it in a stack, as parameters
have; states of all layers stand side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np

from rnngrad.analyses.derivation.quantities import (
    Passes,
    Quantity,
    dL_dx_of,
    of_dense,
    of_parameter,
)
from rnngrad.arithmetic.arrays import Array
from rnngrad.net import bidirectional
from rnngrad.net.bidirectional import in_time
from rnngrad.net.cells import READOUT
from rnngrad.net.problem import REVERSE, Half, Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace

CHAIN = "log10_chain"


class BidirectionalPasses(Passes):
    """The passes of the whole and of every half, in the order of ``halves_of``."""

    def __init__(self, net: Problem, run: bidirectional.Passes | None = None) -> None:
        super().__init__(net)
        self._run = run

    @cached_property
    def run(self) -> bidirectional.Passes:
        """All of them."""
        return bidirectional.passes(self.problem) if self._run is None else self._run

    @cached_property
    def forward(self) -> ForwardTrace:
        return self.run.forward

    @cached_property
    def backward(self) -> BackwardTrace:
        found = self.run.backward
        assert found is not None
        return found

    @cached_property
    def halves(self) -> tuple[Passes, ...]:
        """Those of each half, as a net of its own."""
        return tuple(map(_passes, self.run.halves))


def _passes(run: bidirectional.Passed) -> Passes:
    found = Passes(run.problem)
    found.forward = run.forward
    if run.backward is not None:
        found.backward = run.backward
    return found


def records(net: Problem) -> dict[str, Quantity]:
    """The quantities that exist for a bidirectional net, in the order in which they are shown."""
    T, loss = net.steps, net.loss is not None
    inputs = net.inputs if net.dense is None else net.dense.x.shape[1]
    seen = 2 * net.layers[-1].hidden
    outputs = net.weights["b_y"].shape[0] if net.has_readout else seen
    ways = ("", REVERSE)
    found = [_states(net, part, way, False) for way in ways for part in net.cell.parts]
    found = found if not net.cell.gates else [r for r in found if r.part == net.cell.parts[0]]
    found.append(_fixed("y", "y_t", lambda p: p.forward.y, (T, outputs), "O"))
    if loss and not net.upstream:
        found.append(_fixed("losses", "L_t", lambda p: p.forward.losses, (T,)))
    if loss:
        found += [
            _fixed("dL_dy", "∂L/∂y_t", lambda p: p.backward.dL_dy, (T, outputs), "O"),
            _fixed("dLt_dht", "∂L_t/∂[h_t; h_reverse_t]",
                   lambda p: p.backward.dLt_dht, (T, seen), "2H"),
            *(_states(net, part, way, True) for way in ways for part in net.cell.parts),
            *(of_parameter(name, dims) for name, dims in _shapes(net).items()),
            *of_dense(net),
            _fixed("dL_dx", "∂L/∂x_t", dL_dx_of, (T, inputs), "I"),
        ]  # fmt: skip
    found += [_chain(at, half) for at, half in enumerate(bidirectional.halves_of(net))]
    return {record.name: record for record in found}


def starts(net: Problem) -> dict[str, Quantity]:
    """∂L/∂h_0 and ∂L/∂h_0_reverse by themselves, all layers, of every part of the state."""
    found = {}
    for way in ("", REVERSE):
        for part in net.cell.parts:
            record = _states(net, part, way, True)
            row = -1 if way else 0
            found[f"dL_d{part}_0{way}"] = record._replace(
                name=f"dL_d{part}_0{way}", symbol=f"∂L/∂{part}_0{way}", dims=("H",),
                first_step=None,
                fixed=(record.fixed or (0, 0))[1:],
                compute=partial(_row, record.compute, row),
            )  # fmt: skip
    return found


def _row(of: Callable[[Passes], Array], row: int, passes: Passes) -> Array:
    return np.asarray(of(passes)[row])


Compute = Callable[[Passes], Array]


def _fixed(
    name: str, symbol: str, compute: Compute, shape: tuple[int, ...], *width: str
) -> Quantity:
    return Quantity(name, ("T", *width), symbol, compute, 1, fixed=shape)


def _shapes(net: Problem) -> dict[str, tuple[str, ...]]:
    """The letters of every parameter; layers above read two times their H."""
    found = {}
    for name in net.weights:
        own, _, layer = name.partition(".")
        letters = {**net.cell.parameters, **READOUT}[own.removesuffix(REVERSE)]
        wide = {"I": "2H"} if layer not in ("", "0") else {"H": "2H"} if own == "W_hy" else {}
        found[name] = tuple(wide.get(letter, letter) for letter in letters)
    return found


def _states(net: Problem, part: str, way: str, gradient: bool) -> Quantity:
    """A part of the state of all layers of one direction, (T+1, ·), or ∂L/∂ of it."""
    size = net.layers[-1].parts[net.cell.parts.index(part)].stop

    def compute(passes: Passes) -> Array:
        assert isinstance(passes, BidirectionalPasses)
        return bidirectional.states_of(passes.run.halves, part, way, gradient)

    name, symbol = (f"dL_d{part}", f"∂L/∂{part}") if gradient else (part, part)
    return Quantity(
        name + way, ("T+1", "H"), f"{symbol}{way}_t", compute, 1 if way else 0, part=part,
        fixed=(net.steps + 1, size),
    )  # fmt: skip


def _chain(at: int, half: Half) -> Quantity:
    """log10 ‖∂s_T/∂s_k‖ of a half; of a reverse one ‖∂s_1/∂s_k‖, k from 1 to T + 1."""
    last = 1 if half.reverse else half.whole.steps

    def compute(passes: Passes) -> Array:
        assert isinstance(passes, BidirectionalPasses)
        return in_time(half, passes.halves[at].chain).copy()

    first = "h" if len(half.whole.cell.parts) == 1 else "s"
    symbol = f"log10 ‖∂{first}{half.suffix}_{last}/∂{first}{half.suffix}_k‖"
    return Quantity(
        CHAIN + half.suffix, ("T+1",), symbol, compute, 1 if half.reverse else 0,
        fixed=(half.whole.steps + 1,), axis="k",
    )  # fmt: skip
