"""What a check says: verdicts, and the record for one quantity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Verdict(StrEnum):
    """Fail beats inconclusive beats pass."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on the whole, given those on the parts; pass where there are none."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in found:
            return verdict
    return Verdict.PASS


class Diagnosis(NamedTuple):
    """The mistake that explains a wrong array.

    ``bug`` is its id, or None where several fit equally: those are ``candidates``. ``steps``,
    ``limit`` and ``factor`` are what the mistake itself fixes (truncated, clipped, scaled);
    ``agreed`` is False where such a number was read off a single entry. ``where`` is the place of
    one that was found in the equations, or what is right where none was; ``beside`` a second one
    made together with it. ``hint`` is what is said where the expected values are hidden. ``look``
    is the end of the explanation that is said of several arrays alike, ``hidden`` that of the hint.
    """

    bug: str | None
    explanation: str
    rel_error_if_so: float | None
    first_wrong_step: int | None
    candidates: tuple[str, ...] = ()
    steps: int | None = None
    limit: float | None = None
    factor: float | None = None
    agreed: bool = True
    where: Mapping[str, Any] | None = None
    beside: Diagnosis | None = None
    hint: str = ""
    look: str = ""
    hidden: str = ""


class Checked(NamedTuple):
    """The verdict on one quantity.

    ``max_rel_error`` is relative to the largest entry of the quantity, or of its step's row; None
    where there is none (a wrong shape). ``worst_index`` is NumPy's. ``reason`` says why a verdict
    is not a plain one, ``note`` how the array was given where that is not as the contract has it.
    ``worst_entry`` is the worst index in the net's words. ``miss`` is, where rows are looked at by
    direction, an upper bound on the probability that a wrong one passes (``perturbations.miss``).
    ``limit`` is the tolerance of ``max_rel_error``, where there is one for the whole quantity.
    """

    name: str
    verdict: Verdict
    method: str
    max_rel_error: float | None = None
    worst_index: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    diagnosis: Diagnosis | None = None
    reason: str = ""
    note: str = ""
    worst_entry: str = ""
    miss: float | None = None
    limit: float | None = None


NOT_CHECKED = "not checked"
"""The method of what Ctrl-C left undone."""

INTERRUPTED = "interrupted before it was checked"


class CutShortError(KeyboardInterrupt):
    """Ctrl-C in a check: the verdicts that there are, and ``NOT_CHECKED`` for the rest."""

    def __init__(self, checked: Sequence[Checked]) -> None:
        super().__init__("interrupted")
        self.checked = list(checked)


def not_checked(name: str) -> Checked:
    """What is said of a quantity that Ctrl-C left undone."""
    return Checked(name, Verdict.INCONCLUSIVE, NOT_CHECKED, reason=INTERRUPTED)
