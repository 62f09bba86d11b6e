"""Batches of bidirectional layers against PyTorch, packed where lengths differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows
from rnngrad.analyses.checking.batches import check_own_batch
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.net.batch_passes import passes

B, T, INPUTS, H, OUT = 3, 5, 2, 3, 2
LENGTHS = [3, 5, 4]
NAMES = {"weight_ih": "W_xh", "weight_hh": "W_hh", "bias_ih": "b_h", "bias_hh": "b_hh"}


def spec(depth: int = 1, axis: str = "first", **more: Any) -> dict[str, Any]:
    """A batch of lstm in both directions; what stands after a sequence's end is no zero."""
    draw = np.random.default_rng(depth)

    def some(*shape: int) -> np.ndarray:
        return draw.normal(scale=0.6, size=shape)

    layers = [
        {
            name + way: some(*shape)
            for way in ("", "_reverse")
            for name, shape in {
                "W_xh": (4 * H, 2 * H if at else INPUTS), "W_hh": (4 * H, H), "b_h": (4 * H,),
            }.items()
        }
        for at in range(depth)
    ]  # fmt: skip
    head = {"W_hy": some(OUT, 2 * H), "b_y": some(OUT)}
    weights = {"layers": layers, **head} if depth > 1 else layers[0] | head
    starts = {f"{part}_0{way}": some(B, depth * H) for part in "hc" for way in ("", "_reverse")}
    x, y = some(B, T, INPUTS), some(B, T, OUT)
    if axis == "second":
        x, y = x.swapaxes(0, 1).copy(), y.swapaxes(0, 1).copy()
    return {"cell": "lstm", "direction": "both", "batch": axis, "weights": weights, **starts,
            "inputs": x, "targets": y, **more}  # fmt: skip


def by_torch(data: dict[str, Any]) -> dict[str, np.ndarray]:
    """L, and every gradient that PyTorch leaves, by rnngrad's names; arrays in order (B, T, ·)."""
    torch = pytest.importorskip("torch")
    weights = data["weights"]
    layers = weights.get("layers") or [weights]
    made = torch.nn.LSTM(INPUTS, H, len(layers), batch_first=True, bidirectional=True).double()
    names = {}
    with torch.no_grad():
        for at, layer in enumerate(layers):
            for way in ("", "_reverse"):
                for key, name in NAMES.items():
                    parameter = getattr(made, f"{key}_l{at}{way}")
                    given = layer.get(name + way, np.zeros(4 * H))
                    parameter.copy_(torch.tensor(given))
                    if name != "b_hh":
                        names[f"dL_d{name}{way}{f'.{at}' if len(layers) > 1 else ''}"] = parameter
    first = data["batch"] == "first"
    x, targets = (data[name] if first else data[name].swapaxes(0, 1)
                  for name in ("inputs", "targets"))  # fmt: skip
    x = torch.tensor(x.copy(), requires_grad=True)
    starts = []
    for part in "hc":
        rows = [data[f"{part}_0{way}"].reshape(B, -1, H) for way in ("", "_reverse")]
        both = np.stack(rows, axis=2).reshape(B, -1, H).swapaxes(0, 1).copy()
        starts.append(torch.tensor(both, requires_grad=True))
    lengths = data.get("lengths", [T] * B)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    h, _ = torch.nn.utils.rnn.pad_packed_sequence(made(packed, tuple(starts))[0], batch_first=True)
    W_hy, b_y = (torch.tensor(weights[n], requires_grad=True) for n in ("W_hy", "b_y"))
    square = (torch.tensor(targets.copy()) - h @ W_hy.T - b_y) ** 2
    rows = [square[k, :length].sum(dim=1) for k, length in enumerate(lengths)]
    loss = sum(row.sum() for row in rows)
    loss = (
        loss
        / {"sum": 1, "mean": B, "mean_of_steps": sum(lengths)}[data.get("batch_reduction", "sum")]
    )
    loss.backward()
    found = {"loss": loss, "dL_dx": x.grad, "dL_dW_hy": W_hy.grad, "dL_db_y": b_y.grad}
    found |= {name: parameter.grad for name, parameter in names.items()}
    arrays = {name: tensor.detach().numpy() for name, tensor in found.items()}
    if not first:
        arrays["dL_dx"] = arrays["dL_dx"].swapaxes(0, 1)
    for part, start in zip("hc", starts, strict=True):
        for i, way in enumerate(("", "_reverse")):
            arrays[f"dL_d{part}_0{way}"] = (
                start.grad[i::2].numpy().swapaxes(0, 1).reshape(B, -1).copy()
            )
    return arrays


