"""The quantities of a derivation: one record each, computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from math import prod
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.cells import CELLS
from rnngrad.chains import jacobians
from rnngrad.chains.path_norms import scaled_direct
from rnngrad.errors import QuantityError, did_you_mean
from rnngrad.net.backward import bptt
from rnngrad.net.cells import READOUT, Cell, stacked
from rnngrad.net.dense import DenseGradients, pulled_back
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace
from rnngrad.progress import announce


class Passes:
    """The forward and the backward pass of one problem, each run once, when first needed."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @cached_property
    def forward(self) -> ForwardTrace:
        announce(0.0, "forward pass")
        return forward(self.problem)

    @cached_property
    def backward(self) -> BackwardTrace:
        trace = self.forward
        announce(0.0, "backward pass")
        return bptt(self.problem, trace)

    @cached_property
    def chain(self) -> Array:
        """log10 ‖∂s_T/∂s_k‖, (T+1,)."""
        return jacobians.log10_chain(self.problem, self.forward)

    @cached_property
    def chain_end(self) -> float:
        """Entry 0 of the chain; by itself where that takes less and the others are not there."""
        end = None
        if "chain" not in vars(self):
            end = jacobians.log10_end(self.problem, self.forward)
        return float(self.chain[0]) if end is None else end

    def at_step(self, t: int) -> Passes:
        """The layers at step t alone, for what needs no other step; no backward pass."""
        one, whole = Passes(self.problem), self.forward
        one.forward = whole._replace(layers=tuple(layer.at_step(t) for layer in whole.layers))
        return one

    @cached_property
    def direct(self) -> Scaled:
        """∂L_t/∂h_t of the top layer beyond the range of floats, (T, H)."""
        with quietly():
            return scaled_direct(self.problem, self.forward, self.backward)


class Quantity(NamedTuple):
    """One array: its name, its shape by letter, what it is on paper, and how it is had.

    ``first_step`` is the step of row 0, or None where there is no step axis. ``needs_loss``: it
    exists only with targets. ``of_rnn``: only for one layer of rnn. ``parameter`` is the weight
    it belongs to, ``part`` the part of the state, if any. ``fixed`` is the shape where the letters
    of ``dims`` do not say it; ``axis`` what tables call the first axis where it is not t or i,
    ``columns`` the entries of the last one where they have names.
    """

    name: str
    dims: tuple[str, ...]
    symbol: str
    compute: Callable[[Passes], Array]
    first_step: int | None = 1
    needs_loss: bool = False
    parameter: str | None = None
    of_rnn: bool = False
    part: str | None = None
    fixed: tuple[int, ...] | None = None
    axis: str = ""
    columns: tuple[str, ...] = ()

    def shape(self, problem: Problem) -> tuple[int, ...]:
        """The shape for this problem, without computing anything."""
        if self.fixed is not None:
            return self.fixed
        if self.parameter is not None:
            return problem.weights[self.parameter].shape
        if self.name == "dL_dx" and problem.dense is not None:
            return problem.steps, problem.dense.x.shape[1]
        sizes = {
            "T": problem.steps,
            "T+1": problem.steps + 1,
            "I": problem.inputs,
            "H": problem.hidden,
            "O": problem.outputs,
            "S": problem.state_size,
        }
        if self.part is not None:
            size = problem.layers[-1].parts[problem.cell.parts.index(self.part)].stop
            return (size,) if self.first_step is None else (problem.steps + 1, size)
        return tuple(sizes[letter] for letter in self.dims)

    def size(self, problem: Problem) -> int:
        """How many numbers it has."""
        return prod(self.shape(problem))


def _immediate_W_xh(passes: Passes) -> Array:
    """∂⁺h_t[i]/∂W_xh[i, k] = σ'(a_t)[i] · x_t[k], h_{t−1} held fixed."""
    immediate: Array = _slopes(passes)[:, :, np.newaxis] * passes.problem.x[:, np.newaxis, :]
    return immediate


