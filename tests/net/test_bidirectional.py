"""Bidirectional layers against PyTorch, and against complex step through a plain forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run as run_cli
from oracles.cells import run
from oracles.compare import wrong_rows

T, INPUTS, H, OUT = 7, 3, 4, 2
CELLS = ("rnn", "gru", "lstm")
BIASES = {"rnn": {"b_h": 1}, "gru": {"b_xh": 3, "b_hh": 3}, "lstm": {"b_h": 4}}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def spec(cell: str, depth: int, **more: Any) -> dict[str, Any]:
    """A net with everything in it, starts too; both directions in one layer's mapping."""
    draw, gates = np.random.default_rng(depth), GATES[cell]

    def some(*shape: int) -> np.ndarray:
        return draw.normal(scale=0.6, size=shape)

    layers = []
    for at in range(depth):
        inputs = 2 * H if at else INPUTS
        layers.append({
            name + way: array
            for way in ("", "_reverse")
            for name, array in {
                "W_xh": some(gates * H, inputs), "W_hh": some(gates * H, H),
                **{bias: some(n * H) for bias, n in BIASES[cell].items()},
            }.items()
        })  # fmt: skip
    starts = {f"{part}_0{way}": some(depth * H) for way in ("", "_reverse")
              for part in ("h", "c")[: 1 + (cell == "lstm")]}  # fmt: skip
    head = {"W_hy": some(OUT, 2 * H), "b_y": some(OUT)}
    whole = {"weights": {"layers": layers, **head}} if depth > 1 else {"weights": layers[0] | head}
    return {
        "cell": cell, "direction": "both", **whole, **starts,
        "inputs": some(T, INPUTS), "targets": some(T, OUT), **more,
    }  # fmt: skip


