"""The key ``cell``: the name of a cell that comes with rnngrad, or a mapping with equations.

cell: {name: …, state: [h, c], equations: […], shapes: {W_p: [P, H]}, recurrent: [W_hh]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rnngrad.algebra.equation_tokens import plain_name
from rnngrad.algebra.equations import CellMistake, CellMistakesError
from rnngrad.algebra.expressions import Name, nodes
from rnngrad.cells import CELLS, NAMES, own_cell
from rnngrad.errors import did_you_mean
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.value_types import Group, JsonSchema, Key, Text
from rnngrad.files.text import cut, dotted, listed, shown
from rnngrad.files.yaml_text import Steps
from rnngrad.net.cells import READOUT, Cell

CELL: Steps = ("cell",)
_LETTER = re.compile(r"[A-Z][A-Za-z0-9]{0,20}")
_NAME = re.compile(r"[^\W\d]\w*")
_TAKEN = {"y": "y_t is the read-out", "L": "L is the loss", "losses": "losses are L_t"}
"""What a part of the state cannot be called, because results have it."""


class Lines(NamedTuple):
    """Equations: a list of texts, or one text with an equation a line."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> list[Line] | None:
        """Every equation, and where it stands."""
        if isinstance(value, str):
            return _lines_of(value, path)
        wanted = "a list of equations such as h_t = tanh(W_xh x_t + W_hh h_{t-1})"
        if not isinstance(value, list) or not value:
            what = "an empty list" if isinstance(value, list) else shown(value)
            mistakes.add(path, f"{dotted(path)} is {what}, must be {wanted}")
            return None
        for index, text in enumerate(value):
            if not isinstance(text, str):
                hint = "; put it in quotes" if isinstance(text, dict | list) else ""
                words = f"{dotted((*path, index))} is {shown(text)}, must be an equation{hint}"
                mistakes.add((*path, index), words)
        texts = [text for text in value if isinstance(text, str)]
        lines = [Line(text, (*path, index)) for index, text in enumerate(texts)]
        return lines if len(texts) == len(value) else None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        text = {"type": "string"}
        return {"anyOf": [{"type": "array", "items": text, "minItems": 1}, text]}


class Line(NamedTuple):
    """An equation, and the text in the spec in which it begins ``after`` so many characters."""

    text: str
    path: Steps
    after: int = 0


def _lines_of(value: str, path: Steps) -> list[Line]:
    found, at = [], 0
    for text in value.split("\n"):
        if text.strip():
            found.append(Line(text, path, at))
        at += len(text) + 1
    return found or [Line(value, path)]


class NamesList(NamedTuple):
    """A list of names; ``of`` says of what."""

    of: str
    least: int = 0

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> list[str] | None:
        """The names as equations have them."""
        if isinstance(value, str) and _NAME.fullmatch(plain_name(value)):
            value = [value]
        if not isinstance(value, list) or len(value) < self.least:
            what = "an empty list" if value == [] else shown(value)
            mistakes.add(path, f"{dotted(path)} is {what}, must be {self.of}")
            return None
        names = [plain_name(name) if isinstance(name, str) else None for name in value]
        for index, name in enumerate(names):
            if name is None or not _NAME.fullmatch(name):
                words = f"{dotted((*path, index))} is {shown(value[index])}, must be a name"
                mistakes.add((*path, index), words)
        good = [name for name in names if name is not None and _NAME.fullmatch(name)]
        return good if len(good) == len(names) else None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        least = {"minItems": self.least} if self.least else {}
        return {"anyOf": [{"type": "array", "items": {"type": "string"}, **least},
                          {"type": "string"}]}  # fmt: skip


class Shapes(NamedTuple):
    """name -> sizes by letter, [] for a number."""

    def check(
        self, value: Any, path: Steps, mistakes: Mistakes
    ) -> dict[str, tuple[str, ...]] | None:
        """name as equations have it -> its letters."""
        if not isinstance(value, dict):
            words = "must be a mapping of names and sizes, such as {alpha: [], W_p: [P, H]}"
            mistakes.add(path, f"{dotted(path)} is {shown(value)}, {words}")
            return None
        found = {
            plain_name(n): self._letters(one, (*path, n), mistakes) for n, one in value.items()
        }
        good = {name: letters for name, letters in found.items() if letters is not None}
        return good if len(good) == len(value) else None

    def _letters(self, value: Any, path: Steps, mistakes: Mistakes) -> tuple[str, ...] | None:
        here = dotted(path)
        letters = [value] if isinstance(value, str) else value
        if not isinstance(letters, list) or len(letters) > 2:
            words = "must be a list of one or two letters, such as [P, H]; [] is a single number"
            what = f"a list of {len(letters)}" if isinstance(letters, list) else shown(value)
            mistakes.add(path, f"{here} is {what}, {words}")
            return None
        for index, letter in enumerate(letters):
            at = path if isinstance(value, str) else (*path, index)
            if letter == "T":
                mistakes.add(at, f"{here} holds T, which is the number of steps; take another")
                return None
            if not isinstance(letter, str) or not _LETTER.fullmatch(letter):
                words = "must be a capital letter such as H or P; sizes gives its number"
                mistakes.add(at, f"{here} holds {shown(letter)}, {words}")
                return None
        return tuple(letters)

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        letter = {"type": "string", "pattern": f"^{_LETTER.pattern}$"}
        return {
            "type": "object",
            "title": "shapes",
            "description": "name: its sizes by letter",
            "properties": {},
            "additionalProperties": {"anyOf": [
                {"type": "array", "items": letter, "maxItems": 2}, letter,
            ]},
        }  # fmt: skip


