"""Many wrong backward passes side by side, each the right one with a few local partials replaced.

K passes share everything but what they replace (``links``), so the rows of all go through a step in
one array. In two halves, since people go wrong in either alone:

    back     ∂L/∂s_{t−1} = direct_{t−1} + carry(∂L/∂s_t · ∂s_t/∂s_{t−1})       (T+1, K, S)
    here     ∂L/∂a = ∂L/∂s_t · ∂s_t/∂a at every step, to be met by the parameters     (T, K, n)

The mistakes of the catalogue are such passes too, and so is what rounding makes of the right one
(``checking.conditioning``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.derivation.step_partials import Graph, graph_of
from rnngrad.analyses.mistakes.local_partials import BACK, HERE, Carry, LayerApart, Met, Plan, Wrong
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import Scaled, log10_lengths, log10_spectral_norms, scaled
from rnngrad.net.cells import EMBEDDING, OF_THE_INPUTS, READOUT
from rnngrad.net.dense import pulled_back

AT_ONCE = 2**22
"""Numbers in the rows of one key of all passes side by side."""


class Made(NamedTuple):
    """What K passes make: ``dL_da_y`` (T, K, O), ``dL_ds`` (T+1, K, S), layer by layer ∂L/∂ of
    what the graph computes (T, K, n), and what the parameters meet in each pass. ``came``: the
    rows ∂L/∂s before anything was done with what came back, where something is done."""

    dL_da_y: Array
    dL_ds: Array
    at: tuple[Mapping[str, Array], ...]
    met: tuple[tuple[Met, ...], ...] = ((),)
    came: Array | None = None

    def one(self, k: int) -> Made:
        """One of the passes."""
        rows = slice(k, k + 1)
        at = tuple({key: v[:, rows] for key, v in one.items()} for one in self.at)
        came = None if self.came is None else self.came[:, rows]
        return Made(self.dL_da_y[:, rows], self.dL_ds[:, rows], at, self.met[rows], came)


class Apart:
    """The right backward pass of a problem, taken apart."""

    def __init__(self, passes: Passes) -> None:
        self.passes, self.problem = passes, passes.problem
        self.graph: Graph = graph_of(self.problem.cell)
        self.layers = [LayerApart(passes, at) for at in range(self.problem.depth)]
        self.steps = self.problem.steps
        self.dL_da_y: Array = passes.backward.dL_da_y
        self.W_hy = self.problem.weights.get("W_hy")
        self.h: Array = passes.forward.h[1:, self.problem.layers[-1].units]
        self.right = self.made([Wrong()])

    def made(self, wrongs: Sequence[Wrong]) -> Made:
        """The passes of all. To be run within ``quietly()``."""
        dL_da_y = np.stack(
            [self.dL_da_y if one.dL_da_y is None else one.dL_da_y for one in wrongs], axis=1
        )
        given = [one.dL_ds for one in wrongs if one.dL_ds is not None]
        came: Array | None = None
        if len(given) == len(wrongs):
            dL_ds = np.stack(given, axis=1)
        else:
            dL_ds, came = self._back(wrongs, dL_da_y)
            for k, one in enumerate(wrongs):
                dL_ds[:, k] = dL_ds[:, k] if one.dL_ds is None else one.dL_ds
        for k, one in enumerate(wrongs):
            if one.on_the_way:
                dL_da_y[:, k] = self.dL_da_y
        at = self.here(dL_ds, wrongs)
        return Made(dL_da_y, dL_ds, at, tuple(one.met for one in wrongs), came)

    def chunks(self, every: Sequence[Wrong]) -> Iterator[tuple[int, Made]]:
        """The passes of all, as many at once as fit."""
        width = max(1, self.problem.state_size) * (self.steps + 1)
        size = int(np.clip(AT_ONCE // width, 1, 512))
        for start in range(0, len(every), size):
            yield start, self.made(every[start : start + size])

    def _back(self, wrongs: Sequence[Wrong], dL_da_y: Array) -> tuple[Array, Array | None]:
        dL_ds = self.alone(dL_da_y)
        plans = [layer.plan(wrongs, BACK) for layer in self.layers]
        carries = [(k, one.carry) for k, one in enumerate(wrongs) if one.carry is not None]
        sums, came = np.zeros(dL_ds.shape[1:]), dL_ds.copy() if carries else None
        for t in range(self.steps, 0, -1):
            carried = self._through(dL_ds[t], t - 1, plans)
            if came is not None:
                came[t - 1] += carried
            for k, carry in carries:
                columns = self.columns(carry.part)
                row = _carried(carry, carried[k, columns], sums[k, columns])
                carried[k, columns] = sums[k, columns] = row
            dL_ds[t - 1] += carried
        return dL_ds, came

    def columns(self, part: int | None) -> Any:
        """Where a part of the state of all layers stands in s."""
        if part is None:
            return slice(None)
        return np.concatenate(
            [np.arange(one.state[part].start, one.state[part].stop) for one in self.problem.layers]
        )

    def _through(self, rows: Array, row: int | None, plans: Sequence[Plan]) -> Array:
        """Rows (K, S) at s_t -> at s_{t−1}; (T, K, S) at all steps at once without a row."""
        found = np.zeros_like(rows)
        from_above: Array | None = None
        for layer, plan in zip(self.layers[::-1], plans[::-1], strict=True):
            parts = [rows[..., columns] for columns in layer.layer.state]
            if from_above is not None:
                parts[0] = parts[0] + from_above
            at = layer.pull(parts, plan, row, to_x=layer.number > 0)
            for part, columns in zip(self.problem.cell.parts, layer.layer.state, strict=True):
                if before(part) in at:
                    found[..., columns] = at[before(part)]
            from_above = at.get(X)
        return found

    def direct(self, dL_da_y: Array) -> Array:
        """∂L_t/∂h_t of the top layer, (T, …, H)."""
        return dL_da_y if self.W_hy is None else np.asarray(dL_da_y @ self.W_hy)

    def alone(self, dL_da_y: Array) -> Array:
        """∂L_t/∂s_t for t = 0 … T, (T+1, K, S): that of the top layer's h alone."""
        wide = np.zeros((self.steps + 1, dL_da_y.shape[1], self.problem.state_size))
        wide[1:, :, self.problem.layers[-1].state[0]] = self.direct(dL_da_y)
        return wide

    def by_lag(self) -> Iterator[Array]:
        """∂L_{t+d}/∂s_t for every t = 0 … T at once, (T+1, S), for d = 0, 1 … T."""
        rows = self.alone(self.dL_da_y[:, np.newaxis])
        plans = [layer.plan([Wrong()], BACK) for layer in self.layers]
        yield rows[:, 0]
        for _ in range(self.steps):
            rows = np.concatenate([self._through(rows[1:], None, plans), np.zeros_like(rows[:1])])
            yield rows[:, 0]

    def jacobian(self, wrong: Wrong, t: int) -> Array:
        """∂s_t/∂s_{t−1} as a wrong pass has it, (S, S)."""
        units = np.eye(self.problem.state_size)
        plans = [layer.plan([wrong] * len(units), BACK) for layer in self.layers]
        return self._through(units, t - 1, plans)

    def here(self, dL_ds: Array, wrongs: Sequence[Wrong]) -> tuple[Mapping[str, Array], ...]:
        """∂L/∂ of what the graph computes, at all steps at once, (T, K, n)."""
        found: list[Mapping[str, Array]] = []
        from_above: Array | None = None
        for layer in self.layers[::-1]:
            parts = [dL_ds[1:, :, columns] for columns in layer.layer.state]
            if from_above is not None:
                parts[0] = parts[0] + from_above
            at = layer.pull(parts, layer.plan(wrongs, HERE), None, to_x=True)
            found.append(at)
            from_above = at.get(X)
        return tuple(found[::-1])

    def immediate(self, wrong: Wrong) -> Array:
        """∂⁺h_t/∂a_t of one layer of rnn, (T, H)."""
        layer = self.layers[0]
        plan, rows = layer.plan([wrong], HERE), np.ones((self.steps, 1, self.problem.hidden))
        (key,) = (link.source for link in layer.graph.links[self.problem.cell.parts[0]])
        return np.asarray(layer.pull([rows], plan, None, to_x=False)[key][:, 0])

    # ------------------------------------------------------------------ what is read from them

    def read(self, name: str, made: Made) -> Array | None:
        """A gradient of all passes, (K, …); None where it is not made here."""
        base, _, number = name.partition(".")
        of, cell, problem = base.removeprefix("dL_d"), self.problem.cell, self.problem
        if name == "dLt_dht":
            wide = np.zeros((made.dL_da_y.shape[1], self.steps, problem.hidden))
            wide[..., problem.layers[-1].units] = self.direct(made.dL_da_y).swapaxes(0, 1)
            return wide
        if of == base:
            return None
        if of in cell.parameters and of not in READOUT:
            return self.parameter(of, int(number or 0), made)
        if name == "dL_dW_hy":
            return np.asarray(np.einsum("tko,th->koh", made.dL_da_y, self.h))
        if name == "dL_db_y":
            return np.asarray(made.dL_da_y.sum(axis=0))
        if of in OF_THE_INPUTS:
            rows = made.at[0][X].swapaxes(0, 1)
            return np.stack([self._of_the_inputs(of, row) for row in rows])
        if of == X:
            return made.at[0][X].swapaxes(0, 1)
        start = of.removesuffix("_0")
        if start in cell.parts:
            columns = self.columns(cell.parts.index(start))
            rows = made.dL_ds[0 if start != of else slice(None)]
            return rows[..., columns] if start != of else rows[..., columns].swapaxes(0, 1)
        return None

    def _of_the_inputs(self, of: str, dL_dx: Array) -> Array:
        """What follows from ∂L/∂x_t, (T, n): ∂L/∂ of a dense layer, or of an embedding."""
        dense, tokens = self.problem.dense, self.problem.tokens
        if of == EMBEDDING:
            assert tokens is not None
            return tokens.added(dL_dx if dense is None else pulled_back(dense, dL_dx).x)
        assert dense is not None
        return np.asarray(getattr(pulled_back(dense, dL_dx), of))

    def of_each_step(self, of: str, made: Made) -> Array:
        """The terms of what follows from ∂L/∂x_t, (T, …)."""
        rows, steps = made.at[0][X][:, 0], np.eye(self.steps)[:, :, np.newaxis]
        return np.stack([self._of_the_inputs(of, np.where(one, rows, 0.0)) for one in steps])

    def some(self, name: str, made: Made, entries: Integers) -> Array:
        """Some entries of ``read``, by their numbers in the flattened array, (K, m)."""
        base, _, number = name.partition(".")
        of, cell = base.removeprefix("dL_d"), self.problem.cell
        if of in OF_THE_INPUTS:  # one array at a time: an embedding is large
            each = (self._of_the_inputs(of, row) for row in made.at[0][X].swapaxes(0, 1))
            return np.stack([one.reshape(-1)[entries] for one in each])
        if base == of or of not in cell.parameters or of in READOUT:
            found = self.read(name, made)
            assert found is not None
            return found.reshape(len(found), -1)[:, entries]
        layer, parts = self.layers[int(number or 0)], cell.blocks.get(of, (of,))
        shape = np.shape(layer.layer.weights[of])
        i, j = np.divmod(entries, shape[1]) if len(shape) == 2 else (entries, 0 * entries)
        rows = shape[0] // len(parts) if shape else 1
        chosen = np.zeros((made.dL_ds.shape[1], len(entries)))
        for place, part in enumerate(parts):
            own = np.flatnonzero(i // rows == place)
            chosen[:, own] = layer.some(
                part, made.at[int(number or 0)], i[own] - place * rows, j[own]
            )
        return chosen

    def parameter(self, name: str, number: int, made: Made) -> Array:
        """∂L/∂ of a parameter as files and results have it, (K, …)."""
        layer = self.layers[number]
        blocks = [
            layer.block(part, made.at[number], made.met)
            for part in self.problem.cell.blocks.get(name, (name,))
        ]
        shape = np.shape(layer.layer.weights[name])
        return np.concatenate(blocks, axis=1).reshape(len(blocks[0]), *shape)


# ---------------------------------------------------------------------------- the chain


def jacobians(apart: Apart, wrong: Wrong) -> Array:
    """∂s_t/∂s_{t−1} of a wrong pass, (T, S, S)."""
    return np.stack([apart.jacobian(wrong, t) for t in range(1, apart.steps + 1)])


def log10_chain(apart: Apart, wrong: Wrong) -> Array:
    """log10 ‖∂s_T/∂s_k‖₂ for k = 0 … T. The Jacobians are floats, their product is not."""
    rows, logs = scaled(np.eye(apart.problem.state_size)), [0.0]
    for t in range(apart.steps, 0, -1):
        rows = SCALED.multiply(rows, SCALED.matrix(apart.jacobian(wrong, t)))
        values, exponent = rows.aligned(axis=(0, 1))
        norms = log10_spectral_norms(values[np.newaxis], np.atleast_1d(exponent))
        logs.append(float(norms[0]))
    return np.array(logs[::-1])


def log10_paths(apart: Apart, wrong: Wrong) -> Array:
    """Row t − 1, column k: log10 ‖∂L_t/∂s_k‖₂."""
    steps = apart.steps
    dL_da_y = apart.dL_da_y if wrong.dL_da_y is None else wrong.dL_da_y
    direct = scaled(apart.alone(dL_da_y[:, np.newaxis])[:, 0])
    paths = np.where(np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis], np.nan, -np.inf)
    rows = direct[:0]
    for k in range(steps, 0, -1):
        rows = Scaled(
            np.concatenate([direct.mantissa[k : k + 1], rows.mantissa]),
            np.concatenate([direct.exponent[k : k + 1], rows.exponent]),
        )
        paths[k - 1 :, k] = log10_lengths(rows)
        rows = SCALED.multiply(rows, SCALED.matrix(apart.jacobian(wrong, k)))
    paths[:, 0] = log10_lengths(rows)
    return paths


def _carried(carry: Carry, row: Array, kept: Array) -> Array:
    if carry.kind == "kept":
        return kept + row
    if carry.kind == "cut":
        return np.zeros_like(row)
    if carry.kind == "clipped":
        return np.clip(row, -carry.limit, carry.limit)
    norm = float(np.linalg.norm(row))
    return row * (carry.limit / norm) if norm > carry.limit else row
