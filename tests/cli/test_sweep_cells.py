"""``rnngrad sweep`` of gated cells and of several specs, as a user runs it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import rnngrad
from cli.running import ROOT, SHEET, run

SPEC = """\
cell: {cell}
seed: 5
sizes: {{inputs: 2, hidden: 4, outputs: 1}}
weights: {{W_xh: {{init: normal, std: 0.1}}, W_hh: {{init: orthogonal}}, W_hy: {{init: gaussian}}}}
inputs: {{random: normal, steps: 20}}
targets: {{random: normal, steps: 20}}
"""
SCALES = ("--whh-scale", "0.5:8:4")
CELLS = ("rnn", "gru", "lstm")


@pytest.fixture
def specs(tmp_path: Path) -> list[str]:
    """One spec a cell, by its name."""
    paths = [tmp_path / f"{cell}.yaml" for cell in CELLS]
    for path in paths:
        path.write_text(SPEC.format(cell=path.stem))
    return [str(path) for path in paths]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def report_of(*args: str) -> dict[str, Any]:
    done = run("sweep", *args, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


# --- several specs


def test_several_specs_are_what_python_returns(specs: list[str]) -> None:
    report = report_of(*specs, *SCALES, "--seeds", "2")
    assert report == rnngrad.sweep([rnngrad.load(spec) for spec in specs], "0.5:8:4", 2)
    assert list(dict.fromkeys(row["spec"] for row in report["rows"])) == list(CELLS)
    assert [part["spec"] for part in report["parts"]] == list(CELLS)
    assert report["critical_scale"] == report["parts"][0]["critical_scale"]
    first = run("sweep", specs[0], *SCALES, "--seeds", "2", "--json")
    assert json.loads(first.stdout)["critical_scale"] == report["critical_scale"]


def test_the_columns_come_after_those_of_before(specs: list[str]) -> None:
    text = run("sweep", *specs, *SCALES, "-f", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0])[-7:-4] == ["first_nonfinite_step", "spec", "gate"]
    assert list(rows[0])[-4:] == ["checkpoint", "sequence", "version", "hash"]
    assert [row["spec"] for row in rows] == [cell for cell in CELLS for _ in range(4)]
    assert rows[4]["spectral_radius"] == rows[4]["log10_bound"] == ""
    assert rows[0]["spectral_radius"] != ""


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_the_curves_stand_in_one_table(specs: list[str], name: str) -> None:
    text = run("sweep", *specs, *SCALES, "-f", name).stdout
    table = text.replace("\\", "").split("∂s_T/∂s_0")[1].split("Bars show")[0]
    for cell in CELLS:
        ours = [line for line in table.splitlines() if f" {cell} " in f" {line} "]
        assert len(ours) == 4
        assert all("│" in line for line in ours)
    if name == "table":
        assert max(map(len, text.splitlines())) <= 80
        assert text.count("DOES NOT APPLY: it is about") == 2


def test_specs_of_one_name_are_told_apart_by_their_paths(specs: list[str]) -> None:
    report = report_of(specs[1], specs[2], "--whh-scale", "1", "--set", "name=same")
    assert [row["spec"] for row in report["rows"]] == specs[1:]


def test_each_spec_has_its_own_steps(specs: list[str]) -> None:
    longer = Path(specs[1])
    longer.write_text(longer.read_text().replace("steps: 20", "steps: 25"))
    report = report_of(specs[0], specs[1], "--whh-scale", "1")
    assert report["steps"] == [20, 25]
    assert [row["steps"] for row in report["rows"]] == [20, 25]


def test_processes_make_the_same_rows(specs: list[str]) -> None:
    assert report_of(*specs, *SCALES, "--jobs", "2") == report_of(*specs, *SCALES)


def test_the_read_spec_may_be_anywhere_on_the_line(specs: list[str]) -> None:
    expected = report_of(*specs, "--whh-scale", "1")
    assert report_of(specs[0], "--whh-scale", "1", specs[1], "--no-color", specs[2]) == expected


# --- the file of results


def test_a_file_of_several_specs_grows_and_is_resumed(specs: list[str], tmp_path: Path) -> None:
    path, whole = tmp_path / "rows.jsonl", tmp_path / "whole.jsonl"
    assert run("sweep", specs[0], *SCALES, "-o", str(path)).returncode == 0
    done = run("sweep", *specs, *SCALES, "-o", str(path), "--resume")
    assert "12 points, 4 of them from before" in done.stderr
    for cell in CELLS:
        assert f"\n{cell}\n" in done.stdout
    run("sweep", *specs, *SCALES, "-o", str(whole))
    assert sorted(lines(path), key=str) == sorted(lines(whole), key=str)
    path.write_bytes(whole.read_bytes()[:3000])
    kept = path.read_bytes().count(b"\n")
    done = run("sweep", *specs, *SCALES, "-o", str(path), "--resume", "--jobs", "2")
    assert f"12 points, {kept} of them from before" in done.stderr
    assert sorted(lines(path), key=str) == sorted(lines(whole), key=str)


def test_rows_come_back_under_the_name_of_this_run(specs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run("sweep", specs[1], "--whh-scale", "1", "--set", "name=a", "-o", str(path))
    done = run("sweep", specs[1], "--whh-scale", "1,2", "--set", "name=b", "-o", str(path),
               "--resume")  # fmt: skip
    assert "2 points, 1 of them from before" in done.stderr


def test_a_gate_has_rows_of_its_own(specs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    options = ("sweep", specs[2], "--whh-scale", "2", "-o", str(path), "--resume")
    run(*options)
    for gate in ("f", "o"):
        done = run(*options, "--gate", gate)
        assert "1 points, 0 of them from before" in done.stderr
    assert "1 points, 1 of them from before" in run(*options, "--gate", "f").stderr
    rows = lines(path)
    assert [row["gate"] for row in rows] == [None, "f", "o"]
    assert len({row["key"] for row in rows}) == 3
    assert len({row["log10_chain_norm"] for row in rows}) == 3


@pytest.mark.parametrize("change", ["c_0=0.5", "weights.b_h={init: constant, value: 0.1}"])
def test_a_file_of_another_start_or_bias_is_refused(
    specs: list[str], tmp_path: Path, change: str
) -> None:
    path = tmp_path / "rows.jsonl"
    options = ("--whh-scale", "1", "-o", str(path))
    run("sweep", specs[2], *options)
    done = run("sweep", specs[2], "--set", change, *options, "--resume")
    assert done.returncode == 2
    assert "another spec" in done.stderr


# --- bad input


@pytest.mark.parametrize(("options", "words"), [
    (["--gate", "f"], "--gate f: 'rnn' is an rnn and has no gates; gru r, z, n; lstm i, f, g, o"),
    (["--relative-to", "sigma-max"], "--relative-to sigma-max: 'gru' is a gru"),
    (["--activation", "relu"], "--activation relu: 'gru' is a gru, whose activations are fixed"),
    (["--seeds", "0"], "--seeds 0: must be at least 1"),
    (["--set", "cell=rn"], "cell"),
    (["--steps", "x"], "'x' is no number of steps"),
])  # fmt: skip
def test_mistakes(specs: list[str], options: list[str], words: str) -> None:
    done = run("sweep", *specs, "--whh-scale", "1", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_what_is_wrong_with_the_second_spec(specs: list[str], tmp_path: Path) -> None:
    done = run("sweep", specs[0], SHEET, "--whh-scale", "1", "--seeds", "2")
    assert "nothing in 'exercise_sheet_7' is random" in done.stderr
    done = run("sweep", specs[0], specs[0], "--whh-scale", "1")
    assert (done.returncode, done.stderr) == (2, f"'{specs[0]}' is given 2 times; once is enough\n")
    done = run("sweep", specs[0], specs[1], "--whh-scale", "1", "-o", specs[1], "--force",
               "--format", "table")  # fmt: skip
    assert "is the spec itself" in done.stderr
    twin = tmp_path / "twin.yaml"
    twin.write_text(Path(specs[0]).read_text())
    path = tmp_path / "rows.jsonl"
    done = run("sweep", specs[0], str(twin), "--whh-scale", "1", "-o", str(path))
    assert "cannot tell 'rnn' from 'twin': the nets are equal" in done.stderr
    assert not path.exists()


# --- the samples


def test_the_samples_show_why_gates_were_invented() -> None:
    samples = [f"sample_configs/copy_{cell}.yaml" for cell in CELLS]
    report = report_of(*samples, "--whh-scale", "0.25:4:9:log")
    norms: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for row in report["rows"]:
        norms[row["spec"].removeprefix("copy_")].append(row["log10_chain_norm"])
    spans = {cell: max(values) - min(values) for cell, values in norms.items()}
    assert spans["rnn"] > 150 > 40 > max(spans["gru"], spans["lstm"])
    page = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
    table = page.split("| scale of W_hh |")[1].split("\n\n")[0]
    shown = [line.strip("| ").split(" | ")[1:] for line in table.splitlines()[2:]]
    expected = [[f"{norms[c][i]:.1f}".replace("-", "−") for c in CELLS] for i in (0, 2, 4, 6, 8)]
    assert shown == expected


@pytest.mark.parametrize(("layers", "state"), [(1, "h"), (2, "s")])
def test_the_picture_is_of_the_whole_state(layers: int, state: str, tmp_path: Path) -> None:
    """What is scaled in a stack is ∂s_T/∂s_0, as derive says; of one layer of gru that is h."""
    one = "{W_xh: {init: normal}, W_hh: {init: orthogonal}}"
    weights = one if layers == 1 else f"{{layers: [{one}, {one}]}}"
    spec = tmp_path / "net.yaml"
    spec.write_text(
        f"cell: gru\nsizes: {{inputs: 2, hidden: 3}}\nweights: {weights}\n"
        "inputs: {random: normal, steps: 9}\n"
    )
    assert f"‖∂{state}_T/∂{state}_0‖ at T = 9" in run("sweep", str(spec), *SCALES).stdout
