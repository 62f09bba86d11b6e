"""Every place where a file is named, given what is none, or too much of one: told at once, in
words, and in little memory. Names that mean something to a terminal, a page or a spreadsheet do
nothing.
"""

from __future__ import annotations

import csv
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli.running import run
from rnngrad.files import opening

GOOD = """
name: {name}
weights: {{W_xh: [[0.5]], W_hh: [[0.5]], W_hy: [[1.0]]}}
inputs: [[1.0], [0.5], [0.2]]
targets: [[0.1], [0.2], [0.3]]
"""
OF_FILE = "weights: {{file: {file}}}\ninputs: {{zeros: 3}}\n"
WITH_INPUTS = "weights: {{W_xh: [[0.5]], W_hh: [[0.5]]}}\ninputs: {{file: {file}}}\n"

PLACES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "derive": (".yaml", ("derive", "FILE"), ""),
    "check": (".yaml", ("check", "FILE"), ""),
    "sweep": (".yaml", ("sweep", "FILE", "--whh-scale", "1"), ""),
    "report": (".yaml", ("report", "FILE", "-o", "r.html"), ""),
    "grade": (".yaml", ("grade", "good.yaml", "FILE"), ""),
    "show": (".jsonl", ("show", "FILE"), ""),
    "resume": (".jsonl", ("sweep", "good.yaml", "--whh-scale", "1", "-o", "FILE", "--resume"), ""),
    "init": (".safetensors", ("init", "FILE"), ""),
    "checkpoint": (".npz", ("sweep", "spec.yaml", "--checkpoints", "FILE"), OF_FILE),
    "function": (".py", ("check", "good.yaml", "--against", "FILE:f"), ""),
    **{
        f"against{end}": (end, ("check", "good.yaml", "--against", "FILE", *more), "")
        for end, more in {
            ".npz": (), ".json": (), ".safetensors": ("--layout", "torch"),
        }.items()
    },
    **{f"inputs{end}": (end, ("derive", "spec.yaml"), WITH_INPUTS) for end in (".npy", ".csv")},
    **{
        f"weights{end}": (end, ("derive", "spec.yaml"), OF_FILE)
        for end in (".npz", ".safetensors", ".h5", ".keras", ".onnx")
    },
}  # fmt: skip


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "GiB": _sparse,
}
ALLOWED = {("resume", "device"), ("function", "GiB")}
"""A device may be written to; Python itself says what is wrong with a file of zeros."""

CLEAR = Path("/proc/self/clear_refs")
"""Written 5, the peak below begins anew."""


def peak() -> int:
    """KiB of memory at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.cases(None)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_told_at_once(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "WAIT", 0.1)  # for somebody who writes to a pipe
    end, words, spec = PLACES[place]
    (tmp_path / "good.yaml").write_text(GOOD.format(name="good"))
    for kind, make in KINDS.items():
        if (place, kind) in ALLOWED:
            continue
        name = kind + end
        make(tmp_path / name)
        (tmp_path / "spec.yaml").write_text(spec.format(file=name))
        CLEAR.write_text("5")
        before, begun = peak(), time.monotonic()
        done = run(*(word.replace("FILE", name) for word in words), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), (kind, done.stderr)
        assert name in done.stderr or place == "checkpoint"
        assert "Traceback" not in done.stderr
        assert len(done.stderr) < 600
        assert time.monotonic() - begun < 10
        assert peak() < before + 2**17, kind


def test_a_pipe_with_a_reader_is_written_to(tmp_path: Path) -> None:
    """One that nobody reads is told above; this one takes the rows as they come."""
    (tmp_path / "good.yaml").write_text(GOOD.format(name="good"))
    pipe, came = tmp_path / "rows.jsonl", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()))
    reader.start()
    done = run(
        "sweep", "good.yaml", "--whh-scale", "1,2", "-o", "rows.jsonl", "--force", cwd=tmp_path
    )
    reader.join(20)
    assert done.returncode == 0
    assert came[0].count("\n") == 2


# ---------------------------------------------------------------------------- names

ODD = "=HYPERLINK(1)\\e[31m\\a[red]b[/red]<script>alert(1)</script>\\\\input{{x}} $x$ \\u202e"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    for name, first in (("a", ""), ("b", "@")):
        (tmp_path / f"{name}.yaml").write_text(GOOD.format(name=f'"{first}{ODD}"'.format()))
    return tmp_path


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex", "typst", "html"])
@pytest.mark.parametrize("verb", ["derive", "check", "sweep"])
def test_a_name_does_nothing(verb: str, form: str, odd: Path) -> None:
    more = ("b.yaml", "--whh-scale", "1,2") if verb == "sweep" else ()
    done = run(verb, "a.yaml", *more, "--format", form, cwd=odd)
    assert done.returncode == 0
    assert not set(done.stdout) & set("\x1b\x07\u202e")
    assert "<script>alert" not in done.stdout or form != "html"
    assert "\\input" not in done.stdout or form not in ("latex",)


ESC = "x\x1b[31m"


@pytest.mark.parametrize(
    "words",
    [
        ("derive", f"{ESC}.yml"),  # beside a file of nearly that name
        ("derive", "a.yaml", "--quantity", ESC),
        ("derive", "a.yaml", "--section", ESC),
        ("derive", "a.yaml", "--plot", "p.png", "--plot-what", ESC),
        ("init", f"{ESC}.npz"),
        ("init", "model.safetensors"),  # whose keys are such
        ("cells", ESC),
    ],
)
def test_no_message_has_what_a_terminal_acts_on(words: tuple[str, ...], odd: Path) -> None:
    (odd / f"{ESC}.yaml").write_text("x")
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (4, 3), "weight_hh_l0": (4, 4), "bias_ih_l0": 4, "bias_hh_l0": 4}
    keys = {f"{ESC}.{name}": rng.normal(size=shape) for name, shape in shapes.items()}
    pytest.importorskip("safetensors.numpy").save_file(keys, odd / "model.safetensors")
    done = run(*words, cwd=odd)
    assert "x\\x1b[31m" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_spreadsheet_takes_no_name_for_a_formula(odd: Path) -> None:
    done = run("sweep", "a.yaml", "b.yaml", "--whh-scale", "1,-2", "--format", "csv", cwd=odd)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["spec"][:3] for row in rows] == ["'=H"] * 2 + ["'@="] * 2
    assert [float(row["scale"]) for row in rows] == [1.0, -2.0] * 2
    assert float(rows[0]["log10_chain_norm"]) < 0
