"""``--plot``, ``--plot-what`` and ``--plot-data`` on derive, check and sweep."""

from __future__ import annotations

import csv
import errno
import importlib.util
import re
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import typer

import rnngrad
from cli.running import ROOT, SHEET, each_apart, run
from rnngrad.cli.app import app
from rnngrad.views.pictures.kinds import PICTURES, of_verb
from rnngrad.views.pictures.to_rows import COLUMNS

NET = """
name: {name}
cell: lstm
sizes: {{inputs: 2, hidden: 3, outputs: 2}}
weights: {{W_xh: {{init: normal}}, W_hh: {{init: normal}}, W_hy: {{init: normal}}}}
inputs: {{random: normal, steps: 9}}
targets: {{random: normal}}
"""

OWN = """
name: own
cell: {state: [h], equations: ["h_t = tanh(U h_{t-1} + V x_t)"]}
output_activation: identity
weights: {U: 0.5, V: 1, W_hy: 1}
inputs: [1, 0, 1]
targets: [0, 1, 0]
"""

MAGIC = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-", "svg": b"<?xml"}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "net.yaml"
    path.write_text(NET.format(name="an lstm"))
    return str(path)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- what is written


def test_the_ending_says_the_format_and_the_same_pictures_are_the_same_bytes(
    tmp_path: Path,
) -> None:
    alone = run("derive", SHEET).stdout
    again = [("derive", SHEET, "--plot", str(tmp_path / f"again.{ending}")) for ending in MAGIC]
    assert each_apart(*again, PYTHONHASHSEED="7") == [alone] * 3
    for ending, magic in MAGIC.items():
        path = tmp_path / f"a.{ending}"
        done = run("derive", SHEET, "--plot", str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, alone, "")
        written = path.read_bytes()
        assert written.startswith(magic)
        assert path.with_stem("again").read_bytes() == written
        assert b"2026-" not in written


