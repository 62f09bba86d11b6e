"""A PyTorch module that somebody has in hand -> Problem. PyTorch itself is never imported: a module
is what has ``state_dict`` and ``named_modules``, a tensor what has ``detach``.

What a module's ``forward`` does between its parts cannot be seen. So only modules are taken whose
parts leave no choice: one recurrent net, at most one embedding before and one Linear behind it, and
nothing else with parameters. Where the inputs are a tensor, the module is run once on them, and
what it gives must be what rnngrad gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.errors import UsageError, did_you_mean
from rnngrad.files.models.choosing import choose
from rnngrad.files.models.records import BOTH, ModelFileError, Store, Stored
from rnngrad.files.models.torch.layout import read_torch
from rnngrad.files.specification.loading import load
from rnngrad.files.text import listed
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.bidirectional import Bidirectional, passes
from rnngrad.net.cells import INPUT, READOUT
from rnngrad.net.forward import forward
from rnngrad.net.losses import LOSSES
from rnngrad.net.problem import REVERSE, Problem, TrainedIn
from rnngrad.net.traces import ForwardTrace

RECURRENT = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")


class Like(NamedTuple):
    """A loss of PyTorch's: rnngrad's own for its mean and its sum, the output activation, and what
    it is given: a_y = W_hy h_t + b_y, y = g(a_y) or ln y."""

    mean: str
    sum: str
    output: str
    of: str = "a_y"


_CROSS, _MEAN = ("cross_entropy",) * 2, ("mean_squared_error", "squared_error")
_BINARY = ("binary_cross_entropy",) * 2
LIKE_TORCH: Mapping[str, Like] = MappingProxyType(
    {
        "crossentropy": Like(*_CROSS, "softmax"),
        "nll": Like(*_CROSS, "softmax", "ln y"),
        "mse": Like(*_MEAN, "identity"),
        "bcewithlogits": Like(*_BINARY, "sigmoid"),
        "binarycrossentropywithlogits": Like(*_BINARY, "sigmoid"),
        "bce": Like(*_BINARY, "sigmoid", "y"),
        "binarycrossentropy": Like(*_BINARY, "sigmoid", "y"),
    }
)
"""PyTorch's name, small, without _ and Loss -> its loss: the one place to add one."""


def from_torch(
    module: Any,
    inputs: Any,
    targets: Any = None,
    loss: Any = None,
    *,
    upstream: Any = None,
    h_0: Any = None,
    c_0: Any = None,
    lengths: Any = None,
    name: str = "",
    direction: str | None = None,
) -> Problem | Batch | Bidirectional:
    """The problem of a PyTorch module, one sequence and its targets, or a batch of them.

    ``module``: an ``nn.RNN``, ``GRU``, ``LSTM`` or cell, or a module with one of them, at most one
    ``Embedding``, one ``Linear`` before it and one behind it. ``inputs`` (T, I), or T token ids
    where there is an embedding. ``loss``: one of PyTorch's (``nn.CrossEntropyLoss()``,
    ``nn.MSELoss``, its name, a function), or one of rnngrad's by name, whose output activation is
    then the one that it needs. One row or label as ``targets`` of many steps: the loss of the last
    step. ``upstream`` (T, H) is ∂L/∂h_t in their place. With the ``lengths`` of a padded batch each
    sequence ends at its own end, as in a PackedSequence, and the module is not run. Of a
    bidirectional net both directions are taken, or the half that ``direction`` names; the sequence
    is turned round for the reverse one.
    Tensors and arrays are both accepted. Raises UsageError for a module whose parts do not say what
    it computes, SpecError for arrays that do not fit.

        problem = rnngrad.from_torch(model, x, y, loss=nn.CrossEntropyLoss())
        rnngrad.check(problem, {n: p.grad for n, p in model.named_parameters()})
    """
    parts = _parts(module)
    if hasattr(inputs, "batch_sizes"):
        first = bool(getattr(parts.recurrent[1], "batch_first", False))
        raise UsageError(
            "from_torch: inputs is a PackedSequence; give the padded inputs and lengths of "
            "inputs, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed, "
            f"batch_first={first}): from_torch(module, inputs, …, lengths=lengths)"
        )
    x = _array(inputs)
    turned, recurrent = direction == "reverse", parts.recurrent[1]
    rank = 1 if parts.embedding else 2
    spec = _net(parts, direction, read_out=upstream is None)
    spec |= _batch(x, rank, recurrent)
    if lengths is not None:
        spec["lengths"] = _array(lengths).tolist()
    axis = 1 if spec.get("batch") == "first" else 0
    spec["inputs"] = _inputs(parts, _turned(x, axis, turned))
    for key, start in (("h_0", h_0), ("c_0", c_0)):
        if start is not None:
            spec |= _starts(key, _array(start), "direction" in spec)
    of = None
    if upstream is not None:
        spec["upstream"] = _turned(_array(upstream), axis, turned)
    if targets is not None:
        y = _array(targets)
        more, of = _loss(loss, y, x.shape[: x.ndim - rank + 1], axis, _outputs(parts))
        spec |= {**more, "targets": y if "loss_steps" in more else _turned(y, axis, turned)}
    elif loss is not None:
        raise UsageError("from_torch: a loss needs targets")
    net = load({"name": name or type(module).__name__, **spec})
    given = any(one is not None for one in (upstream, h_0, c_0, lengths, direction))
    if parts.before is not None and (given or not hasattr(inputs, "detach")):
        words = (
            "stands before the recurrent net, which only a run of the module on its inputs shows"
        )
        alone = "leave out all but inputs, targets and loss, and give inputs as a tensor"
        raise UsageError(f"from_torch: {parts.before[0].rstrip('.')} {words}: {alone}")
    if isinstance(net, Bidirectional):
        both = _known(net.net, parts, BOTH)
        if not given and hasattr(inputs, "detach"):
            _compare(module, inputs, passes(both).forward, parts, of, None)
        return Bidirectional(both)
    sequences = net.sequences if isinstance(net, Batch) else (net,)
    way = BOTH if isinstance(net, BidirectionalBatch) else direction
    known = tuple(_known(one, parts, way) for one in sequences)
    if not given and hasattr(inputs, "detach"):
        trace = (
            passes(known[0]).forward if isinstance(net, BidirectionalBatch) else forward(known[0])
        )
        _compare(module, inputs, trace, parts, of, spec.get("batch"))
    return replace(net, sequences=known) if isinstance(net, Batch) else known[0]


