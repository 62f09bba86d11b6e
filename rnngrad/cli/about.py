"""``rnngrad --version``: what a result depends on besides the spec."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from rnngrad.version import __version__


def version(package: str) -> str | None:
    """That of an installed package, or None."""
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def versions(as_json: bool) -> str:
    """The versions of rnngrad, Python, NumPy and its BLAS, and of the packages it needs: a line
    each, or a JSON object."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "rnngrad": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": f"{blas['name']} {blas['version']}",
        **{name: version(name) for name in ("Typer", "Rich", "PyYAML", "pydantic")},
        "Platform": platform.platform(),
    }
    if as_json:
        return json.dumps({name.lower(): one for name, one in found.items()})
    return "\n".join(f"{name} {one}" for name, one in found.items())