def test_an_svg_is_text_and_no_glyphs(tmp_path: Path) -> None:
    path = tmp_path / "page.svg"
    assert run("derive", SHEET, "--plot", str(path)).returncode == 0
    tree = ElementTree.parse(path)
    texts = [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "The gradient vanishes, by a factor of 0.185 a step." in texts
    assert "log₁₀ ‖∂h_T/∂h_k‖" in texts  # Unicode has no small T
    assert {"log₁₀ ‖∂Lₜ/∂hₖ‖", "What truncation costs ∂L/∂Wₕₕ", "k of the state hₖ"} <= {*texts}
    assert not any("$" in text for text in texts)
    assert not list(tree.iter("{http://www.w3.org/2000/svg}tspan"))


def test_a_pdf_embeds_its_font(tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    assert run("derive", SHEET, "--plot", str(path), "--plot-what", "reach").returncode == 0
    written = path.read_bytes()
    assert b"/FontFile2" in written
    assert b"/Type3" not in written
    assert b"CreationDate" not in written


def test_the_numbers_are_those_of_derive(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    done = run("derive", SHEET, "--plot-data", str(path), "--plot-what", "reach",
               "--plot-what", "credit-map")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = table(path)
    assert tuple(found[0]) == COLUMNS
    assert dict.fromkeys(row["picture"] for row in found) == {"reach": None, "credit-map": None}
    problem = rnngrad.load(SHEET)
    line = [float(row["y"]) for row in found if row["series"] == problem.name]
    np.testing.assert_array_equal(line, rnngrad.log10_chain(problem)[::-1])
    paths = rnngrad.log10_paths(problem)
    for row in found:
        if row["picture"] == "credit-map":
            assert float(row["value"]) == paths[int(float(row["y"])) - 1, int(float(row["x"]))]


def test_numbers_need_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_matplotlib(monkeypatch)
    path = tmp_path / "numbers.csv"
    assert run("derive", SHEET, "--plot-data", str(path)).returncode == 0
    assert {row["picture"] for row in table(path)} == {
        name for name in of_verb("derive") if name not in ("gates", "cliff")
    }


def test_other_nets_stand_beside_it(tmp_path: Path, spec: str) -> None:
    path = tmp_path / "numbers.csv"
    done = run("derive", SHEET, "--beside", spec, "--plot-data", str(path))
    gateless = "not in the picture gates: 'exercise_sheet_7' is a net of rnn, which has no gates"
    assert (done.returncode, done.stderr) == (0, f"note: {gateless}\n")
    found = table(path)
    lines = {row["series"] for row in found if row["picture"] == "reach" and row["x"]}
    assert lines == {"exercise_sheet_7", "an lstm"}
    assert {row["net"] for row in found if row["picture"] == "credit-map"} == lines
    assert {row["net"] for row in found if row["picture"] == "gates"} == {"an lstm"}
    plot = rnngrad.derive(rnngrad.load(SHEET)).plot.beside(rnngrad.derive(rnngrad.load(spec)))
    assert len(plot.gates().axes) == 2  # the means, and the gradient on the right


def test_nets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By the paths of their specs; from Python by a number."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(NET.format(name="net"))
    numbers, page = tmp_path / "numbers.csv", tmp_path / "two.html"
    args = ["derive", "a.yaml", "--beside", "b.yaml", "--plot-what", "reach"]
    assert run(*args, "--plot-data", str(numbers), cwd=tmp_path).returncode == 0
    assert {"a.yaml", "b.yaml"} <= {row["series"] for row in table(numbers)}
    done = run(*args[:3], "a.yaml", "--plot-data", "x.csv", cwd=tmp_path)
    assert (done.returncode, "'a.yaml' is given 2 times" in done.stderr) == (2, True)
    run("report", "a.yaml", "b.yaml", "--whh-scale", "1,2", "-o", str(page), cwd=tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<option>a.yaml</option><option>b.yaml</option>" in text
    result = rnngrad.derive(rnngrad.load(tmp_path / "a.yaml"))
    axes = result.plot.beside(result).reach().axes[0]
    names = [one.get_label() for one in axes.get_lines()]
    assert names[:2] == ["net", "net (2)"]


def test_a_cliff_is_drawn_where_it_is_asked_for(tmp_path: Path, spec: str) -> None:
    path = tmp_path / "numbers.csv"
    beside = ("--beside", SHEET, "--plot-what", "reach", "--plot-data", str(path))
    done = run("derive", spec, "--cliff", "W_hh[0,0]=1:7,b_h[1]", *beside)
    note = "note: not in the picture cliff: 'exercise_sheet_7' has no b_h[1]\n"
    assert (done.returncode, done.stderr) == (0, note)
    cells = [row for row in table(path) if row["picture"] == "cliff"]
    assert {float(row["x"]) for row in cells} >= {1.0, 7.0}


def test_check_draws_errors_and_keeps_its_exit_code(tmp_path: Path, spec: str) -> None:
    gradients = tmp_path / "theirs.npz"
    arrays = rnngrad.gradients(rnngrad.load(spec))
    np.savez(gradients, dL_dW_hh=arrays["dL_dW_hh"], dL_dW_xh=2 * np.asarray(arrays["dL_dW_xh"]))
    path = tmp_path / "numbers.csv"
    done = run("check", spec, "--against", str(gradients), "--plot-data", str(path))
    assert done.returncode == 1
    bars = {row["series"]: row for row in table(path) if row["picture"] == "errors"}
    assert float(bars["dL_dW_xh"]["high"]) == pytest.approx(1.0)
    assert {row["picture"] for row in table(path)} == {"errors", "step-size"}
    assert run("check", spec, "--plot", str(tmp_path / "p.png")).returncode == 0


def test_sweep_draws_the_rate(tmp_path: Path, spec: str) -> None:
    path, rows = tmp_path / "numbers.csv", tmp_path / "rows.jsonl"
    args = ("--whh-scale", "0.5,1,2", "--plot-data", str(path), "-o", str(rows))
    assert run("sweep", spec, SHEET, *args).returncode == 0
    lines = {row["series"] for row in table(path) if row["x"] and row["y"]}
    assert lines == {"an lstm", "exercise_sheet_7"}
    assert rows.read_text().count("\n") == 6
    again = ("show", str(rows), "--plot-data", str(path), "--force", "--map", "spec,scale")
    done = run(*again, "--plot-what", "rate")
    assert done.returncode == 0, done.stderr
    shown = table(path)
    assert {row["picture"] for row in shown} == {"rate", "map"}
    assert {row["series"] for row in shown if row["picture"] == "rate" and row["x"]} == lines
    assert run(*again[:-1], "seed,scale").returncode == 2


def test_quantities_choose_whose_paths_are_drawn(tmp_path: Path, spec: str) -> None:
    path = tmp_path / "numbers.csv"
    args = ("--plot-what", "paths", "--plot-data", str(path), "--force", "-o", str(tmp_path / "o"))
    for names, drawn in {("dL_dW_xh",): {"W_xh"}, ("dL_dh",): {"W_hh", "W_xh"}}.items():
        done = run("derive", SHEET, *(w for n in names for w in ("--quantity", n)), *args)
        assert (done.returncode, done.stderr) == (0, "")
        titles = {row["title"] for row in table(path)}
        assert titles == {f"The paths that ∂L/∂{name} is the sum of" for name in drawn}
    said = "there are no paths of dL_db_h; there are of dL_dW_xh, dL_dW_hh"
    done = run("derive", SHEET, "--quantity", "dL_db_h", *args)
    assert (done.returncode, said in done.stderr) == (2, True)
    (tmp_path / "own.yaml").write_text(OWN)
    done = run(
        "derive", str(tmp_path / "own.yaml"), "--beside", SHEET, "--quantity", "dL_dU", *args
    )
    assert done.stderr == (
        "note: not in the picture paths: 'exercise_sheet_7' has no paths of dL_dU\n"
    )
    assert {row["net"] for row in table(path)} == {"own"}


@pytest.mark.parametrize(
    "name", ["$x_1$ and $\\alpha$", "<b>bold</b> & co", "\\e[31mred", "名前 " * 40]
)
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    path, page = tmp_path / "net.yaml", tmp_path / "page.svg"
    path.write_text(NET.format(name=f'"{name}"' if "\\e" in name else f"'{name}'"))
    done = run("derive", str(path), "--plot", str(page), "--plot-what", "reach")
    assert (done.returncode, done.stderr) == (0, "")
    texts = [n.text or "" for n in ElementTree.parse(page).iter("{http://www.w3.org/2000/svg}text")]
    wanted = "\\x1b[31mred" if "\\e" in name else name
    assert wanted in texts or len(wanted) > 40
    assert "\x1b" not in page.read_text(encoding="utf-8")
    assert max(map(len, texts)) < 80


# --- what is refused, before anything is computed


def _without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name == "matplotlib" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_a_missing_matplotlib_is_one_line_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_matplotlib(monkeypatch)
    done = run("derive", SHEET, "--plot", str(tmp_path / "page.png"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--plot needs Matplotlib: pip install 'rnngrad[plot]'; --plot-data needs none\n"
    )


@pytest.mark.parametrize(
    ("verb", "args", "said"),
    [
        ("derive", ["--plot", "p.jpg"], "--plot p.jpg: the file's name must end in .png, .svg or "
         ".pdf"),
        ("derive", ["--plot", "p.pgn"], "did you mean '.png'?"),
        ("derive", ["--plot", "page"], "must end in .png, .svg or .pdf"),
        ("derive", ["--plot-data", "p.txt"], "--plot-data p.txt: the file's name must end in .csv"),
        ("derive", ["--plot-what", "reach"], "chooses what --plot FILE draws; give one"),
        ("derive", ["--plot", "p.png", "--plot-what", "reech"], "did you mean 'reach'?"),
        ("derive", ["--plot", "p.png", "--plot-what", "rate"], "sweep draws it; derive draws"),
        ("derive", ["--plot", "p.png", "--plot-what", "gates"], "there is no such picture: "
         "'exercise_sheet_7' is a net of rnn, which has no gates"),
        ("derive", ["--plot", "p.png", "--plot-what", "cliff"], "needs two parameters"),
        ("derive", ["--cliff", "W_hh[0,0],b_h[0]"], "--cliff is for --plot FILE; give one"),
        ("derive", ["--beside", SHEET], "--beside is for --plot FILE; give one"),
        ("derive", ["--plot", "p.png", "--cliff", "W_hh[0,0],b[0]"], "no parameter is called 'b'"),
        ("derive", ["--plot", "p.png", "--cliff", "W_hh"], "--cliff takes two parameters"),
        ("derive", ["--plot", "no/p.png"], "no/p.png: there is no folder 'no'"),
        ("derive", ["--plot", "old.png"], "old.png: exists already; --force overwrites it"),
        ("derive", ["--plot", "p.png", "--plot-data", "old.csv"], "old.csv: exists already"),
        ("derive", ["--plot", "p.png", "--plot-data", "a.csv", "-o", "a.csv"],
         "--plot-data a.csv: -o writes to the same file"),
        ("derive", ["--plot", "p.png", "--plot-what", "reach,paths"],
         "'reach,paths'; these are 2 names: give each on its own, by repeating the option"),
        ("derive", ["--section", "flow,map"], "these are 2 names"),
        ("derive", ["--quantity", "dL_dh,dL_dW_hh"], "these are 2 names"),
        ("check", ["--plot", "p.png", "--plot-what", "reach"], "derive draws it; check draws"),
        ("check", ["--plot", "p.png", "--answers", "x.yaml"], "--answers are formulas"),
        ("sweep", ["--plot", "p.png", "--plot-what", "paths"], "derive draws it; sweep draws rate"),
        ("sweep", ["--plot", "p.png", "--plot-what", "map"], "needs two axes: --map scale,seed"),
        ("sweep", ["--map", "scale,seed"], "--map is for --plot FILE; give one"),
        ("sweep", ["--plot", "p.png", "--map", "scale,seed"], "only one seed is swept"),
        ("sweep", ["--plot", "old.png"], "old.png: exists already"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, verb: str, args: list[str], said: str) -> None:
    for name in ("old.png", "old.csv"):
        (tmp_path / name).write_text("mine")
    more = ["--whh-scale", "1,2"] if verb == "sweep" else []
    done = run(verb, SHEET, *more, *args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.csv", "old.png"]
    assert (tmp_path / "old.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("verb", "option", "name"),
    [
        ("derive", "--plot", "p.png"),
        ("derive", "--pdf", "p.pdf"), ("derive", "--save", "p.npz"),
        ("check", "--plot-data", "p.csv"), ("sweep", "--plot-data", "p.csv"),
    ],
)  # fmt: skip
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_nothing_is_shown_where_a_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, option: str, name: str
) -> None:
    more = ["--whh-scale", "1"] if verb == "sweep" else []
    more += ["--plot-what", "reach"] if option == "--plot" else []
    (tmp_path / name).symlink_to("/dev/full")
    runs = [run(verb, SHEET, *more, option, name, "--force", cwd=tmp_path)]
    (tmp_path / name).unlink()

    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    runs += [run(verb, SHEET, *more, option, name, cwd=tmp_path)]
    for done in runs:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"{name}: cannot be written: No space left on device\n"
    assert not [*tmp_path.iterdir()]


def test_a_spec_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(NET.format(name="x"))
    done = run("derive", str(path), "--plot-data", str(path), "--force")
    assert done.returncode == 2
    assert "is the spec itself" in done.stderr


def test_no_loss_leaves_out_what_is_of_one(tmp_path: Path) -> None:
    path, numbers = tmp_path / "net.yaml", tmp_path / "numbers.csv"
    path.write_text(NET.format(name="x").replace("targets: {random: normal}", ""))
    assert run("derive", str(path), "--plot-data", str(numbers)).returncode == 0
    found = {row["picture"] for row in table(numbers)}
    assert found == {n for n in of_verb("derive") if not PICTURES[n].of_loss}
    done = run("derive", str(path), "--plot-data", str(numbers), "--force", "--plot-what", "paths")
    assert done.returncode == 2
    assert "'x' has no targets, so there is no loss" in done.stderr


# --- one table


@pytest.mark.parametrize("verb", ["derive", "check", "sweep"])
def test_help_and_shell_have_the_names_of_the_verb(verb: str) -> None:
    words = " ".join(run(verb, "--help").stdout.replace("│", " ").split())
    assert f"repeatable: {', '.join(of_verb(verb))}." in words
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    (option,) = [p for p in command.params if p.name == "plot_what"]
    args = [SHEET, "--whh-scale", "1"] if verb == "sweep" else [SHEET]
    found = option.shell_complete(command.make_context(verb, args), "")
    assert [(item.value, item.help) for item in found] == [
        (name, PICTURES[name].shows) for name in of_verb(verb)
    ]


def test_every_picture_is_documented() -> None:
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", text, re.M)
    assert rows == [(kind.name, kind.verb, kind.shows) for kind in PICTURES.values()]
