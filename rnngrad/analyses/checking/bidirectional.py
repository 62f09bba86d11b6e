"""Gradients of a bidirectional net: rnngrad's own proved, somebody else's judged.

Proof. Each half is a net of its own with ∂L/∂h_t given (``net.bidirectional``), and is proved
as such, entry by entry. That what it is given is right is seen from the whole: ∂L/∂ of every
parameter, start and input along directions, from the losses of the whole net alone, moved forward.

Somebody's arrays are compared with those of the whole, with the noise of all its halves rounded
anew; for what is wrong within one half a mistake is looked for in that half.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from rnngrad.analyses.checking.against import (
    LOSS,
    Judged,
    Twice,
    check_arrays,
    is_wrong,
    judge,
    named,
    of_verdict,
    readings,
    worse,
)
from rnngrad.analyses.checking.comparing import rounding
from rnngrad.analyses.checking.comparing.kinked_functions import smooth
from rnngrad.analyses.checking.comparing.kinks import kinks, reason
from rnngrad.analyses.checking.comparing.places import place
from rnngrad.analyses.checking.comparing.rounding import Noise, with_functions
from rnngrad.analyses.checking.comparing.rounding_noise import (
    DRAWS,
    Conditioning,
    at_the_output_anew,
    backward_anew,
    on_the_same_branch,
    with_trace,
)
from rnngrad.analyses.checking.comparing.tolerance import RTOL, Compared, judged
from rnngrad.analyses.checking.comparing.verdicts import (
    Checked,
    CutShortError,
    Diagnosis,
    Verdict,
    worst,
)
from rnngrad.analyses.checking.diagnosing.batches import one_factor
from rnngrad.analyses.checking.diagnosing.diagnosing import loss_is_right
from rnngrad.analyses.checking.diagnosing.questions import (
    EMBEDDING,
    NUMBERS_OF,
    SWAPPED,
    UNKNOWN,
    of_a_factor,
    of_zeros,
)
from rnngrad.analyses.checking.own import one_step
from rnngrad.analyses.checking.own.by_direction import OF_DENSE, by_direction, with_dense_moved
from rnngrad.analyses.checking.own.checker import Progress
from rnngrad.analyses.checking.own.self_check import PLAINLY, check_own
from rnngrad.analyses.checking.references import loss_values
from rnngrad.analyses.checking.references.methods import AUTO, Method, method_named
from rnngrad.analyses.checking.references.perturbed_forward import Setting
from rnngrad.analyses.derivation.bidirectional import BidirectionalPasses, records, starts
from rnngrad.analyses.derivation.derive import BidirectionalDerivation
from rnngrad.analyses.derivation.on_request import of_tokens
from rnngrad.analyses.derivation.quantities import Passes, Quantities, Quantity
from rnngrad.arithmetic.arrays import Array, Numbers, quietly
from rnngrad.errors import QuantityError
from rnngrad.net import bidirectional as net_bidirectional
from rnngrad.net.backward import at_the_output
from rnngrad.net.bidirectional import Bidirectional, losses_of
from rnngrad.net.given_arrays import GivenArray, given, reshaped, some
from rnngrad.net.problem import REVERSE, Half, Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace

# ---------------------------------------------------------------------------- rounding


class BidirectionalConditioning(Conditioning):
    """The whole rounded anew, half by half."""

    def __init__(self, passes: BidirectionalPasses) -> None:
        super().__init__(passes)
        self.of = passes

    @cached_property
    def redone(self) -> tuple[Passes, ...]:
        with quietly():
            return tuple(self.anew(draw) for draw in range(DRAWS))

    @cached_property
    def by_link(self) -> Passes:
        return self._again(lambda problem: problem.functions)

    def anew(self, draw: int) -> BidirectionalPasses:
        """Rounded once more."""
        noise = Noise(draw)
        net = noise.problem(self.of.problem)
        base = {one.problem.half: one for one in self.of.halves}

        def forth(half: Half, problem: Problem) -> tuple[Problem, ForwardTrace]:
            trace = rounding.forward(problem, noise)
            if not smooth(problem):
                mine = next(p for h, p in base.items() if h is not None and h[1:] == half[1:])
                trace = on_the_same_branch(mine, trace)
            return noise.functions(problem), trace

        def back(half: Half, problem: Problem, trace: ForwardTrace) -> BackwardTrace:
            return backward_anew(with_trace(problem, trace), noise)

        def at_output(problem: Problem, trace: ForwardTrace) -> tuple[Array, Array]:
            exact = at_the_output(problem, trace)
            passes = with_trace(problem, trace)
            empty = np.zeros(0)
            passes.backward = BackwardTrace(*exact, empty, {}, (), empty, {})
            return at_the_output_anew(passes, noise) or exact

        def read(problem: Problem, h: Numbers) -> ForwardTrace:
            return rounding.head(problem, h, noise)

        return BidirectionalPasses(net, net_bidirectional.passes(net, forth, back, at_output, read))

    def _again(self, functions: Callable[[Problem], Any]) -> BidirectionalPasses:
        """The way back link by link, with other functions in the halves."""

        def back(half: Half, problem: Problem, trace: ForwardTrace) -> BackwardTrace:
            problem = with_functions(problem, functions(problem))
            return backward_anew(with_trace(problem, trace), None)

        net = self.of.problem
        with quietly():
            return BidirectionalPasses(net, net_bidirectional.passes(net, back=back))

    @cached_property
    def _alone(self) -> tuple[Conditioning, ...]:
        return tuple(map(Conditioning, self.of.halves))

    @cached_property
    def kinks(self) -> tuple[tuple[int, int], ...]:
        steps, found = self.of.problem.steps, []
        for one in self._alone:
            half = one.passes.problem.half
            turned = half is not None and half.reverse
            found += [(steps - 1 - t if turned else t, i) for t, i in one.kinks]
        return tuple(found)

    def other_branches(self) -> Iterator[Passes]:
        """One half at a time."""
        for one in self._alone:
            for flipped in one.other_branches():
                mine, other = one.passes.problem.half, flipped.problem.functions
                yield self._again(
                    lambda problem, mine=mine, other=other: (  # type: ignore[misc]
                        other if problem.half[1:] == mine[1:] else problem.functions
                    )
                )


# ---------------------------------------------------------------------------- somebody else's


def there(net: Problem) -> dict[str, Quantity]:
    """The records of whatever may be given, ``loss`` first."""
    if net.loss is None:
        return records(net)
    loss = {} if net.upstream else {LOSS.name: LOSS}
    tokens = {record.name: record for record in of_tokens(net)}
    return {**loss, **records(net), **starts(net), **tokens}


def refused_names(problem: Bidirectional, names: Any) -> dict[str, str]:
    """name -> why there is no such quantity of a bidirectional net, or it is given twice."""
    _, refused = readings(problem.net, names, there(problem.net), lambda name: why(problem, name))
    return refused


def why(problem: Bidirectional, name: str) -> str:
    """Why there is no such quantity."""
    if name == LOSS.name:
        return f"'loss' does not exist here: '{problem.name}' has no targets"
    try:
        BidirectionalDerivation(problem).record(name)
    except QuantityError as error:
        return str(error)
    raise AssertionError(f"{name} exists")


def check_bidirectional(
    problem: Bidirectional,
    arrays: Mapping[str, GivenArray | Any],
    twice: Twice = MappingProxyType({}),
    *,
    rtol: float | None = None,
) -> list[Checked]:
    """A verdict for every array given; see ``against.check_arrays``."""
    net, known = problem.net, there(problem.net)
    asked = named(arrays, twice, readings(net, arrays, known, lambda name: why(problem, name)))
    conditioning = BidirectionalConditioning(BidirectionalPasses(net))
    judgements = [
        judge(known[name], array, conditioning, rtol) for name, array in asked.first.items()
    ]
    found = _diagnosed(conditioning.of, asked.first, judgements, rtol)
    for name, key, array in asked.again:
        second = judge(known[name], array, conditioning, rtol).checked
        found[name] = worse(found[name], key, second)
    return [asked.noted(placed(net, found[name], known[name])) for name in known if name in found]


def _diagnosed(
    passes: BidirectionalPasses,
    arrays: Mapping[str, Any],
    judgements: list[Judged],
    rtol: float | None,
) -> dict[str, Checked]:
    """With the factor that all have, or the mistake that explains what is wrong in a half."""
    found = {one.checked.name: one.checked for one in judgements}
    cases = [one.case for one in judgements if one.case is not None and is_wrong(one.checked)]
    of_the_loss = not loss_is_right(of_verdict(judgements, Verdict.PASS))
    of_all = (
        one_factor(cases, of_the_loss, lambda factor: of_a_factor(factor, passes.problem, 1e-9))
        if len(cases) > 1
        else {}
    )
    for case in cases:
        if case.name == EMBEDDING and case.name not in of_all:
            found[case.name] = found[case.name]._replace(reason=of_zeros(case, passes.problem))
    for name, diagnosis in of_all.items():
        found[name] = found[name]._replace(diagnosis=diagnosis)
    for half, one in zip(net_bidirectional.halves_of(passes.problem), passes.halves, strict=True):
        mine = {
            whole: own
            for own, whole in names_in_half(one.problem, half).items()
            if whole in found and found[whole].max_rel_error is not None
        }
        wrong = []
        for name in filter(lambda name: is_wrong(found[name]) and name not in of_all, mine):
            swapped = other_half(passes, records(passes.problem), name, arrays[name])
            found[name] = found[name]._replace(reason=swapped or found[name].reason)
            wrong += [] if swapped else [name]
        if not wrong:
            continue
        given_there = {mine[name]: _own(half, mine[name], arrays[name]) for name in mine}
        told = {entry.name: entry for entry in check_arrays(one.problem, given_there, rtol=rtol)}
        for name in wrong:
            entry = told[mine[name]]
            if entry.diagnosis is not None and found[name].diagnosis is None:
                where = "; ".join(filter(None, (entry.reason, told_of(half))))
                found[name] = found[name]._replace(diagnosis=entry.diagnosis, reason=where)
    swaps = of_a_swap({name: entry.reason for name, entry in found.items()})
    found |= {name: found[name]._replace(reason=why) for name, why in swaps.items()}
    unknown = Diagnosis(None, UNKNOWN, None, None)  # of the read-out, and what stands before
    return {
        name: entry._replace(diagnosis=unknown)
        if is_wrong(entry) and not entry.diagnosis and not entry.reason else entry
        for name, entry in found.items()
    }  # fmt: skip


def told_of(half: Half) -> str:
    """Whose steps a mistake speaks of."""
    return f"the mistake is told of the {half.name} half, in its own time"


def names_in_half(problem: Problem, half: Half) -> dict[str, str]:
    """A half's own name -> that of the whole, of what has the same numbers there."""
    found = {f"dL_d{name}": f"dL_d{name}{half.suffix}" for name in problem.weights}
    for part in problem.cell.parts:
        found |= {name: name + REVERSE * half.reverse for name in (part, f"dL_d{part}")}
    known = Quantities(problem).records
    return {own: whole for own, whole in found.items() if own in known}


