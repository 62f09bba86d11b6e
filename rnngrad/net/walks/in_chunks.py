"""The step of a walk's loop for many rows at once, as ``net.walks.chunks`` takes it: the same
lines on buffers (K, slots, H), with the first product given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.net.walks.by_line import function_of
from rnngrad.net.walks.chunks import Costs, Recurrence, State, Step
from rnngrad.net.walks.loop import Loop, buffers_of


class InChunks:
    """``product`` is the buffer of the first product, ``inner`` the places of all products of the
    code among those of the walk, None of the first."""

    def __init__(self, code: Loop, product: str, inner: Sequence[int | None]) -> None:
        self.code, self.product, self.inner = code, product, inner
        done = {f"d{i}" for i, place in enumerate(inner) if place is None}
        body = [line for line in code.body if line.partition("(")[0] not in done]
        names = {name: r for r, name in (*code.memory.items(), *code.rows.items())}
        given = {n: r for r, n in code.rows.items() if r.buffer[0] not in "AS"}
        lost = {i: row for i, row in code.after.items() if _is_lost(code, i, body)}
        first = [f"copyto(b{i}, {row})" for i, row in lost.items()]
        self.calls = len(first + body)
        self.carries = any(re.search(r"\bb\d+\b", line) for line in first + body)
        lines = ["axis = 1", *code.head()]
        lines += [f"d{i} = products[{i}]" for i, place in enumerate(inner) if place is not None]
        lines += [
            f"{n} = B[{r.buffer!r}][:, {r.slots}]" for n, r in names.items() if n not in given
        ]
        for i, row in code.after.items():
            lines.append(f"b{i} = empty({row}.shape)" if i in lost else f"b{i} = {row}")
        lines.append(f"def step({', '.join(given)}):")
        lines += [*(f"    {line}" for line in first + body or ["pass"]), "return step"]
        self.made = function_of("made(B, products)", lines, code.functions)
        self.given = [(r.buffer, slice(r.first, r.stop, r.distance)) for r in given.values()]

    def recurrence(self, M_T: Array, B: Mapping[str, Any], start: Sequence[Array],
                   parts: Mapping[str, Array], products: Sequence[Any], sizes: Mapping[str, int],
                   calls: int, columns: slice = slice(None)) -> Recurrence:  # fmt: skip
        """That of ``net.walks.chunks``: z are columns of the first of the parts; a step of the walk
        has so many ``calls``."""
        fixed = {b: rows[np.newaxis] for b, rows in B.items() if b[0] == "C"}
        fixed |= {"early": B.get("early", {})}
        inner = [_times(products[i or 0].__self__.T) for i in self.inner]

        def prepare(P: Array, s: State) -> Step:
            room = buffers_of(self.code.layout, sizes, len(s[0]))
            buffers = fixed | {b: rows.swapaxes(0, 1) for b, rows in room.items()}
            for name, rows in zip(parts, s, strict=True):
                slots = B[name].shape[1] if name[0] == "A" else 1
                buffers[name] = rows.reshape(len(rows), slots, -1)
            buffers[self.product] = P.swapaxes(0, 1) if P.ndim == 3 else P[:, np.newaxis]
            step: Step = self.made(buffers, inner)
            return step

        given = tuple(B[buffer][:, slots] for buffer, slots in self.given)
        every = sum(product.__self__.size for product in products)
        costs = Costs(  # microseconds by the number of calls, the units and the matrices
            0.8 + 0.24 * calls + every / 10500,
            3.2 + 0.36 * self.calls + every / 9500,
            M_T.shape[-1] / 64 + every / 24000,
        )
        rows = tuple(parts.values())
        return Recurrence(M_T, given, tuple(start), rows, prepare, costs, columns, self.carries)


def _is_lost(code: Loop, part: int, body: Sequence[str]) -> bool:
    """Whether the state before is overwritten before its last use, where it stands."""
    reads = [n for n, line in enumerate(body) if re.search(rf"\bb{part}\b", line)]
    buffer, at = code.layout.slots[code.layout.states[part][1]]
    over = {n for r, n in code.rows.items() if r.buffer == buffer and r.first <= at < r.stop}
    words = [re.findall(r"\w+", line) for line in body]
    outs = [found[1 if found[0] == "copyto" else -1] for found in words]
    return any(out in over for out in outs[: reads[-1]]) if reads else False


def _times(M: Array) -> Callable[[Array, Array], None]:
    """A product of many rows: (K, slots, n) each."""

    def times(source: Array, out: Array) -> None:
        out[...] = source.reshape(len(source), -1).dot(M).reshape(out.shape)

    return times
