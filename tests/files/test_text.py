"""The setting of words: escapes, cuts, carets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.files.text import QUOTE_WIDTH, cut, dotted, escaped, listed, quoted


@given(st.text())
def test_nothing_that_a_terminal_acts_on_gets_through(text: str) -> None:
    assert escaped(text).isprintable()
    assert len(cut(text)) <= 40


def test_escapes() -> None:
    assert escaped("∂h_t\x1b[31m\u202e\udc80") == "∂h_t\\x1b[31m\\u202e\\udc80"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1), st.data())
def test_the_caret_stands_under_the_column(line: str, data: st.DataObject) -> None:
    column = data.draw(st.integers(0, len(line) - 1))
    shown, caret = quoted(line, column).split("\n")
    assert shown[caret.index("^")] == line[column]
    assert len(shown) <= QUOTE_WIDTH + 2


@pytest.mark.parametrize(
    ("line", "column", "caret"),
    [("\ta", 1, 3), ("\x1ba", 1, 6), ("漢字a", 2, 6), ("e\u0301a", 2, 3), ("a", 1, 3)],
)
def test_carets_under_odd_characters(line: str, column: int, caret: int) -> None:
    assert quoted(line, column).split("\n")[1].index("^") == caret


def test_lists() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert listed([str(n) for n in range(1000)], limit=9) == "0, 1, 2 and 997 more"
    assert dotted(("weights", "W_hh", 1, 2)) == "weights.W_hh[1][2]"
