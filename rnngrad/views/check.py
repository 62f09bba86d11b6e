"""Verdicts as a report: an overview, then in words what is wrong or undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict, worst
from rnngrad.analyses.checking.diagnosing.questions import BATCH, EMPTY, SINGLE, SWAPPED
from rnngrad.analyses.checking.document import COLUMNS, document, rows, shown
from rnngrad.analyses.checking.old_results import Changes
from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.problem import Problem
from rnngrad.version import __version__
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.numbers import apart, number
from rnngrad.views.provenance import provenance
from rnngrad.views.report import Cell, Report


def report(
    checked: Sequence[Checked],
    *,
    heading: Sequence[str],
    hide_expected: bool,
    of: Problem | Batch | Bidirectional,
    old: Mapping[str, object] | None = None,
) -> Report:
    """What the formats need of a check ``of`` a problem; ``heading`` says whose gradients, and how
    they are judged, ``old`` what became of an older result.

    A diagnosis' explanation and a ``reason`` are shown as they are: whoever writes them keeps
    reference numbers out of them.
    """
    return Report(
        blocks=lambda: _blocks(shown(checked, hide_expected), heading, old),
        document=lambda: _document(checked, hide_expected, of, old),
        columns=COLUMNS,
        rows=lambda: _rows(checked, hide_expected),
        provenance=lambda: (provenance(of),),
    )


def _document(
    checked: Sequence[Checked],
    hide_expected: bool,
    of: Problem | Batch | Bidirectional,
    old: Mapping[str, object] | None,
) -> dict[str, object]:
    verdicts = document(checked, hide_expected=hide_expected)
    kind = {"command": verdicts.pop("command")}
    more = {} if old is None else {"old": dict(old)}
    return {**kind, "version": __version__, "spec": provenance(of)._asdict(), **verdicts, **more}


def _rows(checked: Sequence[Checked], hide_expected: bool) -> Iterator[tuple[Cell, ...]]:
    for row in rows(checked, hide_expected=hide_expected):
        yield tuple(_cell(value) for value in row.values())


def _cell(value: object) -> Cell:
    return value if isinstance(value, str | int | float) else None


def _blocks(
    checked: tuple[Checked, ...],
    heading: Sequence[str],
    old: Mapping[str, object] | None = None,
) -> Iterator[Block]:
    """Of an ``old`` result of rnngrad's nobody is to be told a mistake: what changed since is."""
    yield Lines(tuple(heading), titled=True)
    yield _overview(checked)
    noted = dict.fromkeys(f"{entry.name}: {entry.note}" for entry in checked if entry.note)
    if noted:
        yield Lines(("; ".join(noted),))
    fails = [entry for entry in checked if entry.verdict is Verdict.FAIL]
    wrong = fails if old is None else []
    for group in _together(wrong):
        yield Lines(tuple(_in_words(group)), titled=True)
    looks = dict.fromkeys(e.diagnosis.look for e in wrong if e.diagnosis and e.diagnosis.look)
    for look in looks:
        yield Lines((f"where to look: {look}",))
    yield from _undecided(checked)
    remarks = tuple(dict.fromkeys(_remark(entry) for entry in checked if _has_remark(entry)))
    if remarks:
        yield Lines(remarks)
    if old is not None:
        yield Lines(("What has changed", *(f"* {words}" for words in Changes(old).words)))
    yield Lines((_summary(checked),), coloured="verdict")


def _overview(checked: tuple[Checked, ...]) -> Table:
    """A row a quantity; where no error is known there is no such column."""
    columns = [Column("quantity", right=False), Column("verdict", right=False, coloured="verdict")]
    errors = any(entry.max_rel_error is not None for entry in checked)
    if errors:
        columns.append(Column("largest error"))
    columns += [Column("method", words=True), Column("at", words=True)]
    table = []
    for entry in checked:
        error = [_error(entry)] if errors else []
        verdict = entry.verdict.upper() if entry.verdict is Verdict.FAIL else str(entry.verdict)
        table.append((entry.name, verdict, *error, entry.method, _at(entry.worst_entry)))
    return Table("Verdicts", tuple(columns), tuple(table))


def _undecided(checked: tuple[Checked, ...]) -> Iterator[Block]:
    """The undecided quantities, those with the same reason together."""
    undecided = [entry for entry in checked if entry.verdict is Verdict.INCONCLUSIVE]
    for reason in dict.fromkeys(entry.reason for entry in undecided):
        entries = [entry for entry in undecided if entry.reason == reason]
        if len(entries) == 1:
            yield Lines(tuple(_in_words(entries)), titled=True)
        else:
            names = ", ".join(entry.name for entry in entries)
            yield Lines((f"{names}: {Verdict.INCONCLUSIVE}", reason), titled=True)


def _error(entry: Checked) -> str:
    return "" if entry.max_rel_error is None else f"{entry.max_rel_error:.1e}"


def _at(words: str) -> str:
    """In two lines where one would be long, so that the method beside it keeps to its own."""
    if len(words) <= _LONG:
        return words
    if " by " in words:
        return words.replace(" by ", "\nby ")
    return ",\n".join(words.rsplit(", ", 1))


_LONG = 28
"""``gate f, unit 2, from input 0`` stays in one."""


def _index(entry: Checked) -> str:
    return "" if entry.worst_index is None else str([int(i) for i in entry.worst_index])