def _own(half: Half, name: str, array: Any) -> GivenArray:
    """A given array of the whole as the half has it: of states its layer, in its own time."""
    got = array if isinstance(array, GivenArray) else given(array)
    parts, part = half.whole.cell.parts, name.removeprefix("dL_d")
    if part not in parts:
        return got
    if got.values.ndim != 2:  # a flat list, of one unit
        got = reshaped(got, (half.whole.steps + 1, -1))
    columns = half.whole.layers[half.layer].parts[parts.index(part)]
    return some(got, (slice(None, None, -1 if half.reverse else 1), columns))


def other_half(passes: Passes, known: Mapping[str, Quantity], name: str, array: Any) -> str:
    """What is said of the numbers of the other direction."""
    base, dot, layer = name.partition(".")
    other = base.removesuffix(REVERSE) if base.endswith(REVERSE) else base + REVERSE
    record = known.get(other + dot + layer)
    if record is None:
        return ""
    got, right = (
        _own(next(net_bidirectional.halves_of(passes.problem)), "dL_dW", array),
        record.compute(passes),
    )
    if got.values.shape != right.shape:
        return ""
    near = np.abs(got.values - right) <= max(1e-9, 1e3 * got.eps) * np.abs(right).max(initial=0.0)
    return f"{NUMBERS_OF}{record.name}" if near.all() and right.any() else ""


