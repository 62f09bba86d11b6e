"""Checks of bidirectional nets: right gradients pass, and whatever is wrong is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from net.test_bidirectional import spec, without_starts
from rnngrad.analyses.checking.bidirectional import check_own_bidirectional
from rnngrad.net import bidirectional


def failing(report: Any) -> dict[str, Any]:
    return {one["name"]: one for one in report["quantities"] if one["verdict"] == "fail"}


@pytest.mark.parametrize(
    ("cell", "method"),
    [("rnn", "complex-step"), ("lstm", "complex-step"), ("rnn", "differences"), ("rnn", "taylor"),
     ("lstm", "adjoint")],
)  # fmt: skip
def test_own_gradients_pass_by_every_method(cell: str, method: str) -> None:
    """Finite steps have a noise floor, and say where they end."""
    checked = check_own_bidirectional(
        rnngrad.load(spec(cell, 2 if method == "complex-step" else 1)), method=method
    )
    may_be = {"pass", "inconclusive"} if method in ("differences", "taylor") else {"pass"}
    assert {one.verdict.value for one in checked} <= may_be
    assert len({one.name for one in checked}) == len(checked)


@pytest.mark.parametrize("depth", [1, 2])
def test_every_array_with_one_wrong_entry_fails(depth: int) -> None:
    problem = rnngrad.load(spec("gru", depth))
    right = rnngrad.derive(problem)
    names = [name for name in right if name.startswith("dL_d") and "dy" not in name]
    assert len(names) > 10
    wrong = {name: right[name].copy() for name in names}
    for array in wrong.values():
        array.flat[np.argmax(np.abs(array))] *= 1 + 1e-6
    checked = {one.name: one for one in check_own_bidirectional(problem, gradients=wrong)}
    assert {name for name in names if checked[name].verdict.value != "fail"} == set()


def _without_the_reverse(problem: Any, upstream: Any) -> Any:
    return GIVEN(problem, upstream * (not problem.half.reverse or problem.half.layer == 1))


GIVEN = bidirectional._with_upstream


@pytest.mark.parametrize(
    ("name", "wrong"), [("_with_upstream", _without_the_reverse)], ids=["upstream"]
)
def test_a_wrong_link_between_the_halves_is_seen(
    name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each half by itself is right then: only the losses of the whole tell."""
    problem = rnngrad.load(spec("rnn", 2))
    assert not failing(rnngrad.check(problem))
    monkeypatch.setattr(bidirectional, name, wrong)
    found = failing(rnngrad.check(problem))
    assert {"dL_dW_hh_reverse.0", "dL_dx"} <= found.keys()
    assert not {"dL_dW_hh.1", "dL_dW_hh_reverse.1", "dL_dW_hh.0", "dL_dW_hy"} & found.keys()


def test_mistakes_are_looked_for_in_their_half() -> None:
    problem = rnngrad.load(spec("rnn", 1))
    given = dict(rnngrad.gradients(problem))
    given["dL_dW_hh_reverse"] = np.asarray(given["dL_dW_hh_reverse"]).T
    given["dL_db_h"] = 2 * np.asarray(given["dL_db_h"])
    found = failing(rnngrad.check(problem, given))
    assert found.keys() == {"dL_dW_hh_reverse", "dL_db_h"}
    assert found["dL_dW_hh_reverse"]["diagnosis"]["bug"] == "transposed"
    assert found["dL_db_h"]["diagnosis"]["bug"] in ("missing-factor-2", "scaled")


def test_one_factor_of_all_arrays_is_told_once_for_both_halves_and_the_read_out() -> None:
    problem = rnngrad.load(spec("rnn", 1))
    right = {n: np.asarray(a) for n, a in rnngrad.gradients(problem).items() if "dL_d" in n}
    right = {n: right[n] for n in ("dL_dW_hh", "dL_dW_hh_reverse", "dL_dW_hy", "dL_db_y")}
    told = [one["diagnosis"] for one in failing(
        rnngrad.check(problem, {n: 7 * a for n, a in right.items()})).values()]  # fmt: skip
    assert len({one["explanation"] for one in told}) == 1 < len(told)
    assert {one["bug"] for one in told} == {"scaled"}
    assert "the factor is T = 7: the sum over steps" in told[0]["explanation"]
    some = right | {n: 7 * right[n] for n in ("dL_dW_hh", "dL_dW_hy")}
    told = [one["diagnosis"] for one in failing(rnngrad.check(problem, some)).values()]
    assert len({one["explanation"] for one in told}) == 1 < len(told)
    assert "other gradients are right" in told[0]["explanation"]


@pytest.mark.parametrize("many", [False, True])
def test_a_gate_of_one_half_is_told(many: bool) -> None:
    """As of a plain net: a block of zeros, or one that is transposed."""
    data = without_starts("lstm", 1)
    if many:
        data |= {n: np.stack([data[n], 2 * data[n][::-1]]) for n in ("inputs", "targets")}
        data["batch"] = "first"
    problem, name = rnngrad.load(data), "dL_dW_hh_reverse"
    given = {n: np.asarray(a) for n, a in rnngrad.gradients(problem).items() if "dL_dW" in n}
    right = given[name]
    n = right.shape[1]
    for words, block in (("gate f: every number is 0", 0 * right[n : 2 * n]),
                         ("gate f: transposed", right[n : 2 * n].T)):  # fmt: skip
        wrong = np.concatenate([right[:n], block, right[2 * n :]])
        found = failing(rnngrad.check(problem, given | {name: wrong}))
        assert words in found[name]["reason"]


