"""Memory is asked for before it is taken: the estimates against real peaks, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import SHEET, run
from rnngrad import memory
from rnngrad.analyses.checking.batches import check_given
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.analyses.memory import PROCESS, of_against, of_derive
from rnngrad.arithmetic.arrays import keep_freed_memory
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

    def work() -> None:
        result = rnngrad.derive(problem)
        arrays = computed(result, selection, every=True)
        for _ in render(report(result, selection, arrays), Screen()):
            pass

    told = of_derive(problem, selection.names, arrays=True, in_full=full) - PROCESS
    assert 0.5 < told / peak(work) < 2


def peak(work: Callable[[], object]) -> int:
    """Bytes that it takes at most."""
    tracemalloc.start()
    kept = work()
    most = tracemalloc.get_traced_memory()[1]
    del kept
    tracemalloc.stop()
    return most


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("cell", "steps", "hidden", "more"),
    [
        ("rnn", 1000, 16, {"direction": "both"}),
        ("lstm", 400, 32, {"direction": "both"}),
        ("rnn", 200, 32, {"direction": "both", "batch": "first"}),
        ("lstm", 100, 32, {"direction": "both", "batch": "first"}),
        ("rnn", 200, 32, {"batch": "first"}),
        ("lstm", 100, 32, {"batch": "first"}),
        ("lstm", 400, 32, {}),
    ],
)
def test_the_estimates_of_other_nets_and_of_a_comparison(
    cell: str, steps: int, hidden: int, more: dict[str, str]
) -> None:
    keep_freed_memory()  # which takes much, and writes nothing to it
    ways = ("", "_reverse") if "direction" in more else ("",)
    weights = {f"{name}{way}": {"init": "gaussian"} for name in ("W_xh", "W_hh") for way in ways}
    rows = np.random.default_rng(0).normal(size=(6, steps, 3) if "batch" in more else (steps, 3))
    net = {"cell": cell, "sizes": {"hidden": hidden}, "inputs": rows, "targets": rows,
           "weights": {**weights, "W_hy": {"init": "gaussian"}}, **more}  # fmt: skip
    problem = rnngrad.load(net)
    result = rnngrad.derive(problem)
    names = [name for name in result if name != "log10_paths"]
    told = of_derive(problem, names, arrays=True, in_full=False) - PROCESS
    if more:
        taken = peak(lambda: (again := rnngrad.derive(problem), [again[name] for name in names]))
        assert 0.5 < told / taken < 2
    arrays = {name: result[name] for name in names if "log10" not in name and name != "dht_dhprev"}
    told = of_against(problem, arrays) - PROCESS
    assert 0.5 < told / peak(lambda: check_given(problem, arrays)) < 2


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


def test_of_a_bidirectional_net_and_of_a_comparison_too(tmp_path: Path) -> None:
    spec, saved = str(tmp_path / "net.yaml"), str(tmp_path / "net.npz")
    Path(spec).write_text(
        "direction: both\nsizes: {hidden: 2, inputs: 1}\nactivation: tanh\n"
        "inputs: {random: normal, steps: 4}\ntargets: {random: normal}\nweights:\n"
        "  {W_xh: {init: gaussian}, W_hh: {init: gaussian}, W_xh_reverse: {init: gaussian},"
        " W_hh_reverse: {init: gaussian}}\n"
    )
    assert run("derive", spec, "--save", saved, "-q").returncode == 0
    for words in (("derive", spec), ("check", spec, "--against", saved)):
        done = run(*words, "--max-memory", "30M")
        assert (done.returncode, done.stdout) == (2, "")
        assert "and may take 30 MiB (--max-memory); " in done.stderr
        assert run(*words, "--max-memory", "1G").returncode == 0


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
