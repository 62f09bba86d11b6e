"""``rnngrad check`` as a user runs it: exit codes, formats, options that contradict each other."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import SHEET, in_a_terminal, run
from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict
from rnngrad.analyses.checking.document import COLUMNS, document
from rnngrad.views.check import report
from rnngrad.views.formats.names import FORMATS
from rnngrad.views.report import Screen

VALID = ("name", "verdict", "method", "max_rel_error", "worst_index", "expected", "got")


def test_the_sheet_passes() -> None:
    done = run("check", SHEET)
    assert done.returncode == 0, done.stderr
    assert "verdict: pass" in done.stdout
    assert done.stderr == ""
    assert "…" not in done.stdout


def test_json_is_the_contracts() -> None:
    done = run("check", SHEET, "--json")
    found = json.loads(done.stdout)
    assert list(found) == ["command", "version", "spec", "verdict", "quantities"]
    assert (found["command"], found["verdict"]) == ("check", "pass")
    names = [entry["name"] for entry in found["quantities"]]
    assert names == [*rnngrad.derive(rnngrad.load(SHEET)), "dLt_dhk", "dLt_dak"]
    for entry in found["quantities"]:
        assert tuple(entry)[:7] == VALID
        assert entry["diagnosis"] is None


def test_the_api_gives_what_json_prints() -> None:
    printed = json.loads(run("check", SHEET, "--json").stdout)
    assert rnngrad.check(rnngrad.load(SHEET)) == printed


def test_csv_has_one_row_a_quantity() -> None:
    rows = list(csv.DictReader(run("check", SHEET, "--format", "csv").stdout.splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert {row["verdict"] for row in rows} == {"pass"}
    lines = run("check", SHEET, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [row["name"] for row in rows]


def test_undecided_is_exit_4(tmp_path: Path) -> None:
    spec = tmp_path / "kink.yaml"
    spec.write_text(
        "activation: relu\nweights: {W_xh: [[0.1, 0.2, -0.3]], W_hh: 0.5, W_hy: 1}\n"
        "inputs: [[1, 1, 1.0]]\ntargets: [1]\n"
    )
    done = run("check", str(spec))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "relu's kink" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "complex"), "no method is called 'complex'"),
        (("--against", "a.npz", "--answers", "b.yaml"), "one at a time"),
        (("--method", "taylor", "--against", "a.npz"), "--method is for rnngrad's own"),
        (("--trials", "3"), "--trials needs --against FILE.py:FUNCTION"),
        (("--trials", "3", "--against", "a.npz"), "--trials needs --against FILE.py:FUNCTION"),
        (("--trials", "-3"), "cannot be negative"),
        (("--rtol", "0"), "--rtol 0"),
        (("--rtol", "nan"), "--rtol nan"),
        (("--format", "docx"), "docx"),
    ],
)
def test_bad_usage_is_exit_2_and_prints_nothing(options: tuple[str, ...], said: str) -> None:
    done = run("check", SHEET, *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert said in done.stderr


@pytest.mark.parametrize("method", ["complex-step", "differences", "taylor", "adjoint"])
def test_every_method_is_told_in_the_report(method: str) -> None:
    done = run("check", SHEET, "--method", method, "--rtol", "1e-6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"method {method}: " in done.stdout


def test_it_fits_a_terminal() -> None:
    assert all(len(line) <= 80 for line in run("check", SHEET).stdout.splitlines())
    assert "verdict: pass" in in_a_terminal("check", SHEET, "--color", "never")


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "report.md"
    assert run("check", SHEET, "--format", "markdown", "-o", str(output)).returncode == 0
    before = output.read_text(encoding="utf-8")
    assert before.startswith("# ")
    assert run("check", SHEET, "-o", str(output)).returncode == 2
    assert output.read_text(encoding="utf-8") == before


def test_set_overrides_a_key() -> None:
    done = run("check", SHEET, "--set", "activation=tanh", "--json")
    assert json.loads(done.stdout)["verdict"] == "pass"


def test_somebody_elses_gradients_are_told_wrong(tmp_path: Path) -> None:
    right = rnngrad.gradients(rnngrad.load(SHEET))
    np.savez(tmp_path / "wrong.npz", dL_dW_hh=2 * np.asarray(right["dL_dW_hh"]))
    done = run("check", SHEET, "--against", str(tmp_path / "wrong.npz"))
    assert done.returncode == 1, done.stdout + done.stderr
    found = rnngrad.check(rnngrad.load(SHEET), {"dL_dW_hh": right["dL_dW_hh"]})
    assert found["verdict"] == "pass"
    assert rnngrad.check(rnngrad.load(SHEET), tmp_path / "wrong.npz")["verdict"] == "fail"


# ------------------------------------------------------------------ the report itself

DIAGNOSED = Checked(
    "dL_dW_hh", Verdict.FAIL, "bptt", 0.25, (0, 1), 0.0321, 0.0642,
    Diagnosis("scaled", "every entry is multiplied by one factor", 3.5e-17, 2, (), factor=2.125),
)  # fmt: skip
SECRETS = ("0.0321", "0.25", "3.5e-17", "2.125", "0.032")


@pytest.mark.parametrize("name", FORMATS)
def test_hidden_leaves_no_number_that_gives_the_reference_back(name: str) -> None:
    hidden, told = (
        report([DIAGNOSED], heading=("h",), hide_expected=hide, of=rnngrad.load(SHEET))
        for hide in (True, False)
    )
    shown = "".join(FORMATS[name](hidden, Screen()))
    assert not [secret for secret in SECRETS if secret in shown]
    assert "scaled" in shown
    assert "0.0642" in shown
    assert "0.0321" in "".join(FORMATS[name](told, Screen()))


def test_a_diagnosis_has_the_contracts_keys() -> None:
    (entry,) = document([DIAGNOSED])["quantities"]  # type: ignore[misc]
    assert list(entry["diagnosis"]) == [
        "bug", "explanation", "rel_error_if_so", "first_wrong_step", "candidates", "factor",
    ]  # fmt: skip
    json.dumps(document([DIAGNOSED._replace(max_rel_error=float("inf"))]), allow_nan=False)
