"""Arrays as a student would type them: a few significant digits, as text."""

from __future__ import annotations

import numpy as np


def typed(value: float, digits: int = 4) -> str:
    """``2.130e-02``: always that many digits, so that none is dropped at the end."""
    return "0" if value == 0 else f"{value:.{digits - 1}e}"


def text(arrays: dict[str, np.ndarray], digits: int = 4) -> str:
    """A YAML file of them."""
    return "".join(f"{name}: {_nested(array, digits)}\n" for name, array in arrays.items())


def _nested(array: np.ndarray, digits: int) -> str:
    if array.ndim == 0:
        return typed(float(array), digits)
    return f"[{', '.join(_nested(row, digits) for row in array)}]"
