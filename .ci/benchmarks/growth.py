"""How the cost of a gradient grows with T and with H: a table and a picture in docs/speed.md.

    python .ci/benchmarks/growth.py            # the table; a minute
    python .ci/benchmarks/growth.py --write    # refreshes docs/speed.md and docs/growth.svg

Times are those of ∂L/∂W_hh, forward and backward, as ``derive --quantity dL_dW_hh`` computes it
without reading and printing; the best of several. The exponent p of time ~ nᵖ is the slope of a
straight line through the logarithms of the last four points.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

from speed import HERE, ONE_THREAD

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem

ROOT = HERE.parents[1]
START, END = "<!-- growth: start -->", "<!-- growth: end -->"
LENGTHS, AT_HIDDEN = (100, 316, 1000, 3162, 10_000, 31_623, 100_000, 316_228, 1_000_000), 32
WIDTHS, AT_STEPS = (4, 8, 16, 32, 64, 128, 256, 512, 1024), 1000


class Curve(NamedTuple):
    """Seconds over sizes; ``letter`` is what grows."""

    letter: str
    fixed: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    def exponent(self) -> float:
        """Of the last four points."""
        import numpy as np

        logs = np.log(self.sizes[-4:]), np.log(self.seconds[-4:])
        return float(np.polyfit(*logs, 1)[0])


def seconds(problem: Problem, steps: int) -> float:
    """For the first steps of a sequence; the best of several runs, each a fresh derivation."""
    import rnngrad

    assert problem.targets is not None
    assert problem.loss_weights is not None
    part = replace(
        problem,
        x=problem.x[:steps],
        targets=problem.targets[:steps],
        loss_weights=problem.loss_weights[:steps],
    )
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < 1.0 or best == float("inf"):
        start = time.perf_counter()
        rnngrad.derive(part).together(["dL_dW_hh"])
        best = min(best, time.perf_counter() - start)
    return best


def measured() -> tuple[Curve, Curve]:
    """Over T, one net and more and more of one sequence, and over H."""
    from speed_of.cases import case

    long = case((LENGTHS[-1], AT_HIDDEN, 8, 4)).problem
    wide = [seconds(case((AT_STEPS, n, 8, 4)).problem, AT_STEPS) for n in WIDTHS]
    return (
        Curve("T", f"H = {AT_HIDDEN}", LENGTHS, tuple(seconds(long, n) for n in LENGTHS)),
        Curve("H", f"T = {AT_STEPS}", WIDTHS, tuple(wide)),
    )


def table(curves: tuple[Curve, Curve]) -> str:
    """Markdown, one column a size."""
    lines = []
    for curve in curves:
        lines += [
            f"| {curve.letter} ({curve.fixed}) | "
            + " | ".join(f"{n:,}" for n in curve.sizes)
            + " |",
            "| --- |" + " ---: |" * len(curve.sizes),
            "| ms | " + " | ".join(f"{1e3 * s:.3g}" for s in curve.seconds) + " |",
            "",
            f"time ~ {curve.letter}^{curve.exponent():.2f} over the last four.",
            "",
        ]
    return "\n".join(lines)


def picture(curves: tuple[Curve, Curve]) -> str:
    """Both curves side by side on logarithmic axes, as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 300" font-family="sans-serif" '
        'font-size="12" stroke-linejoin="round">',
        '<rect width="760" height="300" fill="white"/>',
    ]
    least, most = (
        min(s for c in curves for s in c.seconds),
        max(s for c in curves for s in c.seconds),
    )
    for i, curve in enumerate(curves):
        parts += panel(curve, 60 + 370 * i, floor(log10(least)), ceil(log10(most)))
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(curve: Curve, left: float, low: int, high: int) -> list[str]:
    """One curve between the decades ``low`` and ``high`` of seconds."""
    first, last = log10(curve.sizes[0]), log10(curve.sizes[-1])

    def x(size: float) -> float:
        return left + 290 * (log10(size) - first) / (last - first)

    def y(seconds: float) -> float:
        return 250 - 210 * (log10(seconds) - low) / (high - low)

    parts = []
    for decade in range(low, high + 1):
        at = y(10.0**decade)
        parts.append(f'<path d="M{left} {at:.1f}h290" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{said(decade)}</text>'
        )
    parts += [
        f'<text x="{x(size):.1f}" y="268" text-anchor="middle">{size:,}</text>'
        for size in curve.sizes[::2]
    ]
    points = [(x(n), y(s)) for n, s in zip(curve.sizes, curve.seconds, strict=True)]
    line = " ".join(f"{h:.1f},{v:.1f}" for h, v in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/>')
    parts += [f'<circle cx="{h:.1f}" cy="{v:.1f}" r="3.5" fill="#1f5fa8"/>' for h, v in points]
    title = f"time ~ {curve.letter}^{curve.exponent():.2f} at the end"
    parts.append(f'<text x="{left + 145}" y="24" text-anchor="middle">{title}</text>')
    axis = f"{curve.letter} ({curve.fixed})"
    parts.append(f'<text x="{left + 145}" y="288" text-anchor="middle">{axis}</text>')
    return parts


def said(decade: int) -> str:
    """10^decade seconds, in words."""
    unit, power = ("s", 0) if decade >= 0 else ("ms", -3) if decade >= -3 else ("µs", -6)
    return f"{10 ** (decade - power)} {unit}"


def main() -> int:
    """Measure and print; with --write refresh the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="refresh docs/")
    write = parser.parse_args().write
    curves = measured()
    text = table(curves)
    sys.stdout.write(text)
    if write:
        page = ROOT / "docs" / "speed.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        after = rest.partition(END)[2]
        page.write_text(f"{before}{START}\n{text}{END}{after}", encoding="utf-8")
        (ROOT / "docs" / "growth.svg").write_text(picture(curves), encoding="utf-8")
    return 0


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    sys.path[:0] = [str(HERE), str(ROOT)]
    sys.exit(main())
