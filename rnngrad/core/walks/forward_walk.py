"""One layer forward, by code made from its cell's equations.

What depends on x alone is computed ahead, in blocks of steps: the rows from which the stored
pre-activations begin are one product with x. Where a pre-activation goes into σ alone its sign is
turned in the weights, so that e⁻ᵃ is one call. Right to relative rounding as long as e⁻ᵃ is a
float, which is looked at in the end; long walks that forget their start go in chunks
(``core.chunks``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rnngrad.algebra import steps
from rnngrad.algebra.equations import X
from rnngrad.algebra.steps import before, key_of, names_in
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.chunk_plans import Costs, Recurrence, State, Step
from rnngrad.core.chunks import advance
from rnngrad.core.problem import Layer
from rnngrad.core.traces import LayerTrace
from rnngrad.core.walks.early import Block, Early, begun, early_slots, function, neighbours
from rnngrad.core.walks.fusing import Code, Layout, compiled, scheduled
from rnngrad.core.walks.values import LEAVES, Lowering, Program, renamed

LARGEST = 700.0
"""e to it is a float, and so is a sum of two."""

FEWEST = 2000
"""Steps below which chunks are not worth the trial."""

BLOCK = 2**13
"""Steps whose sources or diagonals are laid out together: memory has no further term in T."""


class Forward:
    """The walk of a cell, whatever its sizes."""

    def __init__(self, cell: Cell, sigma: str) -> None:
        self.cell, self.step = cell, cell.step
        shapes = cell.equations.parameters.values()
        listed = [*cell.step.sizes.values(), *(letter for shape in shapes for letter in shape)]
        self.letters = {letter: str(i) for i, letter in enumerate(dict.fromkeys(listed))}
        self.of = {key: self.letters[letter] for key, letter in cell.step.sizes.items()}
        wanted = [d for d in self.step.definitions if d.matrices or d.key in cell.parts]
        sources = {m.source for m in self.step.matrices}
        wanted += [d for d in self.step.definitions if d.key in sources and d not in wanted]
        rests = [d for d in wanted if d.rest is not None]
        tape = renamed(
            tape_of([d.rest for d in rests if d.rest is not None], cell.given, cell.defined), sigma
        )
        self.places = {d.key: place for d, place in zip(rests, tape.outputs, strict=True)}
        self.definitions = {d.key: d for d in wanted}
        self.program = program = Program()
        self.minus = _turned(tape, _late(self.step) & frozenset(self.step.stored) - sources)
        self.lowering = Lowering(program, tape, self._named, self.minus)
        self.values: dict[str, int] = {}
        for key in self.definitions:
            self._value(key)
        self._arrange()
        self._prepare()

    # ------------------------------------------------------------------ values

    def _named(self, key: str) -> int:
        program, of = self.program, self.of
        shape = self.cell.equations.parameters.get(key)
        if shape is not None:
            return program.early_leaf(key, self.letters[shape[0]] if shape else None, False)
        if key == X:
            return program.early_leaf(key, of[key], True)
        for part in self.cell.parts:
            if key == before(part):
                return program.put("before", part, size=of[part])
        return self._value(key)

    def _value(self, key: str) -> int:
        if key not in self.values:
            self.values[key] = self._of_definition(key)
        return self.values[key]

    def _of_definition(self, key: str) -> int:
        one, program = self.definitions[key], self.program
        terms: list[tuple[bool, list[int]]] = []
        early: set[int] = set()
        for m in one.matrices:
            source, minus = self._named(m.source), m.sign < 0
            if program.is_early(source):
                size = self.of[key]
                found = program.early_op("times", [source], m.parameter, m.transposed, size=size)
                early.add(found)
                terms.append((minus, [found]))
            else:
                turned = minus != (key in self.minus)
                name = str(self.cell.by_source[m.source])
                found = program.put("product", (source,), name, m.parameter, m.transposed, turned,
                                    size=self.of[key])  # fmt: skip
                terms.append((key in self.minus, [found]))
        if key in self.places:
            terms += self.lowering.terms(self.places[key])
        if key in self.minus:
            terms = [(not minus, f) for minus, f in terms]
        value = program.sum_of(terms)
        if program.values[value].op == "product" and key in self.step.stored:
            value = program.copy(value)
        return value

    def measured(self, layer: Layer) -> dict[str, int]:
        """The sizes by number: the code counts them and does not call them by their letters."""
        sizes = layer.sizes
        return {number: sizes[letter] for letter, number in self.letters.items() if letter in sizes}

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, cell, values = self.program, self.cell, self.program.values
        self.states = [(part, self.values[part]) for part in cell.parts]
        stored = {
            self.values[key]: key
            for key in self.step.stored
            if not program.is_early(self.values[key])
        }
        wanted = list(dict.fromkeys([*stored, *(v for _, v in self.states)]))
        groups = scheduled(program, wanted)
        when = {m: at for at, group in enumerate(groups) for m in group.members}
        first_use: dict[int, int] = {}
        for definition in self.definitions:
            for operand in self._behind(self.values[definition], set(stored)):
                first_use.setdefault(operand, len(first_use))
        in_product = {
            value: min(
                [when[i] for i in program.operands(value) if values[i].op == "product"],
                default=len(when),
            )
            for value in stored
        }
        order = sorted(
            stored, key=lambda v: (in_product[v], stored[v] not in self.minus, first_use.get(v, 0))
        )
        order += sorted(i for i in program.sigmoids if i in when and i not in stored)
        self.keys: dict[int, str] = stored | {v: f"σ.{v}" for v in order if v not in stored}
        chains = [
            [v for v in order if values[v].size == size]
            for size in dict.fromkeys(values[v].size for v in order)
        ]
        starts: dict[int, int] = {}
        uses = Counter(i for v in range(len(values)) for i in program.operands(v))
        for value in order:
            leaf = self._start(value)
            if leaf is not None and uses[leaf] == 1:  # it is gone where the sum stands in its place
                starts[value] = leaf
        self.starts = starts
        self.plain = Layout(program, groups, stored=chains, states=self.states, starts=starts)
        self.code = Code(self.plain, by_row=True)
        self.functions = compiled(self.code.text())
        self.wide: dict[str, list[tuple[str, int]]] = {}
        for chain in chains:
            buffer = self.plain.slots[chain[0]][0]
            self.wide[buffer] = [(self.keys[v], v) for v in chain]
        self.names = {buffer: tuple(key for key, _ in of) for buffer, of in self.wide.items()}
        self.turned = {
            buffer: neighbours([place for place, (_, v) in enumerate(of) if v in program.sigmoids])
            for buffer, of in self.wide.items()
        }

    def _behind(self, value: int, stop: set[int]) -> list[int]:
        """The stored values that enter it directly."""
        found, stack = [], list(self.program.operands(value))[::-1]
        while stack:
            one = stack.pop()
            if one in stop:
                found.append(one)
            else:
                stack += list(self.program.operands(one))[::-1]
        return found

    def _start(self, value: int) -> int | None:
        """The early row from which a stored value is summed up."""
        values = self.program.values
        inner = value
        while values[inner].op in ("add", "subtract"):
            inner = values[inner].args[0]
            if values[inner].op in ("ahead", "const"):
                return inner if values[inner].size == values[value].size else None
        return None

    def _prepare(self) -> None:
        """What the loop needs from parameters and x."""
        layout, early = self.plain, Early(self.program)
        fill, results = [], []
        for buffer, of in self.wide.items():
            leaves = [self.starts.get(v) for _, v in of]
            fill += begun(
                early,
                buffer,
                [None if v is None else self.program.values[v].args[0] for v in leaves],
            )
        rows = early_slots(layout)
        early.rows(rows)
        for number, members in enumerate(_stacks(layout)):
            early.stack(f"M{number}", [[Block(*value.args[2:])] for value in members])
            results.append(f"M{number}.dot")
        early.lines.append(f"constants = {early.scalars(self.code.scalars)}")
        early.lines.append(f"products = ({''.join(f'{name}, ' for name in results)})")
        early.lines.append(
            f"parameters = {{{', '.join(f'{b!r}: {b}' for b in rows if b[0] == 'C')}}}"
        )
        fill += [f"B[{b!r}] = {b}" for b in rows if b[0] == "G"]
        self.alone: dict[str, str] = {}
        for key in self.step.stored:
            value = self.program.values[self.values[key]]
            if value.op in ("ahead", "const"):
                self.alone[key] = f"O{len(self.alone)}"
                fill.append(f"B[{self.alone[key]!r}][...] = {early.value(value.args[0])}")
        self.early = early
        self.prepare, self.begin = early.compile(
            [
                "products",
                "parameters",
                "constants",
                *(
                    name
                    for name in dict.fromkeys(line.split(" = ")[0] for line in early.lines)
                    if name[:2] in ("W_", "c_")
                ),
            ],
            fill,
        )
        self.called = [function(name) for name in self.code.functions]
        self.stored = [(key, self.keys.get(self.values[key], key)) for key in self.step.stored]

    # ------------------------------------------------------------------ chunks of time

    @cached_property
    def in_chunks(self) -> InChunks | None:
        """The step of many rows at once; None where it is no recurrence of ``core.chunks``."""
        program, values = self.program, self.program.values
        groups = [group for group in self.plain.groups if group.op == "product"]
        first = [
            g for g in groups if any(values[i].op == "before" for i in values[g.members[0]].args[0])
        ]
        if len(first) != 1 or any(values[v].op in LEAVES for _, v in self.states):
            return None
        members = sorted(first[0].members, key=self.plain.slots.__getitem__)
        fixed = {m: (f"P_{values[m].size}", i) for i, m in enumerate(members)}
        chains = [[v for _, v in of] for of in self.wide.values()]
        layout = Layout(program, self.plain.groups, stored=chains, states=self.states,
                        starts=self.starts, by_row=False, fixed=fixed)  # fmt: skip
        given = {i: slot for i, slot in self.plain.slots.items() if slot[0][0] in "CG"}
        if any(layout.slots.get(i, slot) != slot for i, slot in given.items()):
            return None
        (source,) = values[members[0]].args[0]
        return InChunks(layout, self.cell.parts.index(values[source].args[0]), members)

    # ------------------------------------------------------------------ the walk

    def run(self, layer: Layer, starts: Mapping[str, Array], x: Array) -> LayerTrace | None:
        """The trace of a layer; None where some e⁻ᵃ or value is no float."""
        sizes, T = self.measured(layer), len(x)
        p = self.early.arguments(layer.own)
        prepared = self.prepare(p, sizes)
        products, parameters, constants = prepared[:3]
        kept = {b: np.empty((T, len(of), _length(sizes, b))) for b, of in self.wide.items()}
        alone = {name: np.empty((T, sizes[self.of[key]])) for key, name in self.alone.items()}
        states = {}
        for part, start in starts.items():
            states[part] = np.empty((T + 1, len(start)))
            states[part][0] = start
        memory = memory_of(self.plain, sizes) | parameters
        memory["early"] = constants
        walk = self.functions["walk"]
        for block in blocks(T, BLOCK):
            B: dict[str, Any] = dict(memory)
            for name, rows in (*kept.items(), *alone.items()):
                B[name] = rows[block]
            for i, rows in enumerate(states.values()):
                B[f"S{i}"] = rows[block.start + 1 : block.stop + 1, np.newaxis]
                B[f"B{i}"] = rows[block.start]
            self.begin(x[block], p, sizes, prepared, B)
            done = 0
            if block.stop - block.start >= FEWEST and self.in_chunks is not None:
                done = self._chunked(B, products, sizes)
                B = {name: rows[done:] if name[0] in "AGS" else rows for name, rows in B.items()}
                B |= {f"B{i}": rows[block.start + done] for i, rows in enumerate(states.values())}
            if done < block.stop - block.start:
                walk(B, products, self.called)
        values, wide = {key: alone[name] for key, name in self.alone.items()}, {}
        for buffer, rows in kept.items():
            turned = self.turned[buffer]
            if not _safe(rows, turned):
                return None
            for first, stop in turned:
                np.negative(rows[:, first:stop], rows[:, first:stop])
            wide[self.names[buffer]] = rows.reshape(T, -1)
            for place, key in enumerate(self.names[buffer]):
                values[key] = rows[:, place]
        return LayerTrace(x, states, {key: values[name] for key, name in self.stored}, wide)

    def _chunked(self, B: dict[str, Any], products: Sequence[Any], sizes: Mapping[str, int]) -> int:
        """How many steps of a block chunks of time have filled; the others are as they were."""
        chunks = self.in_chunks
        assert chunks is not None
        rows = {b: B[b] for b in self.wide}
        given = {"X" + b[1:]: of.copy() for b, of in rows.items()} | {
            b: of for b, of in B.items() if b[0] == "G"
        }
        order = [chunks.source, *(i for i in range(len(self.states)) if i != chunks.source)]
        parts = (*(B[f"S{i}"][:, 0] for i in order), *rows.values())
        start = (*(B[f"B{i}"] for i in order), *(np.zeros(of.shape[1:]) for of in rows.values()))
        names = [f"S{i}" for i in order] + list(rows)
        numbers = {name: i for i, name in enumerate(self.code.products)}
        stacks = {
            name: _by_block(products[i].__self__, _width(name, sizes))
            for name, i in numbers.items()
        }
        inner = [stacks[name] for name in chunks.code.products]
        fixed = {b: of[np.newaxis] for b, of in B.items() if b[0] == "C"} | {"early": B["early"]}

        def prepare(p: Array, s: State) -> Step:
            count = len(s[0])
            buffers = fixed | chunks.memory(sizes, count) | dict(zip(names, s, strict=True))
            buffers |= {name: buffers[name][:, np.newaxis] for name in names if name[0] == "S"}
            buffers[chunks.product] = p.swapaxes(0, 1)
            step: Step = chunks.functions["walk"](buffers, inner, self.called)
            return step

        M_T = stacks[chunks.name]
        costs = costs_of(
            M_T.size,
            sum(m.size for m in inner),
            M_T.shape[2],
            len(self.code.body),
            len(chunks.code.body),
        )
        r = Recurrence(
            M_T, chunks.functions["given"](given), start, parts, prepare, costs, carries=True
        )
        done = advance(r)
        for b, of in rows.items():
            of[done:] = given["X" + b[1:]][done:]
        return done


class InChunks:
    """A step of many rows at once: what the first product takes, its blocks and its code."""

    def __init__(self, layout: Layout, source: int, members: Sequence[int]) -> None:
        self.layout, self.source = layout, source
        value = layout.program.values[members[0]]
        self.name, self.product = f"{value.args[1]}_{value.size}", layout.fixed[members[0]][0]
        self.code = Code(layout, by_row=False)
        self.functions = compiled(self.code.text())

    def memory(self, sizes: Mapping[str, int], rows: int) -> dict[str, Array]:
        """Room for what is not kept; all rows of a slot are neighbours."""
        return {b: of.swapaxes(0, 1) for b, of in memory_of(self.layout, sizes, rows).items()}


def costs_of(entries: int, inner: int, units: int, calls: int, chunk_calls: int) -> Costs:
    """Microseconds a step, from the size of the matrices, the units and the number of calls."""
    every = entries + inner
    return Costs(
        0.8 + 0.24 * calls + every / 10500,
        3.2 + 0.36 * chunk_calls + every / 9500,
        units / 64 + every / 24000,
    )


def _by_block(M: Array, rows: int) -> Array:
    """[W_1; W_2; …] -> (G, S, P), the transpose of each."""
    return M.reshape(-1, rows, M.shape[1]).swapaxes(1, 2)


def _width(name: str, sizes: Mapping[str, int]) -> int:
    return sizes[name.partition("_")[2]]


def _late(step: steps.Step) -> frozenset[str]:
    """The definitions that depend on the state before."""
    reached = {before(part) for part in step.state}
    for one in step.definitions:
        if {m.source for m in one.matrices} & reached or {
            key_of(n) for n in names_in(one.rest)
        } & reached:
            reached.add(one.key)
    return frozenset(reached)


def _turned(tape: Any, keys: frozenset[str]) -> frozenset[str]:
    """The keys that go into σ and nothing else."""
    minus = set()
    for place, one in enumerate(tape.instructions):
        if one[0] == "name" and one[1] in keys:
            users = _users(tape, place)
            opposite = [u for u in users if tape.instructions[u][0] == "neg"]
            calls = [u for u in users if u not in opposite]
            calls += [u for o in opposite for u in _users(tape, o)]
            if (
                calls
                and place not in tape.outputs
                and all(tape.instructions[u][:2] == ("call", "σ") for u in calls)
                and not set(opposite) & set(tape.outputs)
            ):
                minus.add(one[1])
    return frozenset(minus)


def _users(tape: Any, place: int) -> list[int]:
    return [
        at
        for at, (op, *args) in enumerate(tape.instructions)
        if op not in ("name", "number")
        and place in (args[1:] if op in ("call", "slope") else args[:1] if op == "power" else args)
    ]


def _stacks(layout: Layout) -> list[list[Any]]:
    """The products in the order of the code, each a list of values in the order of their slots."""
    found: dict[tuple[str, Any], list[int]] = {}
    for group in layout.groups:
        if group.op == "product":
            value = layout.program.values[group.members[0]]
            found.setdefault(
                (value.args[1], value.size), sorted(group.members, key=layout.slots.__getitem__)
            )
    return [[layout.program.values[i] for i in members] for members in found.values()]


def blocks(steps: int, rows: int) -> list[slice]:
    """At most so many rows at a time, equally many."""
    if steps <= rows:
        return [slice(0, steps)] if steps else []
    each = -(-steps // -(-steps // rows))
    return [slice(first, min(first + each, steps)) for first in range(0, steps, each)]


def _length(sizes: Mapping[str, int], buffer: str) -> int:
    return sizes[buffer.partition("_")[2]]


def memory_of(layout: Layout, sizes: Mapping[str, int], *rows: int) -> dict[str, Array]:
    """Room for what is not kept."""
    return {
        buffer: np.empty((count, *rows, _length(sizes, buffer)))
        for buffer, count in layout.counts.items()
        if buffer[0] == "W"
    }


def _safe(rows: Array, turned: Sequence[tuple[int, int]]) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite; signs turned."""
    low, high = rows.min(initial=0.0), rows.max(initial=0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        return False
    return bool(high < LARGEST) or all(rows[:, a:b].max(initial=0.0) < LARGEST for a, b in turned)
