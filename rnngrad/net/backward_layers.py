"""Back-propagation through any cell and any stack of layers; ``net.backward`` begins it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.net.cells import Cell
from rnngrad.net.jacobian_diagonals import evaluated, terms_of
from rnngrad.net.linearised import linear_layer, pull_layer, stacked_matrix
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import Back, BackwardTrace, ForwardTrace, LayerTrace
from rnngrad.net.walks import walks_of


def through_layers(
    problem: Problem,
    trace: ForwardTrace,
    dL_dy: Array,
    dL_da_y: Array,
    direct: Array,
    after: Mapping[str, Array] | None = None,
) -> BackwardTrace:
    """The backward trace, given what the read-out makes of the losses: ∂L_t/∂y_t, ∂L_t/∂a_y and
    ∂L_t/∂h_t of the top layer, (T, H of the top). To be run within ``quietly()``.

    Layer by layer, the uppermost first: what it sends down within each step, ∂L/∂x_t, is the direct
    term of the one below, but no part of that one's ∂L/∂h_t (``net.linearised``). ``after``
    is what each part of s_T, of all layers, gets from steps beyond these.
    """
    layers = problem.layers
    walks: list[Back] = []
    enters = direct
    last = problem.last_step_with_loss if after is None else problem.steps
    for layer, share in zip(layers[::-1], trace.layers[::-1], strict=True):
        handed = _of_layer(problem, layer, after)
        walks.append(_walk(problem, layer, share, enters, last, handed))
        enters = to_x(problem, layer, share, walks[-1])
    walks.reverse()
    first = problem.cell.parts[0]
    sequences = trace.layers[-1].sequences
    if len(layers) == 1:
        dLt_dht, later = direct, walks[0].states[first]
        dL_ds = {**walks[0].states, first: np.empty_like(later)}
        dL_ds[first][:sequences] = later[:sequences]
        np.add(later[sequences:], direct, dL_ds[first][sequences:])
    else:
        dL_ds = {
            part: np.concatenate([walk.states[part] for walk in walks], axis=1)
            for part in problem.cell.parts
        }
        dLt_dht = np.zeros((problem.steps, problem.hidden))
        dLt_dht[:, layers[-1].units] = direct
        dL_ds[first][sequences:] += dLt_dht
    weights = _parameters(problem, trace.layers, walks, last)
    weights |= readout_gradients(problem, trace.layers[-1].h[sequences:], dL_da_y[:last])
    at = tuple(walk.at for walk in walks)
    return BackwardTrace(dL_dy, dL_da_y, dLt_dht, dL_ds, at, enters, weights)


def _of_layer(
    problem: Problem, layer: Layer, after: Mapping[str, Array] | None
) -> dict[str, Array]:
    """One layer's columns of each part."""
    if after is None:
        return {}
    columns = zip(problem.cell.parts, layer.parts, strict=True)
    return {part: after[part][mine] for part, mine in columns}


def to_x(problem: Problem, layer: Layer, share: LayerTrace, walk: Back) -> Array:
    """∂L/∂x_t of a layer by way of all that x_t enters, (T, I)."""
    cell, total = problem.cell, None
    place = cell.by_source.get(X)
    if place is not None:
        order, rows = walk.joined(cell.groups[place].targets)
        total = rows @ stacked_matrix(layer.own, cell.groups[place], order)
    if cell.from_x:
        terms = terms_of(problem, layer, share)
        for target, i in cell.from_x:
            more = walk.at[target] if i is None else walk.at[target] * terms[i]
            total = more if total is None else total + more
    return np.zeros(share.x.shape) if total is None else total


