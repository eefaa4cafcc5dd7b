"""What a lock holds and what it changed, as a record for every surface."""

from __future__ import annotations

from typing import Any

from nbplat.environment.lock_diff import diff_locks
from nbplat.environment.lock_record import Lock

__all__ = ["lock_report"]


def lock_report(lock: Lock, old: Lock | None) -> dict[str, Any]:
    """JSON form.

    Returns:
        ``digest``, ``platforms`` (packages, Python and bytes of each), ``first`` (there was no lock before), ``diff``
        (`LockDiff.record`) and ``changes`` (its lines; empty when nothing changed).
    """
    diff = diff_locks(old, lock)
    return {
        "name": lock.name,
        "digest": lock.digest,
        "platforms": {
            name: {
                "packages": len(found.conda) + len(found.pip) + len(found.local),
                "conda": len(found.conda),
                "pip": len(found.pip),
                "local": len(found.local),
                "python": found.python,
                "bytes": sum(one.size for one in found.conda) + sum(one.size for one in found.pip),
                "virtual": dict(found.virtual),
            }
            for name, found in sorted(lock.platforms.items())
        },
        "first": old is None,
        "diff": diff.record(),
        "changes": diff.text().splitlines() if diff else [],
    }