def test_mistakes_in_a_batch_are_looked_for_in_their_half() -> None:
    data = without_starts("lstm", 1)
    data |= {n: np.stack([data[n], 2 * data[n][::-1]]) for n in ("inputs", "targets")}
    problem = rnngrad.load({**data, "batch": "first"})
    right = {n: np.asarray(a) for n, a in rnngrad.gradients(problem).items() if "W_hh" in n}
    one, other = "dL_dW_hh", "dL_dW_hh_reverse"
    found = failing(rnngrad.check(problem, {one: right[other], other: right[one]}))
    words = "these are the numbers of the other direction: forward and reverse are swapped"
    assert found[one]["reason"] == found[other]["reason"] == words
    gates = np.split(right[other], 4)
    given = {one: right[one], other: np.concatenate([gates[k] for k in (0, 2, 1, 3)])}
    (entry,) = failing(rnngrad.check(problem, given)).values()
    assert entry["diagnosis"]["bug"] == "gate-order"
    assert entry["reason"] == "the mistake is told of the reverse half, in its own time"


def test_swapped_directions_are_told() -> None:
    problem = rnngrad.load(spec("lstm", 2))
    given = dict(rnngrad.gradients(problem))
    one, other = "dL_dW_hh.1", "dL_dW_hh_reverse.1"
    given[one], given[other] = given[other], given[one]
    found = failing(rnngrad.check(problem, given))
    assert found.keys() == {one, other}
    words = "these are the numbers of the other direction: forward and reverse are swapped"
    assert found[one]["reason"] == found[other]["reason"] == words


def test_relu_at_its_kink_is_inconclusive() -> None:
    data = without_starts("rnn", 1) | {"activation": "relu"}
    W, x = data["weights"]["W_xh_reverse"], data["inputs"]
    data["weights"]["b_h_reverse"] = -W @ x[-1]
    report: Any = rnngrad.check(rnngrad.load(data))
    assert report["verdict"] == "inconclusive"
    assert not failing(report)


FUNCTION = """
import numpy as np

def backward(weights, inputs, targets, h_0, h_0_reverse):
    def walk(way, x, start):
        W, U, b = (weights[n + way] for n in ("W_xh", "W_hh", "b_h"))
        h = [start]
        for row in x:
            h.append(np.tanh(W @ row + U @ h[-1] + b))
        return np.array(h)
    ahead = walk("", inputs, h_0)
    behind = walk("_reverse", inputs[::-1], h_0_reverse)
    both = np.concatenate([ahead[1:], behind[:0:-1]], axis=1)
    da_y = -2 * (targets - both @ weights["W_hy"].T - weights["b_y"])
    found = {"dL_dW_hy": da_y.T @ both, "dL_db_y": da_y.sum(axis=0)}
    down, n = da_y @ weights["W_hy"], len(h_0)
    for way, h, u, x in (("", ahead, down[:, :n], inputs),
                         ("_reverse", behind, down[::-1, n:], inputs[::-1])):
        U, dh = weights["W_hh" + way], np.zeros(n)
        found |= {"dL_dW_xh" + way: 0, "dL_dW_hh" + way: 0, "dL_db_h" + way: 0}
        for t in range(len(x), 0, -1):
            da = (dh + u[t - 1]) * (1 - h[t] ** 2)
            found["dL_dW_xh" + way] += np.outer(da, x[t - 1])
            found["dL_dW_hh" + way] += np.outer(da, h[t - 1])
            found["dL_db_h" + way] += da
            dh = da @ U
    return found
"""


def test_a_function_is_given_both_directions(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FUNCTION)
    data = spec("rnn", 1)
    np.savez(tmp_path / "x.npz", **data["weights"],
             **{n: data[n] for n in ("inputs", "targets", "h_0", "h_0_reverse")})  # fmt: skip
    lines = ["direction: both", "weights:"]
    lines += [f"  {n}: {{file: x.npz, key: {n}}}" for n in data["weights"]]
    lines += [
        f"{n}: {{file: x.npz, key: {n}}}" for n in ("inputs", "targets", "h_0", "h_0_reverse")
    ]
    (tmp_path / "net.yaml").write_text("\n".join(lines) + "\n")
    done = run("check", "net.yaml", "--against", "mine.py:backward", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("pass") >= 8
    (tmp_path / "mine.py").write_text(FUNCTION.replace("down[::-1, n:]", "down[:, n:]"))
    done = run("check", "net.yaml", "--against", "mine.py:backward", cwd=tmp_path)
    assert done.returncode == 1
    assert "dL_dW_hh_reverse" in done.stdout


def test_one_unit_typed_as_a_flat_list(tmp_path: Path) -> None:
    lines = ["direction: both",
             "weights: {W_xh: 1, W_hh: 0.5, W_xh_reverse: 1, W_hh_reverse: -0.5}",
             "inputs: [1, 0.5, 2]", "upstream: [[1, 0], [0, 1], [1, 1]]"]  # fmt: skip
    (tmp_path / "net.yaml").write_text("\n".join(lines) + "\n")
    right = rnngrad.derive(rnngrad.load(tmp_path / "net.yaml"))["dL_dh_reverse"].ravel()
    for factor, code in ((1.0, 0), (-1.0, 1)):
        (tmp_path / "mine.json").write_text(
            f'{{"dL_dh_reverse": {list(map(float, factor * right))}}}'
        )
        done = run("check", "net.yaml", "--against", "mine.json", cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
    assert "reverse half" in done.stdout
