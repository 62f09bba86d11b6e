"""How numbers are written."""

from __future__ import annotations

import numpy as np
import pytest

from rnngrad.views import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0454631499, "0.0454631"),
        (-0.0, "0"),
        (12.0, "12"),
        (-1.5e-300, "-1.5e-300"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("log10", "text"),
    [
        (np.log10(0.25), "0.25"),
        (-3010.3, "5.012e-3011"),
        (400.5, "3.162e+400"),
        (float("-inf"), "0"),
        (0.0, "1"),
    ],
)
def test_a_size_that_no_float_holds(log10: float, text: str) -> None:
    assert numbers.from_log10(log10) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.00 %"), (-0.1893, "-18.93 %"), (1e-9, "1e-07 %"), (0.0, "0.00 %")],
)
def test_percent(share: float, text: str) -> None:
    assert numbers.percent(share) == text


def test_a_long_table_keeps_both_ends() -> None:
    assert numbers.kept(3, False) == [0, 1, 2]
    shown = numbers.kept(100, False)
    assert shown[:2] == [0, 1]
    assert shown[-1] == 99
    assert shown.count(None) == 1
    assert numbers.kept(100, True) == list(range(100))
    assert numbers.kept_across(6, False) == [0, 1, None, 4, 5]
    assert numbers.kept_across(5, False) == [0, 1, 2, 3, 4]


def test_small_things() -> None:
    assert numbers.times((100_000, 64)) == "100,000 × 64"
    assert numbers.times(()) == "1"
    assert numbers.vector(np.array([1.0, 2.5])) == "[1, 2.5]"
    assert numbers.vector(np.ones(4)) == "norm 2"
    assert numbers.vector(np.array([[0.5]])) == "0.5"
    assert numbers.length(np.array([3.0, 4.0])) == "5"
    assert numbers.length(np.array([-3.0])) == "-3"


@pytest.mark.parametrize(
    ("log10", "text"),
    [(5.8e-15, "0.0000"), (-5.8e-15, "0.0000"), (float("-inf"), "-inf"), (float("nan"), "nan"),
     (-0.25, "-0.2500")],
)  # fmt: skip
def test_a_log10_that_is_rounding_is_shown_as_0(log10: float, text: str) -> None:
    assert numbers.decades(log10) == text


def test_a_logarithm_settles_only_where_it_is_rounding() -> None:
    assert numbers.settled(-9e-13) == 0.0
    assert numbers.settled(2e-12) == 2e-12
    assert np.isnan(numbers.settled(float("nan")))
