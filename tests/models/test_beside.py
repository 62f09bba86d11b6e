"""What stands beside a net's weights in PyTorch's layout: read as what it is, or refused by name.

The files are of the kinds that people have: Equinox's cells, cells with more in them, weights in
parts, wrappers, optimizers. None is read in part without a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.test_torch import FIXTURES, contents, distance, expected, saved, state
from oracles.cells import run
from rnngrad.files.models import Found, ModelFileError, choose, read_model


def own(net: Found, x: np.ndarray) -> np.ndarray:
    return run(net.cell, [layer.parameters for layer in net.layers], x)


def cell(gates: int = 4, **more: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    """A cell of 3 inputs and 4 units under PyTorch's names, and more keys; None leaves one out."""
    rows = 4 * gates
    shapes: dict[str, tuple[int, ...] | None] = {
        "weight_ih": (rows, 3), "weight_hh": (rows, 4), "bias_ih": (rows,), "bias_hh": (rows,),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    return {k: rng.normal(size=s) for k, s in (shapes | more).items() if s is not None}


def under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + key: array for key, array in arrays.items()}


# ---------------------------------------------------------------------------- Equinox


@pytest.mark.parametrize(("name", "kind"), [("equinox_gru", "gru"), ("equinox_lstm", "lstm")])
def test_equinoxs_cells_are_its_own(name: str, kind: str) -> None:
    """The states that Equinox computed; ``make_equinox_fixtures.py`` wrote them."""
    net = choose(contents(name), None)
    truth = expected(name)
    assert (net.cell, net.key, net.assumed) == (kind, "cell.", ())
    assert distance(own(net, truth["x"]), truth["h"]) < 1e-12


def test_equinoxs_biases_go_where_they_belong() -> None:
    from safetensors.numpy import load_file

    arrays = load_file(FIXTURES / "equinox_gru.safetensors")
    (layer,) = choose(contents("equinox_gru"), None).layers
    np.testing.assert_array_equal(layer.parameters["b_xh"], arrays["cell.bias"])
    wanted = np.concatenate([np.zeros(8), arrays["cell.bias_n"]])
    np.testing.assert_array_equal(layer.parameters["b_hh"], wanted)


@pytest.mark.parametrize(
    ("gates", "more", "words"),
    [
        (3, {"bias": (12,)}, r"\[bias\] is a gru's only bias: bias_n is missing"),
        (3, {"bias": (12,), "bias_n": (3,)}, r"\[bias_n\] is 3, must be 4"),
        (4, {"bias": (12,)}, r"\[bias\] is 12, must be 16"),
        (4, {"bias": (16,), "bias_n": (4,)}, r"\[bias_n\] belongs to the gate n of a gru"),
        (3, {"bias_n": (4,)}, r"\[bias_n\] belongs to the gate n of a gru with bias"),
    ],
)
def test_biases_that_are_not_equinoxs(
    tmp_path: Path, gates: int, more: dict[str, tuple[int, ...]], words: str
) -> None:
    arrays = cell(gates, bias_ih=None, bias_hh=None, **more)
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(saved(tmp_path, arrays)), None)


def test_a_bias_beside_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"\[bias\] is a bias more, beside bias_ih and bias"):
        choose(read_model(saved(tmp_path, cell(bias=(16,)))), None)


# ---------------------------------------------------------------------------- weights in parts


def test_weight_norm_is_computed() -> None:
    """``parametrizations.weight_hh_l0.original0`` and ``1``, against PyTorch's own outputs."""
    net = choose(contents("lstm_weight_norm"), None)
    truth = expected("lstm_weight_norm")
    assert net.key == "rnn."
    assert distance(own(net, truth["x"]), truth["h"]) < 1e-12


MATRICES = ("weight_ih", "weight_hh")


def normed(nn: Any, module: Any, name: str) -> Any:
    return nn.utils.weight_norm(module, name)


def normed_whole(nn: Any, module: Any, name: str) -> Any:
    return nn.utils.weight_norm(module, name, dim=None)


def normed_columns(nn: Any, module: Any, name: str) -> Any:
    return nn.utils.parametrizations.weight_norm(module, name, dim=1)


