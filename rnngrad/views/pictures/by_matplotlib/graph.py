"""The unrolled net: nodes, and arrows whose width and colour are what they let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.views.pictures.by_matplotlib.style import DIVERGING, HATCH
from rnngrad.views.pictures.picture import Graph, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_graph(axes: Axes, graph: Graph) -> None:
    room = 0.32
    axes.set_axis_off()
    sizes = np.array([a.log10 for a in graph.arrows if np.isfinite(a.log10)])
    for arrow in graph.arrows:
        _arrow(axes, arrow.start, arrow.end, arrow.log10, sizes)
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
            node.x, node.y, node.name, ha="center", va="center", fontsize=7, zorder=3,
            bbox={"boxstyle": shape, "facecolor": "white", "edgecolor": "#1a1a1a",
                  "linewidth": 0.7},
        )  # fmt: skip
        if node.words:
            axes.annotate(node.words, (node.x, node.y), xytext=(0, -13), ha="center", va="top",
                          textcoords="offset points", fontsize=6)  # fmt: skip
    xs, ys = [node.x for node in graph.nodes], [node.y for node in graph.nodes]
    axes.set_xlim(min(xs) - room, max(xs) + room + 0.2)
    axes.set_ylim(min(ys) - 0.45, max(ys) + room)


def _arrow(axes: Axes, start: Node, end: Node, log10: float, sizes: Array) -> None:
    """Width and colour by the logarithm, from a thousandth or less to the largest; what shrinks is
    hatched, and never as pale as what keeps its size."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import FancyArrowPatch

    known = log10 if np.isfinite(log10) else -300.0
    part = float(np.clip(1.0 + (known - max(sizes.max(initial=0.0), 0.0)) / 3.0, 0.0, 1.0))
    colours = LinearSegmentedColormap.from_list("flow", DIVERGING)
    strength = 0.5 * np.sign(known) * (0.3 + 0.7 * min(abs(known) / 2.0, 1.0))
    width = 0.6 + 5.0 * part
    axes.add_patch(
        FancyArrowPatch(
            (start.x, start.y), (end.x, end.y), shrinkA=9, shrinkB=9, zorder=2,
            arrowstyle=f"simple,tail_width={width},head_width={width + 3.5},head_length=5",
            facecolor=colours(0.5 + float(strength)), edgecolor="#4d4d4d", linewidth=0.5,
            hatch=HATCH if known < 0 else "",
            linestyle="-" if np.isfinite(log10) else ":",
        )
    )  # fmt: skip
