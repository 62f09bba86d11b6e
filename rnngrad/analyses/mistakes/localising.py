"""What is right and what is wrong where no mistake fits, and what to look at next.

On its way back a gradient reaches ∂L/∂a before the parameters meet it, and what is nearer to the
loss before what is further: so a gate of which one sum is right has a right ∂L/∂a, and the first
wrong place is the uppermost gate of which none is. With ∂L/∂s_t step by step each row is compared
with what follows from the row after it, as it was given: where that fails, the mistake is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.steps import before
from rnngrad.analyses.checking.comparing import relative_tolerance
from rnngrad.analyses.checking.fitting import Case
from rnngrad.analyses.mistakes.elements import Element
from rnngrad.analyses.mistakes.passes import BACK, Apart
from rnngrad.analyses.mistakes.saying import Saying
from rnngrad.analyses.mistakes.searching import Search
from rnngrad.arithmetic.arrays import Array, Integers

MOST_NAMES = 6
SAMPLED = "two mistakes at once were looked for in a part of all pairs, as many as time allows"
ONE_ENTRY = "one entry alone is wrong, all others are right: a slip of typing or of an index?"


class Located(NamedTuple):
    """``where`` as JSON has it, two lines of words, and the same without the right partial."""

    where: Mapping[str, Any]
    words: str
    hint: str


class Blocks(NamedTuple):
    """Which parameters of the equations are right and wrong, by the names of the equations."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]


def located(wrong: Sequence[Case], right: Sequence[Case], search: Search) -> dict[str, Located]:
    """name of a wrong array -> where to look; nothing where nothing can be told."""
    apart, saying = search.apart, search.saying
    blocks = [blocks_of(case, apart) for case in (*wrong, *right)]
    right_blocks = {name for one in blocks for name in one.right}
    wrong_blocks = {name for one in blocks for name in one.wrong}
    look, hidden = (ONE_ENTRY, ONE_ENTRY) if search.is_one_entry else _in_the_rows(wrong, search)
    if not look:
        look = hidden = _in_the_gates(right_blocks, wrong_blocks, apart, saying)
    if search.sampled:
        look, hidden = (f"{one}; {SAMPLED}" if one else SAMPLED for one in (look, hidden))
    found = {}
    for case in wrong:
        where: dict[str, Any] = {"right": [one.name for one in right]}
        words = []
        own = blocks_of(case, apart)
        rows = _rows(case, own, apart)
        if rows:
            where["wrong_rows"] = rows
            good = [gate for gate in _gates_of(own.right, apart) if gate not in rows]
            if good:
                words.append(
                    f"gate{_s(rows)} {_and(rows)} {_is(rows)} wrong, {_and(good)} {_is(good)} right"
                )
        steps = _wrong_steps(case)
        if steps is not None:
            where["steps"] = steps
            words.append(_said_steps(case, steps))
        if right and not words:
            names = [one.name for one in right]
            words.append(f"{_and(names)} {_is(names)} right")
        if words or len(wrong) > 1 or search.is_one_entry:
            told, hint = ("; ".join(filter(None, (*words, one))) for one in (look, hidden))
            found[case.name] = Located(where, told, hint)
    return found


# ---------------------------------------------------------------------------- rows and steps


def blocks_of(case: Case, apart: Apart) -> Blocks:
    """The blocks of one array of a parameter; nothing of other arrays."""
    base, _, number = case.name.partition(".")
    name, cell = base.removeprefix("dL_d"), apart.problem.cell
    if base == name or name not in cell.parameters or case.compared is None:
        return Blocks((), ())
    parts = cell.blocks.get(name, (name,))
    masks = np.split(case.compared.wrong, len(parts)) if len(parts) > 1 else [case.compared.wrong]
    suffix = f".{number}" if number else ""
    good = tuple(p + suffix for p, m in zip(parts, masks, strict=True) if not m.any())
    return Blocks(good, tuple(p + suffix for p, m in zip(parts, masks, strict=True) if m.any()))


def _rows(case: Case, own: Blocks, apart: Apart) -> list[str]:
    return _gates_of(own.wrong, apart) if len(own.right) + len(own.wrong) > 1 else []


