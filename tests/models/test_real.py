"""Nets that people trained, and what they were trained to do.

Source: g2p-en 2.1.0, ``g2p.py`` (Park, Kim); silero-vad 6.2.3 (Silero Team).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import rnngrad
from oracles.cells import gru, lstm
from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models import choose, load_model_array, read_model

pytestmark = pytest.mark.network
LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = [
    "<pad>", "<unk>", "<s>", "</s>", "AA0", "AA1", "AA2", "AE0", "AE1", "AE2", "AH0", "AH1", "AH2",
    "AO0", "AO1", "AO2", "AW0", "AW1", "AW2", "AY0", "AY1", "AY2", "B", "CH", "D", "DH", "EH0",
    "EH1", "EH2", "ER0", "ER1", "ER2", "EY0", "EY1", "EY2", "F", "G", "HH", "IH0", "IH1", "IH2",
    "IY0", "IY1", "IY2", "JH", "K", "L", "M", "N", "NG", "OW0", "OW1", "OW2", "OY0", "OY1", "OY2",
    "P", "R", "S", "SH", "T", "TH", "UH0", "UH1", "UH2", "UW", "UW0", "UW1", "UW2", "V", "W", "Y",
    "Z", "ZH",
]  # fmt: skip


def spoken(path: Path, word: str) -> str:
    """The phonemes of a word: the encoder over its letters, then the decoder's best guesses."""
    found = read_model(path)
    encoder, decoder = (choose(found, prefix).layers[0].parameters for prefix in ("enc_", "dec_"))
    (fc,) = found.dense
    letters, phonemes = (
        load_model_array(path, key).astype(np.float64) for key in ("enc_emb", "dec_emb")
    )
    h: Array = np.zeros(256)
    for letter in [*word, "</s>"]:
        h, _ = gru(encoder, letters[LETTERS.index(letter)], h, h, "tanh")
    said, last = [], PHONEMES.index("<s>")
    while len(said) < 20:
        h, _ = gru(decoder, phonemes[last], h, h, "tanh")
        last = int(np.argmax(fc.W @ h + fc.b))
        if PHONEMES[last] == "</s>":
            break
        said.append(PHONEMES[last])
    return " ".join(said)


def test_g2p_is_found(g2p: Path) -> None:
    found = read_model(g2p)
    nets = {net.key: (net.cell, net.inputs, net.hidden, net.dtype) for net in found.recurrent}
    assert nets == dict.fromkeys(("enc_", "dec_"), ("gru", 256, 256, "float32"))
    (fc,) = found.dense
    assert (fc.key, fc.W.shape, fc.W_key, fc.b_key) == ("fc", (74, 256), "fc_w", "fc_b")


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("hello", "HH EH1 L OW0"),
        ("gradient", "G R EY1 D IY0 AH0 N T"),
        ("recurrent", "R IH0 K ER1 AH0 N T"),
        ("vanishing", "V AE1 N IH0 SH IH0 NG"),
        ("tensor", "T EH1 N S ER0"),
    ],
)
def test_g2p_speaks(g2p: Path, word: str, phonemes: str) -> None:
    """What the package itself says: only the right gates in the right order spell words."""
    assert spoken(g2p, word) == phonemes


WORDS = {
    "hello": "HH EH1 L OW0",
    "gradient": "G R EY1 D IY0 AH0 N T",
    "recurrent": "R IH0 K ER1 AH0 N T",
    "tensor": "T EH1 N S ER0",
}


