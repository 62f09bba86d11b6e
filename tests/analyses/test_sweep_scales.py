"""What ``--whh-scale`` may be given."""

from __future__ import annotations

import numpy as np
import pytest

from rnngrad.analyses.sweep.scales import points_in, scales_of
from rnngrad.errors import UsageError


def test_a_list() -> None:
    assert scales_of("0.5,1, 2e0") == (0.5, 1.0, 2.0)
    assert scales_of([2, 1]) == (2.0, 1.0)
    assert scales_of(np.array([0.1, -1.0])) == (0.1, -1.0)
    assert scales_of(3) == (3.0,)


def test_ranges_hold_both_ends() -> None:
    even = scales_of("0.1:4:40")
    assert (even[0], even[-1], len(even)) == (0.1, 4.0, 40)
    np.testing.assert_allclose(np.diff(even), 0.1, rtol=1e-12)
    ratio = scales_of("0.01:100:41:log")
    assert (ratio[0], ratio[-1], len(ratio)) == (0.01, 100.0, 41)
    np.testing.assert_allclose(np.diff(np.log10(ratio)), 0.1, rtol=1e-12)
    assert scales_of("2:2:1") == (2.0,)
    assert scales_of("-1:1:3") == (-1.0, 0.0, 1.0)


def test_points_are_counted_before_they_are_made() -> None:
    assert points_in("0:1:12345678") == 12345678
    assert points_in("1,2,3") == 3
    assert points_in("0:1:\x1e3") == 3  # a blank to str.strip, but none to int


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a number is missing"),
        ("1,,2", "a number is missing"),
        ("1,two", "'two' is not a number"),
        ("4:0.1:40", "descends"),
        ("1:2:0", "is empty"),
        ("1:2:2.5", "whole number"),
        ("1:2:-3", "whole number"),
        ("1:2", "give a list"),
        ("1:2:3:lin", "give a list"),
        ("1:2:3:log:4", "give a list"),
        ("0:1:5:log", "above 0, not 0"),
        ("-1:1:5:log", "above 0, not -1"),
        ("1:1:2", "equal ends"),
        ("1:2:1", "cannot hold both ends"),
        ("0:inf:3", "must be finite"),
        ("nan", "not a finite number"),
        ("1,2,1", "1 is given twice"),
        ("0:1:1000000000", "too many"),
        ("0:1:" + "9" * 5000, "too many"),
        ("1:2:\x1ex", "whole number"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        scales_of(text)


def test_no_scales_at_all() -> None:
    with pytest.raises(UsageError, match="none are given"):
        scales_of([])
