"""Gradients of a batch against rnngrad's own, and those proved.

Its totals, ∂L/∂W of L = Σ_k L_k, are judged as arrays of one problem are, with the noise of all
sequences; whatever has a step axis is judged sequence by sequence, the sequences along the axis
that the spec says.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from rnngrad.analyses.checking.against import (
    LOSS,
    METHOD,
    Judged,
    Twice,
    check_arrays,
    is_wrong,
    judge,
    named,
    of_verdict,
    readings,
    with_diagnosis,
    worse,
)
from rnngrad.analyses.checking.bidirectional import (
    BidirectionalConditioning,
    check_bidirectional,
    check_own_bidirectional,
    names_in_half,
    of_a_swap,
    other_half,
    placed,
    told_of,
)
from rnngrad.analyses.checking.bidirectional import there as there_of_bidirectional
from rnngrad.analyses.checking.bidirectional import why as why_of_bidirectional
from rnngrad.analyses.checking.comparing.places import place
from rnngrad.analyses.checking.comparing.rounding_noise import (
    DRAWS,
    Conditioning,
    passes_by_link,
    rounded_anew,
)
from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict, worst
from rnngrad.analyses.checking.diagnosing.batches import MOST_WORK, diagnose, known
from rnngrad.analyses.checking.diagnosing.questions import EMBEDDING, of_turned, of_zeros
from rnngrad.analyses.checking.own.checker import Progress
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.checking.references.methods import AUTO
from rnngrad.analyses.checking.references.plan import units
from rnngrad.analyses.derivation.bidirectional import BidirectionalPasses
from rnngrad.analyses.derivation.derive import totals_of
from rnngrad.analyses.derivation.on_request import of_tokens
from rnngrad.analyses.derivation.quantities import Passes, Quantities, Quantity, of_start, records
from rnngrad.analyses.memory import ask_for_against
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.chains.jacobians import pulled_back
from rnngrad.net.batch import Batch, BidirectionalBatch, Chosen
from rnngrad.net.batch_passes import Together, passes
from rnngrad.net.bidirectional import Bidirectional, apart
from rnngrad.net.given_arrays import GivenArray, given, some
from rnngrad.net.problem import Problem

SUM = "sum of the sequences"
AFFORDABLE = 4e7
"""Work of ``check_own`` on the sequences that are looked at."""

FEWEST = 3
"""So many of them at least."""


class BatchPasses(Passes):
    """The passes of every sequence."""

    def __init__(self, batch: Batch, sequences: tuple[Passes, ...]) -> None:
        super().__init__(batch.net)
        self.batch, self.sequences = batch, sequences


class BatchConditioning(Conditioning):
    """Every sequence rounded anew."""

    def __init__(self, passes: BatchPasses) -> None:
        super().__init__(passes)
        self.of = passes

    def _each(self, made: Iterable[Passes]) -> BatchPasses:
        return BatchPasses(self.of.batch, tuple(made))

    @cached_property
    def redone(self) -> tuple[Passes, ...]:
        with quietly():
            return tuple(
                self._each(_anew(one, draw + DRAWS * k) for k, one in enumerate(self.of.sequences))
                for draw in range(DRAWS)
            )

    @cached_property
    def by_link(self) -> Passes:
        with quietly():
            return self._each(map(_by_link, self.of.sequences))

    @cached_property
    def _alone(self) -> tuple[Conditioning, ...]:
        return tuple(
            BidirectionalConditioning(one)
            if isinstance(one, BidirectionalPasses)
            else Conditioning(one)
            for one in self.of.sequences
        )

    @cached_property
    def kinks(self) -> tuple[tuple[int, int], ...]:
        return tuple(kink for one in self._alone for kink in one.kinks)

    def other_branches(self) -> Iterator[Passes]:
        """One sequence at a time."""
        sequences = self.of.sequences
        for k, one in enumerate(self._alone):
            for flipped in one.other_branches():
                yield self._each((*sequences[:k], flipped, *sequences[k + 1 :]))


def _anew(one: Passes, draw: int) -> Passes:
    if isinstance(one, BidirectionalPasses):
        return BidirectionalConditioning(one).anew(draw)
    return rounded_anew(one, draw)


def _by_link(one: Passes) -> Passes:
    return (
        BidirectionalConditioning(one).by_link
        if isinstance(one, BidirectionalPasses)
        else passes_by_link(one)
    )


def _total(record: Quantity) -> Quantity:
    """The sum of what each sequence has."""

    def compute(of: Passes) -> Array:
        assert isinstance(of, BatchPasses)
        return np.asarray(np.sum([record.compute(one) for one in of.sequences], axis=0))

    return record._replace(compute=compute)


def totals(batch: Batch) -> dict[str, Quantity]:
    """L and the gradient of every parameter."""
    if batch.net.loss is None:
        return {}
    of_parameters = totals_of(batch)
    loss = {} if batch.net.upstream else {LOSS.name: LOSS}
    tokens = {record.name: record for record in of_tokens(batch.net)}
    return {name: _total(r) for name, r in {**loss, **of_parameters, **tokens}.items()}


def by_sequence(batch: Batch) -> dict[str, Quantity]:
    """What each sequence has of its own."""
    whole = totals_of(batch)
    if isinstance(batch, BidirectionalBatch):
        return {
            n: r for n, r in there_of_bidirectional(batch.net).items() if n not in totals(batch)
        }
    found = {n: r for n, r in records(batch.net).items() if n not in whole}
    starts = map(of_start, batch.net.cell.parts) if batch.net.loss is not None else ()
    return found | {record.name: record for record in starts}


# ---------------------------------------------------------------------------- somebody else's


def check_given(
    problem: Problem | Batch | Bidirectional,
    arrays: Mapping[str, GivenArray | Any],
    twice: Twice = MappingProxyType({}),
    *,
    rtol: float | None = None,
    framework: bool = False,
) -> list[Checked]:
    """A verdict for every array given; see ``against.check_arrays``, and for a batch above. Of a
    sequence that is chosen what has a step axis is its own, L and its gradients are the batch's."""
    ask_for_against(problem, arrays)
    if isinstance(problem, Chosen):
        return _of_batch(problem.batch, arrays, twice, rtol, problem.alone)
    if isinstance(problem, Problem):
        return check_arrays(problem, arrays, twice, rtol=rtol, framework=framework)
    if isinstance(problem, Bidirectional):
        if isinstance(problem.net, Chosen):
            return _of_batch(problem.net.batch, arrays, twice, rtol, problem.net.alone)
        return check_bidirectional(problem, arrays, twice, rtol=rtol)
    return _of_batch(problem, arrays, twice, rtol)


