"""From wrong arrays to the mistake behind them.

    1. one mistake that explains all wrong arrays goes before one per array;
    2. the specific before the general: truncated and clipped after the others, scaled last;
    3. where equals still fit, one that also makes the right arrays right goes first;
    4. where equals still fit then, they are candidates, and none is named.

A mistake fits an array when it reproduces it to the array's own tolerance. Nothing is named where
none fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import compare
from rnngrad.analyses.checking.comparing.rounding_noise import Conditioning
from rnngrad.analyses.checking.comparing.verdicts import Diagnosis
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE, Mistake
from rnngrad.analyses.checking.diagnosing.fitting import (
    FACTOR,
    PARTLY,
    UNPROVEN,
    Case,
    Fit,
    each_digits,
    fits_by_passes,
    fits_read_off,
    numbers_read_off,
)
from rnngrad.analyses.checking.diagnosing.questions import (
    LONELY,
    SINGLE,
    UNKNOWN,
    of_a_factor,
    of_float32,
)
from rnngrad.analyses.checking.diagnosing.variations import Reading, Variation
from rnngrad.analyses.checking.diagnosing.wording import Location
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.as_diagnosis import as_diagnosis as of_the_search
from rnngrad.analyses.mistakes.localising import located
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.searching import Search
from rnngrad.arithmetic.arrays import quietly
from rnngrad.net.cells import OF_THE_INPUTS
from rnngrad.net.problem import Problem

ENOUGH = 4.5
"""Decimal digits that must agree: some 60 ways of making the listed mistakes, each by chance once
in 10^digits times, and a false name once in 500 times where just so many agree."""
FEW = "too few digits are wrong to name a mistake; these numbers would be those of"
LARGEST_PATHS = 10_000
"""Entries of ``log10_paths`` beyond which no mistake is looked for in it."""

LARGEST_EMBEDDING = 100_000
"""Entries of ``dL_dembedding`` beyond which no mistake is looked for in it."""
OF_ITS_OWN = Diagnosis(None, f"{UNKNOWN}: this array is not looked at with the others", None, None)

OF_THE_LOSS = ("missing-factor-2", "sign-flipped", "averaged-over-steps")
"""Made before anything else, these are in every gradient or in none."""

AT_THE_READ_OUT = ("last-loss-only", "missing-output-derivative")
"""Where these alter the gradients of W_hy or b_y alone, it is a mistake of that sum."""

Fits = Mapping[str, Fit]
"""name of an array -> how one mistake fits it."""


def diagnose(
    wrong: list[Case], right: list[Case], conditioning: Conditioning
) -> dict[str, Diagnosis | None]:
    """name -> what explains that wrong array; ``right`` are the others that were given. What
    follows from ∂L/∂x_t alone does not keep the others from being explained, nor do zeros that are
    right."""
    right = [case for case in right if case.right.any()]
    cases = [c for c in wrong if not follows(c) or c.right.size <= LARGEST_EMBEDDING]
    told = _diagnosed(cases, right, conditioning)
    others = [case for case in cases if not follows(case)]
    if others and len(others) < len(wrong) and not all(_is_told(told[c.name]) for c in others):
        first = [case for case in right if not follows(case)]
        again = _diagnosed(others, first, conditioning)
        if any(map(_is_told, again.values())):
            told |= again
            for case in filter(follows, cases):
                told[case.name] = told[case.name] if _is_told(told[case.name]) else OF_ITS_OWN
    return {case.name: told.get(case.name, OF_ITS_OWN) for case in wrong}


def follows(case: Case) -> bool:
    """Whether it follows from ∂L/∂x_t: that of a dense layer before the net, or an embedding."""
    return case.name.removeprefix("dL_d") in OF_THE_INPUTS


def _diagnosed(
    wrong: list[Case], right: list[Case], conditioning: Conditioning
) -> dict[str, Diagnosis | None]:
    cases = [c for c in wrong if c.name != "log10_paths" or c.right.size <= LARGEST_PATHS]
    problem = conditioning.passes.problem
    with quietly():
        search = _Search(cases, right, conditioning)
        together = search.best(search.joint()) if len(cases) == len(wrong) else []
        listed = {
            case.name: [fits[case.name] for fits in together]
            or [fits[case.name] for fits in search.best(search.alone(case.name))]
            for case in cases
        }
        told = {
            case.name: in_words(
                case,
                listed.get(case.name, []),
                problem,
                cases if together else [case],
                max(map(_error, together), default=None),
                loss_is_right(right),
            )
            for case in wrong
        }
        if together or (all(map(_is_specific, listed.values())) and len(listed) == len(wrong)):
            return told
        told |= found_in_the_graph(wrong, right, conditioning.passes, listed, told)
        unknown = Diagnosis(None, UNKNOWN, None, None)  # what no graph of the cell has
        alone = [case.name for case in wrong if follows(case)]
        return {n: unknown if d is None and n in alone else d for n, d in told.items()}


def found_in_the_graph(
    wrong: list[Case],
    right: list[Case],
    passes: Passes,
    listed: Mapping[str, list[Fit]],
    told: Mapping[str, Diagnosis | None],
) -> dict[str, Diagnosis | None]:
    """name -> what the search through the equations says of that wrong array, where it says more
    than the list of known mistakes."""
    wrong = [c for c in wrong if c.got.values.shape == c.right.shape]
    zeros = [c for c in wrong if not c.got.values.any()]
    wrong = [c for c in wrong if c.got.values.any()]
    if not wrong:
        return {}
    search = Search(wrong, right, passes)
    found = search.run()
    keys = {repr(sorted(repr(one.key) for one in found.get(case.name, []))) for case in wrong}
    if len(keys) == 1:  # an array of zeros proves nothing, but it may be of the same mistake
        same = found.get(wrong[0].name, [])
        also = [case for case in zeros if search.also_made(case, same)]
        found |= {case.name: same for case in also}
        wrong = [*wrong, *also]
    diagnoses: dict[str, Diagnosis | None] = {}
    keys = {repr(sorted(repr(one.key) for one in found.get(case.name, []))) for case in wrong}
    everything = len(wrong) > 1 and len(keys) == 1 and bool(found.get(wrong[0].name))
    for case in wrong:
        step = first_wrong_step(case)
        shared = any(
            key in {one.key for one in found.get(other.name, [])}
            for key in (one.key for one in found.get(case.name, []))
            for other in wrong if other is not case
        )  # fmt: skip
        if _is_specific(listed.get(case.name, [])) and not everything and not shared:
            continue
        diagnosis = of_the_search(case, found.get(case.name, []), step)
        if diagnosis is not None:
            diagnoses[case.name] = diagnosis
    open_ = [c for c in wrong if c.name not in diagnoses and not _is_told(told.get(c.name))]
    if open_:
        for name, one in located(wrong, right, search).items():
            before = told.get(name)
            if any(case.name == name for case in open_):
                words = UNKNOWN if before is None else before.explanation
                diagnoses[name] = Diagnosis(
                    None, f"{words}; {one.words}", None, None if before is None
                    else before.first_wrong_step, where=one.where, hint=f"{words}; {one.hint}",
                    look=one.look, hidden=one.hidden,
                )  # fmt: skip
    return diagnoses


def _is_told(diagnosis: Diagnosis | None) -> bool:
    """Whether it says what is wrong."""
    return diagnosis is not None and (bool(diagnosis.bug) or bool(diagnosis.candidates)
                                      or diagnosis.explanation == SINGLE)  # fmt: skip


def _is_specific(fits: list[Fit]) -> bool:
    """Whether a listed mistake fits that is more than a number read off the array."""
    return bool(fits) and min(fit.rank for fit in fits) < FACTOR


def named_exactly(
    doubtful: list[Case], wrong: list[Case], right: list[Case], conditioning: Conditioning
) -> bool:
    """Whether one mistake that leaves nothing open gives all these numbers to their plain
    tolerance, ``doubtful`` ones, that rounding might explain as well, included.

    Rounding strikes at random: it does not happen to make just what a mistake makes. Zeros alone
    prove nothing: 1 − h² rounds to zero too.
    """
    if not all(_tells(case) for case in doubtful):
        return False
    cases = [case._replace(noise=None) for case in (*doubtful, *wrong)]
    with quietly():
        ways = _Search(cases, right, conditioning).joint()
    return any(max(fit.rank for fit in fits.values()) in (0.0, PARTLY) for fits in ways)


def _tells(case: Case) -> bool:
    """Whether it is wrong in an entry other than zero."""
    return case.compared is not None and bool((case.compared.wrong & (case.got.values != 0)).any())


class _Search:
    """Every fit of every mistake to every wrong array, found once."""

    def __init__(self, cases: list[Case], right: list[Case], conditioning: Conditioning) -> None:
        self.cases, self.right = cases, right
        problem = conditioning.passes.problem
        self.apart = Apart(conditioning.passes)
        self.mistakes = [m for m in CATALOGUE.values() if m.applies(problem)]
        self.found = {
            mistake.bug: fits_by_passes(mistake, self.apart, cases, conditioning)
            for mistake in self.mistakes
            if not mistake.reads_off
        }

    def joint(self) -> list[Fits]:
        """Every mistake that explains all the wrong arrays, with one number for all of them."""
        return [
            fits
            for mistake in self.mistakes
            for fits in (
                self._read_off_jointly(mistake) if mistake.reads_off else self._jointly(mistake)
            )
        ]

    def _jointly(self, mistake: Mistake) -> list[Fits]:
        found = [self.found[mistake.bug][case.name] for case in self.cases]
        if not all(found):
            return []
        of_the_sums_too = mistake.bug in ("sign-flipped", "averaged-over-steps")
        if self._is_refuted(mistake) and not of_the_sums_too:
            return []
        common = set.intersection(*({fit.steps for fit in fits} for fits in found))
        ways = []
        for steps in sorted(common, key=lambda k: k or 0):
            best = [
                _nearest(self._sparing(mistake, [fit for fit in fits if fit.steps == steps]))
                for fits in found
            ]
            ways.append({c.name: fit for c, fit in zip(self.cases, best, strict=True)})
        return [min(ways, key=_error)] if ways else []

    def _read_off_jointly(self, mistake: Mistake) -> list[Fits]:
        for number in numbers_read_off(mistake, self.cases):
            fits = fits_read_off(mistake, self.cases, number)
            if fits:
                return [{c.name: fit for c, fit in zip(self.cases, fits, strict=True)}]
        return []

    def alone(self, name: str) -> list[Fits]:
        """Every mistake that explains one array."""
        case = next(case for case in self.cases if case.name == name)
        ways: list[Fits] = []
        for mistake in self.mistakes:
            if mistake.reads_off:
                fits = fits_read_off(mistake, [case], None)
            else:
                fits = self._sparing(mistake, self.found[mistake.bug][name])
            if fits and not self._is_refuted(mistake):
                ways.append({name: _nearest(fits)})
        return ways

    def _sparing(self, mistake: Mistake, fits: list[Fit]) -> list[Fit]:
        """Those whose way of making it spoils the fewest of the right arrays."""
        if len(fits) < 2 or not self.right:
            return fits
        every = list(mistake.vary(self.apart))
        spoiled = [self._spoils(every[fit.variation]) for fit in fits]
        return [fit for fit, n in zip(fits, spoiled, strict=True) if n == min(spoiled)]

    def _spoils(self, variation: Variation) -> int:
        reading = Reading(variation, self.apart)
        return sum(reading.hits(c.name) and not _reproduced(reading, c) for c in self.right)

    def _is_refuted(self, mistake: Mistake) -> bool:
        """Whether it is one of the loss, which every gradient is made of, and one is right."""
        of_the_sums = all(case.name in ("dL_dW_hy", "dL_db_y") for case in self.cases)
        if mistake.bug not in OF_THE_LOSS and not (mistake.bug in AT_THE_READ_OUT and of_the_sums):
            return False
        return loss_is_right(self.right)

    def best(self, ways: list[Fits]) -> list[Fits]:
        """The most specific; among several of those, the ones that make the right arrays right."""
        ranks = [max(fit.rank for fit in fits.values()) for fits in ways]
        equals = [f for f, rank in zip(ways, ranks, strict=True) if rank == min(ranks)]
        if len(equals) < 2:
            return equals
        return [fits for fits in equals if self._spares_the_right(fits)] or equals

    def _spares_the_right(self, fits: Fits) -> bool:
        """Whether some way of making the mistake explains its arrays and no right one is hit."""
        mistake = CATALOGUE[next(iter(fits.values())).bug]
        wanted = [case for case in self.cases if case.name in fits]
        for variation in mistake.vary(self.apart):
            reading = Reading(variation, self.apart)
            if all(reading.hits(c.name) and _reproduced(reading, c) for c in wanted) and all(
                not reading.hits(c.name) or _reproduced(reading, c) for c in self.right
            ):
                return True
        return False


def loss_is_right(right: Iterable[Case]) -> bool:
    """Whether a gradient among the right ones shows that the loss is not another one."""
    return any(case.right.any() and case.name.startswith("dL_d") for case in right)


def _reproduced(reading: Reading, case: Case) -> bool:
    wrong = reading.of(case.name, case.right)
    if wrong.shape != case.got.values.shape:
        return False
    return compare(case.got, wrong, case.record, case.rtol).fits


def _nearest(fits: Iterable[Fit]) -> Fit:
    return min(fits, key=lambda fit: (fit.rank, fit.error))


def _error(fits: Fits) -> float:
    return max(fit.error for fit in fits.values())


# ---------------------------------------------------------------------------- in words


def _evidence(fit: Fit, cases: list[Case], error: float) -> float:
    """The digits that agree, of all arrays that this mistake explains; a number that was read off
    one entry is not explained by itself. Where nothing but zeros is wrong, these are
    enough beside numbers that are right; an array of zeros alone proves nothing."""
    read_off = CATALOGUE[fit.bug].reads_off and fit.agreed
    left = error if read_off or not CATALOGUE[fit.bug].reads_off else None
    each = np.concatenate([each_digits(case, case.got.values, left) for case in cases])
    if not each.size:
        return np.inf if all(case.got.values.any() for case in cases) else 0.0
    return float(each.sum() - (each.max(initial=0.0) if read_off else 0.0))


OWN_FACTOR = "; other gradients are right, so the factor is not the loss's"


def in_words(
    case: Case,
    fits: list[Fit],
    problem: Problem,
    cases: list[Case],
    error: float | None,
    others_right: bool = False,
) -> Diagnosis | None:
    """What is said of mistakes that fit an array. ``cases``: all that this mistake explains, with
    what ``error`` where these are several; ``others_right``: no mean or sum of the loss is."""
    step = first_wrong_step(case)
    if (
        len(fits) == 1
        and fits[0].rank < UNPROVEN
        and _evidence(fits[0], cases, fits[0].error if error is None else error) < ENOUGH
    ):
        known = CATALOGUE[fits[0].bug]
        words, hint = f"{FEW}: {known.looks_like}", f"{FEW}: {known.hint}"
        return Diagnosis(None, words, fits[0].error, step, (fits[0].bug,), hint=hint)
    if len(fits) == 1 and fits[0].rank < UNPROVEN:
        fit, mistake = fits[0], CATALOGUE[fits[0].bug]
        words = mistake.explain(_location(case, fit, step, problem)) + _cited(mistake, problem)
        if fit.factor is not None and fit.factor > 0:
            asks = of_a_factor(fit.factor, problem, 4.0 * case.tolerance)
            words += OWN_FACTOR if others_right else asks
        number = (fit.steps, fit.limit, fit.factor)
        return Diagnosis(fit.bug, words, fit.error, step, (), *number, agreed=fit.agreed)
    if fits:
        names = tuple(fit.bug for fit in fits)
        error = max(fit.error for fit in fits)
        return Diagnosis(None, _undecided(fits), error, step, names)
    if of_float32(case):
        return Diagnosis(None, SINGLE, None, step)
    return None if step is None else Diagnosis(None, UNKNOWN, None, step)


def _cited(mistake: Mistake, problem: Problem) -> str:
    """The sheet is about one layer of rnn."""
    cited = mistake.equation and problem.single_rnn
    return f"; see {mistake.equation} on the sheet" if cited else ""


def _undecided(fits: list[Fit]) -> str:
    if all(fit.rank >= UNPROVEN for fit in fits):
        return LONELY
    return alike({fit.bug: CATALOGUE[fit.bug].looks_like for fit in fits})


def alike(words: Mapping[str, str]) -> str:
    """bug -> what is said of it, where several explain the same numbers."""
    looks = "; ".join(f"{bug}: {said}" for bug, said in words.items())
    return f"here these mistakes give the same numbers: {looks}"


_FORWARD = ("h", "y", "losses", "dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h")


def first_wrong_step(case: Case) -> int | None:
    """The largest wrong t of what is computed backward, the smallest of what is computed forward;
    None where there is no step axis, or no step can be told."""
    if case.record.first_step is None or case.compared is None:
        return None
    rows = np.flatnonzero(case.compared.wrong.reshape(len(case.right), -1).any(axis=1))
    if not rows.size:
        return None
    forward = case.name in _FORWARD or not case.record.needs_loss
    row = rows[0] if forward and case.name != "log10_chain" else rows[-1]
    return int(row) + case.record.first_step


def _location(case: Case, fit: Fit, step: int | None, problem: Problem) -> Location:
    """The pass from s back to s − 1 that the explanation names: where it first shows."""
    if step is None:
        s = problem.steps
    elif case.name == "log10_chain" or case.name[4:] in ("h", *problem.cell.parts):
        s = step + 1
    else:
        s = step
    s = min(max(s, 1), problem.steps)
    cell = "" if problem.single_rnn else problem.cell.name
    matrices = "W_hh" if problem.cell.blocks else ", ".join(problem.cell.recurrent)
    return Location(s, problem.steps, problem.hidden == 1, fit.steps, fit.where, cell, matrices)