def _gates_of(names: Sequence[str], apart: Apart) -> list[str]:
    """The gates whose rows these are."""
    cell = apart.problem.cell
    place = {part: i for parts in cell.blocks.values() for i, part in enumerate(parts)}
    return [cell.gates[place[name.partition(".")[0]]] for name in names
            if name.partition(".")[0] in place and cell.gates]  # fmt: skip


def _wrong_steps(case: Case) -> list[int] | None:
    if case.record.first_step is None or case.compared is None:
        return None
    rows = case.compared.wrong.reshape(len(case.right), -1).any(axis=1)
    return [int(row) + case.record.first_step for row in np.flatnonzero(rows)]


def _said_steps(case: Case, steps: Sequence[int]) -> str:
    """steps 5 to 12 are right, 4 and before wrong."""
    assert case.record.first_step is not None
    last = len(case.right) - 1 + case.record.first_step
    if steps and list(steps) == list(range(steps[0], steps[-1] + 1)) and len(steps) > 1:
        good = (
            "no step is right"
            if len(steps) == len(case.right)
            else (
                _are_right(steps[-1] + 1, last)
                if steps[-1] < last
                else f"steps up to {steps[0] - 1} are right"
            )
        )
        return f"steps {steps[0]} to {steps[-1]} are wrong, {good}"
    shown = ", ".join(map(str, steps[:MOST_NAMES])) + (" …" if len(steps) > MOST_NAMES else "")
    return f"step{_s(steps)} {shown} {_is(steps)} wrong, all others right"


def _are_right(first: int, last: int) -> str:
    return f"step {last} is right" if first == last else f"steps {first} to {last} are right"


# ---------------------------------------------------------------------------- what to look at


def _in_the_rows(wrong: Sequence[Case], search: Search) -> tuple[str, str]:
    """Where a row ∂L/∂s_{t−1} does not follow from the row ∂L/∂s_t as given, openly and hidden;
    needs all parts."""
    apart = search.apart
    problem = apart.problem
    given = {case.name: case for case in wrong}
    rows = np.array(apart.right.dL_ds[:, 0])
    if not any(f"dL_d{part}" in given for part in problem.cell.parts):
        return "", ""
    for number, part in enumerate(problem.cell.parts):
        case = given.get(f"dL_d{part}")
        if case is None:
            continue
        rows[:, apart.columns(number)] = case.got.values
    known = [number for number, part in enumerate(problem.cell.parts)
             if f"dL_d{part}" in given or _is_right(f"dL_d{part}", wrong)]  # fmt: skip
    if len(known) < len(problem.cell.parts):
        return "", ""
    steps = _broken(rows, apart, [case for case in wrong if case.name.startswith("dL_d")])
    if not len(steps):
        words = "each row follows from the one after it: the mistake is in what each loss hands on"
        return words, words
    element = _element_of(rows, steps, search)
    first = ", ".join(f"{t} to {t - 1}" for t in steps[:3]) + (" …" if len(steps) > 3 else "")
    words = f"∂L/∂s_{{t−1}} does not follow from your own ∂L/∂s_t on the way from step {first}"
    if element is None:
        return words, words
    return f"{words}; there {element.found.words}", f"{words}; there {element.found.hint}"


def _is_right(name: str, wrong: Sequence[Case]) -> bool:
    return all(case.name != name for case in wrong)


def _followed(rows: Array, apart: Apart, wrongs: Sequence[Element]) -> Array:
    """What follows for ∂L/∂s_{t−1} from each row ∂L/∂s_t, (T, K, S), the direct part included."""
    K = max(1, len(wrongs))
    wide = np.repeat(rows[:, np.newaxis], K, axis=1)
    found = np.zeros((apart.steps, K, rows.shape[1]))
    from_above: Array | None = None
    for layer in apart.layers[::-1]:
        parts = [wide[1:, :, columns] for columns in layer.layer.state]
        if from_above is not None:
            parts[0] = parts[0] + from_above
        plan = layer.plan([one.wrong for one in wrongs], BACK)
        at = layer.pull(parts, plan, None, to_x=True)
        for part, columns in zip(apart.problem.cell.parts, layer.layer.state, strict=True):
            if before(part) in at:
                found[:, :, columns] = at[before(part)]
        from_above = at.get("x")
    direct = np.zeros((apart.steps + 1, rows.shape[1]))
    direct[1:, apart.problem.layers[-1].state[0]] = apart.direct(apart.dL_da_y)
    return found + direct[:-1, np.newaxis]


