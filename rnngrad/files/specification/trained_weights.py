"""``weights: {file, layout, prefix}``: the recurrent layers of a trained model's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.sources import ArraySource, parameter
from rnngrad.files.specification.value_types import Group, JsonSchema, Key, Text
from rnngrad.files.text import cut, cut_path, shown
from rnngrad.files.yaml_text import Steps
from rnngrad.net.cells import INPUT, READOUT, Cell
from rnngrad.net.problem import TrainedIn

if TYPE_CHECKING:
    from rnngrad.files.models import Contents, Found


class Names(NamedTuple):
    """One text, or a list of texts."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> str | list[str] | None:
        """The text, or the list."""
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return value
        words = f"weights.prefix is {shown(value)}, must be text, or a list of texts for a stack"
        mistakes.add(path, words)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        text = {"type": "string"}
        return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}


TRAINED = Group(
    "trained_weights",
    "The recurrent layers of a trained model's file.",
    {
        "file": Key(Text(), "the model's file, relative to the spec's folder", required=True),
        "layout": Key(
            Text(), "torch, keras, onnx, flax, haiku or mlx; by default what the file shows"
        ),
        "prefix": Key(Names(), "which net of the file: what its keys begin with; a list: a stack"),
        "direction": Key(
            Text(), "forward, reverse or both, of a bidirectional net; both by default"
        ),
        "W_hy": Key(parameter(2), "O×H numbers; without it y_t = g(h_t)"),
        "b_y": Key(parameter(1), "O numbers; zeros by default"),
        "W_in": Key(parameter(2), "D×I numbers; without it the recurrent layer reads x_t itself"),
        "b_in": Key(parameter(1), "D numbers; zeros by default"),
    },
)


class Trained(NamedTuple):
    """A net of a file: its cell, the sources of all parameters, what it says of σ, what is assumed
    in words, and where in the file it stood."""

    cell: Cell
    depth: int
    sources: Mapping[str, ArraySource]
    activation: str | None
    assumed: tuple[str, ...]
    prefix: str
    direction: str | None


def is_trained(weights: Any) -> bool:
    """Whether ``weights`` names a model's file."""
    return isinstance(weights, dict) and "file" in weights


def trained(weights: dict[str, Any], folder: Path, mistakes: Mistakes) -> Trained | None:
    """The net that ``weights`` names; None with a mistake noted."""
    checked = TRAINED.check(weights, ("weights",), mistakes)
    if checked is None or mistakes.spoils(("weights",)):
        return None
    found = _found(checked, folder, mistakes)
    if found is None:
        return None
    from rnngrad.files.models.equations import cell_of

    sources: dict[str, ArraySource] = {}
    for at, layer in enumerate(found.layers):
        suffix = "" if len(found.layers) == 1 else f".{at}"
        sources |= {name + suffix: array for name, array in layer.parameters.items()}
    sources |= {name: checked[name] for name in (*READOUT, *INPUT) if name in checked}
    return Trained(
        cell_of(found.cell, found.own), len(found.layers), sources, found.activation,
        found.assumed, found.key, found.direction,
    )  # fmt: skip


def embedding_in(weights: Mapping[str, Any], folder: Path) -> str | None:
    """The key of the only embedding in a model's file, as far as names tell."""
    from rnngrad.files.models import ModelFileError
    from rnngrad.files.models.layouts import open_store

    try:
        store = open_store(folder / weights["file"], weights.get("layout"), weights["file"])
    except ModelFileError:
        return None
    keys = [k for k, a in store.arrays.items() if len(a.shape) == 2 and "emb" in k.lower()]
    return keys[0] if len(keys) == 1 else None


def _found(checked: Mapping[str, Any], folder: Path, mistakes: Mistakes) -> Found | None:
    from rnngrad.files.models import ModelFileError, choose, read_model

    contents: Contents | None = None
    try:
        path = folder / checked["file"]
        contents = read_model(path, checked.get("layout"), cut_path(checked["file"]))
        return choose(contents, checked.get("prefix"), checked.get("direction"))
    except ModelFileError as error:
        mistakes.add(("weights", _culprit(checked, contents, str(error))), str(error))
        return None


def _culprit(checked: Mapping[str, Any], contents: Contents | None, words: str) -> str:
    """The key whose value is to be changed."""
    if contents is None:
        return "layout" if "layout" in checked and words.startswith("layout") else "file"
    if "direction" in checked and "direction" in words:
        return "direction"
    return "prefix" if "prefix" in checked else "file"


def told_cell(data: Mapping[str, Any], given: Cell, net: Trained, mistakes: Mistakes) -> Cell:
    """The file's cell, which ``cell`` may only repeat, by name or by its equations."""
    if "cell" not in data:
        return net.cell
    if given.parameters != net.cell.parameters or _equations(given) != _equations(net.cell):
        words = f"cell is {cut(given.name)}, but the file's net is {net.cell.name}"
        if given.name == net.cell.name:
            words = f"cell has other equations than the file's net, {given.name}"
        mistakes.add(("cell",), f"{words}; leave the key out, or write what 'rnngrad init' writes")
    return given


def _equations(cell: Cell) -> tuple[Any, ...]:
    """What two cells that are one have in common."""
    found = cell.equations
    return found.state, *map(str, found.equations)


def activation_of(data: Mapping[str, Any], net: Trained, mistakes: Mistakes) -> str | None:
    """The σ that the file says it was trained with, which ``activation`` may only repeat; None
    where it does not say, or the cell leaves no choice."""
    if net.activation is None or net.cell.activation is not None:
        return None
    if data.get("activation", net.activation) != net.activation:
        words = f"activation is {data['activation']}, but the file says {net.activation}"
        mistakes.add(("activation",), words)
    return net.activation


def origin_of(data: Mapping[str, Any], net: Trained) -> TrainedIn:
    """Where the weights stood; what the spec itself says of σ is no assumption."""
    weights = data["weights"]
    keys = {
        name: str(weights[name]["key"])
        for name in (*READOUT, *INPUT)
        if isinstance(weights.get(name), dict) and "key" in weights[name]
    }
    told = "activation" in data
    assumed = tuple(words for words in net.assumed if not (told and words.startswith("activation")))
    return TrainedIn(net.prefix, net.direction, keys, assumed)
