"""Bidirectional layers: two recurrences over one sequence, each in its own direction.

    h→_t = σ(W_xh x_t + W_hh h→_{t−1} + b_h)                            t = 1 … T     h→_0 given
    h←_t = σ(W_xh_reverse x_t + W_hh_reverse h←_{t+1} + b_h_reverse)    t = T … 1     h←_{T+1} given
    y_t  = g(W_hy [h→_t; h←_t] + b_y)                                   W_hy (O, 2H)

and likewise for any cell; the layer above takes [h→_t; h←_t] (2H) as its x_t.

Derivation. Within a layer no h→ enters an h← or the other way round, so the two are chains of their
own. Let u_t = [u→_t; u←_t] be what [h→_t; h←_t] gets at its own t: ∂L/∂a_y_t · W_hy from the
read-out, or the sum of ∂L/∂x_t of both halves of the layer above. Then

    ∂L/∂h→_t = u→_t + ∂L/∂h→_{t+1} · ∂h→_{t+1}/∂h→_t      from T back to 1
    ∂L/∂h←_t = u←_t + ∂L/∂h←_{t−1} · ∂h←_{t−1}/∂h←_t      from 1 on to T
    ∂L/∂x_t  = ∂L/∂x_t of one half + that of the other

Each is back-propagation through time of an ordinary net whose ∂L_t/∂h_t is given, the second one of
the sequence turned round. So a half is a ``Problem`` with ``upstream``, in its own time: its step k
is t = T + 1 − k of a reverse one. Layers above reach h→_t from every step, also from earlier ones,
so a stack has no state s_t that all paths pass: chains are those of a half, u_t held fixed.
Source: Schuster and Paliwal, *Bidirectional recurrent neural networks*, IEEE Trans. Signal Process.
45 (1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers, frozen, quietly
from rnngrad.net.backward import at_the_output, bptt_within
from rnngrad.net.backward_layers import readout_gradients
from rnngrad.net.forward import forward_within, head
from rnngrad.net.losses import UPSTREAM
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import REVERSE, Half, Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace


@dataclass(frozen=True, slots=True, eq=False)
class Bidirectional:
    """A net of bidirectional layers and one sequence.

    ``net`` has all that there is of it: x, targets, loss, the weights by the names of both
    directions (``W_hh.0``, ``W_hh_reverse.0``), the starts of a reverse half as those of a part
    ``h_reverse``. It is not to be run: that is for the halves.
    """

    net: Problem

    def __repr__(self) -> str:
        return f"<rnngrad.Bidirectional {self.net.words('bidirectional, ')}>"

    @property
    def name(self) -> str:
        """That of the spec."""
        return self.net.name

    @property
    def halves(self) -> tuple[Half, ...]:
        """Which halves there are, the lowest layer first, forward before reverse."""
        return tuple(halves_of(self.net))

    @property
    def draw(self) -> Callable[[int], Problem] | None:
        """That of ``Problem``, of the whole."""
        return self.net.draw

    @property
    def lengthen(self) -> Callable[[int], Problem] | None:
        """That of ``Problem``, of the whole."""
        return self.net.lengthen

    def redraw(self, seed: int) -> Bidirectional:
        """The same spec with its random numbers drawn from another seed."""
        return Bidirectional(self.net.redraw(seed))


def halves_of(net: Problem) -> Iterator[Half]:
    """Every half of a bidirectional net."""
    for layer in range(net.depth):
        yield Half(net, layer, False)
        yield Half(net, layer, True)


class Passed(NamedTuple):
    """One half as it was run: the problem, with ∂L/∂h_t as ``upstream`` where there is a loss, and
    its passes; in its own time."""

    problem: Problem
    forward: ForwardTrace
    backward: BackwardTrace | None = None


class Passes(NamedTuple):
    """Both passes of the whole: ``halves`` in the order of ``halves_of``; ``forward`` and
    ``backward`` have what follows from them, y and losses, dL_dy, dL_dx, ∂L/∂ of every weight;
    their ``layers`` and ``dL_ds`` are empty, ``dLt_dht`` is that of [h→_t; h←_t], (T, 2H)."""

    halves: tuple[Passed, ...]
    forward: ForwardTrace
    backward: BackwardTrace | None


Forth = Callable[[Half, Problem], tuple[Problem, ForwardTrace]]
Back = Callable[[Half, Problem, ForwardTrace], BackwardTrace]
AtOutput = Callable[[Problem, ForwardTrace], tuple[Array, Array]]


def _forth(half: Half, problem: Problem) -> tuple[Problem, ForwardTrace]:
    return problem, forward_within(problem)


def _back(half: Half, problem: Problem, trace: ForwardTrace) -> BackwardTrace:
    return bptt_within(problem, trace)


def passes(
    net: Problem, forth: Forth = _forth, back: Back = _back, at_output: AtOutput = at_the_output,
    read: Callable[[Problem, Numbers], ForwardTrace] = head,
) -> Passes:  # fmt: skip
    """Forward and back-propagation through time of all halves and the read-out; the functions are
    what runs a half, and what the output makes of it."""
    with quietly():
        run, x = _through(net, forth)
        forward = read(net, x)
        if net.loss is None:
            return Passes(tuple(run), forward, None)
        dL_dy, dL_da_y = at_output(net, forward)
        direct = dL_da_y @ net.weights["W_hy"] if net.has_readout else dL_da_y
        down = direct
        for at in range(len(run) - 2, -1, -2):
            width = down.shape[1] // 2
            for place, upstream in ((at, down[:, :width]), (at + 1, down[::-1, width:])):
                problem, trace, _ = run[place]
                problem = _with_upstream(problem, upstream)
                assert problem.half is not None
                run[place] = Passed(problem, trace, back(problem.half, problem, trace))
            ahead, behind = run[at].backward, run[at + 1].backward
            assert ahead is not None
            assert behind is not None
            down = ahead.dL_dx + behind.dL_dx[::-1]
        gradients = {
            name + half.suffix: one.backward.weights[name]
            for half, one in zip(halves_of(net), run, strict=True)
            for name in net.cell.parameters
            if one.backward is not None
        }
        last = net.last_step_with_loss
        gradients |= readout_gradients(net, np.asarray(x), dL_da_y[:last])
        backward = BackwardTrace(
            dL_dy, dL_da_y, direct, {}, (), down, {name: gradients[name] for name in net.weights}
        )
        return Passes(tuple(run), forward, backward)


def _through(net: Problem, forth: Forth) -> tuple[list[Passed], Numbers]:
    """Every half run forward, and what the read-out sees, (T, 2H)."""
    x: Numbers = net.x
    run: list[Passed] = []
    for half in halves_of(net):
        run.append(Passed(*forth(half, _problem(half, x))))
        if half.reverse:
            x = side_by_side(run[-2].forward, run[-1].forward)
    return run, x


def losses_of(net: Problem) -> Numbers:
    """L_t, (T,), of the forward pass alone, in real or complex numbers."""
    with quietly():
        return head(net, _through(net, _forth)[1]).losses


def side_by_side(ahead: ForwardTrace, behind: ForwardTrace) -> Numbers:
    """[h→_t; h←_t], (T, 2H), in the time of the sequence."""
    return np.concatenate([ahead.h[1:], behind.h[:0:-1]], axis=1)


def states_of(passes: Sequence[Passed], part: str, way: str, gradient: bool) -> Array:
    """A part of the state of all layers of one direction, (T+1, ·), or ∂L/∂ of it, in the time of
    the sequence; ``way`` is "" or ``REVERSE``."""
    rows = []
    for problem, forward, backward in passes:
        if problem.half is not None and problem.half.reverse == bool(way):
            if gradient:
                assert backward is not None
                rows.append(np.asarray(backward.dL_ds[part]))
            else:
                rows.append(np.asarray(forward.part(part)))
    found = np.concatenate(rows, axis=1)
    return found[::-1].copy() if way else found


def _problem(half: Half, x: Numbers) -> Problem:
    """The half as a net of its own, without a loss."""
    net, cell = half.whole, half.whole.cell
    weights = {name: net.weights[name + half.suffix] for name in cell.parameters}
    units = net.layers[half.layer].parts
    way = REVERSE * half.reverse
    begins = {part: net.h_0 if part + way == cell.parts[0] else net.starts.get(part + way)
              for part in cell.parts}  # fmt: skip
    starts = {
        part: _kept(np.zeros(own.stop - own.start) if given is None else given[own])
        for (part, given), own in zip(begins.items(), units, strict=True)
    }
    return Problem(
        name=f"{net.name}, {half.name}",
        cell=cell,
        activation=net.activation,
        output=OUTPUTS["identity"],
        weights=MappingProxyType(weights),
        x=_kept(in_time(half, x)),
        h_0=starts.pop(cell.parts[0]),
        starts=starts,
        seed=net.seed,
        draw=None if net.draw is None else partial(_drawn, net.draw, half.layer, half.reverse),
        lengthen=None
        if net.lengthen is None
        else partial(_drawn, net.lengthen, half.layer, half.reverse),
        checkpoint=net.checkpoint,
        of_batch=net.of_batch,
        half=half,
    )


def _with_upstream(problem: Problem, upstream: Array) -> Problem:
    return replace(
        problem,
        loss=UPSTREAM,
        targets=frozen(upstream),
        loss_weights=frozen(np.any(upstream != 0, axis=1).astype(np.float64)),
    )


def half_of(whole: Problem, layer: int, reverse: bool) -> Problem:
    """One half as a net of its own, in its own time, what it gets from above as ``upstream``."""
    return passes(whole).halves[2 * layer + reverse].problem


def apart(problem: Problem | Bidirectional) -> tuple[Problem, ...]:
    """The halves of a bidirectional net, each by its own name, in one run; else the problem."""
    if isinstance(problem, Problem):
        return (problem,)
    return tuple(one.problem for one in passes(problem.net).halves)


def _drawn(draw: Callable[[int], Problem], layer: int, reverse: bool, number: int) -> Problem:
    """The half of the whole under another seed, or of another length."""
    return half_of(draw(number), layer, reverse)


def changed(problem: Problem, change: Callable[[Problem], Problem]) -> Problem:
    """The problem changed; of a half the same half of the whole changed."""
    if problem.half is None:
        return change(problem)
    return half_of(change(problem.half.whole), problem.half.layer, problem.half.reverse)


def start_of(part: str) -> str:
    """What the start of a part is called: h_0, and of the part ``h_reverse`` h_0_reverse."""
    own = part.removesuffix(REVERSE)
    return f"{own}_0{part[len(own) :]}"


def in_time(half: Half, rows: Numbers) -> Numbers:
    """Rows of a half's own steps in the time of the sequence, or back: of a reverse one turned
    round."""
    return rows[::-1] if half.reverse else rows


def _kept(values: Numbers) -> Numbers:
    """Read-only, but for complex numbers, which are only passing through."""
    return values if values.dtype.kind == "c" else frozen(values)


def named(arrays: Mapping[str, Array], half: Half) -> dict[str, Array]:
    """A half's arrays by the names of the whole."""
    return {name + half.suffix: array for name, array in arrays.items()}
