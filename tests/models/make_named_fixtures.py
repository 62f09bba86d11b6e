"""Writes the fixtures of Flax's, Haiku's and MLX's cells, with them: run it from the repository's
root, in an environment with flax, dm-haiku and mlx[cpu], which the tests do not need.

    python tests/models/make_named_fixtures.py

named/NAME.npz holds a net's parameters as people flatten them, linen_gru.msgpack and
linen_lstm.msgpack as flax.serialization writes them, chunks.msgpack and bfloat16.msgpack the gru's
in chunks of 64 bytes and in bfloat16, named/expected.npz x (T, I) and for
every NAME the h (T, H) that the framework computes: in float64, MLX's in float32. I = 3, H = 4,
T = 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as linen
import haiku
import jax
import jax.numpy as jnp
import mlx.core
import mlx.nn
import numpy as np
from flax import nnx, serialization
from flax.traverse_util import flatten_dict, unflatten_dict

FOLDER = Path(__file__).parent / "fixtures" / "named"
INPUTS, H, T = 3, 4, 6
LINEN = {"lstm": linen.LSTMCell, "lstm_optimized": linen.OptimizedLSTMCell, "gru": linen.GRUCell,
         "rnn": linen.SimpleCell}  # fmt: skip
NNX = {"lstm": nnx.LSTMCell, "lstm_optimized": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell,
       "rnn": nnx.SimpleCell}  # fmt: skip
HAIKU = {"lstm": haiku.LSTM, "gru": haiku.GRU, "rnn": haiku.VanillaRNN}
MLX = {"lstm": mlx.nn.LSTM, "gru": mlx.nn.GRU, "rnn": mlx.nn.RNN}


def drawn(tree: Any, seed: int) -> Any:
    """The same tree with every number, biases too, drawn."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.6)), tree)


def of_linen(cell: Any, x: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            h = linen.RNN(cell(H, param_dtype=jnp.float64))(x)
            return h, linen.Dense(2, name="head", param_dtype=jnp.float64)(h)

    net, batch = Net(), jnp.asarray(x)[None]
    parameters = drawn(net.init(jax.random.key(0), batch), seed)
    flat = {"/".join(path): np.asarray(a) for path, a in flatten_dict(parameters).items()}
    return flat, net.apply(parameters, batch)[0][0]


def of_nnx(cell: Any, x: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    more = {"dtype": jnp.float64} if cell is nnx.SimpleCell else {}
    net = nnx.RNN(cell(INPUTS, H, rngs=nnx.Rngs(0), param_dtype=jnp.float64, **more))
    nnx.update(net, drawn(nnx.state(net, nnx.Param), seed))
    flat = nnx.to_flat_state(nnx.state(net, nnx.Param))
    return (
        {".".join(map(str, path)): np.asarray(a.get_value()) for path, a in flat},
        net(jnp.asarray(x)[None])[0],
    )


def of_haiku(cell: Any, x: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    def run(x: Any) -> Any:
        core = cell(H)
        h, _ = haiku.dynamic_unroll(core, x, core.initial_state(None))
        return h, haiku.Linear(2, name="head")(h)

    net = haiku.without_apply_rng(haiku.transform(run))
    parameters = drawn(net.init(jax.random.key(0), jnp.asarray(x)), seed)
    flat = {f"{m}/{n}": np.asarray(a) for m, own in parameters.items() for n, a in own.items()}
    return flat, net.apply(parameters, jnp.asarray(x))[0]


def of_mlx(cell: Any, x: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    class Net(mlx.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = cell(INPUTS, H)
            self.fc = mlx.nn.Linear(H, 2)

    mlx.core.random.seed(seed)
    net = Net()
    net.save_weights(str(FOLDER / "mlx.npz"))
    with np.load(FOLDER / "mlx.npz") as stored:
        flat = dict(stored)
    (FOLDER / "mlx.npz").unlink()
    h = net.rnn(mlx.core.array(x.astype(np.float32)))
    return flat, np.asarray(h[0] if isinstance(h, tuple) else h)


def serialized(flat: dict[str, np.ndarray], chunk: int = 2**30) -> bytes:
    """As ``flax.serialization.to_bytes`` writes the parameters, and with a step of training."""
    tree = unflatten_dict({tuple(key.split("/")): array for key, array in flat.items()})
    serialization.MAX_CHUNK_SIZE = chunk
    return bytes(serialization.to_bytes({**tree, "step": 100}))


def main() -> None:
    """All fixtures, each from its own seed."""
    jax.config.update("jax_enable_x64", True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).normal(size=(T, INPUTS))
    expected = {"x": x}
    every = (("linen", of_linen, LINEN), ("nnx", of_nnx, NNX), ("haiku", of_haiku, HAIKU),
             ("mlx", of_mlx, MLX))  # fmt: skip
    seed = 0
    for framework, make, cells in every:
        for name, cell in cells.items():
            seed += 1
            flat, h = make(cell, x, seed)
            np.savez(FOLDER / f"{framework}_{name}.npz", **flat)
            expected[f"{framework}_{name}"] = np.asarray(h)
            if framework == "linen" and name in ("gru", "lstm"):
                (FOLDER / f"linen_{name}.msgpack").write_bytes(serialized(flat))
            if (framework, name) == ("linen", "gru"):
                (FOLDER / "chunks.msgpack").write_bytes(serialized(flat, 64))
                half = {key: jnp.asarray(array, jnp.bfloat16) for key, array in flat.items()}
                (FOLDER / "bfloat16.msgpack").write_bytes(serialized(half))
    np.savez(FOLDER / "expected.npz", **expected)


if __name__ == "__main__":
    main()