def of_a_swap(reasons: Mapping[str, str]) -> dict[str, str]:
    """name -> ``SWAPPED`` for two that have the numbers of each other."""
    of = {name: why.removeprefix(NUMBERS_OF) for name, why in reasons.items()
          if why.startswith(NUMBERS_OF)}  # fmt: skip
    return {name: SWAPPED for name, other in of.items() if of.get(other) == name}


def placed(net: Problem, entry: Checked, record: Quantity) -> Checked:
    """With the words for its worst entry."""
    at = entry.worst_index
    if not at:
        return entry
    words, name = [], record.parameter or ""
    half = next(
        (h for h in net_bidirectional.halves_of(net) if name.endswith(h.suffix) and h.suffix), None
    )
    base, _, layer = name.partition(".")
    if base in net.cell.parameters or base.removesuffix(REVERSE) in net.cell.parameters:
        plain = base.removesuffix(REVERSE)
        words = ["reverse"] if base.endswith(REVERSE) else ["forward"] if half else []
        words.append(place(net, f"dL_d{plain}{'.' if layer else ''}{layer}", at))
    elif record.parameter is not None:
        words = [place(net, record.name, at)]
    elif record.first_step is not None:
        words = [f"step {at[0] + record.first_step}", *(f"entry {i}" for i in at[1:])]
    return entry._replace(worst_entry=", ".join(filter(None, words)))