def _walk(
    problem: Problem,
    layer: Layer,
    share: LayerTrace,
    direct: Array,
    last: int,
    after: Mapping[str, Array],
) -> Back:
    """One layer from the last step with a loss back, so that what overflows after it cannot spoil
    it; with as few calls as ``net.walks`` needs, or step by step. ``after``: what comes to each
    part of the state at ``last`` from beyond."""
    last = -(-last // share.sequences) * share.sequences
    found = walks_of(problem, share.sequences).back.run(layer, share, direct, last, after)
    if found is None:
        return step_by_step(problem, layer, share, direct, last, after)
    return found._replace(at=_At(problem, layer, share, found, direct, last))


class _At(Mapping[str, Array]):
    """∂L/∂ of all that the graph of the cell keeps: as the walk has it, or added up from that when
    it is asked for."""

    def __init__(
        self,
        problem: Problem,
        layer: Layer,
        share: LayerTrace,
        walk: Back,
        direct: Array,
        last: int,
    ) -> None:
        self.problem, self.layer, self.share, self.walk = problem, layer, share, walk
        self.direct, self.last, self.found = direct, last, dict(walk.at)

    def __iter__(self) -> Iterator[str]:
        return iter(self.problem.cell.step.kept)

    def __len__(self) -> int:
        return len(self.problem.cell.step.kept)

    def __getitem__(self, key: str) -> Array:
        if key not in self.found:
            self.found[key] = self._total(key)
        return self.found[key]

    def _total(self, key: str) -> Array:
        cell, layer, last = self.problem.cell, self.layer, self.last
        if key not in cell.step.kept:
            raise KeyError(key)
        total: Array = np.zeros((len(self.direct), layer.sizes[cell.step.sizes[key]]))
        if key in cell.parts:
            total += self.walk.states[key][self.share.sequences :]
        if key == cell.parts[0]:
            total[:last] += self.direct[:last]
        if key in cell.by_source:
            group = cell.groups[cell.by_source[key]]
            rows = np.concatenate([self[target] for target in group.targets], axis=1)
            total[:last] += rows[:last].dot(stacked_matrix(layer.own, group))
        edges = [one for one in cell.step.diagonals if one.source == key]
        tape = cell.value_tape([one.factor for one in edges])
        values = evaluated(self.problem, layer, self.share, tape, [total.shape[1]] * len(edges))
        for one, value in zip(edges, values, strict=True):
            total[:last] += self[one.target][:last] * value[:last]
        return total


def step_by_step(
    problem: Problem,
    layer: Layer,
    share: LayerTrace,
    direct: Array,
    last: int,
    after: Mapping[str, Array] = MappingProxyType({}),
) -> Back:
    """One layer along the graph of its cell."""
    cell = problem.cell
    one = linear_layer(layer, cell, terms_of(problem, layer, share), FLOATS)
    steps = len(direct)
    states = {part: np.zeros((steps + 1, one.width(part))) for part in cell.parts}
    at = {key: np.zeros((steps, one.width(key))) for key in cell.step.kept}
    for part, row in after.items():
        states[part][last] = row
    for t in range(last, 0, -1):
        rows = [states[part][t] for part in cell.parts]
        rows[0] = rows[0] + direct[t - 1]
        found = pull_layer(one, FLOATS, rows, t, to_x=False)
        for key, values in at.items():
            values[t - 1] = found[key]
        for part, values in states.items():
            values[t - 1] = found[before(part)]
    return Back(states, at)


def _parameters(
    problem: Problem, shares: Sequence[LayerTrace], walks: Sequence[Back], last: int
) -> dict[str, Array]:
    """The gradient of every layer's parameters: products over the steps that reach the loss."""
    weights: dict[str, Array] = {}
    for layer, share, walk in zip(problem.layers, shares, walks, strict=True):
        found = layer_gradients(problem, layer, share, walk, last)
        weights |= {name + layer.suffix: found[name] for name in problem.cell.parameters}
    return weights


def layer_gradients(
    problem: Problem, layer: Layer, share: LayerTrace, walk: Back, last: int
) -> dict[str, Array]:
    """∂L/∂parameter of one layer, shaped as the parameter, over steps 1 … ``last``:

    Σ_t ∂L/∂target_t ⊗ source_t of a matrix,  Σ_t ∂L/∂target_t ∘ factor_t of a vector.
    """
    cell, own = problem.cell, dict[str, Array]()

    def add(name: str, more: Array) -> None:
        own[name] = own[name] + more if name in own else more

    for group in cell.groups:
        source = source_values(problem, layer, share, group.source)[:last]
        blocks, start = dict[str, Array](), 0
        if group.targets in walk.wide:
            order, rows = walk.wide[group.targets]
            product = rows[:last].T @ source
            for target in order:
                stop = start + layer.sizes[cell.step.sizes[target]]
                blocks[target] = product[start:stop]
                start = stop
        else:
            blocks = {target: walk.at[target][:last].T @ source for target in group.targets}
        for matrix in group.matrices:
            block = blocks[matrix.target]
            block = block.T if matrix.transposed else block
            add(matrix.parameter, -block if matrix.sign < 0 else block)
    for name, total in _vectors(problem, layer, share, walk, last):
        add(name, total)
    whole = {}
    for name in cell.parameters:
        parts = cell.blocks.get(name, (name,))
        found = [own[p] if p in own else np.zeros(np.shape(layer.own[p])) for p in parts]
        whole[name] = found[0] if len(found) == 1 else np.concatenate(found)
    return whole


def source_values(problem: Problem, layer: Layer, share: LayerTrace, key: str) -> Array:
    """What a group of matrices multiplies, (T, n)."""
    cell = problem.cell
    if key in cell.given:
        return np.asarray(share.given(key))
    tape = cell.value_tape([cell.defined[key]])
    return np.asarray(
        evaluated(problem, layer, share, tape, [layer.sizes[cell.step.sizes[key]]])[0]
    )


def _vectors(
    problem: Problem, layer: Layer, share: LayerTrace, walk: Back, last: int
) -> Iterator[tuple[str, Array]]:
    """The gradients of vectors and scalars, use by use; those of what is added are sums alone."""
    cell, sums = problem.cell, dict[str, Array]()
    for target, names in cell.added.items():
        if target not in sums:
            sums |= _summed(layer, cell, walk, target, last)
        for name in names:
            yield name, _fitting(layer, name, sums[target])
    others, tape = cell.with_factors
    if others:
        widths = [layer.sizes[cell.step.sizes[use.target]] for use in others]
        values = evaluated(problem, layer, share, tape, widths)
        for use, value in zip(others, values, strict=True):
            total = (walk.at[use.target][:last] * value[:last]).sum(axis=0)
            yield use.parameter, _fitting(layer, use.parameter, total)


def _summed(layer: Layer, cell: Cell, walk: Back, key: str, last: int) -> dict[str, Array]:
    """Σ_t ∂L/∂key_t, and those of what lies beside it."""
    for names, rows in walk.wide.values():
        if key in names:
            total, found, start = np.add.reduce(rows[:last]), {}, 0
            for name in names:
                stop = start + layer.sizes[cell.step.sizes[name]]
                found[name] = total[start:stop]
                start = stop
            return found
    return {key: np.add.reduce(walk.at[key][:last])}


def _fitting(layer: Layer, parameter: str, total: Array) -> Array:
    return total if layer.own[parameter].ndim else total.sum()


def readout_gradients(problem: Problem, h: Array, dL_da_y: Array) -> dict[str, Array]:
    """∂L/∂W_hy and ∂L/∂b_y, ``h`` (T, H) that of the top layer, ``dL_da_y`` the rows that count;
    nothing without a read-out."""
    if not problem.has_readout:
        return {}
    return {"W_hy": dL_da_y.T.dot(h[: len(dL_da_y)]), "b_y": np.add.reduce(dL_da_y)}
