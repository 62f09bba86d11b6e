"""Memory is asked for before it is taken: the estimates against real peaks, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnngrad
from cli.running import SHEET, run
from rnngrad import memory
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.analyses.memory import PROCESS, of_derive
from rnngrad.views.derivation.report import report
from rnngrad.views.formats.to_json import render
from rnngrad.views.report import Screen


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    memory.allow(None)


@pytest.mark.parametrize(
    ("steps", "hidden", "full"), [(300, 64, False), (60, 16, True), (800, 4, False)]
)
def test_the_estimate_is_within_a_factor_of_two(steps: int, hidden: int, full: bool) -> None:
    """Without what Python and NumPy take, which would make it easy."""
    weights = {name: {"init": "gaussian"} for name in ("W_xh", "W_hh")}
    sizes = {"inputs": 2, "hidden": hidden}
    drawn = {"random": "normal", "steps": steps}
    net = {"sizes": sizes, "weights": weights, "inputs": drawn, "targets": drawn}
    problem = rnngrad.load(net)
    selection = select(rnngrad.derive(problem), (), None, full)
    tracemalloc.start()
    result = rnngrad.derive(problem)
    arrays = computed(result, selection, every=True)
    for _ in render(report(result, selection, arrays), Screen()):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    told = of_derive(problem, selection.names, arrays=True, in_full=full) - PROCESS
    assert 0.5 < told / peak < 2, (told, peak)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("derive", SHEET), "a smaller T"),
        (("derive", SHEET, "--json"), "--quantity NAME"),
        (("derive", SHEET, "--json", "--full"), "--save"),
        (("check", SHEET), "a smaller T"),
        (("sweep", SHEET, "--whh-scale", "1"), "fewer points"),
    ],
)
def test_what_takes_more_is_refused(words: tuple[str, ...], said: str) -> None:
    done = run(*words, "--max-memory", "30M")
    assert (done.returncode, done.stdout) == (2, "")
    assert "and may take 30 MiB (--max-memory); " in done.stderr
    assert said in done.stderr
    assert run(*words[:2], "--max-memory", "9e9", *words[2:]).returncode == 2


def test_python_raises_it_and_loading_asks_as_well() -> None:
    """In words that are Python's."""
    problem = rnngrad.load(SHEET)
    memory.allow("1M")
    with pytest.raises(
        rnngrad.MemoryLimitError, match="check of 'exercise_sheet_7' takes some"
    ) as check:
        rnngrad.check(problem)
    assert "1 MiB (rnngrad.memory.allow); a smaller T" in str(check.value)
    with pytest.raises(rnngrad.MemoryLimitError) as sweep:
        rnngrad.sweep(problem, [1])
    net = {"weights": {"W_xh": 1, "W_hh": 1}, "inputs": {"zeros": 10**6}}
    with pytest.raises(rnngrad.SpecError, match="take 8 MiB, and may take 1 MiB; ") as load:
        rnngrad.load(net)
    for raised in (check, sweep, load):
        assert str(raised.value).endswith("; rnngrad.memory.allow('SIZE') allows more")
        assert "--" not in str(raised.value)


@pytest.mark.parametrize(
    ("limit", "now", "left"), [("1000", "300", 720.0), ("max", "300", float("inf"))]
)
def test_a_container_has_what_its_limit_leaves(
    limit: str, now: str, left: float, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(limit + "\n")
    (tmp_path / "memory.current").write_text(now + "\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 20\n")
    assert memory._of_the_group(tmp_path) == left
    assert 0 < memory.free() <= memory._of_the_machine()
