"""Noise and mixtures: wrong arrays behind which there is no mistake with a name."""

from __future__ import annotations

import pytest

from checking import random_arrays

SOME = (*range(0, 2000, 40), 44, 79, 84, 127, 148, 244, 406, 519, 631, 1026)
"""Every fortieth, and those in which something was named before digits were counted."""


@pytest.fixture(scope="module")
def checked() -> dict[int, list[dict[str, object]]]:
    return {number: random_arrays.checked(random_arrays.drawn(number)) for number in SOME}


def test_none_is_named(checked: dict[int, list[dict[str, object]]]) -> None:
    found = {number: random_arrays.named(rows) for number, rows in checked.items()}
    assert {number: names for number, names in found.items() if names} == {}


def test_most_are_seen_and_many_localised(checked: dict[int, list[dict[str, object]]]) -> None:
    """So that the test above cannot pass by seeing nothing."""
    rows = [row for each in checked.values() for row in each]
    failed = [row for row in rows if row["verdict"] == "fail"]
    assert sum(any(row["verdict"] == "fail" for row in each) for each in checked.values()) >= 45
    assert len(failed) >= 150
    assert sum("where" in (row["diagnosis"] or {}) for row in failed) >= 50
