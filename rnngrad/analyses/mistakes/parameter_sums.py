"""What goes wrong in the sum of one array: another v in ∂L/∂a ⊗ v, ∂L/∂a of another gate, steps
missing or twice, = for +=, the sum clipped on its way; and in arrays with a row a step.

Such a mistake touches its own array alone, whatever pass the rows ∂L/∂a are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Name
from rnngrad.algebra.step_graph import NOW
from rnngrad.analyses.checking.diagnosing.fitting import Case, digits
from rnngrad.analyses.mistakes.agreeing import Explained, agrees, array_of_pass, best
from rnngrad.analyses.mistakes.alternatives import besides
from rnngrad.analyses.mistakes.local_partials import STARTS, LayerApart
from rnngrad.analyses.mistakes.passes import AT_ONCE, Apart, Made
from rnngrad.analyses.mistakes.single_mistakes import at_the_start, read_out_forms
from rnngrad.analyses.mistakes.sums import clipped_on_the_way, fitted, limits, listed, wrong_sums
from rnngrad.analyses.mistakes.words import Found, Saying
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.net.cells import OF_THE_INPUTS

Tried = Iterator[tuple[Found, Array, float]]
"""Mistakes, what they make, and among how many each was tried."""


class OwnSums:
    """The mistakes in the sum of one array."""

    def __init__(self, apart: Apart, saying: Saying) -> None:
        self.apart, self.saying = apart, saying

    def of(self, case: Case, made: Made) -> list[Explained]:
        """What is wrong in the sum of one array alone, the rows ∂L/∂a being those of ``made``."""
        found = []
        for one, array, trials in self._sums(case, made):
            fit = agrees(case, array)
            if fit is not None:
                error, agreed = fit
                if one.read_off:
                    below = np.abs(array) < float(np.abs(array).max(initial=0.0))
                    agreed = digits(case, np.where(below, array, 0.0))
                found.append(Explained((one,), error, agreed, trials))
        return best(found)

    def tried(self, case: Case) -> Tried:
        """What is tried beside the right pass."""
        return self._sums(case, self.apart.right)

    def _sums(self, case: Case, made: Made) -> Tried:
        if case.name in ("dL_dW_hy", "dL_db_y"):
            yield from self._read_out(case, made)
            return
        base, _, number = case.name.partition(".")
        name = base.removeprefix("dL_d")
        if base.startswith("dL_d") and name in self.apart.problem.cell.parameters:
            yield from self._parameter(case, made, name, int(number or 0))
        elif name in OF_THE_INPUTS:
            if case.right.size * self.apart.steps <= AT_ONCE:
                yield from self._steps(case, self.apart.of_each_step(name, made))
        elif case.name == "dLt_dht":
            yield from self._kept_states(case, made)
        elif case.record.first_step is not None and name in (X, *self.apart.problem.cell.parts):
            rows = array_of_pass(self.apart, case, made)[0]
            if self.apart.steps > 1:
                yield from self._without_step_1(rows, made, name)
            if name != X:
                yield from self._of_the_node(rows, made, name)

    def _kept_states(self, case: Case, made: Made) -> Tried:
        words = (
            "your numbers are ∂L/∂h_t with what comes back from later steps, as a .grad holds that "
            "was not reset: ∂L_t/∂h_t is of the step's own loss alone"
        )
        where = {"sum": "∂L_t/∂h_t", "used": "∂L/∂h_t"}
        whole = self.apart.read("dL_dh", made)
        assert whole is not None
        yield Found("carry-not-reset", where, words, words), whole[0, 1:], 4.0

    def _without_step_1(self, rows: Array, made: Made, name: str) -> Tried:
        """∂L/∂x_t or ∂L/∂s_t, a row a step, the first one not visited: what came back to it may
        have been kept for s_0."""
        without = of_steps(next(wrong_sums(self.apart.steps)))
        if name == X:
            yield without, np.concatenate([0.0 * rows[:1], rows[1:]]), 4.0
            return
        part = self.apart.problem.cell.parts.index(name)
        direct = self.apart.alone(made.dL_da_y)[1:2, 0, self.apart.columns(part)]
        for start in (rows[1:2] - direct, 0.0 * rows[:1]):
            yield without, np.concatenate([start, 0.0 * rows[1:2], rows[2:]]), 4.0

    def _of_the_node(self, rows: Array, made: Made, name: str) -> Tried:
        """∂L/∂c_t with the way through h_t, as who takes it for one of many nodes has it."""
        whole = np.concatenate([one[name][:, 0] for one in made.at], axis=1)
        whole = np.concatenate([rows[:1], whole])
        above = [link.target for links in self.apart.graph.links.values() for link in links
                 if link.source == name]  # fmt: skip
        if above and not np.array_equal(whole, rows):
            ways = " and ".join(self.saying.name(key) for key in above)
            words = (
                f"your numbers are ∂L/∂{name}_t with the way through {ways} of the same step; "
                f"∂L/∂{name}_t is here that of a part of the state, which holds what comes back "
                f"from step t + 1 alone: leave out ∂L/∂{ways} · ∂{ways}/∂{name}_t"
            )
            where = {"partial": f"∂L/∂{name}_t", "used": f"with the way through {ways}",
                     "right": "what comes back from step t + 1"}  # fmt: skip
            yield Found("wrong-partial", where, words, words), whole, 4.0

    def _read_out(self, case: Case, made: Made) -> Tried:
        rows = made.dL_da_y[:, 0]
        if case.name == "dL_db_y":
            yield from self._steps(case, rows)
            return
        yield from self._steps(case, np.einsum("to,th->toh", rows, self.apart.h))
        for key, form in read_out_forms(self.apart).items():
            used = key.strip()
            where = {"partial": "∂L/∂ỹ_t", "used": used, "right": "∂L_t/∂y_t · ∂y_t/∂ỹ_t"}
            words = f"∂L/∂W_hy is the sum of ∂L/∂ỹ_t ⊗ h_t; you took {used} for ∂L/∂ỹ_t"
            hint = f"in the sum for W_hy you took {used} for ∂L/∂ỹ_t"
            yield Found("wrong-partial", where, words, hint, 1), form.T @ self.apart.h, 40.0
        layer = self.apart.layers[-1]
        part = self.apart.problem.cell.parts[0]
        for other, rank in besides(layer, Name(part, NOW), self.apart.h.shape[1]):
            (v,) = layer.of([other], self.apart.h.shape[1])
            used = self.saying.used(other)
            words = f"W_hy is multiplied by {part}_t: ∂L/∂W_hy is the sum of ∂L/∂ỹ_t ⊗ {part}_t"
            where = {"partial": "∂ỹ_t/∂W_hy", "used": used, "right": f"{part}_t"}
            told = f"{words}; your numbers are those of {used}"
            hint = f"look at what W_hy is multiplied by: your numbers are those of {used}"
            yield Found("wrong-partial", where, told, hint, rank), rows.T @ v, 40.0

    def _parameter(self, case: Case, made: Made, name: str, number: int) -> Tried:
        layer, cell = self.apart.layers[number], self.apart.problem.cell
        parts = cell.blocks.get(name, (name,))
        at = made.at[number]
        shape = case.right.shape
        own = [layer.block(part, at)[0] for part in parts]

        def whole(blocks: Sequence[Array]) -> Array:
            return np.concatenate(blocks).reshape(shape)

        steps = np.concatenate([step_by_step(layer, part, at)[0] for part in parts], axis=-1)
        yield from self._steps(case, steps.reshape(self.apart.steps, *shape))
        ways: dict[str, list[tuple[int, Array, Found]]] = {}
        for i, part in enumerate(parts):
            for found, block in self._other_terms(layer, part, at):
                ways.setdefault(found.way, []).append((i, block, found))
        square = case.right.ndim == 2 and case.right.shape[0] == case.right.shape[1]
        if square:
            yield Found("transposed", {}, "", ""), whole(own).T, 4.0
        yield from self._of_other_rows(case, layer, parts, own, at, whole)
        trials = 10.0 + sum(len(one) + 1 for one in ways.values())
        for one in ways.values():
            if len(one) == len(parts) > 1 and len({i for i, _, _ in one}) == len(parts):
                together = whole([block for _, block, _ in one])
                yield self._of_all(one[0][2], name), together, trials
            for i, block, found in one:
                yield found, whole([*own[:i], block, *own[i + 1 :]]), trials

    def _of_other_rows(
        self, case: Case, layer: LayerApart, parts: Sequence[str], own: Sequence[Array],
        at: Mapping[str, Array], whole: Callable[[Sequence[Array]], Array],
    ) -> Tried:  # fmt: skip
        """Blocks of rows that are made of ∂L/∂a of other gates, each of whichever fits it."""
        others = self._rows_of_others(layer, parts, at)
        got = np.split(case.got.values, len(parts)) if len(parts) > 1 else [case.got.values]
        chosen, used = list(own), [layer.terms[part][0].target for part in parts]
        right = list(used)
        for i, (ways, block) in enumerate(zip(others, got, strict=True)):
            gaps = {key: float(np.abs(one.reshape(block.shape) - block).max())
                    for key, one in {right[i]: own[i], **ways}.items()}  # fmt: skip
            used[i] = min(gaps, key=lambda key: gaps[key])
            chosen[i] = own[i] if used[i] == right[i] else ways[used[i]]
        if used == right or (
            len(set(used)) == len(used) and len(used) > 1 and sorted(used) == sorted(right)
        ):
            return
        wrong = [i for i in range(len(parts)) if used[i] != right[i]]
        gates = " and ".join(self.saying.gate(right[i]) for i in wrong)
        meant = " and ".join(dict.fromkeys(self.saying.gate(used[i]) for i in wrong))
        where = {"partial": f"∂L/∂{case.name.removeprefix('dL_d')}", "used": f"∂L/∂{meant}",
                 "right": f"∂L/∂{gates}"}  # fmt: skip
        words = f"its rows of {gates} are made of ∂L/∂{meant}"
        yield Found("wrong-partial", where, words, words, 1), whole(chosen), 8.0 ** len(parts)

    def _of_all(self, found: Found, name: str) -> Found:
        """Said of a parameter as files have it."""
        if found.bug != "wrong-partial":
            return found
        partial = f"∂a_t/∂{name}"
        where = dict(found.where) | {"partial": partial}
        used, right = where["used"], where["right"]
        words = f"{name} is multiplied by {right}, gate by gate; your numbers are those of {used}"
        hint = f"look at what {name} is multiplied by: your numbers are those of {used}"
        return found._replace(where=where, words=words, hint=hint)

    def _other_terms(
        self, layer: LayerApart, part: str, at: Mapping[str, Array]
    ) -> Iterator[tuple[Found, Array]]:
        ndim, terms = np.ndim(layer.layer.own[part]), layer.terms[part]
        rest = [term.summed(at[term.target], ndim) for term in terms]
        for i, term in enumerate(terms):
            others = rest[:i] + rest[i + 1 :]
            base = sum(others) if others else 0.0
            width = term.beside.shape[1]
            name = f"∂{self.saying.name(term.target)}/∂{part}"
            right = self.saying.written(term.written)
            ways = besides(layer, term.written, width)
            values = layer.of([other for other, _ in ways], width)
            for (other, rank), v in zip(ways, values, strict=True):
                used = self.saying.used(other)
                found = self.saying.of(name, right, used, term.target, rank=rank)
                found = found._replace(way=f"{used} {other.end}")
                if used == right.replace("−1", "") and part in self.apart.problem.cell.recurrent:
                    found = found._replace(bug="h_t-for-h_prev", rank=0)
                if other.end in STARTS:
                    found = at_the_start(found, other, self.saying)
                summed = term.summed(at[term.target], ndim, v)
                yield found, np.atleast_1d((summed + base)[0])

    def _rows_of_others(
        self, layer: LayerApart, parts: Sequence[str], at: Mapping[str, Array]
    ) -> list[dict[str, Array]]:
        """For each block of rows: what it would be with ∂L/∂a of another gate, by its key."""
        found = []
        for part in parts:
            ndim, terms = np.ndim(layer.layer.own[part]), layer.terms[part]
            ways: dict[str, Array] = {}
            if len(terms) == 1:
                own = at[terms[0].target]
                for key, rows in at.items():
                    if (
                        key != terms[0].target
                        and key in layer.graph.links
                        and (rows.shape == own.shape)
                    ):
                        ways[key] = np.atleast_1d(terms[0].summed(rows, ndim)[0])
            found.append(ways)
        return found

    # ------------------------------------------------------------------ factors of terms

    def _steps(self, case: Case, terms: Array) -> Tried:
        """Steps missing or twice, one term alone, the sum clipped on its way."""
        count = len(terms)
        tried: dict[tuple[int, ...], Integers] = {}
        whole = fitted(terms, case.got.values, case.tolerance)
        if whole is not None:
            tried[tuple(whole.tolist())] = whole
        for factors in wrong_sums(count):
            tried.setdefault(tuple(factors.tolist()), factors)
        for key, factors in tried.items():
            if len(set(key)) > 1:
                summed = np.tensordot(factors.astype(np.float64), terms, axes=1)
                trials = 4.0**count if whole is not None and key == tuple(whole.tolist()) else 20.0
                yield of_steps(factors, "steps"), summed, min(trials, 1e12)
        largest = float(np.abs(case.got.values).max(initial=0.0))
        below = limits(float(np.abs(np.cumsum(terms[::-1], axis=0)).max(initial=0.0)))
        for limit in dict.fromkeys((largest, *below)):
            summed = clipped_on_the_way(terms, limit)
            final = np.clip(terms.sum(axis=0), -limit, limit)
            if limit > 0 and not np.allclose(summed, final, rtol=1e-7, atol=0):
                words = (
                    "you clipped the sum itself at each step of the loop: that is a step of "
                    "training, after the whole gradient"
                )
                where = {"clipped": "the sum over the steps", "by": "entry by entry"}
                found = Found("clipped-on-the-way", where, words, words, limit=limit)
                yield found._replace(read_off=limit == largest), summed, 40.0


def step_by_step(layer: LayerApart, part: str, at: Mapping[str, Array]) -> Array:
    """The terms of ∂L/∂ of a parameter of the equations, (K, T, its size)."""
    terms = [term.each(at[term.target]) for term in layer.terms[part]]
    whole = [one.reshape(*one.shape[:2], -1) for one in terms]
    single = np.ndim(layer.layer.own[part]) == 0
    return np.asarray(sum(one.sum(axis=2, keepdims=True) if single else one for one in whole))


def of_steps(factors: Integers, what: str = "steps", labels: Sequence[str] = ()) -> Found:
    """Terms of a sum over steps, or over paths, that enter with another factor than 1."""
    names = labels or [str(t) for t in range(1, len(factors) + 1)]
    other = {name: int(f) for name, f in zip(names, factors, strict=True) if f != 1}
    kept = [name for name, f in zip(names, factors, strict=True) if f == 1]
    if what == "steps" and len(kept) == 1 and set(other.values()) == {0} and len(factors) > 2:
        words = (
            f"the sum holds the term of step {kept[0]} alone: each step's term is added (+=), "
            "and none takes the place of the one before"
        )
        return Found("overwritten", {"steps": other}, words, words)
    words = f"of the paths from a loss to a step, {listed(other)}: each counts once"
    if what == "steps":
        words = f"in the sum over the steps, {listed(other, 'step')}: each counts once"
    return Found("wrong-steps", {what: other}, words, words)
