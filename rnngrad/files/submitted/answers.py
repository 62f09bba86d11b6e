"""Files of answers: YAML -> each answer as it was typed, and where it stands.

    name: Ada               # optional, and free
    a1: "-2*(t_3 - y_3)"    # a formula, in quotes or not
    a2: 0.0213              # or numbers, kept with the digits that were typed
    a4: [0.181, 0.192]

What an answer means is not known here: formulas and numbers are handed on as text.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from rnngrad.errors import SpecError, UsageError, did_you_mean, escaped
from rnngrad.files.opening import NoFileError, contents, unreadable
from rnngrad.files.text import cut_path, placed, shown
from rnngrad.files.yaml_text import Document, Place, decoded, parse

Typed: TypeAlias = "str | list[Typed]"

LARGEST = 4 * 2**20
"""Bytes of a file of answers."""

NAME = "name"
"""The one key that is no subtask: who answered."""

_TYPED_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class AnswerFile(NamedTuple):
    """``answers`` by subtask id, each text or nested lists of text; ``unknown`` the other keys,
    with why they are none; ``refused`` the answers that are neither text nor number, with the
    place and what they are; ``document`` knows the places."""

    path: str
    document: Document
    answers: dict[str, Typed]
    unknown: dict[str, str]
    refused: dict[str, tuple[Place, str]]

    def words(self, name: str, at: int, message: str) -> str:
        """The message with its place: ``file:line:column``, the line quoted, and a caret."""
        formula = self.answers[name]
        assert isinstance(formula, str)
        line, column = self.document.place((name,)) or (0, 0)
        source = self.document.lines[line] if line < len(self.document.lines) else ""
        start = source.find(formula, column)
        if start >= 0:
            return self.document.words((line, start + at), message)
        before = formula[:at].split("\n")
        row, inner = len(before) - 1, len(before[-1])
        quote = formula.split("\n")[row]
        label = f"{self.path}: {name}"
        return placed(label, row, inner, message, quote)


class _NoAnswerError(Exception):
    """A value that is neither a formula nor a number."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place, self.message = place, message


def is_pattern(source: str) -> bool:
    """Whether a source names several files: ``'submissions/*.yaml'``."""
    return any(sign in source for sign in "*?[") and not Path(source).exists()


def matching(pattern: str) -> list[str]:
    """The files that a pattern names, in order. Raises UsageError where there are none."""
    found = sorted(path for path in glob.glob(pattern, recursive=True) if not Path(path).is_dir())  # noqa: PTH207
    if not found:
        raise UsageError(f"'{cut_path(pattern)}': no file matches")
    return found


def read_answers(path: str, subtasks: Iterable[str]) -> AnswerFile:
    """The answers in one file. Raises SpecError where it cannot be read, or is no mapping."""
    document = _parsed(path)
    if not isinstance(document.data, dict):
        found = "is empty" if document.data is None else f"the top level is {shown(document.data)}"
        raise SpecError([f'{escaped(path)}: {found}; answers are a mapping: a1: "your formula"'])
    if document.mistakes:
        raise SpecError(
            document.words((line, column), words) for line, column, words in document.mistakes
        )
    known = list(subtasks)
    answers: dict[str, Typed] = {}
    refused: dict[str, tuple[Place, str]] = {}
    for name in (name for name in document.data if name in known):
        try:
            answers[name] = _typed(document, (name,), document.data[name])
        except _NoAnswerError as odd:
            refused[name] = odd.place, odd.message
    return AnswerFile(path, document, answers, _unknown(document, known), refused)


def _unknown(document: Document, known: list[str]) -> dict[str, str]:
    """Why each key that is no subtask of this net is none."""
    others = [name for name in document.data if name not in known and name != NAME]
    return {name: _why_unknown(name, known) for name in others}


def _why_unknown(name: str, known: list[str]) -> str:
    if re.fullmatch(r"a[1-6]|b[1-4]", name):
        return f"{name} does not exist for this net, which has {', '.join(known)}"
    plain = re.sub(r"\W|_", "", name.lower())
    hint = f"; did you mean '{plain}'?" if plain in known else did_you_mean(name, known)
    known_words = f"; they are {', '.join(known)}"
    return f"no subtask is called {shown(name)}{hint or known_words}"


def _typed(document: Document, path: tuple[str | int, ...], value: Any) -> Typed:
    """An answer as text. Raises _NoAnswerError for what can be none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        return [_typed(document, (*path, index), item) for index, item in enumerate(value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _digits(document, path, value)
    place = document.place(path) or (0, 0)
    where = "" if len(path) == 1 else "in the list, "
    raise _NoAnswerError(place, f"{where}{shown(value)}; must be a formula or a number")


def _digits(document: Document, path: tuple[str | int, ...], value: float) -> str:
    """A number with the digits of the file, which a float has lost."""
    line, column = document.place(path) or (0, 0)
    match = _TYPED_NUMBER.match(document.lines[line], column)
    return match[0] if match and float(match[0]) == value else repr(value)


def _parsed(path: str) -> Document:
    try:
        return parse(_text(path), path)
    except SpecError as error:
        hint = "\nLaTeX needs single quotes in YAML, or a block (|): a1: '\\frac{..}{..}'"
        if any("wrong escape" in words for words in error.mistakes):
            raise SpecError([words + hint for words in error.mistakes]) from None
        raise


def _text(path: str) -> str:
    """The file as text. Raises SpecError."""
    try:
        data = contents(path, LARGEST + 1)
        if len(data) > LARGEST:
            raise SpecError([f"{escaped(path)}: is larger than 4 MiB; answers are shorter"])
        return decoded(data, path)
    except NoFileError as error:
        pattern = f"; to grade all in it: '{cut_path(path.rstrip('/'))}/*.yaml'"
        hint = pattern if "folder" in str(error) else ""
        raise SpecError([f"{escaped(path)}: {error}{hint}"]) from None
    except (OSError, ValueError) as error:
        words = unreadable(error, path, (".yaml", ".yml"))
        raise SpecError([f"{escaped(path)}: {words}"]) from None
