"""The tables as they are printed, against what a person once read and found good.

UPDATE_SNAPSHOTS=1 pytest tests/views/test_snapshots.py writes them anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rnngrad
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.views.derivation.report import report
from rnngrad.views.formats.names import FORMATS
from rnngrad.views.report import Screen

HERE = Path(__file__).parent / "snapshots"
SHEET = {
    "name": "sheet",
    "activation": "sigmoid",
    "output_activation": "sigmoid",
    "weights": {"W_xh": 0.5, "W_hh": 0.8, "b_h": 0.1, "W_hy": 1.2, "b_y": -0.3},
    "inputs": [1.0, -0.5, 0.25],
    "targets": [0.9, 0.2, 0.6],
}
WORDS = {
    "name": "words",
    "output_activation": "softmax",
    "loss": "cross_entropy",
    "loss_reduction": "mean",
    "sizes": {"inputs": 3, "hidden": 6, "outputs": 4},
    "weights": {
        "W_xh": {"init": "gaussian"},
        "W_hh": {"init": "orthogonal", "gain": 0.7},
        "W_hy": {"init": "gaussian"},
    },
    "inputs": {"random": "normal", "steps": 40},
    "targets": {"random": "one_hot"},
    "seed": 7,
}
BARE = {
    "name": "bare",
    "activation": "relu",
    "weights": {"W_xh": [[1], [0]], "W_hh": [[0, 2], [2, 0]]},
    "h_0": [1, 0],
    "inputs": [0, 0, 0, 0],
}
LSTM = {
    "name": "lstm",
    "cell": "lstm",
    "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
    "weights": {
        "W_xh": {"init": "gaussian"},
        "W_hh": {"init": "orthogonal"},
        "W_hy": {"init": "gaussian"},
    },
    "c_0": [0.5, 0, -0.5],
    "inputs": {"random": "normal", "steps": 3},
    "targets": {"random": "normal"},
    "seed": 1,
}
LAYER = {"W_xh": {"init": "gaussian"}, "W_hh": {"init": "orthogonal"}}
GRU = {
    "name": "two layers of gru",
    "cell": "gru",
    "output_activation": "softmax",
    "loss": "cross_entropy",
    "sizes": {"inputs": 2, "hidden": 3, "outputs": 3},
    "weights": {"layers": [LAYER, LAYER], "W_hy": {"init": "gaussian"}},
    "inputs": {"random": "normal", "steps": 30},
    "targets": {"random": "one_hot"},
    "loss_steps": "last",
    "seed": 3,
}
SMALLEST = {
    "name": "smallest",
    "cell": "gru",
    "weights": {"W_xh": [[0.5], [-1], [2]], "W_hh": [[1], [0.5], [-0.5]]},
    "h_0": 0.5,
    "inputs": [1.0],
    "targets": [0.2],
}
CASES = {
    "sheet.txt": (SHEET, "table", {}, Screen()),
    "sheet_wide.txt": (SHEET, "table", {}, Screen(width=120)),
    "sheet_bold.txt": (SHEET, "table", {}, Screen(colour=True)),
    "sheet_ascii.txt": (SHEET, "table", {}, Screen(unicode=False)),
    "sheet.md": (SHEET, "markdown", {}, Screen()),
    "sheet.csv": (SHEET, "csv", {}, Screen()),
    "sheet_h_0.txt": (SHEET | {"h_0": 0.5, "loss_steps": "last"}, "table", {}, Screen()),
    "words.txt": (WORDS, "table", {}, Screen()),
    "words_step.txt": (WORDS, "table", {"step": 20}, Screen()),
    "words_arrays.txt": (
        WORDS,
        "table",
        {"quantities": ["dL_dW_hh", "dL_dh", "dht_dhprev", "log10_paths", "log10_chain"]},
        Screen(),
    ),
    "bare.txt": (BARE, "table", {}, Screen()),
    "lstm.txt": (LSTM, "table", {}, Screen()),
    "lstm_step.txt": (LSTM, "table", {"step": 2}, Screen()),
    "lstm_ascii.txt": (LSTM, "table", {}, Screen(unicode=False)),
    "gru_stack.txt": (GRU, "table", {}, Screen()),
    "gru_stack_step.txt": (GRU, "table", {"step": 30}, Screen()),
    "gru_smallest.txt": (SMALLEST, "table", {}, Screen()),
}


def shown(name: str) -> str:
    spec, format_name, options, screen = CASES[name]
    result = rnngrad.derive(rnngrad.load(spec))
    selection = select(result, options.get("quantities", ()), options.get("step"), False)
    arrays = computed(result, selection, every=format_name == "csv")
    return "".join(FORMATS[format_name](report(result, selection, arrays), screen))


@pytest.mark.parametrize("name", CASES)
def test_snapshot(name: str) -> None:
    path, text = HERE / name, shown(name)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".txt")])
def test_no_line_is_wider_than_the_screen_or_cut(name: str) -> None:
    text = shown(name).replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= CASES[name][3].width
    if name.endswith("_ascii.txt"):
        assert text.isascii()
        assert "?" not in text


def test_every_snapshot_has_its_case() -> None:
    assert {path.name for path in HERE.iterdir()} == set(CASES)
