"""What this machine offers, found in the child: looking for CUDA loads the driver."""

from __future__ import annotations

from typing import Any

from nbplat.adapters.conda.child_main import Tell

__all__ = ["virtual"]


def virtual(request: dict[str, Any], tell: Tell) -> dict[str, str]:
    """Virtual packages by name; ``CONDA_OVERRIDE_GLIBC`` and its like are heard."""
    from rattler import VirtualPackage, VirtualPackageOverrides

    found = (one.into_generic() for one in VirtualPackage.detect(VirtualPackageOverrides.from_env()))
    return {one.name.normalized: _text(one) for one in found}


def _text(one: Any) -> str:
    # The CPU is told by the build; its version says nothing.
    return str(one.build_string) if one.name.normalized == "__archspec" else str(one.version)