def _immediate_W_hh(passes: Passes) -> Array:
    """∂⁺h_t[i]/∂W_hh[i, k] = σ'(a_t)[i] · h_{t−1}[k], h_{t−1} held fixed."""
    immediate: Array = _slopes(passes)[:, :, np.newaxis] * passes.forward.h[:-1, np.newaxis, :]
    return immediate


def _slopes(passes: Passes) -> Array:
    return passes.problem.activation.slope(passes.forward.a)


def of_parameter(name: str, dims: tuple[str, ...]) -> Quantity:
    """∂L/∂W of one parameter; in a stack its name ends in the layer's number."""
    return Quantity(
        f"dL_d{name}",
        dims,
        f"∂L/∂{name}",
        lambda passes: passes.backward.weights[name],
        first_step=None,
        needs_loss=True,
        parameter=name,
    )


def of_part(part: str) -> tuple[Quantity, Quantity]:
    """A part of the state of all layers, (T+1, ·), and ∂L/∂ of it."""

    def states(passes: Passes) -> Array:
        return passes.forward.part(part)

    return (
        Quantity(part, ("T+1", "H"), f"{part}_t", states, 0, part=part),
        Quantity(f"dL_d{part}", ("T+1", "H"), f"∂L/∂{part}_t",
                 lambda passes: passes.backward.dL_ds[part], 0, needs_loss=True, part=part),
    )  # fmt: skip


def of_start(part: str) -> Quantity:
    """∂L/∂h_0 by itself, of any part of the state."""
    return Quantity(
        f"dL_d{part}_0", ("H",), f"∂L/∂{part}_0", lambda passes: passes.backward.dL_ds[part][0],
        None, needs_loss=True, part=part,
    )  # fmt: skip


@lru_cache(maxsize=64)
def of_parts(cell: Cell) -> tuple[list[Quantity], list[Quantity]]:
    """The parts of the state and ∂L/∂ of each; of lstm h alone. A part called y gives way to the
    net's own y and ∂L/∂y."""
    taken = {record.name for record in _BEFORE}
    states, gradients = zip(*map(of_part, cell.parts), strict=True)
    shown = states[: 1 if cell.gates else None]
    return [r for r in shown if r.name not in taken], [r for r in gradients if r.name not in taken]


def _with_parts(cell: Cell) -> tuple[Quantity, ...]:
    """What comes before the parameters."""
    states, gradients = of_parts(cell)
    return (*states, *_BEFORE[:5], *gradients, *_BEFORE[5:])


def of_dense(problem: Problem) -> Iterator[Quantity]:
    """∂L/∂W_in and ∂L/∂b_in of a dense layer before the recurrent one."""
    if problem.dense is None:
        return
    (rows, columns), steps = problem.dense.W.shape, None
    yield Quantity(
        "dL_dW_in", ("D", "I"), "∂L/∂W_in", lambda p: _behind(p).W_in, steps, needs_loss=True,
        fixed=(rows, columns),
    )  # fmt: skip
    yield Quantity(
        "dL_db_in", ("D",), "∂L/∂b_in", lambda p: _behind(p).b_in, steps, needs_loss=True,
        fixed=(rows,),
    )  # fmt: skip


def dL_dx_of(passes: Passes) -> Array:
    """∂L/∂x_t of the inputs as they were given, in front of a dense layer if there is one."""
    return passes.backward.dL_dx if passes.problem.dense is None else _behind(passes).x


def _behind(passes: Passes) -> DenseGradients:
    assert passes.problem.dense is not None
    return pulled_back(passes.problem.dense, passes.backward.dL_dx)


