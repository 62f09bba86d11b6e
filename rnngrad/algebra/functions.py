"""The functions of a cell's equations by name, and how they may be written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rnngrad.arithmetic.functions import FUNCTIONS as RECORDS

WRITTEN: Mapping[str, str] = MappingProxyType({"sigmoid": "σ"})
"""A function whose sign is not its name."""

FUNCTIONS: tuple[str, ...] = tuple(WRITTEN.get(name, name) for name in RECORDS)
"""As they stand in a tree."""

SPELLINGS: Mapping[str, str] = MappingProxyType(
    {name: name for name in FUNCTIONS}
    | {"sigmoid": "σ", "sigma": "σ", "logistic": "σ", "ln": "log", "swish": "silu",
       "hardsigmoid": "hard_sigmoid", "hardtanh": "hard_tanh", "leakyrelu": "leaky_relu"}
)  # fmt: skip
"""A function as it may be written -> as it stands in a tree."""
