"""What is printed does not hang on the hash seed: the order of a set of strings changes with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHEET = "sample_configs/exercise_sheet_7.yaml"
FILES = {
    "wrong.yaml": "{dL_dW_hh: 0.01, dL_dW_xh: [[0.3]], dL_dW_hy: 1, dL_db_y: 2, dL_db_h: 2}",
    "names.yaml": "{dL_dW_hh: 0.01, dL_dWhx: [[0.3]], foo: 1, dL_dbb: 2}",
    "answers.yaml": "{a1: '(y_1 - y*_1) \\\\tild{h}_1', a2: 'h_1 + tnh(h_1)', b1: 'W_hx'}",
    "bad.yaml": "{activaton: tanh, hiden: 3, cell: gruu, weights: {W_hx: 1, bh: 0}, input: [[1]]}",
    "equations.yaml": "{cell: {equations: ['z = sgmoid(W_z x_t + U q)', 'h_t = z_t ∘ tnh(k x_t)'],"
    " shapes: {V: [H, H]}, state: [h, c]}, weights: {W_z: 1, X: 2}, inputs: [1]}",
    "lstm.yaml": "{cell: lstm, sizes: {inputs: 2, hidden: 2, outputs: 1}, targets: [0.1, 0.2],"
    " inputs: [[1, 2], [0.5, 1]], weights: {W_xh: {init: xavier_uniform},"
    " W_hh: {init: orthogonal}, W_hy: {init: normal, std: 1}}}",
    "random.yaml": "{weights: {W_xh: 1, W_hh: 0.5, W_hy: 1}, inputs: {random: normal, steps: 3},"
    " targets: {random: normal}}",
}
COMMANDS = [
    f"derive {SHEET} --json",
    f"derive {SHEET} --quantity dL_dW_hx",
    f"derive {SHEET} --format jsn",
    "derive bad.yaml",
    "derive equations.yaml",
    "derive lstm.yaml --format markdown",
    "check lstm.yaml",
    f"check {SHEET} --against wrong.yaml --json",
    f"check {SHEET} --against names.yaml",
    f"check {SHEET} --answers answers.yaml",
    "cells --json",
    "cells grr",
    "schema",
    "init --cell lstm_peephole",
    "sweep random.yaml --whh-scale 1,2 --steps 3,5",
    "sweep random.yaml --whh-scale 1 --steps 3,100000000000",
]
CHILD = """
import sys
from rnngrad.cli.main import main
for command in sys.stdin.read().splitlines():
    print("$", command, flush=True)
    sys.argv = ["rnngrad", *command.split()]
    try:
        main()
    except SystemExit as done:
        print("exit", done.code, flush=True)
"""


def test_every_command_prints_the_same(tmp_path: Path) -> None:
    (tmp_path / "sample_configs").symlink_to(ROOT / "sample_configs")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    printed = []
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            input="\n".join(COMMANDS),
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=True,
        )
        said = re.sub(r"[0-9.]+ m?s\b", "", done.stdout)  # how long it took
        printed.append(said.split("$ ")[1:])
    assert len(printed[0]) == len(COMMANDS)
    for others in printed[1:]:
        assert others == printed[0]
