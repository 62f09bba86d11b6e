"""The tangent pass: how a perturbation runs forward, line by line of the cell's equations.

    line's tangent = Σ W · (source's) + Σ ∂line/∂source ∘ (source's) + (what enters)
    L̇_t = ∂L_t/∂a_y · ȧ_y

Every diagonal, and ∂L_t/∂a_y, is a complex step of the net's own functions (Im f(u + ih)/h, h → 0),
so that an entry of a table that is wrong in both directions is seen as well; a matrix is its own
derivative. For the adjoint test ⟨v, Jᵀu⟩ = ⟨Jv, u⟩: Jv is this, Jᵀu is BPTT, and neither shares a
line with the other. Every entry keeps its own exponent, so it survives any number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.checking.references import perturbed_forward
from rnngrad.analyses.checking.references.equations import Product
from rnngrad.analyses.checking.references.perturbed_forward import (
    LayerSetting,
    Perturbations,
    Setting,
)
from rnngrad.analyses.checking.references.step_derivatives import NEAR
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import Entries
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.chains.float_rows import FloatRows
from rnngrad.chains.float_rows import raised as rows_raised
from rnngrad.progress import reported

TOGETHER = 2**21
"""Numbers of what a matrix adds that are had at once (16 MiB)."""

FAINT = -500
"""A column below 2^FAINT is brought near 1: what it meets may be as small again."""

State = list[list[Scaled]]
"""ṡ layer by layer, part by part, (n, ·) each."""


def tangent(setting: Setting, seeds: Perturbations) -> Scaled:
    """∂L_t/∂ε at ε = 0, (B, T)."""
    problem, W = setting.problem, setting.problem.weights
    result = scaled(np.zeros((len(seeds.start), problem.steps)))
    covectors = setting.output_slopes
    rows, state = _Floats(setting, seeds), in_parts(setting, scaled(np.zeros((0, 0))))
    for t in reported(range(1, problem.steps + 1), problem.steps, "tangents"):
        n = perturbed_forward.started(seeds, t)
        if n and rows.moves and rows.fit and not rows.through(t, n):
            state = in_parts(setting, rows.exact)
        if n and rows.moves and not rows.fit:
            before = [[part[:n] for part in parts] for parts in state]
            _replace(state, step(setting, t, before, seeds, rows.turned), n)
        n = perturbed_forward.started(seeds, t + 1)
        if not perturbed_forward.counts(problem, t):
            continue
        y_dot = rows.top(n) if rows.fit else state[-1][0][:n]
        if problem.has_readout:
            y_dot = multiplied(y_dot, W["W_hy"].T)
        if "W_hy" in seeds.weights or "b_y" in seeds.weights:
            h = setting.states[t, setting.top]
            y_dot = y_dot + scaled(perturbed_forward.entering_output(setting, seeds, n, h))
        values, exponent = y_dot.aligned(axis=1)
        answer = raised(scaled(values @ covectors[t - 1]), exponent)
        result.mantissa[:n, t - 1], result.exponent[:n, t - 1] = answer.mantissa, answer.exponent
    return result


class _Floats:
    """Tangents in plain floats with an exponent a row (``chains.float_rows``), as long as these do:
    that is while ``fit``. ``moves``: the state is moved at all, as it is not by the read-out."""

    def __init__(self, setting: Setting, seeds: Perturbations) -> None:
        self.setting, self.seeds, self.fit = setting, seeds, True
        self.turned = turned(setting, seeds)
        self.moves = not seeds.weights or not set(seeds.weights) <= {"W_hy", "b_y"}
        self.values = np.array(seeds.state) if self.moves else seeds.state
        self.exponents: Integers = np.zeros(len(seeds.start), dtype=np.int64)

    @property
    def exact(self) -> Scaled:
        """With an exponent for every entry."""
        return rows_raised(self.values, self.exponents)

    def through(self, t: int, n: int) -> bool:
        """The first n through step t; False, and they are as they were, where floats do not do."""
        setting, values = self.setting, self.values[:n]
        before = [[values[:, part] for part in one.layer.state] for one in setting.layers]
        after = step_in_floats(setting, t, before, self.seeds, self.exponents[:n], self.turned)
        if after is None:
            self.fit = False
            return False
        rows = np.concatenate([part for parts in after for part in parts], axis=1)
        some = rows.any(axis=1) | values.any(axis=1)  # the others are 0 still
        moved = FloatRows(values[some], self.exponents[:n][some]).moved(rows[some])
        self.fit = moved is not None
        if moved is not None:
            values[some], self.exponents[:n][some] = moved
        return self.fit

    def top(self, n: int) -> Scaled:
        """ḣ of the top layer, (n, H)."""
        return rows_raised(self.values[:n, self.setting.top], self.exponents[:n])


def in_parts(setting: Setting, rows: Scaled) -> State:
    """ṡ, (n, S), by layers and parts."""
    return [[rows[:, part] for part in one.layer.state] for one in setting.layers]


class _Kind(NamedTuple):
    """The numbers that a step runs in: what enters in these numbers; rows once ``ready`` ``times``
    a matrix; ∂line/∂source over all steps, None for 1; and nothing at all."""

    enter: Callable[[Array], Entries]
    ready: Callable[[Entries], Any]
    times: Callable[[Any, Array], Entries]
    factor: Callable[[LayerSetting, str, str, Scaled | None], Entries | None]
    nothing: Callable[[tuple[int, ...]], Entries]


class Turned:
    """How the parameters of one layer are moved, per unit of ε, (B, …), and what each matrix adds
    by that: for a block of steps at once, since what it meets is known beforehand."""

    def __init__(self, setting: Setting, seeds: Perturbations, layer: int) -> None:
        self.weights = perturbed_forward.turned(setting, seeds, layer, len(seeds.start))
        self.values = setting.layers[layer].linear.values
        self.blocks: dict[Product, tuple[int, Array]] = {}

    def added(self, product: Product, t: int, n: int) -> Array:
        """± W_n v_t of the first n, (n, ·)."""
        matrices, values = self.weights[product.parameter], self.values[product.source]
        matrices = matrices.swapaxes(1, 2) if product.transposed else matrices
        count, rows, columns = matrices.shape
        steps = max(1, TOGETHER // (count * rows))
        start = (t - 1) // steps * steps
        if product not in self.blocks or self.blocks[product][0] != start:
            found = values[start : start + steps] @ matrices.reshape(-1, columns).T
            found = -found if product.sign < 0 else found
            self.blocks[product] = start, found.reshape(-1, count, rows)
        return np.asarray(self.blocks[product][1][t - 1 - start, :n])


def turned(setting: Setting, seeds: Perturbations) -> list[Turned]:
    """Those of every layer; none where no parameter is moved."""
    if not seeds.weights:
        return []
    return [Turned(setting, seeds, number) for number in range(len(setting.layers))]


def step(
    setting: Setting, t: int, before: State, seeds: Perturbations | None = None,
    weights: Sequence[Turned] = (),
) -> State:  # fmt: skip
    """ṡ_{t−1} -> ṡ_t, with what enters there; ``weights`` as ``turned`` gives them."""
    return _stepped(setting, t, before, seeds, weights, _EXACT)


def step_in_floats(
    setting: Setting, t: int, before: list[list[Array]], seeds: Perturbations | None = None,
    exponents: Integers | int = 0, weights: Sequence[Turned] = (),
) -> list[list[Array]] | None:  # fmt: skip
    """The same in plain floats, times 2^−exponents; None where floats do not do: a factor of the
    step, or what enters, is far from 1, or a parameter meets rows that are."""
    if not all(one.linear.plain and one.linear.plain.fits[t - 1] for one in setting.layers):
        return None
    met, unit = bool(weights), np.ones((1, 1))
    if met and np.abs(exponents).max(initial=0) > NEAR:
        return None
    if met:
        unit = np.ldexp(1.0, -np.atleast_1d(exponents).astype(np.intc))[:, np.newaxis]
    entered: list[Array] = []

    def enter(values: Array) -> Array:
        entered.append(values)
        return values * unit if values.ndim == 2 else values

    after = _stepped(setting, t, before, seeds, weights, _FLOATS._replace(enter=enter))
    return after if all(map(_near_1, entered)) else None


def _stepped(
    setting: Setting, t: int, before: list[list[Any]], seeds: Perturbations | None,
    weights: Sequence[Turned], kind: _Kind,
) -> list[list[Any]]:  # fmt: skip
    n, parts = len(before[0][0]), setting.problem.cell.parts
    after: list[list[Any]] = []
    for number, (one, rows) in enumerate(zip(setting.layers, before, strict=True)):
        at = {f"{part}⁻": row for part, row in zip(parts, rows, strict=True)}
        if number:
            at[X] = after[-1][0]
        more: Mapping[str, Array] = {}
        if seeds is not None:
            more = perturbed_forward.entering(setting, seeds, t, number, n)
        at |= {key: kind.enter(more[key]) for key in (X,) if key in more}
        _through(one, t, at, more, weights[number] if weights else None, n, kind)
        after.append(
            [
                at[part] if part in at else kind.nothing(row.shape)
                for part, row in zip(parts, rows, strict=True)
            ]
        )
    return after


def _through(
    one: LayerSetting, t: int, at: dict[str, Entries],
    more: Mapping[str, Array], turned: Turned | None, n: int, kind: _Kind,
) -> None:  # fmt: skip
    """One step of one layer: the tangents ``at`` x_t and s_{t−1}, and then at every line."""
    own, linear = one.layer.own, one.linear
    weights = {} if turned is None else turned.weights
    at |= {name: kind.enter(values[:n]) for name, values in weights.items() if values.ndim < 3}
    ready: dict[str, Any] = {}
    for line in linear.lines:
        if line.key not in linear.pushed:
            continue
        terms: list[Entries] = []
        for product in line.products:
            if product.source in at:
                W = own[product.parameter] if product.transposed else own[product.parameter].T
                if product.source not in ready:
                    ready[product.source] = kind.ready(at[product.source])
                term = kind.times(ready[product.source], W)
                terms.append(-term if product.sign < 0 else term)
            if turned is not None and product.parameter in weights:
                terms.append(kind.enter(turned.added(product, t, n)))
        for source, exact in linear.pushed[line.key]:
            if source in at:
                factor = kind.factor(one, line.key, source, exact)
                now = None if factor is None else factor[min(t, len(factor)) - 1]
                terms.append(at[source] if now is None else at[source] * now)
        if line.key in more:
            terms.append(kind.enter(more[line.key]))
        if terms:
            at[line.key] = reduce(add, terms)


def _near_1(values: Array) -> bool:
    """Whether every entry is exactly 0 or within 2^±NEAR of 1."""
    exponents = np.frexp(values[values != 0])[1]
    return bool(np.isfinite(values).all() and np.abs(exponents).max(initial=0) < NEAR)


def _of_some(rows: tuple[Array, Array], W: Array) -> Array:
    """rows · W for the rows that are not 0: of unit vectors of all layers most are in one layer."""
    values, some = rows
    if some.all():
        return np.asarray(values @ W)
    found = np.zeros((len(values), W.shape[1]))
    found[some] = values[some] @ W
    return found


def _plain_factor(one: LayerSetting, line: str, source: str, exact: Scaled | None) -> Array | None:
    assert one.linear.plain is not None
    return None if exact is None else one.linear.plain.factors[line, source]


_EXACT = _Kind(
    scaled,
    lambda rows: rows.aligned(axis=1),
    lambda rows, W: _product(rows[0], rows[1], W),
    lambda one, line, source, exact: exact,
    lambda shape: scaled(np.zeros(shape)),
)
"""Every entry at its own exponent."""

_FLOATS = _Kind(
    lambda values: values, lambda rows: (rows, rows.any(axis=1)), _of_some, _plain_factor, np.zeros
)
"""Plain floats."""


def raised(entries: Scaled, by: Integers) -> Scaled:
    """entries · 2^by; an exact zero keeps its exponent."""
    exponent = np.where(entries.mantissa == 0, entries.exponent, entries.exponent + by)
    return Scaled(entries.mantissa, exponent)


def multiplied(rows: Scaled, matrix: Array) -> Scaled:
    """rows · matrix, (n, ·), each row at its own exponent."""
    values, exponent = rows.aligned(axis=1)
    return _product(values, exponent, matrix)


def _product(values: Array, exponent: Integers, matrix: Array) -> Scaled:
    """values · matrix · 2^exponent; columns of next to nothing are brought near 1 first, since
    denormal numbers have few digits, and none after a product."""
    power = np.frexp(np.abs(matrix).max(axis=0, initial=0.0))[1].astype(np.int64)
    power[power > FAINT] = 0
    if power.any():
        matrix = np.ldexp(matrix, -power)
    return raised(scaled(values @ matrix), exponent[:, np.newaxis] + power)


def _replace(state: State, now: State, n: int) -> None:
    """In place; where one part keeps what another was, as v_t = h_{t−1}, it is read first."""
    copies = [[(row.mantissa.copy(), row.exponent.copy()) for row in parts] for parts in now]
    for parts, new in zip(state, copies, strict=True):
        for part, values in zip(parts, new, strict=True):
            part.mantissa[:n], part.exponent[:n] = values
