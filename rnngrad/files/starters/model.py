"""A net of a file -> a complete spec with comments, and the list of the nets to choose from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import shipped
from rnngrad.errors import UsageError, escaped
from rnngrad.files.models.records import BOTH, Contents, Dense, Found, Store
from rnngrad.files.starters.cell import mapping_lines
from rnngrad.files.starters.data import Filled, Table
from rnngrad.files.text import counted, cut, listed
from rnngrad.net.cells import INPUT, READOUT

STEPS = 200
"""Steps of random inputs: long enough to see whether gradients vanish."""

GATES = {
    "gru": "gates r, z, n, as in PyTorch",
    "lstm": "gates i, f, g, o",
}
LOSSES = {
    "softmax": "cross_entropy",
    "sigmoid": "binary_cross_entropy",
}
"""The loss that a read-out of this activation was most likely trained with."""

WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
"""What some reader of YAML takes for more than a word."""
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")


class Candidate(NamedTuple):
    """A row of the list: what one may choose, and what speaks against it."""

    key: str
    cell: str
    sizes: str
    dtype: str
    note: str


def candidates(contents: Contents) -> tuple[Candidate, ...]:
    """All nets of a file, those that cannot be used last."""
    found = [
        Candidate(net.key, net.cell, sizes(net), net.dtype, net.direction or "")
        for net in contents.recurrent
    ]
    refused = [Candidate(each.key, "", "", "", each.reason) for each in contents.refused]
    return (*found, *refused)


def sizes(net: Found) -> str:
    """``3 → 4 → 4``: the inputs, then the length of h_t of each layer."""
    return " → ".join(str(n) for n in (net.inputs, *(layer.hidden for layer in net.layers)))


def read_out(contents: Contents, net: Found) -> Dense | None:
    """The dense layer as wide as the highest layer's state, where there is just one."""
    fitting = fits(contents, net)
    return fitting[0] if len(fitting) == 1 else None


def fits(contents: Contents, net: Found) -> list[Dense]:
    """The dense layers that could follow a net."""
    behind = [dense for dense in contents.dense if dense.W.shape[1] == net.seen]
    return [
        dense
        for dense in behind
        if dense.W.shape[0] != net.inputs or not _precedes(contents, net, dense)
    ]


def no_read_out(contents: Contents, net: Found) -> str:
    """What it means that none was found, in words."""
    names = [dense.key for dense in fits(contents, net)]
    seen = "[h_t; h_reverse_t]" if net.direction == BOTH else "h_t"
    if not names:
        return f"no dense layer of the file is as wide as {seen}, so y_t = {seen}"
    return (
        f"no read-out is taken, so y_t = {seen}: {listed(names)} fit. If one of them alone gives "
        "y_t, write its keys as W_hy and b_y into the spec. If they follow each other, give "
        f"∂L/∂{seen}: --upstream dh.npy in place of --targets"
    )


def last_of_both(net: Found, data: Filled) -> list[str]:
    """What the last step of both directions is, in words, where the loss is of that alone."""
    if net.direction != BOTH or "loss_steps: last" not in data.lines:
        return []
    return [
        "the read-out reads [h_T; h_reverse_T], as out[:, -1] has them; h_n has h_reverse_1 in "
        "its place: of torch.cat((h_n[-2], h_n[-1]), 1) give --upstream (docs/models.md)"
    ]


_IN_FRONT = re.compile(r"(?:^|[._/])(?:\w*_)?(?:in|inputs?|pre|front|embed[a-z]*)(?:$|[._/])")
"""What people call a dense layer that stands before the recurrent one: fc_in, input_proj."""


class Before(NamedTuple):
    """Dense layers of which one may stand before a net, and why it surely does, in words; empty
    where that is not known."""

    fitting: tuple[Dense, ...]
    why: str = ""

    @property
    def dense(self) -> Dense | None:
        """The one, where it surely does."""
        return self.fitting[0] if self.why else None

    @property
    def assumed(self) -> str:
        """What is assumed of it, in words."""
        dense = self.fitting[0]
        words = f"{dense.key} stands before the net, as W_in: {self.why}"
        return words if dense.activation else f"{words}; no activation between the two"


def before(contents: Contents, net: Found, widths: Collection[int]) -> Before:
    """The dense layers whose outputs are as many as the net's inputs. ``widths``: how many numbers
    a step the user's inputs, or the embeddings of the file, may have; empty where that is not
    known."""
    reader = read_out(contents, net)
    fitting = [
        dense
        for dense in contents.dense
        if dense.W.shape[0] == net.inputs
        and dense.activation in (None, *ACTIVATIONS)
        and _precedes(contents, net, dense) is not False
    ]
    given = [dense for dense in fitting if dense.W.shape[1] in widths]
    if widths and net.inputs not in widths and len(given) == 1:
        words = f"what comes in has {given[0].W.shape[1]} numbers a step, as it takes"
        return Before((given[0],), f"{words}, and the net takes {net.inputs}")
    told = [dense for dense in given or fitting if _precedes(contents, net, dense)]
    if len(told) == 1 and (given or not widths):
        why = "the file has it before the net" if contents.order else "its name says so"
        return Before((told[0],), why)
    open_ = [dense for dense in fitting if dense is not reader]
    return Before(tuple(open_ if not widths else (dense for dense in open_ if dense in given)))


