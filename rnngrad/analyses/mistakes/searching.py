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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import combinations, product

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import logarithmic
from rnngrad.analyses.checking.diagnosing.fitting import Case
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.agreeing import (
    Explained,
    Some,
    agrees,
    array_of_pass,
    best,
    common,
    most_shared,
    some_of,
)
from rnngrad.analyses.mistakes.local_partials import Wrong
from rnngrad.analyses.mistakes.parameter_sums import OwnSums, of_steps, step_by_step
from rnngrad.analyses.mistakes.passes import Apart, Made
from rnngrad.analyses.mistakes.place_by_place import Forced, Known, forced, known, proposals
from rnngrad.analyses.mistakes.single_mistakes import (
    Element,
    compatible,
    elements,
    losses_counted,
    together,
)
from rnngrad.analyses.mistakes.sums import fitted, wrong_sums
from rnngrad.analyses.mistakes.words import Found, Saying
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.progress import announce

MOST_PATHS = 500
FEW_ENTRIES = 4
SECONDS = 4.0
"""What pairs of passes may take; three times as long where a pass itself is long."""


class Search:
    """Somebody's arrays against every wrong pass. To be run within ``quietly()``."""

    def __init__(self, wrong: Sequence[Case], right: Sequence[Case], passes: Passes) -> None:
        self.apart = Apart(passes)
        self.saying = Saying(self.apart)
        self.own = OwnSums(self.apart, self.saying)
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
        sums = {case.name: self.own.of(case, self.apart.right) for case in self.wrong}
        together = common(sums)
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
        if any(one.key == found[0].key for one in self.own.of(case, self.apart.right)):
            return True
        keys = [one.key for one in found[0].found]
        ways = [[e.wrong for e in self.elements if e.found.key == key] for key in keys]
        wrongs = [reduce(together, way) for way in product(*ways)]
        return any(
            agrees(case, self._read(case, self.apart.made([wrong]))[0]) is not None
            for wrong in wrongs
        )

    @property
    def is_one_entry(self) -> bool:
        """Whether one entry alone is wrong: no mistake of a pass or a sum does that."""
        wrong = sum(int(c.compared.wrong.sum()) for c in self.wrong if c.compared is not None)
        return wrong == 1 and sum(case.right.size for case in self.wrong) > FEW_ENTRIES

    # ------------------------------------------------------------------ passes

    def passes(self) -> dict[str, list[Explained]]:
        """One wrong pass that makes all arrays; what makes some of them is kept for the pairs."""
        found: list[tuple[Found, dict[str, tuple[float, float]]]] = []
        for start, made in self.apart.chunks([one.wrong for one in self.elements]):
            announce(start / len(self.elements), "looking for the mistake")
            entries = {case.name: self._some(case, made) for case in self.cases}
            near = {name: self.some[name].may_agree(made) for name, made in entries.items()}
            for k in np.flatnonzero(np.any([near[case.name] for case in self.wrong], axis=0)):
                one = made.one(int(k))
                fits: dict[str, tuple[float, float]] = {}
                for case in self.cases:
                    fit = agrees(case, self._read(case, one)[0]) if near[case.name][k] else None
                    if fit is not None:
                        fits[case.name] = fit
                off = [case for case in self.cases if case.name not in fits]
                if not off:
                    found.append((self.elements[start + k].found, fits))
                elif any(case.name in fits for case in self.wrong):
                    self.partly.append((start + int(k), one, off))
            self.scaled += self._scaled(start, entries)
        for factors, name, sums in self._losses():
            sums = {case.name: self._at_the_read_out(case, sums[case.name]) for case in self.cases}
            these = self._all_fit(
                {case.name: sums[case.name][np.newaxis] for case in self.cases}, 0
            )
            if these is not None:
                found.append((self._counted(factors, name), these))
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

    @cached_property
    def some(self) -> dict[str, Some]:
        """Some entries of every given array."""
        return {case.name: some_of(case) for case in self.cases}

    def _some(self, case: Case, made: Made) -> Array:
        """Those of each pass, (K, m)."""
        entries = self.some[case.name].entries
        if made.came is not None and case.record.first_step == 0:
            return self._read(case, made).reshape(made.dL_ds.shape[1], -1)[:, entries]
        return self.apart.some(case.name, made, entries)

    def _fitting(self, made: Made) -> Iterator[tuple[int, dict[str, tuple[float, float]]]]:
        """Which of the passes make every array."""
        good = np.ones(made.dL_ds.shape[1], dtype=bool)
        for case in (*self.wrong, *self.cases):
            if good.any():
                good &= self.some[case.name].may_agree(self._some(case, made))
        for k in map(int, np.flatnonzero(good)):
            one = made.one(k)
            fits = self._all_fit({case.name: self._read(case, one) for case in self.cases}, 0)
            if fits is not None:
                yield k, fits

    def _read(self, case: Case, made: Made) -> Array:
        return array_of_pass(self.apart, case, made)

    def _all_fit(
        self, arrays: Mapping[str, Array], k: int
    ) -> dict[str, tuple[float, float]] | None:
        fits = {}
        for case in self.cases:
            fit = agrees(case, arrays[case.name][k])
            if fit is None:
                return None
            fits[case.name] = fit
        return fits

    def _scaled(self, start: int, entries: Mapping[str, Array]) -> list[tuple[int, float]]:
        """Passes of which every array may be the same multiple of what was given."""
        first = self.cases[0].name
        made, got = entries[first], self.some[first].got
        with np.errstate(all="ignore"):
            factor = (made @ got) / (made**2).sum(axis=1)
        good = np.isfinite(factor) & (np.abs(factor - 1.0) > 1e-6) & (factor != 0)
        times = np.where(good, factor, 1.0)[:, np.newaxis]
        for name, one in self.some.items():
            good &= one.may_agree(entries[name] * times)
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
        for factors in (*wrong_sums(steps), np.arange(steps, 0, -1), np.arange(1, steps + 1)):
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

    def _counted(self, factors: Integers, what: str) -> Found:
        """Losses, or paths from a loss to a step, that enter with another factor than 1."""
        steps = range(1, self.apart.steps + 1)
        if what == "paths":
            return of_steps(factors, what, [f"L_{t} by step {k}" for t in steps for k in steps[:t]])
        other = {str(t): int(f) for t, f in zip(steps, factors, strict=True) if f != 1}
        at_the_read_out = any(case.name in ("dL_dW_hy", "dL_db_y") for case in self.wrong)
        return losses_counted(other, "L_t" if at_the_read_out else "∂L_t/∂h_t")

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
                found = self.own.of(case, made)
                own: dict[object, Found] = {one.found[0].key: one.found[0] for one in found}
                shared = own if shared is None else {k: v for k, v in shared.items() if k in own}
                if not own:
                    return
                fits[case.name] = min((e.error, e.digits) for e in found)
            else:
                fit = agrees(case, self._read(case, made)[0])
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
            for factors in wrong_sums(self.apart.steps):
                weights = factors[:, np.newaxis, np.newaxis].astype(np.float64)
                less = Made(
                    made.dL_da_y,
                    made.dL_ds,
                    tuple({k: v * weights for k, v in at.items()} for at in made.at),
                )
                way_out = [case for case in self.wrong if case.name in ("dL_dW_hy", "dL_db_y")]
                if way_out:
                    less = less._replace(dL_da_y=made.dL_da_y * weights)
                for k, fits in self._fitting(less):
                    yield (usual[start + k].found, of_steps(factors)), fits

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
            announce(start / len(joined), "looking for two mistakes at once")
            if time.monotonic() - began > limit:
                self.sampled = True
                return
            for k, fits in self._fitting(made):
                yield tuple(one.found for one in every[start + k]), fits


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
