"""``sweep --checkpoints``: trained files of one net beside each other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from rnngrad.files.specification.checkpoints import in_order

INPUTS, H, OUTPUTS = 2, 3, 2
SPEC = """\
weights:
  file: model.npz
  layout: torch
  W_hy: {file: model.npz, key: fc.weight}
inputs: {random: normal, steps: 12}
targets: {random: normal}
"""


def _saved(path: Path, scale: float, hidden: int = H) -> None:
    stream = np.random.default_rng(1)
    np.savez(path, **{
        "rnn.weight_ih_l0": stream.normal(size=(hidden, INPUTS)),
        "rnn.weight_hh_l0": scale * stream.normal(size=(hidden, hidden)),
        "fc.weight": scale * stream.normal(size=(OUTPUTS, hidden)),
    })  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "net.yaml").write_text(SPEC)
    for epoch, scale in ((1, 0.2), (2, 0.5), (10, 1.0)):
        _saved(tmp_path / "run" / f"epoch={epoch}.npz", scale)
    return tmp_path


def test_another_file_of_the_weights_is_that_of_the_read_out_too(folder: Path) -> None:
    """The read-out has the new file; but where it is set first, its own."""
    (folder / "model.npz").write_bytes((folder / "run" / "epoch=1.npz").read_bytes())
    new, old = "weights.file=run/epoch=10.npz", "weights.W_hy.file=model.npz"
    text = SPEC.replace("model.npz", "run/epoch=10.npz")
    (folder / "ten.yaml").write_text(text)
    right = rnngrad.load(folder / "ten.yaml")
    got = rnngrad.load(folder / "net.yaml", overrides=[new])
    np.testing.assert_array_equal(got.weights["W_hy"], right.weights["W_hy"])
    for order in ([new, old], [old, new]):
        mixed = rnngrad.load(folder / "net.yaml", overrides=order)
        np.testing.assert_array_equal(mixed.weights["W_hh"], right.weights["W_hh"])
        assert (mixed.weights["W_hy"] != right.weights["W_hy"]).any()
    for command in ("derive", "check"):
        said = run(command, "net.yaml", "--set", new, cwd=folder).stderr
        assert "note: assumed: of the new weights.file too: weights.W_hy" in said


def test_sequences_of_several_lengths_are_pooled(folder: Path) -> None:
    """A row a file with the median over its sequences, and one picture of the training."""
    text = SPEC.replace("steps: 12}", "steps: 12, sequences: 3}\nbatch: first\nlengths: [12, 5, 8]")
    (folder / "net.yaml").write_text(text)
    done = _sweep(folder, "--plot", "s.svg")
    assert done.returncode == 0, done.stderr
    assert "T = 5 to 12, tanh, median over sequences" in done.stdout
    rows = [line.split()[:4] for line in done.stdout.splitlines() if line.startswith("epoch=")]
    found = _rows(folder)
    assert [row[0] for row in rows] == 2 * ["epoch=1", "epoch=2", "epoch=10"]
    for name, _, norm, rate in rows[:3]:
        mine = [row for row in found if row["checkpoint"] == f"{name}.npz"]
        assert sorted(row["steps"] for row in mine) == [5, 8, 12]
        assert float(rate) == pytest.approx(np.median([row["rate"] for row in mine]), abs=5e-5)
        norms = np.median([row["log10_chain_norm"] for row in mine])
        assert float(norm) == pytest.approx(norms, abs=5e-5)
    drawn = (folder / "s.svg").read_text()
    assert "Growth rate against the training" in drawn
    assert "all sequences" in drawn
    shown = _sweep(folder, "--steps", "3,4").stdout  # the same sequences twice
    assert "epoch=1 tanh T=3" in shown
    assert "epoch=10 tanh T=4" in shown


def _sweep(folder: Path, *more: str) -> Any:
    return run("sweep", "net.yaml", "--checkpoints", "run/*.npz", *more, cwd=folder)


def _rows(folder: Path, *more: str) -> list[dict[str, Any]]:
    done = _sweep(folder, "--json", *more)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def test_one_file_has_its_table_too(folder: Path) -> None:
    for other in (folder / "run").glob("epoch=1*.npz"):
        other.unlink()
    shown = _sweep(folder).stdout
    assert "net, 1 checkpoint:" in shown
    assert "regime" in shown


def test_a_row_is_derive_of_the_spec_with_that_file(folder: Path) -> None:
    rows = _rows(folder)
    names = ["epoch=1.npz", "epoch=2.npz", "epoch=10.npz"]
    assert [row["checkpoint"] for row in rows] == names
    assert {row["scale"] for row in rows} == {1.0}
    for row in rows:
        text = SPEC.replace("model.npz", f"run/{row['checkpoint']}")
        (folder / "one.yaml").write_text(text)
        result = rnngrad.derive(rnngrad.load(folder / "one.yaml"))
        assert row["loss"] == pytest.approx(result.loss, rel=1e-14)
        assert row["log10_chain_norm"] == pytest.approx(result["log10_chain"][0], rel=1e-12)
        norm = np.linalg.norm(result["dL_dW_hh"])
        assert row["norm_dL_dW_hh"] == pytest.approx(norm, rel=1e-12)
    assert len({row["loss"] for row in rows}) == 3  # the read-out is of the file too


def test_the_specs_own_file_need_not_be_there(folder: Path) -> None:
    assert not (folder / "model.npz").exists()
    assert run("derive", "net.yaml", cwd=folder).returncode == 2


def test_scales_and_seeds_go_with_it(folder: Path) -> None:
    rows = _rows(folder, "--whh-scale", "0.5,1", "--seeds", "2", "--steps", "20")
    assert len(rows) == 12
    assert {row["checkpoint"] for row in rows} == {f"epoch={n}.npz" for n in (1, 2, 10)}
    assert {row["steps"] for row in rows} == {20}


def test_a_file_of_another_net_is_named_and_the_others_are_done(folder: Path) -> None:
    _saved(folder / "run" / "epoch=3.npz", 1.0, hidden=5)
    (folder / "run" / "epoch=4.npz").write_bytes(b"PK no zip")
    done = _sweep(folder)
    assert done.returncode == 0
    words = " ".join(done.stderr.split())
    assert "epoch=3.npz is left out: another net, its W_xh is 5×2, that of the others 3×2" in words
    assert "run/epoch=4.npz is left out: " in words
    assert "net, 3 checkpoints: sweep of an rnn" in done.stdout or "3 checkpoints" in done.stdout
    assert "epoch=3" not in done.stdout


def test_resuming_computes_the_new_file_alone(folder: Path) -> None:
    assert _sweep(folder, "-o", "rows.jsonl").returncode == 0
    before = (folder / "rows.jsonl").read_text().splitlines()
    _saved(folder / "run" / "epoch=11.npz", 1.5)
    done = _sweep(folder, "-o", "rows.jsonl", "--resume")
    assert "4 points, 3 of them from before" in done.stderr
    after = (folder / "rows.jsonl").read_text().splitlines()
    assert after[:3] == before
    assert json.loads(after[3])["checkpoint"] == "epoch=11.npz"
    shown = run("show", "rows.jsonl", cwd=folder)
    assert shown.returncode == 0
    assert "epoch=11" in shown.stdout


def test_two_equal_files_are_two_rows(folder: Path) -> None:
    (folder / "run" / "last.npz").write_bytes((folder / "run" / "epoch=10.npz").read_bytes())
    assert _sweep(folder, "-o", "rows.jsonl").returncode == 0
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert [row["checkpoint"] for row in rows][-2:] == ["epoch=10.npz", "last.npz"]
    assert rows[-1]["loss"] == rows[-2]["loss"]


def test_rows_of_before_that_column_are_still_read(folder: Path) -> None:
    assert _sweep(folder, "-o", "rows.jsonl").returncode == 0
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for line in lines:
        del line["checkpoint"], line["hash"]
    (folder / "old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("show", "old.jsonl", cwd=folder).returncode == 0


def test_csv_has_the_column_behind_those_of_every_sweep(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(_sweep(folder, "--format", "csv").stdout)))
    assert list(rows[0])[-4:] == ["checkpoint", "sequence", "version", "hash"]
    assert [row["checkpoint"] for row in rows] == ["epoch=1.npz", "epoch=2.npz", "epoch=10.npz"]


def test_processes_make_the_same_rows(folder: Path) -> None:
    assert _rows(folder, "--jobs", "2") == _rows(folder)


def test_a_batch_has_a_row_for_each_sequence_and_file(folder: Path) -> None:
    text = SPEC.replace("steps: 12}", "steps: 12, sequences: 2}\nbatch: first")
    (folder / "net.yaml").write_text(text)
    rows = _rows(folder)
    names = ["epoch=1.npz", "epoch=2.npz", "epoch=10.npz"]
    assert sorted({row["checkpoint"] for row in rows}) == sorted(names)
    assert len(rows) == 2 * len(names)
    assert len({row["loss"] for row in rows}) == 2 * len(names)
    assert _sweep(folder, "-o", "rows.jsonl").returncode == 0


def test_files_go_by_their_numbers() -> None:
    names = ["a/last.npz", "a/e=2-s=10.npz", "a/e=10-s=1.npz", "a/e=2-s=9.npz", "a/best.npz"]
    assert in_order(names) == [
        "a/e=2-s=9.npz", "a/e=2-s=10.npz", "a/e=10-s=1.npz", "a/best.npz", "a/last.npz",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "more", "words"), [
    (SPEC, ["--checkpoints", "gone/*.npz"], "--checkpoints 'gone/*.npz': no file is called so"),
    ("weights: {W_xh: 1, W_hh: 1}\ninputs: [1]\n", ["--checkpoints", "run/*.npz"],
     "--checkpoints: weights name no file"),
    (SPEC, [], "missing option '--whh-scale' (or '--checkpoints')"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(folder: Path, text: str, more: list[str], words: str) -> None:
    (folder / "net.yaml").write_text(text)
    done = run("sweep", "net.yaml", *more, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
