"""One BLAS thread, unless the user's environment says otherwise: the one place that sees to it."""

from __future__ import annotations

import os

BLAS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
"""What the libraries behind NumPy read when they are loaded."""


def one_blas_thread() -> None:
    """Let BLAS stay on one core, unless the user says otherwise; to be called before NumPy is
    imported. Products of 64 × 64 gain nothing from a second thread, and threads that wait for a
    busy core made H = 128 fifty times slower."""
    if not any(name in os.environ for name in BLAS):
        os.environ.update(dict.fromkeys(BLAS, "1"))
