"""Opening a file that somebody else wrote: whatever goes wrong is one ModelFileError.

Pickles are programs: never loaded, only known by their looks, and refused with a way out.

The way out is a command that runs nothing of the file's either: PyTorch loads with
``weights_only=True``, and every class that this does not know becomes an empty shell, ``S``, which
keeps its attributes. So a whole model, ``torch.save(model)``, needs no code of its own, where
PyTorch has ``get_unsafe_globals_in_checkpoint``. It was run with 2.13 against state_dicts, whole
models, checkpoints that hold either, and tensors that share memory, which ``save_file`` refuses
unless they are cloned.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from rnngrad.files.arrays.numpy_files import BROKEN, FileError, refuse_unreadable
from rnngrad.files.models.records import ModelFileError
from rnngrad.files.opening import unreadable, why_no_file
from rnngrad.files.text import cut

HDF5 = b"\x89HDF\r\n\x1a\n"

T = TypeVar("T")


def checked(read: Callable[[], T], path: Path, name: str, suffixes: Iterable[str] = ()) -> T:
    """What ``read`` gives; raises ModelFileError for a file that is not there, or damaged."""
    try:
        refuse_unreadable(path, name, suffixes)
        return read()
    except FileError as error:
        raise ModelFileError(str(error)) from None
    except PermissionError as error:
        raise ModelFileError(f"{name}: {unreadable(error, name)}") from None
    except (*BROKEN, KeyError, IndexError, AttributeError) as error:
        words = cut(str(error), 100)
        raise ModelFileError(f"{name} is damaged, or of another format: {words}") from None


def looks_like(path: Path) -> str:
    """The suffix that a file's first bytes call for, or the empty string."""
    if why_no_file(path):
        return ""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        if head.startswith(HDF5):
            return ".h5"
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            return ".keras" if "config.json" in names else ".npz"
    except BROKEN:
        return ""
    return ".safetensors" if head[8:] == b"{" and head[5:8] == bytes(3) else ""


def needed(library: str, name: str) -> ModuleType:
    """A package of the extra ``models``; raises ModelFileError that says how to install it."""
    try:
        return import_module(library)
    except ImportError:
        words = f"needs the package {library}: pip install 'rnngrad[models]'"
        raise ModelFileError(f"{name} {words}") from None


SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")

CONVERT = (
    'python -c "import sys, torch, zipfile; from safetensors.torch import save_file; '
    "p = sys.argv[1]; Z = torch.serialization; "
    "W = lambda v: isinstance(v, dict); V = lambda s, d: s.__dict__.update(d if W(d) else {}); "
    "S = type('S', (dict,), {'__init__': lambda s, *a, **k: None, '__setstate__': V}); "
    "G = getattr(Z, 'get_unsafe_globals_in_checkpoint', lambda p: []); "
    "zipfile.is_zipfile(p) and G(p) and Z.add_safe_globals([(S, n) for n in G(p)]); "
    "d = torch.load(p, map_location='cpu', weights_only=True); "
    "K = ('state_dict', 'model_state_dict', 'model'); "
    "d = next((d[k] for k in K if W(d) and W(d.get(k))), d); "
    "A = lambda d, n: getattr(d, n, None) or {}; "
    "B = lambda d: {k: v for k, v in A(d, '_buffers').items() "
    "if k not in A(d, '_non_persistent_buffers_set')}; "
    "I = lambda d: {**d, **A(d, '_parameters'), **B(d), **A(d, '_modules')}; "
    "N = lambda d, p: {p[:-1]: d.detach().clone().contiguous()} if isinstance(d, torch.Tensor) "
    "else {k: t for n, v in I(d).items() for k, t in N(v, f'{p}{n}.').items()} if W(d) else {}; "
    'save_file(N(d, str()), sys.argv[2])"'
)


def refuse_pickle(path: Path, name: str) -> None:
    """Raises ModelFileError for a file that is, or is called like, a pickle."""
    if path.suffix.lower() in SUFFIXES or _looks_pickled(path):
        command = f"{CONVERT} {_quoted(name)} model.safetensors"
        words = (
            "is a pickle, which may run anything and is never loaded; convert it if you trust it"
        )
        raise ModelFileError(f"{name} {words}: {command}")


def _quoted(name: str) -> str:
    return name if all(c.isalnum() or c in "._-/" for c in name) else f'"{name}"'


def _looks_pickled(path: Path) -> bool:
    """A protocol mark, or PyTorch's zip file with its data.pkl.

    A .safetensors begins with the length of its header, whose bytes may be those of a mark: it is
    told by the brace behind it.
    """
    if why_no_file(path):
        return False
    try:
        with path.open("rb") as stream:
            head, brace = stream.read(2), stream.read(7)[6:]
        if brace == b"{":
            return False
        if head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return True
        if head != b"PK":
            return False
        with zipfile.ZipFile(path) as archive:
            return any(entry.endswith("data.pkl") for entry in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
