"""Checked spec -> Problem: arrays read, sizes settled, random numbers drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, nodes
from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.files.arrays.drawing import Draw, DrawingError, drawn, too_large
from rnngrad.files.arrays.readers import File
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.arrays_of_spec import Piece, draws, fitted
from rnngrad.files.specification.arrays_of_spec import pieces as all_pieces
from rnngrad.files.specification.batch_key import (
    MEAN_OF_STEPS,
    BatchKey,
    batch_in,
    batched,
    not_a_batch,
    turned,
    without_padding,
)
from rnngrad.files.specification.bidirectional_key import (
    chosen_half,
    is_bidirectional,
    refuse_bidirectional,
)
from rnngrad.files.specification.cell_key import cell_in
from rnngrad.files.specification.head import check_upstream, labels_in, with_targets
from rnngrad.files.specification.schema import SPEC, spec_with
from rnngrad.files.specification.schema import sizes as sizes_group
from rnngrad.files.specification.sizing import WORDS, Stated, in_all, report, settle, unfixed
from rnngrad.files.specification.trained_weights import (
    activation_of,
    embedding_in,
    is_trained,
    origin_of,
    told_cell,
    trained,
)
from rnngrad.files.specification.weights_key import Names, Parameters
from rnngrad.files.specification.weights_key import check as check_parameters
from rnngrad.files.text import counted, cut, cut_path, listed, shown
from rnngrad.files.yaml_text import Steps
from rnngrad.net.batch import Batch, BidirectionalBatch, chosen
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.cells import INPUT, Cell, letter_in, multiple
from rnngrad.net.dense import behind
from rnngrad.net.losses import LOSSES, UPSTREAM
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import REVERSE, Dense, Problem, Tokens, TrainedIn

SEQUENCES = ("inputs", "targets", "upstream")
"""The keys of a spec with a row a step."""


class Blueprint(NamedTuple):
    """A spec that is right, everything but the seed: the cell, names of records, and arrays.

    Picklable; ``arrays`` holds every weight, the starts, ``inputs`` and, where there are any,
    ``targets`` or ``upstream``, as they are or still to be drawn; of a ``batch`` the sequences are
    the first axis, also of ``counts``. ``weights`` are the names of the weights in their order;
    ``trained`` tells of the model's file that they came from; ``counts`` is what each label counts
    in a mean, 0 where it does not count; ``tokens`` tells of an embedding; ``both``: the layers are
    bidirectional; ``input_activation`` is that of a dense layer before the recurrent one.
    """

    name: str
    cell: Cell
    activation: str
    output: str
    loss: str
    weights: tuple[str, ...]
    arrays: Mapping[str, Array | Draw]
    loss_steps: Any
    loss_reduction: str
    trained: TrainedIn | None = None
    counts: Array | None = None
    tokens: Tokens | None = None
    batch: BatchKey | None = None
    both: bool = False
    input_activation: str = "identity"

    @property
    def random(self) -> bool:
        """Whether another seed makes another problem."""
        draws = (array for array in self.arrays.values() if isinstance(array, Draw))
        return any(draw.filling.random for draw in draws)

    @property
    def steps(self) -> int:
        """T"""
        return self.arrays["inputs"].shape[-2]

    @property
    def any_length(self) -> bool:
        """Whether no sequence is given number by number."""
        if self.batch is not None and set(self.batch.lengths) != {self.steps}:
            return False
        sequences = (self.arrays.get(name) for name in SEQUENCES)
        return not any(isinstance(array, np.ndarray) for array in sequences)


def assemble(blueprint: Blueprint, seed: int) -> Problem:
    """The problem under ``seed``, of a batch the sequence that is chosen, by itself; raises
    DrawingError where an array cannot be drawn."""
    of = None if blueprint.batch is None else blueprint.batch.sequence
    return _problem(blueprint, _arrays(blueprint, seed), seed, of)


def assemble_batch(blueprint: Blueprint, seed: int) -> Batch:
    """All sequences under ``seed``."""
    arrays, batch = _arrays(blueprint, seed), blueprint.batch
    assert batch is not None
    kind = BidirectionalBatch if blueprint.both else Batch
    return kind(
        tuple(_problem(blueprint, arrays, seed, k) for k in range(1, batch.size + 1)),
        axis=batch.axis,
        reduction=batch.reduction,
        draw=partial(assemble_batch, blueprint) if blueprint.random else None,
        lengthen=partial(_longer_batch, blueprint, seed) if blueprint.any_length else None,
    )


def _arrays(blueprint: Blueprint, seed: int) -> dict[str, Array]:
    return {
        name: frozen(_read_only(drawn(name, array, seed)) if isinstance(array, Draw) else array)
        for name, array in blueprint.arrays.items()
    }


def _problem(
    blueprint: Blueprint, arrays: Mapping[str, Array], seed: int, of: int | None
) -> Problem:
    """The problem of the arrays, or of sequence ``of``, from 1, of a batch."""
    cell, steps, counts, tokens = (
        blueprint.cell, blueprint.steps, blueprint.counts, blueprint.tokens,
    )  # fmt: skip
    if of is not None and blueprint.batch is not None:
        steps = blueprint.batch.lengths[of - 1]
        blueprint = blueprint._replace(batch=blueprint.batch._replace(sequence=of))
        arrays = {name: _of_one(name, array, of, steps) for name, array in arrays.items()}
        counts = None if counts is None else counts[of - 1, :steps]
        tokens = tokens and tokens._replace(ids=tokens.ids[of - 1, :steps])
    upstream = arrays.get("upstream")
    targets = arrays.get("targets", upstream)
    loss = LOSSES[blueprint.loss] if upstream is None else UPSTREAM
    problem = Problem(
        name=blueprint.name,
        cell=cell,
        activation=ACTIVATIONS[blueprint.activation],
        output=OUTPUTS[blueprint.output],
        weights=MappingProxyType({n: arrays[n] for n in blueprint.weights if n not in INPUT}),
        x=arrays["inputs"],
        h_0=arrays[f"{cell.parts[0]}_0"],
        starts=_starts(blueprint, arrays),
        loss=None if targets is None else loss,
        targets=targets,
        loss_weights=None if targets is None else _loss_weights(blueprint, steps, counts, upstream),
        seed=seed,
        draw=partial(assemble, blueprint) if blueprint.random else None,
        trained=blueprint.trained,
        tokens=tokens,
        of_batch=None if blueprint.batch is None or of is None else (of, blueprint.batch.size),
        lengthen=partial(_lengthened, blueprint, seed) if blueprint.any_length else None,
    )
    if "W_in" not in arrays:
        return problem
    activation = ACTIVATIONS[blueprint.input_activation]
    return behind(problem, Dense(problem.x, arrays["W_in"], arrays["b_in"], activation))


def _starts(blueprint: Blueprint, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Those of the other parts, and all of a reverse half."""
    parts = blueprint.cell.parts
    starts = {part: arrays[f"{part}_0"] for part in parts[1:]}
    if blueprint.both:
        starts |= {part + REVERSE: arrays[f"{part}_0{REVERSE}"] for part in parts}
    return starts


