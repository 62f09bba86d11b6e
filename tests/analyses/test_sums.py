"""What is read off a sum that somebody made wrong: its factors, limits that clip it, the words."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from rnngrad.analyses.mistakes.sums import (
    FACTORS,
    clipped_on_the_way,
    fitted,
    limits,
    listed,
    wrong_sums,
)

TOLERANCE = 1e-12
TERMS = np.random.default_rng(0).normal(size=(3, 2, 2)) * np.array([1.0, 30.0, 0.01])[:, None, None]


def made(factors: object, terms: np.ndarray = TERMS) -> np.ndarray:
    return np.tensordot(np.array(factors, dtype=float), terms, 1)


@pytest.mark.parametrize("scale", [2.0**-300, 1.0, 2.0**300])
@pytest.mark.cases(None)
def test_factors_are_found_at_any_scale(scale: float) -> None:
    for factors in product(FACTORS, repeat=3):
        if any(factors):
            found = fitted(scale * TERMS, scale * made(factors), TOLERANCE)
            assert found is not None
            assert tuple(found) == factors


@pytest.mark.parametrize("factors", [(1, 0.5, 1), (1, 3, 1), (-2, 1, 1), (1, 1, 1.25)])
@pytest.mark.cases(None)
def test_factors_that_nobody_means_are_not_told(factors: tuple[float, ...]) -> None:
    assert fitted(TERMS, made(factors), TOLERANCE) is None


def test_a_factor_is_told_up_to_a_fifth_away() -> None:
    found = fitted(TERMS, made((1.19, 1.81, -0.19)), TOLERANCE)
    assert found is not None
    assert found.tolist() == [1, 2, 0]


def test_what_cannot_be_seen_counts_once() -> None:
    """Below 1e-9 of the largest term, and below four times the tolerance of the sum."""
    for faint, tolerance in ((1e-12, TOLERANCE), (1e-6, 1e-5)):
        terms = TERMS * np.array([1.0, 1.0, faint])[:, None, None]
        found = fitted(terms, made((2, 1, 0), terms), tolerance)
        assert found is not None
        assert found.tolist() == [2, 1, 1]


def test_terms_that_determine_nothing() -> None:
    multiples = np.stack([TERMS[0], 2 * TERMS[0], TERMS[1]])
    assert fitted(multiples, made((1, 0, 1), multiples), TOLERANCE) is None
    assert fitted(0 * TERMS, TERMS[0], TOLERANCE) is None
    many = np.random.default_rng(1).normal(size=(5, 2, 2))
    assert fitted(many, many.sum(axis=0), TOLERANCE) is None
    assert fitted(many[:4], many[1:4].sum(axis=0), TOLERANCE) is not None
    for bad in (np.nan, np.inf):
        assert fitted(TERMS, np.full((2, 2), bad), TOLERANCE) is None
        assert fitted(np.full((3, 2, 2), bad), TERMS[0], TOLERANCE) is None


def test_sums_that_people_make() -> None:
    one_step = [some.tolist() for some in wrong_sums(1)]
    assert one_step == []
    three = [some.tolist() for some in wrong_sums(3)]
    ends = [[0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1], [2, 1, 1], [1, 1, 2]]
    assert three == ends
    four = [some.tolist() for some in wrong_sums(4)]
    assert four[6:] == [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]]


def test_clipped_on_the_way_from_the_last_step_on() -> None:
    assert clipped_on_the_way(np.array([[-1.0, 0.5], [4.0, -9.0], [2.0, 1.0]]), 3.0).tolist() == [
        2.0,
        -2.5,
    ]


def test_limits_that_people_choose() -> None:
    assert limits(0.3) == [
        0.25, 0.2, 0.1, 0.08, 0.05, 0.03, 0.025, 0.02, 0.01,
        0.008, 0.005, 0.003, 0.0025, 0.002, 0.001,
    ]  # fmt: skip
    far = limits(2e6)
    assert far[:3] == [1e6, 8e5, 5e5]
    assert far[6:10] == [1e5, 8e4, 5e4, 3e4]
    assert far[12:14] == [1e4, 80.0]
    assert far[-1] == 0.01
    assert [limits(bad) for bad in (0.0, -1.0, np.inf, np.nan)] == [[]] * 4


def test_words_of_what_is_wrong() -> None:
    assert listed({"step 1": 0}) == "step 1 is missing"
    assert listed({"1": 0, "2": 2, "5": 2}, "step") == (
        "step 1 is missing; steps 2, 5 are counted twice"
    )
    assert listed({"h": -1, "c": 3}) == "h is subtracted; c is counted 3 times"
    seven = dict.fromkeys("1234567", 0)
    assert listed(seven, "step") == "steps 1, 2, 3, 4, 5, 6 … are missing"
    del seven["7"]
    assert listed(seven, "step") == "steps 1, 2, 3, 4, 5, 6 are missing"
