"""A student's function and the command itself."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import run as command
from oracles import mistakes_page
from rnngrad.cli.checks import against
from rnngrad.cli.checks.options import CheckOptions
from rnngrad.errors import SpecError, UsageError
from rnngrad.files.random_problems import variant

ROOT = Path(__file__).parents[2]
SHEET = ROOT / "sample_configs" / "exercise_sheet_7.yaml"
PROBLEM = rnngrad.load(SHEET)

BPTT = """
import numpy as np

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def backward(weights, inputs, targets, h_0, wrong=False):
    print("working ...")
    W_hh, W_hy = weights["W_hh"], weights["W_hy"]
    h, y = [h_0], []
    for x in inputs:
        h.append(sigmoid(weights["W_xh"] @ x + W_hh @ h[-1] + weights["b_h"]))
        y.append(sigmoid(W_hy @ h[-1] + weights["b_y"]))
    total = {"dL_d" + name: np.zeros_like(w) for name, w in weights.items()}
    back = np.zeros_like(h_0)
    for t in reversed(range(len(inputs))):
        dy = -2 * (targets[t] - y[t]) * y[t] * (1 - y[t])
        dh = W_hy.T @ dy + back
        da = dh * h[t + 1] * (1 - h[t + 1])
        total["dL_dW_hy"] += np.outer(dy, h[t + 1])
        total["dL_db_y"] += dy
        total["dL_dW_xh"] += np.outer(da, inputs[t])
        total["dL_dW_hh"] += np.outer(da, h[t])
        total["dL_db_h"] += da
        back = W_hh.T @ (dh if wrong else da)
    return total

def no_slope(*given):
    return backward(*given, wrong=True)

def only_scalar(*given):
    total = backward(*given)
    return {**total, "dL_dW_hh": total["dL_dW_hh"].T}

def breaks(weights, inputs, targets, h_0):
    return weights["W_oops"]

def nothing(weights, inputs, targets, h_0):
    pass

def empty(weights, inputs, targets, h_0):
    return {}

def unknown(weights, inputs, targets, h_0):
    return {"dL_dW_hhh": 1}

def spoils(weights, inputs, targets, h_0):
    total = backward(weights, inputs, targets, h_0)
    weights["W_hh"] *= 2
    return total

def vanishes(weights, inputs, targets, h_0):
    import os
    os._exit(0)

def shouts(weights, inputs, targets, h_0):
    import os
    os.system("echo shell")
    os.write(1, b"raw")
    return backward(weights, inputs, targets, h_0)

def leaves(weights, inputs, targets, h_0):
    raise SystemExit(0)

