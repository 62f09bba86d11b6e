"""The unrolled net: states below, losses above them, arrows from right to left and down."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.views.page.page import text
from rnngrad.views.pictures.picture import Arrow, Graph, Node, Picture
from rnngrad.views.pictures.svg.frame import drawing
from rnngrad.views.pictures.svg.words import words_at

STEP, RISE, MARGIN, TOP = 96.0, 92.0, 46.0, 20.0
"""A step across, from a state up to its loss, at either side, above."""

RADIUS, HALF, TIP = 20.0, 15.0, 12.0
"""Of a state, of a loss, of an arrow's head."""


def graph(picture: Picture, mark: Graph, key: str) -> str:
    """As wide as its steps are many: it scrolls where that is too much."""
    top = max(node.y for node in mark.nodes)
    sizes = [abs(arrow.log10) for arrow in mark.arrows if np.isfinite(arrow.log10)]
    most = max([*sizes, 0.1])
    drawn = [word for arrow in mark.arrows for word in _arrow(arrow, top, most)]
    drawn += [word for node in mark.nodes for word in _node(node, top)]
    across = max(node.x for node in mark.nodes) * STEP + 2 * MARGIN
    height = TOP + top * RISE + RADIUS + 26
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(picture.title)}">\n'
        f"{drawing(picture, key, height, drawn, across)}</div>\n"
    )


def _place(node: Node, top: float) -> tuple[float, float]:
    return MARGIN + node.x * STEP, TOP + (top - node.y) * RISE


def _node(node: Node, top: float) -> Iterator[str]:
    x, y = _place(node, top)
    if node.round:
        yield f'<circle class="node" cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS:.0f}"/>'
    else:
        yield (
            f'<rect class="node" x="{x - RADIUS:.0f}" y="{y - HALF:.0f}" '
            f'width="{2 * RADIUS:.0f}" height="{2 * HALF:.0f}" rx="5"/>'
        )
    yield words_at(x, y + 4, node.name, "middle")
    if node.words:
        yield words_at(x, y + RADIUS + 17, node.words, "middle")


def _arrow(arrow: Arrow, top: float, most: float) -> Iterator[str]:
    """As wide and as strong in colour as its log10 is far from 0; thin where that is no number."""
    (x1, y1), (x2, y2) = _place(arrow.start, top), _place(arrow.end, top)
    level = y1 == y2
    if level:
        x1, x2 = x1 - RADIUS, x2 + RADIUS + TIP
    else:
        y1, y2 = y1 + HALF, y2 - RADIUS - TIP
    known = bool(np.isfinite(arrow.log10))
    part = min(max(arrow.log10 / most, -1.0), 1.0) if known else 0.0
    tone = " tone-gone" if part < 0 else " tone-blown" if part > 0 else ""
    yield (
        f'<path class="arrow{tone}" stroke-width="{6.0 + 5.0 * part if known else 1.0:.1f}" '
        f'stroke-opacity="{0.35 + 0.65 * abs(part):.2f}" d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}"/>'
    )
    tip = (
        f"{x2 - TIP:.1f},{y2:.1f}l{TIP:.0f},-7v14z"
        if level
        else f"{x2:.1f},{y2 + TIP:.1f}l-7,-{TIP:.0f}h14z"
    )
    yield f'<path class="head" d="M{tip}"/>'
    if level:
        yield words_at((x1 + x2) / 2 - 6, y1 - 11, arrow.words, "middle")
    else:
        yield words_at(x1 + 9, (y1 + y2) / 2 + 4, arrow.words)
