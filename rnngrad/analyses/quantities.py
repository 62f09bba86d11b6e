"""The quantities of a derivation: one record each, computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.core import jacobians
from rnngrad.core.arrays import Array, quietly
from rnngrad.core.backward import bptt
from rnngrad.core.direct import scaled_direct
from rnngrad.core.forward import forward
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled
from rnngrad.core.traces import BackwardTrace, ForwardTrace
from rnngrad.errors import QuantityError, did_you_mean


class Passes:
    """The forward and the backward pass of one problem, each run once, when first needed."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @cached_property
    def forward(self) -> ForwardTrace:
        return forward(self.problem)

    @cached_property
    def backward(self) -> BackwardTrace:
        return bptt(self.problem, self.forward)

    @cached_property
    def direct(self) -> Scaled:
        """∂L_t/∂h_t beyond the range of floats, (T, H)."""
        with quietly():
            return scaled_direct(self.problem, self.forward, self.backward)


class Quantity(NamedTuple):
    """One array: its name, its shape by letter, what it is on paper, and how it is had.

    ``first_step`` is the step of row 0, or None where there is no step axis. ``needs_loss``: it
    exists only with targets. ``parameter`` is the weight it belongs to, if that may be absent.
    """

    name: str
    dims: tuple[str, ...]
    symbol: str
    compute: Callable[[Passes], Array]
    first_step: int | None = 1
    needs_loss: bool = False
    parameter: str | None = None

    def shape(self, problem: Problem) -> tuple[int, ...]:
        """The shape for this problem, without computing anything."""
        sizes = {
            "T": problem.steps,
            "T+1": problem.steps + 1,
            "I": problem.inputs,
            "H": problem.hidden,
            "O": problem.outputs,
            "S": problem.state_size,
        }
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


def _of_parameter(name: str, dims: tuple[str, ...]) -> Quantity:
    return Quantity(
        f"dL_d{name}",
        dims,
        f"∂L/∂{name}",
        lambda passes: passes.backward.weights[name],
        first_step=None,
        needs_loss=True,
        parameter=name,
    )


_RECORDS = (
    Quantity("h", ("T+1", "H"), "h_t", lambda p: p.forward.h, first_step=0),
    Quantity("y", ("T", "O"), "y_t", lambda p: p.forward.y),
    Quantity("losses", ("T",), "L_t", lambda p: p.forward.losses, needs_loss=True),
    Quantity("dL_dy", ("T", "O"), "∂L/∂y_t", lambda p: p.backward.dL_dy, needs_loss=True),
    Quantity("dLt_dht", ("T", "H"), "∂L_t/∂h_t", lambda p: p.backward.dLt_dht, needs_loss=True),
    Quantity("dht_dhprev", ("T", "S", "S"), "∂h_t/∂h_{t−1}",
             lambda p: jacobians.one_step_jacobians(p.problem, p.forward)),
    Quantity("dL_dh", ("T+1", "H"), "∂L/∂h_t", lambda p: p.backward.dL_dh,
             first_step=0, needs_loss=True),
    Quantity("dht_dW_xh", ("T", "H", "I"), "∂⁺h_t/∂W_xh", _immediate_W_xh),
    Quantity("dht_dW_hh", ("T", "H", "H"), "∂⁺h_t/∂W_hh", _immediate_W_hh),
    Quantity("dht_db_h", ("T", "H"), "∂⁺h_t/∂b_h", _slopes),
    _of_parameter("W_xh", ("H", "I")),
    _of_parameter("W_hh", ("H", "H")),
    _of_parameter("b_h", ("H",)),
    _of_parameter("W_hy", ("O", "H")),
    _of_parameter("b_y", ("O",)),
    Quantity("dL_dx", ("T", "I"), "∂L/∂x_t", lambda p: p.backward.dL_dx, needs_loss=True),
    Quantity("log10_chain", ("T+1",), "log10 ‖∂h_T/∂h_k‖",
             lambda p: jacobians.log10_chain(p.problem, p.forward), first_step=0),
    Quantity("log10_paths", ("T", "T+1"), "log10 ‖∂L_t/∂h_k‖",
             lambda p: jacobians.log10_paths(p.problem, p.forward, p.direct),
             needs_loss=True),
)  # fmt: skip

QUANTITIES: Mapping[str, Quantity] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record, in the order in which they are shown: the one place to add a quantity."""


LATER = {"dL_dc": "lstm", "dL_db_xh": "gru", "dL_db_hh": "gru"}
"""Quantities of the contract that belong to cells which this version does not have."""


class Quantities(Mapping[str, Array]):
    """Every quantity of one problem, by name; computed at each look-up, after passes run once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.passes = Passes(problem)

    def __getitem__(self, name: str) -> Array:
        record = self.record(name)
        with quietly():
            return record.compute(self.passes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in QUANTITIES and self._reason_against(QUANTITIES[str(name)]) is None

    def names(self) -> tuple[str, ...]:
        """The quantities that exist for this problem."""
        return tuple(name for name in QUANTITIES if name in self)

    def record(self, name: str) -> Quantity:
        """The record behind a name; QuantityError where there is none, or not for this net."""
        if name in LATER:
            raise QuantityError(f"'{name}' belongs to {LATER[name]}, which is not supported yet")
        if name not in QUANTITIES:
            hint = did_you_mean(name, QUANTITIES) or f"; they are {', '.join(QUANTITIES)}"
            raise QuantityError(f"no quantity is called '{name}'{hint}")
        reason = self._reason_against(QUANTITIES[name])
        if reason:
            raise QuantityError(f"'{name}' does not exist here: {reason}")
        return QUANTITIES[name]

    def _reason_against(self, record: Quantity) -> str | None:
        if record.needs_loss and self.problem.loss is None:
            return f"'{self.problem.name}' has no targets, so there is no loss"
        if record.parameter is not None and record.parameter not in self.problem.weights:
            return f"'{self.problem.name}' has no {record.parameter}"
        return None
