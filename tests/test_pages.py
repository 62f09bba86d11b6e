"""The pages of docs/ whose commands are run, those that are written from the code, and the site."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cli.running import ROOT, run

PAGES = runpy.run_path(str(ROOT / "docs" / "pages.py"))
RUN_HERE = [page for page in PAGES["pages"]() if page not in PAGES["NEEDS"]]


@pytest.mark.parametrize("page", RUN_HERE)
def test_a_page_shows_what_its_commands_print(page: str) -> None:
    assert PAGES["ran"](page) == (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_what_a_command_prints_is_put_in(tmp_path: Any) -> None:
    """It can go red: the block of a page that shows nothing gets what the command prints."""
    shown = PAGES["_run"]("$ rnngrad cells mgu | head -1\nstale\n$ echo two words\n", tmp_path)
    assert shown == (
        "$ rnngrad cells mgu | head -1\n# Minimal gated unit (MGU).\n$ echo two words\ntwo words\n"
    )


@pytest.mark.parametrize("page", PAGES["WRITTEN"])
def test_the_reference_is_what_the_code_says(page: str) -> None:
    written = PAGES["WRITTEN"][page]()
    assert written == (ROOT / "docs" / page).read_text(encoding="utf-8"), "python docs/pages.py"
    assert len(written.splitlines()) > (100 if page != "stress.md" else 10)


def leaves(nav: list[Any] | dict[str, Any] | str) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from leaves(item)


def test_every_page_has_its_place_in_the_site() -> None:
    site = tomllib.loads((ROOT / ".zensical.toml").read_text(encoding="utf-8"))["project"]
    there = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert sorted(leaves(site["nav"])) == there
    assert site["theme"]["font"] is False  # it would be loaded from elsewhere


def test_links_to_a_heading_lead_to_one() -> None:
    """``page.md#heading``: as a forge and the site's generator make it from the heading."""
    headings = {}
    for path in (ROOT / "docs").glob("*.md"):
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        titles = re.findall(r"^#+ (.*)$", text, re.M)
        plain = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
        headings[path.name] = {re.sub(r"\s", "-", title) for title in plain}
        headings[path.name] |= set(re.findall(r'<a (?:id|name)="([\w-]+)"', text))
    wrong = [
        (path.name, target, anchor)
        for path in (ROOT / "docs").glob("*.md")
        for target, anchor in re.findall(
            r"\]\(([\w.]*)#([\w-]+)\)", path.read_text(encoding="utf-8")
        )
        if anchor not in headings.get(target or path.name, set())
    ]
    assert not wrong


GALLERY = re.findall(
    r"^rnngrad .* --plot docs/pictures/.*$",
    (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8"),
    re.M,
)


ROUNDING = re.compile(r"\S*e−1\d|\b0 pass\b.*|.*at best.*|.*at 1e−30.*")
"""What is nothing but rounding, and so the machine's own."""


def _texts(svg: Path) -> list[str]:
    every = ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")
    return [ROUNDING.sub("", node.text or "").removesuffix(" pass") for node in every]


@pytest.mark.parametrize("line", GALLERY, ids=lambda line: line.split("/")[-1].split(".")[0])
def test_the_gallery_is_what_its_commands_draw(line: str, tmp_path: Path) -> None:
    """Findings, numbers and ticks."""
    words = shlex.split(line)
    at = words.index("--plot") + 1
    kept, drawn = ROOT / words[at], tmp_path / "drawn.svg"
    done = run(*words[1:at], str(drawn), *words[at + 1 :], "-q")
    assert done.returncode == 0, done.stderr
    assert _texts(drawn) == _texts(kept)
    assert len(_texts(kept)) > 10


def test_every_drawing_of_the_gallery_is_drawn_by_a_command() -> None:
    there = {f"docs/pictures/{path.name}" for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    assert there == {words[words.index("--plot") + 1] for words in map(shlex.split, GALLERY)}
    shown = re.findall(r"\]\((pictures/.*?)\)", (ROOT / "docs" / "pictures.md").read_text("utf-8"))
    assert {f"docs/{one}" for one in shown} == there
    assert sum((ROOT / one).stat().st_size for one in there) < 400_000
