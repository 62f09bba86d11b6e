"""One record a layout: which files it takes, what they look like, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np

from rnngrad.errors import did_you_mean
from rnngrad.files.arrays.npz_file import members
from rnngrad.files.arrays.numpy_files import Numbers
from rnngrad.files.models.choosing import alike
from rnngrad.files.models.keras.hdf5_file import open_hdf5, open_keras
from rnngrad.files.models.keras.layout import read_keras
from rnngrad.files.models.msgpack_file import open_msgpack
from rnngrad.files.models.named import read_named
from rnngrad.files.models.onnx.layout import read_onnx, store_of
from rnngrad.files.models.opening import checked, looks_like, refuse_pickle
from rnngrad.files.models.records import Contents, ModelFileError, Store, Stored
from rnngrad.files.models.torch.layout import read_torch
from rnngrad.files.models.torch.safetensors_file import open_index, open_safetensors
from rnngrad.files.text import cut, cut_path, listed, several, shown

Opener: TypeAlias = Callable[[Path, str], Store]
"""(path, the file's name in messages) -> its arrays, unread"""


class Layout(NamedTuple):
    """A framework's way to lay out trained weights.

    ``files`` maps the suffixes of its files to what opens them as arrays by key; ``read`` finds the
    nets in a file, given what opens it; ``meaning`` says whose files they are.
    """

    name: str
    meaning: str
    files: Mapping[str, Opener]
    read: Callable[[Opener, Path, str], Contents]


def _open_npz(path: Path, name: str) -> Store:
    found = members(path, name)
    return Store(
        name,
        {
            key: Stored(
                member.shape,
                member.dtype.name,
                member.read,
                float(np.finfo(member.dtype if member.dtype.kind == "f" else np.float64).eps),
            )
            for key, member in found.items()
        },
    )


def _stored(nets: Callable[[Store], Contents]) -> Callable[[Opener, Path, str], Contents]:
    """A reader of stores as a reader of files."""
    return lambda opened, path, name: nets(opened(path, name))


_ARRAYS: dict[str, Opener] = {".safetensors": open_safetensors, ".npz": _open_npz}
_MSGPACK: dict[str, Opener] = {".msgpack": open_msgpack}

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(
                "torch",
                "PyTorch's state_dict",
                {".safetensors": open_safetensors, ".json": open_index, ".npz": _open_npz},
                _stored(read_torch),
            ),
            Layout(
                "keras",
                "Keras's weights and models",
                {".keras": open_keras, ".h5": open_hdf5, ".hdf5": open_hdf5},
                _stored(read_keras),
            ),
            Layout(
                "onnx",
                "ONNX models",
                {".onnx": store_of},
                lambda _, path, name: read_onnx(path, name),
            ),
            *(
                Layout(name, meaning, _ARRAYS | more, _stored(partial(read_named, name)))
                for name, meaning, more in (
                    ("flax", "Flax's parameters", _MSGPACK),
                    ("haiku", "Haiku's parameters", _MSGPACK),
                    ("mlx", "MLX's weights", {}),
                )
            ),
        )
    }
)
"""name -> layout: the one place to add one."""

SUFFIXES = tuple(dict.fromkeys(suffix for layout in LAYOUTS.values() for suffix in layout.files))


def read_model(path: Path, layout: str | None = None, name: str | None = None) -> Contents:
    """The nets of a model's file, which messages call ``name``; raises ModelFileError.

    Without ``layout`` it follows from the file's suffix, or its first bytes; of several the first
    in which the file has a net.
    """
    name = cut_path(path.name) if name is None else name
    first, *others = _layouts(path, name, layout)

    opened: dict[Opener, Store] = {}

    def once(opener: Opener) -> Opener:
        """The same, which opens the file for the first of several layouts alone."""

        def store(path: Path, name: str) -> Store:
            if opener not in opened:
                opened[opener] = opener(path, name)
            return opened[opener]

        return store

    def read(chosen: Layout) -> Contents:
        opener = once(_opener(path, chosen))
        return checked(lambda: chosen.read(opener, path, name), path, name, SUFFIXES)

    contents = read(first)
    for other in others if not contents.recurrent and not contents.refused else ():
        found = read(other)
        if found.recurrent or found.refused:
            return found
    return contents


def load_model_array(path: Path, key: str | None, name: str | None = None) -> Numbers:
    """The array of ``key``, or the only one, as the file has it; ``key.T`` is its transpose.

    Raises ModelFileError.
    """
    name = cut_path(path.name) if name is None else name
    layout = _layouts(path, name, None)[0]

    def read() -> Numbers:
        store = _opener(path, layout)(path, name)
        wanted = _key(store, key)
        array = store.arrays[wanted].read()
        return array.T if key is not None and key == f"{wanted}.T" else array

    return checked(read, path, name, SUFFIXES)


def open_store(path: Path, layout: str | None, name: str) -> Store:
    """The arrays of a model's file, unread; raises ModelFileError."""
    chosen = _layouts(path, name, layout)[0]
    return checked(lambda: _opener(path, chosen)(path, name), path, name, SUFFIXES)


def _key(store: Store, key: str | None) -> str:
    keys = list(store.arrays)
    if not keys:
        raise ModelFileError(f"{store.name} holds no arrays")
    if key is None and len(keys) > 1:
        raise ModelFileError(
            f"{store.name} holds {len(keys)} arrays, give key: one of {several(keys)}"
        )
    if key is None or key in keys:
        return keys[0] if key is None else key
    if key.endswith(".T") and key[:-2] in keys:
        return key[:-2]
    wrapped = [one for one in keys if alike(key, one)]
    if len(wrapped) == 1:
        return wrapped[0]
    hint = did_you_mean(cut(key, 100), keys[:1000]) or f"; its keys are {several(keys)}"
    raise ModelFileError(f"{store.name} has no key {shown(key)}{hint}")


def _layouts(path: Path, name: str, layout: str | None) -> list[Layout]:
    """The layout of that name, or those whose files end like this one."""
    if layout is not None and layout not in LAYOUTS:
        known = listed(LAYOUTS, "or")
        words = f"layout is {shown(layout)}, must be {known}{did_you_mean(layout, LAYOUTS)}"
        raise ModelFileError(words)
    refuse_pickle(path, name)
    suffix = _kind(path)
    fitting = [each for each in LAYOUTS.values() if suffix in each.files]
    if layout is not None:
        fitting = [each for each in fitting if each.name == layout]
    if not fitting:
        files = SUFFIXES if layout is None else tuple(LAYOUTS[layout].files)
        whose = "a trained model's file" if layout is None else f"a file of the layout {layout}"
        raise ModelFileError(f"{name}: {whose} must end in {listed(files, 'or')}")
    return fitting


def _kind(path: Path) -> str:
    """The suffix that a file has, or by its first bytes should have."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else looks_like(path) or suffix


def _opener(path: Path, layout: Layout) -> Opener:
    return layout.files[_kind(path)]
