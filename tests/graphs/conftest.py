"""Hypothesis runs the same examples every time; a long run with other examples is marked slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "pullback",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("pullback")
