"""What stands at the end of a net: targets and their loss, or ∂L/∂h_t given in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnngrad.files.mistakes import Mistakes
from rnngrad.files.specification.weights_key import Parameters

OF_TARGETS = ("targets", "loss", "loss_steps", "loss_reduction", "output_activation")
"""The keys of a spec that say nothing where ``upstream`` is given."""


def check_upstream(data: Mapping[str, Any], parameters: Parameters, mistakes: Mistakes) -> None:
    """Refuse what would stand beside ``upstream``, which is ∂L/∂h_t whole."""
    if "upstream" not in data:
        return
    whole = "upstream is ∂L/∂h_t as your own head gives it"
    for name in OF_TARGETS:
        if name in data:
            words = f"{name} stands beside upstream; {whole}: leave {name} out, or upstream"
            mistakes.add((name,), words, at_key=True)
    if "W_hy" in parameters.letters:
        words = f"weights.W_hy is a read-out beside upstream; {whole}: leave W_hy out, or upstream"
        mistakes.add(("weights", "W_hy"), words, at_key=True)
