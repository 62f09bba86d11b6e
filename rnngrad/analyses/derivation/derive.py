"""The verbs of the Python API that look at one problem: gradients, derive, chain and paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import overload

import numpy as np

from rnngrad.analyses.derivation.bidirectional import CHAIN, BidirectionalPasses
from rnngrad.analyses.derivation.bidirectional import records as records_of_bidirectional
from rnngrad.analyses.derivation.bidirectional import starts as starts_of_bidirectional
from rnngrad.analyses.derivation.chain_rules import derivation, remarks
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.derivation.paths import PathSum, path_sums
from rnngrad.analyses.derivation.quantities import (
    Passes,
    Quantities,
    Quantity,
    of_dense,
    of_parts,
    records,
)
from rnngrad.arithmetic.arrays import Array, norm_of, quietly
from rnngrad.chains import checkpointing, jacobians
from rnngrad.chains.checkpointing import Report, Summary
from rnngrad.errors import QuantityError, did_you_mean
from rnngrad.net.backward import bptt_within
from rnngrad.net.batch import Batch, BidirectionalBatch, Chosen, one_sequence
from rnngrad.net.batch_passes import Together, passes
from rnngrad.net.bidirectional import Bidirectional, in_time
from rnngrad.net.cells import Cell
from rnngrad.net.dense import pulled_back
from rnngrad.net.forward import forward_within
from rnngrad.net.problem import REVERSE, Dense, Half, Problem
from rnngrad.progress import announce


class Derivation(Quantities):
    """Everything that ``rnngrad derive`` shows of one problem.

    A mapping from the names of the quantities to arrays, each computed when it is asked for
    (``result["log10_paths"]``, (T, T+1)), and from those of ``on_request``, which it does not list
    (``result["dL_da"]``, ``result["truncation"]``); ``loss`` is L, or None without targets;
    ``lines`` are the sheet's subtasks, ``path_sums`` the summands of ∂L/∂W_hh and ∂L/∂W_xh.

    Of a sequence that is chosen from a batch (``net.batch.Chosen``) L and its gradients by
    parameters are those of the batch. The lines and path sums are this sequence's alone.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._summary: Summary | None = None
        self._batch = BatchDerivation(problem.batch) if isinstance(problem, Chosen) else None

    def __getitem__(self, name: str) -> Array:
        if self._batch is not None and self._batch.has(name):
            return self._batch[name]
        return super().__getitem__(name)

    @property
    def weights(self) -> Mapping[str, Array]:
        """∂L/∂W by the parameters' names."""
        found = (self.passes.backward if self._batch is None else self._batch.passes).weights
        dense = {r.name.removeprefix("dL_d"): self[r.name] for r in of_dense(self.problem)}
        return {**found, **dense}

    @cached_property
    def on_request(self) -> Mapping[str, Quantity]:
        """What ``--quantity`` knows besides: ∂L/∂a_t, ∂L/∂W by step, the flow's parts."""
        from rnngrad.analyses.derivation.on_request import on_request

        return on_request(self.problem)

    def together(self, names: Iterable[str], report: Report | None = None) -> dict[str, Array]:
        """Several quantities at once. Where the passes would take much memory and none of the
        quantities has a row a step, they are computed by segments of time
        (``chains.checkpointing``); ``report(fraction)`` is then told how far it is."""
        wanted = list(names)
        if self._batch is not None or not checkpointing.worthwhile(self.problem, wanted):
            return {name: self._told(name, i / len(wanted)) for i, name in enumerate(wanted)}
        self._summary = checkpointing.run(self.problem, wanted, report)
        return {name: self._summary.arrays[name] for name in wanted}

    def _told(self, name: str, done: float) -> Array:
        announce(done, name)
        return self[name]

    @property
    def loss(self) -> float | None:
        """L = Σ_t L_t; None without targets, also where ∂L/∂h_t is given in their place."""
        if self.problem.loss is None or self.problem.upstream:
            return None
        if self._batch is not None:
            return self._batch.loss
        return self.passes.forward.loss if self._summary is None else self._summary.loss

    @property
    def first_nonfinite_step(self) -> int | None:
        """The first step at which the forward pass holds an inf or nan, or None."""
        summary = self._summary or self.passes.forward
        return summary.first_nonfinite_step

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """a1 … a6, b1 … b4 and the cell's own: symbol, chain rule, which numbers are the value."""
        return derivation(self.problem)

    def value(self, line: Line) -> Array:
        """The numbers of a line, computed now: what its formula gives."""
        if line.own is not None:
            return line.own.compute(self.passes)
        return line.value(self.of_sequence(line.quantity))

    def of_sequence(self, name: str) -> Array:
        """The same quantity of the one sequence, also where it is one of a batch."""
        return super().__getitem__(name)

    def value_at(self, line: Line, t: int) -> Array:
        """Entry t of the numbers of a line of its own, without those of the other steps."""
        assert line.own is not None
        return np.asarray(line.own.compute(self.passes.at_step(t))[0])

    def value_shape(self, line: Line) -> tuple[int, ...]:
        """Their shape, without computing anything."""
        if line.own is not None:
            return line.own.shape
        return line.shape(self.record(line.quantity).shape(self.problem))

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What the symbols mean, and what the exercise sheet leaves out, one line each."""
        return (*self._whose, *remarks(self.problem, self.lines))

    @property
    def _whose(self) -> tuple[str, ...]:
        """Of which sequence the sums over time are."""
        weights = {f"dL_d{name}" for name in self.problem.weights}
        sums = [line for line in self.lines if line.quantity in weights]
        if not sums or not self.of_one:
            return ()
        between = " and " if len(sums) == 2 else " to "
        ids = between.join(dict.fromkeys((sums[0].id, sums[-1].id)))
        first = f"{ids}: the sum over the steps {self.of_one}, its share of L"
        return (f"{first}; {sums[0].quantity} and its like are the sum over all sequences.",)

    @property
    def of_one(self) -> str:
        """Whose the sums over time are, where that is one sequence of a batch; else nothing."""
        of = self.problem.of_batch
        return "" if self._batch is None or of is None else f"of sequence {of[0]} alone"

    @cached_property
    def path_sums(self) -> tuple[PathSum, ...]:
        """∂L/∂W_hh and ∂L/∂W_xh path by path; time grows with T²H²."""
        return path_sums(self.passes)

    @cached_property
    def log10_step_norms(self) -> Array:
        """log10 ‖∂s_t/∂s_{t−1}‖₂ for t = 1 … T, (T,)."""
        return jacobians.log10_step_norms(self.problem, self.passes.forward)

    def log10_step_norms_at(self, steps: Sequence[int]) -> dict[int, float]:
        """log10 ‖∂s_t/∂s_{t−1}‖₂ of some steps, without the work of all."""
        norms = jacobians.log10_step_norms(self.problem, self.passes.forward, steps)
        return dict(zip(steps, norms.tolist(), strict=True))


def totals_of(batch: Batch) -> dict[str, Quantity]:
    """The records of what a batch has totals of, but for an embedding's."""
    net = batch.net
    dense = {record.name for record in of_dense(net)}
    every = records_of_bidirectional(net) if isinstance(batch, BidirectionalBatch) else records(net)
    return {n: r for n, r in every.items() if r.parameter is not None or n in dense}


