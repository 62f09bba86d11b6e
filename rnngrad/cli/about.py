"""``rnngrad --version``: what a result depends on besides the spec."""

from __future__ import annotations

import json
import platform

from rnngrad.version import __version__


def versions(as_json: bool) -> str:
    """The versions of rnngrad, Python, NumPy and its BLAS: a line each, or a JSON object."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "rnngrad": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": f"{blas['name']} {blas['version']}",
    }
    if as_json:
        return json.dumps({name.lower(): version for name, version in found.items()})
    return "\n".join(f"{name} {version}" for name, version in found.items())
