"""One layer backward, by code made from the graph of its cell's step.

All diagonals are computed ahead of the loop, a few hundred rows at a time, values and slopes
together, and lie side by side as the loop takes them: one multiply for all edges that leave a vertex.
A vertex that one edge alone leads to needs no multiply of its own: its edges begin where that one
does, with the factors multiplied ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnngrad.algebra.derivatives import added, is_one, product
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.steps import before, names_in
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.problem import Layer
from rnngrad.core.traces import Back, LayerTrace
from rnngrad.core.walks.early import Block, Early, early_slots, function
from rnngrad.core.walks.forward_walk import BLOCK, LARGEST, Forward, _length, blocks, memory_of
from rnngrad.core.walks.fusing import Code, Layout, compiled, scheduled
from rnngrad.core.walks.values import Lowering, Program, renamed

IN_CACHE = 2**13
"""Numbers of h taken together where several functions follow one another."""

Edge = tuple[str, str]
"""(target, source)"""


class Backward:
    """The walk of a cell, whatever its sizes."""

    def __init__(self, forward: Forward, sigma: str) -> None:
        self.forward, self.cell, self.step, self.sigma = forward, forward.cell, forward.cell.step, sigma
        self.edges = _rerouted(self.cell)
        self.program = Program()
        self.at: dict[str, int] = {}
        self.diagonals: dict[int, Edge] = {}
        self.states = self._values()
        self._arrange()
        self.terms = Diagonals(self)

    # ------------------------------------------------------------------ values

    def _values(self) -> list[tuple[str, int]]:
        program, cell, of = self.program, self.cell, self.step.sizes
        sources = {source for (_, source) in self.edges} | {g.source for g in cell.groups}
        into: dict[str, list[int]] = {}
        for i, part in enumerate(cell.parts):
            if before(part) in sources:
                into.setdefault(part, []).append(program.put("before", part, size=of[part]))
            if not i:
                into.setdefault(part, []).append(program.put("given", "direct", size=of[part]))
        for key in reversed(self.step.kept):
            total = self._total(key, into)
            if total is None:
                continue
            self.at[key] = total
            for (target, source), factor in self.edges.items():
                if target == key and source != X:
                    into.setdefault(source, []).append(self._through(total, (target, source), factor))
        states = []
        for part in cell.parts:
            total = self._total(before(part), into)
            if total is not None:
                states.append((part, total))
        return states

    def _through(self, row: int, edge: Edge, factor: Node) -> int:
        if is_one(factor):
            return row
        program = self.program
        if not names_in(factor):
            tape = renamed(tape_of([factor], self.cell.given, self.cell.defined), self.sigma)
            return program.op("multiply", row, Lowering(program, tape, self._parameter).value(tape.outputs[0]))
        leaf = program.put("given", edge, size=self.step.sizes[edge[1]])
        self.diagonals[leaf] = edge
        return program.op("multiply", leaf, row)

    def _parameter(self, key: str) -> int:
        shape = self.cell.equations.parameters[key]
        return self.program.early_leaf(key, shape[0] if shape else None, False)

    def _total(self, key: str, into: Mapping[str, list[int]]) -> int | None:
        """∂L/∂key: what comes by products and by diagonals."""
        found = list(into.get(key, ()))
        place = self.cell.by_source.get(key)
        if place is not None:
            of = self.step.sizes
            by_size: dict[str, dict[int, list[Any]]] = {}
            for m in self.cell.groups[place].matrices:
                if m.target in self.at:
                    by_size.setdefault(of[m.target], {}).setdefault(self.at[m.target], []).append(m)
            for size, rows in by_size.items():
                found.insert(0, self.program.put("product", tuple(rows), f"{place}.{size}", tuple(map(tuple, rows.values())), size=of[key]))
        return self.program.folded("add", found) if found else None

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, cell = self.program, self.cell
        values, of = program.values, self.step.sizes
        targets: dict[str, list[int]] = {}
        for place, group in enumerate(cell.groups):
            for key in group.targets:
                targets.setdefault(key, []).append(place)
        order = sorted((key for key in targets if key in self.at), key=lambda k: (targets[k][0], targets[k][-1], self.at[k]))
        taken: dict[int, str] = {}
        for key in order:
            if values[self.at[key]].op in ("given", "before") or self.at[key] in taken and False:
                self.at[key] = program.copy(self.at[key])
            taken.setdefault(self.at[key], key)
        self.stored = {key: self.at[key] for key in order}
        chains: dict[str, list[int]] = {}
        for value, key in taken.items():
            chains.setdefault(of[key], []).append(value)
        groups = scheduled(program, [*taken, *(v for _, v in self.states)])
        leaves = {leaf: "D" for leaf in self.diagonals}
        direct = program.put("given", "direct", size=of[cell.parts[0]])
        self.layout = Layout(program, groups, stored=list(chains.values()), states=self.states, closed=False, moving=False,
                             given=leaves, fixed={direct: (f"E_{of[cell.parts[0]]}", 0)})  # fmt: skip
        self.code = Code(self.layout, by_row=True)
        self.walk = compiled(self.code.text())["walk"]
        self.prepare, self.early = prepared(program, self.layout, self.code, self._stacks(), ".T.dot")
        self.called = [function(name) for name in self.code.functions]
        self.wide = list(self._side_by_side())

    def _stacks(self) -> list[list[list[Block]]]:
        """For each product of the code the matrices of each source, in the order of the slots."""
        found: dict[str, list[list[Block]]] = {}
        for group in self.layout.groups:
            for member in group.members if group.op == "product" else ():
                value = self.program.values[member]
                pairs = sorted(zip(value.args[0], value.args[2], strict=True), key=lambda p: self.layout.slots[p[0]])
                found[f"{value.args[1]}_{value.size}"] = [
                    [Block(name, transposed, sign < 0) for _, _, name, transposed, sign in matrices] for _, matrices in pairs
                ]
        return [found[name] for name in self.code.products]

    # ------------------------------------------------------------------ the walk

    def run(self, layer: Layer, trace: LayerTrace, direct: Array, last: int) -> Back | None:
        """From step ``last`` on; ``direct`` (T, n) is what enters at the first part besides. None
        where some e⁻ᵃ is no float."""
        if not trace.wide and not self.terms.safe(trace, last):
            return None
        sizes, T, layout = layer.sizes, len(direct), self.layout
        kept = {b: np.empty((T + 1, count, _length(sizes, b))) for b, count in layout.counts.items() if b[0] == "A"}
        states: dict[str, Array] = {}
        for part in self.cell.parts:
            value = dict(self.states).get(part)
            if value is not None and layout.slots[value][0][0] == "A":
                buffer, at = layout.slots[value]
                states[part] = kept[buffer][:, at]
            else:
                states[part] = np.empty((T + 1, sizes[self.step.sizes[part]]))
        for rows in (*kept.values(), *states.values()):
            rows[last if rows.shape[0] else 0 :] = 0.0
        products, parameters, constants = self.prepare(self.early.arguments(layer.own), sizes)[:3]
        memory: dict[str, Any] = memory_of(layout, sizes) | parameters | {"early": constants}
        for part in reversed(blocks(last, BLOCK)):
            B: dict[str, Any] = dict(memory)
            diagonals = self.terms.run(layer, trace, part)
            for buffer, rows in diagonals.items():
                B[buffer] = rows[::-1]
            for buffer, rows in kept.items():
                B[buffer] = rows[part][::-1]
            B[f"E_{self.step.sizes[self.cell.parts[0]]}"] = direct[part][::-1, np.newaxis]
            for i, (name, _) in enumerate(self.states):
                B[f"S{i}"] = states[name][part][::-1, np.newaxis]
                B[f"B{i}"] = states[name][part.stop]
            self.walk(B, products, self.called)
        for part in set(self.cell.parts) - {name for name, _ in self.states}:
            states[part][...] = 0.0
        at, wide = {}, {}
        for key, value in self.stored.items():
            buffer, place = layout.slots[value]
            at[key] = kept[buffer][:T, place]
        for names, buffer, first in self.wide:
            rows = kept[buffer]
            n = rows.shape[2]
            wide[names] = rows.reshape(T + 1, -1)[:T, first * n : (first + len(names)) * n]
        return Back(states, at, wide)

    def _side_by_side(self) -> Iterator[tuple[tuple[str, ...], str, int]]:
        """The targets of each group of matrices, where they are neighbours: their keys in the order
        in which they lie, the buffer and the first slot."""
        for group in self.cell.groups:
            places = sorted((self.layout.slots[self.stored[key]], key) for key in group.targets if key in self.stored)
            (buffer, first), _ = places[0]
            if [slot for slot, _ in places] == [(buffer, first + i) for i in range(len(group.targets))]:
                yield tuple(key for _, key in places), buffer, first


def prepared(
    program: Program, layout: Layout, code: Code, stacks: Sequence[list[list[Block]]], end: str
) -> tuple[Callable[..., Any], Early]:
    """What a loop needs from parameters: products, vectors and single numbers."""
    early = Early(program)
    rows = early_slots(layout)
    early.rows(rows)
    for number, blocks in enumerate(stacks):
        early.stack(f"M{number}", blocks)
    early.lines.append(f"products = ({''.join(f'M{number}{end}, ' for number in range(len(stacks)))})")
    early.lines.append(f"parameters = {{{', '.join(f'{b!r}: {b}' for b in rows)}}}")
    early.lines.append(f"constants = {early.scalars(code.scalars)}")
    return early.compile(["products", "parameters", "constants"])[0], early


def _rerouted(cell: Cell) -> dict[Edge, Node]:
    """The diagonals of a step; those of a vertex that one edge alone leads to begin at that edge's
    target."""
    step = cell.step
    edges: dict[Edge, Node] = {(d.target, d.source): d.factor for d in step.diagonals}
    sources = {group.source for group in cell.groups}
    for key in reversed(step.kept):
        into = [target for target, source in edges if source == key]
        if key in step.state or key in sources or len(into) != 1:
            continue
        first = edges[into[0], key]
        for (target, source), factor in list(edges.items()):
            if target == key and source != X:
                del edges[target, source]
                whole = added([edges.get((into[0], source)), product((first, factor))])
                assert whole is not None
                edges[into[0], source] = whole
    return edges


class Diagonals:
    """The factors of the edges along a trace, as the loop takes them."""

    def __init__(self, walk: Backward) -> None:
        self.walk, self.cell = walk, walk.cell
        self.program = program = Program()
        slots = walk.layout.slots
        ordered = sorted((leaf for leaf in walk.diagonals if leaf in slots), key=slots.__getitem__)
        edges = [walk.diagonals[leaf] for leaf in ordered]
        nodes = [walk.edges[edge] for edge in edges]
        tape = renamed(tape_of(nodes, self.cell.given, self.cell.defined), walk.sigma)
        self.fixed: dict[int, tuple[str, int]] = {}
        self.places = {
            key: (f"T{buffer[1:]}", at) for buffer, of in walk.forward.wide.items() for at, (key, _) in enumerate(of)
        }
        self.keys: dict[str, str] = {}
        lowering = Lowering(program, tape, self._named, robust=True)
        chains: dict[str, list[int]] = {}
        taken: set[int] = set()
        for edge, place in zip(edges, tape.outputs, strict=True):
            value = lowering.value(place)
            if value in taken or program.values[value].op in ("given", "const", "number") or program.values[value].size is None:
                value = program.put("copy", value, len(taken), size=walk.step.sizes[edge[1]])
            taken.add(value)
            chains.setdefault(walk.step.sizes[edge[1]], []).append(value)
        groups = scheduled(program, [v for chain in chains.values() for v in chain])
        self.layout = Layout(program, groups, stored=list(chains.values()), by_row=False, fixed=self.fixed)
        self.code = Code(self.layout, by_row=False, whole=True)
        self.function = compiled(self.code.text())["walk"]
        self.prepare, self.early = prepared(program, self.layout, self.code, [], "")
        self.called = [function(name) for name in self.code.functions]
        self.wanted = [
            (buffer, names, f"T{buffer[1:]}")
            for buffer, names in walk.forward.names.items()
            if any(slot[0] == f"T{buffer[1:]}" for slot in self.fixed.values())
        ]
        self.sigmoid_keys = [
            program.values[program.operands(i)[0]].args[0]
            for i in program.sigmoids
            if program.values[program.operands(i)[0]].op == "given"
        ]

    def _named(self, key: str) -> int:
        shape = self.cell.equations.parameters.get(key)
        if shape is not None:
            return self.program.early_leaf(key, shape[0] if shape else None, False)
        leaf = self.program.put("given", key, size=self.walk.step.sizes[key])
        if key in self.places:
            self.fixed[leaf] = self.places[key]
        else:
            self.keys.setdefault(key, f"K{len(self.keys)}_{self.walk.step.sizes[key]}")
            self.fixed[leaf] = (self.keys[key], 0)
        return leaf

    def safe(self, trace: LayerTrace, last: int) -> bool:
        """Whether e⁻ᵃ of every sigmoid is a float in the first ``last`` steps."""
        return all(
            np.isfinite(rows := trace.given(key)[:last]).all() and rows.min(initial=0.0) > -LARGEST
            for key in self.sigmoid_keys
        )

    def run(self, layer: Layer, trace: LayerTrace, part: slice) -> dict[str, Array]:
        """(n, slots, H) of each size."""
        sizes, counts, steps = layer.sizes, self.layout.counts, part.stop - part.start
        found = {b: np.empty((steps, count, _length(sizes, b))) for b, count in counts.items() if b[0] == "A"}
        if not found:
            return found
        largest = max(rows.shape[2] for rows in found.values())
        rows = min(IN_CACHE // max(largest, 1) + 1, steps)
        _, parameters, constants = self.prepare(self.early.arguments(layer.own), sizes)[:3]
        C = {b: of[np.newaxis] for b, of in parameters.items()}
        W = {b: np.empty((count, rows, _length(sizes, b))) for b, count in counts.items() if b[0] == "W"}
        given = self._given(trace, part) | found
        for some in blocks(steps, rows):
            B: dict[str, Any] = {b: of[:, : some.stop - some.start].swapaxes(0, 1) for b, of in W.items()}
            B |= C
            for b, of in given.items():
                B[b] = of[some]
            B["early"] = constants
            self.function(B, (), self.called)
        return {"D" + b[1:]: rows for b, rows in found.items()}

    def _given(self, trace: LayerTrace, part: slice) -> dict[str, Array]:
        found = {}
        for _, names, at in self.wanted:
            joined = trace.wide.get(names)
            if joined is None:
                names = tuple(key for key in names if key in trace.values)
                joined = np.concatenate([trace.values[key] for key in names], axis=1)
            found[at] = joined[part].reshape(part.stop - part.start, len(names), -1)
        for key, buffer in self.keys.items():
            found[buffer] = trace.given(key)[part][:, np.newaxis]
        return found
