"""Words in a drawing of Matplotlib's: an index in the small signs that Unicode has.

Matplotlib sets a true index as glyphs without text. Unicode has no small T, y or z: where one of
the indices of a text cannot be written so, all of them stand behind an underscore.
"""

from __future__ import annotations

from typing import Any

from rnngrad.views.pictures.picture import Picture
from rnngrad.views.pictures.svg.words import INDEXED, LOG

SMALL = str.maketrans("0123456789+−-aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


def lowered(words: str) -> str:
    """h_t, h_{t−1}, log10 -> hₜ, hₜ₋₁, log₁₀; ∂h_T/∂h_k as it is."""
    words = LOG.sub(lambda found: f"log{found[1].translate(SMALL)}", words)
    indices = [found[2] or found[3] for found in INDEXED.finditer(words)]
    if not all(ord(sign) in SMALL for index in indices for sign in index):
        return words
    return INDEXED.sub(lambda found: found[1] + (found[2] or found[3]).translate(SMALL), words)


def in_small_signs(picture: Picture) -> Picture:
    """The picture with all its words so, but for the net's name."""
    changed: Picture = _changed(picture)
    return changed._replace(of=picture.of)


def _changed(value: Any) -> Any:
    """Any part of a picture."""
    if isinstance(value, str):
        return lowered(value)
    if isinstance(value, tuple):
        parts = map(_changed, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