@pytest.mark.torch
def test_a_batch_of_words_is_checked_against_pytorch(g2p: Path) -> None:
    """The decoder on the words' phonemes, as it was trained: token ids with their embedding, a
    start of each sequence from the encoder, padding, CrossEntropyLoss()."""
    torch = pytest.importorskip("torch")
    found = read_model(g2p)
    encoder = choose(found, "enc_").layers[0].parameters
    letters = load_model_array(g2p, "enc_emb").astype(np.float64)
    starts = []
    for word in WORDS:
        h: Array = np.zeros(256)
        for letter in [*word, "</s>"]:
            h, _ = gru(encoder, letters[LETTERS.index(letter)], h, h, "tanh")
        starts.append(h)
    said = [[PHONEMES.index(one) for one in phones.split()] for phones in WORDS.values()]
    steps = 1 + max(map(len, said))
    ids, labels = np.zeros((len(said), steps), int), np.full((len(said), steps), -100)
    for k, phones in enumerate(said):
        ids[k, : len(phones) + 1] = [PHONEMES.index("<s>"), *phones]
        labels[k, : len(phones) + 1] = [*phones, PHONEMES.index("</s>")]
    file = str(g2p)
    batch = rnngrad.load({
        "cell": "gru", "batch": "first", "lengths": [len(phones) + 1 for phones in said],
        "weights": {"file": file, "layout": "torch", "prefix": "dec_",
                    "W_hy": {"file": file, "key": "fc_w"}, "b_y": {"file": file, "key": "fc_b"}},
        "inputs": {"ids": ids.tolist(), "embedding": {"file": file, "key": "dec_emb"}},
        "targets": labels.tolist(), "loss": "cross_entropy", "output_activation": "softmax",
        "batch_reduction": "mean_of_steps", "h_0": np.array(starts),
    })  # fmt: skip
    net, fc = torch.nn.GRU(256, 256, batch_first=True).double(), torch.nn.Linear(256, 74).double()
    with np.load(g2p) as stored, torch.no_grad():
        for mine, theirs in (("weight_ih", "w_ih"), ("weight_hh", "w_hh"), ("bias_ih", "b_ih"),
                             ("bias_hh", "b_hh")):  # fmt: skip
            getattr(net, f"{mine}_l0").copy_(torch.tensor(stored[f"dec_{theirs}"]))
        fc.weight.copy_(torch.tensor(stored["fc_w"]))
        fc.bias.copy_(torch.tensor(stored["fc_b"]))
        table = torch.tensor(stored["dec_emb"]).double().requires_grad_()
    h, _ = net(table[torch.tensor(ids)], torch.tensor(np.array(starts))[None])
    loss = torch.nn.CrossEntropyLoss()(fc(h).reshape(-1, 74), torch.tensor(labels).reshape(-1))
    loss.backward()
    got = rnngrad.gradients(batch)
    assert float(got["loss"]) == pytest.approx(loss.item(), rel=1e-10)
    assert loss.item() < 0.1  # it says these words
    grads = {name: p.grad for name, p in net.named_parameters()}
    grads |= {"dL_dW_hy": fc.weight.grad, "dL_db_y": fc.bias.grad, "dL_dembedding": table.grad}
    assert rnngrad.check(batch, grads)["verdict"] == "pass"


def test_sileros_graphs_hold_one_lstm(silero: Path) -> None:
    """Stored as ONNX wants it, and put together from PyTorch's rows inside two branches."""
    stored = choose(read_model(silero / "silero_vad_16k_sequence.onnx"), None)
    folded = read_model(silero / "silero_vad_16k_op15.onnx").recurrent
    assert [net.dtype for net in folded] == ["float32", "float32"]
    for net in folded:
        for name, array in stored.layers[0].parameters.items():
            np.testing.assert_array_equal(array, net.layers[0].parameters[name])


def test_sileros_gates_agree_across_layouts(silero: Path) -> None:
    """The .safetensors is of another day of training: each gate is most like the same gate.

    PyTorch's rows stand in the order i, f, g, o, ONNX's in i, o, f, c.
    """
    state = choose(read_model(silero / "silero_vad_16k.safetensors"), "lstm_cell.")
    graph = choose(read_model(silero / "silero_vad_16k_sequence.onnx"), None)
    assert (state.cell, state.inputs, state.hidden) == ("lstm", 128, 128)
    for name, array in state.layers[0].parameters.items():
        mine = np.split(array, 4)
        other = np.split(graph.layers[0].parameters[name], 4)
        likeness = [[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in other] for a in mine]
        assert np.diag(likeness).min() > 0.9
        assert (likeness - np.diag(np.diag(likeness))).max() < 0.5


def test_silero_hears_what_onnx_runtime_hears(silero: Path) -> None:
    """The LSTM's own inputs and outputs taken from the graph as the runtime runs it."""
    model = onnx.load(silero / "silero_vad_16k_sequence.onnx")
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    for name in (node.input[0], node.output[0]):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rng = np.random.default_rng(0)
    zeros = np.zeros((1, 1, 128), dtype=np.float32)
    sound = rng.normal(size=(20, 576), scale=0.1).astype(np.float32)
    x, y = session.run([node.input[0], node.output[0]], {"input": sound, "h": zeros, "c": zeros})
    net = choose(read_model(silero / "silero_vad_16k_sequence.onnx"), None)
    h, c = np.zeros(128), np.zeros(128)
    for t, row in enumerate(x[:, 0].astype(np.float64)):
        h, c = lstm(net.layers[0].parameters, row, h, c, "tanh")
        np.testing.assert_allclose(h, y[t, 0, 0], rtol=0, atol=1e-5)
