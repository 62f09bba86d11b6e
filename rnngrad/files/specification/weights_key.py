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
from rnngrad.net.cells import INPUT, READOUT, Cell, letter_in, multiple, stacked
from rnngrad.net.problem import REVERSE

WEIGHTS: Steps = ("weights",)


class Parameters(NamedTuple):
    """What the spec says of every parameter, by name (``W_xh``, or ``W_xh.0`` in a stack).

    ``letters`` and ``paths`` have every name that the net has, ``sources`` those that were given.
    ``depth`` is the number of layers, ``top`` the letter of what the read-out sees: the first part
    of the state of the uppermost one, ``2H`` where there are ``both`` directions.
    """

    depth: int
    top: str
    both: bool
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


_ABSENT = {
    "W_hy": "without it y_t = g(h_t)",
    "W_in": "without it the recurrent layer reads x_t itself",
}
OUTSIDE = {**INPUT, **READOUT}
"""The parameters that are of no recurrent layer."""


class Names(NamedTuple):
    """What the parameters of a layer are called: those of the cell, and where there are ``both``
    directions each once more with _reverse behind it."""

    cell: Cell
    both: bool = False

    def _ways(self, shapes: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        ways = ("", REVERSE) if self.both else ("",)
        return {name + way: shape for way in ways for name, shape in shapes.items()}

    @property
    def parameters(self) -> dict[str, tuple[str, ...]]:
        """All of them."""
        return self._ways(self.cell.parameters)

    @property
    def weights(self) -> dict[str, tuple[str, ...]]:
        """What must be given."""
        return self._ways(self.cell.weights)

    @property
    def title(self) -> str:
        """What the cell is called in the schema."""
        return f"{self.cell.name}{'_both' if self.both else ''}"

    def stacked(self, depth: int) -> dict[str, tuple[str, ...]]:
        """Those of all layers, with the letters of their sizes: two times as many inputs as there
        are units below, where there are both directions."""
        if not self.both:
            return stacked(self.cell, depth)
        return {
            name + (f".{at}" if depth > 1 else ""): tuple(
                f"{'2' if at and n == 'I' else ''}{letter_in(self.cell, n, at, depth)}"
                for n in shape
            )
            for at in range(depth)
            for name, shape in self.parameters.items()
        }

    def top(self, depth: int) -> str:
        """The letter of what the read-out sees."""
        letter = letter_in(self.cell, self.cell.letters[0], depth - 1, depth)
        return f"2{letter}" if self.both else letter


def layer_group(names: Names) -> Group:
    """The parameters of one layer of a stack."""
    return _group(names.parameters, names.weights, f"{names.title}_layer")


def one_layer(names: Names) -> Group:
    """The parameters of a net of one layer, and of its read-out."""
    return _group({**names.parameters, **OUTSIDE}, names.weights, f"{names.title}_weights")


def check(names: Names, value: Any, net: Trained | None, mistakes: Mistakes) -> Parameters:
    """The parameters that ``weights`` describes, those of a model's file if there is one."""
    if net is not None:
        found = _parameters(names, net.depth, net.sources, mistakes)
        inside = {name: (*WEIGHTS, "file") for name in found.letters if name not in OUTSIDE}
        return found._replace(paths={**found.paths, **inside})
    if isinstance(value, dict) and "layers" in value:
        return _stack(names, value, mistakes)
    if _misspelt_layers(value, mistakes):
        return _parameters(names, 1, {}, mistakes)
    value = _without_strangers(names, value, WEIGHTS, mistakes)
    _all_lacking(names, value, WEIGHTS, mistakes)
    sources = one_layer(names).check(value, WEIGHTS, mistakes) or {}
    return _parameters(names, 1, sources, mistakes)


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


def _without_strangers(names: Names, value: Any, here: Steps, mistakes: Mistakes) -> Any:
    """``value`` without what no equation has and the parameters of the best known cells, which are
    noted with what this one has."""
    cell, mine = names.cell, names.parameters
    if not isinstance(value, dict) or value.keys() <= {*mine, *OUTSIDE}:
        return value
    strangers = []
    for name in sorted(value.keys() - {*mine, *OUTSIDE}):
        owners = [one for one in _BEST_KNOWN if name in CELLS[one].parameters]
        if not names.both and name.removesuffix(REVERSE) in {*mine} - {name}:
            strangers.append(name)
            words = f"{dotted((*here, name))} is of a bidirectional layer; add direction: both"
            mistakes.add((*here, name), words, at_key=True)
        elif cell.own:
            strangers.append(name)
            hint = did_you_mean(cut(name), [*mine, *READOUT])
            if plain_name(name) in mine:  # μ, W_{xh}
                hint = f"; did you mean '{plain_name(name)}'?"
            has = hint or f"; its parameters are {listed(mine)}"
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


def _all_lacking(names: Names, value: Any, here: Steps, mistakes: Mistakes) -> None:
    """Many weights that are not there, in one mistake, to be written down in one go."""
    if not isinstance(value, dict):
        return
    lacking = {n: s for n, s in names.weights.items()
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
    names: Names, depth: int, sources: Mapping[str, ArraySource], mistakes: Mistakes
) -> Parameters:
    readout = "W_hy" in sources or mistakes.spoils((*WEIGHTS, "W_hy"))
    top = names.top(depth)
    seen = {name: tuple({"H": top}.get(n, n) for n in shape) for name, shape in READOUT.items()}
    letters = {**names.stacked(depth), **seen}
    dense = "W_in" in sources or mistakes.spoils((*WEIGHTS, "W_in"))
    if dense:
        first = tuple(letters)[: len(names.parameters)]
        if any("D" in map(_bare, shape) for shape in names.parameters.values()):
            words = f"W_in has D rows, and D is a size of {cut(names.cell.name)}: call that another"
            mistakes.add((*WEIGHTS, "W_in"), words, at_key=True)
        reads = names.cell.input_letter
        into = {"I": "D"} if reads == "I" else {}
        letters |= {n: tuple(into.get(size, size) for size in letters[n]) for n in first}
        letter = "D" if into else letter_in(names.cell, reads, 0, depth)
        letters |= {n: tuple(letter if size == "D" else size for size in shape)
                    for n, shape in INPUT.items()}  # fmt: skip
    elif "b_in" in sources:
        words = "b_in needs W_in; without W_in the recurrent layer reads x_t itself"
        mistakes.add((*WEIGHTS, "b_in"), words, at_key=True)
    if not readout:
        letters = {name: shape for name, shape in letters.items() if name not in READOUT}
    if "b_y" in sources and not readout:
        words = "b_y needs W_hy; without W_hy the read-out is y_t = g(h_t)"
        mistakes.add((*WEIGHTS, "b_y"), words, at_key=True)
    paths = {name: path(name) for name in letters}
    return Parameters(depth, top, names.both, letters, paths, sources)


def _bare(letter: str) -> str:
    """H of 3H."""
    return multiple(letter)[1]


def path(name: str) -> Steps:
    """Where a parameter stands in a spec: weights.W_xh, or weights.layers[0].W_xh for W_xh.0."""
    own, _, layer = name.partition(".")
    return (*WEIGHTS, "layers", int(layer), own) if layer else (*WEIGHTS, own)


def _stack(names: Names, value: dict[str, Any], mistakes: Mistakes) -> Parameters:
    layers = _list_of_layers(names, value, mistakes)
    rest = {n: v for n, v in value.items() if n != "layers" and n not in names.parameters}
    sources: dict[str, ArraySource] = _READOUT.check(rest, WEIGHTS, mistakes) or {}
    for at, layer in enumerate(layers):
        here = (*WEIGHTS, "layers", at)
        layer = _without_readout(_without_strangers(names, layer, here, mistakes), here, mistakes)
        _all_lacking(names, layer, here, mistakes)
        checked = layer_group(names).check(layer, here, mistakes) or {}
        suffix = "" if len(layers) == 1 else f".{at}"
        sources |= {name + suffix: source for name, source in checked.items()}
    found = _parameters(names, max(len(layers), 1), sources, mistakes)
    if len(layers) == 1:  # a stack of one layer is that layer, but stands where it stands
        return found._replace(paths={n: _of_only_layer(n) for n in found.letters})
    return found


def _list_of_layers(names: Names, value: dict[str, Any], mistakes: Mistakes) -> list[Any]:
    """``layers``, and nothing of theirs beside it; empty where it is no list."""
    layers = value["layers"]
    if not isinstance(layers, list) or not layers:
        what = "an empty list" if isinstance(layers, list) else shown(layers)
        words = f"weights.layers is {what}, must be a list of layers, the lowest first"
        mistakes.add((*WEIGHTS, "layers"), words, spoils=WEIGHTS)
        return []
    for name in value:
        if name in names.parameters:
            words = f"weights.{name} stands beside layers; put it into one of them"
            mistakes.add((*WEIGHTS, name), words, at_key=True)
    return layers


def _without_readout(layer: Any, here: Steps, mistakes: Mistakes) -> Any:
    """A layer without W_hy and b_y, which are noted."""
    if not isinstance(layer, dict):
        return layer
    for name in OUTSIDE:
        if name in layer:
            of = "read-out" if name in READOUT else "dense layer before the others"
            words = f"{dotted((*here, name))} belongs to the {of}; put it beside layers"
            mistakes.add((*here, name), words, at_key=True)
    return {name: one for name, one in layer.items() if name not in OUTSIDE}


def _of_only_layer(name: str) -> Steps:
    return (*WEIGHTS, name) if name in OUTSIDE else (*WEIGHTS, "layers", 0, name)


_READOUT = _group(OUTSIDE, {}, "readout")


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
        for names in (Names(cell), Names(cell, both=True)):
            forms.append(one_layer(names).schema(definitions))
            layers = layer_group(names).schema(definitions)
            forms.append(_stack_of(names.title, layers, definitions))
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
