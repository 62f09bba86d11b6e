"""What people get wrong in a sum over steps, losses or paths.

    ∂L/∂W = Σ_t α_t · ∂L/∂a_t ⊗ v_t          α_t = 1 for every step
    ∂L/∂W = Σ_{t,k} α_{tk} · ∂L_t/∂a_k ⊗ v_k   for every loss t and step k ≤ t

A given array is fitted by least squares in the α, each rounded to −1, 0, 1 or 2, and the sum so
made compared with it to its own tolerance: the fit alone proves nothing. Where the terms do not
determine the α (fewer numbers than steps, terms that are multiples of each other), a few sums that
people make by mistake are tried, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers

FACTORS = (-1, 0, 1, 2)
NEAR = 0.2
"""How far a fitted factor may be from a whole number that it is rounded to."""
USUAL = (-2, 2)
"""Powers of ten between which people choose a limit."""
LEAST = 1e-9
"""Terms that are smaller than this share of the largest, or conditioned worse, are not told."""


def fitted(terms: Array, got: Array, tolerance: float) -> Integers | None:
    """Whole factors of ``terms`` (n, …) whose sum is nearest to ``got``; None where they are not
    determined, or are not near to whole ones. What cannot be seen counts once."""
    columns = terms.reshape(len(terms), -1)
    sizes = np.abs(columns).max(axis=1, initial=0.0)
    scale = float(np.abs(got).max(initial=0.0))
    if not np.isfinite(columns).all() or not np.isfinite(got).all():
        return None
    seen = sizes > max(4.0 * tolerance * scale, LEAST * sizes.max(initial=0.0))
    if not seen.any() or seen.sum() > got.size:
        return None
    rest = got.reshape(-1) - columns[~seen].sum(axis=0)
    A = (columns[seen] / sizes[seen, np.newaxis]).T
    U, values, V = np.linalg.svd(A, full_matrices=False)
    if values[-1] <= max(LEAST, tolerance) * values[0]:
        return None
    found = V.T @ ((U.T @ rest) / values) / sizes[seen]
    whole = np.rint(found)
    if (np.abs(found - whole) > NEAR).any() or not np.isin(whole, FACTORS).all():
        return None
    factors = np.ones(len(terms), dtype=np.int64)
    factors[seen] = whole.astype(np.int64)
    return factors


def wrong_sums(steps: int) -> Iterator[Integers]:
    """Sums over steps that people make by mistake."""
    ones = np.ones(steps, dtype=np.int64)
    ends = (0, steps - 1) if steps > 1 else ()
    for end in ends:
        yield _with(ones, end, 0)
    for end in ends:
        yield _with(0 * ones, end, 1)
    for end in ends:
        yield _with(ones, end, 2)
    if steps > 3:
        yield _with(_with(ones, 0, 0), 1, 0)
        yield _with(_with(ones, -1, 0), -2, 0)
        yield _with(_with(ones, 0, 0), -1, 0)


def _with(factors: Integers, at: int, value: int) -> Integers:
    changed = factors.copy()
    changed[at] = value
    return changed


def clipped_on_the_way(terms: Array, limit: float) -> Array:
    """S ← clip(S + term_t) from the last step to the first."""
    total = np.zeros(terms.shape[1:])
    for term in terms[::-1]:
        total = np.clip(total + term, -limit, limit)
    return total


def limits(largest: float) -> list[float]:
    """Limits that people choose, below the largest entry that there is: near to it, or of the usual
    size, which in a net that explodes is far from it."""
    if not np.isfinite(largest) or largest <= 0:
        return []
    top = int(np.floor(np.log10(largest)))
    decades = sorted({*range(top - 2, top + 1), *range(*USUAL)})
    found = [float(f"{m}e{d}") for d in decades for m in (1, 2, 2.5, 3, 5, 8)]
    return [limit for limit in found if limit < largest][::-1]


def listed(other: Mapping[str, int], what: str = "") -> str:
    """step 1 is missing, steps 2 and 5 are counted twice."""
    words = {0: "missing", 2: "counted twice", -1: "subtracted"}
    found = []
    for factor in dict.fromkeys((*words, *other.values())):
        word = words.get(factor, f"counted {factor} times")
        names = [name for name, f in other.items() if f == factor]
        if names:
            shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
            of = f"{what}{'' if len(names) == 1 else 's'} " if what else ""
            found.append(f"{of}{shown} {'is' if len(names) == 1 else 'are'} {word}")
    return "; ".join(found)
