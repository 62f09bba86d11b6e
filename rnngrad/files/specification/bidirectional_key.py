"""``direction: both`` and the keys that belong to it: bidirectional layers, or one half of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnngrad.errors import did_you_mean
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.trained_weights import Trained
from rnngrad.files.specification.weights_key import Parameters
from rnngrad.files.text import cut, listed, shown
from rnngrad.net.batch import Batch, Chosen, chosen, half_of_batch
from rnngrad.net.bidirectional import Bidirectional, half_of
from rnngrad.net.cells import Cell
from rnngrad.net.problem import REVERSE, Problem

BOTH = "both"


def is_bidirectional(
    spec: Mapping[str, Any], data: Mapping[str, Any], net: Trained | None, mistakes: Mistakes
) -> bool:
    """Whether the layers are bidirectional; of a model's file its own direction says so."""
    both = spec["direction"] == BOTH if net is None else net.direction == BOTH
    if net is not None and data.get("direction", BOTH if both else "forward") != (
        BOTH if both else "forward"
    ):
        words = f"direction is {data['direction']}, but the file's net has one direction"
        if both:
            words = "direction is forward, but both directions of the file's net are taken"
        mistakes.add(("direction",), f"{words}; weights.direction chooses", at_key=True)
    if not both:
        there = [name for name in spec if name.endswith(f"_0{REVERSE}")]
        there += ["half"] if "half" in spec else []
        for name in there:
            words = f"{name} is of bidirectional layers; add direction: both"
            mistakes.add((name,), words, at_key=True)
    return both


def refuse_bidirectional(
    cell: Cell, spec: Mapping[str, Any], parameters: Parameters, mistakes: Mistakes
) -> None:
    """Note what bidirectional layers cannot be."""
    if not parameters.both:
        return
    taken = [name for name in (*cell.parameters, *cell.parts) if name.endswith(REVERSE)]
    if taken:
        words = f"{listed(taken)} of {cut(cell.name)} would be the name of a reverse half's"
        mistakes.add(("cell",), f"direction: both takes names with {REVERSE} behind: {words}")
    if parameters.depth > 1 and cell.input_letter != "I":
        words = (
            f"{cut(cell.name)} takes x_t unit by unit, and a layer above reads two times as many"
        )
        mistakes.add(("weights",), f"direction: both has no stack here: {words}", at_key=True)


def chosen_half(
    net: Problem | Batch, spec: Mapping[str, Any], mistakes: Mistakes
) -> Problem | Batch | Bidirectional | None:
    """The net, or the half that ``half`` names, of a batch that of every sequence."""
    if "half" not in spec:
        return net if isinstance(net, Batch) else Bidirectional(net)
    both = Bidirectional(net.net if isinstance(net, Batch) else net)
    names = {half.name: half for half in both.halves}
    half = names.get(str(spec["half"]))
    if half is None:
        hint = did_you_mean(cut(str(spec["half"])), names) or f"; they are {listed(names)}"
        mistakes.add(("half",), f"half is {shown(spec['half'])}, no half of the net{hint}")
        return None
    if isinstance(net, Batch):
        return half_of_batch(net, half.layer, half.reverse)
    if isinstance(net, Chosen) and net.of_batch is not None:
        return chosen(half_of_batch(net.batch, half.layer, half.reverse), net.of_batch[0])
    return half_of(net, half.layer, half.reverse)
