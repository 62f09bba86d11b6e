"""A net of a file -> a complete spec with comments, and the list of the nets to choose from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rnngrad.cells import shipped
from rnngrad.errors import UsageError, escaped
from rnngrad.files.models.records import BOTH, Contents, Dense, Found, Store
from rnngrad.files.starters.cell import mapping_lines
from rnngrad.files.starters.data import Filled, Table
from rnngrad.files.text import counted, cut, listed

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
    return [dense for dense in contents.dense if dense.W.shape[1] == net.seen]


def refuse_for_a_half(contents: Contents, net: Found, targets: str) -> None:
    """UsageError for targets of one half of a bidirectional net."""
    if sum(other.key == net.key for other in contents.recurrent) < 2:
        return
    whole = [dense.key for dense in contents.dense if dense.W.shape[1] == 2 * net.hidden]
    reader = whole[0] if len(whole) == 1 else "what such a net's targets belong to"
    raise UsageError(
        f"{targets}: the net is the {net.direction} half of {net.key}, and {reader} reads both "
        "directions; give ∂L/∂h_t of this half instead, --upstream dh.npy"
    )


def embeddings(store: Store, net: Found, path: str) -> tuple[Table, ...]:
    """The matrices called embedding whose rows are as long as the net's inputs."""
    shapes = {key: stored.shape for key, stored in store.arrays.items()}
    return tuple(
        Table(scalar(path), scalar(key), (shape[0], shape[1]))
        for key, shape in shapes.items()
        if len(shape) == 2 and shape[1] == net.inputs and "emb" in key.lower()
    )


def starter(
    contents: Contents,
    found: Found,
    dense: Dense | None,
    path_relative: str,
    data: Filled | None = None,
) -> str:
    """A spec, in YAML, of the chosen net; ``path_relative`` is the file as seen from the spec,
    ``data`` what the user's own arrays fill in."""
    lines = [
        f"# {_comment(contents.name)}: {_described(found)}",
        *(f"# Assumed: {_comment(words)}." for words in found.assumed),
        *(f"# Assumed: {_comment(words)}." for words in (data.assumed if data else ())),
        "",
        *_cell(found),
        *_activation(found),
        "",
        "weights:",
        f"  file: {scalar(path_relative)}",
        f"  layout: {contents.layout}",
        *_prefix(found),
        *(() if data and data.upstream else _read_out(contents, found, dense, path_relative)),
        "",
        *_output(dense, data.output if data else None),
        *(data.lines if data else _sequence(found, dense)),
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
    lines = [f"  {words}", f"  W_hy: {{file: {file}, key: {scalar(dense.W_key)}}}"]
    if dense.b_key is not None:
        lines.append(f"  b_y: {{file: {file}, key: {scalar(dense.b_key)}}}")
    return lines


def _output(dense: Dense | None, needed: str | None) -> list[str]:
    """The read-out's activation, where the loss, the file or the reader can say what it is."""
    if needed is not None:
        return [f"output_activation: {needed}  # the loss is of its logarithm", ""]
    if dense is None:
        return []
    function = dense.activation or "identity"
    why = "as the file says" if dense.activation else "the file does not say"
    return [f"output_activation: {function}  # {why}", ""]


def _sequence(net: Found, dense: Dense | None) -> list[str]:
    outputs = net.seen if dense is None else dense.W.shape[0]
    loss = LOSSES.get((dense and dense.activation) or "", "squared_error")
    return [
        f"inputs: {{random: normal, steps: {STEPS}}}"
        f"  # replace by your own: {{file: inputs.npy}}, T rows of {counted(net.inputs, 'number')}",
        "seed: 0",
        "",
        "# Without targets there is no loss, and only the recurrence is analysed. For gradients:",
        f"# targets: {{file: targets.npy}}  # T rows of {counted(outputs, 'number')}",
        f"# loss: {loss}",
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