_BEFORE = (
    Quantity("y", ("T", "O"), "y_t", lambda p: p.forward.y),
    Quantity("losses", ("T",), "L_t", lambda p: p.forward.losses, needs_loss=True),
    Quantity("dL_dy", ("T", "O"), "∂L/∂y_t", lambda p: p.backward.dL_dy, needs_loss=True),
    Quantity("dLt_dht", ("T", "H"), "∂L_t/∂h_t", lambda p: p.backward.dLt_dht, needs_loss=True),
    Quantity("dht_dhprev", ("T", "S", "S"), "∂h_t/∂h_{t−1}",
             lambda p: jacobians.one_step_jacobians(p.problem, p.forward)),
    Quantity("dht_dW_xh", ("T", "H", "I"), "∂⁺h_t/∂W_xh", _immediate_W_xh, of_rnn=True),
    Quantity("dht_dW_hh", ("T", "H", "H"), "∂⁺h_t/∂W_hh", _immediate_W_hh, of_rnn=True),
    Quantity("dht_db_h", ("T", "H"), "∂⁺h_t/∂b_h", _slopes, of_rnn=True),
)  # fmt: skip
_AFTER = (
    Quantity("dL_dx", ("T", "I"), "∂L/∂x_t", dL_dx_of, needs_loss=True),
    Quantity("log10_chain", ("T+1",), "log10 ‖∂h_T/∂h_k‖",
             lambda p: p.chain.copy(), first_step=0, axis="k"),
    Quantity("log10_paths", ("T", "T+1"), "log10 ‖∂L_t/∂h_k‖",
             lambda p: jacobians.log10_paths(p.problem, p.forward, p.direct),
             needs_loss=True),
)  # fmt: skip
_OF_STATE = frozenset({"dht_dhprev", "log10_chain", "log10_paths"})
"""What is about s_t, which is h_t for one layer of rnn or gru."""


def _of_a_layer(cell: Cell) -> dict[str, Quantity]:
    """The quantities of one layer with a read-out, in the order in which they are shown."""
    shapes = {**cell.parameters, **READOUT}
    mine = (of_parameter(name, shape) for name, shape in shapes.items())
    return {record.name: record for record in (*_with_parts(cell), *mine, *_AFTER)}


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {**_of_a_layer(CELLS["lstm"]), **_of_a_layer(CELLS["gru"]), **_of_a_layer(CELLS["rnn"])}
)
"""name -> record of whatever exists for one layer of rnn, gru or lstm; ``records`` has those of one
net, of any cell. The one place to add a quantity is ``_BEFORE`` or ``_AFTER`` above."""


def known(name: str, problem: Problem | None = None) -> Quantity | None:
    """The record of a name, that of a stack's parameter without its layer; None for no quantity.
    ``problem`` knows the names of its own cell."""
    mine = {} if problem is None else records(problem)
    return mine.get(name) or QUANTITIES.get(name.partition(".")[0])


def records(problem: Problem) -> dict[str, Quantity]:
    """The quantities that exist for a problem, by name, in the order in which they are shown."""
    shapes = {**stacked(problem.cell, problem.depth), **(READOUT if problem.has_readout else {})}
    mine = (of_parameter(name, shape) for name, shape in shapes.items())
    every = (*_with_parts(problem.cell), *mine, *of_dense(problem), *_AFTER)
    return {r.name: _named(r, problem) for r in every if _reason_against(r, problem) is None}


def _named(record: Quantity, problem: Problem) -> Quantity:
    """With s for h where the state is more than one h, and the first part by its own name."""
    first = problem.cell.parts[0]
    if record.name == "dLt_dht":
        return record._replace(symbol=f"∂L_t/∂{first}_t")
    if record.name not in _OF_STATE:
        return record
    one, whole = problem.depth == 1 and len(problem.cell.parts) == 1, "s"
    if "s" in problem.cell.equations.sizes:
        whole = "S"
    return record._replace(symbol=record.symbol.replace("∂h", f"∂{first if one else whole}"))


