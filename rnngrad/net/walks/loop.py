"""The code of a loop, a step a turn: operations that are ready together are one call of NumPy.

Every value has a *slot* in a buffer (slots, H). Those of one group are neighbours, in the order of
what they are computed from, so that a call runs over all of them; a group whose operands do not lie
at equal distances is several calls. The code holds numbers of slots and nothing of what the
equations are called.

    A  kept, a row a step    W  not kept          C  parameters    G  rows known ahead
    S0, S1 … the state       B0, B1 … before      P  products      all others: given rows

Of a batch a slot has one row a sequence, (B, slots, n), and lies by itself, so that a call runs
over its B·n numbers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.net.walks.by_line import Block, Lines, function_of
from rnngrad.net.walks.operations import GIVEN, Program

Slot = tuple[str, int]
"""Buffer and place in it."""

RANK = {"product": 0, "add": 1, "subtract": 1, "negative": 1, "absolute": 1, "reciprocal": 3,
        "divide": 4, "multiply": 5}  # fmt: skip


def scheduled(program: Program, wanted: Iterable[int]) -> list[list[int]]:
    """All operations behind what is wanted, cheap and enabling ones first: of one kind that are
    ready together each."""
    needed: set[int] = set()
    stack = list(wanted)
    while stack:
        one = stack.pop()
        if one not in needed and not program.is_leaf(one):
            needed.add(one)
            stack += program.operands(one)
    done: set[int] = set()
    left, groups = sorted(needed), []
    while left:
        ready = [i for i in left if all(j in done or j not in needed for j in program.operands(i))]
        best = min(ready, key=lambda i: (RANK.get(program.values[i].op, 2), i))
        group = [i for i in ready if _kind(program, i) == _kind(program, best)]
        groups.append(group)
        done.update(group)
        left = [i for i in left if i not in done]
    return groups


def _kind(program: Program, i: int) -> tuple[object, ...]:
    op, args, size = program.values[i]
    if op == "product":
        return (op, *args[:2], size)
    numbers = tuple(j for j in program.operands(i) if program.values[j].size is None)
    return (op, size, numbers, args[1:] if op == "power" else ())


class Layout:
    """Slots for all values of a schedule. ``kept``: those whose rows are kept, in order of their
    slots; ``states``: the new value of each part; ``fixed``: slots that are settled."""

    def __init__(self, program: Program, groups: Sequence[list[int]], kept: Sequence[int],
                 states: Sequence[tuple[str, int]],
                 fixed: Mapping[int, Slot] | None = None) -> None:  # fmt: skip
        self.program, self.groups = program, groups
        self.states, self.parts = states, [part for part, _ in states]
        self.slots: dict[int, Slot] = dict(fixed or {})
        self.counts: dict[str, int] = {}
        self.users: dict[int, list[int]] = {}
        for i in (m for group in groups for m in group):
            for operand in program.operands(i):
                self.users.setdefault(operand, []).append(i)
        self._new("A", kept)
        for i, (_, value) in enumerate(states):
            self.slots.setdefault(value, (f"S{i}", 0))
        for group in groups:
            self._place(group)

    def _new(self, kind: str, values: Sequence[int]) -> None:
        """Neighbours at the end of a buffer."""
        for i in values:
            buffer = f"{kind}_{self.program.values[i].size}"
            self.slots[i] = (buffer, self.counts.get(buffer, 0))
            self.counts[buffer] = self.slots[i][1] + 1

    def _place(self, group: list[int]) -> None:
        program, slots = self.program, self.slots
        group.sort(key=self._order)
        taken = [i for m in group for i in program.operands(m) if program.is_leaf(i)]
        ahead = any(program.level[i] == 1 for i in taken)
        for i in taken:
            op, args, size = program.values[i]
            if i in slots:
                continue
            if size is None:
                slots[i] = ("number", i)
            elif op == "before":
                slots[i] = (f"B{self.parts.index(args[0])}", 0)
            else:
                self._new(op if op in GIVEN else "G" if ahead else "C", [i])
        new = [m for m in group if m not in slots]
        first = [program.operands(m)[0] for m in new]
        if new and program.values[new[0]].op == "product":
            number = sum(buffer[0] == "P" for buffer in self.counts)
            self._new(f"P{number}", new)
        elif len(set(first)) == len(first) and all(map(self._dies, first)):
            slots.update((m, slots[i]) for m, i in zip(new, first, strict=True))
        else:
            self._new("W", new)

    def _order(self, member: int) -> tuple[object, ...]:
        """As the operands lie; blocks of a product as what they are added to, if that is kept."""
        slots, product = self.slots, self.program.values[member].op == "product"
        others = self.users.get(member, ()) if product else self.program.operands(member)
        return ([slots.get(i, ("~", 0)) for i in (member, *others)], member)

    def _dies(self, i: int) -> bool:
        """Whether a value's place is free for the only one that takes it."""
        (user, *others), values = self.users[i], self.program.values
        alone = not others and values[user].size == values[i].size
        return alone and self.slots[i][0][0] == "W"


