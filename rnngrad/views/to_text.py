"""Blocks as text. Rich, whose tables take as long to import as rnngrad, is for colours.

Without them a table is its columns padded and set side by side, and a line is itself, or broken
between words. What is less plain (a word longer than the screen, signs two cells wide that must be
broken, control characters) goes to Rich as well; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len

from rnngrad.views.blocks import Block, Lines, Table
from rnngrad.views.columns import GAP, Laid, laid, total_width, wrapped
from rnngrad.views.plain import to_ascii
from rnngrad.views.report import Report, Screen


class _NotPlainError(Exception):
    """This block is Rich's to lay out."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        text = _by_rich(block, screen) if screen.colour else written(block, screen)
        yield ("\n" if index else "") + text


def written(block: Block, screen: Screen) -> str:
    """One block without colours."""
    try:
        lines = _table(block, screen) if isinstance(block, Table) else _lines(block, screen)
        text = "".join(f"{line.rstrip()}\n" for line in lines)
    except _NotPlainError:
        return _by_rich(block, screen)
    return text if screen.unicode else to_ascii(text)


def _by_rich(block: Block, screen: Screen) -> str:
    """Rich takes its time to import, so only what needs it pays for it."""
    from rnngrad.views import to_rich

    return to_rich.written(block, screen)


def _lines(block: Lines, screen: Screen) -> Iterator[str]:
    for line in block.lines:
        yield from _broken(line, screen.width, screen)


def _table(block: Table, screen: Screen) -> Iterator[str]:
    columns = laid(block, screen)
    width = total_width(columns)
    yield from _broken(block.title, max(screen.width, width + GAP), screen)
    yield from _side_by_side([column._replace(lines=[column.header]) for column in columns])
    yield "─" * width
    yield from _side_by_side(columns)
    for note in block.notes:
        yield from _broken(note, screen.width, screen)


def _side_by_side(columns: list[Laid]) -> Iterator[str]:
    padded = (_padded(column) for column in columns)
    return map((" " * GAP).join, zip(*padded, strict=True))


def _padded(column: Laid) -> Iterable[str]:
    """The column's lines, each as wide as it, blanks to the left of what stands on the right."""
    for line in column.lines:
        text = line.rstrip()
        blanks = column.width - cell_len(text)
        if blanks < 0 or not line.isprintable():
            raise _NotPlainError
        yield " " * blanks + text if column.right else text + " " * blanks


def _broken(text: str, width: int, screen: Screen) -> list[str]:
    """The text's lines, broken between words where they are too long."""
    lines = (text if screen.unicode else to_ascii(text)).split("\n")
    if not all(map(str.isprintable, lines)):
        raise _NotPlainError
    if all(cell_len(line) <= width for line in lines):
        return lines
    broken = [wrapped(line, width) for line in lines]
    for line, parts in zip(lines, broken, strict=True):
        indented_away = not line.startswith(parts[0])
        if indented_away or cell_len(line) != len(line) or max(map(len, parts)) > width:
            raise _NotPlainError
    return [part for parts in broken for part in parts]
