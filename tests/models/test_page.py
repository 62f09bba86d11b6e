"""docs/models.md names every layout and every suffix."""

from __future__ import annotations

from pathlib import Path

from rnngrad.files.models import LAYOUTS

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_every_layout_has_its_row() -> None:
    rows = {
        line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| `")
    }
    for layout in LAYOUTS.values():
        row = rows[f"`{layout.name}`"]
        assert all(f"{suffix}`" in row for suffix in layout.files)
