"""A name with HTML, LaTeX, typst, Markdown or a terminal's escapes in it is a name in every format.

Whether pdflatex and typst set it is tried in ``tests/views/test_engines.py``, the page in a browser
in ``tests/page``, pictures in ``test_plot.py``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from cli.running import run

NAMES = (
    '<script>alert(1)</script> & "x" &amp; <b>',
    r"\textbf{x} $y_1$ \input{z} {% raw %} ~ ^ #",
    '#eval("1") @ref *strong* _em_ `code` $x$',
    "# head [a](http://b) | cell | ~~gone~~ ![i](j)",
    "> quoted",
    "1. listed",
    "\x1b[31mred\x1b]0;title\x07 \u202eleft \r back",
)
COMMANDS = (("derive",), ("check",), ("sweep", "--whh-scale", "1,2"), ("derive", "--blank"))


class Text(HTMLParser):
    """The text of HTML, and which elements it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.elements = "", set[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(name: str) -> str:
    """As it stands where people read it: what cannot be seen is an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


@pytest.mark.parametrize(("name", "command"), [*zip(NAMES, cycle(COMMANDS), strict=False)])
def test_a_name_is_a_name_in_every_format(
    tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    net = {"name": name, "weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 1]}
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(net), encoding="utf-8")
    verb, *options = command
    for form in ("table", "markdown", "json", "jsonl", "csv", "html", "latex", "typst"):
        done = run(verb, "net.yaml", *options, "-q", "-f", form, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), form
        data = form in ("json", "jsonl", "csv")  # which keep what turns the direction of writing
        unseen = "[\x00-\x09\x0b-\x1f\x7f]" if data else "[\x00-\x09\x0b-\x1f\x7f\u202e]"
        assert not re.search(unseen, done.stdout), form
        if form == "table":
            assert shown(name) in done.stdout
        if form == "json" and verb == "derive":
            assert json.loads(done.stdout)["spec"]["name"] == name
        if form == "jsonl":
            assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines())
        if form == "csv":
            assert len({len(row) for row in csv.reader(io.StringIO(done.stdout))}) == 1
        if form == "markdown":
            page = Text(MarkdownIt("gfm-like", {"linkify": False}).render(done.stdout))
            assert shown(name) in page.text.replace("\n", " ")
            said = {"script", "b", "strong", "em", "a", "img", "s", "blockquote", "ol"}
            assert not page.elements & said
            code = re.sub(r"```.*?```", "", done.stdout, flags=re.S)
            assert not re.search(r"(?<!\\)\$", code)  # what a forge takes for mathematics
        if form == "html":
            page = Text(done.stdout)
            assert shown(name) in page.text
            assert not page.elements & {"b", "strong", "em", "a", "img"}
            assert "<script>alert" not in done.stdout
        if form == "latex":
            assert r"\input{z}" not in done.stdout
        if form == "typst":
            assert not re.search(r'(?<!")#eval', done.stdout)
