"""Every test, dealt by module to a process per core; the few that fail there once more, one after the other.

Heavy parts are real here (JVMs, Ray, browsers, killed services), several at once, on machines that others may share.
A test that fails among the others and passes on its own is named as unsteady, with its first failure above; one that
fails twice fails the run. Many failures are no matter of company: they are not tried again.
See docs/decisions/0024-a-second-try-alone.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_FAILED = Path(".pytest_cache/v/cache/lastfailed")
_MOST = 3
# Modules and not tests are dealt: what a module shares is started once. Four processes: each may start Spark and Ray.
_DEALT = ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
_TESTS_FAILED = 1


def _pytest(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *words], check=False).returncode


def main(words: list[str]) -> int:
    """Run with pytest's further words; pytest's exit code, or 0 where all that failed passed alone."""
    _FAILED.unlink(missing_ok=True)
    code = _pytest(*_DEALT, *words)
    if code != _TESTS_FAILED or not _FAILED.exists():
        return code
    failed = sorted(json.loads(_FAILED.read_text(encoding="utf-8")))
    if not 0 < len(failed) <= _MOST:
        return code
    print(f"\n{len(failed)} failed among the others; once more, alone:\n  " + "\n  ".join(failed), flush=True)
    again = _pytest("--last-failed", "--last-failed-no-failures", "none", *words)
    if again == 0:
        print("\nUNSTEADY (failed among the others, passed alone):\n  " + "\n  ".join(failed), flush=True)
    return again


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
