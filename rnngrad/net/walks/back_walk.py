"""One layer backward, by code made from the graph of its cell's step.

All diagonals are computed ahead of the loop, a few hundred rows at a time, values and slopes
together, and lie side by side as the loop takes them: one multiply for all edges of a vertex.
A vertex that one edge alone leads to needs no multiply of its own: its edges begin where that one
does, with the factors multiplied ahead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from rnngrad.algebra.derivatives import added, is_one, product
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.step_graph import before, names_in
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Layer
from rnngrad.net.traces import Back, LayerTrace
from rnngrad.net.walks.by_line import Block, Lines, function_of
from rnngrad.net.walks.chunks import advance
from rnngrad.net.walks.forward_walk import FEWEST, LARGEST, Forward, blocks, rows_together
from rnngrad.net.walks.in_chunks import InChunks
from rnngrad.net.walks.loop import (
    Layout,
    Loop,
    Slot,
    by_step,
    early_lines,
    first_of,
    products_of,
    room_of,
    rows_of,
    scheduled,
)
from rnngrad.net.walks.operations import DEAR, Lowering, Program

IN_CACHE = 2**13
"""Numbers of h taken together where several functions follow one another."""

KEPT = "kept"
"""What comes to a part of the state besides products, until these are taken."""

Edge = tuple[str, str]
"""(target, source)"""


class Backward:
    """The walk of a cell, whatever its sizes."""

    def __init__(self, forward: Forward, sigma: str) -> None:
        self.cell, self.step, self.sigma = forward.cell, forward.cell.step, sigma
        self.of, self.letters, self.measured = forward.of, forward.letters, forward.measured
        self.edges = _rerouted(self.cell)
        self.program, self.dear = Program(forward.program.batch), forward.dear.values()
        self.direct = self.program.given("E", "direct", self.of[self.cell.parts[0]])
        self.at: dict[str, int] = {}
        self.besides: list[int] = []
        self.diagonals: dict[int, Edge] = {}
        self.states = self._values(None)
        self._arrange()
        self.terms = Diagonals(self)

    # ------------------------------------------------------------------ values

    def _values(self, turned: str | None) -> list[tuple[str, int]]:
        """New value of each part; of ``turned`` what comes by products is taken at the beginning of
        the step that follows, with what comes besides kept till then."""
        program, cell, of = self.program, self.cell, self.of
        self.at = {}
        reached = self._reached()
        into: dict[str, list[int]] = {}
        for i, part in enumerate(cell.parts):
            if part == turned:
                whole = program.given("P", "product", of[part])
                if self.besides:
                    whole = program.op("add", whole, program.given("before", KEPT, of[part]))
                else:
                    whole = program.copy(whole)
                into[part] = [whole]
            elif before(part) in reached:
                into.setdefault(part, []).append(program.given("before", part, of[part]))
            if not i:
                into.setdefault(part, []).append(self.direct)
        for key in reversed(self.step.kept):
            total = self._total(key, into)
            if total is None:
                continue
            self.at[key] = total
            for (target, source), factor in self.edges.items():
                if target == key and source != X:
                    row = self._through(total, (target, source), factor)
                    into.setdefault(source, []).append(row)
        states = []
        for part in cell.parts:
            besides = into.get(before(part), [])
            if part == turned:
                states.append((part, whole))
                if besides:
                    states.append((KEPT, program.folded("add", besides)))
                continue
            total = self._total(before(part), into)
            if total is not None:
                states.append((part, self._own(total, len(states), dict(states).values())))
                self.besides = besides if before(part) in cell.by_source else self.besides
        return states

    def _own(self, value: int, number: int, taken: Collection[int] = ()) -> int:
        """A value that can be given a slot."""
        if value in taken or self.program.is_leaf(value):
            return self.program.copy(value, number)
        return value

    def _reached(self) -> set[str]:
        """What ∂L/∂ is not 0 throughout, by way of h alone or of what later steps hand back."""
        cell, reached, known = self.cell, {self.cell.parts[0]}, 0
        links = [*self.edges, *((m.target, m.source) for m in cell.step.matrices)]
        while known < len(reached):
            known = len(reached)
            reached |= {source for target, source in links if target in reached}
            reached |= {part for part in cell.parts if before(part) in reached}
        return reached

    def _through(self, row: int, edge: Edge, factor: Node) -> int:
        if is_one(factor):
            return row
        program = self.program
        if not names_in(factor):
            tape = tape_of([factor], self.cell.given, self.cell.defined)
            found = Lowering(program, tape, partial(self.parameter, program), self.sigma)
            return program.op("multiply", row, found.value(tape.outputs[0]))
        leaf = program.given("D", edge, self.of[edge[1]])
        self.diagonals[leaf] = edge
        return program.op("multiply", leaf, row)

    def parameter(self, program: Program, key: str) -> int:
        """That of a name."""
        shape = self.cell.equations.parameters[key]
        return program.put("name", key, size=self.letters[shape[0]] if shape else None)

    def _total(self, key: str, into: Mapping[str, list[int]]) -> int | None:
        """∂L/∂key: what comes by products and by diagonals."""
        found = list(into.get(key, ()))
        place = self.cell.by_source.get(key)
        if place is not None:
            by_size: dict[str, dict[int, list[Block]]] = {}
            for m in self.cell.groups[place].matrices:
                if m.target in self.at:
                    rows = by_size.setdefault(self.of[m.target], {}).setdefault(
                        self.at[m.target], []
                    )
                    rows.append(Block(m.parameter, m.transposed, m.sign < 0))
            for size, rows_of in by_size.items():
                blocks_of = tuple(map(tuple, rows_of.values()))
                name = f"{place}.{size}"
                product = self.program.put(
                    "product", tuple(rows_of), name, blocks_of, size=self.of[key]
                )
                found.insert(0, product)
        return self.program.folded("add", found) if found else None

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, at = self.program, self.at
        targets: dict[str, list[int]] = {}
        for place, group in enumerate(self.cell.groups):
            for key in group.targets:
                targets.setdefault(key, []).append(place)
        # what matrices bring about, in the order in which it shall lie
        order = sorted(
            (key for key in targets if key in at),
            key=lambda k: (targets[k][0], targets[k][-1], at[k]),
        )
        for key in order:
            at[key] = self._own(at[key], 0)
        self.stored = {key: at[key] for key in order}
        stored = list(dict.fromkeys(self.stored.values()))
        groups = scheduled(program, [*stored, *(v for _, v in self.states)])
        kept = self._kept(groups, stored)
        self.layout = Layout(program, groups, kept, self.states)
        self.code = Loop(self.layout)
        self.early = Lines(program)
        fill = early_lines(self.early, self.code)
        self.begin = function_of("begin(p, n, B)", [*self.early.lines, *fill], self.early.functions)
        self.wide = list(self._side_by_side())
        slots, new = self.layout.slots, dict(self.states)
        self.rows = [(b, count) for b, count in self.layout.counts.items() if b[0] == "A"]
        self.homes: dict[str, Slot | None] = {
            part: slots[new[part]] if part in new and slots[new[part]][0][0] == "A" else None
            for part in self.cell.parts
        }
        self.columns = [(key, slots[value]) for key, value in self.stored.items()]

    def _kept(self, groups: Sequence[list[int]], stored: Sequence[int]) -> list[int]:
        """The stored values group by group, so that what one product takes stays together: those
        that it takes with earlier groups first, with later ones last; and what is one call with
        them before those of the first group and after those of the others."""
        values = self.program.values
        at = {v: n for n, group in enumerate(groups) for v in group}
        taken = [values[v].args[0] for v in at if values[v].op == "product"]

        def side(v: int) -> int:
            beside = {at[w] for some in taken if v in some for w in some}
            return any(n > at[v] for n in beside) - any(n < at[v] for n in beside)

        kept: list[int] = []
        for group in groups:
            some = sorted((v for v in stored if v in group), key=side)
            others = [v for v in group if v not in some] if some else []
            others = [v for v in others if values[v].op == "multiply"]
            kept += [*some, *others] if kept else [*others, *some]
        return kept

    def run(
        self,
        layer: Layer,
        trace: LayerTrace,
        direct: Array,
        last: int,
        after: Mapping[str, Array] = MappingProxyType({}),
    ) -> Back | None:
        """From row ``last`` on; ``direct`` (T, n) is what enters at the first part besides,
        ``after`` what comes to each part at ``last`` from steps beyond. None where some e⁻ᵃ is no
        float. Rows are steps; of a batch those of a step follow one another, all of which
        ``last`` takes in."""
        if not trace.walked and not self.terms.safe(trace, last):
            return None
        sizes, T, sequences = self.measured(layer), len(direct), trace.sequences
        kept = {b: rows_of(count, T + sequences, sizes[b[2:]], sequences) for b, count in self.rows}
        states = {
            part: np.empty((T + sequences, sizes[self.of[part]]))
            if slot is None
            else kept[slot[0]][:, slot[1]]
            for part, slot in self.homes.items()
        }
        for rows in (*kept.values(), *states.values()):
            rows[last:] = 0.0
        for name, row in after.items():
            states[name][last] = row
        p, memory = self.early.arguments(layer.own), room_of(self.layout, sizes, sequences)
        together = rows_together(self.layout, "D", sizes, sequences, T)
        parts = blocks(last, together, sequences)
        if after:  # by itself: chunks of time go on from products of the step before
            parts = [*blocks(last - 1, together, sequences), slice(last - 1, last)]
        for part in reversed(parts):
            B: dict[str, Any] = dict(memory)
            given = self.terms.run(layer, trace, sizes, part)
            given |= {buffer: rows[part] for buffer, rows in kept.items()}
            given[f"E_{self.of[self.cell.parts[0]]}"] = direct[part, np.newaxis]
            for i, (name, _) in enumerate(self.states):
                given[f"S{i}"] = states[name][part, np.newaxis]
                later = states[name][part.stop : part.stop + sequences]
                B[f"B{i}"] = first_of(later, sequences)
            B |= {buffer: by_step(rows, sequences)[::-1] for buffer, rows in given.items()}
            products = products_of(self.code, self.begin(p, sizes, B), sequences)
            n, done = part.stop - part.start, 0
            if sequences == 1 and n >= FEWEST and self.in_chunks is not None:
                done = self._chunked(B, products, kept, states, part.stop, sizes)
                B = {name: rows[done:] if name[0] in "ADES" else rows for name, rows in B.items()}
                B |= {
                    f"B{i}": states[name][part.stop - done]
                    for i, (name, _) in enumerate(self.states)
                }
            if done < n:
                self.code.walk(B, products)
        for name in set(states) - set(dict(self.states)):
            states[name][...] = 0.0
        at = {key: kept[buffer][:T, place] for key, (buffer, place) in self.columns}
        wide = {}
        for keys, names, buffer, first in self.wide if sequences == 1 else ():
            rows = kept[buffer]
            n = rows.shape[2]
            columns = slice(first * n, (first + len(names)) * n)
            wide[keys] = names, rows.reshape(len(rows), -1)[:T, columns]
        return Back(states, at, wide)

    # ------------------------------------------------------------------ chunks of time

    @cached_property
    def in_chunks(self) -> BackInChunks | None:
        """The step of many rows at once; None where it is no recurrence of ``net.walks.chunks``."""
        program, cell, slots = self.program, self.cell, self.layout.slots
        through = [part for part in cell.parts if before(part) in cell.by_source]
        if len(through) != 1 or len(self.rows) != 1 or self.homes[through[0]] is not None:
            return None
        (part,), ((buffer, count),) = through, self.rows
        place = cell.by_source[before(part)]
        numbers = [
            n for n, (name, _) in enumerate(self.code.products) if name.startswith(f"{place}.")
        ]
        targets = {self.stored[k] for k in cell.groups[place].targets if k in self.stored}
        reach = sorted(slots[value][1] for value in targets)
        if len(numbers) != 1 or reach != list(range(reach[0], reach[0] + len(reach))):
            return None
        kept, states = self.at, self._values(part)
        at, self.at = self.at, kept
        outputs = {slots[value]: self._own(at[key], 0) for key, value in self.stored.items()}
        for i, (name, value) in enumerate(states):
            slot = self.homes.get(name) or (f"S{i}", 0)
            taken = [v for at, v in outputs.items() if at != slot]
            outputs[slot] = self._own(value, i, taken)
            states[i] = name, outputs[slot]
        product = program.given("P", "product", self.of[part]), f"P_{self.of[part]}"
        fixed = {value: slot for slot, value in outputs.items()} | {product[0]: (product[1], 0)}
        fixed |= {i: slot for i, slot in slots.items() if slot[0][0] in "CDE"}
        groups = scheduled(program, outputs.values())
        code = Loop(Layout(program, groups, (), states, fixed))
        inner = [list(self.code.products).index(key) for key in code.products]
        chunks = BackInChunks(code, product[1], inner)
        chunks.part, chunks.buffer, chunks.number = part, buffer, numbers[0]
        chunks.reach = slice(reach[0], reach[-1] + 1)
        chunks.states = {
            name: f"S{i}" for i, (name, value) in enumerate(states) if fixed[value][0][0] == "S"
        }
        chunks.unused = [at for at in range(count) if (buffer, at) not in outputs]
        return chunks

    def _chunked(self, B: dict[str, Any], products: Sequence[Any], kept: Mapping[str, Array],
                 states: Mapping[str, Array], stop: int,
                 sizes: Mapping[str, int]) -> int:  # fmt: skip
        """How many steps of a block, from step ``stop`` back, chunks of time have filled."""
        chunks = self.in_chunks
        assert chunks is not None
        rows, last = B[chunks.buffer], kept[chunks.buffer][stop].copy()
        last[chunks.unused] = 0.0
        T, part, n = len(rows), states[chunks.part], rows.shape[2]
        M = products[chunks.number].__self__.T
        columns = slice(chunks.reach.start * n, chunks.reach.stop * n)
        besides = part[stop] - last.reshape(-1)[columns].dot(M)  # by products comes the rest
        if not np.isfinite(besides).all():
            return 0
        parts, start = {chunks.buffer: rows.reshape(T, -1)}, [last.reshape(-1)]
        for name, S in chunks.states.items():
            if name == chunks.part:
                parts[S], begin = part[stop : stop - T : -1], np.zeros(part.shape[1])
            elif name == KEPT:
                parts[S], begin = np.empty((T, part.shape[1])), besides
            else:
                parts[S], begin = states[name][stop - T : stop][::-1], states[name][stop]
            start.append(begin)
        calls = len(self.code.body)
        done = advance(chunks.recurrence(M, B, start, parts, products, sizes, calls, columns))
        part[stop - done] = rows[done - 1].reshape(-1)[columns].dot(M)
        if KEPT in chunks.states:
            part[stop - done] += parts[chunks.states[KEPT]][done - 1]
        return done

    def _side_by_side(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str, int]]:
        """The targets of each group of matrices, where they are neighbours: their keys, these as
        they lie, the buffer and the first slot."""
        for group in self.cell.groups:
            stored = [key for key in group.targets if key in self.stored]
            places = sorted((self.layout.slots[self.stored[key]], key) for key in stored)
            slots = [slot for slot, _ in places]
            if slots and slots == [
                (slots[0][0], slots[0][1] + i) for i in range(len(group.targets))
            ]:
                yield group.targets, tuple(key for _, key in places), *slots[0]


class BackInChunks(InChunks):
    """``buffer`` holds the rows, ``reach`` those of its slots that the first product takes, which
    leads to ``part``; ``unused`` are the slots that it leaves, ``states`` the others' buffers."""

    part: str
    buffer: str
    number: int
    reach: slice
    unused: list[int]
    states: dict[str, str]


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
        self.walk, self.cell, self.program = walk, walk.cell, Program(walk.program.batch)
        slots = walk.layout.slots
        leaves = [leaf for leaf in walk.diagonals if leaf in slots]
        nodes = [walk.edges[walk.diagonals[leaf]] for leaf in leaves]
        tape = tape_of(nodes, self.cell.given, self.cell.defined)
        self.keys: dict[str, int] = {}
        lowering = Lowering(self.program, tape, self._named, walk.sigma, whole=True)
        self.plain = Lines(self.program)
        places = (slots[leaf] for leaf in leaves)
        rows = [f"B[{buffer!r}][:, {at}]" for buffer, at in places]
        self.plain.into(zip(map(lowering.value, tape.outputs), rows, strict=True))
        head = ", ".join(["p", "B", *(f"k{i}" for i in self.keys.values())])
        lines = [*self.plain.lines, "return"]
        self.fill = function_of(f"fill({head})", lines, self.plain.functions)
        self.sigmoid_keys = [key for key, i in self.keys.items() if i in self.program.sigmoids]

    def _named(self, key: str) -> int:
        if key in self.cell.equations.parameters:
            return self.walk.parameter(self.program, key)
        if key not in self.keys:
            size = self.walk.of[key]
            self.keys[key] = row = self.program.given("K", key, size)
            for name, make in DEAR.items():
                if (kept := f"{name}({key})") in self.walk.dear:
                    self.keys[kept] = self.program.given("K", kept, size)
                    self.program.replace(make(self.program, row), self.keys[kept])
        return self.keys[key]

    def safe(self, trace: LayerTrace, last: int) -> bool:
        """Whether e⁻ᵃ of every sigmoid is a float in the first ``last`` steps."""
        return all(
            np.isfinite(rows := trace.given(key)[:last]).all() and rows.min(initial=0.0) > -LARGEST
            for key in self.sigmoid_keys
        )

    def run(
        self, layer: Layer, trace: LayerTrace, sizes: Mapping[str, int], part: slice
    ) -> dict[str, Array]:
        """(n, slots, H) of each size."""
        steps = part.stop - part.start
        counts = [(b, count) for b, count in self.walk.layout.counts.items() if b[0] == "D"]
        found = {b: rows_of(count, steps, sizes[b[2:]], trace.sequences) for b, count in counts}
        largest = max([rows.shape[2] for rows in found.values()], default=0)
        given = [trace.given(key)[part] for key in self.keys]
        p = self.plain.arguments(layer.own)
        for some in blocks(steps, IN_CACHE // max(largest, 1) + 1) if found else ():
            B = {b: rows[some] for b, rows in found.items()}
            self.fill(p, B, *[rows[some] for rows in given])
        return found
