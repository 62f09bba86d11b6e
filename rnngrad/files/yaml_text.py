"""YAML text -> plain Python data, and where each piece of it stood.

The only file that knows YAML. It goes through the parser's events with a stack of its own, so that
no depth of nesting can overflow Python's, and reads scalars by the core schema of YAML 1.2:
``1e-3`` is a number, ``no`` is text, ``010`` is ten. Source: *YAML Ain't Markup Language 1.2.2*,
section 10.3.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, NoReturn

import yaml

from rnngrad.errors import SpecError, did_you_mean, escaped
from rnngrad.files.opening import Look, NoFileError, all_of, contents, encoding_of, unreadable
from rnngrad.files.text import cut, placed, shown

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

Steps = tuple[str | int, ...]
"""A way into nested data: ``("weights", "W_hh", 1, 2)``."""

Place = tuple[int, int]
"""Line and column, both from 0."""

LARGEST_SPEC = 256 * 2**20
DEEPEST = 64
MOST_REPEATED = 1_000_000
"""Values that aliases may repeat: enough for any net, too few for a bomb."""

LONGEST_INTEGER = 500
"""Characters. Python writes 640 digits whatever its limit is set to; 500 of base 16 are 602."""

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCALAR = re.compile(
    r"(?P<int>[-+]?[0-9]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<true>true|True|TRUE)|(?P<false>false|False|FALSE)"
    r"|(?P<null>null|Null|NULL|~|)"
    r"|(?P<octal>0o[0-7]+)|(?P<hexadecimal>0x[0-9a-fA-F]+)"
    r"|(?P<inf>[-+]?\.(?:inf|Inf|INF))|(?P<nan>\.nan|\.NaN|\.NAN)"
)


class Document(NamedTuple):
    """Data that was read, and its places.

    ``data`` is a dict, a list or a scalar. ``values`` and ``keys`` hold, by the ``id`` of a
    container in ``data``, the place of each value and of each key. ``mistakes`` are those that did
    not stop the reading: ``(line, column, message)``.
    """

    label: str
    lines: list[str]
    data: Any
    values: dict[int, Any]
    keys: dict[int, dict[str, Place]]
    start: Place
    mistakes: tuple[tuple[int, int, str], ...]

    def place(self, path: Steps, *, at_key: bool = False, into: int | None = None) -> Place | None:
        """Where ``path`` stands, or the nearest key above it that exists; else None.

        ``into`` is a character of the text that stands there.
        """
        data: Any = self.data
        found: Place | None = None
        for depth, step in enumerate(path):
            if not _has(data, step):
                return found
            found = self._own(data, step, at_key or depth < len(path) - 1)
            data = data[step]
        found = found if path else self.start
        if into is None or found is None or not isinstance(data, str):
            return found
        return character(self.lines, found, data, into)

    def _own(self, container: Any, step: str | int, at_key: bool) -> Place:
        keys = self.keys.get(id(container))
        where: Place = keys[str(step)] if at_key and keys else self.values[id(container)][step]
        return where

    def words(self, place: Place, message: str) -> str:
        """The message with its place, the line quoted and a caret under the column."""
        line, column = place
        source = self.lines[line] if line < len(self.lines) else ""
        return placed(self.label, line, min(column, len(source)), message, source)


def present(data: Any, path: Steps) -> bool:
    """Whether ``path`` leads to anything in nested data."""
    for step in path:
        if not _has(data, step):
            return False
        data = data[step]
    return True


def at(data: Any, path: Steps) -> Any:
    """What ``path`` leads to in nested data."""
    for step in path:
        data = data[step]
    return data


_ESCAPES = {"x": 4, "u": 6, "U": 10}


def character(lines: list[str], start: Place, text: str, into: int) -> Place:
    """Where a character of a scalar stands in the source; the start where they are not alike.

    Goes along both at once: blanks and line breaks of either count as one, as they may be folded.
    """
    line, column = start
    source = "\n".join(lines[line : line + len(text) + 2])
    match = _BEFORE.match(source, column)
    assert match is not None
    opened, here = match[1], match.end()
    sought = 0
    while sought < min(into, len(text)):
        if text[sought].isspace():
            while sought < into and text[sought].isspace():
                sought += 1
            while here < len(source) and source[here].isspace():
                here += 1
            continue
        while here < len(source) and source[here].isspace():
            here += 1
        if opened == '"' and source[here : here + 1] == "\\":
            here += _ESCAPES.get(source[here + 1 : here + 2], 2)
        elif source[here : here + 1] == text[sought]:
            here += 2 if opened == "'" and text[sought] == "'" else 1
        else:
            return start
        sought += 1
    if into < len(text) and not text[into].isspace():
        while here < len(source) and source[here].isspace():
            here += 1
    before = source[:here].split("\n")
    return line + len(before) - 1, len(before[-1])


_BEFORE = re.compile(r"""(?:&\S+\s+)?(["']|[|>][-+0-9]*[ \t]*(?:#[^\n]*)?\n\s*)?""")
"""What stands before the first character of a scalar: an anchor, a quote or a block's header."""


def _has(container: Any, step: str | int) -> bool:
    """Whether a dict has the key, or a list the index."""
    if isinstance(container, list):
        return isinstance(step, int) and 0 <= step < len(container)
    return isinstance(container, dict) and isinstance(step, str) and step in container


def read(path: str, stdin: BinaryIO | None = None) -> Document:
    """The document in a file, or on standard input for ``-``; its top level is a mapping.

    Raises SpecError with one message where no mapping can be had.
    """
    label = "<stdin>" if path == "-" else path
    document = parse(decoded(_bytes(path, label, stdin), label), label)
    if document.data is None:
        _refuse(label, "is empty; a spec needs at least weights: and inputs:")
    if not isinstance(document.data, dict):
        found = f"the top level is {shown(document.data)}"
        message = f"{found}; a spec is a mapping of keys, such as weights: and inputs:"
        raise SpecError([document.words(document.start, message)])
    return document


def parse(text: str, label: str, quote: str | None = None) -> Document:
    """Text of one YAML document -> its data; ``label`` stands for the file in messages.

    ``quote`` is quoted in place of ``text``, if it is not the same.

    Raises SpecError where the text is not YAML, or a trap.
    """
    lines = _LINE_BREAK.split(text if quote is None else quote)
    odd = _NOT_TEXT.search(text)
    if odd:
        at = _place_of(text, odd.start())
        _stop(label, lines, at, f"the character {escaped(odd[0])} is not allowed; remove it")
    builder = _Builder(label, lines)
    try:
        for event in yaml.parse(text, Loader=Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        _stop(label, lines, *_syntax(error, lines))
    return builder.document()


def _stop(label: str, lines: list[str], place: Place, message: str) -> NoReturn:
    line, column = place
    source = lines[line] if line < len(lines) else ""
    raise SpecError([placed(label, line, min(column, len(source)), message, source)])


def _refuse(label: str, message: str) -> NoReturn:
    raise SpecError([f"{escaped(label)}: {message}"])


def _place_of(text: str, index: int) -> Place:
    before = _LINE_BREAK.split(text[:index])
    return len(before) - 1, len(before[-1])


# ---------------------------------------------------------------------------- bytes


def _bytes(path: str, label: str, stdin: BinaryIO | None) -> bytes:
    look = no_binary(label, "a spec in YAML")
    if path == "-":
        if stdin is None and sys.stdin is None:
            _refuse(label, "standard input is closed")
        stream = stdin or sys.stdin.buffer
        return _limited(all_of(stream, LARGEST_SPEC + 1, look), label)
    try:
        return _limited(contents(path, LARGEST_SPEC + 1, look), label)
    except (OSError, ValueError, NoFileError) as error:
        hint = "; name the spec inside it" if "folder" in str(error) else ""
        _refuse(label, unreadable(error, path, (".yaml", ".yml")) + hint)


def no_binary(label: str, expected: str) -> Look:
    """Raises SpecError for the first bytes of what is no text, before the rest is read."""

    def look(head: bytes) -> None:
        if b"\0" in head and encoding_of(head) == "utf-8":
            _refuse(label, f"is a binary file, not {expected}")

    return look


def _limited(data: bytes, label: str) -> bytes:
    if len(data) > LARGEST_SPEC:
        _refuse(label, "is larger than 256 MiB; put large arrays into files: {file: x.npy}")
    return data


def decoded(data: bytes, label: str) -> str:
    """The text of a file, by its byte-order mark. Raises SpecError with the place."""
    encoding = encoding_of(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        text = data[: error.start].decode(encoding, "replace")
        line, column = _place_of(text, len(text))
        name = encoding.upper().removesuffix("-SIG")
        message = f"byte 0x{data[error.start]:02x} is not {name}; save the file as UTF-8"
        raise SpecError([f"{escaped(label)}:{line + 1}:{column + 1}: {message}"]) from None


# ---------------------------------------------------------------------------- events


@dataclass(eq=False)
class _Frame:
    """A list or mapping that is still open; ``size`` and ``height`` count with aliases expanded."""

    container: Any
    values: Any
    anchor: str | None = None
    start: Place = (0, 0)
    keys: dict[str, Place] | None = None
    key: str | None = None
    duplicate: bool = False
    size: int = 1
    height: int = 0


@dataclass(eq=False)
class _Anchor:
    """What an alias stands for; still open while ``size`` is 0."""

    value: Any
    size: int = 0
    height: int = 0


@dataclass(eq=False)
class _Builder:
    """Events in, a Document out."""

    label: str
    lines: list[str]
    stack: list[_Frame] = field(default_factory=lambda: [_Frame([], [])])
    anchors: dict[str, _Anchor] = field(default_factory=dict)
    values: dict[int, Any] = field(default_factory=dict)
    keys: dict[int, dict[str, Place]] = field(default_factory=dict)
    dropped: list[Any] = field(default_factory=list)
    mistakes: list[tuple[int, int, str]] = field(default_factory=list)
    repeated: int = 0
    documents: int = 0

    def take(self, event: Any) -> None:
        """One event of the parser."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
            self._open(event)
        elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
            self._close()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                self._fail(event, "a second document starts here; a spec is one document")

    def document(self) -> Document:
        """Everything that was taken."""
        root = self.stack[0]
        data = root.container[0] if root.container else None
        start = root.values[0] if root.values else (0, 0)
        return Document(
            self.label, self.lines, data, self.values, self.keys, start, tuple(self.mistakes)
        )

    def _fail(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        _stop(self.label, self.lines, (mark.line, mark.column), message)

    def _scalar(self, event: Any) -> None:
        frame = self.stack[-1]
        mark = event.start_mark
        if frame.keys is None and event.implicit[0] and not event.anchor:
            frame.container.append(_core_scalar(event.value))
            frame.values.append((mark.line, mark.column))
            frame.size, frame.height = frame.size + 1, frame.height or 1
            return
        if event.tag is not None:
            self._refuse_tag(event)
        if frame.keys is not None and frame.key is None:
            self._key(frame, event)
            return
        value = _core_scalar(event.value) if event.implicit[0] else event.value
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(value, 1)
        self._attach(value, (mark.line, mark.column))

    def _refuse_tag(self, event: Any) -> None:
        hint = "; text that starts with ! needs quotes" if event.tag[:1] == "!" else ""
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._fail(event, f"the tag {shown(tag)} is not allowed; leave it out{hint}")

    def _key(self, frame: _Frame, event: Any) -> None:
        frame.key = key = event.value
        assert frame.keys is not None
        mark = event.start_mark
        if key in frame.keys:
            first = frame.keys[key][0] + 1
            again = f"{shown(key)} is already given on line {first}; keep one of them"
            self.mistakes.append((mark.line, mark.column, again))
            frame.duplicate = True
        else:
            frame.keys[key] = (mark.line, mark.column)

    def _attach(self, value: Any, place: Place, size: int = 1, height: int = 0) -> None:
        frame = self.stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if frame.keys is None:
            frame.container.append(value)
            frame.values.append(place)
        elif frame.duplicate:
            self.dropped.append(value)
            frame.key, frame.duplicate = None, False
        else:
            frame.container[frame.key] = value
            frame.values[frame.key] = place
            frame.key = None

    def _refuse_as_key(self, event: Any) -> None:
        frame = self.stack[-1]
        if frame.keys is not None and frame.key is None:
            self._fail(event, "a key must be a single word, not a list, a mapping or an alias")

    def _open(self, event: Any) -> None:
        if event.tag is not None:
            self._refuse_tag(event)
        self._refuse_as_key(event)
        if len(self.stack) > DEEPEST:
            self._fail(event, f"nested more than {DEEPEST} deep; an array has at most 2 levels")
        mark = event.start_mark
        mapping = type(event) is yaml.MappingStartEvent
        frame = _Frame({}, {}) if mapping else _Frame([], [])
        frame.keys = {} if mapping else None
        frame.anchor, frame.start = event.anchor, (mark.line, mark.column)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(frame.container)
        self.stack.append(frame)

    def _close(self) -> None:
        frame = self.stack.pop()
        self.values[id(frame.container)] = frame.values
        if frame.keys is not None:
            self.keys[id(frame.container)] = frame.keys
        if frame.anchor:
            self.anchors[frame.anchor] = _Anchor(frame.container, frame.size, frame.height)
        self._attach(frame.container, frame.start, frame.size, frame.height)

    def _alias(self, event: Any) -> None:
        self._refuse_as_key(event)
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            hint = did_you_mean(cut(event.anchor), self.anchors)
            self._fail(event, f"*{cut(event.anchor)} refers to no anchor before it{hint}")
        if anchor.size == 0:
            self._fail(event, f"*{cut(event.anchor)} refers to itself")
        self.repeated += anchor.size
        if self.repeated > MOST_REPEATED:
            self._fail(event, f"aliases repeat more than {MOST_REPEATED:,} values")
        if anchor.height + len(self.stack) > DEEPEST:
            self._fail(event, f"aliases nest more than {DEEPEST} deep")
        mark = event.start_mark
        self._attach(anchor.value, (mark.line, mark.column), anchor.size, anchor.height)


def _core_scalar(text: str) -> Any:
    """A plain scalar by the core schema."""
    match = _SCALAR.fullmatch(text)
    if match is None:
        return text
    kind = match.lastgroup
    if kind == "int":
        return int(text) if len(text) < LONGEST_INTEGER else float(text)
    if kind == "float":
        return float(text)
    if kind in ("true", "false"):
        return kind == "true"
    if kind in ("octal", "hexadecimal"):  # one that long is no number of a net: it stays text
        return int(text, 0) if len(text) < LONGEST_INTEGER else text
    return None if kind == "null" else float(text.replace(".", "", 1))


# ---------------------------------------------------------------------------- syntax


def _syntax(error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[Place, str]:
    """Where the parser stopped, and why in words."""
    unclosed = "quoted scalar" in (error.context or "")
    mark = (error.context_mark if unclosed else None) or error.problem_mark or error.context_mark
    place = (mark.line, mark.column) if mark else (0, 0)
    if mark and mark.line >= len(lines):
        place = (len(lines) - 1, len(lines[-1]))
    said = f"{error.problem or ''} {error.context or ''}"
    for clue, words in _syntax_words(error, lines, place):
        if clue in said:
            return place, words
    return place, f"this is not YAML: {cut(said.strip(), 80)}"


def _syntax_words(
    error: yaml.MarkedYAMLError, lines: list[str], place: Place
) -> Iterator[tuple[str, str]]:
    line, column = place
    character = lines[line][column : column + 1]
    opened = f" on line {error.context_mark.line + 1}" if error.context_mark else ""
    if character == "\t" or "\t" in lines[line][:column]:
        yield "", "a tab cannot indent YAML; use spaces"
    yield "maximum nesting depth", f"nested more than {DEEPEST} deep; an array has at most 2 levels"
    yield "cannot start any token", f"nothing can start with {shown(character)}; put it in quotes"
    yield "flow sequence", f"the list opened{opened} lacks a ',' or its ']'"
    yield "flow mapping", f"the mapping opened{opened} lacks a ',' or its '}}'"
    yield "quoted scalar", f"the quote opened{opened} is never closed, or holds a wrong escape"
    yield (
        "mapping values are not allowed",
        ("a ':' cannot stand here; check this line and the one above, or put the text in quotes"),
    )
    yield "flow node", "a value is missing here, or a bracket is not closed"
    yield "simple key", f"a ':' is missing after the key{opened}"
    yield "block mapping", "this line is indented unlike the keys above it, or lacks its 'key:'"
    yield "block collection", "this line is indented unlike the '- ' items above it"
    yield "block sequence", "a '- ' item cannot stand here; check the indentation"