value = 3
"""


@pytest.fixture
def student(tmp_path: Path) -> str:
    (tmp_path / "student.py").write_text(BPTT)
    return str(tmp_path / "student.py")


def run(source: str, **options: object) -> tuple[str, list[dict[str, object]]]:
    report, verdict, _ = against.run(PROBLEM, source, CheckOptions(**options))  # type: ignore[arg-type]
    document = report.document()
    assert document["verdict"] == verdict
    quantities = document["quantities"]
    assert isinstance(quantities, list)
    return str(verdict), quantities


def test_a_right_function(student: str, capsys: pytest.CaptureFixture[str]) -> None:
    verdict, quantities = run(f"{student}:backward", random=20)
    assert (verdict, len(quantities)) == ("pass", 5)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "working ..." in shown.err


def test_a_wrong_function_is_named(student: str) -> None:
    verdict, quantities = run(f"{student}:no_slope")
    assert verdict == "fail"
    wrong = {str(q["name"]): q["diagnosis"] for q in quantities if q["verdict"] == "fail"}
    assert set(wrong) == {"dL_dW_xh", "dL_dW_hh", "dL_db_h"}
    bugs = {d["bug"] for d in wrong.values() if isinstance(d, dict)}
    assert bugs == {"missing-activation-derivative"}


def test_random_problems_find_what_a_scalar_net_hides(student: str) -> None:
    assert run(f"{student}:only_scalar")[0] == "pass"
    verdict, quantities = run(f"{student}:only_scalar", random=20)
    assert verdict == "fail"
    last = quantities[-1]
    assert "on the random problem with seed" in str(last["reason"])
    assert run(f"{student}:only_scalar", random=20)[1] == quantities


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("breaks", "student.py:36 in breaks: KeyError: 'W_oops'"),
        ("nothing", "returned nothing, must return a dict"),
        ("leaves", "in leaves: SystemExit: 0"),
        ("vanishes", "the function ended the process, with status 0"),
    ],
)
def test_a_function_s_own_fault_fails(student: str, function: str, words: str) -> None:
    verdict, quantities = run(f"{student}:{function}")
    assert verdict == "fail"
    assert words in str(quantities[0]["reason"])


def test_whatever_it_prints_goes_to_standard_error(
    student: str, capfd: pytest.CaptureFixture[str]
) -> None:
    leave = os._exit
    assert run(f"{student}:shouts")[0] == "pass"
    os.write(1, b"ours\n")
    shown = capfd.readouterr()
    assert shown.out == "ours\n"
    assert all(words in shown.err for words in ("shell", "raw", "working ..."))
    assert os._exit is leave


def test_it_cannot_spoil_our_arrays(student: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{student}:spoils")[0] == "pass"
    assert "note: spoils changes its inputs: W_hh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (":bacward", "has no function 'bacward'; did you mean 'backward'"),
        ("", "say which function"),
        (":value", "'value' is a int, not a function"),
        (":empty", "nothing to check"),
    ],
)
def test_what_is_not_there(student: str, end: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(student + end)


def test_names_that_do_not_exist(student: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'dL_dW_hh'"):
        run(f"{student}:unknown")
    with pytest.raises(UsageError, match="no such file"):
        run(f"{tmp_path}/nobody.py:backward")
    (tmp_path / "a.yaml").write_text("h: 1\ndL_dW_hhh: 2\n")
    with pytest.raises(SpecError, match=r"a.yaml:2:1: no quantity is called 'dL_dW_hhh'; did you"):
        run(str(tmp_path / "a.yaml"))


def test_a_file_with_a_syntax_error_fails_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\ndef backward(:\n    pass\n")
    verdict, quantities = run(f"{tmp_path}/broken.py:backward")
    assert verdict == "fail"
    assert "broken.py:2: SyntaxError" in str(quantities[0]["reason"])


def test_variants_are_of_the_same_kind_and_repeat() -> None:
    drawn = [variant(PROBLEM, seed) for seed in range(1, 30)]
    assert len({(p.steps, p.inputs, p.hidden, p.outputs) for p in drawn}) > 10
    assert all(p.loss is PROBLEM.loss and p.activation is PROBLEM.activation for p in drawn)
    assert all(p.h_0.any() for p in drawn)
    again = variant(PROBLEM, 5)
    assert all(np.array_equal(again.weights[n], drawn[4].weights[n]) for n in again.weights)


def test_variants_keep_the_steps_that_count() -> None:
    spec = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0, 1], "targets": [0, 1, 0]}
    last = variant(rnngrad.load({**spec, "loss_steps": "last"}), 3)
    assert last.loss_weights is not None
    assert list(np.flatnonzero(last.loss_weights)) == [last.steps - 1]
    mean = variant(rnngrad.load({**spec, "loss_reduction": "mean"}), 3)
    assert mean.loss_weights is not None
    assert np.allclose(mean.loss_weights, 1 / mean.steps)
    listed = variant(rnngrad.load({**spec, "loss_steps": [1, 3]}), 3)
    assert listed.loss_weights is not None
    assert (listed.steps, list(listed.loss_weights)) == (3, [1.0, 0.0, 1.0])


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers_in(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers_in(v)]
    return [value] if isinstance(value, float) else []


def test_hide_expected_leaves_no_number_but_one_s_own(tmp_path: Path) -> None:
    """Scaled, clipped and plainly wrong arrays: only the numbers that were given come back."""
    right = dict(rnngrad.derive(PROBLEM))
    arrays = {
        "dL_dW_hh": right["dL_dW_hh"] * 1.7,
        "dL_dh": np.clip(right["dL_dh"], -0.1, 0.1),
        "dL_dx": right["dL_dx"] + 0.123,
    }
    np.savez(tmp_path / "a.npz", **arrays)
    _, quantities = run(str(tmp_path / "a.npz"), hide_expected=True)
    own = {float(v) for array in arrays.values() for v in array.ravel()}
    assert set(numbers_in(quantities)) <= own


def test_the_command(student: str) -> None:
    """Exit codes, and a stdout that is JSON whatever the function prints."""
    for function, code in (
        ("backward", 0),
        ("shouts", 0),
        ("vanishes", 1),
        ("no_slope", 1),
        ("bacward", 2),
    ):
        of = f"{student}:{function}"
        done = command("check", str(SHEET), "--json", "--against", of, "--trials", "3")
        assert done.returncode == code, done.stderr
        if code == 2:
            assert done.stdout == ""
        else:
            assert json.loads(done.stdout)["command"] == "check"


def test_the_page_of_mistakes_is_the_catalogue_s() -> None:
    """Else: python tests/oracles/mistakes_page.py > docs/mistakes.md"""
    assert (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8") == mistakes_page.page()


def shown_for(arrays: dict[str, np.ndarray], folder: Path) -> str:
    np.savez(folder / "a.npz", **arrays)
    report, *_ = against.run(PROBLEM, str(folder / "a.npz"), CheckOptions())
    lines = [line for block in report.blocks() for line in getattr(block, "lines", ())]
    return "\n".join(lines)


def test_numbers_that_differ_look_different(tmp_path: Path) -> None:
    right = rnngrad.derive(PROBLEM)["dL_dh"]
    words = shown_for({"dL_dh": right * (1 + 3e-8)}, tmp_path)
    told = re.search(r"expected (\S+), got (\S+)", words)
    assert told is not None
    assert told[1] != told[2]
    factor = re.search(r"scaled \(factor (\S+),", words)
    assert factor is not None
    assert float(factor[1]) == pytest.approx(1 + 3e-8, rel=1e-12)


def test_one_candidate_is_a_perhaps(tmp_path: Path) -> None:
    right = rnngrad.derive(PROBLEM)["dL_dW_hh"]
    words = shown_for({"dL_dW_hh": right * 1.7123456789}, tmp_path)
    assert "diagnosis: perhaps scaled" in words
    assert "one of" not in words
