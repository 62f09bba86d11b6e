"""The Markdown of docs/speed.md, between its markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[3] / "docs" / "speed.md"
START, END = "<!-- speed: start -->", "<!-- speed: end -->"

Document = dict[str, Any]


def markdown(found: Document) -> str:
    """Machine, limits, the table, memory."""
    machine = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    limits = "\n".join(f"| {name} | {value:.3g} |" for name, value in found["limits"].items())
    lines = [
        f"Measured on: {machine}. One thread each, float64.", "",
        "| the machine's own limit | |", "| --- | ---: |", limits, "",
        "| work | who | median | first call | rnngrad ÷ theirs (quartiles) | goal | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]  # fmt: skip
    for row in found["rows"]:
        lines += [_line(row, name, entry) for name, entry in row["entries"].items()]
        lines += [f"| {row['name']} | {name} | {why} | | | | |" for name, why in _absent(row)]
    lines += ["", "| peak memory | MiB |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.0f} |" for name, value in found["memory"].items()]
    return "\n".join(lines) + "\n"


def _absent(row: Document) -> list[tuple[str, str]]:
    return list(row["left_out"].items())


def _line(row: Document, name: str, entry: Document) -> str:
    middle, goal = entry["ratio"][1], row["goals"].get(name)
    ratio = "" if name == "rnngrad" else _ratio(entry, goal)
    met = "" if goal is None else ("met" if middle <= goal else "not met")
    wanted = "" if goal is None else f"≤ {goal:g}"
    first = _seconds(entry["first_seconds"])
    median = _seconds(entry["seconds"])
    return f"| {row['name']} | {name} | {median} | {first} | {ratio} | {wanted} | {met} |"


def _ratio(entry: Document, goal: float | None) -> str:
    """Median and quartiles; a digit more where three do not tell it from the goal."""
    low, middle, high = entry["ratio"]
    digits = next(d for d in range(3, 18) if goal in (None, middle) or _as(middle, d) != goal)
    spread = "one round" if entry["rounds"] == 1 else f"{low:.3g} … {high:.3g}"
    return f"{middle:.{digits}g} ({spread})"


def _as(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def write(text: str) -> None:
    """Put the text between the markers of the page."""
    page = DOCS.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{START}\n{text}{END}{after}", encoding="utf-8")