def _of_one(name: str, array: Array, of: int, steps: int) -> Array:
    """What belongs to one sequence of a batch."""
    if name in SEQUENCES:
        return array[of - 1, :steps]
    start = name.removesuffix(REVERSE).endswith("_0")
    return array[of - 1] if start and array.ndim == 2 else array


def _lengthened(blueprint: Blueprint, seed: int, steps: int) -> Problem:
    """The problem as the spec with so many steps gives it; DrawingError where that is too large."""
    return assemble(_of_length(blueprint, steps), seed)


def _longer_batch(blueprint: Blueprint, seed: int, steps: int) -> Batch:
    return assemble_batch(_of_length(blueprint, steps), seed)


def _of_length(blueprint: Blueprint, steps: int) -> Blueprint:
    arrays = dict(blueprint.arrays)
    for name in SEQUENCES:
        draw = arrays.get(name)
        if isinstance(draw, Draw):
            *more, _, width = draw.shape
            arrays[name] = draw = draw._replace(shape=(*more, steps, width))
            if too_large(draw.shape):
                raise DrawingError(name, too_large(draw.shape))
    batch = blueprint.batch
    batch = batch and batch._replace(lengths=(steps,) * batch.size)
    return blueprint._replace(arrays=arrays, batch=batch)


def build(
    data: dict[str, Any], folder: Path, name: str, mistakes: Mistakes, assumed: Sequence[str] = ()
) -> Problem | Batch | Bidirectional | None:
    """The problem that ``data`` describes, a batch of which no sequence is chosen, or a
    bidirectional net of which no half is; None where ``mistakes`` holds any in the end.

    File references are relative to ``folder``; ``name`` is the default of ``name``; ``assumed`` is
    said of trained weights too.
    """
    cell = cell_in(data, name, mistakes)
    starts = [key[:-2] for key in data if key.endswith("_0")] if cell is None else cell.parts
    checked = spec_with(starts).check(data, (), mistakes)
    spec = {"name": name, **_DEFAULTS, **(checked or {})}
    if cell is None:
        return None
    weights, net, origin = spec.get("weights", {}), None, None
    if is_trained(weights):
        net = trained(weights, folder, mistakes)
        if net is None:
            return None
        cell = told_cell(data, cell, net, mistakes)
        spec["activation"] = activation_of(data, net, mistakes) or spec["activation"]
        origin = origin_of(data, net)
        origin = origin._replace(assumed=(*origin.assumed, *assumed))
    both = is_bidirectional(spec, data, net, mistakes)
    _check_cell(cell, spec, data, mistakes)
    parameters = check_parameters(Names(cell, both), weights, net, mistakes)
    refuse_bidirectional(cell, spec, parameters, mistakes)
    if "input_activation" in data and "W_in" not in parameters.letters:
        words = "input_activation is of a dense layer before the recurrent one; give weights.W_in"
        mistakes.add(("input_activation",), words, at_key=True)
    check_upstream(data, parameters, mistakes)
    pieces = all_pieces(spec, cell, parameters, folder, mistakes)
    stated = _stated(spec, cell, parameters, mistakes)
    times, top = multiple("O" if "W_hy" in parameters.letters else parameters.top)
    batch = None
    if "batch" not in spec:
        not_a_batch(data, pieces, mistakes)
    else:
        sure = settle([piece for piece in pieces if piece.path[0] == "weights"], stated)
        pieces = turned(spec, pieces, times * sure[top].value if top in sure else None, mistakes)
        batch = batch_in(spec, pieces, folder, mistakes)
        pieces = [without_padding(p, batch) for p in pieces] if batch else pieces
    labels, pieces = labels_in(spec, data, pieces, mistakes)
    sizes = settle(pieces, stated)
    for letter in dict.fromkeys(cell.letters) if parameters.depth > 1 else ():
        layers = [letter_in(cell, letter, at, parameters.depth) for at in range(parameters.depth)]
        sizes |= in_all(letter, layers, sizes)
    pieces = [_asked_for_tokens(p, spec, folder) if p.name == "inputs" else p for p in pieces]
    report(pieces, sizes, mistakes)
    unfixed(pieces, sizes, mistakes)
    classes = None if top not in sizes else times * sizes[top].value
    pieces, counts = with_targets(labels, pieces, classes, spec, data, mistakes)
    steps = _steps(pieces, mistakes)
    _check_loss_steps(spec, steps, mistakes)
    _check_loss(spec, data, pieces, mistakes)
    lengths = {letter: size.value for letter, size in sizes.items()}
    lengths |= {"T": steps} if steps else {}
    to_draw = draws(pieces, lengths, parameters.top, mistakes)
    if batch is not None:
        to_draw |= {
            p.name: batched(to_draw[p.name], batch, p, mistakes)
            for p in pieces
            if p.sequence and p.name in to_draw
        }
    if mistakes.found:
        return None
    given = {
        p.name: frozen(_read_only(fitted(p.value, p, lengths)))
        for p in pieces
        if isinstance(p.value, np.ndarray)
    }
    blueprint = Blueprint(
        name=spec["name"],
        cell=cell,
        activation=cell.activation or spec["activation"],
        output=spec["output_activation"],
        loss=spec["loss"],
        weights=tuple(parameters.letters),
        arrays={**given, **to_draw},
        loss_steps=spec["loss_steps"],
        loss_reduction=spec["loss_reduction"],
        trained=origin,
        counts=counts,
        tokens=next(piece.tokens for piece in pieces if piece.name == "inputs"),
        batch=batch,
        both=both,
        input_activation=spec["input_activation"],
    )
    found = _assembled(blueprint, spec["seed"], pieces, mistakes)
    return chosen_half(found, spec, mistakes) if both and found is not None else found


