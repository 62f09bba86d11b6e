"""What explains wrong totals of a batch: another reduction, one sequence alone, a known mistake.

Totals are linear in the sequences' shares: with G_k the gradient of sequence k under the sum over
steps, ∂L/∂W = Σ_k w_k G_k, and a reduction is its w.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import compare
from rnngrad.analyses.checking.comparing.verdicts import Diagnosis
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE, Mistake
from rnngrad.analyses.checking.diagnosing.diagnosing import (
    OF_THE_LOSS,
    OWN_FACTOR,
    follows,
    in_words,
    loss_is_right,
)
from rnngrad.analyses.checking.diagnosing.fitting import Case, Fit, fit_of
from rnngrad.analyses.checking.diagnosing.other_readings import answered, asked
from rnngrad.analyses.checking.diagnosing.questions import EMPTY, UNKNOWN, of_a_norm
from rnngrad.analyses.checking.diagnosing.variations import Reading
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.as_diagnosis import as_diagnosis
from rnngrad.analyses.mistakes.of_a_batch import search
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.problem import Problem

MEAN_OF_STEPS = "mean_of_steps"
"""As the spec's ``batch_reduction`` calls it."""

MOST_WORK = 2 * 10**6
"""Sequences × steps up to which every known mistake is made in each."""


OF_ONE = (
    "in one sequence more is looked for: give a spec of one, without batch, lengths and "
    "batch_reduction, and its gradients"
)


class Way(NamedTuple):
    """Another L: the weight of each sequence, in words, and the keys that say so in a spec. Not
    ``of_the_loss``: one array alone may have it."""

    weights: Array
    words: str
    keys: str = ""
    of_the_loss: bool = True


def diagnose(
    wrong: Sequence[Case],
    batch: Batch,
    sequences: Sequence[Passes],
    of_one: Callable[[Case], list[Array]],
    right: Sequence[Case] = (),
) -> dict[str, Diagnosis | None]:
    """name -> what explains that wrong total; ``of_one`` gives the shares of the sequences in it.
    What explains all goes before what explains one. Where none is ``right``, other readings
    of the arrays are tried, or asked about; where one is, the loss is not another one."""
    cases = [case for case in wrong if case.got.values.shape == case.right.shape]
    if not cases:
        return {}
    right = [case for case in right if case.right.any()]  # zeros prove nothing
    with quietly():
        shares = {case.name: of_one(case) for case in cases}
        summed = {name: _under_the_sum(batch, some) for name, some in shares.items()}
        of_the_loss = not loss_is_right(right)
        found = _other_way(cases, batch, summed, of_the_loss)
        alike = not isinstance(batch, BidirectionalBatch)
        if not found and not right:
            found = answered(cases, batch)
        small = alike and batch.size * batch.steps <= MOST_WORK
        others = [case for case in cases if not follows(case)]
        if not found and small:
            found = known(cases, batch.net, sequences, shares, of_the_loss)
        found = found or one_factor(cases, of_the_loss)
        if not found and small:
            found = _in_the_equations(cases, right, sequences)
        if not found and small and 0 < len(others) < len(cases):
            found = known(others, batch.net, sequences, shares, of_the_loss)
            found = found or one_factor(others, of_the_loss)
            found = found or _in_the_equations(
                others, [c for c in right if not follows(c)], sequences
            )
        found |= _of_single_arrays([c for c in cases if c.name not in found], of_the_loss)
        of_norm = of_a_norm(found, cases, batch.net)
        found = {name: one for name, one in of_norm.items() if one is not None}
        if not found and not right:
            found = asked(cases)
    unknown = Diagnosis(None, f"{UNKNOWN}; {OF_ONE}", None, None)
    return {case.name: found.get(case.name, unknown) for case in cases}


def _of_single_arrays(cases: Sequence[Case], of_the_loss: bool) -> dict[str, Diagnosis]:
    """A factor array by array; what one alone has, beside others that stay open, tells nothing."""
    found: dict[str, Diagnosis] = {}
    for case in cases:
        found |= one_factor([case], of_the_loss) if case.right.size > 1 else {}
    scaled = [name for name, one in found.items() if one.factor is not None]
    if len(scaled) == 1 and len(cases) > 1 and len(found) < len(cases):
        del found[scaled[0]]
    return found


