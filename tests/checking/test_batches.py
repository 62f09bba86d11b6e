"""Checks of a batch: rnngrad's own gradients, and somebody else's, PyTorch's among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from rnngrad import Batch
from rnngrad.analyses.checking import batches
from rnngrad.analyses.checking.batches import check_own_batch
from rnngrad.net.batch_passes import passes

live = pytest.mark.torch
B, T, H = 5, 7, 4


def spec_of(cell: str = "lstm", seed: int = 0, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    biases = ("b_xh", "b_hh") if cell == "gru" else ("b_h",)
    return {
        "cell": cell,
        "weights": {
            "W_xh": 0.5 * rng.normal(size=(gates * H, 3)),
            "W_hh": 0.5 * rng.normal(size=(gates * H, H)),
            **{name: 0.1 * rng.normal(size=gates * H) for name in biases},
            "W_hy": rng.normal(size=(2, H)), "b_y": rng.normal(size=2),
        },
        "batch": "first",
        "inputs": rng.normal(size=(B, T, 3)),
        "targets": rng.normal(size=(B, T, 2)),
    } | more  # fmt: skip


def batch(cell: str = "lstm", **more: Any) -> Batch:
    found = rnngrad.load(spec_of(cell, **more))
    assert isinstance(found, Batch)
    return found


def totals(of: Batch) -> dict[str, np.ndarray]:
    found = rnngrad.gradients(of)
    return {f"dL_d{name}": np.asarray(found[f"dL_d{name}"]) for name in of.net.weights}


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["verdict"] for entry in report["quantities"]}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("lengths", [(T,) * B, (7, 3, 1, 7, 5)])
def test_own(cell: str, lengths: tuple[int, ...]) -> None:
    report = rnngrad.check(batch(cell, lengths=list(lengths), batch_reduction="mean"))
    found = verdicts(report)
    assert set(found.values()) == {"pass"}
    assert {"h", "dL_dh", "dL_dx", "dL_dW_hh", "log10_chain", "dLt_dhk"} <= set(found)


def test_own_sees_a_wrong_total_and_a_wrong_row() -> None:
    """Planted: a sequence left out of one total; a row of one sequence."""
    of = batch(lengths=[7, 3, 1, 7, 5])
    right = passes(of)
    share = rnngrad.gradients(of.sequences[1])["dL_dW_hh"]
    without = right._replace(weights={**right.weights, "W_hh": right.weights["W_hh"] - share})
    (wrong,) = [e for e in check_own_batch(of, together=without) if e.verdict == "fail"]
    assert wrong.name == "dL_dW_hh"
    dL_dx = np.array(right.dL_dx)
    dL_dx[3, 4, 1] *= 1 + 1e-6
    (wrong,) = [
        e for e in check_own_batch(of, together=right._replace(dL_dx=dL_dx)) if e.verdict == "fail"
    ]
    assert (wrong.name, wrong.worst_index) == ("dL_dx", (3, 4, 1))
    assert wrong.worst_entry == "sequence 4, step 5, input 1"


def test_own_of_many_takes_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AFFORDABLE", 1.0)
    of = batch("rnn")
    assert batches.sequences_checked(of) == [0, 2, 4]
    assert {entry.verdict for entry in check_own_batch(of)} == {"pass"}


# ---------------------------------------------------------------------------- PyTorch


def torch_gradients(
    spec: dict[str, Any], lengths: Sequence[int] | None, loss_of: Any, batch_first: bool = True
) -> dict[str, np.ndarray]:
    """What ``loss.backward()`` leaves, by PyTorch's keys, and the gradient of x."""
    torch = pytest.importorskip("torch")
    weights = spec["weights"]
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[spec["cell"]]
    net = kind(3, H, batch_first=batch_first, dtype=torch.float64)
    fc = torch.nn.Linear(H, 2, dtype=torch.float64)
    b_ih = weights.get("b_xh", weights.get("b_h"))
    b_hh = weights.get("b_hh", np.zeros_like(b_ih))
    with torch.no_grad():
        for name, value in (("weight_ih_l0", weights["W_xh"]), ("weight_hh_l0", weights["W_hh"]),
                            ("bias_ih_l0", b_ih), ("bias_hh_l0", b_hh)):  # fmt: skip
            getattr(net, name).copy_(torch.tensor(value))
        fc.weight.copy_(torch.tensor(weights["W_hy"]))
        fc.bias.copy_(torch.tensor(weights["b_y"]))
    x = torch.tensor(spec["inputs"], requires_grad=True)
    target = torch.tensor(spec["targets"])
    if lengths is None:
        hidden, _ = net(x)
    else:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = rnn.pad_packed_sequence(net(packed)[0], batch_first=True, total_length=T)
    loss_of(torch, fc(hidden), target).backward()
    found = {name: value.grad.numpy() for name, value in net.named_parameters()}
    return found | {"W_hy": fc.weight.grad.numpy(), "b_y": fc.bias.grad.numpy(),
                    "x": x.grad.numpy()}  # fmt: skip


