"""What all tests share: Hypothesis without a clock, since a timed test proves nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rnngrad", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("rnngrad")
