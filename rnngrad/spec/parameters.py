"""The key ``weights``: one layer's parameters, ``layers`` of them, or a file, and the read-out.

What may stand there depends on the cell, so ``schema.py`` lets it through and ``building.py`` has
it checked here once the cell is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnngrad.core.cells import CELLS, READOUT, Cell, stacked
from rnngrad.spec.mistakes import Mistakes
from rnngrad.spec.reading import Steps
from rnngrad.spec.schema import ArraySource, Group, JsonSchema, Key, parameter
from rnngrad.spec.text import shown
from rnngrad.spec.trained import TRAINED, Trained

WEIGHTS: Steps = ("weights",)


class Parameters(NamedTuple):
    """What the spec says of every parameter, by name (``W_xh``, or ``W_xh.0`` in a stack).

    ``letters`` and ``paths`` have every name that the net has, ``sources`` those that were given.
    ``depth`` is the number of layers.
    """

    depth: int
    letters: Mapping[str, tuple[str, ...]]
    paths: Mapping[str, Steps]
    sources: Mapping[str, ArraySource]


def _group(names: Mapping[str, tuple[str, ...]], required: Mapping[str, Any], title: str) -> Group:
    keys = {}
    for name, shape in names.items():
        absent = "" if name in required else f"; {_ABSENT.get(name, 'zeros by default')}"
        meaning = f"{'×'.join(shape)} numbers{absent}"
        keys[name] = Key(parameter(len(shape)), meaning, required=name in required)
    return Group(title, "Every parameter: an array, a file or an initialiser.", keys)


_ABSENT = {"W_hy": "without it y_t = g(h_t)"}


def layer_group(cell: Cell) -> Group:
    """The parameters of one layer of a stack."""
    return _group(cell.parameters, cell.weights, f"{cell.name}_layer")


def one_layer(cell: Cell) -> Group:
    """The parameters of a net of one layer, and of its read-out."""
    return _group({**cell.parameters, **READOUT}, cell.weights, f"{cell.name}_weights")


def check(cell: Cell, value: Any, net: Trained | None, mistakes: Mistakes) -> Parameters:
    """The parameters that ``weights`` describes, those of a model's file if there is one."""
    if net is not None:
        found = _parameters(cell, net.depth, net.sources, mistakes)
        inside = {name: (*WEIGHTS, "file") for name in found.letters if name not in READOUT}
        return found._replace(paths={**found.paths, **inside})
    if isinstance(value, dict) and "layers" in value:
        return _stack(cell, value, mistakes)
    sources = one_layer(cell).check(value, WEIGHTS, mistakes) or {}
    return _parameters(cell, 1, sources, mistakes)


def _parameters(
    cell: Cell, depth: int, sources: Mapping[str, ArraySource], mistakes: Mistakes
) -> Parameters:
    readout = "W_hy" in sources or mistakes.spoils((*WEIGHTS, "W_hy"))
    letters = {**stacked(cell, depth), **_readout(depth)}
    if not readout:
        letters = {name: shape for name, shape in letters.items() if name not in READOUT}
    if "b_y" in sources and not readout:
        words = "b_y needs W_hy; without W_hy the read-out is y_t = g(h_t)"
        mistakes.add((*WEIGHTS, "b_y"), words, at_key=True)
    return Parameters(depth, letters, {name: path(name) for name in letters}, sources)


def _readout(depth: int) -> dict[str, tuple[str, ...]]:
    top = "H" if depth == 1 else f"H.{depth - 1}"
    return {name: tuple(top if n == "H" else n for n in shape) for name, shape in READOUT.items()}


def path(name: str) -> Steps:
    """Where a parameter stands in a spec: weights.W_xh, or weights.layers[0].W_xh for W_xh.0."""
    own, _, layer = name.partition(".")
    return (*WEIGHTS, "layers", int(layer), own) if layer else (*WEIGHTS, own)


def _stack(cell: Cell, value: dict[str, Any], mistakes: Mistakes) -> Parameters:
    layers, sources = value["layers"], dict[str, ArraySource]()
    for name in value:
        if name in cell.parameters:
            words = f"weights.{name} stands beside layers; put it into one of them"
            mistakes.add((*WEIGHTS, name), words, at_key=True)
    rest = {n: v for n, v in value.items() if n != "layers" and n not in cell.parameters}
    sources |= _READOUT.check(rest, WEIGHTS, mistakes) or {}
    if not isinstance(layers, list) or not layers:
        words = f"weights.layers is {shown(layers)}, must be a list of layers, the lowest first"
        mistakes.add((*WEIGHTS, "layers"), words)
        layers = []
    for at, layer in enumerate(layers):
        here = (*WEIGHTS, "layers", at)
        checked = layer_group(cell).check(layer, here, mistakes) or {}
        suffix = "" if len(layers) == 1 else f".{at}"
        sources |= {name + suffix: source for name, source in checked.items()}
    found = _parameters(cell, max(len(layers), 1), sources, mistakes)
    if len(layers) == 1:  # a stack of one layer is that layer, but stands where it stands
        return found._replace(paths={n: _of_only_layer(n) for n in found.letters})
    return found


def _of_only_layer(name: str) -> Steps:
    return (*WEIGHTS, name) if name in READOUT else (*WEIGHTS, "layers", 0, name)


_READOUT = _group(READOUT, {}, "readout")


def schema(definitions: JsonSchema) -> JsonSchema:
    """The JSON Schema of ``weights``: one form for each cell, and stacks of it."""
    forms: list[JsonSchema] = [TRAINED.schema(definitions)]
    for cell in CELLS.values():
        forms.append(one_layer(cell).schema(definitions))
        layers = {
            "type": "array",
            "minItems": 1,
            "description": "the layers, the lowest first",
            "items": layer_group(cell).schema(definitions),
        }
        readout = _READOUT.body(definitions)["properties"]
        forms.append(
            {
                "title": f"{cell.name} layers",
                "type": "object",
                "description": f"Stacked layers of {cell.name}, the lowest first.",
                "properties": {"layers": layers, **readout},
                "additionalProperties": False,
                "required": ["layers"],
            }
        )
    return {"anyOf": forms}
