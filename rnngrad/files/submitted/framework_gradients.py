"""Somebody's gradients in a file, under the contract's names or under PyTorch's own keys.

    weight_ih_l{k} -> dL_dW_xh.{k}        bias_ih_l{k} -> dL_db_xh.{k} (gru)
    weight_hh_l{k} -> dL_dW_hh.{k}        bias_hh_l{k} -> dL_db_hh.{k} (gru)

    weight_hr_l{k} -> dL_dW_p.{k} (lstm_projection, whose other arrays hold one block a gate:
    weight_ih_l{k} -> dL_dW_xi.{k}, dL_dW_xf.{k}, …)

without the ``.{k}`` where there is one layer, and with or without ``.grad`` behind the key. A
pre-activation of rnn and lstm holds b_ih + b_hh, so that both have the gradient of b_h: where they
differ, one of them is wrong, and both are given. PyTorch adds them up in different orders, so they
agree to rounding only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnngrad.cells import CELLS
from rnngrad.errors import SpecError, did_you_mean, escaped
from rnngrad.files.arrays.numbers import type_refused
from rnngrad.files.models.choosing import alike
from rnngrad.files.models.gates import cell_of, sides
from rnngrad.files.models.layouts import open_store
from rnngrad.files.models.records import BOTH, ModelFileError, Store
from rnngrad.files.models.torch.keys import Part, part_of
from rnngrad.files.models.torch.layout import PROJECTED
from rnngrad.files.opening import unreadable
from rnngrad.files.submitted.gradients import GivenFile, read_gradients
from rnngrad.files.text import cut_path, several, shown
from rnngrad.net.given_arrays import GivenArray
from rnngrad.net.problem import REVERSE, Problem

OF_TORCH = (".safetensors", ".safetensors.index.json")
"""Endings of files that hold PyTorch's names, without being told."""


LAYOUT = "torch"
SUFFIX = ".grad"
"""What some write behind the parameter's name."""


class Asked(NamedTuple):
    """What the caller knows of the net; the file may not show its cell, nor all its layers."""

    prefix: str | None = None
    cell: str | None = None
    layers: int | None = None
    direction: str = "forward"


class Block(NamedTuple):
    """One of ``of`` equal blocks of an array's rows, counted from 0."""

    key: str
    at: int = 0
    of: int = 1


ANY = Asked()


def gradients_of(problem: Problem, path: str, layout: str | None = None) -> GivenFile:
    """The arrays of a file by the contract's names; raises SpecError that holds all mistakes.

    With ``layout``, or for a .safetensors, they stand under the framework's names: the net is the
    one that the spec's ``prefix`` names, or the only one, and the read-out's keys are the spec's.
    """
    if layout is None and not path.endswith(OF_TORCH):
        return read_gradients(path)
    if not Path(path).exists():
        words = unreadable(FileNotFoundError(), path, OF_TORCH)
        raise SpecError([f"{escaped(path)}: {words}"])
    return _of_framework(problem, path, layout or "torch")


def _of_framework(problem: Problem, path: str, layout: str) -> GivenFile:
    trained = problem.trained
    direction = (trained and trained.direction) or "forward"
    if any(name.partition(".")[0].endswith(REVERSE) for name in problem.weights):
        direction = BOTH
    asked = Asked(None, problem.cell.name, problem.depth, direction)
    more = {key: f"dL_d{name}" for name, key in (trained.keys if trained else {}).items()}
    if problem.tokens is not None and problem.tokens.key is not None:
        more[problem.tokens.key] = "dL_dembedding"
    name = cut_path(path)
    prefixes = (trained.prefix, None) if trained and trained.prefix is not None else (None,)
    for last, prefix in enumerate(prefixes, start=1):
        try:
            one = asked._replace(prefix=prefix)
            return gradients_from_model_file(Path(path), layout, one, more, name)
        except ModelFileError as error:
            if last == len(prefixes):
                raise SpecError([str(error)]) from None
    raise AssertionError("there is a prefix")


def gradients_from_model_file(
    path: Path,
    layout: str = LAYOUT,
    asked: Asked = ANY,
    more: Mapping[str, str] | None = None,
    name: str | None = None,
) -> GivenFile:
    """The gradients of one net by the contract's names; what the file lacks is left out.

    ``more`` maps further keys of the file to names, such as ``{"fc.weight": "dL_dW_hy"}``. Raises
    ModelFileError.
    """
    name = cut_path(path.name) if name is None else name
    if layout != LAYOUT:
        hint = did_you_mean(layout, [LAYOUT])
        words = f"gradients are read in the layout torch, not {shown(layout)}{hint}"
        raise ModelFileError(f"{name}: {words}")
    store = open_store(path, layout, name)
    keys = _keys(store, asked)
    for key, word in (more or {}).items():
        there = [mine for mine in store.arrays if alike(key, mine.removesuffix(SUFFIX))]
        keys |= {word: [Block(there[0])]} if there else {}
    arrays = {word: _given(store, found[0]) for word, found in keys.items()}
    places = {word: store.place(found[0].key) for word, found in keys.items()}
    used = {each.key for found in keys.values() for each in found}
    return GivenFile(
        arrays,
        lambda word, message: f"{places.get(word, escaped(name))}: {message}",
        dict(_twice(store, keys, arrays)),
        tuple(key for key in store.arrays if key not in used),
        framework=True,
    )


