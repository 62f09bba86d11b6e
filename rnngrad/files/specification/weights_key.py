"""The key ``weights``: one layer's parameters, ``layers`` of them, or a file, and the read-out.

What may stand there depends on the cell, so ``schema.py`` lets it through and ``building.py`` has
it checked here once the cell is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnngrad.algebra.equation_tokens import plain_name
from rnngrad.cells import CELLS
from rnngrad.errors import did_you_mean
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.sources import ArraySource, parameter
from rnngrad.files.specification.trained_weights import TRAINED, Trained
from rnngrad.files.specification.value_types import Group, JsonSchema, Key
from rnngrad.files.text import cut, dotted, listed, shown
from rnngrad.files.yaml_text import Steps
from rnngrad.net.cells import READOUT, Cell, letter_in, stacked

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
        meaning = f"{'×'.join(shape)} numbers{absent}" if shape else f"a number{absent}"
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
    if _misspelt_layers(value, mistakes):
        return _parameters(cell, 1, {}, mistakes)
    value = _without_strangers(cell, value, WEIGHTS, mistakes)
    _all_lacking(cell, value, WEIGHTS, mistakes)
    sources = one_layer(cell).check(value, WEIGHTS, mistakes) or {}
    return _parameters(cell, 1, sources, mistakes)


def _misspelt_layers(value: Any, mistakes: Mistakes) -> bool:
    """Whether a list of mappings stands under a name like ``layers``; noted, once."""
    for name, layers in value.items() if isinstance(value, dict) else ():
        several = isinstance(layers, list) and all(isinstance(one, dict) for one in layers)
        if several and did_you_mean(cut(name), ["layers"]):
            words = f"unknown key {shown(name)} in weights; did you mean 'layers'?"
            mistakes.add((*WEIGHTS, name), words, at_key=True, spoils=WEIGHTS)
            return True
    return False


_BEST_KNOWN = ("rnn", "gru", "lstm")


def _without_strangers(cell: Cell, value: Any, here: Steps, mistakes: Mistakes) -> Any:
    """``value`` without what no equation has and the parameters of the best known cells, which are
    noted with what this one has."""
    if not isinstance(value, dict) or value.keys() <= {*cell.parameters, *READOUT}:
        return value
    strangers = []
    for name in sorted(value.keys() - {*cell.parameters, *READOUT}):
        owners = [one for one in _BEST_KNOWN if name in CELLS[one].parameters]
        if cell.own:
            strangers.append(name)
            hint = did_you_mean(cut(name), [*cell.parameters, *READOUT])
            if plain_name(name) in cell.parameters:  # μ, W_{xh}
                hint = f"; did you mean '{plain_name(name)}'?"
            has = hint or f"; its parameters are {listed(cell.parameters)}"
            words = f"{dotted((*here, name))} is in no equation of {cut(cell.name)}{has}"
            mistakes.add((*here, name), words, at_key=True)
            if hint:
                mistakes.spoiled.add((*here, hint.split("'")[1]))
        elif owners:
            strangers.append(name)
            has = listed(cell.biases or cell.weights if name[0] == "b" else cell.weights)
            words = f"{dotted((*here, name))} belongs to {listed(owners)}; {cell.name} has {has}"
            mistakes.add((*here, name), words, at_key=True)
    return {name: one for name, one in value.items() if name not in strangers}


def _all_lacking(cell: Cell, value: Any, here: Steps, mistakes: Mistakes) -> None:
    """Many weights that are not there, in one mistake, to be written down in one go."""
    if not isinstance(value, dict):
        return
    lacking = {n: s for n, s in cell.weights.items()
               if n not in value and not mistakes.spoils((*here, n))}  # fmt: skip
    if len(lacking) > FEW:
        each = ", ".join(f"{n} ({'×'.join(s) or 'a number'})" for n, s in lacking.items())
        words = "each is numbers, a file or an initialiser such as {init: gaussian}"
        words = f"{dotted(here)} lacks {each}: {words}"
        mistakes.add(here, words, at_key=True, spoils=(*here, next(iter(lacking))))
        mistakes.spoiled |= {(*here, name) for name in lacking}


FEW = 2
"""So many weights that are not there have a line each."""


def _parameters(
    cell: Cell, depth: int, sources: Mapping[str, ArraySource], mistakes: Mistakes
) -> Parameters:
    readout = "W_hy" in sources or mistakes.spoils((*WEIGHTS, "W_hy"))
    letters = {**stacked(cell, depth), **_readout(cell, depth)}
    if not readout:
        letters = {name: shape for name, shape in letters.items() if name not in READOUT}
    if "b_y" in sources and not readout:
        words = "b_y needs W_hy; without W_hy the read-out is y_t = g(h_t)"
        mistakes.add((*WEIGHTS, "b_y"), words, at_key=True)
    return Parameters(depth, letters, {name: path(name) for name in letters}, sources)


def top(cell: Cell, depth: int) -> str:
    """The letter of what the read-out sees: the first part of the state of the uppermost layer."""
    return letter_in(cell, cell.letters[0], depth - 1, depth)


def _readout(cell: Cell, depth: int) -> dict[str, tuple[str, ...]]:
    seen = {"H": top(cell, depth)}
    return {name: tuple(seen.get(n, n) for n in shape) for name, shape in READOUT.items()}


def path(name: str) -> Steps:
    """Where a parameter stands in a spec: weights.W_xh, or weights.layers[0].W_xh for W_xh.0."""
    own, _, layer = name.partition(".")
    return (*WEIGHTS, "layers", int(layer), own) if layer else (*WEIGHTS, own)


def _stack(cell: Cell, value: dict[str, Any], mistakes: Mistakes) -> Parameters:
    layers = _list_of_layers(cell, value, mistakes)
    rest = {n: v for n, v in value.items() if n != "layers" and n not in cell.parameters}
    sources: dict[str, ArraySource] = _READOUT.check(rest, WEIGHTS, mistakes) or {}
    for at, layer in enumerate(layers):
        here = (*WEIGHTS, "layers", at)
        layer = _without_readout(_without_strangers(cell, layer, here, mistakes), here, mistakes)
        _all_lacking(cell, layer, here, mistakes)
        checked = layer_group(cell).check(layer, here, mistakes) or {}
        suffix = "" if len(layers) == 1 else f".{at}"
        sources |= {name + suffix: source for name, source in checked.items()}
    found = _parameters(cell, max(len(layers), 1), sources, mistakes)
    if len(layers) == 1:  # a stack of one layer is that layer, but stands where it stands
        return found._replace(paths={n: _of_only_layer(n) for n in found.letters})
    return found


def _list_of_layers(cell: Cell, value: dict[str, Any], mistakes: Mistakes) -> list[Any]:
    """``layers``, and nothing of theirs beside it; empty where it is no list."""
    layers = value["layers"]
    if not isinstance(layers, list) or not layers:
        what = "an empty list" if isinstance(layers, list) else shown(layers)
        words = f"weights.layers is {what}, must be a list of layers, the lowest first"
        mistakes.add((*WEIGHTS, "layers"), words, spoils=WEIGHTS)
        return []
    for name in value:
        if name in cell.parameters:
            words = f"weights.{name} stands beside layers; put it into one of them"
            mistakes.add((*WEIGHTS, name), words, at_key=True)
    return layers


def _without_readout(layer: Any, here: Steps, mistakes: Mistakes) -> Any:
    """A layer without W_hy and b_y, which are noted."""
    if not isinstance(layer, dict):
        return layer
    for name in READOUT:
        if name in layer:
            words = f"{dotted((*here, name))} belongs to the read-out; put it beside layers"
            mistakes.add((*here, name), words, at_key=True)
    return {name: one for name, one in layer.items() if name not in READOUT}


def _of_only_layer(name: str) -> Steps:
    return (*WEIGHTS, name) if name in READOUT else (*WEIGHTS, "layers", 0, name)


_READOUT = _group(READOUT, {}, "readout")


def schema(definitions: JsonSchema) -> JsonSchema:
    """What the JSON Schema of a spec says of ``weights``: for the best known cells their
    parameters, for others any names."""
    known = {"properties": {"cell": {"enum": list(_BEST_KNOWN)}}}
    return {
        "if": known,
        "then": {"properties": {"weights": {"anyOf": _forms(definitions)}}},
        "else": {"properties": {"weights": {"anyOf": _any_forms(definitions)}}},
    }


def _forms(definitions: JsonSchema) -> list[JsonSchema]:
    """One form for each cell, and stacks of it."""
    forms: list[JsonSchema] = [TRAINED.schema(definitions)]
    for cell in (CELLS[name] for name in _BEST_KNOWN):
        forms.append(one_layer(cell).schema(definitions))
        forms.append(_stack_of(cell.name, layer_group(cell).schema(definitions), definitions))
    return forms


def _any_forms(definitions: JsonSchema) -> list[JsonSchema]:
    """Parameters of any name."""
    any_array = parameter(None).schema(definitions)
    definitions["parameters"] = {
        "title": "parameters",
        "description": "The parameters of the cell's equations, and of the read-out.",
        "type": "object",
        "properties": _READOUT.body(definitions)["properties"],
        "additionalProperties": any_array,
    }
    layer = {"$ref": "#/definitions/parameters"}
    return [TRAINED.schema(definitions), layer, _stack_of("any cell", layer, definitions)]


def _stack_of(name: str, layer: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    layers = {
        "type": "array",
        "minItems": 1,
        "description": "the layers, the lowest first",
        "items": layer,
    }
    return {
        "title": f"{name} layers",
        "type": "object",
        "description": f"Stacked layers of {name}, the lowest first.",
        "properties": {"layers": layers, **_READOUT.body(definitions)["properties"]},
        "additionalProperties": False,
        "required": ["layers"],
    }
