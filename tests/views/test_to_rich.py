"""Tables and lines as Rich writes them: nothing is cut, whatever the block holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rnngrad.errors import UsageError
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.formats import to_rich
from rnngrad.views.formats.names import asked_for
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
    ends = {
        "x.json": "json",
        "x.JSONL": "jsonl",
        "x.md": "markdown",
        "x.html": "html",
        "x": "table",
    }
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


def test_what_has_a_meaning_has_a_colour() -> None:
    table = Table(
        "",
        (
            Column("vanishes │ explodes", coloured="flow"),
            Column("", coloured="verdict"),
            Column(""),
        ),
        (
            ("██│  ", "FAIL", "fail"),
            ("  │██", "pass", "steady"),
            ("▒▒│  ", "inconclusive", "wrong"),
        ),
    )
    shown = to_rich.written(table, Screen(colour=True))
    coloured = re.findall(r"\x1b\[38;5;(\d+)m([^\x1b]*)", shown)
    assert coloured == [
        ("32", "██"), ("160", "FAIL"), ("166", "██"), ("28", "pass"), ("32", "▒▒"),
        ("130", "inconclusive"),
    ]  # fmt: skip
    plain = to_rich.written(table, Screen(colour=True, unicode=False))
    assert "\x1b[38;5;32m##\x1b[0m|" in plain
    assert "\x1b[38;5;32m++\x1b[0m|" in plain
    line = Lines(("it vanishes at 1, explodes at 2: does not pass",), coloured="flow")
    said = re.findall(r"5;(\d+)m(\w+)", to_rich.written(line, Screen(colour=True)))
    assert said == [("32", "vanishes"), ("166", "explodes")]


def light(colour: int) -> float:
    """The relative luminance of one of the 216 colours of a cube. Source: WCAG 2.2."""
    steps = (0, 95, 135, 175, 215, 255)
    cube = [steps[(colour - 16) // size % 6] / 255 for size in (36, 6, 1)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in cube]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


@pytest.mark.parametrize("background", [0.0, 1.0], ids=["dark", "light"])
def test_colours_are_read_on_black_and_on_white(background: float) -> None:
    """WCAG asks for a contrast of 3 of what is no running text."""
    styles = [style for pairs in to_rich.COLOURS.values() for _, style in pairs]
    assert len(styles) == 5
    for style in styles:
        darker, lighter = sorted((light(int(style[6:-1])), background))
        assert (lighter + 0.05) / (darker + 0.05) > 3.5
