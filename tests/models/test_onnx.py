"""ONNX models against ONNX Runtime: graphs of every recurrent operator, and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import rnngrad
from oracles.cells import run
from rnngrad.files.models import Found, ModelFileError, choose, load_model_array, read_model

T, INPUTS, HIDDEN, OUTPUTS = 7, 3, 4, 2
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
OPSET = 20


def weights(
    op: str, count: int = 1, inputs: int = INPUTS, dtype: Any = np.float32
) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(0), GATES[op] * HIDDEN
    shapes = {"W": (count, rows, inputs), "R": (count, rows, HIDDEN), "B": (count, 2 * rows)}
    return {name: rng.normal(size=shape, scale=0.6).astype(dtype) for name, shape in shapes.items()}


def model(
    nodes: Sequence[Any],
    constants: dict[str, np.ndarray],
    output: str = "Y",
    batch_first: bool = False,
    dtype: int = TensorProto.FLOAT,
) -> Any:
    shape = [1, T, INPUTS] if batch_first else [T, 1, INPUTS]
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("X", dtype, shape)],
        [helper.make_tensor_value_info(output, dtype, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = 9
    return made


def node(op: str, *, bias: bool = True, name: str = "net", more: tuple[str, ...] = (), **said: Any):
    if op == "GRU":
        said = {"linear_before_reset": 1, **said}
    inputs = ["X", "W", "R", "B" if bias else "", *more]
    return helper.make_node(op, inputs, ["Y"], name=name, hidden_size=HIDDEN, **said)


def written(folder: Path, made: Any) -> Path:
    path = folder / "net.onnx"
    onnx.save_model(made, path)
    return path


def truth(path: Path, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(path).run(None, {"X": x})[0]


def inputs(dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(T, INPUTS)).astype(dtype)


def own(net: Found, x: np.ndarray) -> np.ndarray:
    rows = x.astype(np.float64)[:: -1 if net.direction == "reverse" else 1]
    return run(net.cell, [layer.parameters for layer in net.layers], rows, net.activation)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_onnx_runtimes(tmp_path: Path, op: str, bias: bool) -> None:
    path = written(tmp_path, model([node(op, bias=bias)], weights(op)))
    net = choose(read_model(path), None)
    assert (net.cell, net.inputs, net.hidden, net.key) == (op.lower(), INPUTS, HIDDEN, "net")
    assert net.activation == ("tanh" if op == "RNN" else None)
    x = inputs()
    np.testing.assert_allclose(own(net, x), truth(path, x[:, None])[:, 0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("op", GATES)
def test_float64(tmp_path: Path, op: str) -> None:
    """The reference evaluator of ONNX computes in float64, which the runtime's kernels do not."""
    constants = weights(op, dtype=np.float64)
    made = model([node(op)], constants, dtype=TensorProto.DOUBLE)
    net = choose(read_model(written(tmp_path, made)), None)
    assert net.dtype == "float64"
    x = inputs(np.float64)
    y = ReferenceEvaluator(made).run(None, {"X": x[:, None]})[0]
    np.testing.assert_allclose(own(net, x), y[:, 0, 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_directions(tmp_path: Path, op: str, direction: str) -> None:
    count = 2 if direction == "bidirectional" else 1
    path = written(tmp_path, model([node(op, direction=direction)], weights(op, count)))
    found = read_model(path)
    x = inputs()
    y = truth(path, x[:, None])[:, :, 0]
    if count == 2:
        assert choose(found, None).direction == "both"
        both = rnngrad.load({"weights": {"file": str(path)}, "inputs": x})
        together = np.concatenate([y[:, 0], y[:, 1]], axis=1)
        np.testing.assert_allclose(rnngrad.derive(both)["y"], together, rtol=0, atol=1e-5)
        forward = own(choose(found, None, "forward"), x)
        np.testing.assert_allclose(forward, y[:, 0], rtol=0, atol=1e-5)
    net = choose(found, None, "reverse")
    assert any("reversed" in words for words in net.assumed)
    np.testing.assert_allclose(own(net, x)[::-1], y[:, -1], rtol=0, atol=1e-5)


def test_the_layout_attribute_is_about_the_data(tmp_path: Path) -> None:
    """The runtime has no kernel for layout 1, so the weights are compared with layout 0's."""
    plain = choose(read_model(written(tmp_path, model([node("GRU")], weights("GRU")))), None)
    path = written(tmp_path, model([node("GRU", layout=1)], weights("GRU"), batch_first=True))
    other = choose(read_model(path), None)
    for name, array in plain.layers[0].parameters.items():
        np.testing.assert_array_equal(array, other.layers[0].parameters[name])


@pytest.mark.parametrize("word", ["Relu", "Sigmoid", "Softplus", "Tanh"])
def test_the_activation_is_read(tmp_path: Path, word: str) -> None:
    path = written(tmp_path, model([node("RNN", activations=[word])], weights("RNN")))
    net = choose(read_model(path), None)
    assert net.activation == word.lower()
    x = inputs()
    y = truth(path, x[:, None])[:, 0, 0]
    np.testing.assert_allclose(own(net, x), y, rtol=1e-5, atol=1e-5)


def test_a_stack_and_its_read_out(tmp_path: Path) -> None:
    """Two nodes, a Gemm of either orientation, a MatMul with an Add, and what follows them."""
    low, high = weights("LSTM"), weights("LSTM", inputs=HIDDEN)
    rng = np.random.default_rng(3)
    constants = {f"{k}_0": v for k, v in low.items()} | {f"{k}_1": v for k, v in high.items()}
    constants |= {"axes": np.array([1]), "b": rng.normal(size=OUTPUTS).astype(np.float32)}
    constants["V"] = rng.normal(size=(HIDDEN, OUTPUTS)).astype(np.float32)
    nodes = [
        helper.make_node("LSTM", ["X", "W_0", "R_0", "B_0"], ["h_0"], "low", hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["h_0", "axes"], ["x_1"]),
        helper.make_node("LSTM", ["x_1", "W_1", "R_1", "B_1"], ["h_1"], "high", hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["h_1", "axes"], ["h"]),
        helper.make_node("MatMul", ["h", "V"], ["a"], "out"),
        helper.make_node("Add", ["b", "a"], ["a_b"]),
        helper.make_node("Softmax", ["a_b"], ["Y"], axis=-1),
    ]
    path = written(tmp_path, model(nodes, constants))
    found = read_model(path)
    h = own(choose(found, None), inputs())
    np.testing.assert_array_equal(own(choose(found, ["low", "high"]), inputs()), h)
    (dense,) = found.dense
    assert (dense.key, dense.activation, dense.W_key, dense.b_key) == ("out", "softmax", "V.T", "b")
    assert dense.b is not None
    y = np.exp(h @ dense.W.T + dense.b)
    y /= y.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(y, truth(path, inputs()[:, None])[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(load_model_array(path, "V.T"), dense.W)
    assert choose(found, "W_1").key == "high"


Step = tuple[str, dict[str, Any], list[int] | None]


def two(
    op: str,
    between: list[Step],
    more: Sequence[Any] = (),
    outputs: tuple[str, ...] = ("Y",),
    above: dict[str, Any] | None = None,
    start: str = "",
    length: int = T,
) -> Any:
    """Two nodes, ``low`` and ``high``, and between them operators with constants."""
    constants = {f"{k}_0": v for k, v in weights(op).items()}
    constants |= {f"{k}_1": v for k, v in weights(op, inputs=HIDDEN).items()}
    said = {"hidden_size": HIDDEN} | ({"linear_before_reset": 1} if op == "GRU" else {})
    nodes = [helper.make_node(op, ["X", "W_0", "R_0", "B_0"], ["s0", "last"], "low", **said)]
    for k, (kind, attributes, constant) in enumerate(between):
        names = [f"s{k}"] + ([f"c{k}"] if constant is not None else [])
        constants |= {f"c{k}": np.array(constant)} if constant is not None else {}
        nodes.append(helper.make_node(kind, names, [f"s{k + 1}"], **attributes))
    last = f"s{len(between)}"
    names = [last, "W_1", "R_1", "B_1", "", start]
    nodes.append(helper.make_node(op, names, ["Y"], "high", **said, **(above or {})))
    made = model([*nodes, *more], constants)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = length
    del made.graph.output[:]
    made.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    return made


SQUEEZE: list[Step] = [("Squeeze", {}, [1])]
BETWEEN: dict[str, list[Step]] = {
    "squeeze": SQUEEZE,
    "turn and reshape": [("Transpose", {"perm": [0, 2, 1, 3]}, None), ("Reshape", {}, [0, 0, -1])],
    "there and back": [
        ("Squeeze", {}, [-3]),
        ("Transpose", {"perm": [1, 0, 2]}, None),
        ("Identity", {}, None),
        ("Transpose", {"perm": [1, 0, 2]}, None),
    ],
    "dropout": [*SQUEEZE, ("Dropout", {}, None)],
}


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("way", BETWEEN)
def test_nodes_that_stand_upon_each_other_are_a_stack(tmp_path: Path, op: str, way: str) -> None:
    path = written(tmp_path, two(op, BETWEEN[way]))
    found = read_model(path)
    (net,) = found.recurrent
    assert (net.parts, len(net.layers)) == (("low", "high"), 2)
    x = inputs()
    np.testing.assert_allclose(own(net, x), truth(path, x[:, None])[:, 0, 0], rtol=0, atol=1e-5)
    assert [choose(found, name).key for name in ("low", "high")] == ["low", "high"]


TURNED: list[Step] = [*SQUEEZE, ("Transpose", {"perm": [1, 0, 2]}, None)]
ADDED = [helper.make_node("ReduceSum", ["s1"], ["sum"])]


@pytest.mark.parametrize(
    "made",
    [
        two("GRU", SQUEEZE, ADDED, ("Y", "sum")),
        two("GRU", SQUEEZE, outputs=("Y", "s1")),
        two("GRU", SQUEEZE, start="last"),
        two("GRU", TURNED),
        two("GRU", [("Reshape", {}, [1, -1, HIDDEN])]),
        two("GRU", [*SQUEEZE, ("Tanh", {}, None)]),
        two("GRU", SQUEEZE, above={"direction": "reverse"}),
        two("RNN", SQUEEZE, above={"activations": ["Relu"]}),
    ],
    ids=["skipped", "shown", "started", "turned", "mixed", "tanh", "reverse", "relu"],
)
def test_other_nodes_are_no_stack(tmp_path: Path, made: Any) -> None:
    """The sequence between is taken elsewhere too, or it is another one when it arrives."""
    found = read_model(written(tmp_path, made))
    assert [net.key for net in found.recurrent] == ["low", "high"]
    assert found.layers == ()
    with pytest.raises(ModelFileError, match="2 recurrent nets, give prefix"):
        choose(found, None)


def test_the_last_states_of_all_layers_do_no_harm(tmp_path: Path) -> None:
    """PyTorch hands out h_n of every layer, joined."""
    made = two("GRU", SQUEEZE, outputs=("Y", "last"))
    assert len(choose(read_model(written(tmp_path, made)), None).layers) == 2


FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("name", ["exported_lstm_2", "exported_gru_2"])
def test_stacks_of_pytorchs_newer_exporter(name: str) -> None:
    """Written by ``make_onnx_fixtures.py``: Transpose and Reshape between the layers."""
    net = choose(read_model(FIXTURES / f"{name}.onnx"), None)
    with np.load(FIXTURES / f"{name}.expected.npz") as wanted:
        assert len(net.layers) == 2
        np.testing.assert_allclose(own(net, wanted["x"]), wanted["h"], rtol=0, atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_stacks_of_pytorchs_older_exporter(tmp_path: Path, cell: str, first: bool) -> None:
    torch = pytest.importorskip("torch", reason="live PyTorch: pip install '.[peers]'")
    rnn = getattr(torch.nn, cell)(INPUTS, HIDDEN, num_layers=3, batch_first=first).eval()
    x = torch.tensor(inputs())[None if first else slice(None)]
    x = x if first else x[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(rnn, (x,), tmp_path / "net.onnx", dynamo=False)
    net = choose(read_model(tmp_path / "net.onnx"), None)
    assert len(net.layers) == 3
    wanted = rnn(x)[0].detach().numpy().reshape(T, HIDDEN)
    np.testing.assert_allclose(own(net, inputs()), wanted, rtol=0, atol=1e-5)


def test_an_unrolled_rnn_is_told(tmp_path: Path) -> None:
    """PyTorch's newer exporter writes nn.RNN step by step; a plain deep net is none."""
    with pytest.raises(ModelFileError, match=r"unrolled; export it .*dynamo=False") as caught:
        choose(read_model(FIXTURES / "exported_rnn.onnx"), None)
    assert "exported_rnn.onnx holds no RNN, GRU or LSTM node" in str(caught.value)
    constants = {f"V{k}": np.eye(3, dtype=np.float32) for k in range(3)}
    nodes = []
    for k in range(3):
        nodes += [helper.make_node("MatMul", [f"h{k}" if k else "X", f"V{k}"], [f"a{k}"])]
        nodes += [helper.make_node("Tanh", [f"a{k}"], [f"h{k + 1}"])]
    with pytest.raises(ModelFileError, match="holds no recurrent net in the layout onnx"):
        choose(read_model(written(tmp_path, model(nodes, constants, "h3"))), None)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_of_either_orientation(tmp_path: Path, transposed: int) -> None:
    V = np.arange(8, dtype=np.float32).reshape(
        (OUTPUTS, HIDDEN) if transposed else (HIDDEN, OUTPUTS)
    )
    nodes = [node("GRU"), helper.make_node("Gemm", ["Y", "V", "c"], ["y"], transB=transposed)]
    constants = weights("GRU") | {"V": V, "c": np.ones(OUTPUTS, dtype=np.float32)}
    (dense,) = read_model(written(tmp_path, model(nodes, constants, "y"))).dense
    np.testing.assert_array_equal(dense.W, V if transposed else V.T)
    assert dense.activation is None


def test_constants_by_nodes_and_inside_subgraphs(tmp_path: Path) -> None:
    """W from a Constant node, R passed on by Identity, and the node itself in a branch."""
    made = weights("GRU")
    branch = helper.make_graph(
        [
            helper.make_node("Constant", [], ["W"], value=numpy_helper.from_array(made["W"], "w")),
            node("GRU"),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Identity", ["R_stored"], ["R"]),
        helper.make_node("If", ["yes"], ["out"], then_branch=branch, else_branch=branch),
    ]
    constants = {"R_stored": made["R"], "B": made["B"], "yes": np.array(True)}
    path = written(tmp_path, model(nodes, constants, "out"))
    found = read_model(path)
    x = inputs()
    assert len(found.recurrent) == 2  # both branches hold it
    y = truth(path, x[:, None])[:, 0, 0]
    np.testing.assert_allclose(own(found.recurrent[0], x), y, rtol=0, atol=1e-5)


def put_together(doublings: int = 0) -> Any:
    """PyTorch's rows r, z, n in float64, cut, joined as z, r, n, cast, and given an axis."""
    made = weights("GRU", dtype=np.float64)
    z, r, n = np.split(made["W"][0], 3)
    constants = {"rows": np.concatenate([r, z, n]), "R": made["R"].astype(np.float32)}
    constants |= {"B": made["B"].astype(np.float32), "zero": np.array([0])}
    nodes = []
    for k, (start, end) in enumerate([(4, 8), (0, 4), (8, 2**62)]):
        constants |= {f"s{k}": np.array([start]), f"e{k}": np.array([end])}
        nodes.append(helper.make_node("Slice", ["rows", f"s{k}", f"e{k}", "zero"], [f"gate{k}"]))
    nodes.append(helper.make_node("Concat", ["gate0", "gate1", "gate2"], ["joined0"], axis=0))
    for k in range(doublings):
        both = [f"joined{k}"] * 2
        nodes.append(helper.make_node("Concat", both, [f"joined{k + 1}"], axis=0))
    nodes += [
        helper.make_node("Transpose", [f"joined{doublings}"], ["turned"], perm=[1, 0]),
        helper.make_node("Transpose", ["turned"], ["back"]),
        helper.make_node("Cast", ["back"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["cast", "zero"], ["W"]),
        node("GRU"),
    ]
    return model(nodes, constants)


def test_weights_that_the_graph_puts_together(tmp_path: Path) -> None:
    path = written(tmp_path, put_together())
    net = choose(read_model(path), None)
    x = inputs()
    np.testing.assert_allclose(own(net, x), truth(path, x[:, None])[:, 0, 0], rtol=0, atol=1e-5)


def test_weights_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"\[joined\d+\] grows to \d+ bytes; it is hostile"):
        choose(read_model(written(tmp_path, put_together(doublings=60))), None)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (node("LSTM", clip=1.5), r"\[net\] clips its pre-activations at 1.5"),
        (node("LSTM", more=("", "", "", "B")), r"has P of 1×32, must be 1×12"),
        (node("RNN", activations=["ThresholdedRelu"]), "has activation thresholdedrelu, must be"),
        (node("RNN", activations=["ScaledTanh"]), "scaledtanh without an activation_alpha"),
        (
            node("GRU", activations=["Affine", "Tanh"], activation_alpha=0.5),
            "has activation_alpha that is no list of numbers",
        ),
        (
            node("GRU", activations=["Affine", "Tanh"], activation_beta=["0.5"]),
            "has activation_beta that is no list of numbers",
        ),
        (
            node("GRU", activations=["Affine", "Tanh"], activation_alpha=[float("inf")]),
            "has activation_alpha Infinity, must be an ordinary number",
        ),
        (node("LSTM", activations=["Sigmoid"]), "has 1 activations, must have 3"),
        (node("LSTM", direction="upward"), "has direction upward, must be forward, reverse or bi"),
        (node("LSTM", direction="bidirectional"), "has R of 1×16×4, must be 2×4H×H"),
        (helper.make_node("LSTM", ["X", "X", "R"], ["Y"], "net"), "W, X, from a computation"),
        (helper.make_node("LSTM", ["X"], ["Y"], "net"), "has no W"),
        (
            helper.make_node("LSTM", ["X", "R", "W"], ["Y"], "net"),
            r"has R of 1×16×3, must be 1×4H×H",
        ),
        (
            helper.make_node("LSTM", ["X", "W", "R", "P"], ["Y"], "net"),
            "has B of 1×12, must be 1×32",
        ),
    ],
)
def test_other_nodes_are_refused(tmp_path: Path, made: Any, words: str) -> None:
    constants = weights(made.op_type) | {"P": np.ones((1, 3 * HIDDEN), dtype=np.float32)}
    with pytest.raises(ModelFileError, match=words) as caught:
        choose(read_model(written(tmp_path, model([made], constants))), None)
    assert "net.onnx[net]" in str(caught.value)


def test_peepholes_of_zero_are_none(tmp_path: Path) -> None:
    constants = weights("LSTM") | {"P": np.zeros((1, 3 * HIDDEN), dtype=np.float32)}
    path = written(tmp_path, model([node("LSTM", more=("", "", "", "P"))], constants))
    assert choose(read_model(path), None).cell == "lstm"


def test_an_initial_state_is_said(tmp_path: Path) -> None:
    constants = weights("GRU") | {"h": np.ones((1, 1, HIDDEN), dtype=np.float32)}
    path = written(tmp_path, model([node("GRU", more=("", "h"))], constants))
    assert "initial_h" in choose(read_model(path), None).assumed[0]


def external(folder: Path, **changes: str) -> Path:
    """A model whose arrays lie in a file beside it, as it says, or as changed."""
    made = model([node("GRU")], weights("GRU"))
    path = folder / "net.onnx"
    onnx.save_model(made, path, save_as_external_data=True, location="net.data", size_threshold=0)
    made = onnx.load_model(path, load_external_data=False)
    for entry in made.graph.initializer[0].external_data:
        entry.value = changes.get(entry.key, entry.value)
    path.write_bytes(made.SerializeToString())
    return path


def test_arrays_beside_the_model(tmp_path: Path) -> None:
    path = external(tmp_path)
    x = inputs()
    net = choose(read_model(path), None)
    np.testing.assert_allclose(own(net, x), truth(path, x[:, None])[:, 0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"location": "../net.data"}, "which is not beside the model"),
        ({"location": "/etc/passwd"}, "which is not beside the model"),
        ({"location": "nothing.data"}, "nothing.data: no such file"),
        ({"length": "1000000"}, "bytes 0 to 1000000 of 'net.data', which has"),
        ({"length": "4"}, "is damaged"),
        ({"offset": "-4"}, "bytes -4 to"),
        ({"offset": "x"}, "is damaged"),
    ],
)
def test_arrays_elsewhere_are_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(external(tmp_path, **changes)), None)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = external(inside)
    (inside / "net.data").rename(tmp_path / "outside.data")
    (inside / "net.data").symlink_to(tmp_path / "outside.data")
    with pytest.raises(ModelFileError, match="which is not beside the model"):
        choose(read_model(path), None)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for data in (b"", b"nothing of the kind", bytes(1000), b"\xff" * 50):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=r"net\.onnx.*no ONNX model"):
            read_model(path)


def test_cut_short(tmp_path: Path) -> None:
    path = written(tmp_path, model([node("GRU")], weights("GRU")))
    data = path.read_bytes()
    for length in range(0, len(data), 61):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"net\.onnx"):
            choose(read_model(path), None)


def test_graphs_without_end(tmp_path: Path) -> None:
    inner = helper.make_graph([node("GRU")], "inner", [], [])
    for _ in range(30):
        inner = helper.make_graph(
            [helper.make_node("If", ["c"], [], then_branch=inner)], "outer", [], []
        )
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(inner).SerializeToString())
    with pytest.raises(ModelFileError, match="nests more than 20 graphs"):
        read_model(path)
