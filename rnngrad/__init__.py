"""Where every gradient of a recurrent net comes from, and why it vanishes or explodes.

>>> import rnngrad
>>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0], "targets": [0, 1]}
>>> problem = rnngrad.load(net)
>>> sorted(rnngrad.gradients(problem))[:3]
['dL_dW_hh', 'dL_dW_xh', 'dL_db_h']

Names are looked up when first used (PEP 562), so that ``rnngrad --help`` need not wait for NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rnngrad.version import __version__

if TYPE_CHECKING:
    from rnngrad.api import (
        BatchDerivation,
        BidirectionalDerivation,
        Derivation,
        check,
        derive,
        gradients,
        load,
        log10_chain,
        log10_paths,
        lyapunov_spectrum,
        report,
        sweep,
    )
    from rnngrad.errors import (
        MemoryLimitError,
        OutputError,
        QuantityError,
        RnngradError,
        SpecError,
        UsageError,
    )
    from rnngrad.files import json_schema
    from rnngrad.files.running_model import from_torch
    from rnngrad.net.batch import Batch
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem

_HOMES = {
    "rnngrad.api": (
        "BatchDerivation", "BidirectionalDerivation", "Derivation", "check", "derive", "gradients",
        "load", "log10_chain", "log10_paths", "lyapunov_spectrum", "report", "sweep",
    ),
    "rnngrad.net.batch": ("Batch",),
    "rnngrad.net.bidirectional": ("Bidirectional",),
    "rnngrad.net.problem": ("Problem",),
    "rnngrad.errors": (
        "MemoryLimitError",
        "OutputError",
        "QuantityError",
        "RnngradError",
        "SpecError",
        "UsageError",
    ),
    "rnngrad.files": ("json_schema",),
    "rnngrad.files.running_model": ("from_torch",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "BatchDerivation",
    "Bidirectional",
    "BidirectionalDerivation",
    "Derivation",
    "MemoryLimitError",
    "OutputError",
    "Problem",
    "QuantityError",
    "RnngradError",
    "SpecError",
    "UsageError",
    "__version__",
    "check",
    "derive",
    "from_torch",
    "gradients",
    "json_schema",
    "load",
    "log10_chain",
    "log10_paths",
    "lyapunov_spectrum",
    "report",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rnngrad' has no attribute '{name}'")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
