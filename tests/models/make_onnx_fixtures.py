"""Writes the fixtures of PyTorch's newer ONNX exporter: run it from the repository's root.

    python tests/models/make_onnx_fixtures.py        # needs torch and onnxscript

NAME.onnx is the model; NAME.expected.npz holds x (T, I) and h (T, H), the highest layer's states.
I = 3, H = 4, T = 5.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

FOLDER = Path(__file__).parent / "fixtures"
INPUTS, H, T = 3, 4, 5
NETS = {
    "exported_lstm_2": lambda: torch.nn.LSTM(INPUTS, H, num_layers=2),
    "exported_gru_2": lambda: torch.nn.GRU(INPUTS, H, num_layers=2, batch_first=True),
    "exported_rnn": lambda: torch.nn.RNN(INPUTS, H),
}


def main() -> None:
    """Each model from its own seed, its metadata left out."""
    for seed, (name, make) in enumerate(NETS.items()):
        torch.manual_seed(seed)
        net = make().eval()
        x = torch.randn(1, T, INPUTS) if net.batch_first else torch.randn(T, 1, INPUTS)
        path = FOLDER / f"{name}.onnx"
        torch.onnx.export(net, (x,), path, dynamo=True, external_data=False)
        model = onnx.load(path)
        for node in model.graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
            del value.metadata_props[:]
        del model.metadata_props[:]
        onnx.save(model, path)
        h = net(x)[0].detach().numpy().reshape(T, H)
        np.savez_compressed(FOLDER / f"{name}.expected.npz", x=x.numpy().reshape(T, INPUTS), h=h)


if __name__ == "__main__":
    main()