def _in_the_equations(
    cases: Sequence[Case], right: Sequence[Case], sequences: Sequence[Passes]
) -> dict[str, Diagnosis]:
    """A mistake in the equations of the cell that is made in every sequence."""
    ways = search(cases, right, sequences)
    told = {case.name: as_diagnosis(case, ways.get(case.name, []), None) for case in cases}
    return {name: one for name, one in told.items() if one is not None}


# ---------------------------------------------------------------------------- other reductions


def _factors(batch: Batch) -> Array:
    """What the losses of each sequence are multiplied by now; 0 where none counts."""
    weights = (one.loss_weights for one in batch.sequences)
    return np.array([0.0 if w is None else float(np.max(w, initial=0.0)) for w in weights])


def _under_the_sum(batch: Batch, shares: list[Array]) -> list[Array]:
    factors = _factors(batch)
    return [
        share / factor if factor else np.zeros_like(share)
        for share, factor in zip(shares, factors, strict=True)
    ]


def _counts(batch: Batch) -> Array:
    """How many losses count in each sequence."""
    weights = (one.loss_weights for one in batch.sequences)
    return np.array([0 if w is None else np.count_nonzero(w) for w in weights])


def ways(batch: Batch) -> Iterator[Way]:
    """The reductions that people and frameworks have, one sequence alone, passes added up."""
    B, counts, targets = batch.size, _counts(batch), batch.net.targets
    outputs = batch.net.outputs if targets is None else targets.shape[1]
    ones, own = np.ones(B), 1.0 / np.maximum(counts, 1)
    total, padded = int(counts.sum()), B * max(one.steps for one in batch.sequences)
    both = "loss_reduction: mean, batch_reduction: mean"
    for over, each in (("", 1), (" and outputs", outputs)):
        if over and outputs == 1:
            continue
        yield Way(ones / each, f"the sum over sequences and steps{_of(over)}", "" if over else
                  "loss_reduction: sum, batch_reduction: sum")  # fmt: skip
        yield Way(ones / B / each, f"the mean over {B} sequences{over}, the sum over steps",
                  "" if over else "loss_reduction: sum, batch_reduction: mean")  # fmt: skip
        yield Way(own / each, f"the sum over sequences, the mean over the steps{over} of each",
                  "" if over else "loss_reduction: mean, batch_reduction: sum")  # fmt: skip
        yield Way(own / B / each, f"the mean over sequences, steps{over}", "" if over else both)
        yield Way(
            ones / max(total, 1) / each,
            f"the mean over all {total} losses that count{over}",
            "" if over else f"loss_reduction: sum, batch_reduction: {MEAN_OF_STEPS}",
        )
        yield Way(ones / padded / each,
                  f"the mean over {padded} steps{over}, those after the ends counted")  # fmt: skip
    for k in range(B):
        last = "the last, " if k == B - 1 else ""
        words = f"{last}sequence {k + 1} of {B} alone: are the others not added up?"
        yield Way(_factors(batch) * (np.arange(B) == k), words, of_the_loss=False)
    for times in range(2, 6):
        words = f"{times} backward passes added up: were the gradients not set to zero in between?"
        yield Way(_factors(batch) * times, words)


def _of(over: str) -> str:
    return over.replace(" and", ", the mean over")


def _other_way(
    cases: Sequence[Case], batch: Batch, shares: Mapping[str, list[Array]], of_the_loss: bool
) -> dict[str, Diagnosis]:
    now = _factors(batch)
    for way in ways(batch):
        if way.of_the_loss and not of_the_loss:
            continue
        if np.allclose(way.weights, now, rtol=1e-12):
            continue
        errors = [_error(case, _summed(way.weights, shares[case.name])) for case in cases]
        if any(error is None for error in errors):
            continue
        worst = max(error for error in errors if error is not None)
        return {case.name: _said(way, now, worst) for case in cases}
    return {}