class BatchDerivation(Mapping[str, Array]):
    """What ``rnngrad derive`` shows of a batch: ``loss``, the gradients of L = Σ_k L_k by the
    parameters' names (``result["dL_dW_hh"]``), and ``sequences``, a ``Derivation`` of each; of
    bidirectional layers a ``BidirectionalDerivation``."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @cached_property
    def passes(self) -> Together:
        """Forward and back-propagation through time, all sequences together."""
        announce(0.0, "the batch")
        return passes(self.batch)

    @cached_property
    def sequences(self) -> tuple[Derivation, ...] | tuple[BidirectionalDerivation, ...]:
        """Each by itself."""
        if isinstance(self.batch, BidirectionalBatch):
            return tuple(map(BidirectionalDerivation, self.batch.each))
        return tuple(map(Derivation, self.batch.sequences))

    @property
    def loss(self) -> float | None:
        """L = Σ_k L_k; None without targets."""
        if self.batch.net.loss is None or self.batch.net.upstream:
            return None
        return float(np.add.reduce(self.passes.losses, axis=None))

    @cached_property
    def first_nonfinite_step(self) -> int | None:
        """The first step at which the forward pass of a sequence holds an inf or nan, or None."""
        rows = (*self.passes.states.values(), self.passes.y, self.passes.losses)
        if all(np.isfinite(one).all() for one in rows):
            return None
        found = (one.first_nonfinite_step for one in self.sequences)
        return min((step for step in found if step is not None), default=None)

    @cached_property
    def records(self) -> Mapping[str, Quantity]:
        """Those of the parameters' gradients."""
        return totals_of(self.batch)

    @cached_property
    def on_request(self) -> Mapping[str, Quantity]:
        """What has a name besides: the gradient of an embedding, the norm of all gradients."""
        from rnngrad.analyses.derivation.on_request import NORM, of_tokens

        norm = () if self.batch.net.loss is None else (NORM,)
        return {record.name: record for record in (*of_tokens(self.batch.net), *norm)}

    def has(self, name: str) -> bool:
        """Whether it belongs to L, and not to one sequence."""
        return name in self.records or name in self.on_request

    def record(self, name: str) -> Quantity:
        """The record behind a name; QuantityError where there is none, or only of a sequence."""
        if self.has(name):
            return self.records.get(name) or self.on_request[name]
        record = self.sequences[0].record(name)
        raise QuantityError(
            f"'{record.name}' belongs to one sequence, and '{self.batch.name}' is a batch of "
            f"{self.batch.size}: set sequence=k, k from 1 to {self.batch.size}"
        )

    def __getitem__(self, name: str) -> Array:
        record = self.record(name)
        if record.parameter is not None:
            return self.passes.weights[record.parameter]
        if record.name == "gradient_norm":
            return np.array(norm_of(self.passes.weights))
        return np.asarray(sum(record.compute(one.passes) for one in self.sequences))

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


