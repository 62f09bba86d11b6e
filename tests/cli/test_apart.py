"""What ``run`` says of a command in this process is what a process of its own does."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.running import SHEET, run, run_apart

WRONG = "{dL_dW_hh: 0.01, dL_dW_xh: [[0.3]]}"


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        ("", ("derive", SHEET)),
        ("weights: [", ("derive", "-")),
        ("", ("derive", SHEET, "--nope")),
        ("", ("--debug", "derive", "no.yaml")),
        ("", ("derive", SHEET, "-o", "no/where.json")),
        ("", ("check", SHEET, "--against", "wrong.yaml")),
        ("", ("sweep", SHEET, "--whh-scale", "1,2", "--jobs", "2", "--format", "csv")),
        ("", ("check", "--help")),
        ("", ()),
    ],
)
def test_the_same_as_apart(stdin: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    here, there = (one(*words, cwd=tmp_path, stdin=stdin) for one in (run, run_apart))
    assert here.returncode == there.returncode
    assert here.stdout == there.stdout
    assert here.stderr == there.stderr