def _starts(key: str, given: Array, both: bool) -> dict[str, Array]:
    """The start of a spec; of both directions PyTorch has them in turn, layer by layer."""
    if not both:
        return {key: _start(given)}
    return {key: _start(given[::2]), key + REVERSE: _start(given[1::2])}


def _start(given: Array) -> Array:
    """PyTorch's (layers, B, H) as rows of all layers, a sequence each; (layers, H) as one list."""
    if given.ndim == 3 and given.shape[1] > 1:
        return np.moveaxis(given, 1, 0).reshape(given.shape[1], -1)
    return given.ravel()


# ---------------------------------------------------------------------------- the module's parts


class Parts(NamedTuple):
    """The recurrent net, embedding and read-out of a module, each with its prefix in the
    state_dict; ``arrays`` is that. ``before``: a Linear in front of the recurrent net, which the
    function ``between`` follows; ``unknown`` is what rnngrad does not have of that."""

    recurrent: tuple[str, Any]
    embedding: tuple[str, Any] | None
    dense: tuple[str, Any] | None
    arrays: Mapping[str, Array]
    before: tuple[str, Any] | None = None
    between: str | None = None
    unknown: str = ""


def _kind(module: Any) -> str:
    """The name of the class, or of the one of PyTorch's that it is made from."""
    names = [one.__name__ for one in type(module).__mro__]
    known = (*RECURRENT, "Embedding", "Linear")
    return next((name for name in names if name in known), names[0])


