"""The table of truncation and shares by lag."""

from __future__ import annotations

import numpy as np
import pytest

import rnngrad
from oracles import any_cell
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.cells import CELLS
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Lines, Table
from rnngrad.views.derivation import lags


def table(problem: Problem) -> Table:
    (found,) = lags.blocks(GradientFlow(rnngrad.derive(problem)))
    assert isinstance(found, Table)
    return found


def net(w: float, steps: int, **more: object) -> Problem:
    """h_t = w h_{t−1} + 1 − w = 1 and a loss at T alone: G_d is in proportion to wᵈ."""
    spec = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": w}, "h_0": 1}
    inputs = {"inputs": [1 - w] * steps, "targets": [99] * steps, "loss_steps": "last"}
    return rnngrad.load(spec | inputs | more)


def test_rows_of_a_halving() -> None:
    """Of Σ_{d<8} 2⁻ᵈ = 255/128 the lags from n on have 2¹⁻ⁿ − 2⁻⁷."""
    found = table(net(0.5, 8))
    left = [(2.0 ** (1 - n) - 2.0**-7) / (255 / 128) for n in (0, 1, 2, 4, 8)]
    shares = -np.diff(left)
    rows = zip((1, 2, 4, 8), ("0", "1", "2-3", "4-7"), left[1:], shares, strict=True)
    assert found.rows == tuple(
        (str(n), f"{error:.2%}".replace("%", " %"), "1.0000", at,
         f"{share:.2%}".replace("%", " %"), f"{2.0 ** (1 - n):g}", "█" * bar)
        for (n, at, error, share), bar in zip(rows, (16, 15, 15, 0), strict=True)
    )  # fmt: skip
    assert found.title == "Truncation: ∂L/∂W_hh if each L_t keeps its last k steps"
    assert not any("below rounding" in note for note in found.notes)


def test_rows_end_where_the_error_is_rounding() -> None:
    found = table(net(1e-3, 5000))
    assert [row[0] for row in found.rows] == ["1", "2", "4", "8"]
    assert found.notes[-1] == "From k = 8 on the error is below rounding."
    assert table(net(1.0, 5000)).rows[-1][3] == "4,096-4,999"


@pytest.mark.parametrize(
    ("cell", "layers", "name"),
    [
        ("lstm", 2, "W_hh"), ("lstm_peephole", 1, "(W_hi, .., W_ho)"), ("indrnn", 1, "u_h"),
        ("cornn", 1, "(W_hh, W_zh)"),
    ],
)  # fmt: skip
def test_what_is_truncated_by_its_name(cell: str, layers: int, name: str) -> None:
    found = table(any_cell.problem_of(CELLS[cell], layers=layers))
    assert found.title == f"Truncation: ∂L/∂{name} if each L_t keeps its last k steps"
    headers = [column.header for column in found.columns]
    assert [h for h in headers if h.startswith("layer")] == (
        ["layer 1", "layer 2"] if layers > 1 else []
    )
    assert {len(row) for row in found.rows} == {len(headers)}


def test_many_layers_are_shown_together_alone() -> None:
    problem = any_cell.problem_of(CELLS["rnn"], layers=4)
    assert not any(c.header.startswith("layer") for c in table(problem).columns)
    found = lags.truncation(GradientFlow(rnngrad.derive(problem)))
    assert found is not None
    assert [len(entry["layers"]) for entry in found] == [4] * 4  # type: ignore[arg-type]


def test_nothing_to_truncate() -> None:
    dead = net(0.0, 3, weights={"W_xh": 0, "W_hh": 0, "b_h": 0}, targets=[0] * 3, h_0=0)
    shown = list(lags.blocks(GradientFlow(rnngrad.derive(dead))))
    assert shown == [
        Lines(("∂L/∂W_hh is 0 or not finite, so no truncation of it is shown.",))
    ]  # fmt: skip
    found = lags.truncation(GradientFlow(rnngrad.derive(dead)))
    assert found is not None
    assert found[0] == {"steps": 1, "rel_error": None, "cosine": None}
    assert not list(lags.blocks(GradientFlow(rnngrad.derive(net(0.5, 1)))))
