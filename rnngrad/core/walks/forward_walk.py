"""One layer forward, by code made from its cell's equations.

What depends on x alone is computed ahead, in blocks of steps: the rows from which the stored
pre-activations begin are one product with x. Where a pre-activation goes into σ alone its sign is
turned in the weights, so that e⁻ᵃ is one call. Right to relative rounding as long as e⁻ᵃ is a float,
which is looked at in the end; long walks that forget their start go in chunks (``core.chunks``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.steps import Step, before, key_of, names_in
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.problem import Layer
from rnngrad.core.traces import LayerTrace
from rnngrad.core.walks.early import Block, Early, _runs, begun, early_slots, function
from rnngrad.core.walks.fusing import Code, Layout, compiled, scheduled
from rnngrad.core.walks.values import Lowering, Program, renamed

LARGEST = 700.0
"""e to it is a float, and so is a sum of two."""

FEWEST = 400
"""Steps below which chunks are not worth the trial."""

BLOCK = 2**13
"""Steps whose sources or diagonals are laid out together: memory has no further term in T."""


class Forward:
    """The walk of a cell, whatever its sizes."""

    def __init__(self, cell: Cell, sigma: str) -> None:
        self.cell, self.step = cell, cell.step
        wanted = [d for d in self.step.definitions if d.matrices or d.key in cell.parts]
        sources = {m.source for m in self.step.matrices}
        wanted += [d for d in self.step.definitions if d.key in sources and d not in wanted]
        rests = [d for d in wanted if d.rest is not None]
        tape = renamed(tape_of([d.rest for d in rests], cell.given, cell.defined), sigma)
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
        program, of = self.program, self.step.sizes
        shape = self.cell.equations.parameters.get(key)
        if shape is not None:
            return program.early_leaf(key, shape[0] if shape else None, False)
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
                size = self.step.sizes[key]
                found = program.early_op("times", [source], m.parameter, m.transposed, size=size)
                early.add(found)
                terms.append((minus, [found]))
            else:
                turned = minus != (key in self.minus)
                name = str(self.cell.by_source[m.source])
                found = program.put("product", (source,), name, m.parameter, m.transposed, turned,
                                    size=self.step.sizes[key])  # fmt: skip
                terms.append((key in self.minus, [found]))
        if key in self.places:
            terms += self.lowering.terms(self.places[key])
        if key in self.minus:
            terms = [(not minus, f) for minus, f in terms]
        value = program.sum_of(terms)
        if program.values[value].op == "product" and key in self.step.stored:
            value = program.copy(value)
        return value

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, cell, values = self.program, self.cell, self.program.values
        self.states = [(part, self.values[part]) for part in cell.parts]
        stored = {self.values[key]: key for key in self.step.stored if not program.is_early(self.values[key])}
        wanted = list(dict.fromkeys([*stored, *(v for _, v in self.states)]))
        groups = scheduled(program, wanted)
        when = {m: at for at, group in enumerate(groups) for m in group.members}
        first_use: dict[int, int] = {}
        for definition in self.definitions:
            for operand in self._behind(self.values[definition], set(stored)):
                first_use.setdefault(operand, len(first_use))
        in_product = {
            value: min([when[i] for i in program.operands(value) if values[i].op == "product"], default=len(when))
            for value in stored
        }
        order = sorted(stored, key=lambda v: (in_product[v], stored[v] not in self.minus, first_use.get(v, 0)))
        order += sorted(i for i in program.sigmoids if i in when and i not in stored)
        self.keys: dict[int, str] = stored | {v: f"σ.{v}" for v in order if v not in stored}
        chains = [[v for v in order if values[v].size == size] for size in dict.fromkeys(values[v].size for v in order)]
        starts = {}
        for value in order:
            leaf = self._start(value)
            if leaf is not None and leaf not in starts.values():
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
            buffer: _runs([place for place, (_, v) in enumerate(of) if v in program.sigmoids])
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
            fill += begun(early, buffer, [None if v is None else self.program.values[v].args[0] for v in leaves])
        rows = early_slots(layout)
        early.rows(rows)
        for number, members in enumerate(_stacks(layout)):
            early.stack(f"M{number}", [[Block(*value.args[2:])] for value in members])
            results.append(f"M{number}.dot")
        early.lines.append(f"constants = {early.scalars(self.code.scalars)}")
        early.lines.append(f"products = ({''.join(f'{name}, ' for name in results)})")
        early.lines.append(f"parameters = {{{', '.join(f'{b!r}: {b}' for b in rows if b[0] == 'C')}}}")
        fill += [f"B[{b!r}] = {b}" for b in rows if b[0] == "G"]
        self.alone = {}
        for key in self.step.stored:
            value = self.program.values[self.values[key]]
            if value.op in ("ahead", "const"):
                self.alone[key] = f"O{len(self.alone)}"
                fill.append(f"B[{self.alone[key]!r}][...] = {early.value(value.args[0])}")
        self.early = early
        self.prepare, self.begin = early.compile(["products", "parameters", "constants", *(
            name for name in dict.fromkeys(line.split(" = ")[0] for line in early.lines) if name[:2] in ("W_", "c_"))], fill)
        self.called = [function(name) for name in self.code.functions]

    # ------------------------------------------------------------------ the walk

    def run(self, layer: Layer, starts: Mapping[str, Array], x: Array) -> LayerTrace | None:
        """The trace of a layer; None where some e⁻ᵃ or value is no float."""
        sizes, T = layer.sizes, len(x)
        p = self.early.arguments(layer.own)
        prepared = self.prepare(p, sizes)
        products, parameters, constants = prepared[:3]
        kept = {b: np.empty((T, len(of), _length(sizes, b))) for b, of in self.wide.items()}
        alone = {name: np.empty((T, sizes[self.step.sizes[key]])) for key, name in self.alone.items()}
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
        found = {key: values[self.keys.get(self.values[key], key)] for key in self.step.stored}
        return LayerTrace(x, states, found, wide)


def _late(step: Step) -> frozenset[str]:
    """The definitions that depend on the state before."""
    reached = {before(part) for part in step.state}
    for one in step.definitions:
        if {m.source for m in one.matrices} & reached or {key_of(n) for n in names_in(one.rest)} & reached:
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
            if calls and place not in tape.outputs and all(
                tape.instructions[u][:2] == ("call", "σ") for u in calls
            ) and not set(opposite) & set(tape.outputs):
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
            found.setdefault((value.args[1], value.size), sorted(group.members, key=layout.slots.__getitem__))
    return [[layout.program.values[i] for i in members] for members in found.values()]


def blocks(steps: int, rows: int) -> list[slice]:
    """So many rows at a time."""
    return [slice(first, min(first + rows, steps)) for first in range(0, steps, max(rows, 1))]


def _length(sizes: Mapping[str, int], buffer: str) -> int:
    return sizes[buffer.partition("_")[2]]


def memory_of(layout: Layout, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Room for what is not kept."""
    return {
        buffer: np.empty((count, _length(sizes, buffer)))
        for buffer, count in layout.counts.items()
        if buffer[0] == "W"
    }


def _safe(rows: Array, turned: Sequence[tuple[int, int]]) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite; signs turned."""
    low, high = rows.min(initial=0.0), rows.max(initial=0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        return False
    return bool(high < LARGEST) or all(rows[:, a:b].max(initial=0.0) < LARGEST for a, b in turned)
