"""Results in a notebook: still the mappings of the contract, with tables, LaTeX and data frames."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from IPython.core.formatters import DisplayFormatter

import rnngrad
from cli.running import ROOT, SHEET, run
from rnngrad.api import Document

SWEEP = {"scales": [0.5, 2.0]}


@pytest.fixture(scope="module")
def problem() -> rnngrad.Problem:
    return rnngrad.load(SHEET)


@pytest.fixture(scope="module")
def results(problem: rnngrad.Problem) -> dict[str, rnngrad.Derivation | Document]:
    return {
        "derive": rnngrad.derive(problem),
        "check": rnngrad.check(problem),
        "sweep": rnngrad.sweep(problem, [0.5, 2.0]),
    }


COMMANDS = {"derive": ["derive", SHEET], "check": ["check", SHEET],
            "sweep": ["sweep", SHEET, "--whh-scale", "0.5,2"]}  # fmt: skip


@pytest.mark.parametrize("verb", ["check", "sweep"])
def test_documents_are_still_the_documents_of_the_contract(
    results: dict[str, Document], verb: str
) -> None:
    document = results[verb]
    assert isinstance(document, dict)
    printed = json.loads(run(*COMMANDS[verb], "--json").stdout)
    assert json.loads(json.dumps(document)) == printed
    assert document == dict(document)


def test_a_derivation_is_still_a_mapping_of_arrays(problem: rnngrad.Problem) -> None:
    result = rnngrad.derive(problem)
    assert list(result) == list(result.names())
    assert isinstance(result["dL_dh"], np.ndarray)
    assert isinstance(result, rnngrad.Derivation)


@pytest.mark.parametrize("verb", COMMANDS)
def test_text_is_what_the_command_prints(results: dict[str, Document], verb: str) -> None:
    printed = run(*COMMANDS[verb], "-q").stdout
    text = results[verb].as_text()
    if verb != "check":
        assert text == printed
    assert text.splitlines()[-1] == printed.splitlines()[-1]
    assert max(map(len, text.splitlines())) <= max(map(len, printed.splitlines()))


@pytest.mark.parametrize("verb", COMMANDS)
def test_latex_and_markdown_are_those_of_the_command(
    results: dict[str, Document], verb: str
) -> None:
    for form, text in (("latex", results[verb].as_latex()),
                       ("markdown", results[verb].as_markdown())):  # fmt: skip
        printed = run(*COMMANDS[verb], "-q", "--format", form).stdout
        assert text.splitlines()[-1] == printed.splitlines()[-1]
        assert verb == "check" or text == printed


@pytest.mark.parametrize("verb", COMMANDS)
def test_what_ipython_is_given(results: dict[str, Document], verb: str) -> None:
    data, _ = DisplayFormatter().format(results[verb])
    assert data["text/plain"] == results[verb].as_text()
    assert data["text/html"] == results[verb].as_html()
    assert "<table" in data["text/html"]
    assert "<script" not in data["text/html"]
    ElementTree.fromstring(
        f"<div>{data['text/html'].replace('<br>', '<br/>').replace('<wbr>', '')}</div>"
    )
    assert ("text/latex" in data) == (verb == "derive")


def test_formulas_for_what_reads_latex(problem: rnngrad.Problem) -> None:
    shown = rnngrad.derive(problem)._repr_latex_()
    assert shown.count("$$") == 20
    assert r"\frac{\partial L}{\partial y_3} &= " in shown
    assert "#" not in shown


def test_a_name_holds_no_html(problem: rnngrad.Problem) -> None:
    evil = dataclasses.replace(problem, name="<script>alert(1)</script> & \x1b[31m")
    for result in (rnngrad.derive(evil), rnngrad.check(evil), rnngrad.sweep(evil, [1.0])):
        assert "<script" not in result.as_html()
        assert "&lt;script&gt;" in result.as_html()
        assert "\x1b" not in result.as_html() + result.as_text()


def test_explanations_and_questions_as_html(tmp_path: Path) -> None:
    for option in (["--explain", "a6"], ["--blank"]):
        done = run("derive", SHEET, *option, "--format", "html")
        assert (done.returncode, done.stderr) == (0, "")
        assert "<math" in done.stdout
        assert "<script" not in done.stdout


def test_frames_are_tidy(results: dict[str, Document], problem: rnngrad.Problem) -> None:
    frame = rnngrad.derive(problem).to_pandas("dL_dh")
    assert list(frame.columns) == ["quantity", "t", "i", "j", "value"]
    assert list(frame["t"]) == [0, 1, 2, 3]
    np.testing.assert_array_equal(frame["value"], rnngrad.derive(problem)["dL_dh"][:, 0])
    whole = rnngrad.derive(problem).to_pandas()
    assert set(whole["quantity"]) == set(rnngrad.derive(problem).names())
    assert isinstance(whole, pandas.DataFrame)
    sweep = results["sweep"].to_pandas()
    assert list(sweep["scale"]) == [0.5, 2.0]
    assert list(sweep["regime"]) == [row["regime"] for row in results["sweep"]["rows"]]  # type: ignore[index, union-attr]
    check = results["check"].to_pandas()
    assert set(check["verdict"]) == {"pass"}


def test_arrays_have_their_axes_named(problem: rnngrad.Problem) -> None:
    result = rnngrad.derive(problem)
    shapes = {"dL_dh": ("t", "i"), "dht_dhprev": ("t", "i", "j"), "log10_paths": ("t", "k"),
              "log10_chain": ("k",), "dL_dW_hh": ("i", "j"), "dL_db_h": ("i",),
              "growth_rate": (), "gradient_norm": (), "lag_profile": ("lag",), "shares": ("lag",),
              "truncation": ("row", "column"), "horizon": ("t", "column")}  # fmt: skip
    assert len(result.on_request) > 10
    for name in (*result.names(), *result.on_request):
        array = result.to_xarray(name)
        assert array.dims == shapes.get(name, array.dims)
        np.testing.assert_array_equal(array.values, result[name])
        assert len(result.to_pandas(name)) in (array.size, len(np.atleast_1d(array.values)))
    found = result.to_pandas("truncation")
    assert list(found.columns) == ["steps", "rel_error", "cosine"]
    np.testing.assert_array_equal(found, result["truncation"])
    cosine = result.to_xarray("truncation").sel(column="cosine")
    np.testing.assert_array_equal(cosine, result["truncation"][:, 2])
    assert result.to_pandas("horizon").loc[1, "float64"] == result["horizon"][0, 2]
    assert float(result.to_xarray("dL_dh").sel(t=0, i=0)) == result["dL_dh"][0, 0]
    assert float(result.to_xarray("dL_dy").sel(t=3, i=0)) == result["dL_dy"][2, 0]
    assert float(result.to_xarray("log10_paths").sel(t=3, k=1)) == result["log10_paths"][2, 1]


def test_pictures_are_figures(problem: rnngrad.Problem) -> None:
    from matplotlib.figure import Figure

    result = rnngrad.derive(problem)
    assert isinstance(result.plot.credit_map(), Figure)
    axes = Figure().subplots()
    assert result.plot.reach(ax=axes) is axes.figure
    with pytest.raises(rnngrad.UsageError):
        result.plot.gates()


def test_sweeps_and_checks_have_their_pictures(
    results: dict[str, Document], tmp_path: Path
) -> None:
    path = tmp_path / "rate.png"
    assert len(results["sweep"].plot(path).axes) == 1  # type: ignore[operator]
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(rnngrad.OutputError, match="force=True"):
        results["sweep"].plot(path)  # type: ignore[operator]
    assert results["check"].plot().axes[0].get_xlabel() == "largest relative error"  # type: ignore[operator]


@pytest.fixture(scope="module")
def batch() -> rnngrad.BatchDerivation:
    drawn = {"init": "normal"}
    arrays = np.random.default_rng(1).normal(size=(2, 3, 5, 2))
    spec = {"name": "a <b>", "cell": "lstm", "batch": "first", "sizes": {"hidden": 4},
            "weights": {"W_xh": drawn, "W_hh": drawn, "W_hy": drawn},
            "inputs": arrays[0], "targets": arrays[1]}  # fmt: skip
    return rnngrad.derive(rnngrad.load(spec))  # type: ignore[return-value]


def test_a_batch_is_shown_as_a_sequence_is(batch: rnngrad.BatchDerivation) -> None:
    assert (
        batch.as_text().splitlines()[0] == "a <b>: lstm, a batch of 3, T = 5, I = 2, H = 4, O = 2"
    )
    shown = batch._repr_mimebundle_()
    assert shown["text/plain"] == batch.as_text()
    assert "a &lt;b&gt;" in shown["text/html"] == batch._repr_html_()
    assert r"\section*{a <b>: lstm" in batch.as_latex().replace("\\textless{}", "<").replace(
        "\\textgreater{}", ">"
    )
    frame = batch.to_pandas("dL_dW_hh")
    np.testing.assert_array_equal(frame["value"], batch["dL_dW_hh"].ravel())
    assert set(batch.to_pandas()["quantity"]) == set(batch)
    array = batch.to_xarray("dL_dW_hh")
    assert array.dims == ("i", "j")
    np.testing.assert_array_equal(array.values, batch["dL_dW_hh"])
    assert isinstance(batch.sequences[1], rnngrad.Derivation)
    with pytest.raises(rnngrad.QuantityError, match="belongs to one sequence"):
        batch.to_xarray("dL_dh")


def test_a_result_is_one_line_that_says_what_it_is(
    problem: rnngrad.Problem, batch: rnngrad.BatchDerivation
) -> None:
    said = "<rnngrad.Derivation 'exercise_sheet_7': rnn, T=3, H=1, loss 0.241509>"
    assert repr(rnngrad.derive(problem)) == said
    loss = f"loss {float(batch.loss or 0):.6g}>"
    assert repr(batch) == f"<rnngrad.BatchDerivation 'a <b>': lstm, a batch of 3, T=5, H=4, {loss}"
    assert ": lstm, sequence 2 of 3, T=5, H=4, loss " in repr(batch.sequences[1])
    assert repr(problem) == "<rnngrad.Problem 'exercise_sheet_7': rnn, T=3, H=1>"
    assert repr(batch.batch) == "<rnngrad.Batch 'a <b>': lstm, a batch of 3, T=5, H=4>"
    chosen = "<rnngrad.Problem 'a <b>': lstm, sequence 2 of 3, T=5, H=4>"
    assert repr(batch.batch.sequences[1]) == chosen
    net = {
        "direction": "both",
        "sizes": {"inputs": 1, "hidden": 2},
        "name": "b",
        "inputs": [1, 2],
        "weights": {
            name + way: {"init": "normal"} for name in ("W_xh", "W_hh") for way in ("", "_reverse")
        },
    }
    said = "<rnngrad.Bidirectional 'b': rnn, bidirectional, T=2, H=2>"
    assert repr(rnngrad.load(net)) == said
    checked = rnngrad.check(problem)
    count = len(checked["quantities"])  # type: ignore[arg-type]
    assert repr(checked) == f"<rnngrad.Document check: verdict pass, {count} quantities>"
    assert repr(rnngrad.sweep(problem, [1, 2])) == "<rnngrad.Document sweep: 2 rows>"
    bare = rnngrad.load({"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1], "name": "\x1b[31m"})
    assert repr(rnngrad.derive(bare)).endswith("'\\x1b[31m': rnn, T=1, H=1, no loss>")


def test_one_derivative_written_out(problem: rnngrad.Problem) -> None:
    explained = rnngrad.derive(problem).explain("a6")
    assert explained["explain"] == {"id": "a6", "symbol": "∂L/∂h_1", "equations": "21–24"}
    assert explained.as_text() == run("derive", SHEET, "--explain", "a6").stdout
    with pytest.raises(rnngrad.UsageError, match="a66"):
        rnngrad.derive(problem).explain("a66")


@pytest.mark.parametrize("library", ["pandas", "xarray"])
def test_a_library_that_is_not_there_is_told(
    problem: rnngrad.Problem, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    result = rnngrad.derive(problem)
    with pytest.raises(rnngrad.UsageError, match=f"pip install {library}"):
        result.to_pandas() if library == "pandas" else result.to_xarray("dL_dh")


NOTEBOOK = ROOT / "docs" / "notebooks" / "sheet.ipynb"
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
values = []
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        done = shell.run_cell("".join(cell["source"]))
        done.raise_error()
        values.append(repr(done.result)[:80] if not isinstance(done.result, dict) else "dict")
print(values, file=sys.stderr)
"""


def values_of(notebook: Path, folder: Path) -> str:
    """What the cells give, run from the first to the last; they hold no outputs of another day."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(notebook)], cwd=folder, capture_output=True,
        text=True, encoding="utf-8", check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stderr


def test_the_students_notebook_runs() -> None:
    assert "('fail', 'immediate-only')" in values_of(NOTEBOOK, NOTEBOOK.parent)
