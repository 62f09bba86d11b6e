"""Somebody's gradients in a file: .npz, .json or .yaml -> arrays by name, as they were given.

Numbers in text are right to the digits that were typed: 0.0213 stands for anything from 0.02125 to
0.02135. Integers and zeros are meant as they are. What ``rnngrad derive --json`` writes is read as
well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.errors import SpecError, escaped
from rnngrad.files.arrays.npz_file import comment_of, members
from rnngrad.files.arrays.readers import FileError, damage_told
from rnngrad.files.opening import NoFileError, contents, unreadable, why_no_file
from rnngrad.files.text import counted, cut, dotted, shown
from rnngrad.files.yaml_text import LARGEST_SPEC, Document, Steps, decoded, no_binary, parse
from rnngrad.net.given_arrays import EXACT, GivenArray, given

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE]([-+]?[0-9]+))?")
_SPECIAL = {"nan": np.nan, "infinity": np.inf, "inf": np.inf}
BY_PROGRAM = 15
"""Significant digits that nobody types."""


class GivenFile(NamedTuple):
    """The arrays of a file by name; ``words(name, message)`` is a message with the name's place.

    ``twice`` holds a second array of the same gradient, with its key, where a framework keeps two
    that should agree and do not; ``unused`` the keys that say nothing of the net. ``framework``:
    they stand under a framework's names. ``made``: what a result of rnngrad's own says of itself.
    """

    arrays: Mapping[str, GivenArray]
    words: Callable[[str, str], str]
    twice: Mapping[str, tuple[str, GivenArray]] = MappingProxyType({})
    unused: tuple[str, ...] = ()
    framework: bool = False
    made: Mapping[str, object] | None = None


def read_gradients(path: str) -> GivenFile:
    """The arrays of a .npz, .json, .yaml or .yml file; raises SpecError that holds all mistakes."""
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        words = "must end in .npz, .json or .yaml, or be FILE.py:FUNCTION"
        raise SpecError([f"{escaped(path)}: {words}"])
    if not Path(path).exists():
        words = unreadable(FileNotFoundError(), path, tuple(READERS))
        raise SpecError([f"{escaped(path)}: {words}"])
    try:
        return READERS[suffix](path)
    except NoFileError as error:
        raise SpecError([f"{escaped(path)}: {error}"]) from None


# ---------------------------------------------------------------------------- .npz


def _npz(path: str) -> GivenFile:
    """Each array as its type has it; nothing is unpickled."""
    where = Path(path)
    if why := why_no_file(where):
        raise NoFileError(why)
    name = where.name
    try:
        with damage_told(where, name):
            found = members(where, name)
    except FileError as error:
        raise SpecError([f"{escaped(path)}: {error}"]) from None
    arrays, mistakes = {}, []
    for key, member in found.items():
        try:
            with damage_told(where, name):
                array = member.read()
            arrays[key] = given(array)
        except (FileError, TypeError) as error:
            mistakes.append(f"{escaped(path)}: {cut(key)}: {error}")
    if mistakes:
        raise SpecError(mistakes)
    return GivenFile(
        arrays, lambda name, message: f"{escaped(path)}: {message}", made=_made(comment_of(where))
    )


def _made(document: object) -> Mapping[str, object] | None:
    """The version, the name and the hash of the spec that a result of derive's tells."""
    match document:
        case {"command": "derive", "version": str(version), "spec": {**spec}}:
            told = {name: spec.get(name) for name in ("name", "seed", "hash")}
            return {"version": version, **told}
        case _:
            return None


# ---------------------------------------------------------------------------- text


def _text(path: str) -> GivenFile:
    try:
        data = contents(path, LARGEST_SPEC + 1, no_binary(path, "arrays in JSON or YAML"))
    except (OSError, ValueError) as error:
        raise SpecError([f"{escaped(path)}: {unreadable(error, path, tuple(READERS))}"]) from None
    if len(data) > LARGEST_SPEC:
        raise SpecError([f"{escaped(path)}: is larger than 256 MiB; save the arrays as .npz"])
    document = parse(decoded(data, path), path)
    above: Steps = ()
    found, made = document.data, _made(document.data)
    if isinstance(found, dict) and isinstance(found.get("quantities"), dict):
        above, found = ("quantities",), found["quantities"]
    if not isinstance(found, dict):
        message = f"the top level is {shown(found)}, must map names to arrays, such as dL_dW_hh:"
        raise SpecError([document.words(document.start, message)])
    unused: tuple[str, ...] = ()
    if made is not None:  # of a large quantity a result has the norm alone
        unused = tuple(name for name, value in found.items() if isinstance(value, dict))
        found = {name: value for name, value in found.items() if name not in unused}
    return _arrays(document, found, above)._replace(made=made, unused=unused)


