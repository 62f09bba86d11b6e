"""How a derivative is had without back-propagation: one record a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.references import finite_differences
from rnngrad.analyses.checking.references.finite_differences import Estimate
from rnngrad.analyses.checking.references.perturbed_forward import Perturbations, Setting, moved
from rnngrad.analyses.checking.references.step_derivatives import complex_step
from rnngrad.analyses.checking.references.tangent import tangent
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.errors import UsageError, did_you_mean

Local = Callable[[complex], Numbers]


class Answer(NamedTuple):
    """∂L_t/∂ε of each perturbation, (B, T), with its error as plain floats."""

    value: Scaled
    error: Array


class Method(NamedTuple):
    """``local(φ)`` is φ'(0) of an array-valued φ, ``losses`` that of every L_t.

    ``by_direction``: only directions are worth asking for. ``finite``: it takes finite steps, which
    may cross a kink. ``remainder``: the rate of the remainder is to be told. ``words`` say what it
    does, ``source`` where it comes from.
    """

    name: str
    title: str
    local: Callable[[Local], Estimate]
    losses: Callable[[Setting, Perturbations], Answer]
    words: str
    source: str
    by_direction: bool = False
    finite: bool = False
    remainder: bool = False


def _exactly(function: Local) -> Estimate:
    value = complex_step(function)
    return Estimate(value, np.zeros_like(value))


def _tangent(setting: Setting, seeds: Perturbations) -> Answer:
    value = tangent(setting, seeds)
    return Answer(value, np.zeros_like(value.mantissa))


def _real(function: Local) -> finite_differences.Function:
    return lambda size: np.asarray(np.real(function(size)))


Estimator = Callable[[finite_differences.Function, Array], Estimate]


def _losses_by(estimator: Estimator) -> Callable[[Setting, Perturbations], Answer]:
    def losses(setting: Setting, seeds: Perturbations) -> Answer:
        def function(size: float) -> Array:
            return moved(setting, seeds, size)

        found = estimator(function, finite_differences.roughness(function))
        return Answer(scaled(found.value), found.error)

    return losses


def _local_by(estimator: Estimator) -> Callable[[Local], Estimate]:
    def local(function: Local) -> Estimate:
        real = _real(function)
        return estimator(real, finite_differences.rounding(real))

    return local


_RECORDS = (
    Method("complex-step", "complex step", _exactly, _tangent,
           "Im f(u + ih)/h with h = 2^-100: no difference of near equals, exact to rounding",
           "Squire and Trapp, SIAM Review 40 (1998)"),
    Method("differences", "central differences", _local_by(finite_differences.central),
           _losses_by(finite_differences.central),
           "(f(u + h) − f(u − h))/2h, extrapolated to h = 0, with an error estimate",
           "Ridders, Adv. Eng. Software 4 (1982)", finite=True),
    Method("taylor", "Taylor remainder", _local_by(finite_differences.one_sided),
           _losses_by(finite_differences.one_sided),
           "f(u + hd) − f(u) − h⟨g, d⟩ must fall as h²; the rate is measured",
           "Farrell, Ham, Funke, Rognes, SIAM J. Sci. Comput. 35 (2013)",
           by_direction=True, finite=True, remainder=True),
    Method("adjoint", "adjoint test", _exactly, _tangent,
           "⟨v, Jᵀu⟩ = ⟨Jv, u⟩, with Jv by a tangent pass of its own",
           "Griewank and Walther, Evaluating Derivatives (2008), chapter 3",
           by_direction=True),
)  # fmt: skip

METHODS: Mapping[str, Method] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a method; ``auto`` is complex step."""

AUTO = "auto"


def method_named(name: str) -> Method:
    """The method; UsageError where there is none of that name."""
    if name == AUTO:
        return METHODS["complex-step"]
    if name in METHODS:
        return METHODS[name]
    hint = did_you_mean(name, (AUTO, *METHODS))
    raise UsageError(f"no method is called '{name}'; they are {AUTO}, {', '.join(METHODS)}{hint}")
