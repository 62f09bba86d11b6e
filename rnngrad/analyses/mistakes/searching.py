"""The search: which wrong pass, which wrong sum, or which two of them, make just the given arrays.

    1. a sum of one array's own (another v in ∂L/∂a ⊗ v, steps missing or twice, = for +=)
    2. one wrong pass that makes every given array, the right ones included
    3. two: a wrong pass and a wrong sum, or a factor, or two passes' changes together

A mistake of the pass touches whatever is downstream, so it must make every array that was given; a
mistake of a sum touches its own array alone. Nothing is named on numbers that so many trials would
meet by chance: the digits that agree must outnumber the trials by ``MARGIN``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Name
from rnngrad.algebra.steps import NOW
from rnngrad.analyses.checking.comparing import compare, logarithmic, relative_tolerance, scales
from rnngrad.analyses.checking.fitting import Case, digits
from rnngrad.analyses.mistakes.alternatives import besides
from rnngrad.analyses.mistakes.elements import (
    Element,
    at_the_start,
    compatible,
    elements,
    losses_counted,
    read_out_forms,
    together,
)
from rnngrad.analyses.mistakes.forcing import Forced, Known, forced, known, proposals
from rnngrad.analyses.mistakes.links import STARTS, LayerApart, Wrong
from rnngrad.analyses.mistakes.passes import Apart, Made
from rnngrad.analyses.mistakes.saying import Found, Saying
from rnngrad.analyses.mistakes.sums import clipped_on_the_way, fitted, habits, limits, listed
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.core.given import Mask
from rnngrad.core.telling import tell

MARGIN = 5.0
"""Decimal digits of evidence beyond those that the number of trials uses up."""
MOST_PATHS = 500
FEW_ENTRIES = 4
SECONDS = 4.0
"""What pairs of passes may take; three times as long where a pass itself is long."""


class Explained(NamedTuple):
    """One or two mistakes that together make an array, and what is left then; ``digits`` are those
    that agree, ``trials`` how many there were."""

    found: tuple[Found, ...]
    error: float
    digits: float
    trials: float

    @property
    def proven(self) -> bool:
        """Whether chance would not have met it."""
        return bool(self.digits >= np.log10(max(self.trials, 1.0)) + MARGIN)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another one."""
        return tuple(sorted((one.key for one in self.found), key=repr))

    @property
    def rank(self) -> tuple[int, int]:
        """The smaller the more specific."""
        return len(self.found), sum(one.rank for one in self.found)


