"""One picture in its axes: the marks, and what stands beside them."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnngrad.views.pictures.by_matplotlib.graph import draw_graph
from rnngrad.views.pictures.by_matplotlib.sizes import HEIGHT, body
from rnngrad.views.pictures.by_matplotlib.style import (
    DASHES,
    DIVERGING,
    HATCH,
    LINES,
    MARKERS,
    TONES,
    ZERO,
)
from rnngrad.views.pictures.by_matplotlib.ticks import (
    edges,
    label_between,
    spread,
    ticks,
    told_apart,
)
from rnngrad.views.pictures.picture import Band, Bars, Graph, Heat, Level, Line, Picture, Region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = 33
"""Points below the axes that ticks and label take."""


class _Side(NamedTuple):
    """Words at the right edge, at a height."""

    words: str
    y: float
    colour: str


class Panel:
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
        graphs = [mark for mark in self.picture.marks if isinstance(mark, Graph)]
        if graphs:
            draw_graph(self.axes, graphs[0])
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
        ticks(axes, "x", picture.x)
        ticks(axes, "y", picture.y)
        if self.right is not None and picture.right is not None:
            self.right.set_ylabel(picture.right.label)
            ticks(self.right, "y", picture.right)
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
                label_between(getattr(axes, f"{which}axis"))

    def _beside(self) -> None:
        """The words at the right edge, pushed apart where they would touch."""
        low, high = self.axes.get_ylim()
        gap = 0.065 * (HEIGHT / max(body(self.picture), 1.0))
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
        points = any(isinstance(mark, Bars | Heat) for mark in self.picture.marks)
        if len(handles) > 1 or (handles and (points or not lines)):
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
        on_map = any(isinstance(one, Heat) for one in self.picture.marks)
        style: dict[str, Any] = {"color": colour, "label": mark.name or "_", "clip_on": True}
        if mark.points:
            style |= {"linestyle": "none", "marker": marker, "markersize": 3.5 if few else 1.8}
            style |= {"markeredgecolor": "white", "markeredgewidth": 0.5} if on_map else {}
            if few and not on_map:  # open, so that it hides no other
                style |= {"markerfacecolor": "none", "markeredgewidth": 0.9, "markersize": 4.5}
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
        from matplotlib.colors import to_rgb

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
            pale, stripes = (1 - part * (1 - np.array(to_rgb(colour))) for part in (0.1, 0.22))
            self.axes.axhspan(bottom, top, facecolor=pale, edgecolor=stripes, linewidth=0, zorder=0,
                              hatch=HATCH if region.tone == "gone" else "")  # fmt: skip
            self.sides.append(_Side(region.name, (bottom + top) / 2, colour))

    def _heat(self, mark: Heat) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm

        z = np.ma.masked_invalid(np.where(np.isneginf(mark.z), -1e300, mark.z))
        low, high = mark.span or (0.0, 1.0)
        if mark.diverging:
            reach = max(-low, high, 1e-3)
            norm: Any = TwoSlopeNorm(0.0, min(low, -0.05 * reach), max(high, 0.05 * reach))
            colours: Any = LinearSegmentedColormap.from_list("flow", DIVERGING)
            colours = colours.with_extremes(under=ZERO)
            low, high = min(low, 0.0), max(high, 0.0)
        else:
            norm, colours = Normalize(low, high if high > low else low + 1.0), "cividis"
        x, y = edges(mark.x, self.picture.x), edges(mark.y, self.picture.y)
        shown = self.axes.pcolormesh(
            x, y, z, cmap=colours, norm=norm, rasterized=mark.z.size > 1000, linewidth=0
        )
        zeros = bool(np.isneginf(mark.z).any())
        if mark.diverging:  # the two sides, also in grey
            lines = [[one[:2], one[2:]] for one in mark.partings(x, y)]
            self.axes.add_collection(
                LineCollection(lines, colors="#1a1a1a", linewidths=0.5, capstyle="projecting"),
                autolim=False,
            )
        beside = self.axes.inset_axes((1.03, 0.0, 0.045, 1.0))
        bar = self.figure.colorbar(shown, cax=beside, extend="min" if zeros else "neither")
        bar.outline.set_linewidth(0.5)
        if mark.diverging:
            bar.ax.axhline(0.0, color="#1a1a1a", linewidth=0.4)
        bar.set_label(mark.name + (" (darkest: exactly 0)" if zeros else ""))
        places = spread(low, high, norm)
        bar.set_ticks(places, labels=told_apart(places))
        bar.ax.minorticks_off()
        if len(places) > 1:
            bar.ax.set_ylim(places[0], places[-1])

    def _bars(self, mark: Bars) -> None:
        rows = np.arange(len(mark.bars), dtype=float)
        for i, bar in enumerate(mark.bars):
            self.axes.barh(i, bar.end - bar.start, left=bar.start, height=0.62,
                           color=TONES[bar.tone], hatch=HATCH if bar.tone == "gone" else "",
                           edgecolor="white", linewidth=0)  # fmt: skip
            if i:
                self.axes.plot(
                    [bar.start] * 2, [i - 0.69, i + 0.31], color="#878787", linewidth=0.5
                )
            self.sides.append(_Side(bar.words, float(i), "#1a1a1a"))
        self.axes.set_yticks(rows, [bar.name for bar in mark.bars])
        self.axes.tick_params(axis="y", length=0)
        self.axes.set_ylim(len(rows) - 0.4, -0.6)