def _asked_for_tokens(inputs: Piece, spec: Mapping[str, Any], folder: Path) -> Piece:
    """Inputs that may be token ids, with what is then to be written, should they be refused."""
    value = inputs.value
    if not isinstance(value, np.ndarray) or not inputs.flat or inputs.why or inputs.tokens:
        return inputs
    if (value != np.floor(value)).any() or value.min() < 0:
        return inputs
    file, weights = spec["inputs"], spec.get("weights", {})
    ids = f"file: {file.file}" if isinstance(file, File) else "ids: [...]"
    table = "{file: ..., key: ...}"
    if is_trained(weights):
        key = embedding_in(weights, folder) or "..."
        table = f"{{file: {cut_path(weights['file'])}, key: {cut(key)}}}"
    why = f"; are they token ids? inputs: {{{cut(ids)}, embedding: {table}}}"
    return inputs._replace(why=why)


def _check_cell(
    cell: Cell, spec: Mapping[str, Any], data: Mapping[str, Any], mistakes: Mistakes
) -> None:
    """σ and starts only where the cell has them."""
    if cell.activation is not None and data.get("activation", cell.activation) != cell.activation:
        trees = (node for one in cell.equations.equations for node in nodes(one.right))
        has = sorted({node.function for node in trees if isinstance(node, Call)})
        words = f"activation is for rnn; {cut(cell.name)} has {listed(has) or 'its functions'}"
        mistakes.add(("activation",), f"{words} by its equations", at_key=True)
    for name in spec:
        if name.removesuffix(REVERSE).endswith("_0") and _part(name) not in cell.parts:
            parts = listed(f"{part}_0" for part in cell.parts)
            words = f"{name}: {cut(cell.name)} has no {_part(name)} in its state"
            there = "are" if len(cell.parts) > 1 else "is"
            mistakes.add((name,), f"{words}; there {there} {parts}", at_key=True)


