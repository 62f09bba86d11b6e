"""Tables and lines as Rich writes them: nothing is cut, whatever the block holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rnngrad.errors import UsageError
from rnngrad.views import to_rich
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.formats import asked_for
from rnngrad.views.report import Report, Screen

SIGNS = "ab∂⁺σ─·  \n"
STRANGE = "字🙂"

texts = st.text(SIGNS, max_size=40) | st.text(SIGNS + STRANGE, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(
        st.lists(st.builds(Column, texts, st.booleans(), st.booleans()), min_size=1, max_size=4)
    )
    row = st.tuples(*(texts for _ in columns))
    rows = draw(st.lists(row, max_size=4))
    notes = draw(st.lists(texts, max_size=2))
    return Table(draw(texts), tuple(columns), tuple(rows), tuple(notes), draw(st.booleans()))


blocks = tables() | st.builds(Lines, st.lists(texts, max_size=4).map(tuple), st.booleans())
widths = st.integers(20, 90)


def signs(text: str) -> list[str]:
    """All that is no blank and no rule, in any order."""
    return sorted(re.sub(r"[\s─]", "", text))


def held(block: Block) -> str:
    if isinstance(block, Lines):
        return "".join(block.lines)
    cells = (*(column.header for column in block.columns), *(c for row in block.rows for c in row))
    return "".join((block.title, *cells, *block.notes))


@given(blocks, widths)
@settings(max_examples=300, deadline=None)
def test_no_sign_is_lost(block: Block, width: int) -> None:
    assert signs(to_rich.written(block, Screen(width))) == signs(held(block))


@given(blocks, widths)
@settings(max_examples=200, deadline=None)
def test_a_colour_changes_no_sign(block: Block, width: int) -> None:
    plain = to_rich.written(block, Screen(width))
    coloured = to_rich.written(block, Screen(width, colour=True))
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.split("\n")] == plain.split("\n")


@given(blocks, widths)
@settings(max_examples=200, deadline=None)
def test_ascii_is_ascii(block: Block, width: int) -> None:
    strange = any(sign in held(block) for sign in STRANGE)
    assert strange or to_rich.written(block, Screen(width, unicode=False)).isascii()


def test_words_give_way_and_numbers_do_not() -> None:
    block = Table(
        "a title",
        (Column("what", words=True, right=False), Column("value"), Column("error")),
        (("words that may be broken anywhere", "1.2345678901234", "2.0e-16"),),
    )
    lines = to_rich.written(block, Screen(40)).split("\n")
    assert max(map(cell_len, lines)) <= 40
    assert any("1.2345678901234  2.0e-16" in line for line in lines)
    narrow = to_rich.written(block, Screen(20))
    assert "1.2345678901234  2.0e-16" in narrow


def test_a_file_is_in_the_format_of_its_ending() -> None:
    ends = {"x.json": "json", "x.JSONL": "jsonl", "x.md": "markdown", "x": "table"}
    assert {name: asked_for(None, False, Path(name)) for name in ends} == ends
    assert asked_for(None, False, Path("x.yaml"), specs=(".yaml",)) == "table"
    assert asked_for("csv", False, Path("x.dat")) == "csv"
    with pytest.raises(UsageError, match=r"-o x\.dat: no format ends in \.dat; these do: \.json"):
        asked_for(None, False, Path("x.dat"))


def test_titles_are_bold_and_blocks_are_apart() -> None:
    block = Lines(("a title",), titled=True)
    report = Report(lambda: [block, block], dict, (), lambda: iter(()))
    title = "\x1b[1ma title\x1b[0m\n"
    assert list(to_rich.render(report, Screen(colour=True))) == [title, "\n" + title]
