"""``rnngrad cells`` and ``rnngrad init --cell``: what they print loads and runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cli.running import run
from rnngrad.cells import NAMES, shipped
from rnngrad.files import load
from rnngrad.files.starters.cell import as_spec, starter
from rnngrad.files.yaml_text import parse
from rnngrad.net.backward import bptt
from rnngrad.net.forward import forward


def test_the_table_has_every_cell_with_its_source() -> None:
    done = run("cells")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[0] for line in done.stdout.splitlines() if line[:1].isalpha()]
    assert tuple(rows[2 : 2 + len(NAMES)]) == NAMES
    for name in NAMES:
        assert shipped(name).source.split(",")[0].split()[0] in done.stdout


def test_json_has_equations_parameters_and_start() -> None:
    data = json.loads(run("cells", "--json").stdout)
    assert data["command"] == "cells"
    assert [one["name"] for one in data["cells"]] == list(NAMES)
    (one,) = json.loads(run("cells", "irnn", "--json").stdout)["cells"]
    assert one["cell"]["equations"] == ["h_t = relu(W_xh x_t + W_hh h_{t-1} + b_h)"]
    assert one["parameters"] == {"W_xh": ["H", "I"], "W_hh": ["H", "H"], "b_h": ["H"]}
    assert one["start"]["W_hh"] == {"init": "identity"}


def test_csv_is_a_row_a_cell() -> None:
    lines = run("cells", "--format", "csv").stdout.splitlines()
    assert lines[0] == "name,title,source"
    assert len(lines) == 1 + len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_prints_pastes_into_a_spec(name: str) -> None:
    text = as_spec(name)
    assert all(len(line) <= 100 for line in text.splitlines())
    data = parse(text, name).data
    assert yaml.safe_load(text) == data
    cell, found = data["cell"], shipped(name)
    assert cell["name"] == name
    drawn = {n: {"init": "uniform", "bound": 0.4} for n in found.cell.equations.parameters}
    letters = {letter for shape in found.cell.equations.parameters.values() for letter in shape}
    sizes = dict.fromkeys({*letters, *found.cell.letters, "H", "I"}, 3)
    own = load({"cell": cell, "weights": drawn, "sizes": sizes, "inputs": {"zeros": 2}})
    assert own.cell.own
    if name != "rnn":
        right = [str(equation) for equation in found.cell.equations.equations]
        assert [str(equation) for equation in own.cell.equations.equations] == right


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_of_a_cell_runs(name: str, tmp_path: Path) -> None:
    text = starter(name)
    assert all(len(line) <= 110 for line in text.splitlines())
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    problem = load(str(path))
    assert problem.cell is shipped(name).cell
    back = bptt(problem, forward(problem))
    assert all(np.isfinite(gradient).all() for gradient in back.weights.values())
    assert any(gradient.any() for gradient in back.weights.values())
    for parameter, start in shipped(name).start.items():
        if start.get("init") == "constant":
            assert (problem.weights[parameter] == start["value"]).all()


def test_init_writes_it_and_the_first_line_points_at_the_schema(tmp_path: Path) -> None:
    done = run("init", "--cell", "lmu", "-o", "net.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (tmp_path / "net.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    assert text.split("\n", 2)[2] == starter("lmu")
    assert load(str(tmp_path / "net.yaml")).weights["A"].shape == (4, 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cells", "lstn"), "no cell is called 'lstn'; did you mean 'lstm'?"),
        (("cells", "zebra"), "no cell is called 'zebra'; rnngrad cells lists them"),
        (("init", "--cell", "GRU"), "no cell is called 'GRU'; did you mean 'gru'?"),
        (("init", "m.onnx", "--cell", "gru"), "--cell draws the weights: it takes no MODEL"),
        (("cells", "--format", "docx"), "no format is called 'docx'; cells has"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_mistake_in_an_equation_on_the_command_line(tmp_path: Path) -> None:
    text = "cell:\n  equations:\n    - h_t = tanh(W x_t + U g_{t-1})\nweights: {}\ninputs: [1]\n"
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    done = run("derive", "net.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "net.yaml:3:28: nothing defines g_{t−1}\n"
        "      - h_t = tanh(W x_t + U g_{t-1})\n"
        "                             ^\n"
    )


def test_the_data_files_are_part_of_the_package() -> None:
    from importlib import resources

    names = {entry.name for entry in resources.files("rnngrad.cells").iterdir()}
    assert {f"{name}.yaml" for name in NAMES} <= names