Column = tuple[str, int, int]
"""Slots at equal distances: buffer, first, distance."""


def runs(layout: Layout, group: Sequence[int]) -> Iterator[tuple[int, list[Column]]]:
    """The calls of a group, each for as many members as lie well: how many, and where the result
    and each operand are."""
    slots, operands = layout.slots, layout.program.operands
    rows = sorted([slots[m], *(slots[j] for j in operands(m))] for m in group)
    start = 0
    while start < len(rows):
        stop, distances = start + 1, [0] * len(rows[0])
        while stop < len(rows) and (more := _distances(rows[stop - 1], rows[stop])):
            if stop - start > 1 and more != distances:
                break
            distances, stop = more, stop + 1
        places = zip(rows[start], distances, strict=True)
        yield stop - start, [(buffer, at, d) for (buffer, at), d in places]
        start = stop


def _distances(last: Sequence[Slot], row: Sequence[Slot]) -> list[int] | None:
    """Those with which a row of slots goes on; None where it is another call."""
    pairs = list(zip(last, row, strict=True))
    steps = [b[1] - a[1] for a, b in pairs]
    fits = all(a[0] == b[0] and (a == b or a[0] != "number") for a, b in pairs)
    return steps if fits and steps[0] > 0 and min(steps) >= 0 else None


class SlotRange(NamedTuple):
    """Slots of a buffer, and whether these are one row."""

    buffer: str
    first: int
    stop: int
    distance: int
    flat: bool

    @property
    def slots(self) -> str:
        """As they are written."""
        return f"{self.first}:{self.stop}" + (f":{self.distance}" if self.distance > 1 else "")


def _view(r: SlotRange, batch: bool) -> str:
    """The slots of a buffer, the last two axes of which are (slots, n)."""
    buffer = f"B[{r.buffer!r}]"
    if r.flat and not batch:
        if r.stop == r.first + 1:
            return f"{buffer}[..., {r.first}, :]"
        return f"{buffer}[..., {r.slots}, :].reshape(*{buffer}.shape[:-2], -1)"
    return f"{buffer}[..., {r.slots}, :]"