def as_contract(found: dict[str, np.ndarray], cell: str) -> dict[str, np.ndarray]:
    first = "b_xh" if cell == "gru" else "b_h"
    names = {"weight_ih_l0": "W_xh", "weight_hh_l0": "W_hh", "bias_ih_l0": first}
    if cell == "gru":
        names["bias_hh_l0"] = "b_hh"
    return {f"dL_d{names.get(key, key)}": value for key, value in found.items()
            if key != "bias_hh_l0" or cell == "gru"}  # fmt: skip


def mean_over_all(torch: Any, y: Any, target: Any) -> Any:
    return torch.nn.functional.mse_loss(y, target)


def last_step(torch: Any, y: Any, target: Any) -> Any:
    return torch.nn.functional.mse_loss(y[:, -1], target[:, -1])


def mean_of_each(lengths: Sequence[int]) -> Any:
    def loss(torch: Any, y: Any, target: Any) -> Any:
        each = [
            torch.nn.functional.mse_loss(y[k, :n], target[k, :n]) for k, n in enumerate(lengths)
        ]
        return sum(each) / len(each)

    return loss


def plain_sum(lengths: Sequence[int]) -> Any:
    def loss(torch: Any, y: Any, target: Any) -> Any:
        return sum(((y[k, :n] - target[k, :n]) ** 2).sum() for k, n in enumerate(lengths))

    return loss


def mean_but_padding(lengths: Sequence[int]) -> Any:
    """As ``ignore_index`` does for classes."""

    def loss(torch: Any, y: Any, target: Any) -> Any:
        kept = [torch.cat([of[k, :n] for k, n in enumerate(lengths)]) for of in (y, target)]
        return torch.nn.functional.mse_loss(*kept)

    return loss


UNEVEN = (7, 3, 1, 7, 5)
MEAN = {"loss": "mean_squared_error", "loss_reduction": "mean", "batch_reduction": "mean"}
CASES = [
    (MEAN, None, mean_over_all),
    (MEAN | {"loss_steps": "last"}, None, last_step),
    (MEAN | {"lengths": list(UNEVEN)}, UNEVEN, mean_of_each(UNEVEN)),
    ({"lengths": list(UNEVEN)}, UNEVEN, plain_sum(UNEVEN)),
    (
        {"loss": "mean_squared_error", "batch_reduction": "mean_of_steps", "lengths": list(UNEVEN)},
        UNEVEN,
        mean_but_padding(UNEVEN),
    ),
]


