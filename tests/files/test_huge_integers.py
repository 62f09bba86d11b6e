"""Integers that no float holds, or that Python refuses to write: told, or read as infinite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.running import SHEET, run
from rnngrad.errors import SpecError
from rnngrad.files import load
from rnngrad.files.submitted.answers import read_answers
from rnngrad.files.submitted.gradients import read_gradients
from rnngrad.files.yaml_text import LONGEST_INTEGER

HUGE = {
    "hexadecimal": "0x" + "f" * 3_600,
    "a little shorter": "0x" + "f" * 500,
    "shorter still": "0x" + "f" * 490,
    "octal": "0o" + "7" * 6_000,
    "decimal": "9" * 5_000,
    "no float": "1" + "0" * 400,
    "negative": "-1" + "0" * 400,
    "exponent": "1e" + "9" * 5_000,
    "tiny": "1e-" + "9" * 5_000,
    "led by zeros": "1e" + "0" * 5_000 + "1",
}
KEYS = (
    "name", "seed", "h_0", "inputs", "weights.W_hh", "inputs.steps", "sizes.hidden", "loss_steps",
    "weights.W_hh.gain", "cell",
)  # fmt: skip


@pytest.fixture(params=list(HUGE))
def number(request: pytest.FixtureRequest) -> str:
    return HUGE[request.param]


@pytest.mark.parametrize("key", KEYS)
def test_in_a_spec(number: str, key: str) -> None:
    spec: dict[str, Any] = {
        "weights": {"W_xh": 1, "W_hh": {"init": "orthogonal"}},
        "inputs": {"random": "normal", "steps": 2},
    }
    lines: list[str] = []
    try:
        assert np.isfinite(load(spec, overrides=[f"{key}={number}"]).weights["W_hh"]).all()
    except SpecError as error:
        lines = [line for words in error.mistakes for line in words.split("\n")]
    assert all(len(line) < 300 for line in lines)


def test_in_gradients(tmp_path: Path, number: str) -> None:
    (tmp_path / "g.json").write_text(f'{{"dL_dW_hh": [[{number}]]}}')
    if number[:2] in ("0x", "0o") and len(number) >= LONGEST_INTEGER:
        with pytest.raises(SpecError, match="must be a number"):
            read_gradients(str(tmp_path / "g.json"))
        return
    given = read_gradients(str(tmp_path / "g.json")).arrays["dL_dW_hh"]
    assert given.values == (np.inf if number[:2] == "0x" else float(number))


def test_in_answers(tmp_path: Path, number: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"name: {number}\na1: {number}\na4: [{number}, 1]\n")
    answers = read_answers(str(path), ["a1", "a4"]).answers
    assert isinstance(answers["a1"], str)


def test_in_a_folder_the_others_are_graded(tmp_path: Path) -> None:
    for name, number in HUGE.items():
        text = f"name: {number}\na1: {number}\n{number}: 1\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "zoe.yaml").write_text("name: Zoë\na1: -2(t_3 - y_3)\n")
    result = run("check", SHEET, "--answers", str(tmp_path / "*.yaml"), "--format", "csv")
    assert result.returncode == 1, result.stderr
    assert f"{tmp_path / 'zoe.yaml'},a1,5" in result.stdout
    assert len({row.split(",")[0] for row in result.stdout.splitlines()[1:]}) == len(HUGE) + 1