def _of_batch(
    batch: Batch,
    arrays: Mapping[str, GivenArray | Any],
    twice: Twice,
    rtol: float | None,
    only: Problem | None = None,
) -> list[Checked]:
    """``only``: the one sequence whose arrays are given, of those that each sequence has."""
    there = totals(batch) | by_sequence(batch)
    why = (
        partial(why_of_bidirectional, batch.each[0])
        if isinstance(batch, BidirectionalBatch)
        else None
    )
    asked = named(arrays, twice, readings(batch.net, arrays, there, why))
    judged = _Judging(batch, rtol, only)
    found = judged.of(asked.first)
    for name, key, array in asked.again:
        found[name] = worse(found[name], key, judged.of({name: array})[name])
    return [asked.noted(found[name]) for name in there if name in found]


@dataclass
class _Judging:
    """The verdicts on arrays of a batch; the passes are run once."""

    batch: Batch
    rtol: float | None
    only: Problem | None = None

    @cached_property
    def conditioning(self) -> BatchConditioning:
        kind = BidirectionalPasses if isinstance(self.batch, BidirectionalBatch) else Passes
        sequences = tuple(map(kind, self.batch.sequences))
        return BatchConditioning(BatchPasses(self.batch, sequences))

    def of(self, arrays: Mapping[str, GivenArray | Any]) -> dict[str, Checked]:
        whole, own = totals(self.batch), by_sequence(self.batch)
        judged = [
            judge(record, arrays[name], self.conditioning, self.rtol)
            for name, record in whole.items()
            if name in arrays
        ]
        found = {one.checked.name: one for one in self._diagnosed(judged)}
        of_one = {name: arrays[name] for name in own if name in arrays}
        if self.only is not None and of_one:
            entries = self._checked(self.only, of_one)
            return {n: self._placed(one.checked) for n, one in found.items()} | {
                entry.name: entry for entry in entries
            }
        for name in of_one:
            found[name] = Judged(self._apart(name, arrays[name]))
        return {name: self._placed(one.checked) for name, one in found.items()}

    def _diagnosed(self, judged: list[Judged]) -> list[Judged]:
        wrong = of_verdict(judged, Verdict.FAIL)
        if not any(is_wrong(one.checked) for one in judged):
            return judged
        of = self.conditioning.of
        told = diagnose(
            wrong, self.batch, of.sequences,
            lambda case: [_of_one(case.name, one) for one in of.sequences],
            of_verdict(judged, Verdict.PASS),
        )  # fmt: skip
        if isinstance(self.batch, BidirectionalBatch):
            return self._of_halves(self.batch, judged, told)
        return [
            one._replace(checked=with_diagnosis(told.get(one.checked.name), one, self.batch.net))
            for one in judged
        ]

    def _of_halves(
        self, batch: BidirectionalBatch, judged: list[Judged], told: dict[str, Diagnosis | None]
    ) -> list[Judged]:
        """With the numbers of the other direction told, and mistakes within one half."""
        of, whole = self.conditioning.of, totals(batch)
        why: dict[str, str] = {}
        open_ = {
            one.checked.name: one.case for one in judged
            if one.case and is_wrong(one.checked) and not _named(told.get(one.checked.name))
        }  # fmt: skip
        for name, case in open_.items():
            why[name] = other_half(of, whole, name, case.got)
            if name == EMBEDDING:
                why[name] = of_zeros(case, batch.net)
        for half, alike in zip(batch.each[0].halves, batch.halves, strict=True):
            known_there = records(alike.net)
            mine = {
                own: open_[name]._replace(record=known_there[own])
                for own, name in names_in_half(alike.net, half).items()
                if name in open_ and not why[name]
            }
            if not mine or alike.size * alike.steps > MOST_WORK:
                continue
            with quietly():
                passes = list(map(Passes, alike.sequences))
                shares = {own: [_of_one(own, one) for one in passes] for own in mine}
                found = known(list(mine.values()), alike.net, passes, shares, False)
            for own, case in mine.items():
                name = names_in_half(alike.net, half)[own]
                told[name] = found.get(own, told.get(name))
                zeros = of_zeros(case, alike.net) or of_turned(case, alike.net)
                why[name] = told_of(half) if own in found else zeros
        why |= of_a_swap(why)
        return [
            one._replace(checked=one.checked._replace(
                diagnosis=None if "numbers of" in why.get(one.checked.name, "")
                else told.get(one.checked.name),
                reason=one.checked.reason or why.get(one.checked.name, ""),
            ))
            for one in judged
        ]  # fmt: skip

    def _placed(self, entry: Checked) -> Checked:
        if entry.worst_entry or entry.worst_index is None:
            return entry
        if isinstance(self.batch, BidirectionalBatch):
            return placed(self.batch.net, entry, totals(self.batch)[entry.name])
        return entry._replace(worst_entry=place(self.batch.net, entry.name, entry.worst_index))

    def _checked(self, one: Problem, arrays: Mapping[str, GivenArray | Any]) -> list[Checked]:
        """The verdicts on arrays of one sequence by itself."""
        if isinstance(self.batch, BidirectionalBatch):
            return check_bidirectional(Bidirectional(one), arrays, rtol=self.rtol)
        return check_arrays(one, arrays, rtol=self.rtol)

    def _apart(self, name: str, array: GivenArray | Any) -> Checked:
        """An array of all sequences, each with its own."""
        try:
            got = array if isinstance(array, GivenArray) else given(array)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = f"is no array of real numbers: {error}"
            return Checked(name, Verdict.FAIL, METHOD, reason=reason)
        batch = self.batch
        shapes = [self._shape(name, one) for one in batch.sequences]
        record, shape = by_sequence(batch)[name], max(shapes)
        second = batch.axis == "second" and record.first_step is not None
        wanted = (shape[0], batch.size, *shape[1:]) if second else (batch.size, *shape)
        if got.values.shape != wanted:
            sides = "×".join(map(str, got.values.shape)) or "that of a single number"
            reason = f"its shape is {sides}, must be {'×'.join(map(str, wanted))}"
            return Checked(name, Verdict.FAIL, METHOD, reason=reason)
        entries = []
        for k, one in enumerate(batch.sequences):
            rows = slice(None) if record.first_step is None else slice(shapes[k][0])
            piece = some(got, (rows, k) if second else (k, rows) if shape else (k,))
            (entry,) = self._checked(one, {name: piece})
            entries.append(in_batch(entry, k, second))
        return of_the_worst(entries)

    def _shape(self, name: str, one: Problem) -> tuple[int, ...]:
        if isinstance(self.batch, BidirectionalBatch):  # whose records are of one length
            return there_of_bidirectional(one)[name].shape(one)
        return by_sequence(self.batch)[name].shape(one)


