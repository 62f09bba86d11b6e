"""One layer backward, by code made from the graph of its cell's step.

All diagonals are computed ahead of the loop, a few hundred rows at a time, values and slopes
together, and lie side by side as the loop takes them: one multiply for all edges of a vertex.
A vertex that one edge alone leads to needs no multiply of its own: its edges begin where that one
does, with the factors multiplied ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rnngrad.algebra.derivatives import added, is_one, product
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.steps import before, names_in
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.chunk_plans import Recurrence, State, Step
from rnngrad.core.chunks import advance
from rnngrad.core.problem import Layer
from rnngrad.core.traces import Back, LayerTrace
from rnngrad.core.walks.early import Block, Early, early_slots, function
from rnngrad.core.walks.forward_walk import (
    BLOCK,
    FEWEST,
    LARGEST,
    Forward,
    InChunks,
    _length,
    blocks,
    costs_of,
    memory_of,
)
from rnngrad.core.walks.fusing import Code, Layout, compiled, scheduled
from rnngrad.core.walks.values import LEAVES, Lowering, Program, renamed

IN_CACHE = 2**13
"""Numbers of h taken together where several functions follow one another."""

KEPT = "kept"
"""What comes to a part of the state besides products, until these are taken."""

Edge = tuple[str, str]
"""(target, source)"""


class Backward:
    """The walk of a cell, whatever its sizes."""

    def __init__(self, forward: Forward, sigma: str) -> None:
        self.forward, self.cell, self.step, self.sigma = (
            forward,
            forward.cell,
            forward.cell.step,
            sigma,
        )
        self.of, self.letters, self.measured = forward.of, forward.letters, forward.measured
        self.edges = _rerouted(self.cell)
        self.program = Program()
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
                whole = program.put("given", "product", size=of[part])
                if self.besides:
                    whole = program.op("add", whole, program.put("before", KEPT, size=of[part]))
                else:
                    whole = program.copy(whole)
                into[part] = [whole]
            elif before(part) in reached:
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
                    into.setdefault(source, []).append(
                        self._through(total, (target, source), factor)
                    )
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
                states.append((part, total))
                self.besides = besides if before(part) in cell.by_source else self.besides
        return states

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
            tape = renamed(tape_of([factor], self.cell.given, self.cell.defined), self.sigma)
            return program.op(
                "multiply", row, Lowering(program, tape, self._parameter).value(tape.outputs[0])
            )
        leaf = program.put("given", edge, size=self.of[edge[1]])
        self.diagonals[leaf] = edge
        return program.op("multiply", leaf, row)

    def _parameter(self, key: str) -> int:
        shape = self.cell.equations.parameters[key]
        return self.program.early_leaf(key, self.letters[shape[0]] if shape else None, False)

    def _total(self, key: str, into: Mapping[str, list[int]]) -> int | None:
        """∂L/∂key: what comes by products and by diagonals."""
        found = list(into.get(key, ()))
        place = self.cell.by_source.get(key)
        if place is not None:
            of = self.of
            by_size: dict[str, dict[int, list[Any]]] = {}
            for m in self.cell.groups[place].matrices:
                if m.target in self.at:
                    by_size.setdefault(of[m.target], {}).setdefault(self.at[m.target], []).append(m)
            for size, rows in by_size.items():
                found.insert(
                    0,
                    self.program.put(
                        "product",
                        tuple(rows),
                        f"{place}.{size}",
                        tuple(map(tuple, rows.values())),
                        size=of[key],
                    ),
                )
        return self.program.folded("add", found) if found else None

    # ------------------------------------------------------------------ slots and code

    def _arrange(self) -> None:
        program, cell, of = self.program, self.cell, self.of
        targets: dict[str, list[int]] = {}
        for place, group in enumerate(cell.groups):
            for key in group.targets:
                targets.setdefault(key, []).append(place)
        self.targets = targets
        self.stored, self.chains = self._chains(targets)
        taken = [v for chain in self.chains for v in chain]
        groups = scheduled(program, [*taken, *(v for _, v in self.states)])
        leaves = dict.fromkeys(self.diagonals, "D")
        direct = program.put("given", "direct", size=of[cell.parts[0]])
        self.layout = Layout(program, groups, stored=self.chains, states=self.states, closed=False,
                             moving=False, given=leaves,
                             fixed={direct: (f"E_{of[cell.parts[0]]}", 0)})  # fmt: skip
        self.code = Code(self.layout, by_row=True)
        self.walk = compiled(self.code.text())["walk"]
        self.prepare, self.early = prepared(
            program, self.layout, self.code, self._stacks(), ".T.dot"
        )
        self.called = [function(name) for name in self.code.functions]
        self.wide = list(self._side_by_side())
        slots, new = self.layout.slots, dict(self.states)
        self.rows = [
            (b, count, b.partition("_")[2])
            for b, count in self.layout.counts.items()
            if b[0] == "A"
        ]
        self.homes = [
            (
                part,
                of[part],
                slots[new[part]] if part in new and slots[new[part]][0][0] == "A" else None,
            )
            for part in cell.parts
        ]
        self.never = [part for part in cell.parts if part not in new]
        self.columns = [(key, slots[value]) for key, value in self.stored.items()]
        self.direct = f"E_{of[cell.parts[0]]}"

    def _chains(self, targets: Mapping[str, list[int]]) -> tuple[dict[str, int], list[list[int]]]:
        """What matrices bring about, by key, and in the order in which it shall lie."""
        program, of = self.program, self.of
        values = program.values
        order = sorted(
            (key for key in targets if key in self.at),
            key=lambda k: (targets[k][0], targets[k][-1], self.at[k]),
        )
        taken: dict[int, str] = {}
        for key in order:
            if values[self.at[key]].op in ("given", "before"):
                self.at[key] = program.copy(self.at[key])
            taken.setdefault(self.at[key], key)
        chains: dict[str, list[int]] = {}
        for value, key in taken.items():
            chains.setdefault(of[key], []).append(value)
        return {key: self.at[key] for key in order}, list(chains.values())

    def _stacks(self) -> list[list[list[Block]]]:
        """For each product of the code the matrices of each source, in the order of the slots."""
        found: dict[str, list[list[Block]]] = {}
        for group in self.layout.groups:
            for member in group.members if group.op == "product" else ():
                value = self.program.values[member]
                pairs = sorted(
                    zip(value.args[0], value.args[2], strict=True),
                    key=lambda p: self.layout.slots[p[0]],
                )
                found[f"{value.args[1]}_{value.size}"] = [
                    [Block(name, transposed, sign < 0) for _, _, name, transposed, sign in matrices]
                    for _, matrices in pairs
                ]
        return [found[name] for name in self.code.products]

    # ------------------------------------------------------------------ the walk

    def run(self, layer: Layer, trace: LayerTrace, direct: Array, last: int) -> Back | None:
        """From step ``last`` on; ``direct`` (T, n) is what enters at the first part besides. None
        where some e⁻ᵃ is no float."""
        if not trace.wide and not self.terms.safe(trace, last):
            return None
        sizes, T = self.measured(layer), len(direct)
        kept = {b: np.empty((T + 1, count, sizes[size])) for b, count, size in self.rows}
        states: dict[str, Array] = {}
        for part, size, slot in self.homes:
            states[part] = (
                np.empty((T + 1, sizes[size])) if slot is None else kept[slot[0]][:, slot[1]]
            )
            states[part][last:] = 0.0
        for rows in kept.values():
            rows[last:] = 0.0
        products, parameters, constants = self.prepare(self.early.arguments(layer.own), sizes)[:3]
        memory: dict[str, Any] = memory_of(self.layout, sizes) | parameters | {"early": constants}
        for part in reversed(blocks(last, BLOCK)):
            B: dict[str, Any] = dict(memory)
            diagonals = self.terms.run(layer, trace, part)
            for buffer, rows in diagonals.items():
                B[buffer] = rows[::-1]
            for buffer, rows in kept.items():
                B[buffer] = rows[part][::-1]
            B[self.direct] = direct[part][::-1, np.newaxis]
            for i, (name, _) in enumerate(self.states):
                B[f"S{i}"] = states[name][part][::-1, np.newaxis]
                B[f"B{i}"] = states[name][part.stop]
            n, done = part.stop - part.start, 0
            if n >= FEWEST and self.in_chunks is not None:
                done = self._chunked(B, products, kept, states, part.stop, sizes)
                B = {name: rows[done:] if name[0] in "ADES" else rows for name, rows in B.items()}
                B |= {
                    f"B{i}": states[name][part.stop - done]
                    for i, (name, _) in enumerate(self.states)
                }
            if done < n:
                self.walk(B, products, self.called)
        for name in self.never:
            states[name][...] = 0.0
        at = {key: kept[buffer][:T, place] for key, (buffer, place) in self.columns}
        wide = {}
        for keys, names, buffer, first in self.wide:
            rows = kept[buffer]
            n = rows.shape[2]
            wide[keys] = names, rows.reshape(T + 1, -1)[:T, first * n : (first + len(names)) * n]
        return Back(states, at, wide)

    # ------------------------------------------------------------------ chunks of time

    @cached_property
    def in_chunks(self) -> BackInChunks | None:
        """The step of many rows at once; None where it is no recurrence of ``core.chunks``."""
        cell, layout = self.cell, self.layout
        through = [part for part in cell.parts if before(part) in cell.by_source]
        rows = [buffer for buffer in layout.counts if buffer[0] == "A"]
        if len(through) != 1 or len(rows) != 1 or through[0] not in dict(self.states):
            return None
        (part,), (buffer,) = through, rows
        kept = self.at, self.stored, self.chains
        turned = self._values(part)
        stored, chains = self._chains(self.targets)
        self.at, self.stored, self.chains = kept
        direct = self.program.put("given", "direct", size=self.of[cell.parts[0]])
        product = self.program.put("given", "product", size=self.of[part])
        fixed = {i: slot for i, slot in layout.slots.items() if slot[0][0] in "DEC"}
        fixed |= {direct: layout.slots[direct], product: (f"P_{self.of[part]}", 0)}
        groups = scheduled(
            self.program, [*(v for chain in chains for v in chain), *(v for _, v in turned)]
        )
        found = Layout(self.program, groups, stored=chains, states=turned, closed=False,
                       moving=False, by_row=False, fixed=fixed)  # fmt: skip
        same = all(found.slots[v] == layout.slots[self.stored[key]] for key, v in stored.items())
        same &= found.counts[buffer] == layout.counts[buffer]
        for name, value in turned:
            if name in dict(self.states):
                slot = found.slots[value], layout.slots[dict(self.states)[name]]
                same &= slot[0] == slot[1] or slot[0][0][0] == slot[1][0][0] == "S"
        targets = sorted(
            found.slots[stored[key]]
            for key in dict.fromkeys(cell.groups[cell.by_source[before(part)]].targets)
        )
        same &= targets == [(buffer, targets[0][1] + i) for i in range(len(targets))]
        if not same or any(self.program.values[v].op in LEAVES for _, v in turned):
            return None
        name = next(
            n for n in self.code.products if n.startswith(f"{cell.by_source[before(part)]}.")
        )
        return BackInChunks(found, buffer, part, turned, name, (targets[0][1], targets[-1][1] + 1))

    def _chunked(self, B: dict[str, Any], products: Sequence[Any], kept: Mapping[str, Array],
                 states: Mapping[str, Array], stop: int,
                 sizes: Mapping[str, int]) -> int:  # fmt: skip
        """How many steps of a block, from step ``stop`` back, chunks of time have filled."""
        chunks = self.in_chunks
        assert chunks is not None
        rows, last = B[chunks.buffer], kept[chunks.buffer][stop]
        count, n = rows.shape[1:]
        T = len(rows)
        part = states[chunks.part]
        names, parts, start = [], [], []
        for i, (name, value) in enumerate(chunks.states):
            if chunks.layout.slots[value][0][0] == "A":
                continue
            names.append(f"S{i}")
            if name == chunks.part:
                parts.append(part[stop : stop - T : -1])
                start.append(np.zeros(part.shape[1]))
            elif name == KEPT:
                parts.append(np.empty((T, part.shape[1])))
                start.append(np.zeros(part.shape[1]))
            else:
                parts.append(states[name][stop - T : stop][::-1])
                start.append(states[name][stop])
        matrices = {name: products[i].__self__.T for i, name in enumerate(self.code.products)}
        inner = [matrices[name][np.newaxis] for name in chunks.code.products]
        fixed = {b: of[np.newaxis] for b, of in B.items() if b[0] == "C"} | {"early": B["early"]}

        def prepare(p: Array, s: State) -> Step:
            buffers = fixed | chunks.memory(sizes, len(p))
            buffers[chunks.buffer] = s[0].reshape(len(p), count, n)
            buffers |= {name: of[:, np.newaxis] for name, of in zip(names, s[1:], strict=True)}
            buffers[chunks.product] = p[:, np.newaxis]
            step: Step = chunks.functions["walk"](buffers, inner, self.called)
            return step

        M = matrices[chunks.name]
        costs = costs_of(
            M.size,
            sum(m.size for m in inner),
            M.shape[1],
            len(self.code.body),
            len(chunks.code.body),
        )
        columns = slice(chunks.reach[0] * n, chunks.reach[1] * n)
        given = chunks.functions["given"](B)
        r = Recurrence(M, given, (last.reshape(-1), *start), (rows.reshape(T, -1), *parts),
                       prepare, costs, columns, carries=True)  # fmt: skip
        done = advance(r)
        part[stop - done] = rows[done - 1].reshape(-1)[columns].dot(M)
        for i, (name, value) in enumerate(chunks.states):
            if name == KEPT:
                slot = chunks.layout.slots[value]
                beside = (
                    rows[done - 1, slot[1]]
                    if slot[0][0] == "A"
                    else parts[names.index(f"S{i}")][done - 1]
                )
                part[stop - done] += beside
        return done

    def _side_by_side(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str, int]]:
        """The targets of each group of matrices, where they are neighbours: their keys, these as
        they lie, the buffer and the first slot."""
        for group in self.cell.groups:
            places = sorted(
                (self.layout.slots[self.stored[key]], key)
                for key in group.targets
                if key in self.stored
            )
            if not places:
                continue
            (buffer, first), _ = places[0]
            if [slot for slot, _ in places] == [
                (buffer, first + i) for i in range(len(group.targets))
            ]:
                yield group.targets, tuple(key for _, key in places), buffer, first


class BackInChunks(InChunks):
    """``buffer`` holds the rows, ``reach`` those of its slots that the first product takes, which
    leads to ``part``."""

    def __init__(self, layout: Layout, buffer: str, part: str, states: Sequence[tuple[str, int]],
                 name: str, reach: tuple[int, int]) -> None:  # fmt: skip
        self.layout, self.buffer, self.part, self.states = layout, buffer, part, states
        self.name, self.reach, self.product = name, reach, "P_" + name.partition("_")[2]
        self.code = Code(layout, by_row=False)
        self.functions = compiled(self.code.text())


def prepared(
    program: Program, layout: Layout, code: Code, stacks: Sequence[list[list[Block]]], end: str
) -> tuple[Callable[..., Any], Early]:
    """What a loop needs from parameters: products, vectors and single numbers."""
    early = Early(program)
    rows = early_slots(layout)
    early.rows(rows)
    for number, stack in enumerate(stacks):
        early.stack(f"M{number}", stack)
    early.lines.append(
        f"products = ({''.join(f'M{number}{end}, ' for number in range(len(stacks)))})"
    )
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
            key: (f"T{buffer[1:]}", at)
            for buffer, of in walk.forward.wide.items()
            for at, (key, _) in enumerate(of)
        }
        self.keys: dict[str, str] = {}
        lowering = Lowering(program, tape, self._named, whole=True)
        chains: dict[str, list[int]] = {}
        taken: set[int] = set()
        for edge, place in zip(edges, tape.outputs, strict=True):
            value = lowering.value(place)
            beside = program.values[value].op in (
                "given",
                "const",
                "number",
                "reciprocal",
                "tanh",
                "exp",
            )
            if value in taken or beside or program.values[value].size is None:
                value = program.put("copy", value, len(taken), size=walk.of[edge[1]])
            taken.add(value)
            chains.setdefault(walk.of[edge[1]], []).append(value)
        groups = scheduled(program, [v for chain in chains.values() for v in chain])
        self.layout = Layout(program, groups, stored=list(chains.values()), by_row=False,
                             whole=True, fixed=self.fixed)  # fmt: skip
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
            size = self.walk.letters[shape[0]] if shape else None
            return self.program.early_leaf(key, size, False)
        leaf = self.program.put("given", key, size=self.walk.of[key])
        if key in self.places:
            self.fixed[leaf] = self.places[key]
        else:
            self.keys.setdefault(key, f"K{len(self.keys)}_{self.walk.of[key]}")
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
        sizes, counts, steps = self.walk.measured(layer), self.layout.counts, part.stop - part.start
        found = {
            b: np.empty((steps, count, _length(sizes, b)))
            for b, count in counts.items()
            if b[0] == "A"
        }
        if not found:
            return found
        largest = max(rows.shape[2] for rows in found.values())
        rows = min(IN_CACHE // max(largest, 1) + 1, steps)
        _, parameters, constants = self.prepare(self.early.arguments(layer.own), sizes)[:3]
        C = {b: of[np.newaxis] for b, of in parameters.items()}
        W = {
            b: np.empty((count, rows, _length(sizes, b)))
            for b, count in counts.items()
            if b[0] == "W"
        }
        given = self._given(trace, part) | found
        for some in blocks(steps, rows):
            B: dict[str, Any] = {
                b: of[:, : some.stop - some.start].swapaxes(0, 1) for b, of in W.items()
            }
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
