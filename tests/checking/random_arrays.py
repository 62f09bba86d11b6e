"""Wrong arrays behind which there is no mistake that has a name: noise and mixtures, on small nets.

``python tests/checking/random_arrays.py 2000`` checks so many and prints what was named: nothing
may be. ``test_random_arrays.py`` takes a sample.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rnngrad
from checking import public_mistakes as public
from checking.public_mistakes import Net

Arrays = dict[str, np.ndarray]

LEFT_OUT = ("dL_dW_hy", "dL_db_y", "dL_dh", "dL_dc")
ALIKE = 0.02
"""Nearer to a multiple of the right array than two digits can tell."""


class Wrong(NamedTuple):
    """A net, what was given for it, and how it was made."""

    problem: Any
    given: Arrays
    digits: int | None
    how: str


def drawn(number: int) -> Wrong:
    """Everything of one seed."""
    rng = np.random.default_rng([1313, number])
    kind = ("rnn", "sheet", "lstm", "gru", "sheet")[number % 5]
    scalar = number % 5 == 4
    steps, hidden = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    net = Net(steps, hidden, 2, 2, float(rng.choice([0.3, 1.0, 2.0])), number)
    if scalar:
        net = Net(steps, 1, 1, 1, net.scale, number)
    spec = public.spec(kind, net)
    if rng.random() < 0.3:
        spec["h_0"] = np.zeros_like(spec["h_0"])
    right = _answer(public.REFERENCES[kind], kind, spec)
    if rng.random() < 0.7:
        right = {name: array for name, array in right.items() if name not in ("dL_dh", "dL_dc")}
    made = ("noise", "mixture", "noise", "mixture", "noise and mixture")[int(rng.integers(0, 5))]
    if steps == 1:
        made = "noise"  # each array is then a product, and a mixture a multiple of it
    given = right
    if "mixture" in made:
        given = _mixed(given, kind, spec, rng)
        if _is_a_multiple(_row(given), _row(right)):
            given = right
    if "noise" in made:
        size = 10.0 ** rng.uniform(-6, 1)
        given = {name: _noisy(array, size, rng) for name, array in given.items()}
        made += f" {size:.1g}"
    if rng.random() < 0.4:
        one = str(rng.choice(sorted(right)))
        given = right | {one: given[one]}
        made += f", {one} alone"
    given, digits, form = _written(given, rng)
    start = "" if spec["h_0"].any() else " h_0 = 0"
    return Wrong(rnngrad.load(spec), given, digits, f"{kind} {net}{start}: {made}{form}")


def _answer(source: str, kind: str, spec: dict[str, Any]) -> Arrays:
    given = [spec[name] for name in ("weights", "inputs", "targets", "h_0")]
    with np.errstate(all="ignore"):
        got = public.function(source)(*given, **({"c_0": spec["c_0"]} if kind == "lstm" else {}))
    return {name: np.asarray(array) for name, array in got.items()}


def _row(arrays: Arrays) -> np.ndarray:
    """The gradients of what makes the state, in one row: a factor of all is a mistake indeed."""
    parts = [a.ravel() for n, a in arrays.items() if n not in LEFT_OUT]
    return np.concatenate(parts)


def _noisy(array: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    scale = float(np.abs(array).max(initial=0.0)) or 1.0
    return array + size * scale * rng.normal(size=array.shape)


def _mixed(right: Arrays, kind: str, spec: dict[str, Any], rng: np.random.Generator) -> Arrays:
    """A weighted sum of the right arrays and those of one or two mistakes, or of mistakes alone."""
    every = [one for one in public.MISTAKES if one.net == kind]
    some = [every[int(i)] for i in rng.choice(len(every), int(rng.integers(1, 3)), replace=False)]
    sources = [_answer(public.text(one), kind, spec) for one in some]
    if len(sources) < 2 or rng.random() < 0.5:
        sources.append(right)
    weights = rng.dirichlet(np.ones(len(sources)))
    with np.errstate(all="ignore"):
        made = {
            name: np.asarray(sum(w * one[name] for w, one in zip(weights, sources, strict=True)))
            for name in right
        }
    return {name: right[name] if _is_a_multiple(a, right[name]) else a for name, a in made.items()}


def _is_a_multiple(array: np.ndarray, right: np.ndarray) -> bool:
    """Of the right one, so that ``scaled`` would be true; or nothing that can be compared."""
    if not np.isfinite(array).all():
        return True
    scale = max(float(np.abs(array).max()), 1e-300)
    factor = float(np.vdot(right, array) / max(float(np.vdot(right, right)), 1e-300))
    return array.size > 1 and float(np.abs(array - factor * right).max()) <= ALIKE * scale


def _written(given: Arrays, rng: np.random.Generator) -> tuple[Arrays, int | None, str]:
    how = rng.random()
    if how < 0.4:
        digits = int(rng.integers(2, 5))
        return given, digits, f", {digits} digits"
    if how < 0.55:
        return {name: a.astype(np.float32) for name, a in given.items()}, None, ", float32"
    return given, None, ""


def typed(array: np.ndarray, digits: int) -> Any:
    """As somebody types it: so many significant digits of each number."""
    if array.ndim:
        return [typed(one, digits) for one in array]
    return float(f"{float(array):.{digits - 1}e}")


def checked(wrong: Wrong) -> list[dict[str, Any]]:
    """What check says of every array."""
    if wrong.digits is None:
        report: Any = rnngrad.check(wrong.problem, against=wrong.given)
        return list(report["quantities"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.json"
        path.write_text(json.dumps({n: typed(a, wrong.digits) for n, a in wrong.given.items()}))
        report = rnngrad.check(wrong.problem, against=str(path))
    return list(report["quantities"])


def named(rows: list[dict[str, Any]]) -> list[str]:
    """What was named of them."""
    return [
        f"{row['name']}: {public.in_short(row['diagnosis'])}"
        for row in rows
        if row["diagnosis"] and row["diagnosis"]["bug"]
    ]


def main(say: Callable[..., None] = print) -> None:
    """Print what was named, and how much was not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counted: Counter[str] = Counter()
    began = time.process_time()
    for number in range(options.first, options.first + options.count):
        wrong = drawn(number)
        rows = checked(wrong)
        found = named(rows)
        for row in rows:
            told = row["diagnosis"] or {}
            counted["arrays"] += 1
            counted["failed"] += row["verdict"] == "fail"
            counted["candidates"] += bool(told.get("candidates"))
            counted["localised"] += bool(told.get("where")) and not told.get("bug")
            counted["named"] += bool(told.get("bug"))
        counted["drawn"] += 1
        counted["seen"] += any(row["verdict"] == "fail" for row in rows)
        if found:
            counted["nets with a name"] += 1
            say(number, wrong.how, *found, sep="\n    ")
    say(dict(counted), f"{time.process_time() - began:.0f} s CPU")


if __name__ == "__main__":
    main()
