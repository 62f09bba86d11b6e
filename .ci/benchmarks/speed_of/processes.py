"""Whole processes: start-up, a gradient from a file, peak memory. Peers are scripts that do it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import yaml

import rnngrad
from speed_of import naive
from speed_of.cases import case, usual
from speed_of.rows import LARGE, SVDS, named
from speed_of.timing import Work

ROOT = Path(__file__).parents[3]

FOUR_PACKAGES = "import numpy, rich, typer, yaml"

AS_USED = "import numpy, rich.console, rich.table, typer, yaml"
"""``import rich`` alone loads next to nothing of it."""

BARE_TYPER = """
import typer
app = typer.Typer()
@app.command()
def derive(spec: str, quantity: str = "") -> None:
    "Derive."
@app.command()
def check(spec: str) -> None:
    "Check."
@app.command()
def sweep(spec: str) -> None:
    "Sweep."
app()
"""

READ = """
import sys, numpy as np
f = np.load(sys.argv[1])
"""

WITH_JAX = (
    READ
    + """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
def loss(W):
    def step(h, a):
        h = jnp.tanh(a + W @ h)
        return h, h
    h = jax.lax.scan(step, jnp.zeros(len(W)), f["x"] @ f["W_xh"].T + f["b_h"])[1]
    return jnp.sum((f["targets"] - h @ f["W_hy"].T - f["b_y"]) ** 2)
np.save(sys.argv[2], jax.jit(jax.grad(loss))(f["W_hh"]))
"""
)

WITH_TORCH = (
    READ
    + """
import torch
w = {k: torch.tensor(f[k]) for k in f}
rnn = torch.nn.RNN(w["x"].shape[1], len(w["W_hh"]), dtype=torch.float64)
with torch.no_grad():
    rnn.weight_ih_l0.copy_(w["W_xh"]); rnn.weight_hh_l0.copy_(w["W_hh"])
    rnn.bias_ih_l0.copy_(w["b_h"]); rnn.bias_hh_l0.zero_()
y = rnn(w["x"][:, None])[0][:, 0] @ w["W_hy"].T + w["b_y"]
torch.sum((w["targets"] - y) ** 2).backward()
np.save(sys.argv[2], rnn.weight_hh_l0.grad.numpy())
"""
)

SPEC = """
weights: {W_xh: {file: net.npz, key: W_xh}, W_hh: {file: net.npz, key: W_hh},
  b_h: {file: net.npz, key: b_h}, W_hy: {file: net.npz, key: W_hy}, b_y: {file: net.npz, key: b_y}}
