"""Grades as a report: one file's, or a folder's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rnngrad.analyses.checking.comparing.verdicts import Verdict, worst
from rnngrad.analyses.grading.grade import Grade
from rnngrad.version import __version__
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.report import Cell, Report

COLUMNS = ("id", "points", "of", "verdict", "hint")
SIGNS = {Verdict.PASS: "right", Verdict.FAIL: "wrong", Verdict.INCONCLUSIVE: "undecided"}


class Graded(NamedTuple):
    """One file's grades; ``broken`` says why a file that cannot be read has none, ``of`` then what
    it could have had. ``student`` is its ``name:`` key, if any."""

    file: str
    grades: tuple[Grade, ...]
    student: str = ""
    broken: str = ""
    possible: float = 0.0

    @property
    def points(self) -> float:
        """The sum of the points."""
        return sum(grade.points for grade in self.grades)

    @property
    def of(self) -> float:
        """What the points can come to."""
        return self.possible if self.broken else sum(grade.of for grade in self.grades)

    @property
    def verdict(self) -> Verdict:
        """Wrong where anything is wrong or the file cannot be read."""
        return Verdict.FAIL if self.broken else worst(grade.verdict for grade in self.grades)


def report_of_one(graded: Graded) -> Report:
    """One file: a row a subtask, as the contract has it."""
    return Report(
        blocks=lambda: _blocks(graded),
        document=lambda: {**_head(graded.verdict), **_document(graded)},
        columns=COLUMNS,
        rows=lambda: (_row(grade) for grade in graded.grades),
    )


def report_of_many(files: Sequence[Graded]) -> Report:
    """A folder: a row a file and subtask, and one row for a file that cannot be read."""
    verdict = worst(graded.verdict for graded in files)
    return Report(
        blocks=lambda: _summary(files),
        document=lambda: {**_head(verdict), "files": [_file(graded) for graded in files]},
        columns=("file", *COLUMNS, "name"),
        rows=lambda: _rows(files),
    )


def _head(verdict: Verdict) -> dict[str, object]:
    return {"command": "check", "version": __version__, "verdict": str(verdict)}


def _document(graded: Graded) -> dict[str, object]:
    answers = [dict(zip(COLUMNS, _row(grade), strict=True)) for grade in graded.grades]
    return {"points": graded.points, "of": graded.of, "answers": answers}


def _file(graded: Graded) -> dict[str, object]:
    head: dict[str, object] = {
        "file": graded.file,
        "name": graded.student or None,
        "verdict": str(graded.verdict),
        "message": graded.broken or None,
    }
    return {**head, **_document(graded)}


def _row(grade: Grade) -> tuple[Cell, ...]:
    return grade.id, grade.points, grade.of, str(grade.verdict), grade.hint or None


def _rows(files: Sequence[Graded]) -> Iterator[tuple[Cell, ...]]:
    for graded in files:
        if graded.broken:
            yield graded.file, None, 0.0, graded.of, str(Verdict.FAIL), graded.broken, None
        for grade in graded.grades:
            yield (graded.file, *_row(grade), graded.student or None)


# ---------------------------------------------------------------------------- tables


def _blocks(graded: Graded) -> Iterator[Block]:
    rows = tuple(
        (grade.id, f"{grade.points:g}", f"{grade.of:g}", SIGNS[grade.verdict], grade.hint)
        for grade in graded.grades
    )
    columns = (
        Column("", right=False), Column("points"), Column("of"),
        Column("", right=False, coloured="verdict"),
        Column("hint", words=True),
    )  # fmt: skip
    who = f"{graded.student}, {graded.file}" if graded.student else graded.file
    yield Table(who, columns, rows, (f"{graded.points:g} of {graded.of:g} points",))


def _summary(files: Sequence[Graded]) -> Iterator[Block]:
    """A row a file with its points by subtask, and what is wrong with the files that are broken."""
    ids = next(
        (tuple(g.id for g in graded.grades if g.of) for graded in files if not graded.broken), ()
    )
    names = any(graded.student for graded in files)
    who = (Column("file", right=False), *(Column("name", right=False, words=True),) * names)
    columns = (*who, *map(Column, ids), Column("points"))
    folder = os.path.commonpath([str(Path(graded.file).parent) for graded in files])
    count = f"{len(files)} file{'s' if len(files) != 1 else ''}"
    where = f" in {folder}" if folder else ""
    title = f"{count}{where}{f', {len(ids)} subtasks each' if ids else ''}"
    rows = tuple(_line(graded, folder, ids, names) for graded in files)
    yield Table(title, columns, rows, _average(files))
    broken = [f"{_within(graded, folder)}: {graded.broken}" for graded in files if graded.broken]
    if broken:
        yield Lines(("Could not be read", *broken), titled=True)
    others = [
        f"{_within(graded, folder)}: {grade.hint}"
        for graded in files
        for grade in graded.grades
        if not grade.of
    ]
    if others:
        yield Lines(("Not graded", *others), titled=True)


def _within(graded: Graded, folder: str) -> str:
    """The file's name, as seen from the folder that all are in."""
    return os.path.relpath(graded.file, folder or os.curdir)


def _line(graded: Graded, folder: str, ids: tuple[str, ...], names: bool) -> tuple[str, ...]:
    by_id = {grade.id: f"{grade.points:g}" for grade in graded.grades}
    points = (by_id.get(name, "-") for name in ids)
    who = (_within(graded, folder), *(graded.student,) * names)
    return *who, *points, f"{graded.points:g}"


def _average(files: Sequence[Graded]) -> tuple[str, ...]:
    mean = sum(graded.points for graded in files) / len(files)
    return (f"mean {mean:.2f} of {max(graded.of for graded in files):g} points",)
