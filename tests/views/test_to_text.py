"""Text without Rich, held against Rich itself, whatever the block holds."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rnngrad.views import to_rich, to_text
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.report import Report, Screen

SIGNS = "ab∂⁺σ─·  \n"
STRANGE = "字é\u0301\t\x07\xa0🙂\u200d\ufe0f"
WIDE = "字字字字字 字字字字字 字字字字字"

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


lines = st.builds(Lines, st.lists(texts, max_size=4).map(tuple), st.booleans())
screens = st.builds(Screen, st.integers(20, 90), st.just(False), st.booleans())


@given(tables() | lines, screens)
@example(Lines(("    " + "a" * 18,)), Screen(20))
@example(Table("", (Column("a\nb"), Column("")), (("", ""),)), Screen(20))
@example(Table("a b c " * 5, (Column("a" * 40),), ()), Screen(20))
@example(Table("", (Column(WIDE, words=True),), ((WIDE,),)), Screen(20))
@example(Table("", (Column("", words=True),), ((WIDE,),)), Screen(20))
@example(Lines((WIDE,)), Screen(20))
@example(Table("", (Column("", right=False),), (("字\t",),)), Screen(20))
@settings(max_examples=500, deadline=None)
def test_as_rich_writes_it(block: Block, screen: Screen) -> None:
    assert to_text.written(block, screen) == to_rich.written(block, screen)


@pytest.mark.parametrize(
    "block",
    [
        Lines(("∂L/∂W_hh is the sum of all the paths", "")),
        Table(
            "Title", (Column("name", words=True), Column("σ")),
            (("many words that must be broken", "1\n2"), ("字", "")), ("a note",), ruled=True,
        ),
    ],
)  # fmt: skip
def test_what_is_plain_never_asks_rich(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_rich, "written", None)
    assert to_text.written(block, Screen(20)).count("\n") > 1


def test_colours_are_richs() -> None:
    block = Lines(("a title",), titled=True)
    report = Report(lambda: [block, block], dict, (), lambda: iter(()))
    title = "\x1b[1ma title\x1b[0m\n"
    assert list(to_text.render(report, Screen(colour=True))) == [title, "\n" + title]
