"""Pictures on one page by Matplotlib (the extra ``plot``): PNG, SVG or PDF.

Without pyplot, and without the user's own settings: the same pictures are the same bytes. Text is
text in SVG and PDF; nothing in it is read as mathematics. Lines differ by colour, by dashes and by
markers; all that would lie over data (names of lines, levels, regions) stands beside it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnngrad.analyses.derivation.notation import raised
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.pictures.picture import (
    Axis,
    Band,
    Bars,
    Graph,
    Heat,
    Level,
    Line,
    Picture,
    Region,
    Tone,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, HEIGHT = 3.5, 2.5
"""Inches: a column of a journal, and what a picture takes of it besides its words."""

PAD, TITLE = 0.07, 0.32
"""Inches: at the edges, and for the name of the net."""

LABELS = 33
"""Points below the axes that ticks and label take."""

LINES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's colours: apart for the colour-blind."""

DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DIVERGING = ("#2166ac", "#f7f7f7", "#b35806")
ZERO = "#053061"
"""An exact zero on a map of logarithms."""

TONES: dict[Tone, str] = {
    "": "#4d4d4d", "gone": DIVERGING[0], "kept": "#878787", "blown up": DIVERGING[2],
    "faint": "#bdbdbd",
}  # fmt: skip

FONTS = b"'DejaVu Sans', Verdana, sans-serif"
"""What an SVG is shown in, where the first is not installed the next: it is as wide."""

SETTINGS: Any = {
    "font.family": "DejaVu Sans", "font.size": 7.5, "axes.labelsize": 7.5, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "legend.fontsize": 7, "figure.titlesize": 8.5, "axes.linewidth": 0.6,
    "axes.spines.top": False, "lines.linewidth": 1.3, "lines.markersize": 3,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "text.parse_math": False,
    "axes.formatter.use_mathtext": False, "svg.fonttype": "none", "svg.hashsalt": "rnngrad",
    "pdf.fonttype": 42, "savefig.dpi": 200, "axes.unicode_minus": True,
}  # fmt: skip


def drawn(pictures: Sequence[Picture], ending: str) -> bytes:
    """The pictures on one page, as a file that ends so: ``png``, ``svg`` or ``pdf``."""
    file = io.BytesIO()
    undated: dict[str, Any] = {
        "svg": {"metadata": {"Date": None}},
        "pdf": {"metadata": {"CreationDate": None}},
    }
    with _settings():
        page(pictures).savefig(file, format=ending, **undated.get(ending, {}))
    written = file.getvalue()
    return written.replace(b"'DejaVu Sans'", FONTS) if ending == "svg" else written


def figure_of(pictures: Sequence[Picture]) -> Figure:
    """The pictures on one page, as Matplotlib's Figure."""
    with _settings():
        return page(pictures)


def into(axes: Axes, picture: Picture) -> Figure:
    """One picture in axes and in the style of the user's own; what one sees is the title."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}):
        figure: Figure = axes.figure.figure
        _Panel(figure, picture, axes).draw()
        axes.set_title("\n".join(_finding(picture)), loc="left", fontsize="medium")
    return figure


@contextmanager
def _settings() -> Iterator[None]:
    """Our own settings in the place of the user's."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in other letters
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def page(pictures: Sequence[Picture]) -> Figure:
    """All on one figure, side by side as many as there is room for; wide ones have a row of their
    own. Laid out by hand: Matplotlib's own ways move by a rounding error from run to run."""
    from matplotlib.figure import Figure

    wide = max(map(_width, pictures)) if len(pictures) == 1 else 2 if len(pictures) < 7 else 3
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
        width = COLUMN * (wide if _width(row.pictures[0]) > 1 else 1)
        for i, picture in enumerate(row.pictures):
            _draw(sheet, picture, row, (i * width, top, width))
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

    def fit(self, panel: _Panel, left: float, bottom: float, right: float, top: float) -> None:
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
        if _width(picture) == 2:
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
        words = max(len(_heading(one)) + len(_finding(one)) for one in pictures)
        notes = max(len(_notes(one)) for one in pictures)
        self.parts = (LINE * words + 0.1, max(map(_body, pictures)), 0.13 * notes + 0.2)
        self.height = sum(self.parts)


def _width(picture: Picture) -> int:
    """In columns: an unrolled net of many steps needs two."""
    return 2 if any(isinstance(m, Graph) and len(m.nodes) > 8 for m in picture.marks) else 1


