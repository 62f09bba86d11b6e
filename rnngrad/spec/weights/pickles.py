"""Pickles are programs: never loaded, only known by their looks, and refused with a way out.

The way out was run against state_dicts, whole checkpoints that hold one, and tensors that share
memory, which ``save_file`` refuses unless they are cloned.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from rnngrad.spec.incoming import why_no_file
from rnngrad.spec.weights.records import ModelFileError

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")

CONVERT = (
    'python -c "import sys, torch; from safetensors.torch import save_file; '
    "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "d = d.get('state_dict', d.get('model_state_dict', d)); "
    "save_file({k: v.detach().clone().contiguous() for k, v in d.items() "
    'if isinstance(v, torch.Tensor)}, sys.argv[2])"'
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
