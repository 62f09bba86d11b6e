"""Pictures on one page by Matplotlib (the extra ``plot``): PNG, SVG or PDF.

Without pyplot, and without the user's own settings: the same pictures are the same bytes. Text is
text in SVG and PDF; nothing in it is read as mathematics. Lines differ by colour, by dashes and by
markers; all that would lie over data (names of lines, levels, regions) stands beside it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rnngrad.views.pictures.by_matplotlib.panel import Panel
from rnngrad.views.pictures.by_matplotlib.sizes import (
    COLUMN,
    LINE,
    PAD,
    TITLE,
    body,
    finding,
    heading,
    notes,
    width,
)
from rnngrad.views.pictures.by_matplotlib.style import FONTS, settings
from rnngrad.views.pictures.by_matplotlib.words import in_small_signs
from rnngrad.views.pictures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def drawn(pictures: Sequence[Picture], ending: str) -> bytes:
    """The pictures on one page, as a file that ends so: ``png``, ``svg`` or ``pdf``."""
    file = io.BytesIO()
    undated: dict[str, Any] = {
        "svg": {"metadata": {"Date": None}},
        "pdf": {"metadata": {"CreationDate": None}},
    }
    with settings():
        page(pictures).savefig(file, format=ending, **undated.get(ending, {}))
    written = file.getvalue()
    return written.replace(b"'DejaVu Sans'", FONTS) if ending == "svg" else written


def figure_of(pictures: Sequence[Picture]) -> Figure:
    """The pictures on one page, as Matplotlib's Figure."""
    with settings():
        return page(pictures)


def into(axes: Axes, picture: Picture) -> Figure:
    """One picture in axes and in the style of the user's own; what one sees is the title."""
    import matplotlib

    picture = in_small_signs(picture)
    with matplotlib.rc_context({"text.parse_math": False}):
        figure: Figure = axes.figure.figure
        Panel(figure, picture, axes).draw()
        axes.set_title("\n".join(finding(picture)), loc="left", fontsize="medium")
    return figure


def page(pictures: Sequence[Picture]) -> Figure:
    """All on one figure, side by side as many as there is room for; wide ones have a row of their
    own. Laid out by hand: Matplotlib's own ways move by a rounding error from run to run."""
    from matplotlib.figure import Figure

    pictures = [in_small_signs(picture) for picture in pictures]
    wide = max(map(width, pictures)) if len(pictures) == 1 else 2 if len(pictures) < 7 else 3
    names = {picture.of for picture in pictures if picture.of}
    title = next(iter(names)) if len(names) == 1 else ""
    rows = [_Row(row, len(names) > 1) for row in _rows(pictures, wide)]
    top = sum(row.height for row in rows) + (TITLE if title else PAD)
    figure = Figure(figsize=(COLUMN * wide, top))
    sheet = _Sheet(figure, COLUMN * wide, top)
    if title:
        sheet.say(PAD, top - PAD, title, fontsize=9, fontweight="bold")
    top -= TITLE if title else PAD
    for row in rows:
        across = COLUMN * (wide if width(row.pictures[0]) > 1 else 1)
        for i, picture in enumerate(row.pictures):
            _draw(sheet, picture, row, (i * across, top, across))
        top -= row.height
    return figure


class _Sheet(NamedTuple):
    """A figure whose places are in inches from its lower left corner."""

    figure: Figure
    width: float
    height: float

    def say(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words whose upper left corner is there."""
        self.figure.text(x / self.width, y / self.height, words, va="top", ha="left", **style)

    def part(self, left: float, bottom: float, right: float, top: float) -> tuple[float, ...]:
        """A rectangle as left, bottom, width and height of the figure's own."""
        width, height = max(right - left, 0.2), max(top - bottom, 0.2)
        return (left / self.width, bottom / self.height, width / self.width, height / self.height)

    def fit(self, panel: Panel, left: float, bottom: float, right: float, top: float) -> None:
        """Make the axes as large as their labels, ticks and names leave room for."""
        room = (0.0, 0.0, 0.0, 0.0)
        for _ in range(2):  # ticks change with the size, and so do their labels
            place = (left + room[0], bottom + room[1], right - room[2], top - room[3])
            panel.move(self.part(*place))
            room = panel.room(self.figure.dpi)
        panel.move(self.part(left + room[0], bottom + room[1], right - room[2], top - room[3]))


def _rows(pictures: Sequence[Picture], wide: int) -> Iterator[list[Picture]]:
    """What has nothing drawn stands at the end."""
    waiting: list[Picture] = []
    for picture in sorted(pictures, key=lambda one: not one.marks):
        if waiting and bool(waiting[0].marks) != bool(picture.marks):
            yield waiting
            waiting = []
        if width(picture) == 2:
            yield [picture]
            continue
        waiting.append(picture)
        if len(waiting) == wide:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


class _Row:
    """Pictures side by side, in inches: their words above, what is drawn, the notes below."""

    def __init__(self, pictures: list[Picture], named: bool) -> None:
        self.pictures = [one if named else one._replace(of="") for one in pictures]
        pictures = self.pictures
        words = max(len(heading(one)) + len(finding(one)) for one in pictures)
        below = max(len(notes(one)) for one in pictures)
        self.parts = (LINE * words + 0.1, max(map(body, pictures)), 0.13 * below + 0.2)
        self.height = sum(self.parts)


def _draw(sheet: _Sheet, picture: Picture, row: _Row, place: tuple[float, float, float]) -> None:
    """A picture with its words, its upper left corner and width given."""
    left, top, across = place
    title = heading(picture)
    for i, line in enumerate([*title, *finding(picture)]):
        bold = i < len(title)
        sheet.say(left + PAD, top - 0.03 - i * LINE, line, fontweight="bold" if bold else "normal",
                  fontsize=8 if bold else 7.5)  # fmt: skip
    words, drawing, _ = row.parts
    sheet.say(left + PAD, top - words - drawing, "\n".join(notes(picture)), fontsize=6.5,
              color="#4d4d4d")  # fmt: skip
    if picture.marks:
        panel = Panel(sheet.figure, picture)
        panel.draw()
        sheet.fit(
            panel, left + PAD, top - words - drawing + 0.04, left + across - 2 * PAD, top - words
        )
