"""Several mistakes at once, each found by itself: every place is fed with what was given before it.

A wrong ∂L/∂a_i spoils all that comes after it on the way back. But where ∂L/∂a_t is known as it was
given, step by step, each gate can be made of the given rows of the others:

    known         ∂L/∂h_t, ∂L/∂c_t where dL_dh, dL_dc were given; ∂L/∂a of a gate where its sums
                  tell it: [∂L/∂W_x | ∂L/∂W_h | ∂L/∂b] = Σ_t ∂L/∂a_t ⊗ [x_t | h_{t−1} | 1] has one
                  solution if the T rows [x_t | h_{t−1} | 1] are independent (T ≤ I + H + 1)
    made          the rows at each known place from the known rows above it, and what is not known
                  between them, by each wrong pass

A change that makes the rows of a place that the right pass does not is proposed for it, and the
changes proposed are made together in a whole pass: that alone decides (``searching``). It is what
is called teacher forcing in training: Williams, Zipser, Neural Computation 1 (1989).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import count
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.step_graph import before
from rnngrad.analyses.checking.comparing.comparing import relative_tolerance
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.mistakes.local_partials import BACK, Plan, Wrong
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.single_mistakes import Element, compatible, together
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.given_arrays import Mask

Place = tuple[int, str]
"""A layer and a key of its graph, or a part of the state."""

WORST = 1e6
"""The condition of the rows [x_t | h_{t−1} | 1] beyond which the sums do not tell ∂L/∂a_t."""
SLACK = 100.0
MOST_PLACES = 4
MOST_WAYS, MOST_TRIES = 3, 12


class Known(NamedTuple):
    """Rows as they were given (T, n), T+1 rows of a part of the state, and how exactly they are
    known, relative to the largest of a step; of those that were found from sums, of all steps."""

    rows: Mapping[Place, Array]
    exact: Mapping[Place, float]
    summed: frozenset[Place]


class Forced(NamedTuple):
    """What the passes make of the known rows: the places that the right one makes as they are, the
    wrong ones and at which rows; ``by`` the numbers of the passes that make each wrong one as it
    is, ``there`` of those that do at its wrong rows."""

    right: tuple[Place, ...]
    wrong: Mapping[Place, Mask]
    by: Mapping[Place, Sequence[int]]
    there: Mapping[Place, Sequence[int]]


def known(cases: Sequence[Case], apart: Apart) -> Known:
    """The rows that the given arrays tell."""
    rows: dict[Place, Array] = {}
    exact: dict[Place, float] = {}
    given = {case.name: case for case in cases}
    for number, part in enumerate(apart.problem.cell.parts):
        case = given.get(f"dL_d{part}")
        if case is None or case.got.typed:
            continue
        for layer in apart.layers:
            columns = layer.layer.parts[number]
            rows[layer.number, before(part)] = case.got.values[:, columns]
            exact[layer.number, before(part)] = relative_tolerance(case.got, case.rtol)
    for layer in apart.layers:
        for key in layer.graph.links:
            found = _of_the_sums(given, apart, layer.number, key)
            if found is not None:
                rows[layer.number, key], exact[layer.number, key] = found
    return Known(rows, exact, frozenset(place for place in rows if not place[1].endswith("⁻")))


def _of_the_sums(
    given: Mapping[str, Case], apart: Apart, number: int, key: str
) -> tuple[Array, float] | None:
    """∂L/∂ of a sum of an equation from all that was given of its parameters; None where these do
    not determine it, or contradict each other."""
    layer, cell = apart.layers[number], apart.problem.cell
    place = {
        part: (whole, i) for whole, parts in cell.blocks.items() for i, part in enumerate(parts)
    }
    met, sums, rtol = [], [], 0.0
    for part, terms in layer.terms.items():
        if not any(term.target == key for term in terms):
            continue
        (term, *others) = terms
        whole, i = place.get(part, (part, 0))
        case = given.get(f"dL_d{whole}{layer.layer.suffix}")
        if case is None or others or case.got.typed or case.got.values.ndim == 0:
            continue
        block = np.split(case.got.values, len(cell.blocks.get(whole, (part,))))[i]
        rtol = max(rtol, relative_tolerance(case.got, case.rtol))
        if term.matrix is None:
            if not np.all(term.beside == 1.0):
                continue
            met.append(np.ones((layer.steps, 1)))
            sums.append(block[:, np.newaxis])
        else:
            met.append(term.beside)
            sums.append(term.matrix.sign * (block.T if term.matrix.transposed else block))
    if not met:
        return None
    V, G = np.concatenate(met, axis=1), np.concatenate(sums, axis=1)
    if V.shape[1] < layer.steps or not np.isfinite(G).all():
        return None
    left, values, right = np.linalg.svd(V, full_matrices=False)
    if values[-1] * WORST < values[0]:
        return None
    found = left @ ((right @ G.T) / values[:, np.newaxis])
    condition = float(values[0] / values[-1])
    off = np.abs(V.T @ found - G.T).max(initial=0.0)
    if off > SLACK * rtol * np.abs(G).max(initial=0.0):
        return None
    return found, rtol * condition


# ---------------------------------------------------------------------------- forced passes


def forced(
    told: Known, apart: Apart, elements: Sequence[Element], base: Sequence[Element] = ()
) -> Forced:
    """Every wrong pass fed with the known rows, each together with those of ``base``."""
    before_it = reduce(together, (one.wrong for one in base), Wrong())
    wrong = _off(told, _fed(told, apart, [before_it]))
    bad = {place: steps[0] for place, steps in wrong.items() if steps.any()}
    by: dict[Place, list[int]] = {place: [] for place in bad}
    there: dict[Place, list[int]] = {place: [] for place in bad}
    tried = [
        k for k, one in enumerate(elements)
        if _may_be(one) and all(compatible(one, other) for other in base)
    ]  # fmt: skip
    size = int(np.clip(2**21 // (apart.problem.state_size * (apart.steps + 1)), 1, 512))
    for start in range(0, len(tried) if bad else 0, size):
        some = tried[start : start + size]
        off = _off(told, _fed(told, apart, [together(before_it, elements[k].wrong) for k in some]))
        for place in bad:
            by[place] += [k for k, steps in zip(some, off[place], strict=True) if not steps.any()]
            at = off[place][:, bad[place]]
            there[place] += [k for k, steps in zip(some, at, strict=True) if not steps.any()]
    return Forced(tuple(place for place in wrong if place not in bad), bad, by, there)


def _may_be(one: Element) -> bool:
    return one.wrong.clipped is None and one.wrong.carry is None


def _fed(told: Known, apart: Apart, wrongs: Sequence[Wrong]) -> dict[Place, Array]:
    """The rows (T, K, n) that each pass makes at every known place; T+1 at a part of the state."""
    K, S, steps = len(wrongs), apart.problem.state_size, apart.steps
    dL_da_y = np.stack(
        [apart.dL_da_y if one.dL_da_y is None else one.dL_da_y for one in wrongs], axis=1
    )
    direct = np.zeros((steps + 1, K, S))
    direct[1:, :, apart.problem.layers[-1].state[0]] = apart.direct(dL_da_y)
    plans = [layer.plan(wrongs, BACK) for layer in apart.layers]
    made: dict[Place, Array] = {
        place: np.zeros((len(rows), K, rows.shape[1])) for place, rows in told.rows.items()
    }
    keys = [
        {key: rows for (number, key), rows in told.rows.items()
         if number == layer.number and not key.endswith("⁻")}
        for layer in apart.layers
    ]  # fmt: skip
    rows = direct[steps]
    for t in range(steps, -1, -1):
        for layer in apart.layers:
            for part, columns in zip(apart.problem.cell.parts, layer.layer.state, strict=True):
                place = (layer.number, before(part))
                if place in told.rows:
                    made[place][t] = rows[:, columns]
                    rows[:, columns] = told.rows[place][t]
        if t == 0:
            break
        rows = direct[t - 1] + _step(apart, rows, t - 1, plans, keys, made)
    return made


def _step(
    apart: Apart, rows: Array, row: int, plans: Sequence[Plan],
    keys: Sequence[Mapping[str, Array]], made: dict[Place, Array],
) -> Array:  # fmt: skip
    found = np.zeros_like(rows)
    from_above: Array | None = None
    for layer in apart.layers[::-1]:
        parts = [rows[:, columns] for columns in layer.layer.state]
        if from_above is not None:
            parts[0] = parts[0] + from_above
        seen: dict[str, Array] = {}
        at = layer.pull(
            parts, plans[layer.number], row, to_x=layer.number > 0,
            known=keys[layer.number], seen=seen,
        )  # fmt: skip
        for key, values in seen.items():
            made[layer.number, key][row] = values
        for part, columns in zip(apart.problem.cell.parts, layer.layer.state, strict=True):
            if before(part) in at:
                found[:, columns] = at[before(part)]
        from_above = at.get("x")
    return found


def _off(told: Known, made: Mapping[Place, Array]) -> dict[Place, Mask]:
    """Which steps of which pass are not as given, (K, T)."""
    found = {}
    for place, rows in told.rows.items():
        gap = np.abs(made[place] - rows[:, np.newaxis]).max(axis=2)
        scale = np.maximum(np.abs(made[place]).max(axis=2), np.abs(rows).max(axis=1)[:, np.newaxis])
        if place in told.summed:
            scale = np.broadcast_to(scale.max(axis=0, keepdims=True), scale.shape)
        found[place] = (gap > SLACK * told.exact[place] * scale + 1e-300).T
    return found


def proposals(
    told: Known, apart: Apart, elements: Sequence[Element]
) -> Iterator[tuple[Element, ...]]:
    """Changes that are made together: for the first wrong place on the way back each that makes it
    right, then for the next one that is still wrong with it, and so on."""
    tried = count()

    def more(base: tuple[Element, ...]) -> Iterator[tuple[Element, ...]]:
        found = forced(told, apart, elements, base)
        if not found.wrong:
            yield base
            return
        first = min(found.wrong, key=lambda place: _on_the_way_back(apart, place))
        numbers = found.by[first]
        rank = min((elements[k].found.rank for k in numbers), default=0)
        ways = {elements[k].found.key: elements[k] for k in reversed(numbers)
                if elements[k].found.rank == rank}  # fmt: skip
        for one in list(ways.values())[:MOST_WAYS]:
            if len(base) < MOST_PLACES and next(tried) < MOST_TRIES:
                yield from more((*base, one))

    if told.rows:
        yield from more(())


def _on_the_way_back(apart: Apart, place: Place) -> tuple[int, int]:
    """The uppermost layer first, what is computed last first, the state before at the end."""
    number, key = place
    order = [*apart.graph.before, *apart.graph.links]
    return -number, -order.index(key)