inputs: {file: net.npz, key: x}
targets: {file: net.npz, key: targets}
"""


LARGEST = (("derive", (100, 512), 2), ("check", (784, 128), 1), ("check", (100, 512), 2))
"""Verb, (T, H) and layers of lstm: seconds by themselves, 30, 8 and 120 of them wanted."""


class ProcessRow(NamedTuple):
    """``works``: name -> a run of a process; ``check`` gives how far the answers are apart;
    ``left_out``: name -> why it does not take part."""

    name: str
    works: Mapping[str, Work]
    check: Callable[[], float]
    goals: Mapping[str, float]
    left_out: Mapping[str, str] = MappingProxyType({})


def rows(folder: Path, quick: bool) -> Iterator[ProcessRow]:
    """Rows of whole processes; their files go into ``folder``."""
    yield _from_file(folder, (100, 16, 8, 4) if quick else (1000, 64, 32, 16))
    yield from _of_large_nets(folder, quick)
    bare = folder / "bare.py"
    bare.write_text(BARE_TYPER, encoding="utf-8")
    yield ProcessRow(
        "`rnngrad --help`, whole process",
        {
            "rnngrad": _run("-m", "rnngrad", "--help"),
            "a bare Typer app": _run(str(bare), "--help"),
        },
        lambda: 0.0, {"a bare Typer app": 1.3},
    )  # fmt: skip
    sheet = ROOT / "sample_configs" / "exercise_sheet_7.yaml"
    yield ProcessRow(
        "`rnngrad derive` of the sheet, whole process",
        {
            "rnngrad": _run("-m", "rnngrad", "derive", str(sheet)),
            "importing the four packages": _run("-c", FOUR_PACKAGES),
            "importing them, Rich with its tables": _run("-c", AS_USED),
        },
        lambda: 0.0, {"importing the four packages": 2.5},
    )  # fmt: skip


def _from_file(folder: Path, sizes: tuple[int, int, int, int]) -> ProcessRow:
    net = case(sizes)
    np.savez(folder / "net.npz", x=net.x, targets=net.targets, **net.weights)
    spec = folder / "net.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    ours = folder / "rnngrad.npz"
    works = {
        "rnngrad": _run("-m", "rnngrad", "derive", str(spec), "--quantity", "dL_dW_hh",
                        "--save", str(ours), "--force", "--quiet"),
    }  # fmt: skip
    answers, left_out = {}, {}
    for name, package, script in (("JAX", "jax", WITH_JAX), ("PyTorch", "torch", WITH_TORCH)):
        if find_spec(package):
            path, answers[name] = folder / f"with_{package}.py", folder / f"{package}.npy"
            path.write_text(script, encoding="utf-8")
            works[name] = _run(str(path), str(folder / "net.npz"), str(answers[name]))
        else:
            left_out[name] = f"left out: {package} is not installed"

    def check() -> float:
        expected = np.load(ours)["dL_dW_hh"]
        gaps = [np.abs(np.load(path) - expected).max() for path in answers.values()]
        return float(max(gaps, default=0.0) / np.abs(expected).max())

    return ProcessRow(
        f"`derive --quantity dL_dW_hh` from an .npz, whole process, (T, H, I, O) = {sizes}",
        works, check, {"JAX": 0.25, "PyTorch": 0.12}, left_out,
    )  # fmt: skip


def _of_large_nets(folder: Path, quick: bool) -> Iterator[ProcessRow]:
    """``derive`` with everything that it shows unasked, beside the naive chain alone."""
    for cell, at, depth, _, goal in LARGE:
        sizes = (40, 24) if quick else at
        spec = usual(cell, sizes, depth)
        path = folder / f"{cell}.yaml"
        path.write_text(yaml.safe_dump(spec), encoding="utf-8")
        works = {
            "rnngrad": _run("-m", "rnngrad", "derive", str(path)),
            SVDS: _made_when_run(lambda spec=spec: naive.svd_a_step(rnngrad.load(spec))),
        }
        name = f"`derive`, {named(cell, sizes, depth)}, whole process"
        yield ProcessRow(name, works, lambda: 0.0, {SVDS: goal})
    for verb, at, depth in LARGEST:
        sizes = (40, 24) if quick else at
        path = folder / f"{verb}_{at[1]}.yaml"
        path.write_text(yaml.safe_dump(usual("lstm", sizes, depth)), encoding="utf-8")
        name = f"`{verb}`, {named('lstm', sizes, depth)}, whole process"
        yield ProcessRow(name, {"rnngrad": _run("-m", "rnngrad", verb, str(path))}, lambda: 0.0, {})


def _made_when_run(make: Callable[[], Work]) -> Work:
    made: list[Work] = []

    def work() -> object:
        if not made:
            made.append(make())
        return made[0]()

    return work


def _run(*arguments: str) -> Work:
    def work() -> None:
        subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, env=_environment(),
                       stdout=subprocess.DEVNULL)  # fmt: skip

    return work


def _environment() -> dict[str, str]:
    """With bytecode kept, as of an installed package: else rnngrad alone would be compiled anew."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(ROOT)}


def peak_memory(quick: bool) -> dict[str, float]:
    """MiB at the most: the interpreter with NumPy, and derive of a long sequence."""
    steps, hidden = (2000, 16) if quick else (100_000, 64)
    spec = (
        f"weights: {{W_xh: {{init: normal, std: 0.3}}, W_hh: {{init: gaussian, gain: 0.9}}}}\n"
        f"sizes: {{inputs: 1, hidden: {hidden}}}\n"
        f"inputs: {{random: normal, steps: {steps}}}\ntargets: {{zeros: {steps}}}\n"
    )
    run = ["-m", "rnngrad", "derive", "-", "--quantity", "dL_dW_hh", "--quantity", "log10_chain"]
    return {
        "the interpreter with NumPy": _peak(["-c", "import numpy"], ""),
        f"derive dL_dW_hh and log10_chain, T = {steps}, H = {hidden}": _peak(run, spec),
    }


LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
"""A child's peak includes that of whoever forked it: so a small process does."""


def _peak(arguments: list[str], text: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, sys.executable, *arguments], input=text, check=True,
        cwd=ROOT, capture_output=True, text=True, env=_environment(), encoding="utf-8",
    )  # fmt: skip
    peak, status = map(int, done.stdout.split())
    if status:
        raise RuntimeError(f"{arguments} ended in {status}: {done.stderr}")
    return peak / 1024
