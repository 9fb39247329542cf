"""What all tests share: how long property tests search (`--hypothesis-profile=fuzz`: long)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("default", deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile(
    "fuzz", max_examples=10_000, deadline=None, suppress_health_check=SLOW_IS_FINE
)
settings.load_profile("default")