def _body(picture: Picture) -> float:
    """Inches that the axes take, with their labels and the names below."""
    names = [m for m in picture.marks if isinstance(m, Line | Band | Level) and m.name]
    bars = sum(len(m.bars) for m in picture.marks if isinstance(m, Bars))
    if any(isinstance(m, Graph) for m in picture.marks):
        return 1.25
    if not picture.marks:
        return 0.1
    return (max(0.7, 0.17 * bars + 0.5) if bars else HEIGHT) + 0.07 * len(names)


def _heading(picture: Picture) -> list[str]:
    return wrap(f"{picture.title} · {picture.of}" if picture.of else picture.title,
                50 * _width(picture))  # fmt: skip


def _finding(picture: Picture) -> list[str]:
    return wrap(picture.finding, 62 * _width(picture))


def _notes(picture: Picture) -> list[str]:
    return [line for note in picture.notes for line in wrap(note, 68 * _width(picture))]


LINE = 0.155
"""Inches from one line of words to the next."""


def _draw(sheet: _Sheet, picture: Picture, row: _Row, place: tuple[float, float, float]) -> None:
    """A picture with its words, its upper left corner and width given."""
    left, top, width = place
    heading = _heading(picture)
    for i, line in enumerate([*heading, *_finding(picture)]):
        bold = i < len(heading)
        sheet.say(left + PAD, top - 0.03 - i * LINE, line, fontweight="bold" if bold else "normal",
                  fontsize=8 if bold else 7.5)  # fmt: skip
    above, body, _ = row.parts
    sheet.say(left + PAD, top - above - body, "\n".join(_notes(picture)), fontsize=6.5,
              color="#4d4d4d")  # fmt: skip
    if picture.marks:
        panel = _Panel(sheet.figure, picture)
        panel.draw()
        sheet.fit(panel, left + PAD, top - above - body + 0.04, left + width - 2 * PAD, top - above)


class _Side(NamedTuple):
    """Words at the right edge, at a height."""

    words: str
    y: float
    colour: str


