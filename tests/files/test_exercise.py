"""Fresh exercises: the same from the same seed, readable, and with something to derive."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from cli.running import run as cli
from rnngrad.cells import NAMES
from rnngrad.errors import UsageError
from rnngrad.files.starters.exercise import LEAST, MOST, Sizes, exercise
from rnngrad.net.problem import Problem


def net(seed: int, sizes: Sizes = Sizes(), cell: str = "rnn") -> Problem:  # noqa: B008
    return rnngrad.load(yaml.safe_load(exercise(seed, sizes, cell)))


def test_a_seed_is_an_exercise() -> None:
    texts = [exercise(seed) for seed in range(30)]
    assert texts == [exercise(seed) for seed in range(30)]
    assert len(set(texts)) == 30
    assert exercise(-5) != exercise(5)


def test_its_first_line_is_the_command_that_draws_it_again() -> None:
    options = ["--seed", "3", "--steps", "2", "--hidden", "2", "--cell", "gru"]
    for asked in (options, ["--seed", "3", "--scalar"], ["--seed", "4"]):
        text = cli("init", "--exercise", *asked).stdout
        command = next(line for line in text.splitlines() if "drawn from" in line)
        again = command.partition(": rnngrad ")[2].split()
        assert again[2:] == asked
        assert cli(*again).stdout == text


@pytest.mark.parametrize("seed", range(20))
def test_numbers_can_be_typed(seed: int) -> None:
    text = re.sub(r"^#.*$|^name:.*$", "", exercise(seed), flags=re.M)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    assert len(numbers) > 8
    assert all(len(number.strip("-").replace(".", "")) <= 2 for number in numbers)


@pytest.mark.parametrize("seed", range(20))
def test_there_is_something_to_derive(seed: int) -> None:
    problem = net(seed)
    assert problem.h_0.all()
    result = rnngrad.derive(problem)
    for name in ("dL_dy", "dLt_dht", "dL_dW_xh", "dL_dW_hh"):
        rows = result[name] if name[:5] != "dL_dW" else result[name][np.newaxis]
        for row in rows:
            assert LEAST <= np.linalg.norm(row) <= MOST, name


def test_exercises_differ_in_more_than_numbers() -> None:
    nets = [net(seed) for seed in range(60)]
    seen: dict[str, set[Any]] = {
        "steps": {n.steps for n in nets}, "hidden": {n.hidden for n in nets},
        "inputs": {n.inputs for n in nets}, "outputs": {n.outputs for n in nets},
        "activation": {n.activation.name for n in nets},
        "output": {n.output.name for n in nets}, "loss": {n.loss.name for n in nets if n.loss},
    }  # fmt: skip
    assert all(len(values) >= 3 for values in seen.values()), seen


def test_sizes_are_those_that_are_asked_for() -> None:
    problem = net(4, Sizes(5, 2, 3, 1))
    assert (problem.steps, problem.inputs, problem.hidden, problem.outputs) == (5, 2, 3, 1)


@pytest.mark.parametrize("cell", NAMES)
def test_every_cell_has_exercises(cell: str) -> None:
    problem = net(1, Sizes(2), cell)
    assert problem.cell.name == net(2, Sizes(2), cell).cell.name
    assert all(array.all() for array in (problem.h_0, problem.x))


def test_a_size_out_of_range_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="--outputs 17: an exercise has 1 to 16"):
        exercise(0, Sizes(outputs=17))
