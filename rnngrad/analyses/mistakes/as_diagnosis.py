"""What was found, as a diagnosis: named where it is proven and alone, else among the candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnngrad.analyses.checking.comparing.verdicts import Diagnosis
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.mistakes.agreeing import Explained
from rnngrad.analyses.mistakes.words import Found

FEW = "too few digits are wrong to name one mistake among so many; these numbers would be those of"
EQUALS = "here these mistakes give the same numbers"
MOST_CANDIDATES = 4


def as_diagnosis(case: Case, found: Sequence[Explained], step: int | None) -> Diagnosis | None:
    """The diagnosis of one array; None where nothing was found."""
    if not found:
        return None
    if len(found) == 1 and found[0].proven:
        one, *others = found[0].found
        beside: Diagnosis | None = None
        for other in others[::-1]:
            beside = _diagnosis(other, None, step)._replace(beside=beside)
        return _diagnosis(one, found[0].error, step)._replace(beside=beside)
    shown = found[:MOST_CANDIDATES]
    heading = EQUALS if len(found) > 1 else FEW
    names = tuple(dict.fromkeys(one.bug for each in found for one in each.found))
    return Diagnosis(
        None,
        f"{heading}: {_alternatives([[one.words for one in each.found] for each in shown])}",
        max(each.error for each in found),
        step,
        names,
        hint=f"{heading}: {_alternatives([[one.hint for one in each.found] for each in shown])}",
    )


def _alternatives(ways: Sequence[Sequence[str]]) -> str:
    return "; or ".join(" and ".join(filter(None, words)) for words in ways)


def _diagnosis(one: Found, error: float | None, step: int | None) -> Diagnosis:
    factor, known = one.where.get("factor"), CATALOGUE.get(one.bug)
    words, hint = one.words, one.hint
    if not words and known is not None:
        words, hint = known.looks_like, known.hint
    where: Mapping[str, object] | None = one.where or None
    return Diagnosis(
        one.bug, words, error, step, limit=one.limit,
        factor=factor if one.bug == "scaled" else None,
        where=None if one.bug == "scaled" else where, hint=hint,
    )  # fmt: skip