def _twice(
    store: Store, keys: Mapping[str, list[Block]], arrays: Mapping[str, GivenArray]
) -> Iterator[tuple[str, tuple[str, GivenArray]]]:
    """The second biases that differ from the first."""
    for word, (_, *others) in keys.items():
        for block in others:
            other = _given(store, block)
            if not _agree(arrays[word], other):
                yield word, (block.key, other)


def _keys(store: Store, asked: Asked) -> dict[str, list[Block]]:
    """The contract's name -> its keys in the file: two for the bias of an rnn or lstm."""
    prefix, parts = _net(store, asked.prefix)
    wanted = {"reverse": (True,), BOTH: (False, True)}.get(asked.direction, (False,))
    mine = {key: part for key, part in parts.items() if part.reverse in wanted}
    if not mine:
        raise store.refuse(prefix, f"has no gradients of the direction {asked.direction}")
    for key, part in mine.items():
        if part.trouble:
            raise store.refuse(key, part.trouble)
    cell = asked.cell or _cell(store, prefix, mine)
    layers = asked.layers or 1 + max(part.layer for part in mine.values())
    _refuse_another_net(store, mine, cell, layers)
    found: dict[str, list[Block]] = {}
    for key, part in sorted(mine.items(), key=lambda each: each[1].part.endswith("hh")):
        names = _names(part, cell)
        for at, name in enumerate(names):
            way = REVERSE if part.reverse and asked.direction == BOTH else ""
            word = f"dL_d{name}{way}" + (f".{part.layer}" if layers > 1 else "")
            found.setdefault(word, []).append(Block(key, at, len(names)))
    return found


def _refuse_another_net(store: Store, parts: Mapping[str, Part], cell: str, layers: int) -> None:
    """Keys of another cell or of more layers than the spec's net has."""
    for key, part in parts.items():
        if part.layer >= layers:
            has = "1 layer" if layers == 1 else f"{layers} layers"
            raise store.refuse(key, f"is of layer {part.layer}, but the spec's net has {has}")
        if part.part == "weight_hr" and cell != PROJECTED:
            words = f"is of an lstm's projection, but the spec's net is {cell}"
            raise store.refuse(key, words)
        if cell == PROJECTED and part.part != "weight_hr" and store.arrays[key].shape[:1]:
            if store.arrays[key].shape[0] % 4:
                rows = sides(store.arrays[key].shape)
                raise store.refuse(key, f"is {rows}, must have 4H rows: the spec's net is {cell}")
        elif part.part == "weight_hh" and len(store.arrays[key].shape) == 2:
            found = cell_of(store, key)
            if found != cell:
                rows = sides(store.arrays[key].shape)
                raise store.refuse(key, f"is {rows}: of a {found}, but the spec's net is {cell}")


def _net(store: Store, prefix: str | None) -> tuple[str, Mapping[str, Part]]:
    """The keys of the net that is meant: by its prefix, or the only one."""
    groups = _groups(store.arrays)
    fitting = [key for key in groups if prefix is None or alike(prefix, key)]
    if len(fitting) == 1:
        return fitting[0], groups[fitting[0]]
    there = several(groups) if groups else "none"
    if fitting:
        raise ModelFileError(f"{store.name} holds {len(groups)} nets, say which prefix: {there}")
    hint = "" if prefix is None else did_you_mean(prefix, list(groups)[:1000])
    which = "of a recurrent net" if prefix is None else f"under {shown(prefix)}"
    raise ModelFileError(f"{store.name} holds no gradients {which}{hint}; prefixes: {there}")


def _groups(keys: Iterable[str]) -> dict[str, dict[str, Part]]:
    """prefix -> key -> what it says of its net."""
    found: dict[str, dict[str, Part]] = {}
    for key in keys:
        part = part_of(key.removesuffix(SUFFIX))
        if part is not None:
            found.setdefault(part.prefix, {})[key] = part
    return found


def _cell(store: Store, prefix: str, parts: Mapping[str, Part]) -> str:
    if any(part.part == "weight_hr" for part in parts.values()):
        return PROJECTED
    for key, part in parts.items():
        if part.part == "weight_hh":
            return cell_of(store, key)
    raise store.refuse(prefix, "has no gradient of weight_hh, which would tell the cell")


def _names(part: Part, cell: str) -> tuple[str, ...]:
    """The parameters that a key's rows are of, in equal blocks."""
    kind, place = part.part.split("_")
    if place == "hr":
        return ("W_p",)
    if kind == "weight":
        name = "W_xh" if place == "ih" else "W_hh"
    elif cell == "gru":
        name = "b_xh" if place == "ih" else "b_hh"
    else:
        name = "b_h"
    return CELLS["lstm"].blocks[name] if cell == PROJECTED else (name,)


def _given(store: Store, block: Block) -> GivenArray:
    stored = store.arrays[block.key]
    array = stored.read()
    refused = type_refused(array.dtype)
    if refused:
        raise store.refuse(block.key, f"holds {refused}, must hold real numbers")
    if block.of > 1:
        array = np.split(array, block.of)[block.at]
    with np.errstate(all="ignore"):
        return GivenArray(array.astype(np.float64), stored.eps)


def _agree(one: GivenArray, other: GivenArray) -> bool:
    """To 1e-9 of the largest entry in float64, 1e-4 in float32, 16 roundings in what is coarser."""
    if one.values.shape != other.values.shape:
        return False
    rtol = 1e-9 if one.eps < 1e-10 else 1e-4 if one.eps < 1e-5 else 16 * one.eps
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(one.values), initial=0.0))
        return bool(np.allclose(one.values, other.values, 0, rtol * largest, equal_nan=True))