class Search:
    """Somebody's arrays against every wrong pass. To be run within ``quietly()``."""

    def __init__(self, wrong: Sequence[Case], right: Sequence[Case], passes: Passes) -> None:
        self.apart = Apart(passes)
        self.saying = Saying(self.apart)
        names = {case.name for case in wrong}
        self.cases = [case for case in (*wrong, *right) if self._is_made(case)]
        self.wrong = [case for case in self.cases if case.name in names]
        self.partly: list[tuple[int, Made, list[Case]]] = []
        self.scaled: list[tuple[int, float]] = []
        self.in_pairs = self.sampled = False

    @cached_property
    def elements(self) -> list[Element]:
        """The wrong passes that are tried."""
        return elements(self.apart, self.saying)

    @property
    def trials(self) -> float:
        """How many there are."""
        return float(len(self.elements)) * (100.0 if self.in_pairs else 1.0)

    def _is_made(self, case: Case) -> bool:
        if logarithmic(case.record) or case.got.values.shape != case.right.shape:
            return False
        if not np.isfinite(case.got.values).all() or not np.isfinite(case.right).all():
            return False
        return self.apart.read(case.name, self.apart.right) is not None

    def run(self) -> dict[str, list[Explained]]:
        """name of a wrong array -> what explains it, equals side by side; nothing where nothing
        does."""
        if not self.wrong or self.is_one_entry:
            return {}
        sums = {case.name: self.sums(case, self.apart.right) for case in self.wrong}
        together = self._common(sums)
        if together:
            return together
        passes = self.passes()
        if passes and (len(self.wrong) > 1 or not any(sums.values())):
            return {case.name: passes[case.name] for case in self.wrong}
        if all(sums.values()):
            return most_shared(sums)
        return self.pairs() or most_shared(sums)

    def also_made(self, case: Case, found: Sequence[Explained]) -> bool:
        """Whether what was found in other arrays makes this one as it was given as well."""
        if len(found) != 1 or not self._is_made(case):
            return False
        if any(one.key == found[0].key for one in self.sums(case, self.apart.right)):
            return True
        keys = [one.key for one in found[0].found]
        ways = [[e.wrong for e in self.elements if e.found.key == key] for key in keys]
        wrongs = [reduce(together, way) for way in product(*ways)]
        return any(
            self.fits(case, self._read(case, self.apart.made([wrong]))[0]) is not None
            for wrong in wrongs
        )

    @property
    def is_one_entry(self) -> bool:
        """Whether one entry alone is wrong: no mistake of a pass or a sum does that."""
        wrong = sum(int(c.compared.wrong.sum()) for c in self.wrong if c.compared is not None)
        return wrong == 1 and sum(case.right.size for case in self.wrong) > FEW_ENTRIES

    def _common(self, sums: Mapping[str, list[Explained]]) -> dict[str, list[Explained]]:
        """The mistake of a sum that explains every array, where there is one."""
        if not sums or not all(sums.values()):
            return {}
        keys = [{one.key for one in found} for found in sums.values()]
        shared = set.intersection(*keys)
        digits = Counter[object]()
        for found in sums.values():
            digits.update({one.key: one.digits for one in found})
        return (
            {
                name: best(one._replace(digits=digits[one.key]) for one in found
                           if one.key in shared)
                for name, found in sums.items()
            }
            if shared
            else {}
        )  # fmt: skip

    # ------------------------------------------------------------------ comparing

    def near(self, case: Case, made: Array) -> Mask:
        """Which of K arrays may fit, (K,): a quick look before ``fits``."""
        axes = tuple(range(1, made.ndim))
        by_row = axes[1:] if case.record.first_step is not None and made.ndim > 1 else axes
        scale = np.abs(made).max(axis=by_row, keepdims=True, initial=0.0)
        tolerance = 2.0 * relative_tolerance(case.got, case.rtol) * scale + 1e-299
        if case.got.half_unit is not None:
            tolerance = np.maximum(tolerance, 1.01 * case.got.half_unit)
        if case.noise is not None and case.loudness >= 1.0:
            tolerance = np.maximum(tolerance, 2.0 * case.noise * scale)
        return np.asarray((np.abs(made - case.got.values) <= tolerance).all(axis=axes))

    def fits(self, case: Case, made: Array) -> tuple[float, float] | None:
        """What is left and the digits that agree, where it is the given array to its tolerance."""
        if made.shape != case.got.values.shape or not np.isfinite(made).all():
            return None
        noise = None
        if case.noise is not None and case.loudness >= 1.0:
            noise = case.noise * scales(made, case.record)
        compared = compare(case.got, made, case.record, case.rtol, noise)
        if not compared.fits:
            return None
        return compared.largest_error, digits(case, made)

    # ------------------------------------------------------------------ sums of one array's own

    def sums(self, case: Case, made: Made) -> list[Explained]:
        """What is wrong in the sum of one array alone, the rows ∂L/∂a being those of ``made``."""
        found = []
        for one, array, trials in self._sums(case, made):
            fit = self.fits(case, array)
            if fit is not None:
                error, agreed = fit
                if one.read_off:
                    below = np.abs(array) < float(np.abs(array).max(initial=0.0))
                    agreed = digits(case, np.where(below, array, 0.0))
                found.append(Explained((one,), error, agreed, trials))
        return best(found)

    def _sums(self, case: Case, made: Made) -> Iterator[tuple[Found, Array, float]]:
        if case.name in ("dL_dW_hy", "dL_db_y"):
            yield from self._read_out(case, made)
            return
        base, _, number = case.name.partition(".")
        name = base.removeprefix("dL_d")
        if base.startswith("dL_d") and name in self.apart.problem.cell.parameters:
            yield from self._parameter(case, made, name, int(number or 0))
        elif case.name == "dLt_dht":
            yield from self._kept_states(case, made)
        elif case.record.first_step is not None and name in (X, *self.apart.problem.cell.parts):
            yield from self._rows_of_steps(case, made, name)

    def _kept_states(self, case: Case, made: Made) -> Iterator[tuple[Found, Array, float]]:
        words = (
            "your numbers are ∂L/∂h_t with what comes back from later steps, as a .grad holds that "
            "was not reset: ∂L_t/∂h_t is of the step's own loss alone"
        )
        where = {"sum": "∂L_t/∂h_t", "used": "∂L/∂h_t"}
        whole = self.apart.read("dL_dh", made)
        assert whole is not None
        yield Found("carry-not-reset", where, words, words), whole[0, 1:], 4.0

    def _rows_of_steps(
        self, case: Case, made: Made, name: str
    ) -> Iterator[tuple[Found, Array, float]]:
        """∂L/∂x_t or ∂L/∂s_t, a row a step: the first step not visited; ∂L/∂c_t with the way
        through h_t, as who holds it for one of many nodes has it."""
        rows = self._read(case, made)[0]
        if len(rows) < 2:
            return
        without = self._of_steps(next(habits(self.apart.steps)), "steps")
        if name == X:
            yield without, np.concatenate([0.0 * rows[:1], rows[1:]]), 4.0
            return
        part = self.apart.problem.cell.parts.index(name)
        direct = self.apart.alone(made.dL_da_y)[1:2, 0, self.apart.columns(part)]
        for start in (rows[1:2] - direct, 0.0 * rows[:1]):
            yield without, np.concatenate([start, 0.0 * rows[1:2], rows[2:]]), 4.0
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

    def _read_out(self, case: Case, made: Made) -> Iterator[tuple[Found, Array, float]]:
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

    def _parameter(
        self, case: Case, made: Made, name: str, number: int
    ) -> Iterator[tuple[Found, Array, float]]:
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
    ) -> Iterator[tuple[Found, Array, float]]:  # fmt: skip
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
                    found = at_the_start(found, other.end, self.saying)
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

    def _steps(self, case: Case, terms: Array) -> Iterator[tuple[Found, Array, float]]:
        """Steps missing or twice, one term alone, the sum clipped on its way."""
        count = len(terms)
        tried: dict[tuple[int, ...], Integers] = {}
        whole = fitted(terms, case.got.values, case.tolerance)
        if whole is not None:
            tried[tuple(whole.tolist())] = whole
        for factors in habits(count):
            tried.setdefault(tuple(factors.tolist()), factors)
        for key, factors in tried.items():
            if len(set(key)) > 1:
                summed = np.tensordot(factors.astype(np.float64), terms, axes=1)
                trials = 4.0**count if whole is not None and key == tuple(whole.tolist()) else 20.0
                yield self._of_steps(factors, "steps"), summed, min(trials, 1e12)
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

    def _of_steps(self, factors: Integers, what: str, labels: Sequence[str] = ()) -> Found:
        count = len(factors)
        names = labels or [str(t) for t in range(1, count + 1)]
        other = {name: int(f) for name, f in zip(names, factors, strict=True) if f != 1}
        kept = [name for name, f in zip(names, factors, strict=True) if f == 1]
        if what == "steps" and len(kept) == 1 and set(other.values()) == {0} and count > 2:
            words = (
                f"the sum holds the term of step {kept[0]} alone: each step's term is added (+=), "
                "and none takes the place of the one before"
            )
            return Found("overwritten", {"steps": other}, words, words)
        words = f"of the paths from a loss to a step, {listed(other)}: each counts once"
        if what == "steps":
            words = f"in the sum over the steps, {listed(other, 'step')}: each counts once"
        if what == "losses":
            at_the_read_out = any(case.name in ("dL_dW_hy", "dL_db_y") for case in self.wrong)
            return losses_counted(other, "L_t" if at_the_read_out else "∂L_t/∂h_t")
        return Found("wrong-steps", {what: other}, words, words)

    # ------------------------------------------------------------------ passes

    def passes(self) -> dict[str, list[Explained]]:
        """One wrong pass that makes all arrays; what makes some of them is kept for the pairs."""
        found: list[tuple[Found, dict[str, tuple[float, float]]]] = []
        for start, made in self.apart.chunks([one.wrong for one in self.elements]):
            tell(start / len(self.elements), "looking for the mistake")
            arrays = {case.name: self._read(case, made) for case in self.cases}
            near = {case.name: self.near(case, arrays[case.name]) for case in self.cases}
            for k in range(made.dL_ds.shape[1]):
                off = [case for case in self.cases if not near[case.name][k]]
                off_wrong = [case for case in off if case in self.wrong]
                if not off:
                    fits = self._all_fit(arrays, k)
                    if fits is not None:
                        found.append((self.elements[start + k].found, fits))
                elif len(off_wrong) < len(self.wrong):
                    self.partly.append((start + k, made.one(k), off))
            self.scaled += self._scaled(start, arrays)
        for factors, name, sums in self._losses():
            sums = {case.name: self._at_the_read_out(case, sums[case.name]) for case in self.cases}
            fits = self._all_fit({case.name: sums[case.name][np.newaxis] for case in self.cases}, 0)
            if fits is not None:
                found.append((self._of_steps(factors, name, self._labels(name)), fits))
        return self._explained(((one,), fits) for one, fits in found)

    def _explained(
        self, found: Iterable[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]
    ) -> dict[str, list[Explained]]:
        """Case by case; the evidence is that of all arrays together."""
        ways: list[tuple[tuple[Found, ...], dict[str, tuple[float, float]], float]] = []
        for ones, fits in found:
            ways.append((ones, fits, sum(fits[case.name][1] for case in self.wrong)))
        return (
            {
                case.name: best(
                    Explained(ones, fits[case.name][0], digits, self.trials)
                    for ones, fits, digits in ways
                )
                for case in self.wrong
            }
            if ways
            else {}
        )

    def _read(self, case: Case, made: Made) -> Array:
        found = self.apart.read(case.name, made)
        assert found is not None
        if made.came is None or case.record.first_step != 0:
            return found
        return self._as_kept(case, found, made)

    def _as_kept(self, case: Case, after: Array, made: Made) -> Array:
        """∂L/∂h_t was kept after something was done with what came back, or before: of each pass
        the nearest, (K, T+1, n). Nothing is done with what comes back to s_0 in most loops."""
        assert made.came is not None
        came = self.apart.read(case.name, made._replace(dL_ds=made.came))
        assert came is not None
        at_last = np.concatenate([came[:, :1], after[:, 1:]], axis=1)
        ways = np.stack([after, at_last, came])
        gaps = np.abs(ways - case.got.values).max(axis=(2, 3))
        return np.asarray(ways[gaps.argmin(axis=0), np.arange(len(after))])

    def _all_fit(
        self, arrays: Mapping[str, Array], k: int
    ) -> dict[str, tuple[float, float]] | None:
        fits = {}
        for case in self.cases:
            fit = self.fits(case, arrays[case.name][k])
            if fit is None:
                return None
            fits[case.name] = fit
        return fits

    def _scaled(self, start: int, arrays: Mapping[str, Array]) -> list[tuple[int, float]]:
        """Passes of which every array is the same multiple of what was given."""
        first = self.cases[0]
        made = arrays[first.name]
        flat = made.reshape(len(made), -1)
        with np.errstate(all="ignore"):
            factor = (flat @ first.got.values.reshape(-1)) / (flat**2).sum(axis=1)
        good = np.isfinite(factor) & (np.abs(factor - 1.0) > 1e-6) & (factor != 0)
        for case in self.cases:
            times = np.where(good, factor, 1.0).reshape(-1, *([1] * case.right.ndim))
            good &= self.near(case, arrays[case.name] * times)
        return [(start + int(k), float(factor[k])) for k in np.flatnonzero(good)]

    def _at_the_read_out(self, case: Case, made: Array) -> Array:
        """W_hy and b_y may be met by each loss once, whatever goes back to the state."""
        beside = case.name in ("dL_dW_hy", "dL_db_y") and case not in self.wrong
        return case.right if beside else made

    def _losses(self) -> Iterator[tuple[Integers, str, dict[str, Array]]]:
        """Losses, or paths from a loss to a step, missing or twice."""
        steps = self.apart.steps
        if steps > 2 * MOST_PATHS or self.apart.problem.loss is None:
            return
        every = []
        for t in range(steps):
            row = np.zeros_like(self.apart.dL_da_y)
            row[t] = self.apart.dL_da_y[t]
            every.append(Wrong(dL_da_y=row))
        pieces = [made for _, made in self.apart.chunks(every)]
        terms = {
            case.name: np.concatenate([self._read(case, made) for made in pieces])
            for case in self.cases
        }
        tried: dict[tuple[int, ...], Integers] = {}
        for case in self.wrong:
            factors = fitted(terms[case.name], case.got.values, case.tolerance)
            if factors is not None:
                tried[tuple(factors.tolist())] = factors
        for factors in (*habits(steps), np.arange(steps, 0, -1), np.arange(1, steps + 1)):
            tried.setdefault(tuple(factors.tolist()), factors)
        for key, factors in tried.items():
            if len(set(key)) > 1 and not (factors[-1] == 1 and not factors[:-1].any()):
                yield (
                    factors,
                    "losses",
                    {
                        name: np.tensordot(factors.astype(np.float64), one, axes=1)
                        for name, one in terms.items()
                    },
                )
        yield from self._paths(pieces)

    def _paths(self, pieces: Sequence[Made]) -> Iterator[tuple[Integers, str, dict[str, Array]]]:
        """∂L/∂W = Σ_{t,k} α_{tk} ∂L_t/∂a_k ⊗ v_k, of the parameters of one layer."""
        steps, problem = self.apart.steps, self.apart.problem
        pairs = [(t, k) for t in range(steps) for k in range(t + 1)]
        cases = [case for case in self.cases if self._is_parameter(case)]
        if len(pairs) > MOST_PATHS or problem.depth > 1 or len(cases) < len(self.cases):
            return
        terms = {}
        for case in cases:
            name = case.name.removeprefix("dL_d")
            parts = problem.cell.blocks.get(name, (name,))
            layer = self.apart.layers[0]
            blocks = []
            for part in parts:
                of = [step_by_step(layer, part, made.at[0]) for made in pieces]
                blocks.append(np.concatenate(of))
            every = np.concatenate(blocks, axis=2)
            terms[case.name] = np.stack([every[t, k] for t, k in pairs]).reshape(
                len(pairs), *case.right.shape
            )
        largest = max(self.wrong, key=lambda case: case.right.size)
        factors = fitted(terms[largest.name], largest.got.values, largest.tolerance)
        if factors is not None and len(set(factors.tolist())) > 1:
            yield (
                factors,
                "paths",
                {
                    name: np.tensordot(factors.astype(np.float64), one, axes=1)
                    for name, one in terms.items()
                },
            )

    def _is_parameter(self, case: Case) -> bool:
        name = case.name.partition(".")[0].removeprefix("dL_d")
        return name in self.apart.problem.cell.parameters

    def _labels(self, what: str) -> list[str]:
        steps = self.apart.steps
        if what == "losses":
            return [str(t) for t in range(1, steps + 1)]
        return [f"L_{t + 1} by step {k + 1}" for t in range(steps) for k in range(t + 1)]

    # ------------------------------------------------------------------ two at once

    def pairs(self) -> dict[str, list[Explained]]:
        """A wrong pass with a wrong sum or a factor; two passes' changes."""
        self.in_pairs = True
        ways: list[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]] = []
        for k, made, off in self.partly:
            ways += self._with_sums(self.elements[k].found, made, off)
        for k, factor in self.scaled:
            ways += self._with_factor(self.elements[k], factor)
        ways += self._with_steps()
        found = self._explained(ways) or self._explained(self._one_a_place())
        return found or self._explained(self._two_passes())

    @cached_property
    def known(self) -> Known:
        """The rows on the way back that the given arrays tell."""
        return known(self.cases, self.apart)

    @cached_property
    def fed(self) -> Forced:
        """What each place is when it is fed with the given rows before it."""
        return forced(self.known, self.apart, self.elements)

    def _one_a_place(
        self,
    ) -> Iterator[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]:
        """The changes that each wrong place by itself calls for, made together."""
        for ones in proposals(self.known, self.apart, self.elements):
            if len(ones) > 1:
                wrong = reduce(together, (one.wrong for one in ones))
                made = self.apart.made([wrong])
                fits = self._all_fit({case.name: self._read(case, made) for case in self.cases}, 0)
                if fits is not None:
                    yield tuple(one.found for one in ones), fits

    def _with_sums(
        self, one: Found, made: Made, off: Sequence[Case]
    ) -> Iterator[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]:
        fits: dict[str, tuple[float, float]] = {}
        shared: dict[object, Found] | None = None
        for case in self.cases:
            if case in off:
                found = self.sums(case, made)
                own: dict[object, Found] = {one.found[0].key: one.found[0] for one in found}
                shared = own if shared is None else {k: v for k, v in shared.items() if k in own}
                if not own:
                    return
                fits[case.name] = min((e.error, e.digits) for e in found)
            else:
                fit = self.fits(case, self._read(case, made)[0])
                if fit is None:
                    return
                fits[case.name] = fit
        for other in (shared or {}).values():
            alike = other.bug == one.bug in ("wrapped-index", "dropped-h_0")
            both = (one,) if alike else (one, other)
            yield both, fits

    def _with_steps(
        self,
    ) -> Iterator[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]:
        """A usual wrong pass, and in every sum the same steps missing or twice."""
        if not all(self._is_a_sum(case) for case in self.wrong):
            return
        usual = [one for one in self.elements if one.usual]
        for start, made in self.apart.chunks([one.wrong for one in usual]):
            for factors in habits(self.apart.steps):
                weights = factors[:, np.newaxis, np.newaxis].astype(np.float64)
                less = Made(
                    made.dL_da_y,
                    made.dL_ds,
                    tuple({k: v * weights for k, v in at.items()} for at in made.at),
                )
                way_out = [case for case in self.wrong if case.name in ("dL_dW_hy", "dL_db_y")]
                if way_out:
                    less = less._replace(dL_da_y=made.dL_da_y * weights)
                good = np.ones(made.dL_ds.shape[1], dtype=bool)
                for case in self.cases:
                    if good.any():
                        good &= self.near(case, self._read(case, less))
                for k in np.flatnonzero(good):
                    fits = self._all_fit(
                        {case.name: self._read(case, less.one(int(k))) for case in self.cases}, 0
                    )
                    if fits is not None:
                        yield (usual[start + int(k)].found, self._of_steps(factors, "steps")), fits

    def _is_a_sum(self, case: Case) -> bool:
        return self._is_parameter(case) or case.name in ("dL_dW_hy", "dL_db_y")

    def _with_factor(
        self, one: Element, factor: float
    ) -> Iterator[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]:
        made = self.apart.made([one.wrong])
        fits = self._all_fit({c.name: factor * self._read(c, made) for c in self.cases}, 0)
        if fits is not None:
            yield (one.found, scaled_by(factor, self.apart)), fits

    def _two_passes(
        self,
    ) -> Iterator[tuple[tuple[Found, ...], dict[str, tuple[float, float]]]]:
        usual = [one for one in self.elements if one.usual]
        kept = [one for one in usual if one.wrong.carry is not None]
        others = [one for one in self.elements if not one.usual and one.wrong.changes]
        every = [pair for pair in combinations(usual, 2) if compatible(*pair)]
        every += [pair for pair in product(kept, others) if compatible(*pair)]
        began, limit = time.monotonic(), SECONDS * (1 if self.apart.steps <= 50 else 3)
        joined = [together(one.wrong, other.wrong) for one, other in every]
        for start, made in self.apart.chunks(joined):
            tell(start / len(joined), "looking for two mistakes at once")
            if time.monotonic() - began > limit:
                self.sampled = True
                return
            arrays = {case.name: self._read(case, made) for case in self.cases}
            good = np.ones(made.dL_ds.shape[1], dtype=bool)
            for case in self.cases:
                good &= self.near(case, arrays[case.name])
            for k in np.flatnonzero(good):
                fits = self._all_fit(arrays, int(k))
                if fits is not None:
                    yield tuple(one.found for one in every[start + int(k)]), fits


