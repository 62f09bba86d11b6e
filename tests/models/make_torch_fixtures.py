"""Writes the fixtures of PyTorch's layout, with PyTorch: run it from the repository's root.

    python tests/models/make_torch_fixtures.py

NAME.safetensors is a state_dict, NAME.grads.safetensors the gradients that PyTorch left under the
same keys, NAME.expected.npz holds in float64 x (T, I), targets (T, O), h (T, H) of the highest
layer, y = fc(h) and the loss Σ (targets − y)². Shapes are the smallest that tell rows, columns,
gates and layers apart: I = 3, H = 4, O = 2, T = 6.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent / "fixtures"
INPUTS, H, OUTPUTS, T = 3, 4, 2, 6


class Net(nn.Module):
    """A recurrent net and a read-out."""

    def __init__(self, rnn: nn.Module, width: int = H) -> None:
        super().__init__()
        self.rnn = rnn
        self.fc = nn.Linear(width, OUTPUTS)

    def forward(self, x: Any) -> tuple[Any, Any]:
        h = self.rnn(x)[0]
        return h, self.fc(h)


class Cells(nn.Module):
    """A cell in a loop, as its outputs."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any) -> tuple[Any]:
        state, out = None, []
        for row in x:
            state = self.cell(row[None], state)
            out.append(state[0][0] if isinstance(state, tuple) else state[0])
        return (torch.stack(out),)


NETS = {
    "rnn": lambda: nn.RNN(INPUTS, H),
    "rnn_relu": lambda: nn.RNN(INPUTS, H, nonlinearity="relu"),
    "gru": lambda: nn.GRU(INPUTS, H),
    "lstm": lambda: nn.LSTM(INPUTS, H),
    "rnn_cell": lambda: Cells(nn.RNNCell(INPUTS, H)),
    "gru_cell": lambda: Cells(nn.GRUCell(INPUTS, H)),
    "lstm_cell": lambda: Cells(nn.LSTMCell(INPUTS, H)),
    "rnn_2": lambda: nn.RNN(INPUTS, H, num_layers=2),
    "gru_2": lambda: nn.GRU(INPUTS, H, num_layers=2),
    "lstm_2": lambda: nn.LSTM(INPUTS, H, num_layers=2),
    "gru_no_bias": lambda: nn.GRU(INPUTS, H, bias=False),
    "lstm_sharded": lambda: nn.LSTM(INPUTS, H, num_layers=2),
    "gru_wrapped": lambda: nn.GRU(INPUTS, H),
    "gru_bfloat16": lambda: nn.GRU(INPUTS, H),
    "lstm_float16": lambda: nn.LSTM(INPUTS, H),
    "lstm_float32": lambda: nn.LSTM(INPUTS, H),
    "gru_bidirectional": lambda: nn.GRU(INPUTS, H, bidirectional=True),
    "lstm_2_bidirectional": lambda: nn.LSTM(INPUTS, H, num_layers=2, bidirectional=True),
    "lstm_projected": lambda: nn.LSTM(INPUTS, H, proj_size=2),
    "lstm_weight_norm": lambda: nn.utils.parametrizations.weight_norm(
        nn.LSTM(INPUTS, H), "weight_hh_l0"
    ),
}
WIDTHS = {"gru_bidirectional": 2 * H, "lstm_2_bidirectional": 2 * H, "lstm_projected": 2}
PREFIXES = {"gru_wrapped": "module._orig_mod.encoder."}
TYPES = {
    "gru_bfloat16": torch.bfloat16,
    "lstm_float16": torch.float16,
    "lstm_float32": torch.float32,
}


def main() -> None:
    """All fixtures, each from its own seed."""
    for seed, (name, make) in enumerate(NETS.items()):
        torch.manual_seed(seed)
        net = Net(make(), WIDTHS.get(name, H)).double()
        low = TYPES.get(name, torch.float64)
        x, targets = torch.randn(T, INPUTS).double(), torch.randn(T, OUTPUTS).double()
        if low is torch.float32:
            net, x, targets = net.float(), x.float().double(), targets
        elif low is not torch.float64:
            net = net.to(low).double()  # the low type rounds the weights, float64 computes
        h, y = net(x.to(next(net.parameters()).dtype))
        loss = ((targets - y) ** 2).sum()
        loss.backward()
        write(name, net, low, {"x": x, "targets": targets, "h": h, "y": y, "loss": loss})


def write(name: str, net: nn.Module, low: Any, expected: dict[str, Any]) -> None:
    """The three files of a net."""
    prefix = PREFIXES.get(name, "")
    state = {prefix + k: v.detach().to(low).contiguous() for k, v in net.state_dict().items()}
    grads = {prefix + k: p.grad.contiguous() for k, p in net.named_parameters()}
    if name == "lstm_sharded":
        shards(name, state)
    else:
        save_file(state, FOLDER / f"{name}.safetensors")
    save_file(grads, FOLDER / f"{name}.grads.safetensors")
    arrays = {k: v.detach().double().numpy() for k, v in expected.items()}
    np.savez_compressed(FOLDER / f"{name}.expected.npz", **arrays)


def shards(name: str, state: dict[str, Any]) -> None:
    """Two files and their index, the layers of one net on either side of the cut."""
    keys = sorted(state)
    halves = {f"{name}-1-of-2.safetensors": keys[::2], f"{name}-2-of-2.safetensors": keys[1::2]}
    for file, chosen in halves.items():
        save_file({key: state[key] for key in chosen}, FOLDER / file)
    places = {key: file for file, chosen in halves.items() for key in chosen}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    text = json.dumps(index, indent=1, sort_keys=True) + "\n"
    (FOLDER / f"{name}.safetensors.index.json").write_text(text)


if __name__ == "__main__":
    main()