def _broken(rows: Array, apart: Apart, cases: Sequence[Case]) -> Integers:
    """The steps t from which ∂L/∂s_{t−1} does not follow, the last first."""
    made = _followed(rows, apart, [])[:, 0]
    off = _is_off(rows, made, cases)
    return np.flatnonzero(off)[::-1] + 1


def _is_off(rows: Array, made: Array, cases: Sequence[Case]) -> Any:
    rtol = max(relative_tolerance(case.got, case.rtol) for case in cases)
    half = max(
        (float(case.got.half_unit.max()) for case in cases if case.got.half_unit is not None),
        default=0.0,
    )
    scale = np.maximum(np.abs(made).max(axis=-1), np.abs(rows[:-1]).max(axis=-1))
    tolerance = np.maximum(10.0 * rtol * scale, 4.0 * half) + 1e-300
    return (np.abs(rows[:-1] - made) > tolerance[:, np.newaxis]).any(axis=-1)


def _element_of(rows: Array, steps: Integers, search: Search) -> Element | None:
    """The one change of the graph that makes the rows of these steps, where there is just one."""
    apart, every = search.apart, [one for one in search.elements if one.wrong.changes]
    at = steps - 1
    found: dict[object, Element] = {}
    for start in range(0, len(every), 128):
        some = every[start : start + 128]
        made = _followed(rows, apart, some)[at]
        scale = np.abs(made).max(axis=(0, 2)) + 1e-300
        off = np.abs(made - rows[:-1][at][:, np.newaxis]).max(axis=(0, 2)) / scale
        for k in np.flatnonzero(off < 1e-8):
            found.setdefault(some[int(k)].found.key, some[int(k)])
    least = min((one.found.rank for one in found.values()), default=0)
    best = [one for one in found.values() if one.found.rank == least]
    return best[0] if len(best) == 1 else None


def _in_the_gates(right: set[str], wrong: set[str], apart: Apart, saying: Saying) -> str:
    """The first gate on the way back of which no sum is right."""
    cell = apart.problem.cell
    layer = apart.layers[-1]
    good, bad = set[str](), dict[str, str]()
    for part in cell.equations.parameters:
        names = {part, part + layer.layer.suffix}
        for term in layer.terms[part]:
            if names & right:
                good.add(term.target)
            elif names & wrong:
                bad.setdefault(term.target, part)
    for key in reversed(apart.graph.links):
        if key in bad and key in good:
            return (
                f"∂L/∂{saying.name(key)} is right, from {saying.equation(key)}: look at what "
                f"{bad[key]} is multiplied by, and at the sum over the steps"
            )
    for key in reversed(apart.graph.links):
        if key not in bad or key in good:
            continue
        above = [
            f"∂{saying.name(target)}/∂{saying.name(key)}"
            for target, links in apart.graph.links.items()
            for link in links if link.source == key
        ]  # fmt: skip
        if good:
            place = above[0] if above else f"∂L/∂{saying.name(key)}"
            return f"first wrong on the way back: {saying.equation(key)}; look at {place}"
        return (
            "no gate's sums are right: look at what comes back from step t + 1 first, then at "
            "∂L_t/∂h_t"
        )
    return ""


# ---------------------------------------------------------------------------- words


def _and(names: Sequence[str]) -> str:
    shown = list(names[:MOST_NAMES]) + (["…"] if len(names) > MOST_NAMES else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _s(names: Sequence[object]) -> str:
    return "" if len(names) == 1 else "s"


def _is(names: Sequence[object]) -> str:
    return "is" if len(names) == 1 else "are"