CASES = [
    (1, "first", {}),
    (1, "second", {"lengths": LENGTHS, "batch_reduction": "mean"}),
    (2, "first", {"lengths": LENGTHS, "batch_reduction": "mean_of_steps"}),
]


@pytest.mark.torch
@pytest.mark.parametrize(("depth", "axis", "more"), CASES)
def test_every_gradient_is_pytorchs(depth: int, axis: str, more: dict[str, Any]) -> None:
    data = spec(depth, axis, **more)
    problem, expected = rnngrad.load(data), by_torch(data)
    got = dict(rnngrad.gradients(problem))
    assert len(expected) == 4 + depth * 6 + 4
    if axis == "second":
        got["dL_dx"] = got["dL_dx"].swapaxes(0, 1)
    for part in "hc":
        got[f"dL_d{part}_0"] = got[f"dL_d{part}"][:, 0]
        ends = data.get("lengths", [T] * B)
        rows = got[f"dL_d{part}_reverse"]
        got[f"dL_d{part}_0_reverse"] = np.stack([rows[k, n] for k, n in enumerate(ends)])
    assert not wrong_rows({n: np.atleast_1d(got[n]) for n in expected},
                          {n: np.atleast_1d(a) for n, a in expected.items()})  # fmt: skip
    report: Any = rnngrad.check(problem, expected)
    assert report["verdict"] == "pass", report
    result = rnngrad.derive(problem)
    assert np.isclose(result.loss, expected["loss"], rtol=1e-12)
    assert np.allclose(result["dL_dW_hy"], expected["dL_dW_hy"], rtol=1e-10)
    if depth == 1:
        wrong = {n: a.copy() for n, a in expected.items()}
        wrong["dL_dW_hh_reverse"][1, 2] *= 1.001
        wrong["dL_dc_0_reverse"][2, 1] += 1e-3
        told: Any = rnngrad.check(problem, wrong)["quantities"]
        assert {one["name"] for one in told if one["verdict"] == "fail"} == {
            "dL_dW_hh_reverse", "dL_dc_0_reverse"
        }  # fmt: skip


@pytest.mark.torch
def test_a_mean_taken_for_a_sum_is_told() -> None:
    data = spec(lengths=LENGTHS)
    other = by_torch({**data, "batch_reduction": "mean"})
    given = {n: other[n] for n in ("dL_dW_hh", "dL_dW_hh_reverse", "dL_db_y")}
    report: Any = rnngrad.check(rnngrad.load(data), given)
    told = report["quantities"][0]["diagnosis"]
    assert report["verdict"] == "fail"
    assert "the mean over 3 sequences" in told["explanation"]


def test_a_sequence_is_that_of_its_own_length() -> None:
    """A reverse half begins at the sequence's own end; L and ∂L/∂W are the batch's."""
    data = spec(lengths=LENGTHS)
    whole = rnngrad.gradients(rnngrad.load(data))
    total = np.zeros((4 * H, H))
    for k, n in enumerate(LENGTHS):
        alone = {key: value for key, value in data.items() if key not in ("batch", "lengths")}
        alone |= {name: data[name][k, :n] for name in ("inputs", "targets")}
        alone |= {name: data[name][k] for name in data if "_0" in name}
        own = rnngrad.gradients(rnngrad.load(alone))
        total += own["dL_dW_hh_reverse"]
        for name in ("y", "h_reverse", "dL_dh_reverse", "dL_dx", "losses"):
            stop = n + (name in ("h_reverse", "dL_dh_reverse"))
            assert np.array_equal(whole[name][k, :stop], own[name]), name
            assert not whole[name][k, stop:].any()
        chosen = rnngrad.load({**data, "sequence": k + 1})
        result, got = rnngrad.derive(chosen), rnngrad.gradients(chosen)
        assert np.array_equal(result["dL_dx"], own["dL_dx"])
        assert np.array_equal(got["dL_dh_reverse"], own["dL_dh_reverse"])
        for one in (result["dL_dW_hh_reverse"], got["dL_dW_hh_reverse"]):
            assert np.array_equal(one, whole["dL_dW_hh_reverse"])
        assert result.loss == got["loss"] == whole["loss"]
        assert rnngrad.check(chosen, got | {"dL_dx": own["dL_dx"]})["verdict"] == "pass"
    assert np.allclose(total, whole["dL_dW_hh_reverse"], rtol=1e-12)


