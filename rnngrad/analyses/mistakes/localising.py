"""What is right and what is wrong where no mistake fits, and what to look at next.

On its way back a gradient reaches ∂L/∂a before the parameters meet it, and what is nearer to the
loss before what is further: so a gate of which one sum is right has a right ∂L/∂a, and the first
wrong place is the uppermost gate of which none is. Where the rows themselves are known, each place
is made of the given rows before it (``forcing``): where that fails, the mistake is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.searching import Search
from rnngrad.analyses.mistakes.single_mistakes import Element
from rnngrad.analyses.mistakes.words import Saying

MOST_NAMES = 6
MOST_PLACES = 2
SAMPLED = "two mistakes at once were looked for in a part of all pairs, as many as time allows"
AT_THE_READ_OUT = ("h", "y", "losses", "loss", "dL_dy", "dLt_dht", "dL_dW_hy", "dL_db_y")
READ_OUT = (
    "what is made before the way back is wrong already: compare your h_t and y_t, then ∂L_t/∂y_t "
    "and g'"
)
OF_THE_READ_OUT = ("dL_dW_hy", "dL_db_y")
SUM_OF_THE_READ_OUT = (
    "what goes back from the read-out is right, for other gradients are: look at the sum over the "
    "steps of this one, and at what it is multiplied by"
)
OF_X = (
    "∂L/∂x_t is what goes from ∂L/∂a_t through the matrices that x_t meets, at each step: the "
    "gradients of these matrices do not hold it"
)
ONE_ENTRY = "one entry alone is wrong, all others are right: a slip of typing or of an index?"


class Located(NamedTuple):
    """``where`` as JSON has it, two lines of words, and the same without the right partial;
    ``look`` is the line of them that is said of all arrays alike, ``hidden`` that of the hint."""

    where: Mapping[str, Any]
    words: str
    hint: str
    look: str = ""
    hidden: str = ""


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
    before_it = READ_OUT if any(case.name in AT_THE_READ_OUT for case in wrong) else ""
    through = [one for one in right if one.right.any() and _goes_back(one.name)]
    if through and all(case.name in OF_THE_READ_OUT for case in wrong):
        before_it = SUM_OF_THE_READ_OUT
    elif through and all(case.name == "dL_dx" for case in wrong):
        before_it = OF_X
    elif (
        through
        and before_it
        and all(case.name in OF_THE_READ_OUT or _goes_back(case.name) for case in wrong)
    ):
        before_it = ""
    look = hidden = ONE_ENTRY if search.is_one_entry else before_it
    if not look:
        look, hidden = _place_by_place(search)
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
            found[case.name] = Located(where, told, hint, look, hidden)
    return found


def _goes_back(name: str) -> bool:
    """Whether it is made of what goes back from the read-out to the state."""
    return name.startswith("dL_d") and name not in ("dL_dy", *OF_THE_READ_OUT)


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
                else _are_right(case.record.first_step, steps[0] - 1)
            )
        )
        return f"steps {steps[0]} to {steps[-1]} are wrong, {good}"
    shown = ", ".join(map(str, steps[:MOST_NAMES])) + (" …" if len(steps) > MOST_NAMES else "")
    return f"step{_s(steps)} {shown} {_is(steps)} wrong, all others right"


def _are_right(first: int, last: int) -> str:
    return f"step {last} is right" if first == last else f"steps {first} to {last} are right"


# ---------------------------------------------------------------------------- what to look at


def _place_by_place(search: Search) -> tuple[str, str]:
    """Where the given rows do not follow from the given rows before them (``forcing``), openly and
    hidden."""
    fed, saying = search.fed, search.saying
    if not fed.right and not fed.wrong:
        return "", ""
    if not fed.wrong:
        words = (
            "each ∂L/∂a that your sums tell follows from what you gave above it: look at the sums "
            "over the steps, and at what each parameter is multiplied by"
        )
        return words, words
    found, hidden = list[str](), list[str]()
    for (number, key), steps in list(fed.wrong.items())[:MOST_PLACES]:
        first = 0 if key.endswith("⁻") else 1
        name = f"{key[:-1]}_t" if key.endswith("⁻") else saying.gate(key)
        layer = f" in layer {number}" if search.apart.problem.depth > 1 else ""
        at = [int(row) + first for row in np.flatnonzero(steps)]
        when = "" if len(at) >= len(steps) - 1 else f" at step{_s(at)} {_and(list(map(str, at)))}"
        words = f"∂L/∂{name}{layer} does not follow{when} from what you gave above it"
        one = _only([search.elements[k] for k in fed.there[number, key]])
        found.append(words if one is None else f"{words}: {one.found.words}")
        hidden.append(words if one is None else f"{words}: {one.found.hint}")
    good = [place for place in fed.right if not place[1].endswith("⁻")]
    deep = search.apart.problem.depth > 1
    if good and (search.apart.problem.cell.gates or deep):
        names = [
            (saying.of_gate(key).removeprefix(" of gate ") or saying.name(key))
            + (f" of layer {number}" if deep else "")
            for number, key in good
        ]
        both = f"∂L/∂a of {_and(names)} do{'es' if len(names) == 1 else ''}"
        found.append(both)
        hidden.append(both)
    return "; ".join(found), "; ".join(hidden)


def _only(elements: Sequence[Element]) -> Element | None:
    """The plainest, where there is just one."""
    least = min((one.found.rank for one in elements), default=0)
    best = {one.found.key: one for one in elements if one.found.rank == least}
    return next(iter(best.values())) if len(best) == 1 else None


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
            "no sum of the cell is right: look at the step itself, and at what comes back from "
            "step t + 1"
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
