"""Words in a drawing of Matplotlib's: an index in the small signs that Unicode has.

Matplotlib sets a true index as glyphs without text. Unicode has no small T, f or y: where one of
the indices of a picture cannot be written so, all of them stand behind an underscore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rnngrad.views.pictures.picture import Picture
from rnngrad.views.pictures.svg.words import INDEXED, LOG

SMALL = str.maketrans("0123456789+−-aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


def lowered(words: str) -> str:
    """h_t, h_{t−1}, log10 -> hₜ, hₜ₋₁, log₁₀; ∂h_T/∂h_k as it is."""
    words = _base(words)
    if not _has_signs(words):
        return words
    return INDEXED.sub(lambda found: found[1] + (found[2] or found[3]).translate(SMALL), words)


def _base(words: str) -> str:
    return LOG.sub(lambda found: f"log{found[1].translate(SMALL)}", words)


def _has_signs(words: str) -> bool:
    indices = (found[2] or found[3] for found in INDEXED.finditer(words))
    return all(ord(sign) in SMALL for index in indices for sign in index)


def in_small_signs(picture: Picture) -> Picture:
    """The picture with all its words so, but for the net's name."""
    ours = picture._replace(of="")
    set_words = lowered if all(map(_has_signs, _texts(ours))) else _base
    changed: Picture = _changed(ours, set_words)
    return changed._replace(of=picture.of)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, tuple) else ():
        yield from _texts(part)


def _changed(value: Any, set_words: Callable[[str], str]) -> Any:
    """Any part of a picture."""
    if isinstance(value, str):
        return set_words(value)
    if isinstance(value, tuple):
        parts = (_changed(part, set_words) for part in value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
