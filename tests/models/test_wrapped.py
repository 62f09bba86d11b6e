"""Prefixes that training frameworks put before keys need not be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file
pytestmark = pytest.mark.torch

BEFORE = {
    "plain": "",
    "lightning": "model.",
    "nested": "state_dict.model.",
    "accelerate and compile": "module._orig_mod.",
    "lightning and compile": "model._orig_mod.",
    "fsdp": "_fsdp_wrapped_module.",
}


@pytest.mark.parametrize("who", BEFORE)
def test_a_spec_for_the_plain_model_reads_the_wrapped_one(who: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, fc = torch.nn.GRU(2, 3).double(), torch.nn.Linear(3, 2).double()
    keys = {**{f"rnn.{n}": p for n, p in net.state_dict().items()},
            **{f"fc.{n}": p for n, p in fc.state_dict().items()}}  # fmt: skip
    save_file({BEFORE[who] + n: p for n, p in keys.items()}, tmp_path / "m.safetensors")
    save_file({n: p + 1 for n, p in keys.items()}, tmp_path / "g.safetensors")
    file = str(tmp_path / "m.safetensors")
    problem = rnngrad.load({
        "weights": {"file": file, "prefix": "rnn.", "W_hy": {"file": file, "key": "fc.weight"},
                    "b_y": {"file": file, "key": "fc.bias"}},
        "inputs": [[1, 2]], "targets": [[0, 1]],
    })  # fmt: skip
    assert np.array_equal(problem.weights["W_hh"], keys["rnn.weight_hh_l0"].numpy())
    assert np.array_equal(problem.weights["W_hy"], keys["fc.weight"].numpy())
    report: Any = rnngrad.check(problem, tmp_path / "g.safetensors")
    names = {one["name"] for one in report["quantities"]}
    assert {"dL_dW_hh", "dL_dW_hy", "dL_db_y"} <= names


def test_two_that_are_alike_are_not_guessed(tmp_path: Path) -> None:
    fc = torch.nn.Linear(3, 2).double()
    both = {f"{before}fc.weight": fc.weight.detach().clone() for before in ("model.", "module.")}
    save_file(both, tmp_path / "m.safetensors")
    weights = {"W_xh": [[1.0]] * 3, "W_hh": np.eye(3),
               "W_hy": {"file": str(tmp_path / "m.safetensors"), "key": "fc.weight"}}  # fmt: skip
    with pytest.raises(rnngrad.SpecError, match=r"has no key 'fc\.weight'"):
        rnngrad.load({"weights": weights, "inputs": [1]})
