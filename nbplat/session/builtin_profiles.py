"""The profiles that every site has until it declares its own under their names."""

from __future__ import annotations

from typing import Any

from nbplat.session.small_jobs import small_job_conf

__all__ = ["builtin_profiles"]


def builtin_profiles(cores: int) -> dict[str, dict[str, Any]]:
    """As `nbplat.session.profile_reading.read_profiles` takes them.

    Args:
        cores: Of a small job's executors.
    """
    small = {key: setting.value for key, setting in small_job_conf(cores).items()}
    return {
        "default": {"about": "Spark's own settings and the site's"},
        "small": {"about": "quick answers on little data: few tasks, a JVM that starts sooner", "conf": small},
    }
