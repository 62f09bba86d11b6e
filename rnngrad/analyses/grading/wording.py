"""Explanations as hints: what is wrong with a formula, in a sentence or two for a student.

With ``hide`` a hint says what kind of mistake there is and on which path, without the formula,
the factor or the limit from which the right answer could be had.
"""

from __future__ import annotations

from rnngrad.algebra.writing import written
from rnngrad.analyses.derivation.chain_rules import of_the_sheet
from rnngrad.analyses.grading.explaining import Explanation, Mistake
from rnngrad.analyses.grading.hints import THROUGH
from rnngrad.analyses.grading.points import constant_factor
from rnngrad.analyses.grading.reference import Task, Way
from rnngrad.net.problem import Problem

NOT_EQUAL = "not equal to the derivative asked"
"""Where nothing is known of a mistake."""

SHOWN = 3
"""Mistakes named in one hint."""


def hint(problem: Problem, task: Task, explanation: Explanation, *, hide: bool) -> str:
    """The first few mistakes; a plain sentence where nothing is known."""
    c = explanation.coefficients
    if not explanation.found:
        return NOT_EQUAL
    factor = constant_factor(c) if not (explanation.mistakes or explanation.unknown) else None
    if factor is not None:
        return _factor_words(task, factor, hide)
    if len(task.ways) == 1 and (there := _beside(explanation)) is not None:
        return there
    words = _mistakes(task, explanation.mistakes, hide)
    tried = {found.way for found in explanation.mistakes}
    words += _coefficients(problem, task, explanation, tried, hide)
    if explanation.unknown and explanation.found:
        words.append(_counted(explanation.unknown, "summand is", "summands are") + " no path")
    more = len(words) - SHOWN
    return "; ".join(words[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _beside(explanation: Explanation) -> str | None:
    """What is said of several summands where the answer is one product; None of a single one, or of
    a path that does not belong here."""
    c, unknown, mistakes = explanation.coefficients, explanation.unknown, explanation.mistakes
    if len(mistakes) + unknown + bool(c.any()) < 2:
        return None
    if c.any() and not unknown and all(one.known.bug == THROUGH for one in mistakes):
        return None
    return "there is a summand too many" if c.any() else NOT_EQUAL


def _factor_words(task: Task, factor: float, hide: bool) -> str:
    if factor == -1.0:
        inner = " (the inner derivative of t − y is −1)" if task.id in ("a1", "a2") else ""
        return "the sign is wrong" + ("" if hide else inner)
    if hide:
        return "a constant factor is wrong" + (", and the sign" if factor < 0 else "")
    sign = " and of the wrong sign" if factor < 0 else ""
    if abs(factor) == 0.5:
        return f"a factor 2 is missing{sign and ', and the sign is wrong'}"
    return f"too large by the factor {abs(factor):.6g}{sign}"


def _mistakes(task: Task, all_found: list[Mistake], hide: bool) -> list[str]:
    """Each mistake once, with the path that it is on, or on how many."""
    by_words: dict[tuple[str, bool], list[Mistake]] = {}
    for found in all_found:
        by_words.setdefault((found.known.hint, found.flipped), []).append(found)
    words = (
        _mistake(task, same[0], hide, len({found.way for found in same}))
        for same in by_words.values()
    )
    return list(dict.fromkeys(words))


def _mistake(task: Task, found: Mistake, hide: bool, paths: int) -> str:
    said = found.known.hidden if hide else found.known.hint
    way = task.ways[found.way]
    where = f" ({paths} paths)" if paths > 1 else f" (path {_named(task, way)})"
    where = where if len(task.ways) > 1 and not hide else ""
    return f"{said}{where}{', and the sign is wrong' if found.flipped else ''}"


def _coefficients(
    problem: Problem, task: Task, explanation: Explanation, tried: set[int], hide: bool
) -> list[str]:
    """Paths that are missing, flipped, or there too often; those tried and missed are said."""
    words, c = [], explanation.coefficients
    missing = [i for i in range(len(c)) if c[i] == 0 and i not in tried]
    if missing and len(c) > 1:
        reason = (
            ""
            if explanation.unknown or len(missing) == 1
            else _reason(problem, task, missing, hide)
        )
        words.append(reason or _missing(task, missing, hide))
    for index, value in enumerate(c):
        if value in (0.0, 1.0):
            continue
        path = (
            f"the path {_named(task, task.ways[index])}" if not hide else _vaguely(task.ways[index])
        )
        if value == -1.0:
            words.append(f"{path} has the wrong sign")
        elif hide:
            words.append(f"{path} has a wrong factor")
        else:
            words.append(f"{path} is there with the factor {value:.6g}")
    return words


def _reason(problem: Problem, task: Task, missing: list[int], hide: bool) -> str:
    """What the missing paths have in common, if that is a known mistake."""
    ways, gone = task.ways, {task.ways[i] for i in missing}
    if task.weight is not None and gone == {w for w in ways if _earlier(w)}:
        state = "every path through earlier states is missing"
        numbers = " (25–28)" if of_the_sheet(problem) else ""
        return state if hide else f"{state}: ∂h_t/∂{task.weight} holds h_{{t−1}} fixed{numbers}"
    first_steps = {w for w in ways if w.k == 1}
    if task.weight == "W_hh" and problem.h_0.any() and gone == first_steps:
        return "the paths that end in ∂h_1/∂W_hh are missing: h_0 is not 0 here"
    return ""


def _missing(task: Task, missing: list[int], hide: bool) -> str:
    """Which paths are missing."""
    ways, gone = task.ways, {task.ways[i] for i in missing}
    from_losses = sorted({w.t for w in gone if w.t is not None})
    whole = [t for t in from_losses if {w for w in ways if w.t == t} <= gone]
    if len(gone) > 1 and whole == from_losses:
        names = ", ".join(f"L_{t}" for t in whole[:6]) + (", .." if len(whole) > 6 else "")
        return f"every path from {names} is missing"
    if len(gone) == 1:
        return _one_missing(task, task.ways[missing[0]], hide)
    count = f"{len(gone)} of {len(ways)} paths are missing"
    if hide:
        return f"{count}, from {', '.join(f'L_{t}' for t in from_losses[:6])}"
    return f"{count}: {', '.join(_named(task, ways[i]) for i in missing[:3])}" + (
        ", .." if len(missing) > 3 else ""
    )


def _one_missing(task: Task, way: Way, hide: bool) -> str:
    if hide:
        return f"a path from L_{way.t} is missing"
    return f"the path {_named(task, way)} is missing: {written(way.tree)}"


def _earlier(way: Way) -> bool:
    return way.t is not None and way.k is not None and way.k < way.t


def _vaguely(way: Way) -> str:
    return f"a path from L_{way.t}"


def _named(task: Task, way: Way) -> str:
    """L_3 → h_3 → h_2 → W_xh"""
    if way.t is None:
        return written(task.asked)
    if way.k is None:
        return f"L_{way.t} → y_{way.t}"
    states = list(range(way.t, way.k - 1, -1))
    shown = (
        [f"h_{s}" for s in states] if len(states) <= 5 else [f"h_{states[0]}", "..", f"h_{way.k}"]
    )
    return " → ".join([f"L_{way.t}", *shown, *([task.weight] if task.weight else [])])


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
