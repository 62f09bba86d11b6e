"""Gates kept as separate arrays: one parameter from several keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import run

CELLS = {"lstm": "ifgo", "gru": "rzn"}
INPUTS, H = 2, 3


def _file(folder: Path, gates: str) -> dict[str, np.ndarray]:
    stream = np.random.default_rng(1)
    arrays = {f"U_{gate}": stream.normal(size=(H, H)) for gate in gates}
    arrays |= {f"W_{gate}": stream.normal(size=(INPUTS, H)) for gate in gates}  # transposed
    arrays |= {f"b_{gate}": stream.normal(size=H) for gate in gates}
    np.savez(folder / "m.npz", **arrays)
    return arrays


@pytest.mark.parametrize("cell", CELLS)
def test_they_stand_below_each_other_in_the_order_of_the_cell(cell: str, tmp_path: Path) -> None:
    gates = CELLS[cell]
    arrays = _file(tmp_path, gates)
    file = str(tmp_path / "m.npz")
    backwards = gates[::-1]  # the order in the spec says nothing

    def of(name: str, turned: bool = False) -> dict[str, object]:
        return {"file": file, "gates": {g: f"{name}_{g}" + ".T" * turned for g in backwards}}

    bias = "b_h" if cell == "lstm" else "b_xh"
    weights = {"W_xh": of("W", turned=True), "W_hh": of("U"), bias: of("b")}
    problem = rnngrad.load({"cell": cell, "weights": weights, "inputs": [[1, 2]]})
    assert np.array_equal(
        problem.weights["W_xh"], np.concatenate([arrays[f"W_{g}"].T for g in gates])
    )
    assert np.array_equal(
        problem.weights["W_hh"], np.concatenate([arrays[f"U_{g}"] for g in gates])
    )
    assert np.array_equal(problem.weights[bias], np.concatenate([arrays[f"b_{g}"] for g in gates]))


MISTAKES = {
    "{file: m.npz, gates: {i: U_i, f: U_f, c: U_g, o: U_o}}": (
        "2:38", "weights.W_hh.gates names i, f, c and o, must name i, f, g and o"),
    "{file: m.npz, gates: {i: U_i, f: U_f, g: W_g, o: U_o}}": ("2:38", "the gates differ in shape"),
    "{file: m.npz, gates: {i: U_i, f: U_f, g: U_x, o: U_o}}": (
        "2:17", "W_hh, gate g: m.npz has no key 'U_x'"),
    "{file: m.npz, key: U_i, gates: {i: U_i}}": ("2:36", "has key and gates, must have one of"),
    "{file: m.npz, gates: [U_i]}": ("2:38", "must be a mapping from each gate to a key"),
}  # fmt: skip


@pytest.mark.parametrize("source", MISTAKES)
def test_a_mistake_is_told_with_its_place(source: str, tmp_path: Path) -> None:
    _file(tmp_path, "ifgo")
    text = f"cell: lstm\nweights: {{W_hh: {source}, W_xh: {{init: normal}}}}\ninputs: [[1, 2]]\n"
    (tmp_path / "net.yaml").write_text(text)
    done = run("derive", "net.yaml", cwd=tmp_path)
    place, words = MISTAKES[source]
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert f"net.yaml:{place.partition(':')[0]}:" in done.stderr


def test_what_has_no_gates_takes_none(tmp_path: Path) -> None:
    _file(tmp_path, "ifgo")
    weights = "{W_hh: {file: m.npz, gates: {h: U_i}}, W_xh: {init: normal}}"
    (tmp_path / "net.yaml").write_text(f"weights: {weights}\ninputs: [[1, 2]]\n")
    done = run("derive", "net.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "W_hh is no stack of gates" in done.stderr