class BidirectionalDerivation(Mapping[str, Array]):
    """What ``rnngrad derive`` shows of a bidirectional net: ``loss``, every array of the whole by
    name (``result["dL_dW_hh_reverse"]``), and ``halves``, a ``Derivation`` of each by its name
    (``result.halves["reverse"]``), in its own time and with ∂L/∂h_t as it comes from above. Of a
    sequence that is chosen from a batch L and its gradients by parameters are the batch's."""

    def __init__(self, problem: Bidirectional) -> None:
        self.both, self.problem = problem, problem.net
        self.passes = BidirectionalPasses(problem.net)
        chosen = isinstance(problem.net, Chosen)
        self._batch = BatchDerivation(problem.net.batch) if chosen else None  # type: ignore[attr-defined]

    @cached_property
    def halves(self) -> Mapping[str, Derivation]:
        """Each by itself."""
        found = {}
        for half, one in self.run():
            found[half.name] = Derivation(one.problem)
            found[half.name].passes = one
        return found

    def run(self) -> Iterator[tuple[Half, Passes]]:
        """Each half and its passes."""
        return zip(self.both.halves, self.passes.halves, strict=True)

    @property
    def loss(self) -> float | None:
        """L = Σ_t L_t; None without targets."""
        if self.problem.loss is None or self.problem.upstream:
            return None
        return self.passes.forward.loss if self._batch is None else self._batch.loss

    @property
    def first_nonfinite_step(self) -> int | None:
        """The first step of the sequence at which a half or y holds an inf or nan, or None."""
        found = [self.passes.forward.first_nonfinite_step]
        for half, one in self.run():
            rows = np.concatenate([np.asarray(part)[1:] for layer in one.forward.layers
                                   for part in layer.states.values()], axis=1)  # fmt: skip
            bad = np.flatnonzero(~np.isfinite(in_time(half, rows)).all(axis=1))
            found.append(int(bad[0]) + 1 if bad.size else None)
        return min((step for step in found if step is not None), default=None)

    @cached_property
    def records(self) -> Mapping[str, Quantity]:
        """The records of the quantities that exist for this net."""
        return records_of_bidirectional(self.problem)

    @cached_property
    def on_request(self) -> Mapping[str, Quantity]:
        """What has a name besides: ∂L/∂ of the starts, the gradient of an embedding."""
        if self.problem.loss is None:
            return {}
        from rnngrad.analyses.derivation.on_request import of_tokens

        return starts_of_bidirectional(self.problem) | {r.name: r for r in of_tokens(self.problem)}

    def record(self, name: str) -> Quantity:
        """The record behind a name; QuantityError where there is none, or only of a half."""
        every = {**self.records, **self.on_request}
        if name in every:
            return every[name]
        one = next(iter(self.halves.values()))
        if name in {**one.records, **one.on_request}:
            ways = " or ".join(f"half={half.name}" for half in self.both.halves[:2])
            words = f"is of one chain, and '{self.problem.name}' is bidirectional: set {ways}"
            raise QuantityError(f"'{name}' {words}")
        hint = did_you_mean(name, every) or f"; they are {', '.join(every)}"
        raise QuantityError(f"no quantity is called '{name}'{hint}")

    def __getitem__(self, name: str) -> Array:
        if self._batch is not None and self._batch.has(name):
            return self._batch[name]
        with quietly():
            return self.record(name).compute(self.passes)

    def __contains__(self, name: object) -> bool:
        return name in self.records or name in self.on_request

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


