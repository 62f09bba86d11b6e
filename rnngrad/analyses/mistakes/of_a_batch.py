"""One mistake in the equations, made in every sequence of a batch: its gradients add up as the
right ones do.

What is tried is what ``searching`` tries of single mistakes; two at once are looked for in one
sequence only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.agreeing import (
    Explained,
    agrees,
    array_of_pass,
    best,
    common,
    most_shared,
    some_of,
)
from rnngrad.analyses.mistakes.local_partials import Wrong
from rnngrad.analyses.mistakes.parameter_sums import OwnSums
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.single_mistakes import elements
from rnngrad.analyses.mistakes.words import Found, Saying
from rnngrad.arithmetic.arrays import Array

AT_ONCE = 128
"""Passes side by side."""
MOST_WORK = 4_000_000
"""Steps of all sequences × the numbers of the state, squared, 64² at least, up to which every
mistake is made in each."""


def search(
    wrong: Sequence[Case], right: Sequence[Case], sequences: Sequence[Passes]
) -> dict[str, list[Explained]]:
    """name of a wrong total -> what explains it, as ``Search.run``. Within ``quietly()``."""
    width = max(64, sequences[0].problem.state_size)
    if width**2 * sum(one.problem.steps for one in sequences) > MOST_WORK:
        return {}
    sequences = sorted(sequences, key=lambda one: -one.problem.steps)  # the longest has them all
    batch = [_Sequence(one) for one in sequences]
    first = batch[0].apart
    wrong = [case for case in wrong if first.read(case.name, first.right) is not None]
    right = [case for case in right if first.read(case.name, first.right) is not None]
    if not wrong or not all(case.got.values.any() for case in wrong):  # zeros prove nothing
        return {}
    sums = {case.name: _of_the_sums(case, batch) for case in wrong}
    together = common(sums)
    if together:
        return together
    found = _of_passes(wrong, [*wrong, *right], batch)
    if found and (len(wrong) > 1 or not any(sums.values())):
        return found
    return most_shared(sums)


class _Sequence:
    """The right pass of a sequence, and the wrong ones by what is said of them."""

    def __init__(self, passes: Passes) -> None:
        self.apart = Apart(passes)
        self.saying = Saying(self.apart)
        self.own = OwnSums(self.apart, self.saying)
        self.elements = {
            (one.found.key, one.found.words): one for one in elements(self.apart, self.saying)
        }

    def wrong(self, key: tuple[object, str]) -> Wrong:
        """The pass so changed; the right one where that changes nothing in this sequence."""
        return self.elements[key].wrong if key in self.elements else Wrong()


def _of_passes(
    wrong: Sequence[Case], cases: Sequence[Case], batch: Sequence[_Sequence]
) -> dict[str, list[Explained]]:
    """One wrong pass in every sequence that makes all arrays."""
    ones = list(batch[0].elements.items())
    some = {case.name: some_of(case) for case in cases}
    ways: list[tuple[Found, dict[str, tuple[float, float]]]] = []
    for start in range(0, len(ones), AT_ONCE):
        chosen = ones[start : start + AT_ONCE]
        made = [one.apart.made([one.wrong(key) for key, _ in chosen]) for one in batch]
        good = np.ones(len(chosen), dtype=bool)
        for name, one in some.items():
            good &= one.may_agree(
                _summed(
                    of.apart.some(name, m, one.entries) for of, m in zip(batch, made, strict=True)
                )
            )
        for k in map(int, np.flatnonzero(good)):
            alone = [m.one(k) for m in made]
            fits = {
                case.name: agrees(
                    case,
                    _summed(
                        array_of_pass(of.apart, case, m)[0]
                        for of, m in zip(batch, alone, strict=True)
                    ),
                )
                for case in cases
            }
            whole = {name: fit for name, fit in fits.items() if fit is not None}
            if len(whole) == len(fits):
                ways.append((chosen[k][1].found, whole))
    digits = [sum(fits[case.name][1] for case in wrong) for _, fits in ways]
    return {
        case.name: best(
            Explained((one,), fits[case.name][0], agreed, float(len(ones)))
            for (one, fits), agreed in zip(ways, digits, strict=True)
        )
        for case in (wrong if ways else ())
    }


def _summed(parts: Iterable[Array]) -> Array:
    return np.asarray(np.sum(list(parts), axis=0))


def _of_the_sums(case: Case, batch: Sequence[_Sequence]) -> list[Explained]:
    """What is wrong in the sum of one array alone, alike in every sequence."""
    every = [
        {found.key: (found, array, trials) for found, array, trials in of.own.tried(case)}
        for of in batch
    ]
    explained = []
    for key in every[0]:
        if all(key in one for one in every):
            found, _, trials = every[0][key]
            fit = agrees(case, _summed(one[key][1] for one in every))
            if fit is not None and not found.read_off:
                explained.append(Explained((found,), *fit, trials))
    return best(explained)
