"""Conda's words for machines: platforms, and the virtual packages that say what a machine offers."""

from __future__ import annotations

__all__ = ["PLATFORMS", "VIRTUAL"]

PLATFORMS = (
    "linux-64",
    "linux-aarch64",
    "linux-ppc64le",
    "linux-riscv64",
    "linux-s390x",
    "osx-64",
    "osx-arm64",
    "win-64",
    "win-arm64",
)

VIRTUAL = ("__archspec", "__cuda", "__glibc", "__linux", "__osx", "__unix", "__win")