# ---------------------------------------------------------------------------- rnngrad's own


def check_own_bidirectional(
    problem: Bidirectional,
    *,
    method: str = AUTO,
    rtol: float | None = None,
    progress: Progress | None = None,
    gradients: Mapping[str, Array] | None = None,
) -> list[Checked]:
    """``check_own`` of every half by the names of the whole, and the whole from its losses alone.
    ``gradients`` are the arrays under test, rnngrad's own by default."""
    result = BidirectionalDerivation(problem)
    tested = result if gradients is None else ChainMap(dict(gradients), result)  # type: ignore[arg-type]
    entries: dict[str, list[Checked]] = {}
    passes = result.passes
    for at, (half, one) in enumerate(zip(problem.halves, passes.halves, strict=True)):
        own = {name: _cut(half, name, tested[whole])
               for name, whole in names_in_half(one.problem, half).items()}  # fmt: skip
        arrays: Any = ChainMap(own, Quantities(one.problem))  # type: ignore[arg-type]
        tell = None if progress is None else _share(progress, at, len(problem.halves) + 1, half)
        try:
            found = check_own(
                one.problem, method=method, rtol=rtol, progress=tell, gradients=arrays
            )
        except CutShortError as cut:
            left = [_renamed(entry, one.problem, half) for entry in cut.checked]
            before = [entry for some in entries.values() for entry in some]
            raise CutShortError([*before, *left]) from None
        for entry in found:
            if entry.name not in ("y", "dL_dy", "dLt_dht"):  # what it was given
                entry = _renamed(entry, one.problem, half)
                entries.setdefault(entry.name, []).append(entry)
    with quietly():
        for entry in _of_the_whole(result, tested, method_named(method), rtol):
            entries.setdefault(entry.name, []).append(entry)
    order = [*(name for name in result if name in entries), *entries]
    return [_worst_of(entries[name]) for name in dict.fromkeys(order)]


def _share(progress: Progress, at: int, count: int, half: Half) -> Progress:
    def tell(fraction: float, what: str) -> None:
        progress((at + fraction) / count, f"{half.name}: {what}")

    return tell


def _cut(half: Half, name: str, array: Array) -> Array:
    return _own(half, name, array).values


def _renamed(entry: Checked, problem: Problem, half: Half) -> Checked:
    """The verdict by the name of the whole; its place is told in the half's own time."""
    name = names_in_half(problem, half).get(entry.name, entry.name + half.suffix)
    words = ", ".join(filter(None, (half.name, entry.worst_entry)))
    return entry._replace(name=name, worst_index=None, worst_entry=words)