@live
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("more", "lengths", "loss"), CASES)
def test_pytorch(cell: str, more: dict[str, Any], lengths: Any, loss: Any) -> None:
    """Batches, means, packed sequences: every gradient to 1e-10, and a check that passes."""
    spec = spec_of(cell, **more)
    right = as_contract(torch_gradients(spec, lengths, loss), cell)
    got = rnngrad.gradients(rnngrad.load(spec))
    for name, value in right.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-10, atol=1e-10 * np.abs(value).max())
    report = rnngrad.check(rnngrad.load(spec), right)
    assert report["verdict"] == "pass"
    assert "dL_dx" in verdicts(report)


# ---------------------------------------------------------------------------- what is wrong


SUMS = "loss_reduction: sum, batch_reduction: sum fits"
ONE = "the right one: these numbers are those of"
REDUCTIONS: list[Any] = [
    ({"batch_reduction": "mean"}, {}, 0.2, f"every number is 1/5 of {ONE} the mean over 5 "
     "sequences, the sum over steps; loss_reduction: sum, batch_reduction: mean fits"),
    ({}, {"batch_reduction": "mean"}, 5.0, f"every number is 5 times {ONE} the sum over sequences "
     f"and steps; {SUMS}"),
    (MEAN | {"loss": "squared_error"}, {}, 1 / 35, f"every number is 1/35 of {ONE} the mean over "
     "sequences, steps; loss_reduction: mean, batch_reduction: mean fits"),
    (MEAN, {}, 1 / 70, f"every number is 1/70 of {ONE} the mean over sequences, steps and outputs"),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours", "factor", "words"), REDUCTIONS)
def test_another_reduction_is_named(
    theirs: dict[str, Any], ours: dict[str, Any], factor: float, words: str
) -> None:
    report = rnngrad.check(batch(**ours), totals(batch(**theirs)))
    assert set(verdicts(report).values()) == {"fail"}
    for entry in report["quantities"]:
        assert entry["diagnosis"]["explanation"] == words
        assert entry["diagnosis"]["bug"] == "scaled"
        assert entry["diagnosis"]["factor"] == pytest.approx(factor)


def test_means_of_uneven_lengths_are_no_factor() -> None:
    uneven = {"lengths": [7, 3, 1, 7, 5]}
    report = rnngrad.check(batch(**uneven), totals(batch(**uneven, loss_reduction="mean")))
    for entry in report["quantities"]:
        assert entry["diagnosis"]["bug"] is None
        assert entry["diagnosis"]["explanation"] == (
            "these numbers are those of the sum over sequences, the mean over the steps of each; "
            "loss_reduction: mean, batch_reduction: sum fits"
        )
    over_all = {name: value / 23 for name, value in totals(batch(**uneven)).items()}
    report = rnngrad.check(batch(**uneven), over_all)
    for entry in report["quantities"]:
        assert entry["diagnosis"]["explanation"].endswith(
            "the mean over all 23 losses that count; loss_reduction: sum, batch_reduction: "
            "mean_of_steps fits"
        )
    fits = batch(**uneven, batch_reduction="mean_of_steps")
    assert rnngrad.check(fits, over_all)["verdict"] == "pass"


@pytest.mark.parametrize(("k", "bug"), [(1, None), (4, "overwritten")])
def test_one_sequence_alone_is_named(k: int, bug: str | None) -> None:
    of = batch()
    one = rnngrad.gradients(of.sequences[k])
    report = rnngrad.check(of, {name: one[name] for name in totals(of)})
    for entry in report["quantities"]:
        assert entry["diagnosis"]["bug"] == bug
        assert f"sequence {k + 1} of 5 alone" in entry["diagnosis"]["explanation"]


def test_backward_passes_that_add_up_are_named() -> None:
    """``zero_grad`` left out before the second ``backward``; 0.37 times and 0 are others."""
    of = batch()
    twice = rnngrad.check(of, {name: 2 * array for name, array in totals(of).items()})
    for entry in twice["quantities"]:
        assert entry["diagnosis"]["factor"] == 2
        assert "2 backward passes added up" in entry["diagnosis"]["explanation"]
    other = rnngrad.check(of, {name: 0.37 * array for name, array in totals(of).items()})
    for entry in other["quantities"]:
        assert entry["diagnosis"]["factor"] == pytest.approx(0.37)
        assert "passes added up" not in entry["diagnosis"]["explanation"]
    empty = rnngrad.check(of, {name: 0 * array for name, array in totals(of).items()})
    for entry in empty["quantities"]:
        assert "is it not filled in yet?" in entry["diagnosis"]["explanation"]


def test_a_known_mistake_in_every_sequence() -> None:
    """σ' left out on the way back through time, in each of them."""
    of = batch("rnn")
    weights = of.net.weights
    W_xh, W_hh, W_hy = weights["W_xh"], weights["W_hh"], weights["W_hy"]
    arrays = {"dL_dW_xh": np.zeros_like(W_xh), "dL_dW_hh": np.zeros_like(W_hh)}
    for one in of.sequences:
        found = rnngrad.gradients(one)
        h, back = np.asarray(found["h"]), np.zeros(H)
        for t in range(one.steps, 0, -1):
            back = back + np.asarray(found["dL_dy"])[t - 1] @ W_hy
            at_a = (1 - h[t] ** 2) * back
            arrays["dL_dW_xh"] += np.outer(at_a, one.x[t - 1])
            arrays["dL_dW_hh"] += np.outer(at_a, h[t - 1])
            back = back @ W_hh
    report = rnngrad.check(of, arrays)
    for entry in report["quantities"]:
        assert entry["diagnosis"]["bug"] == "missing-activation-derivative"


def cross(torch: Any, y: Any, target: Any, ignore_index: int = -100) -> Any:
    """Of labels; ``CrossEntropyLoss()`` is a mean."""
    loss = torch.nn.CrossEntropyLoss(ignore_index=ignore_index)
    return loss(y.reshape(-1, 2), target.reshape(-1))


def last_of_all(torch: Any, y: Any, target: Any) -> Any:
    """``out[:, -1]``, whatever the axes of out are."""
    return torch.nn.functional.mse_loss(y[:, -1], target[:, -1])


def zeros_behind(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    for k, n in enumerate(UNEVEN):
        array[k, n:] = 0
    return array


STREAM = np.random.default_rng(7)
PADDED_X, PADDED_Y = (zeros_behind(STREAM.normal(size=(B, T, n))) for n in (3, 2))
CLASSES = STREAM.integers(0, 2, (B, T))
PADDED_LABELS = np.where(PADDED_X.any(axis=2), CLASSES, -100)
OF_CLASSES = {"loss": "cross_entropy", "output_activation": "softmax",
              "batch_reduction": "mean_of_steps"}  # fmt: skip
PADDED = {"inputs": PADDED_X, "targets": PADDED_Y}
OTHER_READINGS: dict[str, Any] = {
    "axes": (MEAN, {}, None, mean_over_all, False, "7 sequences of 5 steps: the other axis"),
    "axes, padded": (OF_CLASSES | {"lengths": list(UNEVEN), "inputs": PADDED_X},
                     {"targets": PADDED_LABELS}, None, cross, False,
                     "7 sequences of 5 steps: the other axis"),
    "axes, last": (MEAN | {"loss_steps": "last"}, {}, None, last_of_all, False,
                   "7 sequences of 5 steps: the other axis"),
    "padding counted": (MEAN | {"lengths": list(UNEVEN)}, PADDED, None, mean_over_all, True,
                        "padding of zeros counted"),
    "the last step of padding": (MEAN | {"loss_steps": "last", "lengths": list(UNEVEN)}, PADDED,
                                 None, None, True, "the last step of padding for the last"),
    "padding left out": ({"loss": "mean_squared_error"}, PADDED, UNEVEN, mean_but_padding(UNEVEN),
                         True, "lengths are 7, 3, 1, 7, 5?"),
    "class 0 ignored": (OF_CLASSES, {"targets": CLASSES}, None,
                        lambda *of: cross(*of, ignore_index=0), True, "ignore_index: 0?"),
    "what is ignored is counted": (OF_CLASSES, {"targets": PADDED_LABELS}, None,
                                   lambda n, y, t: cross(n, y, t.clamp(min=0)), True,
                                   "ignored counted as class 0"),
}  # fmt: skip


@live
@pytest.mark.cases(None)
@pytest.mark.parametrize("case", OTHER_READINGS)
def test_a_batch_read_otherwise_is_named(case: str) -> None:
    """What PyTorch leaves where a layer's axes, padding or labels are not as in the spec."""
    more, arrays, lengths, loss, batch_first, words = OTHER_READINGS[case]
    spec = spec_of("gru", **more, **arrays)
    of: Any = rnngrad.load(spec)

    def of_the_last(torch: Any, y: Any, target: Any) -> Any:
        ends = torch.stack([target[k, n - 1] for k, n in enumerate(UNEVEN)])
        return torch.nn.functional.mse_loss(y[:, -1], ends)

    found = as_contract(torch_gradients(spec, lengths, loss or of_the_last, batch_first), "gru")
    del found["dL_dx"]
    report = rnngrad.check(of, found)
    assert set(verdicts(report).values()) == {"fail"}
    for entry in report["quantities"]:
        assert words in entry["diagnosis"]["explanation"], entry["diagnosis"]["explanation"]
        assert entry["diagnosis"]["rel_error_if_so"] < 1e-9


def test_one_right_total_asks_nothing() -> None:
    of = batch()
    found = totals(of)
    found["dL_dW_hh"] = found["dL_dW_hh"] + 1
    report = rnngrad.check(of, found)
    (wrong,) = [entry for entry in report["quantities"] if entry["verdict"] == "fail"]
    assert wrong["diagnosis"]["explanation"].startswith(
        "no known mistake gives these numbers; in one sequence more is looked for"
    )


def test_the_factor_of_one_array_is_not_the_losss() -> None:
    """Half of W_hh alone is no mean over two outputs, and no missing 2."""
    of = batch("rnn")
    found = totals(of)
    report = rnngrad.check(of, found | {"dL_dW_hh": 0.5 * found["dL_dW_hh"]})
    (wrong,) = [entry for entry in report["quantities"] if entry["verdict"] == "fail"]
    assert wrong["diagnosis"]["bug"] == "scaled"
    assert wrong["diagnosis"]["factor"] == pytest.approx(0.5)
    assert "other gradients are right" in wrong["diagnosis"]["explanation"]


def test_nothing_known_fits() -> None:
    rng = np.random.default_rng(3)
    of = batch()
    report = rnngrad.check(of, {name: rng.normal(size=v.shape) for name, v in totals(of).items()})
    for entry in report["quantities"]:
        words = entry["diagnosis"]["explanation"]
        assert words.startswith("no known mistake gives these numbers, and nothing is right")
        for asked in (
            "another batch",
            "axes",
            "ignore_index",
            "no lengths",
            "activation",
            "loss",
            "optimizer",
        ):
            assert asked in words


@pytest.mark.parametrize("axis", ["first", "second"])
def test_arrays_of_steps(axis: str) -> None:
    """Sequence by sequence, with the sequences where the spec has them."""
    turn = {"first": lambda a: a, "second": lambda a: np.swapaxes(a, 0, 1)}[axis]
    base = spec_of()
    of = rnngrad.load(
        base | {"batch": axis, "inputs": turn(base["inputs"]), "targets": turn(base["targets"])}
    )
    right = rnngrad.gradients(of)
    dL_dh = np.array(right["dL_dh"])
    assert rnngrad.check(of, {"dL_dh": turn(dL_dh), "dL_dh_0": dL_dh[:, 0]})["verdict"] == "pass"
    dL_dh[2, 3, 1] *= 1 + 1e-6
    report = rnngrad.check(of, {"dL_dh": turn(dL_dh)})
    (entry,) = report["quantities"]
    assert entry["verdict"] == "fail"
    assert entry["worst_index"] == ([2, 3, 1] if axis == "first" else [3, 2, 1])
    assert entry["worst_entry"] == "sequence 3, step 3, unit 1"
    (entry,) = rnngrad.check(of, {"dL_dh": dL_dh[:3]})["quantities"]
    shape = "5×8×4" if axis == "first" else "8×5×4"
    assert entry["reason"] == f"its shape is 3×8×4, must be {shape}"


def test_names_and_files(tmp_path: Path) -> None:
    of = batch()
    arrays = totals(of)
    spelled = {"dWxh": arrays["dL_dW_xh"], "loss": rnngrad.gradients(of)["loss"]}
    assert rnngrad.check(of, spelled)["verdict"] == "pass"
    np.savez(tmp_path / "g.npz", **arrays)
    assert rnngrad.check(of, tmp_path / "g.npz")["verdict"] == "pass"
    with pytest.raises(rnngrad.QuantityError, match="no quantity is called 'dL_dV'"):
        rnngrad.check(of, {"dL_dV": arrays["dL_dW_xh"]})


STUDENT = """\
import numpy as np

def loop(weights, inputs, targets, h_0, lengths):
    W, U, b, V, c = (weights[name] for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y"))
    assert inputs.shape == (5, 7, 3) and targets.shape == (5, 7, 2) and h_0.shape == (5, 4)
    found = {"dL_dW_hh": np.zeros_like(U), "dL_dx": np.zeros_like(inputs)}
    for k, n in enumerate(lengths.astype(int)):
        h = [h_0[k]]
        for t in range(n):
            h.append(np.tanh(W @ inputs[k, t] + U @ h[-1] + b))
        back = np.zeros(4)
        for t in range(n, 0, -1):
            back = back - 2 * (targets[k, t - 1] - V @ h[t] - c) @ V
            a = (1 - h[t] ** 2) * back
            found["dL_dW_hh"] += np.outer(a, h[t - 1])
            found["dL_dx"][k, t - 1] = W.T @ a
            back = U.T @ a
    return found
"""


def test_a_function_gets_the_whole_batch(tmp_path: Path) -> None:
    spec = spec_of("rnn")
    np.savez(tmp_path / "a.npz", x=spec["inputs"], y=spec["targets"], **spec["weights"])
    names = ", ".join(f"{n}: {{file: a.npz, key: {n}}}" for n in spec["weights"])
    (tmp_path / "s.yaml").write_text(
        f"batch: first\nlengths: [7, 3, 1, 7, 5]\nweights: {{{names}}}\n"
        "inputs: {file: a.npz, key: x}\ntargets: {file: a.npz, key: y}\n"
    )
    (tmp_path / "f.py").write_text(STUDENT)
    done = run("check", "s.yaml", "--against", "f.py:loop", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "pass", done.stdout + done.stderr
    (tmp_path / "f.py").write_text(
        STUDENT.replace("enumerate(lengths", "enumerate(0 * lengths + 7")
    )
    done = run("check", "s.yaml", "--against", "f.py:loop", "--json", cwd=tmp_path)
    assert done.returncode == 1
    done = run("check", "s.yaml", "--against", "f.py:loop", "--trials", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("'s' is a batch of 5, and --trials takes one sequence")


def test_progress_of_a_sequence_after_the_other() -> None:
    told: list[tuple[float, str]] = []
    check_own_batch(batch("rnn"), progress=lambda *said: told.append(said))
    shares = [fraction for fraction, _ in told]
    assert shares == sorted(shares)
    assert 0.8 < shares[-1] <= 1
    for fraction, what in told:
        number, of = what.removeprefix("sequence ").partition(":")[0].split(" of ")
        assert (int(number) - 1) / int(of) <= fraction <= int(number) / int(of)


@pytest.mark.parametrize("tokens", [False, True])
def test_one_wrong_gate_of_a_batch(tokens: bool) -> None:
    """tanh'(c_t) left out on the way to c_t, in every sequence, by hand; the gradient of an
    embedding that is given too does not keep it from being named."""
    rng = np.random.default_rng(4)
    more: dict[str, Any] = {"lengths": [7, 3, 1, 7, 5]}
    if tokens:
        ids, table = rng.integers(0, 6, (B, T)), rng.normal(size=(6, 3))
        more["inputs"] = {"ids": ids.tolist(), "embedding": table.tolist()}
    of = batch("lstm", **more)
    W = of.net.weights
    made = {f"dL_d{name}": np.zeros_like(W[name]) for name in ("W_xh", "W_hh", "b_h")}
    if tokens:
        made["dembedding"] = np.zeros((6, 3))
    for one in of.sequences:
        found = rnngrad.gradients(one)
        h, dL_dy = np.asarray(found["h"]), np.asarray(found["dL_dy"])
        c = np.zeros_like(h)
        for t in range(1, one.steps + 1):
            a = W["W_xh"] @ one.x[t - 1] + W["W_hh"] @ h[t - 1] + W["b_h"]
            i, f, g, _ = np.split(a, 4)
            c[t] = c[t - 1] / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        dh, dc = np.zeros(H), np.zeros(H)
        for t in range(one.steps, 0, -1):
            a = W["W_xh"] @ one.x[t - 1] + W["W_hh"] @ h[t - 1] + W["b_h"]
            i, f, g, o = np.split(a, 4)
            i, f, o, g = *(1 / (1 + np.exp(-v)) for v in (i, f, o)), np.tanh(g)
            dh = dh + W["W_hy"].T @ dL_dy[t - 1]
            dc = dc + dh * o
            of_gates = (dc * g * i * (1 - i), dc * c[t - 1] * f * (1 - f), dc * i * (1 - g**2))
            da = np.concatenate([*of_gates, dh * np.tanh(c[t]) * o * (1 - o)])
            made["dL_dW_xh"] += np.outer(da, one.x[t - 1])
            made["dL_dW_hh"] += np.outer(da, h[t - 1])
            made["dL_db_h"] += da
            if tokens and one.tokens is not None:
                made["dembedding"][one.tokens.ids[t - 1]] += W["W_xh"].T @ da
            dh, dc = W["W_hh"].T @ da, dc * f
    for entry in rnngrad.check(of, made)["quantities"]:
        assert entry["diagnosis"]["where"]["partial"] == "∂h_t/∂c_t"


def test_another_activation_and_a_loss_left_out() -> None:
    relu = rnngrad.check(batch("rnn"), totals(batch("rnn", activation="relu")))
    for entry in relu["quantities"]:
        assert "activation: relu?" in entry["diagnosis"]["explanation"]
    of = batch("rnn", batch_reduction="mean_of_steps")
    without = {name: array * 0 for name, array in totals(of).items()}
    for one in of.sequences:
        weights = (np.arange(T) > 0) / (B * (T - 1))
        found = rnngrad.gradients(replace(one, loss_weights=weights))
        without = {name: array + found[name] for name, array in without.items()}
    for entry in rnngrad.check(of, without)["quantities"]:
        assert "without the first loss" in entry["diagnosis"]["explanation"]
    clipped = {name: array * 0.25 for name, array in totals(of).items()}
    norm = np.sqrt(sum((array**2).sum() for array in clipped.values()))
    scaled = {name: array / norm * 0.05 for name, array in clipped.items()}
    for entry in rnngrad.check(of, scaled)["quantities"]:
        assert "scaled to norm 0.05" in entry["diagnosis"]["explanation"]