def _together(wrong: Sequence[Checked]) -> list[list[Checked]]:
    """The wrong quantities, those that one mistake explains, or one question is about, together."""
    groups: dict[object, list[Checked]] = {}
    for index, entry in enumerate(wrong):
        diagnosis = entry.diagnosis
        named = diagnosis is not None and (diagnosis.bug or diagnosis.candidates)
        asked = entry.reason in (EMPTY, SWAPPED) or (
            diagnosis and diagnosis.explanation in (BATCH, SINGLE)
        )
        open_ones = diagnosis and (diagnosis.steps, diagnosis.limit, _rounded(diagnosis.factor))
        words = (named, open_ones, diagnosis and diagnosis.explanation, entry.reason)
        step = diagnosis and diagnosis.first_wrong_step
        alone = index if diagnosis is None else step
        groups.setdefault(words if named or asked else (words, alone), []).append(entry)
    return list(groups.values())


def _rounded(factor: float | None) -> str:
    """A factor as several arrays share it, each to its own rounding."""
    return "" if factor is None else f"{factor:.6g}"


MOST_ENTRIES = 3
"""Of so many arrays with one diagnosis the worst entry is written out."""


def _in_words(entries: Sequence[Checked]) -> Iterator[str]:
    """What is wrong: where, which values, and which mistake explains it all."""
    first = entries[0]
    yield f"{', '.join(entry.name for entry in entries)}: {first.verdict}"
    for entry in entries[:MOST_ENTRIES]:
        if entry.worst_index is not None:
            words = f" ({entry.worst_entry})" if entry.worst_entry else ""
            yield f"worst entry {entry.name}{_index(entry)}{words}{_values(entry)}"
        elif entry.got is not None:  # a number, such as the loss
            yield f"{entry.name}{_values(entry)}"
    if len(entries) > MOST_ENTRIES:
        yield f"worst entries of {len(entries) - MOST_ENTRIES} more: --json"
    if first.reason:
        yield first.reason
    diagnoses = [entry.diagnosis for entry in entries if entry.diagnosis is not None]
    if diagnoses:
        yield from _diagnosed(_joint(diagnoses))


def _joint(diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """One diagnosis for several quantities: the largest error, the step that any of them has."""
    errors = [d.rel_error_if_so for d in diagnoses if d.rel_error_if_so is not None]
    steps = [d.first_wrong_step for d in diagnoses if d.first_wrong_step is not None]
    return diagnoses[0]._replace(
        rel_error_if_so=max(errors, default=None), first_wrong_step=steps[0] if steps else None
    )


def _values(entry: Checked) -> str:
    known = (("expected", entry.expected), ("got", entry.got))
    given = {what: value for what, value in known if value is not None}
    written = dict(zip(given, apart(*given.values()), strict=True))
    parts = [f"{what} {value}" for what, value in written.items()]
    return f": {', '.join(parts)}" if parts else ""


def _diagnosed(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.bug is not None and diagnosis.beside is not None:
        yield f"diagnosis: {len(_chain(diagnosis))} mistakes at once{_particulars(diagnosis)}"
        for number, one in enumerate(_chain(diagnosis), start=1):
            words = f": {one.explanation}" if one.explanation else ""
            yield f"{number}. {one.bug}{words}"
    elif diagnosis.bug is not None:
        yield f"diagnosis: {diagnosis.bug}{_particulars(diagnosis)}"
    elif len(diagnosis.candidates) == 1:
        yield f"diagnosis: perhaps {diagnosis.candidates[0]}"
    elif diagnosis.candidates:
        yield f"diagnosis: one of {', '.join(diagnosis.candidates)}"
    if diagnosis.explanation and diagnosis.beside is None:
        yield diagnosis.explanation.removesuffix(f"; {diagnosis.look}")
    if diagnosis.first_wrong_step is not None:
        yield f"first wrong at step {diagnosis.first_wrong_step}"


def _chain(diagnosis: Diagnosis) -> list[Diagnosis]:
    """A mistake and those made together with it."""
    beside = diagnosis.beside
    return [diagnosis] if beside is None else [diagnosis, *_chain(beside)]


def _particulars(diagnosis: Diagnosis) -> str:
    """What the mistake fixes, and how well it explains the array."""
    known = (
        ("steps", diagnosis.steps),
        ("limit", diagnosis.limit),
        ("error if so", diagnosis.rel_error_if_so),
    )
    parts = [f"{name} {number(value)}" for name, value in known if value is not None]
    if diagnosis.factor is not None:
        parts.insert(0, f"factor {apart(diagnosis.factor, 1.0)[0]}")
    return f" ({', '.join(parts)})" if parts else ""


def _has_remark(entry: Checked) -> bool:
    return entry.verdict is Verdict.PASS and bool(entry.reason)


def _remark(entry: Checked) -> str:
    return f"{entry.name}: {entry.reason}"


def _summary(checked: tuple[Checked, ...]) -> str:
    """``verdict: fail (2 of 18 wrong)``"""
    verdict = worst(entry.verdict for entry in checked)
    counts = Counter(entry.verdict for entry in checked)
    words = ((Verdict.FAIL, "wrong"), (Verdict.INCONCLUSIVE, "undecided"), (Verdict.PASS, "right"))
    parts = [f"{counts[kind]} {word}" for kind, word in words if counts[kind]]
    return f"verdict: {verdict} ({', '.join(parts)})"
