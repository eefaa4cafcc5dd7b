"""Which distributions of the Python index conda packages are, by name: what pip must leave alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType

from nbplat.environment.lock_record import CondaPackage

__all__ = ["distributions_of"]

_OTHER_NAMES = MappingProxyType(
    {
        "brotli-python": "brotli",
        "dask-core": "dask",
        "faiss": "faiss-cpu",
        "matplotlib-base": "matplotlib",
        "msgpack-python": "msgpack",
        "numpy-base": "numpy",
        "opencv": "opencv-python",
        "py-opencv": "opencv-python",
        "py-xgboost": "xgboost",
        "pyarrow-core": "pyarrow",
        "pytables": "tables",
        "python-build": "build",
        "python-duckdb": "duckdb",
        "python-flatbuffers": "flatbuffers",
        "python-graphviz": "graphviz",
        "python-tzdata": "tzdata",
        "python-xxhash": "xxhash",
        "pytorch": "torch",
        "pytorch-cpu": "torch",
        "pytorch-gpu": "torch",
        "ray-core": "ray",
        "ray-default": "ray",
        "tensorflow-base": "tensorflow",
    }
)
"""Conda -> index, where the names differ. A package that is missing here is only found at build time."""

_NO_DISTRIBUTION = frozenset({"python", "python_abi", "pypy", "cpython"})


def distributions_of(packages: Iterable[CondaPackage]) -> dict[str, str]:
    """Normalised name -> version of the Python distributions among conda packages.

    A package counts when it is Python's (noarch python) or needs Python; a C library of the same name as some
    distribution (``graphviz``) does not.
    """
    found = {}
    for one in packages:
        needs = {spec.split(" ", 1)[0] for spec in one.depends}
        if one.name not in _NO_DISTRIBUTION and (one.noarch == "python" or needs & {"python", "python_abi"}):
            name = _OTHER_NAMES.get(one.name, one.name)
            found[re.sub(r"[-_.]+", "-", name).lower()] = one.version
    return found