@pytest.mark.parametrize("more", [{}, {"sequence": 2}, {"half": "reverse"},
                                  {"half": "forward", "sequence": 3}])  # fmt: skip
def test_own_gradients_are_proved(more: dict[str, Any]) -> None:
    problem = rnngrad.load(spec(lengths=LENGTHS, **more))
    report: Any = rnngrad.check(problem)
    assert report["verdict"] == "pass"
    found = {one["name"]: one for one in report["quantities"]}
    assert "dL_dW_hh_reverse" in found or "half" in more
    assert "dL_dW_hh" in found


def test_a_mistake_in_a_total_is_found() -> None:
    """One that a single sequence does not have."""
    problem = rnngrad.load(spec(lengths=LENGTHS))
    right = passes(problem)
    weights = {**right.weights, "W_hh_reverse": right.weights["W_hh_reverse"] * (1 + 1e-7)}
    entries = check_own_batch(problem, together=right._replace(weights=weights))
    wrong = {entry.name for entry in entries if entry.verdict is Verdict.FAIL}
    assert wrong == {"dL_dW_hh_reverse"}


def test_a_half_of_a_batch_is_a_batch() -> None:
    whole = rnngrad.gradients(rnngrad.load(spec(lengths=LENGTHS)))
    half = rnngrad.gradients(rnngrad.load(spec(lengths=LENGTHS, half="reverse")))
    assert np.allclose(half["dL_dW_hh"], whole["dL_dW_hh_reverse"], rtol=1e-12)
    one = rnngrad.load(spec(lengths=LENGTHS, half="reverse", sequence=1))
    assert np.allclose(rnngrad.derive(one)["dL_dW_hh"], whole["dL_dW_hh_reverse"], rtol=1e-12)


def test_a_sweep_takes_each_half_of_all_sequences() -> None:
    data = spec(name="net", lengths=LENGTHS)
    rows: Any = rnngrad.sweep(rnngrad.load(data), [1.0])["rows"]
    assert len(rows) == 2 * B
    for name in ("forward", "reverse"):
        rates = sorted(row["rate"] for row in rows if row["spec"] == f"net, {name}")
        every = (rnngrad.derive(rnngrad.load({**data, "half": name, "sequence": k}))
                 for k in range(1, B + 1))  # fmt: skip
        assert np.allclose(rates, sorted(one["growth_rate"] for one in every), rtol=1e-9)


def test_tokens_labels_and_a_dense_layer() -> None:
    draw = np.random.default_rng(4)
    ids, labels = draw.integers(0, 5, size=(B, T)), draw.integers(0, OUT, size=(B, T))
    weights = {"W_in": draw.normal(size=(4, INPUTS)), "W_hy": draw.normal(size=(OUT, 2 * H))}
    weights |= {name + way: draw.normal(size=shape) for way in ("", "_reverse")
                for name, shape in {"W_xh": (H, 4), "W_hh": (H, H)}.items()}  # fmt: skip
    data = {
        "direction": "both", "batch": "first", "lengths": LENGTHS, "weights": weights,
        "inputs": {"ids": ids, "embedding": draw.normal(size=(5, INPUTS))}, "targets": labels,
        "loss": "cross_entropy", "output_activation": "softmax", "input_activation": "tanh",
    }  # fmt: skip
    problem = rnngrad.load(data)
    result = rnngrad.derive(problem)
    alone = [rnngrad.derive(one) for one in problem.each]
    for name in ("dL_dembedding", "dL_dW_in", "dL_dW_hh_reverse"):
        assert np.allclose(result[name], sum(one[name] for one in alone), rtol=1e-12)
        assert result[name].any()
    assert rnngrad.check(problem)["verdict"] == "pass"