class Loop:
    """The text of a loop, and what it is to be given: ``scalars``, and the values of ``products``
    in the order of their slots."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.program = layout, layout.program
        self.setup: dict[str, str] = {}
        self.memory: dict[SlotRange, str] = {}
        self.rows: dict[SlotRange, str] = {}
        self.body: list[str] = []
        self.functions: list[str] = []
        self.scalars: list[int] = []
        self.products: dict[tuple[str, str | None], list[int]] = {}
        for group in layout.groups:
            if self.program.values[group[0]].op == "product":
                self._product(group)
            else:
                for count, columns in runs(layout, group):
                    self._call(group[0], count, columns)
        taken = {slot[0] for slot in layout.slots.values()}
        self.after = {
            i: self._one(layout.slots[value])
            for i, (_, value) in enumerate(layout.states)
            if f"B{i}" in taken
        }

    @cached_property
    def walk(self) -> Callable[..., None]:
        """walk(B, products)"""
        return function_of("walk(B, products)", self.lines(), self.functions)

    def _call(self, member: int, count: int, columns: Sequence[Column]) -> None:
        flat = count == 1 or all(d == 1 or b == "number" for b, _, d in columns)
        out, *operands = [self._ref(column, count, flat) for column in columns]
        op, args, _ = self.program.values[member]
        if op in ("maximum", "power"):
            number = 0.0 if op == "maximum" else float(args[1])
            operands.append(self._setup(f"array({number!r})"))
        if op[1:2] == ":":
            if op not in self.functions:
                self.functions.append(op)
            self.body.append(f"copyto({out}, F[{self.functions.index(op)}]({operands[0]}))")
        elif op == "copy":
            self.body.append(f"copyto({out}, {operands[0]})")
        else:
            self.body.append(
                f"{op}({', '.join(operands)}, {'out=' if op == 'maximum' else ''}{out})"
            )

    def _product(self, group: Sequence[int]) -> None:
        _, args, size = self.program.values[group[0]]
        slots = self.layout.slots
        number, key = len(self.products), (args[1], size)
        self.products[key] = sorted(group, key=slots.__getitem__)
        (buffer, first), *others = (slots[m] for m in self.products[key])
        assert others == [(buffer, first + 1 + i) for i in range(len(others))]
        out = self._ref((buffer, first, 1), len(group), True)
        sources = sorted(slots[i] for i in args[0])
        (buffer, first), *others = sources
        if others == [(buffer, first + 1 + i) for i in range(len(others))]:
            source = self._ref((buffer, first, 1), len(sources), True)
        else:
            source = f"concatenate(({', '.join(map(self._one, sources))}), axis)"
        self.body.append(f"d{number}({source}, {out})")

    def _one(self, slot: Slot) -> str:
        return self._ref((*slot, 0), 1, True)

    def _setup(self, expression: str) -> str:
        return self.setup.setdefault(expression, f"v{len(self.setup)}")

    def _ref(self, column: Column, count: int, flat: bool) -> str:
        buffer, first, distance = column
        if buffer == "number":
            if self.program.values[first].op == "number":
                return self._setup(f"array({self.program.values[first].args[0]!r})")
            self.scalars.append(first)
            return self._setup(f"early[{first}]")
        if buffer[0] == "B":
            return f"b{buffer[1:]}"
        stop = first + ((count - 1) * distance if distance else 0) + 1
        reach = SlotRange(buffer, first, stop, max(distance, 1), flat)
        if buffer[0] in "WCP":
            return self.memory.setdefault(reach, f"m{len(self.memory)}")
        return self.rows.setdefault(reach, f"r{len(self.rows)}")

    def lines(self) -> list[str]:
        """Those of walk(B, products): B has the buffers, (…, slots, n); those given have T rows
        before that. The sequences of a batch are one more axis before the slots."""
        batch = self.program.batch
        lines = [f"axis = {-2 if batch else -1}", *self.head()]
        lines += [f"{name} = {_view(r, batch)}" for r, name in self.memory.items()]
        lines += [f"d{i} = products[{i}]" for i in range(len(self.products))]
        lines += [f"b{i} = B['B{i}']" for i in self.after]
        rows = [_view(r, batch) for r in self.rows]
        if not rows:  # nothing changes from step to step
            return [*lines, "return"]
        lines.append(f"for {', '.join(self.rows.values())}, in zip({', '.join(rows)}):")
        after = [f"b{i} = {row}" for i, row in self.after.items()]
        return lines + [f"    {line}" for line in [*self.body, *after]]

    def head(self) -> list[str]:
        """What is set up once."""
        lines = ["early = B['early']"] if self.scalars else []
        return lines + [f"{name} = {expression}" for expression, name in self.setup.items()]


def early_lines(plain: Lines, loop: Loop) -> list[str]:
    """Lines that leave in B what a loop takes of parameters and x, and return its products."""
    layout, found = loop.layout, dict[str, list[int]]()
    for i, (buffer, _) in layout.slots.items():
        if buffer[0] in "CG":
            found.setdefault(buffer, []).append(i)
    lines = []
    for buffer, of in found.items():
        n = f"n[{buffer[2:]!r}]"
        if buffer[0] == "G":
            lines += [f"B[{buffer!r}] = rows = {_room(plain.program, len(of), n)}"]
            lines += _ahead(plain, of, n)
        else:
            lines += [f"B[{buffer!r}] = rows = empty(({len(of)}, {n}))"]
            lines += [f"rows[{at}] = {plain.value(i)}" for at, i in enumerate(of)]
    scalars = ", ".join(f"{i}: {plain.value(i)}" for i in dict.fromkeys(loop.scalars))
    lines += [f"B['early'] = {{{scalars}}}"] if scalars else []
    products = []
    for members in loop.products.values():
        sources = layout.program.operands(members[0])
        products.append(plain.product(members, sorted(sources, key=layout.slots.__getitem__)))
    return [*lines, f"return ({''.join(f'{text}.dot, ' for text in products)})"]


def _ahead(plain: Lines, leaves: Sequence[int], n: str) -> list[str]:
    """Lines that fill rows (T, slots, n), slot by slot; where all are sums with a product of x,
    it is one product, but for a batch."""
    program, count = plain.program, len(leaves)
    matrices: dict[int, list[Block]] = {}
    constants, others = dict[int, list[str]](), list[str]()
    for at, leaf in enumerate(leaves):
        for minus, i in program.sums.get(leaf, [(False, leaf)]):
            op, args, _ = program.values[i]
            if op == "times" and program.values[args[0]].op == "name":
                matrices.setdefault(at, []).append(Block(args[1], args[2], minus))
            elif program.level[i]:
                others.append(f"rows[:, {at}] {'-' if minus else '+'}= {plain.value(i)}")
            else:
                if program.values[i].size is None:
                    constants.setdefault(at, [f"zeros({n})"])
                text = f"-{plain.value(i)}" if minus else plain.value(i)
                constants.setdefault(at, []).append(text)
    if program.batch:
        lines = [
            f"dot(x, {plain.stack([matrices[at]])}.T, rows[:, {at}])"
            if at in matrices
            else f"rows[:, {at}] = 0.0"
            for at in range(count)
        ]
        lines += [f"rows[:, {at}] += {' + '.join(of)}" for at, of in constants.items()]
        return lines + others
    lines = ["flat = rows.reshape(len(rows), -1)"]
    if len(matrices) == count:
        lines.append(f"dot(x, {plain.stack(list(matrices.values()))}.T, flat)")
    else:
        for at in range(count):
            product = f"dot(x, {plain.stack([matrices[at]])}.T)" if at in matrices else "0.0"
            lines.append(f"rows[:, {at}] = {product}")
    if constants:
        rows = [" + ".join(constants.get(at, [f"zeros({n})"])) for at in range(count)]
        whole = f"concatenate(({', '.join(rows)}))" if count > 1 else rows[0]
        lines.append(f"flat += {whole}")
    return lines + others


def _room(program: Program, slots: int, n: str) -> str:
    """As ``rows_of`` has it."""
    if program.batch:
        return f"empty(({slots}, len(x), {n})).swapaxes(0, 1)"
    return f"empty((len(x), {slots}, {n}))"


def by_step(rows: Array, sequences: int) -> Array:
    """(T, …) of one sequence; (T, B, …) of a batch."""
    return rows if sequences == 1 else rows.reshape(-1, sequences, *rows.shape[1:])


def first_of(rows: Array, sequences: int) -> Array:
    """A part of the state before the first step, as the loop takes it."""
    return rows[0] if sequences == 1 else rows[:, np.newaxis]


def room_of(layout: Layout, sizes: Mapping[str, int], sequences: int) -> dict[str, Array]:
    """Room for what is not kept, (slots, n), or (B, slots, n) of a batch."""
    if sequences == 1:
        return buffers_of(layout, sizes)
    room = buffers_of(layout, sizes, sequences)
    return {buffer: rows.swapaxes(0, 1) for buffer, rows in room.items()}


def rows_of(count: int, steps: int, n: int, sequences: int) -> Array:
    """Room for so many slots of every step, (T, slots, n); of a batch each slot by itself."""
    if sequences == 1:
        return np.empty((steps, count, n))
    return np.empty((count, steps, n)).swapaxes(0, 1)


def products_of(code: Loop, products: Sequence[Any], sequences: int) -> Sequence[Any]:
    """v -> M v as the code has them; of a batch V (B, ·, n) -> V Mᵀ, slot by slot."""
    if sequences == 1:
        return products
    slots = map(len, code.products.values())
    return [_of_rows(one.__self__, count) for one, count in zip(products, slots, strict=True)]


def _of_rows(M: Array, slots: int) -> Callable[[Array, Array], object]:
    if slots == 1:
        return lambda rows, out: rows.reshape(len(rows), -1).dot(M.T, out[:, 0])
    blocks = M.reshape(slots, -1, M.shape[1]).swapaxes(1, 2)

    def product(rows: Array, out: Array) -> object:
        return np.matmul(rows.reshape(len(rows), -1), blocks, out.swapaxes(0, 1))

    return product


def buffers_of(layout: Layout, sizes: Mapping[str, int], *rows: int) -> dict[str, Array]:
    """Room for what is not kept."""
    return {
        buffer: np.empty((count, *rows, sizes[buffer.partition("_")[2]]))
        for buffer, count in layout.counts.items()
        if buffer[0] in "WP"
    }