def _named(diagnosis: Diagnosis | None) -> bool:
    return diagnosis is not None and bool(diagnosis.bug or diagnosis.rel_error_if_so is not None)


def _of_one(name: str, one: Passes) -> Array:
    tokens = {record.name: record for record in of_tokens(one.problem)}
    known = (
        there_of_bidirectional(one.problem)
        if isinstance(one, BidirectionalPasses)
        else records(one.problem)
    )
    record = LOSS if name == LOSS.name else {**known, **tokens}[name]
    return np.asarray(record.compute(one))


def in_batch(entry: Checked, k: int, second: bool = False) -> Checked:
    """The verdict on sequence k, from 0, with its place in the array of all."""
    at = entry.worst_index
    if at is not None:
        at = (at[0], k, *at[1:]) if second and at else (k, *at)
    words = ", ".join(filter(None, (f"sequence {k + 1}", entry.worst_entry)))
    return entry._replace(worst_index=at, worst_entry=words)


def of_the_worst(entries: list[Checked]) -> Checked:
    """The worst verdict, of those alike the one with the largest error; without an error to show,
    that of the first."""
    verdict = worst(entry.verdict for entry in entries)
    alike = [entry for entry in entries if entry.verdict is verdict]
    return max(
        alike, key=lambda entry: -1.0 if entry.max_rel_error is None else entry.max_rel_error
    )


# ---------------------------------------------------------------------------- rnngrad's own


def sequences_checked(batch: Batch) -> list[int]:
    """Which sequences, from 0, are checked in full: all, or as many as take some seconds each,
    spread evenly."""
    every = batch.sequences
    if isinstance(batch, BidirectionalBatch):
        every = apart(max(batch.each, key=lambda one: one.net.steps))
    a_sequence = max(map(units, every))
    most = int(np.clip(AFFORDABLE / max(a_sequence, 1.0), FEWEST, batch.size))
    return sorted({int(k) for k in np.linspace(0, batch.size - 1, min(most, batch.size))})


def own_checked(
    problem: Problem | Batch | Bidirectional,
    *,
    method: str = AUTO,
    rtol: float | None = None,
    progress: Progress | None = None,
) -> list[Checked]:
    """A verdict on each of rnngrad's own gradients of a problem, a bidirectional net, a batch, or
    the sequence that is chosen from one: then on its own arrays and the batch's totals."""
    one = problem.net if isinstance(problem, Bidirectional) else problem
    if isinstance(one, Chosen):
        only = one.batch.sequences.index(one.alone)
        return check_own_batch(one.batch, method=method, rtol=rtol, progress=progress, only=only)
    if isinstance(problem, Bidirectional):
        return check_own_bidirectional(problem, method=method, rtol=rtol, progress=progress)
    if isinstance(problem, Problem):
        return check_own(problem, method=method, rtol=rtol, progress=progress)
    return check_own_batch(problem, method=method, rtol=rtol, progress=progress)


def check_own_batch(
    batch: Batch,
    *,
    method: str = AUTO,
    rtol: float | None = None,
    progress: Progress | None = None,
    together: Together | None = None,
    only: int | None = None,
) -> list[Checked]:
    """``check_own`` of the sequences' arrays as the batch has them, or of sequence ``only``, from
    0; and the totals against the sum of the gradients of each sequence by itself. ``together`` are
    the arrays under test."""
    found = passes(batch) if together is None else together
    entries: dict[str, list[Checked]] = {}
    chosen = sequences_checked(batch) if only is None else [only]
    for at, k in enumerate(chosen):
        tell = None if progress is None else _share(progress, at, len(chosen))
        for entry in _own_of(batch, found, k, method, rtol, tell):
            told = in_batch(entry, k) if only is None else entry
            entries.setdefault(entry.name, []).append(told)
    checked = {name: of_the_worst(some) for name, some in entries.items()}
    if batch.net.loss is not None:
        checked |= _totals_proved(batch, found, checked, rtol)
    return list(checked.values())


def _own_of(
    batch: Batch, found: Together, k: int, method: str, rtol: float | None, tell: Progress | None
) -> list[Checked]:
    """``check_own`` of sequence k, from 0."""
    one = batch.sequences[k]
    if isinstance(
        batch, BidirectionalBatch
    ):  # the batch's arrays are those of each sequence by itself
        return check_own_bidirectional(Bidirectional(one), method=method, rtol=rtol, progress=tell)
    own, tested = Passes(one), ChainMap(_arrays_of(batch, found, k), Quantities(one))  # type: ignore[arg-type]
    return check_own(
        one, method=method, rtol=rtol, progress=tell, gradients=tested,
        paths=None if one.loss is None else _paths(own),
    )  # fmt: skip


def _share(progress: Progress, at: int, count: int) -> Progress:
    def tell(fraction: float, what: str) -> None:
        progress((at + fraction) / count, f"sequence {at + 1} of {count}: {what}")

    return tell


def _paths(own: Passes) -> Any:
    return lambda: pulled_back(own.problem, own.forward, own.direct)


def _arrays_of(batch: Batch, found: Together, k: int) -> dict[str, Array]:
    """The arrays of a sequence, as those of the batch have them."""
    net, steps = batch.net, batch.lengths[k]
    there = records(net)
    arrays = {part: found.states[part][k, : steps + 1] for part in net.cell.parts}
    arrays["y"] = found.y[k, :steps]
    if net.loss is not None:
        arrays |= {f"dL_d{part}": rows[k, : steps + 1] for part, rows in found.dL_ds.items()}
        for name in ("losses", "dL_dy", "dLt_dht", "dL_dx"):
            arrays[name] = getattr(found, name)[k, :steps]
    if net.dense is not None:
        arrays.pop("dL_dx", None)  # it is that of x', and follows from the rest
    return {name: rows for name, rows in arrays.items() if name in there}


def _totals_proved(
    batch: Batch, found: Together, checked: Mapping[str, Checked], rtol: float | None
) -> dict[str, Checked]:
    """The worse of what is said of a parameter's gradient in each sequence and of the sum."""
    judging, proved = _Judging(batch, rtol), {}
    for name, record in totals(batch).items():
        if record.parameter is None:
            continue
        array = found.weights[record.parameter]
        entry = judging.of({name: array})[name]
        of_each = checked.get(name)
        method = SUM if of_each is None else f"{of_each.method}, summed"
        entry = entry._replace(method=method)
        if of_each is None or worst((entry.verdict, of_each.verdict)) is entry.verdict:
            proved[name] = entry
        else:
            proved[name] = of_each
    return proved