def layers_of(data: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    weights = data["weights"]
    return weights.get("layers") or [{n: W for n, W in weights.items() if n not in ("W_hy", "b_y")}]


def by_torch(data: dict[str, Any]) -> dict[str, np.ndarray]:
    """Outputs and every gradient of PyTorch's, by rnngrad's names."""
    torch = pytest.importorskip("torch")
    cell, layers = data["cell"], layers_of(data)
    made = getattr(torch.nn, cell.upper())(INPUTS, H, len(layers), bidirectional=True).double()
    keys = {"weight_ih": "W_xh", "weight_hh": "W_hh",
            "bias_ih": "b_xh" if cell == "gru" else "b_h", "bias_hh": "b_hh"}  # fmt: skip
    names = {}
    with torch.no_grad():
        for at, layer in enumerate(layers):
            for way in ("", "_reverse"):
                for key, name in keys.items():
                    parameter = getattr(made, f"{key}_l{at}{way}")
                    given = layer.get(name + way)
                    parameter.copy_(torch.zeros(()) if given is None else torch.tensor(given))
                    end = f".{at}" if len(layers) > 1 else ""
                    names[f"dL_d{name}{way}{end}"] = parameter
    names = {n: p for n, p in names.items() if cell == "gru" or "b_hh" not in n}

    def leaf(name: str) -> Any:
        rows = [data[name].reshape(-1, H), data[f"{name}_reverse"].reshape(-1, H)]
        both = np.stack(rows, axis=1).reshape(-1, H)  # PyTorch: layer by layer, both directions
        return torch.tensor(both, requires_grad=True)

    x = torch.tensor(data["inputs"], requires_grad=True)
    W_hy, b_y = (torch.tensor(data["weights"][n], requires_grad=True) for n in ("W_hy", "b_y"))
    starts = {n: leaf(n) for n in ("h_0", "c_0")[: 1 + (cell == "lstm")]}
    begins = tuple(starts.values())
    h, _ = made(x, begins if cell == "lstm" else begins[0])
    h.retain_grad()
    y = h @ W_hy.T + b_y
    losses = ((torch.tensor(data["targets"]) - y) ** 2).sum(dim=1)
    losses.sum().backward()
    found = {"y": y, "losses": losses}
    found |= {n: p.grad for n, p in names.items()}
    found |= {"dL_dW_hy": W_hy.grad, "dL_db_y": b_y.grad, "dL_dx": x.grad, "dLt_dht": h.grad}
    for name, start in starts.items():
        found[f"dL_d{name}"] = start.grad[::2].ravel()
        found[f"dL_d{name}_reverse"] = start.grad[1::2].ravel()
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


@pytest.mark.torch
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_and_every_gradient_are_pytorchs(cell: str, depth: int) -> None:
    data = spec(cell, depth)
    result = rnngrad.derive(rnngrad.load(data))
    expected = by_torch(data)
    assert len(expected) == 6 + depth * 2 * (2 + len(BIASES[cell])) + 2 * (1 + (cell == "lstm"))
    assert not wrong_rows({name: result[name] for name in expected}, expected)


def loss(data: dict[str, Any]) -> Any:
    """L by the oracle's cells, in whatever numbers; starts are 0."""
    rows = data["inputs"]
    for layer in layers_of(data):
        ahead, behind = (
            run(data["cell"], [{n.removesuffix("_reverse"): W for n, W in layer.items()
                                if n.endswith("_reverse") == turned}], rows[::-1 if turned else 1])
            for turned in (False, True)
        )  # fmt: skip
        rows = np.concatenate([ahead, behind[::-1]], axis=1)
    y = rows @ data["weights"]["W_hy"].T + data["weights"]["b_y"]
    return np.sum((data["targets"] - y) ** 2)


def without_starts(cell: str, depth: int) -> dict[str, Any]:
    return {key: value for key, value in spec(cell, depth).items() if "_0" not in key}


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_a_complex_step(cell: str, depth: int) -> None:
    data = without_starts(cell, depth)
    got = rnngrad.gradients(rnngrad.load(data))
    assert np.isclose(got["loss"], loss(data), rtol=1e-13)
    places = [("x", data, "inputs"), ("W_hy", data["weights"], "W_hy")]
    for at, layer in enumerate(layers_of(data)):
        end = f".{at}" if depth > 1 else ""
        places += [(name + end, layer, name) for name in layer]
    for name, holder, key in places:
        kept = holder[key]
        expected = np.zeros(kept.shape)
        for index in list(np.ndindex(kept.shape))[:: 5 if kept.ndim > 1 else 1]:
            holder[key] = kept.astype(complex)
            holder[key][index] += 1e-30j
            expected[index] = loss(data).imag / 1e-30
        holder[key] = kept
        seen = expected != 0
        assert np.allclose(got[f"dL_d{name}"][seen], expected[seen], rtol=1e-9), name


def test_states_and_chains_stand_in_the_time_of_the_sequence() -> None:
    data = without_starts("rnn", 1)
    problem = rnngrad.load(data)
    result = rnngrad.derive(problem)
    W, x = data["weights"], data["inputs"]
    h = {T + 1: np.zeros(H)}
    for t in range(T, 0, -1):
        a = W["W_xh_reverse"] @ x[t - 1] + W["W_hh_reverse"] @ h[t + 1] + W["b_h_reverse"]
        h[t] = np.tanh(a)
    assert np.allclose(result["h_reverse"], [h[t] for t in range(1, T + 2)], rtol=1e-13)
    product, chain = np.eye(H), {1: 0.0}
    for t in range(1, T + 1):  # ∂h_1/∂h_{t+1} = ∂h_1/∂h_t · diag(1 − h_t²) W_hh_reverse
        product = product @ (np.diag(1 - h[t] ** 2) @ W["W_hh_reverse"])
        chain[t + 1] = np.log10(np.linalg.norm(product, 2))
    expected = [chain[t] for t in range(1, T + 2)]
    assert np.allclose(result["log10_chain_reverse"], expected, atol=1e-9)
    half = rnngrad.load({**data, "half": "reverse"})
    alone = rnngrad.derive(half)
    assert np.array_equal(alone["log10_chain"][::-1], result["log10_chain_reverse"])
    assert np.array_equal(alone["dL_dW_hh"], result["dL_dW_hh_reverse"])
    assert np.array_equal(alone["dL_dh"][::-1], result["dL_dh_reverse"])


@pytest.mark.parametrize("loss_steps", ["last", [2, 3]])
def test_losses_that_count_at_some_steps(loss_steps: Any) -> None:
    """The reverse half still gets a gradient at all steps behind those."""
    data = spec("gru", 2, loss_steps=loss_steps)
    report: Any = rnngrad.check(rnngrad.load(data))
    assert report["verdict"] == "pass"


def test_a_cell_of_ones_own_and_upstream() -> None:
    cell = {"equations": ["z_t = σ(W_xz x_t + U_z h_{t-1})",
                          "h_t = (1 - z_t) ∘ h_{t-1} + z_t ∘ tanh(W_xn x_t + b_n)"]}  # fmt: skip
    draw = np.random.default_rng(3)
    shapes = {"W_xz": (H, INPUTS), "U_z": (H, H), "W_xn": (H, INPUTS), "b_n": (H,)}
    weights = {name + way: draw.normal(size=shape)
               for way in ("", "_reverse") for name, shape in shapes.items()}  # fmt: skip
    data = {"cell": cell, "direction": "both", "weights": weights,
            "inputs": draw.normal(size=(T, INPUTS)),
            "upstream": draw.normal(size=(T, 2 * H))}  # fmt: skip
    problem = rnngrad.load(data)
    report: Any = rnngrad.check(problem)
    assert report["verdict"] == "pass"
    names = {one["name"] for one in report["quantities"]}
    assert {"dL_dU_z_reverse", "dL_db_n", "log10_chain_reverse", "dL_dx"} <= names
    assert rnngrad.derive(problem).loss is None


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_sweep_scales_both_directions_of_all_layers(scale: float) -> None:
    data = spec("lstm", 2, name="net")
    report: Any = rnngrad.sweep(rnngrad.load(data), [scale])
    rates = {row["spec"]: row["rate"] for row in report["rows"]}
    for layer in data["weights"]["layers"]:
        for name in ("W_hh", "W_hh_reverse"):
            layer[name] = scale * layer[name]
    result = rnngrad.derive(rnngrad.load(data))
    for name, half in result.halves.items():
        assert np.isclose(rates[f"net, {name}"], half["growth_rate"], rtol=1e-9)


def test_seeds_and_lengths_of_a_sweep() -> None:
    data = {
        "name": "net", "direction": "both", "sizes": {"inputs": INPUTS, "hidden": H},
        "weights": {n: {"init": "gaussian"} for n in
                    ("W_xh", "W_hh", "W_xh_reverse", "W_hh_reverse")},
        "inputs": {"random": "normal", "steps": 12},
    }  # fmt: skip
    report: Any = rnngrad.sweep(rnngrad.load(data), [1.0], seeds=2, steps=[6, 20])
    for row in report["rows"]:
        other = {**data, "seed": row["seed"], "half": row["spec"].removeprefix("net, "),
                 "inputs": {"random": "normal", "steps": max(row["steps"], 12)}}  # fmt: skip
        if row["steps"] == 6:
            whole = rnngrad.load({k: v for k, v in other.items() if k != "half"})
            other["inputs"] = np.array(whole.net.x[:6])
        expected = rnngrad.derive(rnngrad.load(other))["growth_rate"]
        assert np.isclose(row["rate"], expected, rtol=1e-9)


def test_a_column_of_single_numbers_is_headed_by_their_symbol(tmp_path: Path) -> None:
    weights = {name + way: 0.5 for way in ("", "_reverse") for name in ("W_xh", "W_hh")}
    lines = ["direction: both", f"weights: {weights | {'W_hy': [[1, -1]]}}",
             "inputs: [[1], [2]]", "targets: [[3], [4]]"]  # fmt: skip
    (tmp_path / "net.yaml").write_text("\n".join(lines) + "\n")
    shown = run_cli("derive", "net.yaml", cwd=tmp_path).stdout
    head = shown.partition("Gradients step by step\n")[2].partition("\n")[0].split()
    assert head == ["t", "∂L/∂y_t", "∂L/∂h_t", "∂L/∂h_reverse_t", "∂L/∂x_t"]