def step_by_step(layer: LayerApart, part: str, at: Mapping[str, Array]) -> Array:
    """The terms of ∂L/∂ of a parameter of the equations, (K, T, its size)."""
    terms = [term.each(at[term.target]) for term in layer.terms[part]]
    whole = [one.reshape(*one.shape[:2], -1) for one in terms]
    single = np.ndim(layer.layer.own[part]) == 0
    return np.asarray(sum(one.sum(axis=2, keepdims=True) if single else one for one in whole))


def scaled_by(factor: float, apart: Apart) -> Found:
    """A factor beside another mistake, by the ids of the list."""
    problem = apart.problem
    squares = problem.loss is not None and "squared" in problem.loss.name
    known = {-1.0: "sign-flipped", 1.0 / problem.steps: "averaged-over-steps"}
    if squares:
        known[0.5] = "missing-factor-2"
    for value, bug in known.items():
        if abs(factor - value) <= 1e-6 * abs(value):
            return Found(bug, {}, "", "")
    return Found("scaled", {"factor": factor}, "", "")


def best(found: Iterable[Explained]) -> list[Explained]:
    """The most specific, each mistake once."""
    kept: dict[object, Explained] = {}
    for one in found:
        if one.key not in kept or one.error < kept[one.key].error:
            kept[one.key] = one
    if not kept:
        return []
    first = min(one.rank for one in kept.values())
    return [one for one in kept.values() if one.rank == first]


def most_shared(sums: Mapping[str, list[Explained]]) -> dict[str, list[Explained]]:
    """Of equals, what explains the most arrays."""
    count = Counter(one.key for found in sums.values() for one in found)
    most = {name: max((count[one.key] for one in found), default=0) for name, found in sums.items()}
    return {
        name: [one for one in found if count[one.key] == most[name]]
        for name, found in sums.items()
    }  # fmt: skip