def _parts(module: Any) -> Parts:
    if not hasattr(module, "state_dict") or not hasattr(module, "named_modules"):
        raise UsageError(f"from_torch: {type(module).__name__} is no module of PyTorch's")
    by_kind: dict[str, list[tuple[str, Any]]] = {"recurrent": [], "Embedding": [], "Linear": []}
    others: list[tuple[str, str]] = []
    if getattr(module, "training", False):
        _refuse_dropout(module)
    for path, one in module.named_modules():
        kind = _kind(one)
        kind = "recurrent" if kind in RECURRENT else kind
        prefix = f"{path}." if path else ""
        if kind in by_kind:
            by_kind[kind].append((prefix, one))
        elif any(True for _ in one.named_parameters(recurse=False)):
            others.append((prefix, f"{path or 'itself'} ({type(one).__name__})"))
    rnn, tables, dense = by_kind.values()
    before, between, unknown = _in_front(module, rnn, dense)
    dense = [one for one in dense if one is not before]
    if len(rnn) != 1:
        there = listed(prefix.rstrip(".") for prefix, _ in rnn) or "none"
        which = f"one is wanted: give from_torch one of them, and upstream; there is {there}"
        raise UsageError(f"from_torch: the module has {len(rnn)} recurrent nets, {which}")
    inside = tuple(prefix for one in by_kind.values() for prefix, _ in one if prefix)
    strange = [words for prefix, words in others if not prefix.startswith(inside)]
    strange = [] if rnn[0][0] == "" else strange
    if strange or len(tables) > 1 or len(dense) > 1:
        found = strange or [prefix.rstrip(".") for prefix, _ in (tables if tables[1:] else dense)]
        raise UsageError(
            f"from_torch: what {type(module).__name__} does with {listed(found)} cannot be seen; "
            f"give module.{rnn[0][0].rstrip('.')} itself, its own inputs, and upstream=h.grad"
        )
    arrays = {key: _array(value) for key, value in module.state_dict().items()}
    return Parts(rnn[0], _first(tables), _first(dense), arrays, before, between, unknown)


def _in_front(
    module: Any, rnn: list[tuple[str, Any]], dense: list[tuple[str, Any]]
) -> tuple[tuple[str, Any] | None, str | None, str]:
    """A Linear that stands before the recurrent net and is as wide as its inputs, and what the
    module has between the two: where forward does otherwise, its outputs will tell. The last: what
    of that rnngrad does not have."""
    order = [path for path, _ in module.named_modules()]
    if len(rnn) != 1 or not dense or len(dense) > 2:
        return None, None, ""
    (prefix, one), (key, net) = dense[0], rnn[0]
    first, last = order.index(prefix.rstrip(".")), order.index(key.rstrip("."))
    wide = getattr(net, "hidden_size", 0) * (2 if getattr(net, "bidirectional", False) else 1)
    fits = one.out_features == getattr(net, "input_size", None)
    if first > last or not fits or (len(dense) == 1 and one.in_features == wide):
        return None, None, ""
    inside = [one for _, one in list(module.named_modules())[first + 1 : last]]
    exact = [one for one in inside if getattr(one, "approximate", "none") == "none"]  # of GELU
    names = [type(one).__name__.lower() for one in exact]
    known = [name for name in ACTIVATIONS if name.replace("_", "") in names]
    leaves = [one for one in inside if not any(map(list, (one.children(), one.parameters())))]
    others = [repr(one) for one in leaves if not _by_default(one)]
    return dense[0], known[0] if len(known) == 1 else None, listed(others)


def _by_default(one: Any) -> bool:
    """Whether a module is an activation of rnngrad's with PyTorch's defaults, or does nothing."""
    name = type(one).__name__
    if not any(name.lower() == own.replace("_", "") for own in ACTIVATIONS):
        return name.startswith(("Identity", "Dropout"))
    return repr(one).replace("inplace=True", "") == repr(type(one)())


def _first(found: list[tuple[str, Any]]) -> tuple[str, Any] | None:
    return found[0] if found else None


def _refuse_dropout(module: Any) -> None:
    """In training mode every run is another net."""
    for path, one in module.named_modules():
        named = type(one).__name__.startswith("Dropout") and getattr(one, "p", None)
        between = _kind(one) in RECURRENT and getattr(one, "dropout", None)
        if named or (between and one.num_layers > 1):
            words = (
                f"{path or 'the module'} has dropout and is in training mode: call module.eval()"
            )
            raise UsageError(f"from_torch: {words}, so that it is one net")


def _array(value: Any) -> Array:
    """A tensor, or what NumPy takes, as an array; bfloat16 too."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if getattr(value, "is_floating_point", lambda: False)():
            value = value.double()
        return np.asarray(value.numpy())
    return np.asarray(value)


def _net(parts: Parts, direction: str | None, *, read_out: bool) -> dict[str, Any]:
    """The spec's cell and weights."""
    prefix, recurrent = parts.recurrent
    mine = {key: a for key, a in parts.arrays.items() if key.startswith(prefix)}
    store = Store("the module", {key: _stored(array) for key, array in mine.items()})
    try:
        found = choose(read_torch(store), prefix, direction)
    except ModelFileError as error:
        raise UsageError(f"from_torch: {error}") from None
    layers = [dict(layer.parameters) for layer in found.layers]
    weights: dict[str, Any] = layers[0] if len(layers) == 1 else {"layers": layers}
    if read_out and parts.dense is not None:
        if found.paired and found.direction != BOTH:
            words = "its Linear reads both directions: leave direction out, or give module.rnn, its"
            raise UsageError(f"from_torch: {words} half, and upstream")
        weights |= {name: parts.arrays[key] for name, key in _keys(parts).items()
                    if name not in INPUT}  # fmt: skip
    weights |= {name: parts.arrays[key] for name, key in _keys(parts).items() if name in INPUT}
    sigma = getattr(recurrent, "nonlinearity", None) if found.cell == "rnn" else None
    return {
        "cell": found.own or found.cell,
        **({"activation": sigma} if sigma else {}),
        **({"direction": BOTH} if found.direction == BOTH else {}),
        **({"input_activation": parts.between} if parts.between else {}),
        "weights": weights,
    }