OWN = Group(
    "cell",
    "A cell by its equations.",
    {
        "name": Key(Text(), "what it is called; the spec's name by default"),
        "state": Key(
            NamesList("a list of names, such as [h, c]", 1),
            "the parts of the state; the read-out sees the first; [h] by default",
        ),
        "equations": Key(
            Lines(), "the equations of step t, in order; each defines one name", required=True
        ),
        "shapes": Key(Shapes(), "sizes by letter where the names do not say them; [] a number"),
        "recurrent": Key(
            NamesList("a list of parameters"),
            "what --whh-scale multiplies; by default every matrix from s_{t−1} to s_t",
        ),
    },
)


class CellKind(NamedTuple):
    """One of the cells that come with rnngrad, or equations."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The name, or what the mapping says, still to be read by ``cell_in``."""
        if isinstance(value, dict):
            return OWN.check(value, path, mistakes)
        if isinstance(value, str) and value in NAMES:
            return value
        hint = did_you_mean(cut(value.lower()), NAMES) if isinstance(value, str) else ""
        known = f"{listed(NAMES[:3], ',').replace(' , ', ', ')}, another of 'rnngrad cells'"
        words = f"cell is {shown(value)}, must be {known} or a mapping of equations{hint}"
        mistakes.add(path, words)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"anyOf": [{"type": "string", "enum": list(NAMES)}, OWN.schema(definitions)]}


def cell_in(data: Mapping[str, Any], name: str, mistakes: Mistakes) -> Cell | None:
    """The cell of a spec called ``name``; None with mistakes noted."""
    if data.get("cell", "rnn") is None:
        mistakes.add(CELL, "cell is empty; give it a value, or leave the key out", at_key=True)
        return None
    checked = CellKind().check(data.get("cell", "rnn"), CELL, mistakes)
    if isinstance(checked, str):
        return CELLS[checked]
    given = ("equations", "state", "shapes", "recurrent")
    if checked is None or any(mistakes.spoils((*CELL, key)) for key in given):
        return None
    cell = _own(checked, data, name, mistakes)
    return None if mistakes.spoils(CELL) else cell


def _own(
    checked: Mapping[str, Any], data: Mapping[str, Any], name: str, mistakes: Mistakes
) -> Cell | None:
    lines: list[Line] = checked["equations"]
    given = data.get("name")
    default = given if isinstance(given, str) else name
    try:
        cell = own_cell(
            checked.get("name", default),
            tuple(line.text for line in lines),
            tuple(checked.get("state", ("h",))),
            tuple(checked.get("shapes", {}).items()),
            None if "recurrent" not in checked else tuple(checked["recurrent"]),
        )
        found = list(_clashes(cell))
    except CellMistakesError as error:
        found = list(error.mistakes)
    for mistake in found:
        _note(mistake, lines, data["cell"], mistakes)
    return None if found else cell


def _clashes(cell: Cell) -> list[CellMistake]:
    """Names that mean something else in a spec or in results."""
    found = [
        CellMistake(f"'{part}' cannot be a part of the state: {_TAKEN[part]}", ("state", index))
        for index, part in enumerate(cell.parts)
        if part in _TAKEN
    ]
    taken = dict.fromkeys(READOUT, "is of the read-out")
    taken |= {f"{part}_0": f"is what {part} begins with" for part in cell.parts}
    taken |= dict.fromkeys(("layers", "file"), "has another meaning in weights")
    for name in cell.parameters:
        if name in taken:
            words = f"{name} {taken[name]}; give this parameter another name"
            found.append(CellMistake(words, *_first(cell, name)))
    if not cell.parameters:
        words = "no equation has a parameter, so there is nothing to differentiate by"
        found.append(CellMistake(words, ("equations",)))
    return found


def _first(cell: Cell, name: str) -> tuple[Steps, int | None]:
    """Where a name stands first."""
    for index, equation in enumerate(cell.equations.equations):
        for node in nodes(equation.right):
            if isinstance(node, Name) and node.head == name and node.step is None:
                return ("equations", index), node.at
    return ("equations",), None


def _note(
    mistake: CellMistake, lines: list[Line], mapping: Mapping[str, Any], mistakes: Mistakes
) -> None:
    """A mistake with its place in the spec."""
    key, *rest = map(str, mistake.path)
    if key == "equations" and rest:
        line = lines[int(rest[0])]
        mistakes.add(line.path, mistake.message, into=line.after + (mistake.at or 0))
        return
    path: Steps = (*CELL, key)
    if rest and isinstance(mapping.get(key), dict):
        given = next((n for n in mapping[key] if plain_name(n) == rest[0]), rest[0])
        mistakes.add((*path, given), mistake.message, at_key=True)
    elif key not in mapping or path == (*CELL, "equations"):  # the default state, or all equations
        mistakes.add((*CELL, "equations"), mistake.message, at_key=True)
    else:
        mistakes.add((*CELL, *mistake.path), mistake.message)
