"""One layer forward, by code made from its cell's equations.

What depends on x alone is computed ahead, in blocks of steps: the rows to which the products with
the state are added are one product with x. Right to relative rounding as long as e⁻ᵃ is a
float, which is looked at in the end; long walks that forget their start go in chunks
(``net.walks.chunks``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Layer
from rnngrad.net.traces import LayerTrace
from rnngrad.net.walks.by_line import Block, Lines, function_of
from rnngrad.net.walks.chunks import advance
from rnngrad.net.walks.in_chunks import InChunks
from rnngrad.net.walks.loop import (
    Layout,
    Loop,
    by_step,
    early_lines,
    first_of,
    products_of,
    room_of,
    rows_of,
    scheduled,
)
from rnngrad.net.walks.operations import DEAR, Lowering, Program

LARGEST = 700.0
"""e to it is a float, and so is a sum of two."""

FEWEST = 2000
"""Steps below which chunks are not worth the trial."""

BLOCK = 2**22
"""Numbers of sources or diagonals that are laid out together, 32 MiB: memory has no further term
in T, and the longer a block, the more chunks of time it has."""

BATCHED = 2**11
"""Rows likewise of a batch, where a step is long enough to lay out few at a time: in the cache."""


class Forward:
    """The walk of a cell, whatever its sizes; that of a ``batch`` keeps ``DEAR``, too."""

    def __init__(self, cell: Cell, sigma: str, batch: bool = False) -> None:
        self.cell, self.step, self.sigma = cell, cell.step, sigma
        shapes = cell.equations.parameters.values()
        listed = [*cell.step.sizes.values(), *(letter for shape in shapes for letter in shape)]
        self.letters = {letter: str(i) for i, letter in enumerate(dict.fromkeys(listed))}
        self.of = {key: self.letters[letter] for key, letter in cell.step.sizes.items()}
        sources = {m.source for m in self.step.matrices}
        self.definitions = {d.key: d for d in self.step.definitions}
        self.program = Program(batch)
        self.values: dict[str, int] = {}
        for d in self.step.definitions:
            if d.matrices or d.key in cell.parts or d.key in sources:
                self._value(d.key)
        self._arrange()
        self._prepare()

    # ------------------------------------------------------------------ values

    def _named(self, key: str) -> int:
        program, of = self.program, self.of
        shape = self.cell.equations.parameters.get(key)
        if shape is not None:
            return program.put("name", key, size=self.letters[shape[0]] if shape else None)
        if key == X:
            return program.put("name", key, size=of[key], level=1)
        for part in self.cell.parts:
            if key == before(part):
                return program.given("before", part, of[part])
        return self._value(key)

    def _value(self, key: str) -> int:
        if key not in self.values:
            self.values[key] = self._of_definition(key)
        return self.values[key]

    def _of_definition(self, key: str) -> int:
        one, program = self.definitions[key], self.program
        terms: list[tuple[bool, list[int]]] = []
        for m in one.matrices:
            source, size = self._named(m.source), self.of[key]
            if program.is_early(source):
                found = program.put("times", source, m.parameter, m.transposed, size=size)
                terms.append((m.sign < 0, [found]))
            else:
                block = Block(m.parameter, not m.transposed, m.sign < 0)
                name = str(self.cell.by_source[m.source])
                found = program.put("product", (source,), name, ((block,),), size=size)
                terms.append((False, [found]))
        if one.rest is not None:
            tape = tape_of([one.rest], self.cell.given, self.cell.defined)
            terms += Lowering(program, tape, self._named, self.sigma).terms(tape.outputs[0])
        value = program.sum_of(terms)
        return program.copy(value) if program.values[value].op == "product" else value

    def measured(self, layer: Layer) -> dict[str, int]:
        """The sizes by number: the code counts them and does not call them by their letters."""
        sizes = layer.sizes
        return {number: sizes[letter] for letter, number in self.letters.items() if letter in sizes}

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, values = self.program, self.program.values
        stored = {
            self.values[key]: key
            for key in self.step.stored
            if not program.is_early(self.values[key])
        }
        self.states: list[tuple[str, int]] = []
        for i, part in enumerate(self.cell.parts):
            value = self.values[part]
            kept = value in stored or value in program.sigmoids
            taken = kept or value in dict(self.states).values()
            own = program.copy(value, i) if taken or program.is_leaf(value) else value
            self.states.append((part, own))
        groups = scheduled(program, [*stored, *(v for _, v in self.states)])
        self.dear = self._dear({i for group in groups for i in group})
        when = {m: at for at, group in enumerate(groups) for m in group}
        in_product = {
            v: min(
                [when[i] for i in program.operands(v) if values[i].op == "product"],
                default=len(when),
            )
            for v in stored
        }
        order = sorted(stored, key=lambda v: (in_product[v], v not in program.sigmoids))
        order += sorted(i for i in program.sigmoids if i in when and i not in stored)
        self.keys: dict[int, str] = stored | {v: f"σ.{v}" for v in order if v not in stored}
        order += sorted(self.dear)
        self.keys |= self.dear
        self.layout = Layout(program, groups, order, self.states)
        self.code = Loop(self.layout)
        self.plain = not program.sigmoids and all(
            values[i].op not in ("multiply", "divide") for group in groups for i in group
        )
        self.wide: dict[str, list[int]] = {}
        for value in order:
            self.wide.setdefault(self.layout.slots[value][0], []).append(value)
        self.names = {b: tuple(self.keys[v] for v in of) for b, of in self.wide.items()}
        self.own = {b: sum(v not in self.dear for v in of) for b, of in self.wide.items()}
        self.sigmoids = {
            b: [place for place, v in enumerate(of) if v in program.sigmoids]
            for b, of in self.wide.items()
        }

    def _dear(self, computed: Collection[int]) -> dict[int, str]:
        """What the loop of a batch computes of that from what the trace has, by name."""
        keys = [*self.step.stored, *self.cell.parts] if self.program.batch else []
        found = {
            make(self.program, self.values[key]): f"{name}({key})"
            for key in keys
            for name, make in DEAR.items()
        }
        states = {value for _, value in self.states}
        return {v: name for v, name in found.items() if v in computed and v not in states}

    def _prepare(self) -> None:
        """What the loop needs of parameters and x."""
        program, fill = self.program, []
        self.early = early = Lines(program)
        self.alone: dict[str, str] = {}
        for key in self.step.stored:
            value = self.values[key]
            if program.is_early(value):
                self.alone[key] = f"O{len(self.alone)}"
                fill.append(f"B[{self.alone[key]!r}][...] = {early.value(value)}")
        fill += early_lines(early, self.code)
        self.begin = function_of("begin(x, p, n, B)", [*early.lines, *fill], early.functions)
        self.stored = [(key, self.keys.get(self.values[key], key)) for key in self.step.stored]
        self.stored += [(name, name) for name in self.dear.values()]

    # ------------------------------------------------------------------ chunks of time

    @cached_property
    def in_chunks(self) -> tuple[int, InChunks] | None:
        """Which part the first product takes, and the step of many rows at once; None where it is
        no recurrence of ``net.walks.chunks``."""
        values = self.program.values
        first = {
            key: members
            for key, members in self.code.products.items()
            if any(values[i].op == "before" for i in values[members[0]].args[0])
        }
        if len(first) != 1:
            return None
        ((key, members),) = first.items()
        (source,) = values[members[0]].args[0]
        part = self.cell.parts.index(values[source].args[0])
        product = self.layout.slots[members[0]][0]
        inner = [None if one == key else i for i, one in enumerate(self.code.products)]
        return part, InChunks(self.code, product, inner)

    # ------------------------------------------------------------------ the walk

    def run(
        self, layer: Layer, starts: Mapping[str, Array], x: Array, sequences: int = 1
    ) -> LayerTrace | None:
        """The trace of a layer; None where some e⁻ᵃ or value is no float, unless the code is
        ``plain``, sums and functions as the equations have them, so that inf and nan are where
        these have them. Of so many ``sequences`` the rows of a step follow one another, and
        ``starts`` are (B, n)."""
        sizes, T = self.measured(layer), len(x)
        p = self.early.arguments(layer.own)
        kept = {b: rows_of(len(of), T, sizes[b[2:]], sequences) for b, of in self.wide.items()}
        alone = {name: np.empty((T, sizes[self.of[key]])) for key, name in self.alone.items()}
        states = {}
        for part, start in starts.items():
            states[part] = np.empty((T + sequences, start.shape[-1]))
            states[part][:sequences] = start
        memory, sure = room_of(self.layout, sizes, sequences), self.plain
        for block in blocks(T, rows_together(self.layout, "G", sizes, sequences, T), sequences):
            B: dict[str, Any] = dict(memory)
            B |= {name: rows[block] for name, rows in alone.items()}
            products = products_of(self.code, self.begin(x[block], p, sizes, B), sequences)
            B |= {name: by_step(rows, sequences) for name, rows in B.items() if name[0] == "G"}
            B |= {name: by_step(rows[block], sequences) for name, rows in kept.items()}
            for i, state in enumerate(states.values()):
                after = state[block.start + sequences : block.stop + sequences, np.newaxis]
                B[f"S{i}"] = by_step(after, sequences)
                B[f"B{i}"] = first_of(state[block.start : block.start + sequences], sequences)
            done = 0
            long = sequences == 1 and block.stop - block.start >= FEWEST
            if long and self.in_chunks is not None:
                done = self._chunked(B, products, sizes)
                B = {name: rows[done:] if name[0] in "AGS" else rows for name, rows in B.items()}
                B |= {f"B{i}": rows[block.start + done] for i, rows in enumerate(states.values())}
                sure &= not done
            if done < block.stop - block.start:
                self.code.walk(B, products)
        values = {key: alone[name] for key, name in self.alone.items()}
        for buffer, rows in kept.items():
            own = rows[:, : self.own[buffer]]
            if not (sure or _safe(own, self.sigmoids[buffer])):
                return None
            for place, key in enumerate(self.names[buffer]):
                values[key] = rows[:, place]
        named = {key: values[name] for key, name in self.stored}
        return LayerTrace(x, states, named, bool(kept), sequences)

    def _chunked(self, B: dict[str, Any], products: Sequence[Any], sizes: Mapping[str, int]) -> int:
        """How many steps of a block chunks of time have filled; the others are as they were."""
        assert self.in_chunks is not None
        source, chunks = self.in_chunks
        rows = {b: B[b] for b in self.wide}
        order = [source, *(i for i in range(len(self.states)) if i != source)]
        parts = {f"S{i}": B[f"S{i}"][:, 0] for i in order} | rows
        start = [B[f"B{i}"] for i in order] + [np.zeros(of.shape[1:]) for of in rows.values()]
        M = products[chunks.inner.index(None)].__self__
        M_T = M.reshape(-1, sizes[chunks.product.partition("_")[2]], M.shape[1]).swapaxes(1, 2)
        calls = len(self.code.body)
        return advance(chunks.recurrence(M_T, B, start, parts, products, sizes, calls))


def rows_together(
    layout: Layout, kind: str, sizes: Mapping[str, int], sequences: int, steps: int
) -> int:
    """Of a walk's sources, ``kind`` G, or its diagonals, D."""
    if sequences > 1:
        return BATCHED
    if steps <= FEWEST:
        return steps
    counts = ((count, sizes[b[2:]]) for b, count in layout.counts.items() if b[0] == kind)
    return max(FEWEST, BLOCK // max(1, sum(count * size for count, size in counts)))


def blocks(steps: int, rows: int, whole: int = 1) -> list[slice]:
    """At most so many rows at a time, equally many; those that belong together stay so."""
    if steps <= rows:
        return [slice(0, steps)] if steps else []
    each = -(-steps // -(-steps // rows))
    each = -(-each // whole) * whole
    return [slice(first, min(first + each, steps)) for first in range(0, steps, each)]


def _safe(rows: Array, sigmoids: Sequence[int]) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite."""
    low = np.minimum.reduce(rows, axis=None, initial=0.0)
    high = np.maximum.reduce(rows, axis=None, initial=0.0)
    if not (isfinite(low) and isfinite(high)):
        return False
    return low > -LARGEST or all(rows[:, at].min() > -LARGEST for at in sigmoids)