def one_factor(
    cases: Sequence[Case], of_the_loss: bool, asks: Callable[[float], str] = lambda factor: ""
) -> dict[str, Diagnosis]:
    """Every array times one factor, such as that of a clipped norm; 0 is an array not filled in.
    ``asks`` has a question about a factor of the loss."""
    got, right = (
        np.concatenate([np.ravel(a) for a in arrays])
        for arrays in ([case.got.values for case in cases], [case.right for case in cases])
    )
    factor = float(np.dot(got, right) / np.dot(right, right)) if right.any() else np.nan
    errors = [_error(case, factor * case.right) for case in cases] if np.isfinite(factor) else []
    found = [error for error in errors if error is not None]
    if not found or len(found) < len(errors):
        return {}
    if factor == 0:
        return {case.name: Diagnosis(None, EMPTY, None, None, hint=EMPTY) for case in cases}
    words = f"every number is {factor:.6g} times the right one"
    question = asks(factor) or ": a norm that was clipped, a weight?"
    words += question if of_the_loss else OWN_FACTOR
    told = Diagnosis(
        "scaled", words, max(found), None, factor=factor, hint=CATALOGUE["scaled"].hint
    )
    return {case.name: told for case in cases}


def _said(way: Way, now: Array, error: float) -> Diagnosis:
    some = now != 0
    ratio = way.weights[some] / now[some]
    same = ratio.size > 0 and np.allclose(ratio, ratio[0], rtol=1e-12)
    factor = float(ratio[0]) if same else None
    fits = f"; {way.keys} fits" if way.keys else ""
    if "alone" in way.words:
        last = way.words.startswith("the last")
        words = f"these numbers are of {way.words}"
        return Diagnosis("overwritten" if last else None, words, error, None, hint=words)
    words = f"these numbers are those of {way.words}{fits}"
    if factor is not None:
        inverse = round(1.0 / factor) if factor < 1.0 else 0
        whole = inverse > 0 and abs(inverse * factor - 1.0) < 1e-9
        shown = f"1/{inverse} of" if whole else f"{factor:.6g} times"
        words = f"every number is {shown} the right one: {words}"
    hint = "these numbers are those of another reduction over sequences or steps"
    return Diagnosis("scaled" if same else None, words, error, None, factor=factor, hint=hint)


def _summed(weights: Array, shares: list[Array]) -> Array:
    total = np.zeros_like(shares[0])
    for weight, share in zip(weights, shares, strict=True):
        total = total + weight * share
    return np.asarray(total)


def _error(case: Case, made: Array) -> float | None:
    """What is left where these are the numbers given, to their own tolerance; else None."""
    compared = compare(case.got, made, case.record, case.rtol)
    return compared.largest_error if compared.fits else None


# ---------------------------------------------------------------------------- known mistakes


def known(
    cases: Sequence[Case],
    net: Problem,
    sequences: Sequence[Passes],
    shares: Mapping[str, list[Array]],
    of_the_loss: bool,
) -> dict[str, Diagnosis]:
    """The first of the listed mistakes, the specific before the general, that made in every
    sequence gives all the numbers; nothing where none does."""
    aparts = [Apart(one) for one in sequences]
    mistakes = [
        m
        for m in CATALOGUE.values()
        if m.applies(net) and not m.reads_off and (of_the_loss or m.bug not in OF_THE_LOSS)
    ]
    for mistake in sorted(mistakes, key=lambda m: m.rank):
        found = _made(mistake, aparts, cases, shares)
        if found is not None:
            told = {n: in_words(case, [found[n]], net, list(cases), None) for case in cases
                    for n in (case.name,)}  # fmt: skip
            return {name: one for name, one in told.items() if one is not None}
    return {}


def _made(
    mistake: Mistake, aparts: Sequence[Apart], cases: Sequence[Case],
    shares: Mapping[str, list[Array]],
) -> dict[str, Fit] | None:  # fmt: skip
    for index, variations in enumerate(zip(*map(mistake.vary, aparts), strict=False)):
        readings = [Reading(one, apart) for one, apart in zip(variations, aparts, strict=True)]
        if not all(readings[0].hits(case.name) for case in cases):
            continue
        fits: dict[str, Fit] = {}
        for case in cases:
            parts = [
                reading.of(case.name, share)
                for reading, share in zip(readings, shares[case.name], strict=True)
            ]
            total = np.sum(parts, axis=0)
            if total.shape != case.right.shape or np.isnan(total).any():
                break
            compared = compare(case.got, total, case.record, case.rtol)
            if not compared.fits:
                break
            fits[case.name] = fit_of(mistake, variations[0], compared, index)
        if len(fits) == len(cases):
            return fits
    return None