def _reason_against(record: Quantity, problem: Problem) -> str | None:
    """Why a quantity does not exist for this problem, or None."""
    if record.needs_loss and problem.loss is None:
        return f"'{problem.name}' has no targets, so there is no loss"
    if record.name == "losses" and problem.upstream:
        return f"'{problem.name}' has upstream in place of targets, so no L_t is known"
    if record.part is not None and record.part not in problem.cell.parts:
        return f"'{problem.name}' is a net of {problem.cell.name}, {_without(record, problem)}"
    if record.of_rnn and not problem.single_rnn:
        return f"it is for one layer of rnn, and '{problem.name}' is {_described(problem)}"
    if record.parameter is not None and f"{record.parameter}.0" in problem.weights:
        last = problem.depth - 1
        return f"'{problem.name}' has one a layer: {record.name}.0 to {record.name}.{last}"
    if record.parameter is not None and record.parameter not in problem.weights:
        return f"'{problem.name}' has no {record.parameter}"
    return None


def _without(record: Quantity, problem: Problem) -> str:
    """What is said of a part that the state does not have."""
    parts = problem.cell.parts
    if len(parts) == 1 and parts != ("h",):
        return f"whose state is {parts[0]}: {record.name.replace(record.part or '', parts[0])}"
    return f"which has no {record.part}"


def _described(problem: Problem) -> str:
    layers = f" of {problem.depth} layers" if problem.depth > 1 else ""
    return f"{problem.cell.name}{layers}"


OF_ALL_PATHS = ("log10_paths", "horizon", "lag_profile")
"""These need ‖∂L_t/∂s_k‖ of every t and k."""

INSTEAD = MappingProxyType({
    "dht_dhprev": "name log10_step_norms, a number a step",
    **dict.fromkeys(OF_ALL_PATHS, "name log10_chain, a number a step, or dL_dh, a row a step"),
})  # fmt: skip
"""What is smaller and says something of the same."""


def _too_large(record: Quantity, problem: Problem) -> str:
    """For want of memory: how much it is, and what to name in its place."""
    whole = QUANTITIES["log10_paths"] if record.name in OF_ALL_PATHS else record
    count, sides = whole.size(problem), " × ".join(f"{side:,}" for side in whole.shape(problem))
    by = "" if whole.name == record.name else f", which takes '{whole.name}'"
    other = INSTEAD.get(record.name)
    hint = f"; {other}, or take a shorter sequence" if other else ""
    return (
        f"there is not enough memory for '{record.name}'{by}: {sides} = {count:,} numbers, "
        f"{8 * count / 2**30:,.3g} GiB{hint}"
    )


class Quantities(Mapping[str, Array]):
    """Every quantity of one problem, by name; computed at each look-up, after passes run once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.passes = Passes(problem)

    def __getitem__(self, name: str) -> Array:
        record = self.record(name)
        try:
            with quietly():
                return record.compute(self.passes)
        except MemoryError:
            raise QuantityError(_too_large(record, self.problem)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.records or (
            name in self.on_request
            and _reason_against(self.on_request[str(name)], self.problem) is None
        )

    @cached_property
    def records(self) -> Mapping[str, Quantity]:
        """The records of the quantities that exist for this problem."""
        return records(self.problem)

    @property
    def on_request(self) -> Mapping[str, Quantity]:
        """The records of what has a name but is in no list, also of what needs a loss."""
        return {}

    def names(self) -> tuple[str, ...]:
        """The quantities that exist for this problem."""
        return tuple(self.records)

    def record(self, name: str) -> Quantity:
        """The record behind a name; QuantityError where there is none, or not for this net."""
        if name in self.records:
            return self.records[name]
        other = {**QUANTITIES, **_of_a_layer(self.problem.cell), **self.on_request}
        if name in other:
            why = _reason_against(other[name], self.problem)
            if why is None:
                return other[name]
            raise QuantityError(f"'{name}' does not exist here: {why}")
        more = f"; on request {', '.join(self.on_request)}" if self.on_request else ""
        weight = name.removeprefix("dL_d")
        rows = self.problem.cell.whole(weight)
        hint = (
            (f"; {weight} is rows of {rows}: 'dL_d{rows}'" if rows else "")
            or did_you_mean(name, {**other, **self.records})
            or f"; they are {', '.join(self.records)}{more}"
        )
        raise QuantityError(f"no quantity is called '{name}'{hint}")
