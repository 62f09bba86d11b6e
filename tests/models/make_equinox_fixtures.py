"""Writes the fixtures of Equinox's cells, with Equinox: run it from the repository's root.

    python tests/models/make_equinox_fixtures.py

NAME.safetensors holds a model's arrays under the paths of its tree, NAME.expected.npz in float64
x (T, I) and h (T, H), the states after each step. I = 3, H = 4, T = 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox
import jax
import numpy as np
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent / "fixtures"
INPUTS, H, T = 3, 4, 6
CELLS = {"equinox_gru": equinox.nn.GRUCell, "equinox_lstm": equinox.nn.LSTMCell}


class Model(equinox.Module):
    """A cell inside a model, so that its keys have a prefix."""

    cell: Any


def main() -> None:
    """Both fixtures, each from its own seed."""
    jax.config.update("jax_enable_x64", True)
    for seed, (name, cell) in enumerate(CELLS.items()):
        model = Model(cell(INPUTS, H, key=jax.random.key(seed)))
        rng = np.random.default_rng(seed)
        leaves, tree = jax.tree.flatten(model)
        drawn = tree.unflatten([rng.normal(size=leaf.shape, scale=0.6) for leaf in leaves])
        x, h, state = rng.normal(size=(T, INPUTS)), [], np.zeros(H)
        state = (state, state) if name.endswith("lstm") else state
        for row in x:
            state = drawn.cell(row, state)
            h.append(state[0] if isinstance(state, tuple) else state)
        leaves = jax.tree_util.tree_leaves_with_path(drawn)
        arrays = {".".join(step.name for step in path): np.asarray(leaf) for path, leaf in leaves}
        save_file(arrays, FOLDER / f"{name}.safetensors")
        np.savez_compressed(FOLDER / f"{name}.expected.npz", x=x, h=np.stack(h))


if __name__ == "__main__":
    main()