def _worst_of(entries: list[Checked]) -> Checked:
    """The worst verdict; of those alike the one with the largest error, by all their methods."""
    verdict = worst(entry.verdict for entry in entries)
    alike = [entry for entry in entries if entry.verdict is verdict]
    found = max(alike, key=lambda entry: entry.max_rel_error or 0.0)
    methods = dict.fromkeys(entry.method for entry in entries)
    return found if verdict is Verdict.FAIL else found._replace(method=", ".join(methods))


def _of_the_whole(
    result: BidirectionalDerivation, tested: Mapping[str, Array], method: Method, rtol: float | None
) -> Iterator[Checked]:
    net, trace = result.problem, result.passes.forward
    seen = np.concatenate([result.passes.halves[-2].forward.h[1:],
                           result.passes.halves[-1].forward.h[:0:-1]], axis=1)  # fmt: skip
    a_y = seen
    if net.has_readout:
        a_y = np.einsum("oh,th->to", net.weights["W_hy"], seen) + net.weights["b_y"]
    limit = RTOL if rtol is None else rtol
    yield _rows("y", PLAINLY, tested["y"], np.asarray(loss_values.outputs(net, a_y)), 0.0, limit)
    if net.loss is None or net.targets is None or net.loss_weights is None:
        return
    gap = loss_values.gaps(net, trace)
    if "losses" in tested:
        values = loss_values.losses(net, a_y, net.targets, gap)
        values = np.where(net.loss_weights == 0, 0.0, net.loss_weights * values)
        yield _rows("losses", PLAINLY, tested["losses"], values, 0.0, limit)
    found = one_step.dL_dy(Setting(net, trace, gap, seen, ()), method)
    yield _rows("dL_dy", method.title, tested["dL_dy"], found.value, found.error, limit)
    conditioning = BidirectionalConditioning(result.passes)
    near = [reason(one.problem, kinks(one.problem, one.forward), "dL_dW_hh")
            for one in result.passes.halves]  # fmt: skip
    why = next((words for words in near if words), None)
    begins = starts(net)
    known = {**result.records, **begins}
    for name, record in known.items():
        of = record.parameter or name.removeprefix("dL_d")
        if record.parameter is not None or name in begins or of in OF_DENSE:
            entry = _moved(net, of, tested, record, method, conditioning, limit)
            if why is not None and entry.verdict is Verdict.PASS:
                entry = entry._replace(verdict=Verdict.INCONCLUSIVE, reason=why)
            yield entry


def _rows(
    name: str, method: str, got: Array, expected: Array, error: Array | float, limit: float
) -> Checked:
    """A whole array, a row a step."""
    got, expected = (np.asarray(rows).reshape(len(rows), -1) for rows in (got, expected))
    size = np.abs(expected).max(axis=1, initial=0.0)
    compared = Compared(
        name, method, got, expected, np.broadcast_to(error, expected.shape), size,
        lambda row, column: (row, column),
    )  # fmt: skip
    return judged(compared, limit, lambda: 8.0 * size)


def _moved(
    net: Problem, of: str, tested: Mapping[str, Array], record: Quantity, method: Method,
    conditioning: BidirectionalConditioning, limit: float,
) -> Checked:  # fmt: skip
    """∂L/∂ of one array along directions, from the losses of the whole net alone."""
    return by_direction(
        record, tested[record.name], lambda change: losses_of(_with(net, of, change)), method,
        conditioning, limit,
    )  # fmt: skip


def _with(net: Problem, of: str, change: Numbers) -> Problem:
    """The whole with one array moved."""
    if of in net.weights:
        weights = {**net.weights, of: net.weights[of] + change}
        return replace(net, weights=MappingProxyType(weights))
    if net.dense is not None and of in OF_DENSE:
        return with_dense_moved(net, of, change)
    if of == "x":
        return replace(net, x=net.x + change)
    part, way = of.removesuffix(REVERSE)[:-2], REVERSE if of.endswith(REVERSE) else ""
    if part + way == net.cell.parts[0]:
        return replace(net, h_0=net.h_0 + change)
    start = net.starts.get(part + way)
    start = np.zeros(change.shape) if start is None else start
    return replace(net, starts={**net.starts, part + way: start + change})
