"""A batch through the commands: totals, a row a sequence, and one of them by ``sequence``."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run

SPEC = """\
cell: gru
batch: first
batch_reduction: mean
seed: 1
sizes: {inputs: 2, hidden: 5, outputs: 1}
weights: {W_xh: {init: xavier_uniform}, W_hh: {init: orthogonal}, W_hy: {init: normal}}
inputs: {random: normal, steps: 12, sequences: 4}
targets: {random: normal}
lengths: [12, 9, 4, 12]
"""
TOTALS = ["dL_dW_xh", "dL_dW_hh", "dL_db_xh", "dL_db_hh", "dL_dW_hy", "dL_db_y"]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "b.yaml"
    path.write_text(SPEC)
    return path


def test_derive_gives_totals_and_a_row_a_sequence(spec: Path) -> None:
    document: dict[str, Any] = json.loads(run("derive", str(spec), "--json").stdout)
    right = rnngrad.gradients(rnngrad.load(spec))
    assert document["loss"] == pytest.approx(right["loss"], rel=1e-14)
    assert list(document["quantities"]) == TOTALS
    for name in TOTALS:
        np.testing.assert_allclose(document["quantities"][name], right[name], rtol=1e-14)
    assert document["derivation"] == []
    assert document["spec"]["lengths"] == [12, 9, 4, 12]
    assert [row["sequence"] for row in document["sequences"]] == [1, 2, 3, 4]
    for row in document["sequences"]:
        one = json.loads(
            run("derive", str(spec), "--json", "--set", f"sequence={row['sequence']}").stdout
        )
        assert row["steps"] == one["spec"]["steps"]
        assert one["spec"]["sequence"] == row["sequence"]
        assert one["loss"] == pytest.approx(document["loss"], rel=1e-14)
        assert row["loss"] == pytest.approx(sum(one["quantities"]["losses"]), rel=1e-14)
        for name in TOTALS:
            np.testing.assert_allclose(one["quantities"][name], right[name], rtol=1e-14)
        assert row["rate"] == pytest.approx(one["gradient_flow"]["rate"], rel=1e-9)
        largest = one["gradient_flow"]["lyapunov"]["exponents"][0]
        assert row["lyapunov_max"] == pytest.approx(largest, rel=1e-9)
        assert row["horizons"] == one["gradient_flow"]["horizons"]
    assert sum(row["loss"] for row in document["sequences"]) == pytest.approx(document["loss"])


def test_a_sweep_of_both_directions_says_theory_once() -> None:
    """And no O: a half has no read-out of its own."""
    path = Path(__file__).parents[2] / "sample_configs" / "bidirectional.yaml"
    text = run("sweep", str(path), "--whh-scale", "1").stdout
    first, second, *_ = text.splitlines()
    assert ("forward" in first, "reverse" in second, "O =" in first) == (True, True, False)
    assert text.count("What theory says of each (") == text.count("What theory says") == 1


def test_derive_tables(spec: Path) -> None:
    text = run("derive", str(spec)).stdout
    assert text.startswith("b: gru, a batch of 4, T = 4 to 12, I = 2, H = 5, O = 1\n")
    assert "the mean over 4 sequences" in text
    steps = ("--set", "batch_reduction=mean_of_steps")
    told = " ".join(run("derive", str(spec), *steps).stdout.split())
    assert "the mean over the 37 losses that count, of all sequences" in told
    assert "\nSequences\n" in text
    assert "Gradients of the parameters, of all sequences" in text
    one = run("derive", str(spec), "--set", "sequence=3").stdout
    assert one.startswith("b: gru, sequence 3 of 4, T = 4,")
    assert re.search(
        r"L = \S+, of all sequences\n\s*Σ L_t over \w+ \S+ of sequence 3 alone = ", one
    )
    assert "Gradients of the parameters, of all sequences" in one
    assert "part of ∂L/∂W_hh of sequence 3 alone" in one
    assert "the sum over the steps of sequence 3 alone, its share of L; dL_dW_xh" in " ".join(
        one.split()
    )
    assert "…" not in one


def test_of_a_chosen_sequence_what_is_saved_passes(spec: Path, tmp_path: Path) -> None:
    """Rows of sequence 3, totals of all: as ``derive`` saves them, and no share for a total."""
    saved = tmp_path / "g.npz"
    run("derive", str(spec), "--set", "sequence=3", "--save", str(saved))
    whole = rnngrad.gradients(rnngrad.load(spec))
    with np.load(saved) as file:
        arrays = dict(file)
    np.testing.assert_allclose(arrays["dL_dW_hh"], whole["dL_dW_hh"], rtol=1e-14)
    assert arrays["dL_dx"].shape == (4, 2)
    found = run("check", str(spec), "--set", "sequence=3", "--against", str(saved))
    assert found.returncode == 0, found.stdout
    assert run("check", str(spec), "--set", "sequence=3").returncode == 0
    chosen = rnngrad.load(spec, overrides=["sequence=3"])
    share = rnngrad.gradients(chosen.alone)
    report = rnngrad.check(chosen, {"dL_dW_hh": share["dL_dW_hh"], "dL_dx": share["dL_dx"]})
    total, rows = report["quantities"]
    assert (total["name"], total["verdict"], rows["verdict"]) == ("dL_dW_hh", "fail", "pass")
    assert "sequence 3" in total["diagnosis"]["explanation"]


def test_totals_are_saved_and_named(spec: Path, tmp_path: Path) -> None:
    saved = tmp_path / "g.npz"
    text = run(
        "derive", str(spec), "--quantity", "dL_db_y", "--format", "csv", "--save", str(saved)
    )
    (row,) = csv.DictReader(io.StringIO(text.stdout))
    assert (row["quantity"], row["t"], row["i"], row["j"]) == ("dL_db_y", "", "0", "")
    with np.load(saved) as arrays:
        assert arrays.files == ["dL_db_y"]
        assert float(row["value"]) == arrays["dL_db_y"][0]
    run("derive", str(spec), "--save", str(saved), "--force")
    with np.load(saved) as arrays:
        assert arrays.files == TOTALS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--step", "2"], "--step looks at one sequence, and 'b' is a batch of 4: --set sequence=k "
                          "chooses it, k from 1 to 4\n"),
        (["--section", "flow"], "--section looks at one sequence"),
        (["--exponents", "2"], "--exponents looks at one sequence"),
        (["--quantity", "dL_dh"], "'dL_dh' belongs to one sequence, and 'b' is a batch of 4: set "
                                  "sequence=k, k from 1 to 4\n"),
        (["--quantity", "dL_dW"], "no quantity is called 'dL_dW'"),
        (["--set", "sequence=5"], "--set:1:10: sequence is 5; the batch has 4 sequences, 1 to 4\n"),
    ],
)  # fmt: skip
def test_what_needs_one_sequence(spec: Path, options: list[str], words: str) -> None:
    found = run("derive", str(spec), *options)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith(words)


def test_no_targets(tmp_path: Path) -> None:
    path = tmp_path / "n.yaml"
    path.write_text(
        "".join(line for line in SPEC.splitlines(keepends=True) if not line.startswith("target"))
    )
    document = json.loads(run("derive", str(path), "--json").stdout)
    assert document["loss"] is None
    assert document["quantities"] == {}
    assert [row["loss"] for row in document["sequences"]] == [None] * 4
    assert "none: there are no targets" in run("derive", str(path)).stdout


def test_more_sequences_than_a_table_holds(spec: Path) -> None:
    many = ["--set", "inputs.sequences=60", "--set", "lengths=" + str([5] * 60)]
    short = run("derive", str(spec), *many).stdout
    assert "\n60 " in short
    assert "\n20 " not in short
    assert "\n20 " in run("derive", str(spec), *many, "--full").stdout


def test_sweep_takes_sequences_as_seeds(spec: Path, tmp_path: Path) -> None:
    even = ["--set", "lengths=[12, 12, 12, 12]", "--set", "cell=rnn", "--whh-scale", "0.5:3:6"]
    document = json.loads(run("sweep", str(spec), *even, "--json").stdout)
    assert [row["sequence"] for row in document["rows"]] == [
        k for k in (1, 2, 3, 4) for _ in range(6)
    ]
    firsts = []
    for k in (1, 2, 3, 4):
        options = [*even, "--set", f"sequence={k}", "--json"]
        one = json.loads(run("sweep", str(spec), *options).stdout)
        ours = [row for row in document["rows"] if row["sequence"] == k]
        for mine, theirs in zip(ours, one["rows"], strict=True):
            assert mine == theirs
        firsts.append(one["critical_scale"]["value"])
    critical = document["critical_scale"]
    assert critical["value"] == pytest.approx(float(np.median(firsts)), rel=1e-12)
    assert (critical["low"], critical["high"]) == pytest.approx((min(firsts), max(firsts)))
    assert (critical["seeds"], critical["seeds_with_one"]) == (4, 4)
    text = run("sweep", str(spec), *even).stdout
    assert "; 4 sequences" in text
    assert "median over sequences" in text
    assert "the median of 4 sequences" in text
    assert "L of a sequence" in text
    assert "L of the batch is the sum over its sequences" in " ".join(text.split())
    whole = json.loads(run("derive", str(spec), *even[:4], "--json").stdout)
    at_one = json.loads(run("sweep", str(spec), *even[:4], "--whh-scale", "1", "--json").stdout)
    assert sum(row["loss"] for row in at_one["rows"]) == pytest.approx(whole["loss"], rel=1e-12)


def test_sweep_of_a_batch_is_resumed(spec: Path, tmp_path: Path) -> None:
    kept = tmp_path / "rows.jsonl"
    options = [str(spec), "--whh-scale", "0.5,1,2", "-o", str(kept), "--seeds", "2"]
    assert run("sweep", *options).returncode == 0
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 3 * 4 * 2
    assert len(set(lines)) == len(lines)
    kept.write_text("".join(lines[:10]))
    assert run("sweep", *options, "--resume").returncode == 0
    assert sorted(kept.read_text().splitlines(keepends=True)) == sorted(lines)
    document = rnngrad.sweep(rnngrad.load(spec), [0.5, 1, 2], seeds=2)
    assert len(document["rows"]) == len(lines)  # type: ignore[arg-type]
