"""Mistakes as they are found, and how they are put into words with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from rnngrad.errors import escaped
from rnngrad.files.text import dotted, quoted
from rnngrad.files.yaml_text import Document, Place, Steps, at, present


class Mistake(NamedTuple):
    """What is wrong with the piece at ``path``, or with its key; ``into`` counts characters from
    the beginning of a text."""

    path: Steps
    message: str
    at_key: bool = False
    into: int | None = None


class Override(NamedTuple):
    """One ``--set key=value``: the path that it sets, and the document of its value.

    ``columns`` says where each part of the key starts; ``also`` names other keys that it changes.
    """

    path: Steps
    columns: tuple[int, ...]
    document: Document
    also: tuple[str, ...] = ()

    def place(self, path: Steps, *, at_key: bool, into: int | None = None) -> Place | None:
        """Where in the argument ``path`` stands; None where this override does not reach it."""
        depth = len(self.path)
        if path[:depth] != self.path:
            inside = path and self.path[: len(path)] == path
            return (0, self.columns[len(path) - 1]) if inside else None
        if len(path) == depth and at_key:
            return (0, self.columns[-1])
        found = self.document.place(path[depth:], at_key=at_key, into=into)
        return self.document.start if found is None else found


@dataclass(eq=False)
class Mistakes:
    """All mistakes of one spec; ``spoiled`` are the pieces that nothing may be concluded from."""

    found: list[Mistake] = field(default_factory=list)
    spoiled: set[Steps] = field(default_factory=set)

    def add(
        self,
        path: Steps,
        message: str,
        *,
        at_key: bool = False,
        spoils: Steps | None = None,
        into: int | None = None,
    ) -> None:
        """Note a mistake, and spoil what stands at its path, or at ``spoils`` instead."""
        self.found.append(Mistake(path, message, at_key, into))
        self.spoiled.add(path if spoils is None else spoils)

    def spoils(self, path: Steps) -> bool:
        """Whether the piece at ``path``, something in it or all around it is wrong already."""
        return any(
            bad[: len(path)] == path or path[: len(bad)] == bad for bad in self.spoiled if bad
        )


class Origin(NamedTuple):
    """Where the pieces of a spec came from: a document or a mapping, and overrides on top.

    ``data`` is the spec before the overrides. ``to_blame``: the override that makes the spec wrong,
    where the piece that no longer fits stands in the document.
    """

    document: Document | None
    data: dict[str, Any]
    overrides: tuple[Override, ...] = ()
    to_blame: Mapping[Mistake, Override] = MappingProxyType({})

    def words(self, mistakes: Mistakes) -> list[str]:
        """Every mistake in words, in the order in which they stand in the sources."""
        placed = [*self._of_reading(), *(self._worded(mistake) for mistake in mistakes.found)]
        unique = dict.fromkeys(sorted(placed, key=lambda item: item[0]))
        return [words for _, words in unique]

    def _of_reading(self) -> Iterator[tuple[tuple[int, ...], str]]:
        documents = [self.document, *(override.document for override in self.overrides)]
        for order, document in enumerate(documents):
            if document is not None:
                for line, column, message in document.mistakes:
                    yield (order, line, column), document.words((line, column), message)

    def _worded(self, mistake: Mistake) -> tuple[tuple[int, ...], str]:
        for order, override in reversed(list(enumerate(self.overrides, 1))):
            place = override.place(mistake.path, at_key=mistake.at_key, into=mistake.into)
            if place is not None and self._wins(override, mistake):
                return (order, *place), override.document.words(place, mistake.message)
        found = None
        if self.document is not None and mistake.path:
            found = self.document.place(mistake.path, at_key=mistake.at_key, into=mistake.into)
        blamed = self.to_blame.get(mistake)
        if blamed is not None:
            order, place = 1 + self.overrides.index(blamed), blamed.document.start
            where = "" if found is None else f" ({self._at(found)})"
            return (order, *place), blamed.document.words(place, f"{mistake.message}{where}")
        if self.document is None:
            return (0,), _named(mistake, self.data)
        if found is None:
            return (0,), f"{escaped(self.document.label)}: {mistake.message}"
        return (0, *found), self.document.words(found, mistake.message)

    def _at(self, place: Place) -> str:
        assert self.document is not None
        return f"{escaped(self.document.label)}:{place[0] + 1}:{place[1] + 1}"

    def _wins(self, override: Override, mistake: Mistake) -> bool:
        """Whether the override wrote the piece itself, or all of what is above it."""
        inside = mistake.path[: len(override.path)] == override.path
        return inside or not present(self.data, mistake.path)


def _named(mistake: Mistake, data: Any) -> str:
    """``weights.W_hh[1][2]: what is wrong``, the path said once; below it the text that holds the
    mistake, if it is in one."""
    path = dotted(mistake.path)
    rest = mistake.message.removeprefix(path)
    said = rest != mistake.message and rest[:1] in (" ", ":")
    words = f"{path}: {rest.lstrip(' :') if said else mistake.message}" if path else mistake.message
    if mistake.into is None or not present(data, mistake.path):
        return words
    text = at(data, mistake.path)
    line = text.count("\n", 0, mistake.into)
    start = text.rfind("\n", 0, mistake.into) + 1
    return f"{words}\n{quoted(text.split(chr(10))[line], mistake.into - start)}"