def pruned(nn: Any, module: Any, name: str) -> Any:
    import torch.nn.utils.prune as prune

    return prune.l1_unstructured(module, name, amount=0.4)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("way", "name"),
    [
        *((way, name) for way in (normed, normed_whole, pruned) for name in MATRICES),
        (normed_columns, "weight_hh"),
        (pruned, "bias_ih"),
    ],
)
@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_parts_are_what_pytorch_makes_of_them(
    tmp_path: Path, way: Callable[..., Any], name: str, kind: str
) -> None:
    torch = pytest.importorskip("torch", reason="live PyTorch: pip install '.[peers]'")
    from safetensors.torch import save_file

    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = way(torch.nn, getattr(torch.nn, kind)(3, 4).double(), name)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(1.7)  # g is no longer the norm of v
        x = torch.randn(5, 3).double()
        h, state = [], None
        for row in x:
            state = made(row[None], state)
            h.append((state[0] if kind == "LSTMCell" else state)[0])
    save_file({k: v.contiguous() for k, v in made.state_dict().items()}, tmp_path / "c.safetensors")
    assert name not in made.state_dict()
    net = choose(read_model(tmp_path / "c.safetensors"), None)
    assert distance(own(net, x.numpy()), torch.stack(h).detach().numpy()) < 1e-12


@pytest.mark.parametrize("copy", ["a.module.weight_hh_l0", "a.weight_hh_l0", None])
def test_dropouts_copy_is_not_the_weight(tmp_path: Path, copy: str | None) -> None:
    """AWD-LSTM: fastai's wrapper around ``module``, Merity's keys in the module itself."""
    arrays = {k.replace("a.", "a.module."): v for k, v in state().items()}
    raw = arrays.pop("a.module.weight_hh_l0")
    if copy == "a.weight_hh_l0":
        arrays = {k.replace("module.", ""): v for k, v in arrays.items()}
    thinned = {} if copy is None else {copy: raw * (raw > 0)}
    found = read_model(saved(tmp_path, arrays | thinned | {"a.weight_hh_l0_raw": raw}))
    assert not found.refused
    for prefix in (None, "a."):
        net = choose(found, prefix)
        np.testing.assert_array_equal(net.layers[0].parameters["W_hh"], raw)
        assert net.layers[0].parameters["b_h"].any()


# ---------------------------------------------------------------------------- more in a cell

MORE: dict[str, dict[str, tuple[int, ...]]] = {
    "LayerNorm": {"ln_c.weight": (4,), "ln_c.bias": (4,), "ln_x.weight": (16,)},
    "peepholes": {"weight_ci": (4,), "weight_cf": (4,), "weight_co": (4,)},
    "peepholes as matrices": {"weight_ch_l0": (12, 4)},
    "zoneout's mask": {"zoneout_mask": (4,)},
    "a cell in the cell": {"inner.weight_ih": (16, 3), "inner.weight_hh": (16, 4)},
    "attention": {"attn.in_proj_weight": (12, 4), "attn.out_proj.weight": (4, 4)},
    "a learned start": {"h_0": (1, 4)},
    "an embedding": {"emb.weight": (10, 3)},
}


@pytest.mark.parametrize("kind", MORE)
def test_more_in_a_cell_is_named(tmp_path: Path, kind: str) -> None:
    """Under a module's own prefix everything is the module's."""
    arrays = under("net.cell.", cell(**MORE[kind]))
    with pytest.raises(ModelFileError, match=r"\[net.cell.\] holds beside its weights") as caught:
        choose(read_model(saved(tmp_path, arrays)), "net.cell.")
    assert all(f"'net.cell.{key}'" in str(caught.value) for key in MORE[kind])


@pytest.mark.parametrize("kind", ["LayerNorm", "peepholes", "zoneout's mask", "a cell in the cell"])
def test_more_in_a_bare_cell_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelFileError, match=r"net.npz holds beside its weights") as caught:
        choose(read_model(saved(tmp_path, cell(**MORE[kind]))), None)
    assert all(f"'{key}'" in str(caught.value) for key in MORE[kind])


