"""Homework on the command line: a sheet, questions, one derivative, an exercise, graded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cli.running import SHEET, run

SUBTASK = re.compile(r"\\subsection\*\{\((\w+)\).*?\}\n\\begin\{align\*\}\n(.*?)\n\\end", re.S)


def test_a_sheet_that_is_handed_in_gets_all_points(tmp_path: Path) -> None:
    """init --exercise, derive -o sheet.tex, its equations as answers, grade: by the command."""
    for seed, more in ((3, ["--scalar"]), (8, [])):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert run("init", "--exercise", "--seed", str(seed), *more, "-o", "net.yaml",
                   cwd=folder).returncode == 0  # fmt: skip
        done = run("derive", "net.yaml", "-o", "sheet.tex", cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        subtasks = SUBTASK.findall((folder / "sheet.tex").read_text(encoding="utf-8"))
        assert len(subtasks) >= 8
        answers = {}
        for name, body in subtasks:
            rows = re.split(r" \\\\\n(?=  \\frac)", body)
            scalar = seed == 3 and len(rows) == 1
            answers[name] = rows[0] if scalar else re.split(r" \\\\\n  &= (?![\\]s)", rows[0])[0]
        (folder / "answers.yaml").write_text(yaml.safe_dump(answers), encoding="utf-8")
        graded = json.loads(run("grade", "net.yaml", "answers.yaml", "--json", cwd=folder).stdout)
        assert graded["verdict"] == "pass", graded
        assert graded["points"] == graded["of"] == 5 * len(subtasks)


@pytest.mark.parametrize("steps", [2, 3])
def test_a_fresh_exercise_bears_no_number_of_the_sheet_and_asks_nothing_twice(
    tmp_path: Path, steps: int
) -> None:
    spec = str(tmp_path / "net.yaml")
    run("init", "--exercise", "--seed", "7", "--scalar", "--steps", str(steps), "-o", spec)
    asked = json.loads(run("derive", spec, "--blank", "--json").stdout)["questions"]
    symbols = [one["symbol"] for one in asked]
    assert (len(symbols), len(set(symbols))) == (10, 7 + steps)
    again = "(a6), the same as (a5) because T = 2"
    assert (again in run("derive", spec, "--blank").stdout) == (steps == 2)
    assert {one["equations"] for one in asked} == {""}
    for option in (["--blank"], ["-f", "latex"], ["-f", "typst"], ["--explain", "a5"]):
        shown = run("derive", spec, *option).stdout
        assert "equations" not in shown
        assert not re.search(r"\d–\d|\d--\d", shown)
    assert "(a5) equations 18–20" in run("derive", SHEET, "--blank").stdout
    answers = tmp_path / "answers.yaml"
    formula = json.loads(run("derive", spec, "--json").stdout)["derivation"][4]["formula"]
    answers.write_text(f'a5: "{formula}"', encoding="utf-8")
    graded = json.loads(run("grade", spec, str(answers), "--json").stdout)
    points = {row["id"]: row["points"] for row in graded["answers"]}
    assert (points["a5"], points["a6"]) == (5, 5 if steps == 2 else 0)


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "typst", "json", "jsonl", "csv"])
@pytest.mark.parametrize("option", [["--explain", "a6"], ["--blank"]])
def test_every_format_has_them(form: str, option: list[str]) -> None:
    done = run("derive", SHEET, *option, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 200
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout
    if form == "json":
        document = json.loads(done.stdout)
        assert document["command"] == "derive"
        assert ("steps" in document) == (option[0] == "--explain")
    if option == ["--blank"]:
        assert "0.115789" not in done.stdout


def test_explain_in_the_terminal() -> None:
    shown = run("derive", SHEET, "--explain", "a6").stdout
    assert "∂y_1/∂h_1 = σ'(W_hy h_1 + b_y) · W_hy\n" in shown
    assert "          = σ'(1.2 · 0.645656 − 0.3) · 1.2\n" in shown
    assert shown.endswith("        = −0.115789\n")
    assert max(map(len, shown.splitlines())) <= 80


def test_ascii_has_no_other_sign() -> None:
    from rnngrad.analyses.derivation.derive import derive
    from rnngrad.files import load
    from rnngrad.views.formats.to_rich import render
    from rnngrad.views.homework.explain import explained
    from rnngrad.views.report import Screen

    report = explained(derive(load(SHEET)), "b4")
    text = "".join(render(report, Screen(unicode=False)))
    assert text.isascii()
    assert "?" not in text
    assert "dL_2/dy_2 = -2 * (t_2 - y_2)" in text


@pytest.mark.parametrize("math", ["dollars", "fence"])
def test_markdown_with_formulas(math: str) -> None:
    shown = run("derive", SHEET, "-f", "markdown", "--math", math).stdout
    opening, closing = ("$$", "$$") if math == "dollars" else ("```math", "```")
    blocks = re.findall(rf"^{re.escape(opening)}\n(.*?)\n{re.escape(closing)}$", shown, re.M | re.S)
    assert len(blocks) == 12  # the net, what is given, ten subtasks
    assert all(block.startswith("\\begin{aligned}") for block in blocks)
    outside = re.sub(rf"^{re.escape(opening)}\n.*?\n{re.escape(closing)}$", "", shown,
                     flags=re.M | re.S)  # fmt: skip
    assert "$" not in outside


def test_unicode_markdown_is_the_usual_one() -> None:
    usual = run("derive", SHEET, "-f", "markdown").stdout
    assert run("derive", SHEET, "-f", "markdown", "--math", "unicode").stdout == usual


def test_standalone_is_a_document_and_latex_alone_is_none() -> None:
    shown = run("derive", SHEET, "-f", "latex").stdout
    assert "\\documentclass" not in shown
    assert shown.count("\\begin{align*}") == 12
    whole = run("derive", SHEET, "-f", "latex", "--standalone").stdout
    assert whole.startswith("\\documentclass")
    assert whole.endswith("\\end{document}\n")
    assert shown in whole


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize(
    "command",
    [
        ["derive", "-", "-f", "latex"],
        ["cells", "gru", "-f", "latex"],
        ["grade", SHEET, "empty*.yaml", "-f", "latex"],
    ],
)
def test_latex_compiles_with_amsmath_alone(command: list[str], tmp_path: Path) -> None:
    """Of an lstm of five steps no page is longer than its paper."""
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    net = (
        "{cell: lstm, sizes: {inputs: 1, hidden: 1, outputs: 1}, weights: {W_xh: {init: normal}, "
        "W_hh: {init: normal}, W_hy: 1}, inputs: {random: normal, steps: 5}, "
        "targets: {random: normal}}"
    )
    done = run(*command, cwd=tmp_path, stdin=net)
    head = "\\documentclass{article}\\usepackage{amsmath}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + done.stdout + "\\end{document}\n", encoding="utf-8")
    made = subprocess.run(["pdflatex", "-interaction=nonstopmode", "t.tex"], cwd=tmp_path,
                          capture_output=True, check=False)  # fmt: skip
    log = made.stdout.decode("latin-1")
    assert made.returncode == 0, log
    assert "Overfull \\vbox" not in log
    assert "\n!" not in log


def test_quantities_and_steps_are_tables_in_latex_too() -> None:
    for options in (["--quantity", "dL_dh"], ["--step", "2"]):
        done = run("derive", SHEET, "-f", "latex", *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\\begin{tabular}" in done.stdout
        assert "align*" not in done.stdout


def test_a_pdf_beside_the_tables(tmp_path: Path) -> None:
    done = run("derive", SHEET, "--pdf", "sheet.pdf", "--blank", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
    done = run("derive", SHEET, "--pdf", "sheet.pdf", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sheet.pdf: exists already; --force overwrites it\n"


MISTAKES = {
    "unknown format": (["-f", "latx"], "no format is called 'latx'", "did you mean 'latex'?"),
    "an escape": (["-f", "latex", "--notation", "\x1b[31m"], "--notation \\x1b[31m", "scalar"),
    "text": (["-f", "text"], "no format is called 'text'", "did you mean 'table'?"),
    "unknown notation": (["--notation", "scaler", "-f", "latex"], "--notation scaler",
                         "expected scalar or matrix; did you mean 'scalar'?"),
    "unknown math": (["-f", "markdown", "--math", "dollar"], "--math dollar",
                     "unicode, dollars or fence; did you mean 'dollars'?"),
    "math without Markdown": (["-f", "latex", "--math", "fence"], "--math is for", "latex"),
    "unknown subtask": (["--explain", "a66"], "--explain a66: no subtask", "did you mean"),
    "no subtask": (["--explain", "\x1b[31m"], "--explain \\x1b[31m", "a1, a2"),
    "standalone elsewhere": (["--standalone"], "--standalone is for the format latex", "table"),
    "both": (["--explain", "a6", "--blank"], "--explain and --blank", "cannot stand together"),
    "with a quantity": (["--blank", "--quantity", "h"], "--blank and --quantity", "cannot stand"),
    "with a step": (["--explain", "a1", "--step", "2"], "--explain and --step", "cannot stand"),
    "with a section": (["--blank", "--section", "flow"], "--blank and --section", "cannot stand"),
    "sections in LaTeX": (["-f", "latex", "--section", "flow"], "--section is for", "latex"),
    "notation of tables": (["--notation", "matrix"], "--notation is for formulas", "latex"),
    "a PDF by another name": (["--pdf", "x.doc"], "--pdf x.doc", "must end in .pdf"),
    "a PDF where none can be": (["--pdf", "no/x.pdf"], "no/x.pdf", "there is no folder 'no'"),
    "a PDF that is the output": (["--pdf", "x.pdf", "-o", "x.pdf", "-f", "latex"], "--pdf x.pdf",
                                 "same file"),
    "a sheet where none can be": (["-o", "no/x.tex"], "no/x.tex", "there is no folder 'no'"),
    "scalar notation of vectors": (
        ["--notation", "scalar", "-f", "latex", "--set", "weights.W_xh=[[1,2]]",
         "--set", "inputs=[[1,2],[3,4],[5,6]]"], "--notation scalar needs I = H = O = 1", "I = 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "what", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(options: list[str], what: str, hint: str, tmp_path: Path) -> None:
    done = run("derive", SHEET, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert hint in done.stderr
    assert "\x1b" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_pdf_without_typst_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    done = run("derive", SHEET, "--pdf", "x.pdf", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--pdf needs typst, which is not installed: pip install 'rnngrad[pdf]'\n"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = run("derive", SHEET, "--pdf", str(tmp_path / "x.pdf"))
    assert done.returncode == 2
    assert "not writable" in done.stderr


@pytest.mark.parametrize("form", ["latex", "typst", "markdown", "table"])
def test_names_hold_no_command(form: str, tmp_path: Path) -> None:
    name = "\\input{x} #eval(1) $x$ \x1b[31m </a> \x07"
    text = Path(SHEET).read_text(encoding="utf-8") + f"\nname: {json.dumps(name)}\n"
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    done = run("derive", "net.yaml", "-f", form, "--blank", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    if form == "latex":
        assert "\\input" not in done.stdout
    if form == "typst":
        assert "\n#eval" not in done.stdout
        assert re.search(r'^= #"[^"]*#eval', done.stdout, re.M)


INIT = {
    "seed alone": (["--seed", "3"], "need --exercise"),
    "steps alone": (["--steps", "3"], "need --exercise"),
    "with a model": (["x.onnx", "--exercise"], "--exercise takes --cell"),
    "no step": (["--exercise", "--steps", "0"], "--steps 0: an exercise has 1 to 200"),
    "too many units": (["--exercise", "--hidden", "99"], "--hidden 99: an exercise has 1 to 16"),
    "two sizes": (["--exercise", "--scalar", "--hidden", "2"], "--hidden is 2"),
    "scalar alone": (["--scalar"], "need --exercise"),
    "no cell": (["--exercise", "--cell", "lstn"], "did you mean 'lstm'"),
}


@pytest.mark.parametrize(("options", "words"), INIT.values(), ids=INIT)
def test_mistakes_of_init(options: list[str], words: str) -> None:
    done = run("init", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_check_holds_no_command_of_a_name(tmp_path: Path) -> None:
    text = Path(SHEET).read_text(encoding="utf-8") + '\nname: "\\e[31m red"\n'
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    run("derive", "net.yaml", "-q", "--save", "mine.npz", cwd=tmp_path)
    for more in ([], ["--against", "mine.npz"]):
        shown = run("check", "net.yaml", *more, cwd=tmp_path).stdout
        assert "\x1b" not in shown
        assert "\\x1b[31m red" in shown