class _Panel:
    """One picture's axes while it is drawn."""

    def __init__(self, figure: Figure, picture: Picture, axes: Axes | None = None) -> None:
        self.figure, self.picture = figure, picture
        self.axes = axes = figure.add_axes((0.1, 0.1, 0.8, 0.8)) if axes is None else axes
        self.right = axes.twinx() if picture.right is not None else None
        self.styles = cycle(zip(LINES, MARKERS, strict=True))
        self.dashes, self.level_dashes = cycle(DASHES), cycle((":", "--", "-.", (0, (1, 3))))
        self.sides: list[_Side] = []

    def draw(self) -> None:
        """All marks, then what depends on the limits that they set."""
        if any(isinstance(mark, Graph) for mark in self.picture.marks):
            self._graph()
            return
        self._axis()
        for mark in self.picture.marks:
            getattr(self, f"_{type(mark).__name__.lower()}")(mark)
        self._regions()
        self._limits()
        self._beside()
        self._legend()

    def move(self, place: tuple[float, ...]) -> None:
        """Put the axes there: left, bottom, width, height, parts of the figure."""
        for axes in filter(None, (self.axes, self.right)):
            axes.set_position(place)  # type: ignore[arg-type]

    def room(self, dpi: float) -> tuple[float, float, float, float]:
        """Inches that stand out of the axes: to the left, below, to the right, above."""
        from matplotlib.transforms import Bbox

        found = [axes.get_tightbbox() for axes in (self.axes, self.right) if axes is not None]
        whole = Bbox.union([box for box in found if box is not None])
        self.axes.apply_aspect()
        own = self.axes.get_window_extent()
        edges = (own.x0 - whole.x0, own.y0 - whole.y0, whole.x1 - own.x1, whole.y1 - own.y1)
        left, below, right, above = (max(edge / dpi, 0.0) for edge in edges)
        return left, below, right, above

    # ---------------------------------------------------------------- axes

    def _axis(self) -> None:
        picture, axes = self.picture, self.axes
        axes.set_xlabel(picture.x.label)
        axes.set_ylabel(picture.y.label)
        _ticks(axes, "x", picture.x)
        _ticks(axes, "y", picture.y)
        if self.right is not None and picture.right is not None:
            self.right.set_ylabel(picture.right.label)
            _ticks(self.right, "y", picture.right)
        else:
            axes.spines["right"].set_visible(False)
        if picture.square:
            axes.set_aspect("equal", adjustable="box")

    def _limits(self) -> None:
        for axes, axis, which in (
            (self.axes, self.picture.x, "x"), (self.axes, self.picture.y, "y"),
            (self.right, self.picture.right, "y"),
        ):  # fmt: skip
            if axes is None or axis is None:
                continue
            set_limits = getattr(axes, f"set_{which}lim")
            low, high = getattr(axes, f"get_{which}lim")()
            low = low if axis.low is None else axis.low
            high = high if axis.high is None else axis.high
            if axis.down:
                low, high = max(low, high), min(low, high)
            if not self.picture.square:
                set_limits(low, high)
            if axis.log and not axis.ticks and low > 0 and max(low, high) < 100 * min(low, high):
                _label_between(getattr(axes, f"{which}axis"))

    def _beside(self) -> None:
        """The words at the right edge, pushed apart where they would touch."""
        low, high = self.axes.get_ylim()
        gap = 0.065 * (HEIGHT / max(_body(self.picture), 1.0))
        place = sorted(((side.y - low) / (high - low), side) for side in self.sides)
        last = -gap
        for at, side in place:
            if not -0.02 <= at <= 1.02:
                continue
            last = max(at, last + gap)
            self.axes.annotate(
                side.words, (1.0, last), xycoords="axes fraction", xytext=(3, 0),
                textcoords="offset points", va="center", ha="left", fontsize=6.5,
                color=side.colour, annotation_clip=False,
            )  # fmt: skip

    def _legend(self) -> None:
        from matplotlib.transforms import ScaledTranslation

        handles, names = self.axes.get_legend_handles_labels()
        if self.right is not None:
            more = self.right.get_legend_handles_labels()
            handles, names = handles + more[0], names + more[1]
        lines = sum(isinstance(mark, Line) for mark in self.picture.marks)
        bars = any(isinstance(mark, Bars) for mark in self.picture.marks)
        if len(handles) > 1 or (handles and (bars or not lines)):
            longest = max(map(len, names))
            columns = 1 if longest > 30 else 2 if longest > 16 else 3
            down = ScaledTranslation(0, -LABELS / 72, self.figure.dpi_scale_trans)
            self.axes.legend(
                handles, names, ncols=min(columns, len(names)), loc="upper center",
                bbox_to_anchor=(0.5, 0.0), bbox_transform=self.axes.transAxes + down,
                frameon=False, handlelength=2.6, borderaxespad=0, columnspacing=1.2,
                labelspacing=0.25,
            )  # fmt: skip

    # ---------------------------------------------------------------- marks

    def _line(self, mark: Line) -> None:
        axes = self.right if mark.right and self.right is not None else self.axes
        colour, marker = next(self.styles)
        dashes = next(self.dashes)
        if mark.tone:
            colour = TONES[mark.tone]
        y = np.where(np.isfinite(mark.y), mark.y, np.nan)
        few = np.count_nonzero(np.isfinite(y)) <= 40
        style: dict[str, Any] = {"color": colour, "label": mark.name or "_", "clip_on": True}
        if mark.points:
            style |= {"linestyle": "none", "marker": marker, "markersize": 2.5 if few else 1.2}
        else:
            style |= {"linestyle": "--" if mark.dashed else dashes}
            style |= {"marker": marker} if few else {}
        if mark.error is None:
            axes.plot(mark.x, y, **style)
        else:
            error = np.where(np.isfinite(mark.error), mark.error, 0.0)
            axes.errorbar(mark.x, y, yerr=error, elinewidth=0.8, capsize=1.5, **style)
        if mark.right:
            axes.tick_params(axis="y", colors=colour)
            axes.yaxis.label.set_color(colour)

    def _band(self, mark: Band) -> None:
        colour = LINES[sum(isinstance(m, Line) for m in self.picture.marks[: self._at(mark)])
                       % len(LINES)]  # fmt: skip
        self.axes.fill_between(mark.x, mark.low, mark.high, color=colour, alpha=0.25, linewidth=0,
                               label=mark.name)  # fmt: skip

    def _at(self, mark: Band) -> int:
        return next(i for i, one in enumerate(self.picture.marks) if one is mark)

    def _level(self, mark: Level) -> None:
        if mark.y is not None:
            self.axes.axhline(mark.y, color="#878787", linewidth=0.7, linestyle=":", zorder=1)
            if mark.name:
                self.sides.append(_Side(mark.name, mark.y, "#4d4d4d"))
        if mark.x is not None:
            style = next(self.level_dashes) if mark.name else "-"
            self.axes.axvline(mark.x, color="#1a1a1a", linewidth=0.9, linestyle=style, zorder=1.5,
                              label=mark.name or "_")  # fmt: skip

    def _region(self, mark: Region) -> None:
        """Drawn when the limits are known."""

    def _regions(self) -> None:
        regions = [mark for mark in self.picture.marks if isinstance(mark, Region)]
        if not regions:
            return
        low, high = self.axes.get_ylim()
        room = 0.12 * (high - low)
        edges = [edge for r in regions for edge in (r.low, r.high) if np.isfinite(edge)]
        low, high = min(low, min(edges) - room), max(high, max(edges) + room)
        self.axes.set_ylim(low, high)
        for region in regions:
            bottom, top = max(region.low, low), min(region.high, high)
            colour = TONES[region.tone]
            self.axes.axhspan(bottom, top, color=colour, alpha=0.1, linewidth=0, zorder=0)
            self.sides.append(_Side(region.name, (bottom + top) / 2, colour))

    def _heat(self, mark: Heat) -> None:
        from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

        z = np.ma.masked_invalid(np.where(np.isneginf(mark.z), -1e300, mark.z))
        finite = mark.z[np.isfinite(mark.z)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if mark.diverging:
            reach = max(-low, high, 1e-3)
            norm: Any = TwoSlopeNorm(0.0, min(low, -0.05 * reach), max(high, 0.05 * reach))
            colours: Any = LinearSegmentedColormap.from_list("flow", DIVERGING)
            colours = colours.with_extremes(under=ZERO)
        else:
            norm, colours = None, "cividis"
        vmin, vmax = (None, None) if mark.diverging else (low, high)
        shown = self.axes.pcolormesh(
            _edges(mark.x, self.picture.x), _edges(mark.y, self.picture.y), z, cmap=colours,
            norm=norm, vmin=vmin, vmax=vmax, rasterized=mark.z.size > 1000, linewidth=0,
        )  # fmt: skip
        zeros = bool(np.isneginf(mark.z).any())
        if mark.diverging and low < 0 < high and min(z.shape) > 1:  # the two sides, also in grey
            parted = np.ma.maximum(z, low)
            self.axes.contour(mark.x, mark.y, parted, [0.0], colors="#1a1a1a", linewidths=0.4)
        beside = self.axes.inset_axes((1.03, 0.0, 0.045, 1.0))
        bar = self.figure.colorbar(shown, cax=beside, extend="min" if zeros else "neither")
        bar.outline.set_linewidth(0.5)
        if mark.diverging:
            bar.ax.axhline(0.0, color="#1a1a1a", linewidth=0.4)
        bar.set_label(mark.name + (" (darkest: exactly 0)" if zeros else ""))
        places = _spread(low, high, mark.diverging)
        bar.set_ticks(places, labels=[_plain(place) for place in places])
        bar.ax.minorticks_off()

    def _bars(self, mark: Bars) -> None:
        rows = np.arange(len(mark.bars), dtype=float)
        for i, bar in enumerate(mark.bars):
            self.axes.barh(i, bar.end - bar.start, left=bar.start, height=0.62,
                           color=TONES[bar.tone], hatch="" if bar.tone != "gone" else "/////",
                           edgecolor="white", linewidth=0)  # fmt: skip
            if i:
                self.axes.plot(
                    [bar.start] * 2, [i - 0.69, i + 0.31], color="#878787", linewidth=0.5
                )
            self.sides.append(_Side(bar.words, float(i), "#1a1a1a"))
        self.axes.set_yticks(rows, [bar.name for bar in mark.bars])
        self.axes.tick_params(axis="y", length=0)
        self.axes.set_ylim(len(rows) - 0.4, -0.6)

    # ---------------------------------------------------------------- the unrolled net

    def _graph(self) -> None:
        axes, room = self.axes, 0.32
        axes.set_axis_off()
        graph = next(mark for mark in self.picture.marks if isinstance(mark, Graph))
        sizes = np.array([a.log10 for a in graph.arrows if np.isfinite(a.log10)])
        for arrow in graph.arrows:
            self._arrow(arrow.start, arrow.end, arrow.log10, sizes)
            middle = ((arrow.start.x + arrow.end.x) / 2, (arrow.start.y + arrow.end.y) / 2)
            level = arrow.start.y == arrow.end.y
            axes.annotate(
                arrow.words, middle, xytext=(0, 6) if level else (5, 2), fontsize=6,
                textcoords="offset points", ha="center" if level else "left",
                va="bottom" if level else "center",
            )  # fmt: skip
        for node in graph.nodes:
            shape = "circle,pad=0.25" if node.round else "square,pad=0.25"
            axes.text(
                node.x, node.y, _lowered(node.name), ha="center", va="center", fontsize=7, zorder=3,
                bbox={"boxstyle": shape, "facecolor": "white", "edgecolor": "#1a1a1a",
                      "linewidth": 0.7},
            )  # fmt: skip
            if node.words:
                axes.annotate(node.words, (node.x, node.y), xytext=(0, -13), ha="center", va="top",
                              textcoords="offset points", fontsize=6)  # fmt: skip
        xs, ys = [node.x for node in graph.nodes], [node.y for node in graph.nodes]
        axes.set_xlim(min(xs) - room, max(xs) + room + 0.2)
        axes.set_ylim(min(ys) - 0.45, max(ys) + room)

    def _arrow(self, start: Any, end: Any, log10: float, sizes: Array) -> None:
        """Width and colour by the logarithm, from a thousandth or less to the largest."""
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.patches import FancyArrowPatch

        known = log10 if np.isfinite(log10) else -300.0
        part = float(np.clip(1.0 + (known - max(sizes.max(initial=0.0), 0.0)) / 3.0, 0.0, 1.0))
        colours = LinearSegmentedColormap.from_list("flow", DIVERGING)
        width = 0.6 + 5.0 * part
        self.axes.add_patch(
            FancyArrowPatch(
                (start.x, start.y), (end.x, end.y), shrinkA=9, shrinkB=9, zorder=2,
                arrowstyle=f"simple,tail_width={width},head_width={width + 3.5},head_length=5",
                facecolor=colours(0.5 + 0.5 * float(np.clip(known / 2.0, -1, 1))),
                edgecolor="#4d4d4d", linewidth=0.5,
                linestyle="-" if np.isfinite(log10) else ":",
            )
        )  # fmt: skip


def _edges(middles: Array, axis: Axis) -> Array:
    """The borders of a map's cells, from their middles; on a log axis in the geometric middle."""
    at = np.log10(middles) if axis.log else np.asarray(middles, float)
    if len(at) == 1:
        inner, first, last = np.empty(0), at[0] - 0.5, at[0] + 0.5
    else:
        inner = (at[:-1] + at[1:]) / 2
        first, last = at[0] - (inner[0] - at[0]), at[-1] + (at[-1] - inner[-1])
    edges = np.concatenate([[first], inner, [last]])
    return np.asarray(10.0**edges if axis.log else edges)


def _spread(low: float, high: float, diverging: bool) -> list[float]:
    """Ticks of a colour bar: even on each side of 0, which has one; not crowded on the short
    side, which is stretched."""
    from matplotlib.ticker import MaxNLocator

    if not diverging:
        return [float(v) for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high]
    below = (
        [float(v) for v in MaxNLocator(4).tick_values(low, 0.0) if low <= v < 0] if low < 0 else []
    )
    above = (
        [float(v) for v in MaxNLocator(3).tick_values(0.0, high) if 0 < v <= high]
        if high > 0
        else []
    )
    if above and high < 0.2 * -low:
        above = above[-1:]
    if below and -low < 0.2 * high:
        below = below[:1]
    return [*below, 0.0, *above]


def _ticks(axes: Axes, which: str, axis: Axis) -> None:
    """The scale, and ticks whose words are plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    ticked = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
        ticked.set_major_locator(LogLocator(base=10, numticks=5 if which == "x" else 7))
        ticked.set_minor_formatter(NullFormatter())
        ticked.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    else:
        ticked.set_major_locator(MaxNLocator(6, integer=axis.whole, min_n_ticks=1))
        ticked.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    if axis.ticks:
        places, words = zip(*axis.ticks, strict=True)
        ticked.set_ticks(places, words)
        ticked.set_ticks([], minor=True)


def _label_between(ticked: Any) -> None:
    """Words at 2 and 5 as well, where a log axis has few powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ticked.set_minor_locator(LogLocator(base=10, subs=(2.0, 5.0)))
    ticked.set_minor_formatter(FuncFormatter(lambda value, _: _power(value)))
    ticked.set_tick_params(which="minor", length=3.5)


def _plain(value: float) -> str:
    return f"{round(value, 12):g}".replace("-", "−").replace("e+0", "e+").replace("e−0", "e−")


def _power(value: float) -> str:
    """0.1, 1, 100; 10⁻⁵, 2·10⁻⁵ beyond."""
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    power = int(np.floor(np.log10(value) + 1e-9))
    factor = round(value / 10.0**power)
    times = "" if factor == 1 else f"{factor}·"
    return f"{times}10{'⁻' if power < 0 else ''}{raised(abs(power))}"


def _lowered(name: str) -> str:
    """h_12 -> h₁₂"""
    head, _, number = name.partition("_")
    if not number.isdecimal():
        return name
    return head + number.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
