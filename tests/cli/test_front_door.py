"""The quick way in reads a command line as Typer does, or leaves it to Typer."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rnngrad.cli.app import COMMANDS
from rnngrad.cli.front_door import arguments, plain_call

PLAIN = [
    ["derive", "net.yaml"],
    ["derive", "-"],
    ["derive", "net.yaml", "--json", "--full"],
    ["derive", "--quantity", "y", "net.yaml", "--quantity=h", "--step", "3", "-q"],
    [
        "derive",
        "net.yaml",
        "--set",
        "weights.W_hh=[[1, 2]]",
        "--set=h_0=-1",
        "-o",
        "x",
        "-f",
        "csv",
    ],
    ["derive", "net.yaml", "--save", "a/b.npz", "--force", "--no-color", "--output=-"],
    ["check", "net.yaml", "--against", "a.npz", "--rtol", "1e-6", "--random=5", "--hide-expected"],
    ["check", "net.yaml", "--set="],
    ["sweep", "a.yaml", "--whh-scale", "1"],
    ["sweep", "a.yaml", "--whh-scale=1:2:3", "-", "-q", "b.yaml", "--gate", "f", "--jobs", "2"],
    ["init"],
    ["schema", "-o", "schema.json"],
]
NOT_PLAIN = [
    [],
    ["--help"],
    ["--version"],
    ["--debug", "derive", "net.yaml"],
    ["nothing"],
    ["derive"],
    ["derive", "--help"],
    ["derive", "a", "b"],
    ["derive", "net.yaml", "--nope"],
    ["derive", "net.yaml", "--json=yes"],
    ["derive", "net.yaml", "--step", "three"],
    ["derive", "net.yaml", "--step"],
    ["derive", "net.yaml", "--step", "1", "--step", "2"],
    ["derive", "net.yaml", "-ox"],
    ["derive", "net.yaml", "-o", "--json"],
    ["derive", "--", "net.yaml"],
    ["sweep", "--whh-scale", "1"],
    ["sweep", "a.yaml", "b.yaml"],
]


def typers_reading(words: list[str]) -> dict[str, object] | None:
    """What Typer makes of the words: the arguments it calls the command with."""
    calls: list[dict[str, object]] = []
    app = typer.Typer()
    for name, command in COMMANDS.items():

        @functools.wraps(command)
        def record(**values: object) -> None:
            calls.append(values)

        app.command(name)(record)
    CliRunner().invoke(app, words)
    return calls[0] if calls else None


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_the_same_reading(words: list[str]) -> None:
    ours = arguments(COMMANDS[words[0]], words[1:])
    assert ours == typers_reading(words)
    assert plain_call(words, COMMANDS) is not None


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_what_is_left_to_typer(words: list[str]) -> None:
    assert plain_call(words, COMMANDS) is None


WORDS = st.sampled_from(
    ["net.yaml", "-", "--json", "--full", "-q", "--quantity", "--step", "3", "-o", "x", "--set",
     "a=b", "--set=a=b", "--step=2", "--nope", "-x", "--", "", "--force", "--format", "csv", "-h"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=6))
def test_any_words(words: list[str]) -> None:
    """Either left to Typer, or read as Typer reads them."""
    call = plain_call(["derive", *words], COMMANDS)
    if call is not None:
        assert arguments(COMMANDS["derive"], words) == typers_reading(["derive", *words])


@given(st.lists(WORDS | st.sampled_from(["--whh-scale", "--gate=f", "b.yaml"]), max_size=8))
def test_any_words_with_any_number_of_specs(words: list[str]) -> None:
    line = ["sweep", "--whh-scale=1", *words]
    if plain_call(line, COMMANDS) is not None:
        assert arguments(COMMANDS["sweep"], line[1:]) == typers_reading(line)


def test_completion_is_typers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RNNGRAD_COMPLETE", "complete_bash")
    assert plain_call(["derive", "net.yaml"], COMMANDS) is None


def test_paths_are_paths() -> None:
    assert arguments(COMMANDS["derive"], ["x", "--save", "a.npz"])["save"] == Path("a.npz")