OTHERS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "LoRA": ({"rnn.weight_hh.lora_A": (2, 4), "rnn.weight_hh.lora_B": (16, 2)}, "lora_A"),
    "quantised": ({"rnn.weight_hh_scale": (16,), "rnn.weight_ih_scale": (16,)}, "weight_hh_scale"),
    "orthogonal": (
        {
            "rnn.parametrizations.weight_hh.original": (4, 4),
            "rnn.parametrizations.weight_hh.0.base": (4, 4),
        },
        r"weight_hh\.original\] is a parametrisation",
    ),
    "old spectral norm": (
        {"rnn.weight_hh_orig": (16, 4), "rnn.weight_hh_u": (16,), "rnn.weight_hh_v": (4,)},
        r"weight_hh_orig\] is a parametrisation",
    ),
    "half of a weight norm": ({"rnn.weight_hh_v": (16, 4)}, r"weight_hh_v\] is a parametrisation"),
    "a mask without its weight": ({"rnn.weight_hh_mask": (16, 4)}, "weight_hh_mask"),
    "weight norm in a wrapper": (
        {"rnn.weight_hh_raw_g": (16, 1), "rnn.weight_hh_raw_v": (16, 4)},
        "weight_hh_raw_g",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    shapes, words = OTHERS[kind]
    arrays = under("rnn.", cell()) | {key: np.ones(shape) for key, shape in shapes.items()}
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(saved(tmp_path, arrays)), None)


@pytest.mark.parametrize(
    "keys",
    [
        ("lstm.ii.kernel", "lstm.hi.kernel", "lstm.hi.bias"),
        ("rnn.W_xh", "rnn.W_hh", "rnn.b_h"),
    ],
    ids=["half of Flax's", "by hand"],
)
def test_names_of_nobody_are_listed(tmp_path: Path, keys: tuple[str, ...]) -> None:
    arrays = {key: np.ones((4, 4)) for key in keys}
    with pytest.raises(ModelFileError, match="no recurrent net in the layout torch; its keys are"):
        choose(read_model(saved(tmp_path, arrays)), None)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_quantised_weights_are_refused(tmp_path: Path, kind: str) -> None:
    arrays = under("rnn.", cell())
    arrays["rnn.weight_hh"] = (50 * arrays["rnn.weight_hh"] + 100).astype(kind)
    with pytest.raises(ModelFileError, match=rf"\[rnn\.weight_hh\] is of {kind}: quantised"):
        choose(read_model(saved(tmp_path, arrays)), None)


def test_a_cell_in_a_cell_is_read_by_itself(tmp_path: Path) -> None:
    arrays = under("outer.", cell()) | under("outer.inner.", cell())
    found = read_model(saved(tmp_path, arrays))
    assert [net.key for net in found.recurrent] == ["outer.inner."]
    assert [net.key for net in found.refused] == ["outer."]
    with pytest.raises(
        ModelFileError, match=r"holds beside.*what can be read is inside it: 'outer"
    ):
        choose(found, None)


def test_what_follows_a_bare_net_is_named_and_not_refused(tmp_path: Path) -> None:
    """A .npz that somebody put together: the net has no prefix, so the read-out is under it."""
    arrays = state()
    bare = {k.removeprefix("a."): v for k, v in arrays.items()}
    bare |= {"fc.weight": np.ones((2, 4)), "fc.bias": np.ones(2), "emb": np.ones((9, 3))}
    net = choose(read_model(saved(tmp_path, bare)), None)
    (words,) = net.assumed
    beside = "'fc.weight', 'fc.bias' and 'emb'"
    assert words == f"a read-out or an embedding, no part of the net: {beside}"


def test_a_copy_of_a_weight_is_no_stranger(tmp_path: Path) -> None:
    """Tied arrays are saved twice; one that is zero throughout is tied to nothing."""
    arrays = cell()
    tied = arrays | {"tied": arrays["bias_ih"]}
    assert choose(read_model(saved(tmp_path, tied)), None).cell == "lstm"
    arrays["bias_ih"] = np.zeros(16)
    with pytest.raises(ModelFileError, match="holds beside its weights 'peephole'"):
        choose(read_model(saved(tmp_path, arrays | {"peephole": np.zeros(16)})), None)


@pytest.mark.parametrize(
    "place",
    [
        "optimizer.state.exp_avg.rnn.{}",
        "opt_state.0.mu.rnn.{}",
        "exp_avg_sq.rnn.{}",
        "rnn.{}.exp_avg",
    ],
)
def test_an_optimizers_moments_are_no_net(tmp_path: Path, place: str) -> None:
    weights = under("rnn.", cell())
    moments = {place.format(key): array**2 for key, array in cell().items()}
    found = read_model(saved(tmp_path, weights | moments))
    assert ([net.key for net in found.recurrent], found.refused) == (["rnn."], ())
    assert set(found.keys) == set(weights | moments)
    with pytest.raises(ModelFileError, match="no recurrent net"):
        choose(read_model(saved(tmp_path, moments)), None)