def _keys(parts: Parts) -> dict[str, str]:
    """W_hy, b_y, W_in, b_in -> their keys in the state_dict."""
    keys: dict[str, str] = {}
    for linear, names in ((parts.dense, READOUT), (parts.before, INPUT)):
        if linear is not None:
            keys |= dict(zip(names, (f"{linear[0]}weight", f"{linear[0]}bias"), strict=True))
    return {name: key for name, key in keys.items() if key in parts.arrays}


def _stored(array: Array) -> Stored:
    return Stored(array.shape, array.dtype.name, lambda: array)


def _batch(x: Array, rank: int, recurrent: Any) -> dict[str, Any]:
    """Which axis counts the sequences, of inputs with one more."""
    if x.ndim != rank + 1:
        return {}
    return {"batch": "first" if getattr(recurrent, "batch_first", False) else "second"}


def _turned(array: Array, axis: int, turned: bool) -> Array:
    return np.flip(array, axis) if turned and array.ndim > axis else array


def _inputs(parts: Parts, x: Array) -> Any:
    if parts.embedding is None:
        return x
    return {"ids": x, "embedding": parts.arrays[f"{parts.embedding[0]}weight"]}


def _known(problem: Problem, parts: Parts, direction: str | None) -> Problem:
    """With the module's own names, by which ``check`` reads a file of its gradients."""
    trained = TrainedIn(parts.recurrent[0], direction, MappingProxyType(_keys(parts)), ())
    tokens = problem.tokens
    if tokens is not None and parts.embedding is not None:
        tokens = tokens._replace(key=f"{parts.embedding[0]}weight")
    return replace(problem, trained=trained, tokens=tokens)


# ---------------------------------------------------------------------------- the loss


def _loss(
    loss: Any, y: Array, steps: tuple[int, ...], axis: int, outputs: int
) -> tuple[dict[str, Any], str | None]:
    """The keys of the spec that say the loss, and what the module gives to it; ``steps``: (T,), or
    of a batch its first two axes, of which ``axis`` counts the steps. Of as many steps as
    ``outputs`` numbers that are no integers are rows of the last step."""
    batch = len(steps) > 1
    if loss is None:
        raise UsageError("from_torch: targets need a loss, such as loss=nn.CrossEntropyLoss()")
    if batch and y.ndim:
        rows = y.ndim == 2 and y.shape[1] == outputs > 1 and y.dtype.kind == "f"
        one = len(y) == steps[1 - axis] and (rows or y.shape[:2] != steps)
    else:
        one = _one(y)
    last = {"loss_steps": "last"} if steps[axis] > 1 and y.size and one else {}
    if isinstance(loss, str) and loss in LOSSES:
        return {"loss": loss, "output_activation": LOSSES[loss].needs or "identity", **last}, None
    written = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    like = LIKE_TORCH.get(written.lower().replace("_", "").removesuffix("loss"))
    if like is None:
        hint = did_you_mean(written, LOSSES)
        names = "CrossEntropyLoss, NLLLoss, MSELoss, BCEWithLogitsLoss, BCELoss"
        words = f"loss {written} is not known{hint}; known are PyTorch's {names}, and upstream"
        raise UsageError(f"from_torch: {words} takes any: {listed(LOSSES)} are rnngrad's")
    reduction = getattr(loss, "reduction", "mean")
    if reduction not in ("mean", "sum"):
        raise UsageError(f"from_torch: reduction='{reduction}' of {written} gives no single loss")
    more = _options(loss, like, y.ndim < (2 if not batch or last else 3), written)
    binary = like.mean == "binary_cross_entropy"
    if binary and reduction == "mean" and y.ndim > 1 and y.shape[-1] > 1:
        words = "over several outputs is a mean over these too; give reduction='sum'"
        raise UsageError(f"from_torch: the mean of {written} {words}")
    found = like.mean if reduction == "mean" else like.sum
    whole = {"loss": found, "loss_reduction": reduction, "output_activation": like.output}
    if batch and reduction == "mean":
        whole |= {"loss_reduction": "sum", "batch_reduction": "mean_of_steps"}
    return {**whole, **more, **last}, like.of


