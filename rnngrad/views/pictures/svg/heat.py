"""A map: a small PNG with its values beside it, for the page's script to read out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.views.page.page import text
from rnngrad.views.pictures.picture import Heat, Picture
from rnngrad.views.pictures.svg.frame import Frame, edges
from rnngrad.views.pictures.svg.png import extremes, png
from rnngrad.views.pictures.svg.scale import spelled
from rnngrad.views.pictures.svg.words import words_at

KEY = 40.0
"""The height of what the colours stand for."""

FINEST, MOST = 0.01, 32_000
"""Values are kept in hundredths, or as fine as so many of them reach."""

HOLE, ZERO = -32768, -32767
"""Where there is no value; where there is an exact 0, of which this is the log10."""


def heat_map(mark: Heat, picture: Picture, frame: Frame) -> str:
    """The image, its rows from the top."""
    upright = frame.y.at(mark.y[0]) <= frame.y.at(mark.y[-1])
    way = 1 if upright else -1
    z, y = mark.z[::way], (mark.down or mark.y)[::way]
    unit, whole = _in_whole_numbers(z)
    left, right = (frame.x.at(end) for end in edges(mark.x))
    top, bottom = sorted(frame.y.at(end) for end in edges(mark.y))
    return (
        f'<image x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" preserveAspectRatio="none" image-rendering="pixelated" '
        f'data-name="{text(mark.name)}" data-across="{text(picture.x.label)}" '
        f'data-down="{text(picture.y.label)}" data-x="{_listed(mark.across or mark.x)}" '
        f'data-y="{_listed(y)}" data-unit="{unit:.6g}" data-z="{b64encode(whole).decode()}" '
        f'href="{_url(png(z, mark.diverging, _ends(mark)))}"/>{_parting(mark, frame)}'
    )


def _parting(mark: Heat, frame: Frame) -> str:
    """The lines between what lies below 0 and what does not."""
    if not mark.diverging:
        return ""
    rows, columns = mark.z.shape
    (left, right), (first, last) = edges(mark.x), edges(mark.y)
    x = frame.x.places(np.linspace(left, right, columns + 1))
    y = frame.y.places(np.linspace(first, last, rows + 1))
    lines = "".join(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}" for a, b, c, d in mark.partings(x, y))
    return f'<path class="parting" d="{lines}"/>' if lines else ""


def _ends(mark: Heat) -> tuple[float, float]:
    """The values at the two ends of the colours."""
    return extremes(np.array(mark.span or (0.0, 0.0)), mark.diverging)


def _in_whole_numbers(z: Array) -> tuple[float, bytes]:
    """The values as 16-bit integers, least byte first, and what 1 of them is."""
    known = np.isfinite(z)
    values = np.where(known, z, 0.0)
    unit = max(FINEST, float(np.abs(values).max()) / MOST)
    whole = np.where(known, np.rint(values / unit), np.where(np.isneginf(z), ZERO, HOLE))
    return unit, whole.astype("<i2").tobytes()


def _listed(values: Array | Sequence[float | str]) -> str:
    """A line each."""
    return "\n".join(text(one) if isinstance(one, str) else f"{one:.6g}" for one in values)


def _url(image: bytes) -> str:
    return f"data:image/png;base64,{b64encode(image).decode()}"


def colour_key(mark: Heat, frame: Frame, at: float) -> Iterator[str]:
    """What the colours stand for: the least value, 0, the greatest."""
    if mark.span is None:
        return
    low, high = mark.span
    ramp = png(np.linspace(low, high, 128)[None], mark.diverging, _ends(mark))
    start, width = frame.x.start, frame.x.stop - frame.x.start
    yield (
        f'<image x="{start:.1f}" y="{at:.1f}" width="{width:.1f}" height="10" '
        f'preserveAspectRatio="none" href="{_url(ramp)}"/>'
    )
    yield words_at(start, at + 26, _meant(mark, low), "start", "quiet")
    yield words_at(start + width, at + 26, _meant(mark, high), "end", "quiet")
    zero = width * -low / (high - low) if high > low else 0.0
    if mark.diverging and 100 < zero < width - 130:
        yield words_at(start + zero, at + 26, _meant(mark, 0.0), "middle", "quiet")


def _meant(mark: Heat, value: float) -> str:
    """10^{−5.7}: lost"""
    log = mark.name.startswith("log10")
    if not (log and mark.diverging):
        return spelled(float(f"{value:.3g}"))
    if value == 0:
        return "1: kept"
    return f"10^{{{value:.1f}}}: {'lost' if value < 0 else 'blown up'}".replace("-", "−")