def _part(start: str) -> str:
    """h of h_0 and h_0_reverse."""
    return start.removesuffix(REVERSE)[:-2]


_DEFAULTS = {name: key.default for name, key in SPEC.keys.items() if key.default is not None}


def _assembled(
    blueprint: Blueprint, seed: int, pieces: list[Piece], mistakes: Mistakes
) -> Problem | Batch | None:
    try:
        if blueprint.batch is None:
            return assemble(blueprint, seed)
        whole = assemble_batch(blueprint, seed)
        return (
            whole if blueprint.batch.sequence is None else chosen(whole, blueprint.batch.sequence)
        )
    except DrawingError as error:
        path = next(piece.path for piece in pieces if piece.name == error.name)
        mistakes.add(path, f"{error.name} {error.reason}")
        return None


def _read_only(array: Array) -> Array:
    """The same array, so that ``frozen`` need not copy it."""
    array.flags.writeable = False
    return array


# ---------------------------------------------------------------------------- sizes and steps


def _stated(
    spec: Mapping[str, Any], cell: Cell, parameters: Parameters, mistakes: Mistakes
) -> dict[str, Stated]:
    """letter -> what ``sizes`` gives; outputs are the hidden units where there is no W_hy."""
    outside = ("I", "O", *(["D"] if "W_in" in parameters.letters else []))
    stated = _by_letter(spec, cell, outside[2:], mistakes)
    depth, (times, top) = parameters.depth, multiple(parameters.top)
    for letter in [n for n in stated if depth > 1 and n not in outside]:
        every = stated.pop(letter)
        stated |= {letter_in(cell, letter, at, depth): every for at in range(depth)}
    if "O" in stated and "W_hy" not in parameters.letters and "O" not in _letters(cell):
        outputs = stated.pop("O")
        hidden = stated.setdefault(top, (-(-outputs[0] // times), outputs[1]))
        hidden = (times * hidden[0], hidden[1])
        if hidden[0] != outputs[0] and not mistakes.spoils(("weights", "W_hy")):
            seen = "[h_t; h_reverse_t]" if parameters.both else "h_t"
            words = f"{outputs[1]}, must be {hidden[0]}: without W_hy y_t = g({seen})"
            mistakes.add(("sizes", "outputs"), words)
    return stated


def _letters(cell: Cell) -> list[str]:
    """The letters of the cell's sizes."""
    shapes = [cell.letters, *cell.parameters.values()]
    return list(dict.fromkeys(multiple(letter)[1] for shape in shapes for letter in shape))


def _by_letter(
    spec: Mapping[str, Any], cell: Cell, more: Sequence[str], mistakes: Mistakes
) -> dict[str, Stated]:
    """``sizes`` by letter: hidden is H, or in a cell without H the first part of the state."""
    letters = [*_letters(cell), *more]
    if "sizes" not in spec:
        return {}
    written = spec["sizes"] if isinstance(spec["sizes"], dict) else {}
    keys = [n for n in ("I", "H", "O", *letters) if n in written or n not in WORDS]
    given = sizes_group(keys).check(spec["sizes"], ("sizes",), mistakes) or {}
    hidden = "H" if "H" in letters else cell.letters[0]
    meant = {"inputs": "I" if more else cell.input_letter, "hidden": hidden, "outputs": "O"}
    meant |= {"I": meant["inputs"], "H": hidden}
    stated: dict[str, Stated] = {}
    for word, number in given.items():
        letter = meant.get(word, word)
        first = stated.setdefault(letter, (number, f"sizes gives {word}: {number}"))
        if first[0] != number:
            words = f"sizes gives {word}: {number}, but {first[1].removeprefix('sizes gives ')}"
            mistakes.add(("sizes", word), f"{words}; in {cut(cell.name)} both are {letter}")
    return stated


def _steps(pieces: list[Piece], mistakes: Mistakes) -> int | None:
    """T, from the inputs; the targets, or upstream, must have as many."""
    by_name = {piece.name: piece for piece in pieces}
    steps = _length(by_name["inputs"])
    for name in SEQUENCES[1:]:
        given = _length(by_name[name]) if name in by_name else None
        if steps and given and steps != given:
            found = f"{name} has {counted(given, 'step')}, must have {steps}"
            mistakes.add((name,), f"{found}, one for each of the inputs")
    return steps


def _length(piece: Piece) -> int | None:
    if isinstance(piece.value, Draw):
        return piece.value.steps
    return piece.shape[0] if piece.shape else None


def _loss_weights(
    blueprint: Blueprint, steps: int, counts: Array | None, upstream: Array | None
) -> Array:
    """(T,): 0 where a step does not count, or its ∂L/∂h_t is given as 0; else 1, or 1/n for a mean
    over n, where labels of classes with weights count as these; of a sequence of a mean over B
    1/B of that."""
    if upstream is not None:
        return frozen(np.any(upstream != 0, axis=-1))
    weights, batch = _counting(blueprint.loss_steps, steps, counts), blueprint.batch
    if blueprint.loss_reduction == "mean" and weights.any():
        weights /= _in_all(weights, counts)
    if batch is not None and batch.reduction == "mean":
        weights /= batch.size
    if batch is not None and batch.reduction == MEAN_OF_STEPS:
        every = 0.0
        for k, n in enumerate(batch.lengths):
            own = None if blueprint.counts is None else blueprint.counts[k, :n]
            every += _in_all(_counting(blueprint.loss_steps, n, own), own)
        weights /= every or 1.0
    return frozen(_read_only(weights))


def _counting(loss_steps: Any, steps: int, counts: Array | None) -> Array:
    """1 where a step counts, else 0, (T,); of a list of steps those that the sequence has."""
    rows = slice(None) if loss_steps == "all" else [-1]
    if isinstance(loss_steps, list):
        rows = [step - 1 for step in loss_steps if step <= steps]
    weights = np.zeros(steps)
    weights[rows] = 1.0
    if counts is not None:
        weights[counts == 0] = 0.0
    return weights


def _in_all(weights: Array, counts: Array | None) -> float:
    """What a mean divides by: how many steps count, or the class weights of their labels."""
    return float(weights.sum() if counts is None else weights @ counts)


def _check_loss_steps(spec: Mapping[str, Any], steps: int | None, mistakes: Mistakes) -> None:
    """T is an upper bound only where there are targets; without them the list is left aside."""
    if isinstance(spec["loss_steps"], list):
        _check_counting(spec["loss_steps"], steps if "targets" in spec else None, mistakes)


def _check_counting(counting: list[Any], steps: int | None, mistakes: Mistakes) -> None:
    """Distinct steps from 1 to T, at least one."""
    last = steps or "T"
    if not counting:
        mistakes.add(("loss_steps",), f"loss_steps is empty, must hold steps from 1 to {last}")
    seen = set()
    for index, step in enumerate(counting):
        whole = type(step) is int and 1 <= step <= (steps or step)
        if not whole:
            words = f"loss_steps holds {shown(step)}, must be a step from 1 to {last}"
            mistakes.add(("loss_steps", index), words)
        elif step in seen:
            mistakes.add(("loss_steps", index), f"loss_steps holds step {step} twice")
        else:
            seen.add(step)


# ---------------------------------------------------------------------------- loss and targets


_RANGES = {
    "sigmoid": (0.0, 1.0, "from 0 to 1", "bernoulli"),
    "softmax": (0.0, np.inf, "of at least 0", "one_hot"),
}
"""Output activation that a loss needs -> the targets it takes, and random ones that will do."""


def _check_loss(
    spec: Mapping[str, Any], data: Mapping[str, Any], pieces: list[Piece], mistakes: Mistakes
) -> None:
    """The output activation and the targets that the loss needs."""
    needs, output = LOSSES[spec["loss"]].needs, spec["output_activation"]
    if needs is None or "targets" not in spec or mistakes.spoils(("loss",)):
        return
    if needs != output and not mistakes.spoils(("output_activation",)):
        found = f"{output}, the default" if "output_activation" not in data else output
        words = f"loss: {spec['loss']} needs output_activation: {needs}, not {found}"
        mistakes.add(("output_activation" if "output_activation" in data else "loss",), words)
    targets = next(piece for piece in pieces if piece.name == "targets")
    if isinstance(targets.value, Draw):
        _check_random_targets(spec["loss"], targets.value, needs, mistakes)
    elif targets.value is not None:
        by_time = spec.get("batch") == "second"
        _check_targets(spec["loss"], targets, needs, data["targets"], by_time, mistakes)


def _check_random_targets(loss: str, draw: Draw, needs: str, mistakes: Mistakes) -> None:
    *_, words, instead = _RANGES[needs]
    if draw.of == "random" and "scale" in draw.options:
        found = f"random: {draw.kind} gives negative targets; {loss} needs targets {words}"
        mistakes.add(("targets", "random"), f"{found}; use random: {instead}")


def _check_targets(
    loss: str, piece: Piece, needs: str, source: Any, by_time: bool, mistakes: Mistakes
) -> None:
    low, high, words, _ = _RANGES[needs]
    targets = piece.value
    assert isinstance(targets, np.ndarray)
    outside = np.argwhere((targets < low) | (targets > high))
    if len(outside):
        first = tuple(int(index) for index in outside[0])
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        of = f" of sequence {first[0] + 1}" if piece.of_batch else ""
        step = first[1:] if piece.of_batch else first
        found = f"the target of step {step[0] + 1 if step else 1}{of} is {targets[first]:g}"
        first = (first[1], first[0], *first[2:]) if by_time and piece.of_batch else first
        path: Steps = ("targets", *first) if isinstance(source, list) else ("targets",)
        mistakes.add(path, f"{found}; {loss} needs targets {words}{more}")
