"""Values that lie side by side, so that one call computes several; and the code of a loop.

A value has a *slot* in a buffer (slots, H), or (K, slots, H) for K rows at a time. Operations of
one kind that are ready together become one call where their results and their operands lie at equal
distances. The code holds numbers of slots and nothing of what the equations are called.

    A  what is stored a row a step    W  what is not         C  parameters    S0, S1 … the state
    X  where A begins, known ahead    G, D, E  rows given    B0, B1 … the state before
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.core.walks.values import LEAVES, Program

Slot = tuple[str, int]
"""Buffer and place in it."""

RANK = {"product": 0, "add": 1, "subtract": 1, "negative": 1, "absolute": 1, "reciprocal": 3,
        "divide": 4, "multiply": 5}  # fmt: skip
COMMUTING = ("add", "multiply")
UNARY = ("negative", "exp", "tanh", "reciprocal", "absolute", "maximum")


class Group(NamedTuple):
    """Operations of one kind that are ready together."""

    op: str
    members: list[int]


def scheduled(program: Program, wanted: Iterable[int]) -> list[Group]:
    """All operations behind what is wanted, cheap and enabling ones first."""
    needed: set[int] = set()
    stack = list(wanted)
    while stack:
        one = stack.pop()
        if one not in needed:
            needed.add(one)
            stack += program.operands(one)
    values = program.values
    done = {i for i in needed if values[i].op in LEAVES}
    left = sorted(needed - done)
    groups = []
    while left:
        ready = [i for i in left if all(j in done for j in program.operands(i))]
        best = min(ready, key=lambda i: (RANK.get(values[i].op, 2), i))
        kind = _kind(program, best)
        members = [i for i in ready if _kind(program, i) == kind]
        groups.append(Group(values[best].op, members))
        done.update(members)
        left = [i for i in left if i not in done]
    return groups


def _kind(program: Program, i: int) -> tuple[object, ...]:
    value = program.values[i]
    if value.op == "product":
        return (value.op, *value.args[:2], value.size)
    numbers = tuple(j for j in program.operands(i) if program.values[j].size is None)
    return (value.op, value.size, numbers, value.args[1:] if value.op == "power" else ())


class Layout:
    """Slots for all values of a schedule. ``stored``: chains whose rows are kept, in order (a chain
    that is ``closed`` takes nothing more in); ``starts``: a stored value and the early row that its
    slot begins with; ``states``: new value of each part; ``by_row``: whether the state before can
    lie among the values of the loop, as it can where one row goes at a time."""

    def __init__(self, program: Program, groups: list[Group], *, stored: Sequence[Sequence[int]],
                 states: Sequence[tuple[str, int]] = (), starts: Mapping[int, int] | None = None,
                 closed: bool = True, given: Mapping[int, str] | None = None,
                 by_row: bool = True, moving: bool = True, whole: bool = False,
                 fixed: Mapping[int, Slot] | None = None) -> None:  # fmt: skip
        self.program, self.groups, self.by_row, self.moving = program, groups, by_row, moving
        self.whole = whole
        self.starts, self.given, self.fixed = starts or {}, given or {}, dict(fixed or {})
        self.states = dict(states)
        self.chains: dict[int, list[int]] = {}
        self.alias: dict[int, int] = {}
        self.closed: set[int] = set()
        for value in self.starts:
            self._in_one_slot(value)
        self.kept: set[int] = set()
        self.last: dict[int, int] = {}
        for at, group in enumerate(groups):
            for member in group.members:
                for operand in program.operands(member):
                    self.last[operand] = at
        for chain in stored:
            if chain:
                self._chain(list(chain))
                self.kept.update(chain)
                if closed:
                    self.closed.add(id(self.chains[chain[0]]))
        self.final = set(self.states.values()) | self.kept
        self._state_in_place()
        for at, group in enumerate(groups):
            self._wishes(at, group)
        self._settle()

    # ------------------------------------------------------------------ who lies beside whom

    def root(self, i: int) -> int:
        while i in self.alias:
            i = self.alias[i]
        return i

    def _chain(self, members: list[int]) -> None:
        for one in members:
            self.chains[one] = members

    def _class(self, i: int) -> str:
        value = self.program.values[self.root(i)]
        if i in self.fixed:
            return "fixed"
        if value.op in ("given", "ahead", "const"):
            return (
                self.given.get(i, "C" if value.op == "const" else "G") if value.size else "number"
            )
        if value.op == "before":
            return "loop" if value.args[0] in self.movable else "fixed"
        return "number" if value.op == "number" else "loop"

    def _in_one_slot(self, value: int) -> None:
        """a = (row + p) + q: what lies between is where a is."""
        uses = [i for m in self.groups for o in m.members for i in self.program.operands(o)]
        inner = self.program.operands(value)[0]
        while self.program.values[inner].op in ("add", "subtract") and uses.count(inner) == 1:
            self.alias[inner] = value
            inner = self.program.operands(inner)[0]

    def _state_in_place(self) -> None:
        """Which parts of the state may be written where they were read."""
        where = {m: at for at, group in enumerate(self.groups) for m in group.members}
        self.in_place: set[str] = set()
        for part, value in self.states.items():
            before = self._before(part)
            used = before in self.states.values() or self.program.values[value].op == "product"
            if value not in where or used:
                continue
            if before is not None and self.last.get(before, -1) > where[value]:
                continue
            beside = [m for m in self.groups[where[value]].members if m != value]
            if not any(before in self.program.operands(m) for m in beside):
                self.in_place.add(part)
        self.steady = {self.states[part] for part in self.in_place}
        self.movable = self.in_place if self.by_row and self.moving else set()
        for part, value in self.states.items():
            if part in self.movable and value not in self.kept:
                before = self._before(part)
                if before is not None and list(self.states.values()).count(value) == 1:
                    self.alias[value] = before

    def _before(self, part: str) -> int | None:
        """The value of a part of the state before, if anything takes it."""
        found = (v for v in self.program.values if v.op == "before" and v.args[0] == part)
        value = next(found, None)
        return None if value is None else self.program.places[value]

    def _wishes(self, at: int, group: Group) -> None:
        program, members = self.program, group.members
        if group.op == "product":
            self._wish(list(program.operands(members[0])))
            self._wish(sorted(members, key=self._consumer))
            return
        alone = len(program.operands(members[0])) == 1 or all(
            program.values[program.operands(m)[-1]].op == "number" for m in members
        )
        if alone or self.whole:
            dying = {m: program.operands(m)[0] for m in members if self._in_place(m, at, members)}
            if len(dying) == len(members) or not alone:
                self.alias |= dying
        if not any(self.root(m) in self.chains for m in members):
            members = sorted(members, key=self._of_operand)
        self._wish(members)
        columns = self._columns(members)
        for column in columns:
            self._wish(column)

    def _in_place(self, member: int, at: int, members: list[int]) -> bool:
        """Whether a result may take the place of its first operand."""
        program = self.program
        first = program.operands(member)[0]
        taken = [i for m in members for i in program.operands(m)].count(first)
        dies = self._own(first) and self.last[first] == at and taken == 1
        new = member not in self.alias and member not in self.final and member not in self.chains
        return dies and new and program.values[first].size == program.values[member].size

    def _consumer(self, product: int) -> int:
        """Where what a block of a product is added to stands."""
        for group in self.groups:
            for m in group.members:
                if product in self.program.operands(m) and self.root(m) in self.chains:
                    return self._position(m)
        return product

    def _own(self, i: int) -> bool:
        return (
            self.program.values[i].op not in LEAVES
            and self.root(i) not in self.kept
            and i not in self.final
        )

    def _columns(self, members: list[int]) -> list[list[int]]:
        """The operands one after the other; those that commute turned so that equal kinds meet."""
        program = self.program
        rows = [list(program.operands(m)) for m in sorted(members, key=self._position)]
        if len(rows[0]) < 2:
            return [[row[0] for row in rows]]
        kind = [self._sort(i) for i in rows[0]]
        for row in rows[1:]:
            if (
                program.values[members[0]].op in COMMUTING
                and self._sort(row[0]) != kind[0]
                and (self._sort(row[1]) == kind[0] or self._sort(row[0]) == kind[1])
            ):
                row.reverse()
        return [[row[c] for row in rows] for c in range(2)]

    def _sort(self, i: int) -> object:
        i = self.root(i)
        return (
            id(self.chains[i]) if i in self.chains else (self._class(i), self.program.values[i].op)
        )

    def _position(self, i: int) -> int:
        i = self.root(i)
        return self.chains[i].index(i) if i in self.chains else i

    def _of_operand(self, member: int) -> tuple[Slot, int]:
        first = self.program.operands(member)[0]
        return self.fixed.get(
            first, ("", self._position(first) if first in self.chains else 0)
        ), member

    def _wish(self, members: list[int]) -> None:
        """Neighbours, if nothing that was settled before stands against it."""
        roots = list(dict.fromkeys(self.root(i) for i in members))
        kinds = {self._class(i) for i in roots}
        if len(roots) < 2 or len(kinds) > 1 or kinds <= {"number", "fixed"}:
            return
        if len({self.program.values[i].size for i in roots}) > 1:
            return
        present = [i for i in roots if i in self.chains]
        if not present:
            self._chain(roots)
            return
        chain = self.chains[present[0]]
        if any(self.chains[i] is not chain for i in present) or id(chain) in self.closed:
            return
        places = sorted(chain.index(i) for i in present)
        missing = [i for i in roots if i not in self.chains]
        if any(i not in self.steady for i in missing if i in self.states.values()):
            return
        if places != list(range(places[0], places[-1] + 1)) or not missing:
            return
        if any(self.program.values[i].op == "before" for i in missing) and self.kept & set(chain):
            return
        if places[-1] == len(chain) - 1:
            chain.extend(missing)
        elif places[0] == 0:
            chain[:0] = missing
        else:
            return
        for one in missing:
            self.chains[one] = chain

    def _settle(self) -> None:
        """Slots."""
        for part in list(self.movable):
            before = self._before(part)
            if before is not None and before in self.chains and len(self.chains[before]) > 1:
                continue
            self.movable = self.movable - {part}
            self.alias = {i: j for i, j in self.alias.items() if j != before}
        self.slots: dict[int, Slot] = dict(self.fixed)
        self.counts: dict[str, int] = {}
        self.shared = self._shared()
        listed = [m for group in self.groups for m in group.members]
        listed += [j for m in listed for j in self.program.operands(m)]
        listed = list(dict.fromkeys(list(self.chains) + listed + list(self.states.values())))
        for i in listed:
            self._place(i)
        self.final_copies = []
        for index, value in enumerate(self.states.values()):
            if self.slots[value] != (f"S{index}", 0) and self.slots[value][0][0] != "A":
                self.final_copies.append((index, value))

    def _place(self, i: int) -> None:
        root = self.root(i)
        if root not in self.slots:
            value, chain = self.program.values[root], self.chains.get(root, [root])
            parts = list(self.states)
            if value.op == "number" or value.size is None:
                self.slots[root] = ("number", root)
            elif value.op == "before" and not self.by_row:
                self.slots[root] = self._before_slot(value.args[0])
            elif value.op == "before" and value.args[0] not in self.movable:
                self.slots[root] = (f"B{parts.index(value.args[0])}", 0)
            elif root in self.starts.values() and value.op in ("ahead", "const"):
                of = next(k for k, v in self.starts.items() if v == root)
                self._place(of)
                self.slots[root] = ("X" + self.slots[of][0][1:], self.slots[of][1])
            else:
                buffer = self._home(root, chain)
                if buffer[0] == "S":
                    self.slots[root] = (buffer, 0)
                else:
                    buffer += f"_{value.size}"
                    start = self.shared.get(chain[0], self.counts.get(buffer, 0))
                    self.counts[buffer] = max(self.counts.get(buffer, 0), start + len(chain))
                    for place, one in enumerate(chain):
                        self.slots[one] = (buffer, start + place)
        self.slots[i] = self.slots[root]

    def _home(self, root: int, chain: list[int]) -> str:
        """The buffer of a chain; a part of the state that stands alone has its own."""
        if self._class(root) != "loop":
            return self._class(root)
        if self.kept & set(chain):
            return "A"
        part = next((k for k, v in enumerate(self.states.values()) if v == root), None)
        own = part is not None and (self.by_row or list(self.states)[part] in self.in_place)
        return f"S{part}" if own and len(chain) == 1 else "W"

    def _shared(self) -> dict[int, int]:
        """Where chains begin that are not kept: one takes the place of another that is done with,
        so that what lies between stays in the cache."""
        first, last = dict[int, int](), dict[int, int]()
        chains: dict[int, list[int]] = {}
        for at, group in enumerate(self.groups):
            for member in group.members:
                root = self.root(member)
                chain = self.chains.get(root, [root])
                if member in self.fixed or self._home(root, chain) != "W":
                    continue
                head = chain[0]
                chains[head] = chain
                lasting = any(self.program.values[i].op == "before" for i in chain)
                first.setdefault(head, -1 if lasting else at)
                until = (
                    len(self.groups)
                    if lasting or member in self.final
                    else self.last.get(member, at)
                )
                last[head] = max(last.get(head, at), until)
        places, busy, counts = (
            dict[int, int](),
            list[tuple[int, int, int, str | None]](),
            dict[str | None, int](),
        )
        for head in sorted(chains, key=first.__getitem__):
            size, length = self.program.values[chains[head][-1]].size, len(chains[head])
            gone = [
                one for one in busy if one[0] < first[head] and one[2] >= length and one[3] == size
            ]
            if gone:
                until, start, room, _ = min(gone, key=lambda one: one[2])
                busy.remove((until, start, room, size))
                if room > length:
                    busy.append((until, start + length, room - length, size))
            else:
                start = counts.get(size, 0)
                counts[size] = start + length
            places[head] = start
            busy.append((last[head], start, length, size))
        return places

    def _before_slot(self, part: str) -> Slot:
        """Where a part of the state stands before a step that is taken in place."""
        value = self.states[part]
        if self.program.values[value].op not in LEAVES:
            self._place(value)
            if self.slots[value][0][0] == "A":
                return self.slots[value]
        return (f"S{list(self.states).index(part)}", 0)


class Run(NamedTuple):
    """Slots at equal distances: (buffer, first, distance) of the result and of each operand."""

    length: int
    out: tuple[str, int, int]
    operands: tuple[tuple[str, int, int], ...]


def runs(layout: Layout, group: Group) -> list[Run]:
    """The calls of a group, each for as many members as lie well."""
    program, slots = layout.program, layout.slots
    members = sorted(group.members, key=lambda m: slots[m])
    rows = [[slots[m], *(slots[j] for j in program.operands(m))] for m in members]
    found, start = [], 0
    while start < len(rows):
        stop, distances = start + 1, [0] * len(rows[0])
        while stop < len(rows):
            fitting = _fitting(rows, start, stop, distances, group.op in COMMUTING)
            if fitting is None:
                break
            distances = fitting
            stop += 1
        columns = [(slot[0], slot[1], d) for slot, d in zip(rows[start], distances, strict=True)]
        found.append(Run(stop - start, columns[0], tuple(columns[1:])))
        start = stop
    return found


def _fitting(
    rows: list[list[Slot]], start: int, stop: int, distances: list[int], commuting: bool
) -> list[int] | None:
    first, last, row = rows[start], rows[stop - 1], rows[stop]
    turns = [row, [row[0], row[2], row[1]]] if commuting else [row]
    for turn in turns:
        steps = [b[1] - a[1] for a, b in zip(last, turn, strict=True)]
        same = all(a[0] == b[0] for a, b in zip(first, turn, strict=True))
        numbers = all(
            d == 0
            for d, slot in zip(steps, turn, strict=True)
            if slot[0] == "number" or slot[0][0] in "BS"
        )
        fits = same and numbers and steps[0] > 0 and all(d >= 0 for d in steps)
        if fits and (stop - start == 1 or steps == distances):
            rows[stop] = turn
            return steps
    return None


class Code:
    """The text of a loop. ``rows``: what is given or kept a row a step, (buffer, first, stop,
    distance) in the order in which the code takes them."""

    def __init__(self, layout: Layout, *, by_row: bool, whole: bool = False) -> None:
        self.layout, self.by_row, self.whole = layout, by_row, whole
        self.setup: dict[str, str] = {}
        self.row_names: dict[tuple[str, int, int, int, bool], str] = {}
        self.rows: list[tuple[str, int, int, int, bool]] = []
        self.body: list[str] = []
        self.functions: list[str] = []
        self.scalars: list[int] = []
        self.products: dict[str, int] = {}
        for group in layout.groups:
            if all(member in layout.fixed for member in group.members):
                continue
            if group.op == "product":
                self._product(group)
            else:
                for run in runs(layout, group):
                    self._call(group, run)
        for index, value in layout.final_copies:
            self.body.append(
                f"copyto({self._ref((f'S{index}', 0, 0), 1, True)}, {self._one(value)})"
            )

    # ------------------------------------------------------------------ parts of a line

    def _one(self, value: int) -> str:
        buffer, at = self.layout.slots[value]
        return self._ref((buffer, at, 0), 1, True)

    def _call(self, group: Group, run: Run) -> None:
        columns = (run.out, *run.operands)
        flat = run.length == 1 or all(d == 1 or b == "number" for b, _, d in columns)
        out, *operands = [self._ref(column, run.length, flat) for column in columns]
        if group.op == "maximum":
            self.body.append(f"maximum({operands[0]}, {self._setup('array(0.0)')}, out={out})")
        elif group.op == "copy":
            self.body.append(f"copyto({out}, {operands[0]})")
        elif group.op == "power":
            n = self.layout.program.values[group.members[0]].args[1]
            self.body.append(f"power({operands[0]}, {float(n)!r}, {out})")
        elif group.op[1:2] == ":":
            if group.op not in self.functions:
                self.functions.append(group.op)
            self.body.append(f"copyto({out}, f{self.functions.index(group.op)}({operands[0]}))")
        else:
            self.body.append(f"{group.op}({', '.join(operands)}, {out})")

    def _product(self, group: Group) -> None:
        program, layout = self.layout.program, self.layout
        value = program.values[group.members[0]]
        name = f"{value.args[1]}_{value.size}"
        number = self.products.setdefault(name, len(self.products))
        out = self._block(sorted(layout.slots[m] for m in group.members), True)
        source = self._block(sorted(layout.slots[i] for i in value.args[0]), False)
        if self.by_row:
            self.body.append(f"d{number}({source}, {out})")
        else:
            self.body.append(f"matmul({source}, M{number}, {out})")

    def _block(self, slots: list[Slot], out: bool) -> str:
        """Neighbours as one operand of a product; copied where they are none."""
        buffer, first = slots[0]
        if slots != [(buffer, first + i) for i in range(len(slots))]:
            assert not out
            beside = [self._ref((*slot, 0), 1, True) for slot in slots]
            axis = 0 if self.by_row else 1
            self.body.append(f"u{len(self.body)} = concatenate(({', '.join(beside)}), {axis})")
            return f"u{len(self.body) - 1}"
        if self.by_row:
            return self._ref((buffer, first, 1), len(slots), True)
        if len(slots) == 1 and not out:
            return self._ref((buffer, first, 0), 1, True)
        return self._setup(
            f"{buffer}[:, {first}:{first + len(slots)}]"
            + (".swapaxes(0, 1)" if out else f".reshape(len({buffer}), -1)")
        )

    def _setup(self, expression: str) -> str:
        return self.setup.setdefault(expression, f"v{len(self.setup)}")

    def _ref(self, column: tuple[str, int, int], count: int, flat: bool) -> str:
        buffer, first, distance = column
        if buffer == "number":
            place = self.layout.program.values[first].args[0]
            if self.layout.program.values[first].op == "number":
                return self._setup(f"array({self.layout.program.early[place][1]!r})")
            self.scalars.append(place)
            return self._setup(f"early[{place}]")
        count = count if distance else 1
        distance = distance or 1
        stop = first + (count - 1) * distance + 1
        if buffer[0] == "X" and self.by_row:
            buffer = "A" + buffer[1:]
        if buffer[0] == "B":
            if self.by_row:
                return f"b{buffer[1:]}"
            buffer = "S" + buffer[1:]
        memory = buffer[0] in "WCP" or (not self.by_row and buffer[0] in "AS")
        alone = count == 1 and flat
        if memory and self.by_row:
            reach = f"{buffer}[{first}:{stop}" + (f":{distance}]" if distance > 1 else "]")
            return self._setup(reach + (".reshape(-1)" if flat else ""))
        if memory or self.whole:
            if alone:
                return self._setup(f"{buffer}[:, {first}]")
            return self._setup(
                f"{buffer}[:, {first}:{stop}" + (f":{distance}]" if distance > 1 else "]")
            )
        key = (buffer, first, stop, distance, flat if self.by_row else alone)
        if key not in self.row_names:
            self.row_names[key] = f"r{len(self.rows)}"
            self.rows.append(key)
        return self.row_names[key]

    # ------------------------------------------------------------------ whole functions

    def _buffers(self) -> list[str]:
        names = dict.fromkeys(
            e.split("[")[0] for e in self.setup if "[" in e and not e.startswith("early")
        )
        return list(names)

    def _head(self) -> list[str]:
        lines = [f"{name} = B[{name!r}]" for name in self._buffers()]
        lines += ["early = B['early']"] if any(e.startswith("early") for e in self.setup) else []
        lines += [f"{name} = {expression}" for expression, name in self.setup.items()]
        lines += [f"f{i} = functions[{i}]" for i in range(len(self.functions))]
        return lines

    def _reach(self, key: tuple[str, int, int, int, bool]) -> str:
        buffer, first, stop, distance, flat = key
        if not self.by_row and flat:
            return f"B[{buffer!r}][:, {first}]"
        text = f"B[{buffer!r}][:, {first}:{stop}" + (f":{distance}]" if distance > 1 else "]")
        return text + (f".reshape(len(B[{buffer!r}]), -1)" if self.by_row and flat else "")

    def text(self) -> str:
        """def walk(B, products, functions): B has the buffers, S0 … and those given with T rows."""
        lines = ["def walk(B, products, functions):"]
        lines += [f"    {line}" for line in self._head()]
        if self.whole:
            lines += [f"    {line}" for line in self.body or ["pass"]]
            return "\n".join(lines) + "\n"
        if not self.by_row:
            lines += [f"    M{i} = products[{i}]" for i in range(len(self.products))]
            names = ", ".join(self.row_names.values())
            lines.append(f"    def step({names}):")
            lines += [f"        {line}" for line in self.body or ["pass"]]
            lines.append("    return step")
            rows = "".join(f"{self._reach(key)}, " for key in self.rows)
            lines.append(f"def given(B):\n    return ({rows})")
            return "\n".join(lines) + "\n"
        carried = self._carried()
        lines += [f"    d{i} = products[{i}]" for i in range(len(self.products))]
        lines += [f"    b{index} = B['B{index}']" for index in carried]
        lines += [f"    copyto({name}, b{index})" for index, name in self._moved()]
        names = "".join(f"{name}, " for name in self.row_names.values())
        rows = ", ".join(self._reach(key) for key in self.rows)
        if not rows:  # nothing changes from step to step
            return "\n".join([*lines, "    pass"]) + "\n"
        lines.append(f"    for {names}in zip({rows}):")
        lines += [f"        {line}" for line in self.body]
        lines += [f"        b{index} = {name}" for index, name in carried.items() if name]
        return "\n".join(lines) + "\n"

    def _moved(self) -> list[tuple[int, str]]:
        """Parts of the state that begin in a slot of the loop's own."""
        found = []
        for index, part in enumerate(self.layout.states):
            if part in self.layout.movable:
                before = self.layout._before(part)
                assert before is not None
                found.append((index, self._one(before)))
        return found

    def _carried(self) -> dict[int, str]:
        """Part -> the row that is its state before the next step."""
        found = {}
        moved = {index for index, _ in self._moved()}
        for index, value in enumerate(self.layout.states.values()):
            slot = self.layout.slots[value]
            if index in moved:
                found[index] = ""
            elif slot[0][0] == "A":
                found[index] = self._ref((*slot, 0), 1, True)
            else:
                found[index] = self._ref((f"S{index}", 0, 0), 1, True)
        return found


def compiled(text: str) -> dict[str, Callable[..., Any]]:
    """The functions of a text that ``Code`` wrote."""
    names = ("add", "subtract", "multiply", "divide", "negative", "exp", "tanh", "reciprocal",
             "absolute", "maximum", "power", "matmul", "copyto", "array",
             "concatenate")  # fmt: skip
    scope: dict[str, Any] = {name: getattr(np, name) for name in names}
    exec(compile(text, "<walk>", "exec"), scope)
    return scope