def _precedes(contents: Contents, net: Found, dense: Dense) -> bool | None:
    """Whether a dense layer stands before a net: as the file's order says, or its name; None where
    neither does."""
    order = contents.order
    at = [
        next((i for i, one in enumerate(order) if one in names or one.startswith(start)), None)
        for names, start in (((net.key, *net.parts, *net.also), net.key or "weight_"),
                             ((dense.key, dense.W_key.removesuffix(".T")), dense.W_key))
    ]  # fmt: skip
    if at[0] is not None and at[1] is not None:
        return at[1] < at[0]
    named = _IN_FRONT.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", dense.key).lower())
    return True if named else None


def refuse_for_a_half(contents: Contents, net: Found, targets: str) -> None:
    """UsageError for targets of one half of a bidirectional net."""
    if net.direction == BOTH or sum(other.key == net.key for other in contents.recurrent) < 2:
        return
    whole = [dense.key for dense in contents.dense if dense.W.shape[1] == 2 * net.hidden]
    reader = whole[0] if len(whole) == 1 else "what such a net's targets belong to"
    raise UsageError(
        f"{targets}: the net is the {net.direction} half of {net.key}, and {reader} reads both "
        "directions; leave --direction out, or give ∂L/∂h_t of this half, --upstream dh.npy"
    )


def between(store: Store, net: Found, dense: Dense) -> str | None:
    """What there is to say of arrays that may stand between h_t and its read-out, in words: vectors
    as long as h_t by themselves, such as those of LayerNorm."""
    groups: dict[str, list[tuple[int, ...]]] = {}
    for key, stored in store.without_optimizer().arrays.items():
        base = re.match(r"(?s)(?:(.*)[./])?", key)
        name = ((base and base[1]) or "").removesuffix("/vars")
        groups.setdefault(name, []).append(stored.shape)
    found = [
        base
        for base, shapes in groups.items()
        if base and len(shapes) > 1 and set(shapes) == {(dense.W.shape[1],)}
    ]
    if not found:
        return None
    return (
        f"{listed(found)} {'has' if len(found) == 1 else 'have'} vectors as long as h_t: if that "
        f"normalises h_t before {dense.key}, the read-out here is approximate, and so is every "
        "gradient; upstream has the right ones"
    )


def embeddings(store: Store, inputs: Collection[int], path: str) -> tuple[Table, ...]:
    """The matrices called embedding whose rows are as long as what comes in may be."""
    shapes = {key: stored.shape for key, stored in store.arrays.items()}
    return tuple(
        Table(scalar(path), scalar(key), (shape[0], shape[1]))
        for key, shape in shapes.items()
        if len(shape) == 2 and shape[1] in inputs and "emb" in key.lower()
    )


def starter(
    contents: Contents,
    found: Found,
    dense: Dense | None,
    path_relative: str,
    data: Filled | None = None,
    doubt: str | None = None,
    front: Before | None = None,
) -> str:
    """A spec, in YAML, of the chosen net; ``path_relative`` is the file as seen from the spec,
    ``data`` what the user's own arrays fill in, ``doubt`` what is not certain of the read-out,
    ``front`` what may stand before the net."""
    first = None if front is None else front.dense
    lines = [
        f"# {_comment(contents.name)}: {_described(found)}",
        *(f"# Assumed: {_comment(words)}." for words in found.assumed),
        *(f"# Assumed: {_comment(words)}." for words in (data.assumed if data else ())),
        *([f"# Not certain: {_comment(doubt)}."] if doubt else ()),
        "",
        *_cell(found),
        *_activation(found),
        *_input_activation(first),
        "",
        "weights:",
        f"  file: {scalar(path_relative)}",
        f"  layout: {contents.layout}",
        *_prefix(found),
        *_before(front, path_relative),
        *(() if data and data.upstream else _read_out(contents, found, dense, path_relative)),
        "",
        *_output(dense, data.output if data else None),
        *(data.lines if data else _sequence(found, dense, first)),
    ]
    return "\n".join(lines) + "\n"


def _described(net: Found) -> str:
    layers = counted(len(net.layers), "layer")
    return f"{net.cell}, {layers}, {sizes(net)} units, stored in {net.dtype}"


def _cell(net: Found) -> list[str]:
    """The cell by name with its equations as comments, or by its equations."""
    if net.own is not None:
        return ["cell:", *mapping_lines(net.own)]
    words = f"  # {GATES[net.cell]}" if net.cell in GATES else ""
    equations = shipped(net.cell).mapping["equations"]
    return [f"cell: {net.cell}{words}", *(f"#   {text}" for text in equations)]