def test_derive_has_totals_and_a_row_a_sequence(tmp_path: Path) -> None:
    data = spec(lengths=LENGTHS)
    lists = {key: value.tolist() if isinstance(value, np.ndarray) else value
             for key, value in data.items() if key != "weights"}  # fmt: skip
    lists["weights"] = {name: array.tolist() for name, array in data["weights"].items()}
    (tmp_path / "net.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lists.items()))
    done = run("derive", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bidirectional lstm, a batch of 3, T = 3 to 5, I = 2, H = 2·3, O = 2" in done.stdout
    rows = done.stdout.partition("Sequences\n")[2].splitlines()
    assert rows[0].split() == ["k", "T", "L_k", "rate", "forward", "rate", "reverse"]
    assert [row.split()[:2] for row in rows[2:5]] == [["1", "3"], ["2", "5"], ["3", "4"]]
    assert "W_hh_reverse" in done.stdout.partition("Gradients of the parameters")[2]
    document = json.loads(run("derive", "net.yaml", "--json", cwd=tmp_path).stdout)
    assert [one["steps"] for one in document["sequences"]] == LENGTHS
    assert np.isclose(sum(one["loss"] for one in document["sequences"]), document["loss"])
    shown = run("derive", "net.yaml", "--set", "sequence=1", cwd=tmp_path).stdout
    assert shown.startswith("net: bidirectional lstm, sequence 1 of 3, T = 3, ")
    whole = rnngrad.gradients(rnngrad.load(data))
    norm = np.sqrt(sum(np.sum(whole[f"dL_d{name}"] ** 2) for name in data["weights"]))
    said = shown.partition("‖∂L/∂W‖")[2].split()[0].rstrip(",")
    assert np.isclose(float(said), norm, rtol=1e-5)
    done = run("derive", "net.yaml", "--explain", "a6", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "half: NAME" in done.stderr.replace("\n", " ")
    (tmp_path / "own.py").write_text(OWN)
    for more in ([], ["--set", "sequence=2"]):
        done = run("check", "net.yaml", *more, "--against", "own.py:of_b_y", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    run("derive", "net.yaml", "--save", "own.npz", cwd=tmp_path)
    done = run("check", "net.yaml", "--against", "own.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("check", "net.yaml", cwd=tmp_path).returncode == 0
    done = run("check", "net.yaml", "--trials", "2", "--against", "own.npz", cwd=tmp_path)
    assert done.returncode == 2


OWN = """
import numpy as np

def step(W, x, h, c, way):
    a, H = W["W_xh" + way] @ x + W["W_hh" + way] @ h + W["b_h" + way], len(h)
    i, f, g, o = (a[k * H : (k + 1) * H] for k in range(4))
    s = lambda v: 1 / (1 + np.exp(-v))
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(c), c

def of_b_y(weights, inputs, targets, h_0, c_0, h_0_reverse, c_0_reverse, lengths=None):
    if lengths is None:
        inputs, targets, lengths = inputs[None], targets[None], [len(inputs)]
        h_0, c_0 = h_0[None], c_0[None]
        h_0_reverse, c_0_reverse = h_0_reverse[None], c_0_reverse[None]
    total = 0
    for k, n in enumerate(int(n) for n in lengths):
        ahead, behind = [], []
        for rows, out, h, c, way in ((inputs[k, :n], ahead, h_0[k], c_0[k], ""),
                                     (inputs[k, :n][::-1], behind, h_0_reverse[k],
                                      c_0_reverse[k], "_reverse")):
            for x in rows:
                h, c = step(weights, x, h, c, way)
                out.append(h)
        seen = np.concatenate([ahead, behind[::-1]], axis=1)
        y = seen @ weights["W_hy"].T + weights["b_y"]
        total = total + 2 * (y - targets[k, :n]).sum(axis=0)
    return {"dL_db_y": total}
"""


@pytest.mark.torch
def test_a_module_of_pytorchs_and_its_batch() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)

    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(6, INPUTS)
            self.rnn = torch.nn.GRU(INPUTS, H, 2, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(2 * H, OUT)

        def forward(self, ids: Any) -> Any:
            return self.head(self.rnn(self.embed(ids))[0])

    model = Tagger().double()
    ids, labels = torch.randint(0, 6, (B, T)), torch.randint(0, OUT, (B, T))
    scores = model(ids)
    torch.nn.CrossEntropyLoss()(scores.reshape(-1, OUT), labels.reshape(-1)).backward()
    problem = rnngrad.from_torch(model, ids, labels, loss=torch.nn.CrossEntropyLoss())
    given = {name: parameter.grad for name, parameter in model.named_parameters()}
    report: Any = rnngrad.check(problem, given)
    assert report["verdict"] == "pass", report
    given["rnn.weight_hh_l1_reverse"] = given["rnn.weight_hh_l1_reverse"] + 1e-6
    assert rnngrad.check(problem, given)["verdict"] == "fail"