def _outputs(parts: Parts) -> int:
    """O: the rows of the read-out, or else the numbers of h_t."""
    if parts.dense is not None:
        return int(parts.dense[1].out_features)
    net = parts.recurrent[1]
    hidden = getattr(net, "proj_size", 0) or net.hidden_size
    return int(hidden * (2 if getattr(net, "bidirectional", False) else 1))


def _one(y: Array) -> bool:
    return y.ndim == 0 or y.shape[0] == 1


def _options(loss: Any, like: Like, one: bool, written: str) -> dict[str, Any]:
    """``weight`` and ``ignore_index`` of labels, ``one`` number a step; refused is what rnngrad's
    losses do not have."""
    smoothing, pos_weight = (getattr(loss, n, None) for n in ("label_smoothing", "pos_weight"))
    weight = getattr(loss, "weight", None)
    labels = like.output == "softmax" and one
    refused = {"label_smoothing": smoothing, "pos_weight": pos_weight}
    refused |= {} if labels else {"weight": weight}
    for name, value in refused.items():
        if value is not None and not (isinstance(value, float) and value == 0.0):
            raise UsageError(f"from_torch: rnngrad has no {name} of {written}; give upstream")
    ignored = getattr(loss, "ignore_index", -100)
    more: dict[str, Any] = {} if weight is None else {"class_weights": _array(weight)}
    return {**more, "ignore_index": int(ignored)} if labels and ignored != -100 else more


# ---------------------------------------------------------------------------- what it computes

OFF = {8: 1e-7, 4: 1e-4}
"""Of the largest entry: what a module may be off, by the bytes of its numbers."""


def _compare(
    module: Any, inputs: Any, trace: ForwardTrace, parts: Parts, of: str | None, batch: str | None
) -> None:
    """UsageError unless the module gives what rnngrad takes it to compute: its parts may be wired
    otherwise. A cell by itself takes no sequence."""
    if type(parts.recurrent[1]).__name__.endswith("Cell") and parts.recurrent[1] is module:
        return
    with np.errstate(all="ignore"):
        ways = {"a_y": trace.a_y, "y": trace.y, "ln y": np.log(np.abs(trace.y))}
    wanted = [np.asarray(ways[one]) for one in ([of] if of else ways)]
    got = _ran(module, inputs, parts)
    sizes = {value.element_size() for value in module.state_dict().values()}
    off = OFF[8] if sizes == {8} else OFF[4]
    if batch is not None:  # the first sequence
        got = got[0] if batch == "first" or got.ndim < 3 else got[:, 0]
    for rows in wanted:
        for expected in (rows, rows[-1]):
            if got.size == expected.size and _near(got.ravel(), expected.ravel(), off):
                return
    name, instead = type(module).__name__, "give its recurrent net itself and upstream=h.grad"
    if parts.unknown:
        words = "stands before the recurrent net, where rnngrad has PyTorch's activations as they"
        raise UsageError(f"from_torch: {parts.unknown} {words} are by default; {instead}")
    raise UsageError(
        f"from_torch: the forward of {name} does not give what its parts give one after the other. "
        "Does it do something that no part does, such as F.relu between them? Make it a module "
        f"(nn.ReLU()) if it stands before the net; else {instead}"
    )


def _near(got: Array, expected: Array, off: float) -> bool:
    return bool(np.max(np.abs(got - expected)) <= off * np.max(np.abs(expected)))


def _ran(module: Any, inputs: Any, parts: Parts) -> Array:
    """What the module gives, as a sequence by itself or as a batch of one."""
    first = getattr(parts.recurrent[1], "batch_first", False)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: module(inputs),
        lambda: module(inputs[None] if first else inputs[:, None]),
    )
    wrong: Exception | None = None
    for way in ways:
        try:
            found = way()
        except Exception as error:  # noqa: BLE001 - somebody's module may raise anything
            wrong = wrong or error
            continue
        return _array(found[0] if isinstance(found, tuple) else found)
    raise UsageError(f"from_torch: {type(module).__name__} cannot be run on these inputs: {wrong}")