def _arrays(document: Document, data: dict[str, Any], above: Steps) -> GivenFile:
    reader = _Reader(document)
    read = {name: reader.array((*above, name), value) for name, value in data.items()}
    found = [document.words((line, column), words) for line, column, words in document.mistakes]
    found += reader.mistakes
    if found:
        raise SpecError(found)
    arrays = {name: array for name, array in read.items() if array is not None}
    written = any(_most_digits(array) >= BY_PROGRAM for array in arrays.values())
    arrays = {name: array._replace(by_program=written) for name, array in arrays.items()}

    def words(name: str, message: str) -> str:
        place = document.place((*above, name), at_key=True)
        return document.words(place or document.start, message)

    return GivenFile(arrays, words)


def _most_digits(array: GivenArray) -> int:
    digits = array.digits
    return 0 if digits is None else int(np.where(digits == EXACT, 0, digits).max(initial=0))


class _Typed(NamedTuple):
    """A number as it stands in the text."""

    value: float
    half_unit: float = 0.0
    digits: int = EXACT
    blank: bool = False


class _Reader:
    """Nested lists of a document -> arrays; what is no number, or no rectangle, is noted."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.mistakes: list[str] = []

    def array(self, path: Steps, value: Any) -> GivenArray | None:
        """None where a mistake was noted."""
        before = len(self.mistakes)
        if isinstance(value, dict):
            hint = "; rnngrad derive --full writes the numbers" if "shape" in value else ""
            self._note(path, f"{dotted(path)} is a mapping, must be an array{hint}")
            return None
        numbers: list[_Typed] = []
        shape = self._fill(path, value, numbers)
        if shape is None or len(self.mistakes) > before:
            return None
        columns = zip(*numbers, strict=True) if numbers else ((), (), (), ())
        values, half_units, digits, blanks = (np.array(c).reshape(shape) for c in columns)
        return GivenArray(
            values.astype(np.float64),
            half_unit=half_units.astype(np.float64),
            digits=digits.astype(np.int64),
            blank=blanks.astype(np.bool_),
        )

    def _note(self, path: Steps, message: str) -> None:
        self.mistakes.append(
            self.document.words(self.document.place(path) or self.document.start, message)
        )

    def _fill(self, path: Steps, value: Any, numbers: list[_Typed]) -> tuple[int, ...] | None:
        """The shape of a value, its numbers appended in order; None where it has none."""
        if not isinstance(value, list):
            number = self._number(path, value)
            numbers.append(number)
            return ()
        shapes = [self._fill((*path, i), item, numbers) for i, item in enumerate(value)]
        for i, shape in enumerate(shapes):
            if shape != shapes[0] and None not in (shape, shapes[0]):
                first, other = (_size(s) for s in (shapes[0] or (), shape or ()))
                words = f"is {other}, must be {first} like the first"
                self._note((*path, i), f"{dotted((*path, i))} {words}")
                return None
        return None if None in shapes else (len(value), *(shapes[0] or ())) if shapes else (0,)

    def _number(self, path: Steps, value: Any) -> _Typed:
        if value is None:
            return _Typed(np.nan, blank=True)
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            self._note(path, f"{dotted(path)} is {shown(value)}, must be a number")
            return _Typed(np.nan)
        if isinstance(value, str):
            return self._special(path, value)
        if isinstance(value, int):
            return _Typed(_wide(value))
        return _as_typed(value, self._token(path))

    def _special(self, path: Steps, word: str) -> _Typed:
        """NaN and Infinity, as Python and JavaScript write them."""
        special = _SPECIAL.get(word.lower().lstrip("+-"))
        if special is None:
            self._note(path, f"{dotted(path)} is {shown(word)}, must be a number")
            return _Typed(np.nan)
        return _Typed(-special if word.startswith("-") else special)

    def _token(self, path: Steps) -> str:
        place = self.document.place(path)
        line = self.document.lines[place[0]] if place else ""
        match = _NUMBER.match(line, place[1] if place else 0)
        return match[0] if match else ""


def _wide(value: int) -> float:
    """The integer as a float; infinite where it is larger than any."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _size(shape: tuple[int, ...]) -> str:
    if not shape:
        return "a single number"
    return f"a list of {counted(shape[0], 'number' if len(shape) == 1 else 'row')}"


def _as_typed(value: float, token: str) -> _Typed:
    """The digits of a number as it was typed; those of its shortest form where that is unknown."""
    match = _NUMBER.fullmatch(token) if token and float(token) == value else None
    match = match or _NUMBER.fullmatch(repr(value))
    if match is None or value == 0 or not np.isfinite(value):
        return _Typed(value)
    whole, _, decimals = match[1].partition(".")
    exponent = int(float(match[2] or 0))
    digits = len((whole + decimals).lstrip("0"))
    power = exponent - len(decimals)
    half_unit = 0.5 * 10.0**power if power > -320 else 0.0
    return _Typed(value, half_unit, digits)


READERS: Mapping[str, Callable[[str], GivenFile]] = MappingProxyType(
    {".npz": _npz, ".json": _text, ".yaml": _text, ".yml": _text}
)
"""suffix -> reader: the one place to add a format."""