def _activation(net: Found) -> list[str]:
    """Only rnn has a choice of activation."""
    if net.cell != "rnn":
        return []
    why = (
        "as the file says"
        if net.activation
        else "the file does not say: set what it was trained with"
    )
    return [f"activation: {net.activation or 'tanh'}  # {why}"]


def _prefix(net: Found) -> list[str]:
    keys = net.parts or (net.key,)
    shown = f"[{', '.join(map(scalar, keys))}]" if net.parts else scalar(net.key)
    lines = [f"  prefix: {shown}"]
    if net.direction == BOTH:
        one = "; forward or reverse takes one half" if len(net.layers) == 1 else ""
        words = f"of a bidirectional net{one}"
        lines.append(f"  direction: {BOTH}  # {words}")
    elif net.paired:
        way = (
            "reverse: give the inputs in reversed order"
            if net.direction == "reverse"
            else "forward"
        )
        lines.append(f"  direction: {net.direction}  # one half of a bidirectional net, {way}")
    return lines


def _before(front: Before | None, path: str) -> list[str]:
    """The dense layer before the net; as comments where it is not certain."""
    if front is None or not front.fitting:
        return []
    if front.dense is None:
        names = _comment(listed([each.key for each in front.fitting]))
        words = f"if one of these stands before the net: {names}. Its outputs fit the net's inputs"
        key = scalar(front.fitting[0].W_key) if len(front.fitting) == 1 else "..."
        return [f"  # W_in: {{file: {scalar(path)}, key: {key}}}  # {words}"]
    lines = [f"  # {_comment(front.dense.key)} stands before the net: {_comment(front.why)}"]
    return lines + _two(front.dense, INPUT, scalar(path))


def _two(dense: Dense, names: Iterable[str], file: str) -> list[str]:
    """The lines of a dense layer's matrix and bias."""
    keys = zip(names, (dense.W_key, dense.b_key), strict=True)
    return [
        f"  {name}: {{file: {file}, key: {scalar(key)}}}" for name, key in keys if key is not None
    ]


def _input_activation(first: Dense | None) -> list[str]:
    if first is None:
        return []
    why = (
        "as the file says"
        if first.activation
        else f"assumed: the file does not say what follows {_comment(first.key)}"
    )
    return [f"input_activation: {first.activation or 'identity'}  # {why}"]


def _read_out(contents: Contents, net: Found, dense: Dense | None, path: str) -> list[str]:
    if dense is None:
        names = [each.key for each in fits(contents, net)]
        others = f" Those that fit: {_comment(listed(names))}." if names else ""
        seen = "[h_t; h_reverse_t]" if net.direction == BOTH else "h_t"
        words = f"# W_hy: {{file: ..., key: ...}}  # the read-out; without it y_t = {seen}.{others}"
        return [f"  {words}"]
    file = scalar(path)
    seen = "[h_t; h_reverse_t]" if net.direction == BOTH else "h_t"
    words = f"# {_comment(dense.key)} is as wide as {seen}; delete it if it reads something else"
    return [f"  {words}", *_two(dense, READOUT, file)]


def _output(dense: Dense | None, needed: str | None) -> list[str]:
    """The read-out's activation, where the loss, the file or the reader can say what it is."""
    if needed is not None:
        return [f"output_activation: {needed}  # the loss is of its logarithm", ""]
    if dense is None:
        return []
    function = dense.activation or "identity"
    why = "as the file says" if dense.activation else "the file does not say"
    return [f"output_activation: {function}  # {why}", ""]


def _sequence(net: Found, dense: Dense | None, first: Dense | None) -> list[str]:
    inputs = net.inputs if first is None else first.W.shape[1]
    outputs = net.seen if dense is None else dense.W.shape[0]
    loss = LOSSES.get((dense and dense.activation) or "", "squared_error")
    return [
        f"inputs: {{random: normal, steps: {STEPS}}}"
        f"  # replace by your own: {{file: inputs.npy}}, T rows of {counted(inputs, 'number')}",
        "seed: 0",
        "",
        "# Without targets there is no loss, and only the recurrence is analysed. For gradients:",
        f"# targets: {{file: targets.npy}}  # T rows of {counted(outputs, 'number')}",
        f"# loss: {loss}",
        *(["loss_steps: last  # the model hands on its last step alone"] if net.last else []),
    ]


def scalar(text: str) -> str:
    """A string as YAML reads it back: plain where nothing in it means something, else quoted."""
    if _PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return '"' + "".join(map(_letter, text)) + '"'


def _letter(letter: str) -> str:
    """A character within double quotes: YAML takes no pair of surrogates, as JSON does."""
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def _comment(text: str) -> str:
    """Words of a file inside a comment: on one line, whatever they hold."""
    return escaped(cut(text, 200))


def table(rows: Iterable[Candidate]) -> list[tuple[str, ...]]:
    """The list as rows of words, its header first."""
    return [("layer", "cell", "sizes", "stored as", "note"), *(tuple(row) for row in rows)]
