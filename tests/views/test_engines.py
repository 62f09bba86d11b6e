"""Sheets set by real engines: pdflatex without an overfull line, typst as it comes from PyPI.

Where pdflatex is to be there (``RNNGRAD_LATEX=required``, as in .ci/run) tests fail without it;
elsewhere they are skipped, and the last lines of the run say so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typst
import yaml

from cli.running import ROOT, SHEET, run
from rnngrad.files.starters.exercise import Sizes, exercise
from rnngrad.views.formats import to_latex, to_typst
from rnngrad.views.typesetting.latex import escaped, prose

EVIL = r"_ % & # $ { } ~ ^ \ \input{x} \end{document} $h_t$ #eval(1) `x` *a* @b <c> \u0022"
UNICODE = "Übung № 7, 日本 ∂L/∂W λ_max ẞ 😀 \u202e"


def latex_of(tmp_path: Path, *arguments: str) -> str:
    done = run(*arguments, "--format", "latex", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compiled(text: str, folder: Path) -> str:
    """What pdflatex says of a document; fails where there is an error or an overfull box."""
    if shutil.which("pdflatex") is None:
        if os.environ.get("RNNGRAD_LATEX") == "required":
            pytest.fail("pdflatex is not installed; without it: -m 'not slow and not latex'")
        pytest.skip("latex: pdflatex is not installed")
    (folder / "page.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    done = subprocess.run(
        [*command, "page.tex"], cwd=folder, capture_output=True, check=False, timeout=120
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-1500:]
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")
    assert re.findall(r"^Overfull.*|^LaTeX Warning.*|^! .*|Missing character.*", said, re.M) == []
    return said


def spec(name: str = "net", cell: str = "rnn", hidden: int = 3, steps: int = 3, **more: str) -> str:
    return yaml.safe_dump({
        "name": name, "cell": cell,
        "sizes": {"inputs": 2, "hidden": hidden, "outputs": 2},
        "weights": {x: {"init": "normal"} for x in ("W_xh", "W_hh", "W_hy")},
        "inputs": {"random": "normal", "steps": steps, "scale": 1},
        "targets": {"random": "normal", "scale": 1}, **more,
    })  # fmt: skip


STACK = """
cell: lstm
sizes: {inputs: 2, outputs: 1}
weights:
  layers:
    - {W_xh: {init: normal}, W_hh: {init: normal}}
    - {W_xh: {init: normal}, W_hh: {init: normal}}
  W_hy: {init: normal}
inputs: {random: normal, steps: 3}
targets: {random: normal}
"""
STACK = STACK.replace("outputs: 1}", "outputs: 1, hidden: 2}")

PAGES: dict[str, tuple[str, list[str]]] = {
    "the sheet": (Path(SHEET).read_text(encoding="utf-8"), []),
    "the sheet in matrix form": (Path(SHEET).read_text(encoding="utf-8"), ["--notation=matrix"]),
    "one step": (exercise(1, Sizes(1, 1, 1, 1)), []),
    "eight steps": (exercise(1, Sizes(8, 1, 1, 1)), []),
    "three units": (spec(), []),
    "softmax": (spec(output_activation="softmax"), []),
    "long and wide": (spec(hidden=40, steps=120), []),
    "gru": (spec(cell="gru"), []),
    "lstm": (spec(cell="lstm"), []),
    "a stack": (STACK, []),
    "another cell": (exercise(1, Sizes(), "indrnn"), []),
    "questions": (spec(cell="lstm"), ["--blank"]),
    "questions of the sheet": (exercise(3), ["--blank"]),
    "an explanation": (exercise(1, Sizes(3, 1, 1, 1)), ["--explain=b4"]),
    "an explanation with matrices": (spec(), ["--explain=b3"]),
    "an explanation of a gate": (spec(cell="gru"), ["--explain=g7"]),
    "an evil name": (spec(EVIL), []),
    "a name in every script": (spec(UNICODE), ["--blank"]),
}


@pytest.mark.latex
@pytest.mark.parametrize(("text", "options"), PAGES.values(), ids=PAGES)
def test_pdflatex_sets_it_without_an_overfull_line(
    text: str, options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    compiled(latex_of(tmp_path, "derive", "net.yaml", "--standalone", *options), tmp_path)


TABLES = {
    "check": ["check", SHEET],
    "grade": ["grade", SHEET, str(ROOT / "sample_configs" / "answers" / "exercise_sheet_7.yaml")],
    "sweep": ["sweep", SHEET, "--whh-scale", "0.25:64:9:log"],
    "a quantity": ["derive", SHEET, "--quantity", "dL_dh"],
    "a step": ["derive", SHEET, "--step", "2"],
    "cells": ["cells"],
}


@pytest.mark.latex
@pytest.mark.parametrize("arguments", TABLES.values(), ids=TABLES)
def test_tables_are_set_too(arguments: list[str], tmp_path: Path) -> None:
    body = latex_of(tmp_path, *arguments)
    compiled(f"{to_latex.PREAMBLE}{body}\\end{{document}}\n", tmp_path)


@pytest.mark.parametrize(("text", "options"), PAGES.values(), ids=PAGES)
def test_typst_sets_it(text: str, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    done = run("derive", "net.yaml", "--format", "typst", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert typst.compile(done.stdout.encode()).startswith(b"%PDF")


@pytest.mark.parametrize("arguments", TABLES.values(), ids=TABLES)
def test_typst_sets_tables(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, "--format", "typst", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert typst.compile(done.stdout.encode()).startswith(b"%PDF")


def test_a_pdf_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one.pdf", "two.pdf"):
        done = run("derive", SHEET, "-q", "--pdf", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / name).read_bytes() for name in ("one.pdf", "two.pdf"))
    assert one == two
    assert one.startswith(b"%PDF")


def test_no_command_comes_out_of_a_text() -> None:
    plain = re.sub(r"\\(text\w+\{\}|[_%&#${}]|ensuremath\{[^}]*\})", "", escaped(EVIL + UNICODE))
    assert "\\" not in plain
    assert not set(plain) & set("_%&#${}~^<>|")
    assert escaped("日\u202e") == "[U+65E5][U+202E]"


@pytest.mark.parametrize("text", [r"h_{\input{x}}", r"a_\evil", r"∂L_{\x}/∂W", "日_t", r"\h_t"])
def test_a_sentence_sets_no_foreign_name(text: str) -> None:
    assert "$" not in prose(text).replace(r"\$", "")


def test_a_sentence_sets_names_and_partials() -> None:
    assert prose("only h_0 and ∂⁺h_1/∂W_hh") == (
        r"only $h_0$ and $\partial^+ h_1 / \partial W_{hh}$"
    )


def test_the_preamble_needs_amsmath_and_what_comes_with_every_latex() -> None:
    used = re.findall(r"\\usepackage(?:\[.*?\])?\{(\w+)\}", to_latex.PREAMBLE)
    assert used == ["inputenc", "fontenc", "lmodern", "amsmath"]
    assert "newcommand" not in to_latex.PREAMBLE
    assert "date: none" in to_typst.PREAMBLE
