"""Colours, dashes and settings: the same for everybody, whatever the user's own are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnngrad.views.pictures.picture import Tone

LINES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's colours: apart for the colour-blind."""

DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DIVERGING = ("#2166ac", "#f7f7f7", "#b35806")
HATCH = "/////"
"""Across what vanishes, which is told from what explodes in grey too."""

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


@contextmanager
def settings() -> Iterator[None]:
    """Our own settings in the place of the user's."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in other letters
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield
