"""The questions of somebody who sees a batch of which no total is right: was its other axis taken
for the sequences, was padding counted or left out, do the labels of padding count?

Each is the same net on arrays read otherwise, another batch; where its gradients, times one of the
factors that reductions have, are the numbers given, the question is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import compare
from rnngrad.analyses.checking.comparing.verdicts import Diagnosis
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.checking.diagnosing.questions import EMBEDDING, UNKNOWN
from rnngrad.analyses.derivation.derive import BatchDerivation
from rnngrad.arithmetic.arrays import Array, Integers, frozen
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.dense import behind
from rnngrad.net.problem import Problem

QUESTIONS = (
    f"{UNKNOWN}, and nothing is right: are they of another batch, with another order of its axes; "
    "does padding count (ignore_index), does your net read it (no lengths); is the loss another "
    "one, do its classes have weights, is an activation another one; were the weights saved after "
    "the optimizer's step?"
)


class Read(NamedTuple):
    """The arrays read otherwise, and what that is in words."""

    batch: Batch
    words: str


def answered(cases: Sequence[Case], batch: Batch) -> dict[str, Diagnosis]:
    """name -> the reading that gives every wrong total; nothing where none does."""
    for read in _readings(batch):
        derived = BatchDerivation(read.batch)
        try:
            made = {case.name: derived[case.name] for case in cases if case.name != "loss"}
        except (MemoryError, FloatingPointError):  # pragma: no cover - a question less
            continue
        if "loss" in {case.name for case in cases}:
            made["loss"] = np.asarray(derived.loss)
        for case in cases:
            if case.name == EMBEDDING:  # PyTorch does not train the row of padding
                made[EMBEDDING] = made[EMBEDDING] * case.got.values.any(axis=1, keepdims=True)
        for factor in _factors(batch, read.batch):
            fits = [
                compare(case.got, factor * made[case.name], case.record, case.rtol)
                for case in cases
            ]
            if all(one.fits for one in fits):
                worst = max(one.largest_error for one in fits)
                told = Diagnosis(None, read.words, worst, None, hint=read.words)
                return {case.name: told for case in cases}
    return {}


def asked(cases: Sequence[Case]) -> dict[str, Diagnosis]:
    """The questions themselves, where nothing answered one."""
    told = Diagnosis(None, QUESTIONS, None, None, hint=QUESTIONS)
    return {case.name: told for case in cases}


def _factors(now: Batch, other: Batch) -> list[float]:
    """What a loss may be multiplied by: as now, and by the means over what the other batch has."""
    weights = np.concatenate([_weights(one) for one in now.sequences])
    counting = sum(np.count_nonzero(_weights(one)) for one in other.sequences)
    counts = [1, other.size, other.steps, counting, other.size * other.steps]
    factors = [float(weights.max()), *(1.0 / count for count in counts if count)]
    more = [factor / now.net.outputs for factor in factors]
    return list(dict.fromkeys([*factors, *more]))


def _weights(one: Problem) -> Array:
    return np.zeros(one.steps) if one.loss_weights is None else one.loss_weights


def _readings(batch: Batch) -> Iterator[Read]:
    """Every loss counts once in each of them."""
    if batch.net.loss is None or batch.net.upstream:
        return
    yield from _other_activations(batch)
    yield from _without_a_loss(batch)
    if batch.net.dense is not None:  # its own inputs are not read otherwise
        return
    yield from _other_axis(batch)
    yield from _to_the_end_of_padding(batch)
    yield from _without_zeros_at_the_end(batch)
    yield from _other_labels(batch)


def _kind(batch: Batch) -> str:
    """Which steps count in every sequence: all, last, or some."""
    if all(_weights(one).all() for one in batch.sequences):
        return "all"
    last = all(one.last_step_with_loss == one.steps and np.count_nonzero(_weights(one)) == 1
               for one in batch.sequences)  # fmt: skip
    return "last" if last else "some"


def _problem(
    one: Problem, x: Array, targets: Array, counts: Array, ids: Integers | None
) -> Problem:
    tokens = one.tokens
    if tokens is not None and ids is not None:
        tokens = tokens._replace(ids=ids)
    return replace(one, x=frozen(x), targets=frozen(targets), loss_weights=frozen(counts),
                   tokens=tokens, draw=None, lengthen=None)  # fmt: skip


def _of(batch: Batch, sequences: list[Problem]) -> Batch:
    return type(batch)(tuple(sequences), axis=batch.axis)


def _stacked(batch: Batch) -> tuple[Array, Array, Integers | None]:
    """x (B, T, I), targets (B, T, O) and ids (B, T), with zeros, or the token 0, after each end."""
    B, T = batch.size, batch.steps
    x, targets = np.zeros((B, T, batch.net.inputs)), np.zeros((B, T, batch.net.outputs))
    ids = None if batch.net.tokens is None else np.zeros((B, T), dtype=np.int64)
    for k, one in enumerate(batch.sequences):
        x[k, : one.steps] = one.x
        if one.targets is not None:
            targets[k, : one.steps] = one.targets
        if ids is not None and one.tokens is not None:
            ids[k, : one.steps] = one.tokens.ids
            x[k, one.steps :] = one.tokens.first
    return x, targets, ids


def _other_axis(batch: Batch) -> Iterator[Read]:
    """T sequences of B steps; of a loss of the last step, as ``out[:, -1]`` takes it, the last of
    them alone, with a target each step."""
    kind, first, T, B = _kind(batch), batch.sequences[0], batch.steps, batch.size
    alike = all(np.array_equal(one.start(i), first.start(i)) for one in batch.sequences
                for i in range(len(first.cell.parts)))  # fmt: skip
    if kind == "some" or (kind == "last" and len(set(batch.lengths)) > 1) or not alike:
        return
    x, targets, ids = _stacked(batch)
    there = (np.arange(T) < np.array(batch.lengths)[:, np.newaxis]).astype(float)
    chosen = range(T) if kind == "all" else [T - 1]
    sequences = [
        _problem(first, x[:, t], targets[:, t], there[:, t], None if ids is None else ids[:, t])
        for t in chosen
    ]
    yield Read(
        _of(batch, sequences),
        f"these numbers are those of {T} sequences of {B} steps: the other axis was taken for the "
        "batch (batch_first?)",
    )


def _to_the_end_of_padding(batch: Batch) -> Iterator[Read]:
    """Sequences that go on through zeros to the longest one's end."""
    kind, T = _kind(batch), batch.steps
    if kind == "some" or len(set(batch.lengths)) == 1:
        return
    x, targets, ids = _stacked(batch)
    labels = _labels(batch)
    sequences, counts = [], np.ones(T) if kind == "all" else (np.arange(T) == T - 1).astype(float)
    for k, one in enumerate(batch.sequences):
        if kind == "last":
            targets[k, T - 1] = targets[k, one.steps - 1]
        elif labels:
            targets[k, one.steps :, 0] = 1.0
        own = None if ids is None else ids[k]
        sequences.append(_problem(one, x[k], targets[k], counts, own))
    end = "padding of zeros counted" if kind == "all" else "the last step of padding for the last"
    yield Read(_of(batch, sequences), f"these numbers are those of {end}: are lengths left out?")
    if kind == "all" and isinstance(batch, BidirectionalBatch):
        there = (np.arange(T) < n for n in batch.lengths)
        read = [replace(one, loss_weights=frozen(now.astype(float)))
                for one, now in zip(sequences, there, strict=True)]  # fmt: skip
        words = (
            "a net that reads the zeros of padding, whose losses do not count: is it not packed? "
            "then leave out lengths"
        )
        yield Read(_of(batch, read), f"these numbers are those of {words}")


def _without_zeros_at_the_end(batch: Batch) -> Iterator[Read]:
    """Sequences that end where nothing but zeros, or the token 0, follow."""
    kind = _kind(batch)
    lengths = [_length(one) for one in batch.sequences]
    beyond = (_weights(one)[n:].any() for n, one in zip(lengths, batch.sequences, strict=True))
    if lengths == list(batch.lengths) or (kind == "some" and any(beyond)):
        return
    sequences = []
    for n, one in zip(lengths, batch.sequences, strict=True):
        assert one.targets is not None
        targets = one.targets[:n].copy()
        if kind == "last":
            targets[-1] = one.targets[-1]
        counts = np.ones(n) if kind == "all" else (np.arange(n) == n - 1).astype(float)
        if kind == "some":
            counts = (_weights(one)[:n] != 0).astype(float)
        ids = None if one.tokens is None else one.tokens.ids[:n]
        sequences.append(_problem(one, one.x[:n], targets, counts, ids))
    yield Read(
        _of(batch, sequences),
        "these numbers are those without the zeros at the ends of sequences: lengths are "
        f"{', '.join(map(str, lengths[:8]))}{', ..' if len(lengths) > 8 else ''}?",
    )


def _other_activations(batch: Batch) -> Iterator[Read]:
    """What no file of weights says: the σ of rnn, and that of a dense layer before the net."""
    net = batch.net
    for other in ACTIVATIONS.values():
        if net.cell.name == "rnn" and other != net.activation:
            sequences = [replace(one, activation=other) for one in batch.sequences]
            yield Read(
                _of(batch, sequences),
                f"these numbers are those of another σ: activation: {other.name}?",
            )
        if net.dense is not None and other != net.dense.activation:
            sequences = [
                behind(one, one.dense._replace(activation=other))
                for one in batch.sequences
                if one.dense is not None
            ]
            words = f"another σ behind W_in: input_activation: {other.name}?"
            yield Read(_of(batch, sequences), f"these numbers are those of {words}")


def _without_a_loss(batch: Batch) -> Iterator[Read]:
    """The first loss of every sequence does not count, or the last."""
    for at, which in ((0, "first"), (-1, "last")) if min(batch.lengths) > 1 else ():
        sequences = []
        for one in batch.sequences:
            counts = (_weights(one) != 0).astype(float)
            counts[np.flatnonzero(counts)[at : at + 1 or None]] = 0.0
            sequences.append(replace(one, loss_weights=frozen(counts)))
        yield Read(_of(batch, sequences), "these numbers are those without the "
                   f"{which} loss of each sequence: does a slice leave it out?")  # fmt: skip


def _length(one: Problem) -> int:
    there = one.x.any(axis=1) if one.tokens is None else one.tokens.ids != 0
    steps = np.flatnonzero(there)
    return int(steps[-1]) + 1 if steps.size else one.steps


def _labels(batch: Batch) -> bool:
    """Whether every target is a label's row: one number that is not 0, or none."""
    of_classes = batch.net.loss is not None and batch.net.loss.needs == "softmax"
    rows = [one.targets for one in batch.sequences if one.targets is not None]
    return of_classes and all(np.all(np.count_nonzero(row, axis=1) <= 1) for row in rows)


def _other_labels(batch: Batch) -> Iterator[Read]:
    """Labels that are ignored counted as class 0, and class 0 not counted."""
    if not _labels(batch):
        return
    ignored, zero = [], []
    for one in batch.sequences:
        assert one.targets is not None
        counts, targets = (_weights(one) != 0).astype(float), one.targets.copy()
        zero.append(_problem(one, one.x, targets, counts * (targets[:, 0] == 0), None))
        targets[~targets.any(axis=1), 0] = 1.0
        ignored.append(_problem(one, one.x, targets, np.ones(one.steps), None))
    yield Read(_of(batch, zero), "these numbers are those without the labels 0: ignore_index: 0?")
    yield Read(_of(batch, ignored),
               "these numbers are those of labels that are ignored counted as class 0: does the "
               "loss have an ignore_index?")  # fmt: skip