@overload
def derive(problem: Problem) -> Derivation: ...
@overload
def derive(problem: Batch) -> BatchDerivation: ...
@overload
def derive(problem: Bidirectional) -> BidirectionalDerivation: ...
def derive(
    problem: Problem | Batch | Bidirectional,
) -> Derivation | BatchDerivation | BidirectionalDerivation:
    """Every quantity by name; ``rnngrad.derive`` adds what notebooks show."""
    if isinstance(problem, Bidirectional):
        return BidirectionalDerivation(problem)
    return BatchDerivation(problem) if isinstance(problem, Batch) else Derivation(problem)


def gradients(problem: Problem | Batch | Bidirectional) -> dict[str, Array | np.float64]:
    """Only the forward pass and BPTT, computed at once: no Jacobians, no chain, no paths.

    ``loss`` (a float), ``losses`` (T,), ``h`` (T+1, H), ``y`` (T, O), ``dL_dy`` (T, O), ``dLt_dht``
    (T, H), ``dL_dh`` (T+1, H), for lstm ``dL_dc``, ``dL_dx`` (T, I), and ``dL_dW_xh``,
    ``dL_dW_hh``, … shaped as the parameters. Without targets there is no loss: then only ``h``
    and ``y``; with ``upstream`` in their place all but ``loss`` and ``losses``. Other cells have
    their own parts of the state and parameters. Every array is the caller's own; O(T·H²) time,
    O(T·H) memory.

    Of a batch L is that of all sequences, and so are the gradients of the parameters; whatever has
    a step axis has the sequences in front, ``losses`` (B, T), ``dL_dh`` (B, T+1, H), ``dL_dx``
    (B, T, I) …, and zeros after the end of a shorter one. The sequences go through the net
    together, a matrix product a step. Of a sequence that is chosen from a batch L and the gradients
    of the parameters are the batch's, too.

    Of a bidirectional net ``dL_dW_hh_reverse`` and its like are there too; ``h_reverse`` (T+1, H)
    and ``dL_dh_reverse`` begin at step 1, and end at T + 1, where that half begins. ``dLt_dht`` is
    (T, 2H), that of [h_t; h_reverse_t]. In a batch ``h_reverse`` ends where its sequence does, with
    zeros after it; the sequences go one by one.
    """
    if isinstance(problem, Bidirectional):
        return _of_bidirectional(problem)
    if isinstance(problem, Batch):
        return _of_all(problem)
    own = _of_sequence(problem)
    if not isinstance(problem, Chosen):
        return own
    whole = _of_all(problem.batch)
    of_all = {"loss", *totals_of(problem.batch)}
    return {name: whole[name] if name in of_all else array for name, array in own.items()}


def _of_sequence(problem: Problem) -> dict[str, Array | np.float64]:
    """``gradients`` of one sequence."""
    with quietly():
        forward = forward_within(problem)
        states, gradients = _places(problem.cell)
        at_states = {name: forward.part(part) for name, part in states.items()}
        if problem.loss is None:
            return {**at_states, "y": forward.y}
        backward = bptt_within(problem, forward)
    loss = {"loss": np.add.reduce(forward.losses), "losses": forward.losses}
    return {
        **({} if problem.upstream else loss),
        **at_states,
        "y": forward.y,
        "dL_dy": backward.dL_dy,
        "dLt_dht": backward.dLt_dht,
        **{name: backward.dL_ds[part] for name, part in gradients.items()},
        "dL_dx": backward.dL_dx,
        **{f"dL_d{name}": gradient for name, gradient in backward.weights.items()},
        **_before(problem.dense, backward.dL_dx),
    }


