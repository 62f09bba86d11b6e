"""What all tests share: Hypothesis without a clock, since a timed test proves nothing, and one BLAS
thread, since two on a machine that runs several tests wait for each other twenty times as long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # read when NumPy is imported, by child processes too

settings.register_profile(
    "rnngrad", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("rnngrad")
