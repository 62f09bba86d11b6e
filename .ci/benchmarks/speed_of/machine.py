"""The machine's own limits, and who runs on it: the ruler beside the figures."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "jax", "torch", "autograd", "numba", "typer")


def limits() -> dict[str, float]:
    """GFLOP/s of matrix products, nanoseconds of one small call: the best of several."""
    rng = np.random.default_rng(0)
    found = {}
    for size in (64, 256):
        A = rng.normal(size=(size, size))
        out = np.empty_like(A)
        seconds = _best(lambda A=A, out=out: np.dot(A, A, out=out), 200)
        found[f"matrix product {size}, GFLOP/s"] = 2 * size**3 / seconds / 1e9
    v, out = rng.normal(size=64), np.empty(64)
    W = rng.normal(size=(64, 64))
    found["matrix-vector product 64, ns"] = 1e9 * _best(lambda: W.dot(v, out), 2000)
    found["ufunc call (add, 4 numbers), ns"] = 1e9 * _best(
        lambda a=v[:4], b=out[:4]: np.add(a, a, b), 2000
    )
    found["tanh of 64 numbers, ns"] = 1e9 * _best(lambda: np.tanh(v, out), 2000)
    return found


def _best(work: object, count: int) -> float:
    assert callable(work)
    best = np.inf
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - start) / count)
    return float(best)


def names() -> dict[str, str]:
    """Processor, Python, and the versions of who takes part."""
    found = {"processor": _processor(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