def _before(dense: Dense | None, dL_dx: Array) -> dict[str, Array]:
    """The gradients of a dense layer before the recurrent one, and of what it reads."""
    if dense is None:
        return {}
    return {f"dL_d{name}": array for name, array in pulled_back(dense, dL_dx)._asdict().items()}


def _of_bidirectional(problem: Bidirectional) -> dict[str, Array | np.float64]:
    """``gradients`` of a bidirectional net."""
    net, found = problem.net, BidirectionalPasses(problem.net)
    with quietly():
        arrays: dict[str, Array | np.float64] = {
            name: record.compute(found)
            for name, record in records_of_bidirectional(net).items()
            if not name.startswith(CHAIN)
        }
        if isinstance(net, Chosen) and net.loss is not None:
            whole = _of_all(net.batch)
            arrays |= {name: whole[name] for name in totals_of(net.batch)}
            return arrays if net.upstream else {"loss": whole["loss"], **arrays}
        if net.loss is None or net.upstream:
            return arrays
        return {"loss": np.add.reduce(found.forward.losses), **arrays}


def _of_all(batch: Batch) -> dict[str, Array | np.float64]:
    """``gradients`` of a batch."""
    found = passes(batch)
    states, gradients = _places(batch.net.cell)
    if isinstance(batch, BidirectionalBatch):
        states, gradients = (
            {name + way: part + way for way in ("", REVERSE) for name, part in names.items()}
            for names in (states, gradients)
        )
    at_states = {name: found.states[part] for name, part in states.items()}
    if batch.net.loss is None:
        return {**at_states, "y": found.y}
    loss = {"loss": np.add.reduce(found.losses, axis=None), "losses": found.losses}
    return {
        **({} if batch.net.upstream else loss),
        **at_states,
        "y": found.y,
        "dL_dy": found.dL_dy,
        "dLt_dht": found.dLt_dht,
        **{name: found.dL_ds[part] for name, part in gradients.items()},
        "dL_dx": found.dL_dx,
        **{f"dL_d{name}": gradient for name, gradient in found.weights.items()},
        **_before_all(batch, found.dL_dx),
    }


def _before_all(batch: Batch, dL_dx: Array) -> dict[str, Array]:
    """The same of a batch."""
    each = [_before(one.dense, rows[: one.steps])
            for one, rows in zip(batch.sequences, dL_dx, strict=True)]  # fmt: skip
    if not each[0]:
        return {}
    rows = np.zeros((batch.size, batch.steps, each[0]["dL_dx"].shape[1]))
    for place, one in zip(rows, each, strict=True):
        place[: len(one["dL_dx"])] = one["dL_dx"]
    sums = {n: np.asarray(sum(one[n] for one in each)) for n in each[0] if n != "dL_dx"}
    return {**sums, "dL_dx": rows}


@lru_cache(maxsize=64)
def _places(cell: Cell) -> tuple[dict[str, str], dict[str, str]]:
    """name -> which part of the state, and of which the ∂L/∂; once a cell."""
    states, gradients = ({one.name: one.part or "" for one in some} for some in of_parts(cell))
    return states, gradients


def log10_chain(problem: Problem) -> Array:
    """log10 ‖∂s_T/∂s_k‖₂ for k = 0 … T, (T+1,); entry T is 0, −inf only for an exact zero.

    Exact at any T: nothing under- or overflows. See ``rnngrad.chains.jacobians.log10_chain``.
    """
    return Quantities(one_sequence(problem, "log10_chain"))["log10_chain"]


def log10_paths(problem: Problem) -> Array:
    """log10 ‖∂L_t/∂s_k‖₂, (T, T+1), row t−1, column k; nan for k > t, −inf for an exact zero.

    Raises QuantityError where the problem has no targets. O(T²·H²) time.
    """
    return Quantities(one_sequence(problem, "log10_paths"))["log10_paths"]
