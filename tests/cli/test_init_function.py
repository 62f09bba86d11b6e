"""``rnngrad init --function SPEC``: the file runs, says what is missing, passes when filled in."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import ROOT, SHEET, run
from oracles.cells import run as states

MARK = "    # Forward from t = 1 to T, then back from t = T to 1, adding up:\n"
BPTT = """\
    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h, y = [h_0], []
    for x in inputs:
        h.append(sigmoid(W_xh @ x + W_hh @ h[-1] + b_h))
        y.append(sigmoid(W_hy @ h[-1] + b_y))
    back = np.zeros_like(h_0)
    for t in reversed(range(len(inputs))):
        dy = -2 * (targets[t] - y[t]) * y[t] * (1 - y[t])
        da = (W_hy.T @ dy + back) * h[t + 1] * (1 - h[t + 1])
        dL_dW_hy += np.outer(dy, h[t + 1])
        dL_db_y += dy
        dL_dW_xh += np.outer(da, inputs[t])
        dL_dW_hh += np.outer(da, h[t])
        dL_db_h += da
        back = W_hh.T @ da
"""


def filled(path: Path, code: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(MARK) == 1
    path.write_text(text.replace(MARK, MARK + code), encoding="utf-8")


def checking_line(text: str) -> list[str]:
    (line,) = [one for one in text.splitlines() if "rnngrad check" in one]
    return shlex.split(line.lstrip("# "))[1:]


def test_the_sheet_s_file_is_filled_in_and_passes(tmp_path: Path) -> None:
    done = run("init", "--function", SHEET, "-o", "student.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path = tmp_path / "student.py"
    text = path.read_text(encoding="utf-8")
    assert "\ndef backward(weights, inputs, targets, h_0):\n" in text
    command = checking_line(text)
    assert command == ["check", SHEET, "--against", "student.py:backward"]

    done = run(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("every number is 0: is it not filled in yet?") == 1
    assert "verdict: fail (5 wrong)" in done.stdout

    filled(path, BPTT)
    done = run(*command, "--trials", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "verdict: pass (5 right)" in done.stdout


MATRICES = "W_xh: {init: normal}, W_hh: {init: normal}, W_hy: {init: normal}"
SPECS = {
    "rnn": "weights: {W_xh: {init: normal}, W_hh: {init: normal}}\n",
    "gru": f"cell: gru\nweights: {{{MATRICES}}}\n",
    "lstm": f"cell: lstm\nweights: {{{MATRICES}}}\nc_0: 0.5\n",
    "stack": "cell: lstm\nweights:\n  layers:\n  - {W_xh: {init: normal}, W_hh: {init: normal}}\n"
             "  - {W_xh: {init: normal}, W_hh: {init: normal}}\n  W_hy: {init: normal}\n",
}  # fmt: skip
SIZES = """\
sizes: {inputs: 3, hidden: 4, outputs: 2}
inputs: {random: normal, steps: 5}
targets: {random: normal}
"""


def spec(folder: Path, name: str) -> Path:
    hidden = SIZES.replace(", outputs: 2", "") if name == "rnn" else SIZES
    path = folder / f"{name}.yaml"
    path.write_text(SPECS[name] + hidden, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SPECS)
def test_every_array_has_its_shape_and_its_place(tmp_path: Path, name: str) -> None:
    """What is filled in by name is what is checked, whatever the cell."""
    path = spec(tmp_path, name)
    problem = rnngrad.load(path)
    done = run("init", "--function", path.name, "-o", "mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    (function,) = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    assert [a.arg for a in function.args.args] == ["weights", "inputs", "targets", "h_0"]
    with_c = len(problem.cell.parts) > 1
    assert [a.arg for a in function.args.kwonlyargs] == (["c_0"] if with_c else [])
    code = "    given = np.load('right.npz')\n"
    right = rnngrad.gradients(problem)
    for parameter, values in problem.weights.items():
        sides = "(" + ", ".join(map(str, values.shape)) + ("," if values.ndim == 1 else "") + ")"
        lines = [line for line in text.splitlines() if f'"{parameter}"' in line]
        assert len(lines) == 1
        assert sides in lines[0]
        (line,) = [line for line in text.splitlines() if f'"dL_d{parameter}": ' in line]
        assert sides in line
        variable = line.split(":")[1].split(",")[0].strip()
        code += f"    {variable}[...] = given['{parameter}']\n"
    np.savez(tmp_path / "right.npz", **{n: right[f"dL_d{n}"] for n in problem.weights})  # type: ignore[arg-type]
    filled(tmp_path / "mine.py", code)
    done = run("check", path.name, "--against", "mine.py:backward", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    names = [q["name"] for q in json.loads(done.stdout)["quantities"]]
    assert names == [f"dL_d{parameter}" for parameter in problem.weights]


def test_the_equations_in_it_are_the_net_s(tmp_path: Path) -> None:
    """What its comment says of y and L, against what is computed."""
    path = spec(tmp_path, "gru")
    path.write_text(path.read_text() + "loss_steps: [2, 5]\nloss_reduction: mean\n")
    text = run("init", "--function", str(path)).stdout
    assert "#   y_t = W_hy h_t + b_y\n" in text
    assert "#   L = 1/2 (L_2 + L_5),  L_t = Σ_o (target_t − y_t)²\n" in text
    problem = rnngrad.load(path)
    h = states("gru", [dict(problem.weights)], np.array(problem.x))
    y = h @ problem.weights["W_hy"].T + problem.weights["b_y"]
    assert problem.targets is not None
    each = ((problem.targets - y) ** 2).sum(axis=1)
    loss = rnngrad.gradients(problem)["loss"]
    np.testing.assert_allclose(loss, (each[1] + each[4]) / 2, rtol=1e-12)


def test_without_an_output_file_it_goes_to_standard_output(tmp_path: Path) -> None:
    path = spec(tmp_path, "gru")
    done = run("init", "--function", "./gru.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert checking_line(done.stdout) == [
        "check", "./gru.yaml", "--against", "student.py:backward"
    ]  # fmt: skip
    compile(done.stdout, "student.py", "exec")
    done = run("init", "--function", "-", stdin=path.read_text(), cwd=tmp_path)
    assert checking_line(done.stdout)[1] == "-"


@pytest.mark.parametrize("name", ["my net.yaml", "it's.yaml", 'a"b\n"""c.yaml', "{x}\\n.yaml"])
def test_any_name_of_a_spec(tmp_path: Path, name: str) -> None:
    """No name breaks out of the comment, and no path but the one that was typed is in the file."""
    spec(tmp_path, "lstm").rename(tmp_path / name)
    done = run("init", "--function", name, "-o", "my file.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "my file.py").read_text(encoding="utf-8")
    compile(text, "student.py", "exec")
    assert str(tmp_path) not in text
    assert str(ROOT) not in text
    if "\n" not in name:
        assert checking_line(text)[1:] == [name, "--against", "my file.py:backward"]
        assert run(*checking_line(text), cwd=tmp_path).returncode == 1


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = spec(tmp_path, "lstm")
    (tmp_path / "mine.py").write_text("precious")
    words = ["init", "--function", path.name, "-o", "mine.py"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert run(*words, "--force", cwd=tmp_path).returncode == 0
    assert "def backward" in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--function", "lstm.yaml", "-o", "mine.txt"], "must end in .py"),
        (["--function", "lstm.yaml", "model.safetensors"], "--function needs SPEC alone"),
        (["--function", "lstm.yaml", "--prefix", "rnn"], "--function needs SPEC alone"),
        (["--function", "none.yaml"], "none.yaml"),
        (["--function", "bare.yaml"], "has no targets, so there are no gradients to fill in"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    path = spec(tmp_path, "lstm")
    bare = path.read_text().replace("targets: {random: normal}\n", "")
    (tmp_path / "bare.yaml").write_text(bare)
    done = run("init", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert not (tmp_path / "mine.txt").exists()


def test_the_equations_stand_in_the_file_as_on_paper(tmp_path: Path) -> None:
    done = run("init", "--function", SHEET, cwd=tmp_path)
    assert "#   a_t = W_xh x_t + W_hh h_{t−1} + b_h\n" in done.stdout
    own = tmp_path / "mgu.yaml"
    run("init", "--cell", "mgu", "-o", str(own), cwd=tmp_path)
    done = run("init", "--function", str(own), cwd=tmp_path)
    assert "#   h_t = (1 − f_t) ∘ h_{t−1} + f_t ∘ n_t\n" in done.stdout
