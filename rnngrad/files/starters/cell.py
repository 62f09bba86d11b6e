"""A cell that comes with rnngrad as text of a spec: its ``cell:``, or a spec that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from rnngrad.cells import Shipped, shipped
from rnngrad.net.cells import multiple

_HIDDEN, _INPUTS, _OTHER = 4, 3, 2
_MEANT = {"I": "inputs", "H": "hidden", "O": "outputs"}


def starter(name: str) -> str:
    """The spec, commented."""
    return "\n".join(_lines(name, shipped(name))) + "\n"


def _lines(name: str, found: Shipped) -> Iterator[str]:
    cell = found.cell
    yield from _comment(f"{found.title}.")
    yield from _comment(f"{found.source}.")
    yield from _comment(found.note.strip())
    yield "# Change what you like, then run"
    yield "#   rnngrad derive THIS_FILE"
    yield ""
    yield f"cell: {name}"
    for text in found.mapping["equations"]:
        yield f"#   {text}"
    if not cell.activation:
        yield "activation: tanh                # σ"
    else:
        yield f"# To change the equations, put here what 'rnngrad cells {name}' prints."
    yield "output_activation: identity     # y_t = g(W_hy h_t + b_y)"
    yield "loss: squared_error"
    yield "seed: 0                         # every random number below comes from it"
    yield ""
    yield f"sizes: {{{', '.join(f'{key}: {n}' for key, n in _sizes(found).items())}}}"
    yield ""
    yield "weights:"
    yield from _weights(found)
    yield ""
    for part in cell.parts:
        yield f"{part}_0: 0"
    yield ""
    yield "inputs: {random: normal, steps: 10, scale: 1}   # or rows of numbers, or {file: x.npy}"
    yield "targets: {random: normal, scale: 0.5}           # leave it out to look at the recurrence"


def _comment(text: str) -> Iterator[str]:
    for line in wrap(text, 94, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _sizes(found: Shipped) -> Mapping[str, int]:
    """inputs, hidden and outputs, and the other letters of the cell."""
    cell = found.cell
    shapes = [cell.letters, *cell.parameters.values()]
    letters = dict.fromkeys(multiple(letter)[1] for shape in shapes for letter in shape)
    others = [letter for letter in letters if letter not in _MEANT]
    inputs = {"inputs": _INPUTS} if cell.input_letter == "I" else {}
    chosen = {letter: found.sizes.get(letter, _OTHER) for letter in others}
    return {**inputs, "hidden": _HIDDEN, "outputs": 2, **chosen}


def _weights(found: Shipped) -> Iterator[str]:
    cell = found.cell
    given = {name: _source(found, name, shape) for name, shape in cell.parameters.items()}
    written = {name: text for name, text in given.items() if text}
    width = max(len(f"  {name}: {text}") for name, text in written.items())
    for name, text in written.items():
        sides = ", ".join(map(_words, cell.parameters[name]))
        shape = f"({sides})" if sides else "a number"
        more = "; a start value of the cell" if name in found.start else ""
        yield f"{f'  {name}: {text}':<{width}}  # {shape}{more}"
    left_out = [name for name, text in given.items() if not text]
    if left_out:
        yield f"  # left out, so zeros: {', '.join(left_out)}"
    yield "  W_hy: {init: xavier_uniform}"


def _words(letter: str) -> str:
    times, letter = multiple(letter)
    word = _MEANT.get(letter, letter)
    return word if times == 1 else f"{times} × {word}"


def _source(found: Shipped, name: str, shape: tuple[str, ...]) -> str:
    if name in found.start:
        return flow(found.start[name])
    if name[0] == "b":
        return ""
    if len(shape) == 2:
        square = multiple(shape[0])[1] == shape[1]
        return "{init: orthogonal, gain: 0.9}" if square else "{init: xavier_uniform}"
    return "{init: uniform, bound: 0.5}" if shape else "0.5"


def as_spec(name: str) -> str:
    """The cell as YAML that pastes into a spec."""
    found = shipped(name)
    mapping = dict(found.mapping)
    comments = [f"{found.title}.", f"Source: {found.source}.", *_note(found)]
    if found.cell.activation is None:
        mapping["equations"] = [text.replace("σ(", "tanh(") for text in mapping["equations"]]
        comments.append("As 'cell: rnn' it has the spec's activation; here that is tanh.")
    elif found.cell.blocks:
        blocks = "; ".join(f"{n} is [{', '.join(p)}]" for n, p in found.cell.blocks.items())
        comments.append(f"As 'cell: {name}' its parameters lie in blocks of rows: {blocks}.")
    if found.start:
        comments.append(f"Weights to start from: {flow(found.start)}")
    above = [line for text in comments for line in _comment(text)]
    return "\n".join([*above, "cell:", *mapping_lines(mapping)]) + "\n"


def _note(found: Shipped) -> list[str]:
    return [found.note.strip()] if found.note.strip() else []


def mapping_lines(mapping: Mapping[str, Any]) -> Iterator[str]:
    """What stands under ``cell:``, as YAML."""
    for key, value in mapping.items():
        if key == "equations":
            yield "  equations:"
            yield from (f"    - {text}" for text in value)
        else:
            yield f"  {key}: {flow(value)}"


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[^\W\d][\w .-]*", value) else f'"{value}"'
    return str(value)
