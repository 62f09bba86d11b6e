"""Places on axes: the borders of a map's cells, and ticks whose words are plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnngrad.analyses.derivation.notation import raised
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.pictures.picture import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def edges(middles: Array, axis: Axis) -> Array:
    """The borders of a map's cells, from their middles; on a log axis in the geometric middle."""
    at = np.log10(middles) if axis.log else np.asarray(middles, float)
    if len(at) == 1:
        inner, first, last = np.empty(0), at[0] - 0.5, at[0] + 0.5
    else:
        inner = (at[:-1] + at[1:]) / 2
        first, last = at[0] - (inner[0] - at[0]), at[-1] + (at[-1] - inner[-1])
    edges = np.concatenate([[first], inner, [last]])
    return np.asarray(10.0**edges if axis.log else edges)


APART = 0.09
"""Of a colour bar's length: how far its ticks are from each other at least."""


def spread(low: float, high: float, norm: Callable[[float], Any]) -> list[float]:
    """Ticks of a colour bar: both its ends, 0 where it parts there, and round values that have
    room. ``norm``: the place of a value along the bar, up to a factor."""
    from matplotlib.ticker import MaxNLocator

    first, last = float(norm(low)), float(norm(high))
    if last <= first:
        return [low]

    def place(value: float) -> float:
        return (float(norm(value)) - first) / (last - first)

    round_values = [0.0, *MaxNLocator(3).tick_values(low, min(high, 0.0)),
                    *MaxNLocator(3).tick_values(max(low, 0.0), high)]  # fmt: skip
    kept = [low, high]
    for value in map(float, round_values):
        if low < value < high and all(abs(place(value) - place(k)) > APART for k in kept):
            kept.append(value)
    return sorted(kept)


def ticks(axes: Axes, which: str, axis: Axis) -> None:
    """The scale, and ticks whose words are plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    ticked = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
        ticked.set_major_locator(LogLocator(base=10, numticks=5 if which == "x" else 7))
        ticked.set_minor_formatter(NullFormatter())
        ticked.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    else:
        ticked.set_major_locator(MaxNLocator(6, integer=axis.whole, min_n_ticks=1))
        ticked.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    if axis.ticks:
        places, words = zip(*axis.ticks, strict=True)
        ticked.set_ticks(places, words)
        ticked.set_ticks([], minor=True)


def label_between(ticked: Any) -> None:
    """Words at 2 and 5 as well, where a log axis has few powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ticked.set_minor_locator(LogLocator(base=10, subs=(2.0, 5.0)))
    ticked.set_minor_formatter(FuncFormatter(lambda value, _: power(value)))
    ticked.set_tick_params(which="minor", length=3.5)


def plain(value: float, digits: int = 6) -> str:
    short = f"{round(value, 12):.{digits}g}"
    return short.replace("-", "−").replace("e+0", "e+").replace("e−0", "e−")


def told_apart(values: Sequence[float]) -> list[str]:
    """With three digits, or with as many as tell them apart."""
    words: list[str] = []
    for digits in range(3, 13):
        words = [plain(value, digits) for value in values]
        if len({*words}) == len(values):
            break
    return words


def power(value: float) -> str:
    """0.1, 1, 100; 10⁻⁵, 2·10⁻⁵ beyond."""
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    power = int(np.floor(np.log10(value) + 1e-9))
    factor = round(value / 10.0**power)
    times = "" if factor == 1 else f"{factor}·"
    return f"{times}10{'⁻' if power < 0 else ''}{raised(abs(power))}"
