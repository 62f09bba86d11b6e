"""A map as a small PNG by the standard library: 8 bits a cell, a palette of its own.

Colour 0 is a hole, which nothing covers; 1 to 255 go from the least value to the greatest. Source:
W3C, *Portable Network Graphics* (2003), sections 5, 10, 11.
"""

from __future__ import annotations

import struct
import zlib
from typing import TypeAlias

import numpy as np

from rnngrad.arithmetic.arrays import Array

RGB: TypeAlias = tuple[int, int, int]

GONE, KEPT, BLOWN = (33, 102, 172), (247, 247, 247), (179, 88, 6)
"""Blue, white, brown (ColorBrewer's PuOr and RdBu), apart for the colour-blind."""

FAINT, STRONG = (247, 247, 247), (8, 48, 107)
"""From little to much, where nothing parts the two."""

LEAST = 1.0
"""Half a map's range at least, so that rounding has no colours."""


def extremes(z: Array, diverging: bool) -> tuple[float, float]:
    """The values at the two ends of the colours; of two that part at 0, one on either side."""
    seen = z[np.isfinite(z)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    if diverging:
        return min(low, -LEAST), max(high, LEAST)
    return low, high if high > low else low + LEAST


def shades(
    z: Array, diverging: bool, ends: tuple[float, float] | None = None
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The number of each cell's colour; half of them lie below 0 where it diverges. ``ends``: those
    of another map, whose colours these are."""
    low, high = ends or extremes(z, diverging)
    known = np.isfinite(z)
    value = np.where(known, z, low)
    if diverging:
        part = np.where(value < 0, 0.5 - 0.5 * value / low, 0.5 + 0.5 * value / high)
    else:
        part = (value - low) / (high - low)
    return np.where(known, 1 + np.rint(254 * np.clip(part, 0, 1)), 0).astype(np.uint8)


def palette(diverging: bool) -> list[RGB]:
    """The colours 0 to 255."""
    ends = (GONE, KEPT, BLOWN) if diverging else (FAINT, STRONG)
    places = np.linspace(0, 254, len(ends))
    columns = [np.interp(np.arange(255), places, [end[i] for end in ends]) for i in range(3)]
    return [KEPT, *((round(r), round(g), round(b)) for r, g, b in zip(*columns, strict=True))]


def png(z: Array, diverging: bool, ends: tuple[float, float] | None = None) -> bytes:
    """``z[j, i]`` with row 0 at the top, a pixel a cell."""
    cells = shades(z, diverging, ends)
    height, width = cells.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), cells], axis=1)  # no filter
    colours = b"".join(map(bytes, palette(diverging)))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours),
            _chunk(b"tRNS", b"\x00"),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
