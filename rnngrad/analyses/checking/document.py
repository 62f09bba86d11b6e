"""What ``--json`` prints and ``rnngrad.check`` returns, for a list of verdicts.

Hidden (``--hide-expected``) means that no reference number can be had from it: not the expected
value, and not the exact error, factor or limit that would give it back together with one's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict, worst
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE
from rnngrad.analyses.checking.diagnosing.diagnosing import alike
from rnngrad.analyses.checking.diagnosing.questions import UNKNOWN
from rnngrad.arithmetic.arrays import finite_or_none

COLUMNS = (
    "name",
    "verdict",
    "method",
    "max_rel_error",
    "worst_index",
    "expected",
    "got",
    "bug",
    "explanation",
    "rel_error_if_so",
    "first_wrong_step",
    "candidates",
    "reason",
    "note",
    "worst_entry",
    "miss_probability",
)
"""One row a quantity, for CSV and JSON Lines; the diagnosis is spread out."""


def document(checked: Sequence[Checked], *, hide_expected: bool = False) -> dict[str, object]:
    """The document of the contract; ``reason`` stands beside a verdict that is not a plain one."""
    return {
        "command": "check",
        "verdict": str(worst(entry.verdict for entry in checked)),
        "quantities": [_quantity(_hidden(entry, hide_expected)) for entry in checked],
    }


def rows(checked: Sequence[Checked], *, hide_expected: bool = False) -> Iterator[dict[str, object]]:
    """One mapping a quantity with the keys of COLUMNS and nothing nested."""
    for entry in checked:
        flat = _quantity(_hidden(entry, hide_expected))
        diagnosis = flat.pop("diagnosis") or {}
        assert isinstance(diagnosis, dict)
        flat |= {key: diagnosis.get(key) for key in COLUMNS if key not in flat}
        flat["candidates"] = " ".join(diagnosis.get("candidates", ())) or None
        flat["worst_index"] = None if entry.worst_index is None else str([*entry.worst_index])
        yield {key: flat[key] for key in COLUMNS}


def _quantity(entry: Checked) -> dict[str, object]:
    return {
        "name": entry.name,
        "verdict": str(entry.verdict),
        "method": entry.method,
        "max_rel_error": finite_or_none(entry.max_rel_error),
        "worst_index": None if entry.worst_index is None else [int(i) for i in entry.worst_index],
        "expected": finite_or_none(entry.expected),
        "got": finite_or_none(entry.got),
        "diagnosis": None if entry.diagnosis is None else _diagnosis(entry.diagnosis),
        "reason": entry.reason or None,
        "note": entry.note or None,
        "worst_entry": entry.worst_entry or None,
        "miss_probability": entry.miss,
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, object]:
    """``steps``, ``limit``, ``factor``, ``where`` and ``with`` only where the mistake has them."""
    parts: dict[str, object] = {
        "bug": diagnosis.bug,
        "explanation": diagnosis.explanation,
        "rel_error_if_so": finite_or_none(diagnosis.rel_error_if_so),
        "first_wrong_step": diagnosis.first_wrong_step,
        "candidates": list(diagnosis.candidates),
        "steps": diagnosis.steps,
        "limit": finite_or_none(diagnosis.limit),
        "factor": finite_or_none(diagnosis.factor),
        "where": None if diagnosis.where is None else dict(diagnosis.where),
        "with": None if diagnosis.beside is None else _diagnosis(diagnosis.beside),
    }
    return {key: value for key, value in parts.items() if value is not None or key not in _OPTIONAL}


_OPTIONAL = ("steps", "limit", "factor", "where", "with")


def _hidden(entry: Checked, hide: bool) -> Checked:
    """Without the reference, its error and whatever would give it back; what cannot be decided has
    no reference that could be shown."""
    if entry.verdict is Verdict.INCONCLUSIVE:
        entry = entry._replace(expected=None)
    if not hide:
        return entry
    diagnosis = None if entry.diagnosis is None else _hint(entry.diagnosis)
    return entry._replace(expected=None, max_rel_error=None, diagnosis=diagnosis)


def _hint(diagnosis: Diagnosis) -> Diagnosis | None:
    """The mistake by its name and without a formula.

    The right partial is left out of ``where``. What one's own number alone decides is left out, and
    nothing shows that it was: a number between 0 and the right one is always a clipped one, so that
    saying so would give it away by bisection.
    """
    bug = diagnosis.bug if diagnosis.agreed else None
    left = tuple(c for c in diagnosis.candidates if not _reads_off(c))
    where = diagnosis.where and {
        key: value for key, value in diagnosis.where.items()
        if key != "factor" and not (key == "right" and isinstance(value, str))
    }  # fmt: skip
    bare = diagnosis._replace(
        bug=bug, candidates=left, rel_error_if_so=None, limit=None, factor=None, where=where,
        beside=None if diagnosis.beside is None else _hint(diagnosis.beside),
        look=diagnosis.hidden,
    )  # fmt: skip
    if diagnosis.hint and (bug is not None or left or where):
        return bare._replace(explanation=diagnosis.hint)
    if bug is not None:
        return bare._replace(explanation=diagnosis.hint or CATALOGUE[bug].hint)
    if left:
        return bare._replace(explanation=alike({c: CATALOGUE[c].hint for c in left}))
    return None if bare.first_wrong_step is None else bare._replace(explanation=UNKNOWN)


def _reads_off(bug: str) -> bool:
    return bug in CATALOGUE and bool(CATALOGUE[bug].reads_off)


def shown(checked: Sequence[Checked], hide_expected: bool) -> tuple[Checked, ...]:
    """The verdicts as people may see them."""
    return tuple(_hidden(entry, hide_expected) for entry in checked)
