"""Guards the lock: no addresses or options in it, a hash for every name, and every dependency of pyproject.toml held.

``--text-only`` leaves out the last part, which needs `packaging` (a fresh machine that locks may not have it).
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The extras each set is solved with, as in lock.sh.
SETS: dict[str, tuple[str, ...]] = {
    "base": (),
    "demo": ("sklearn",),
    "test": ("sklearn", "numba", "xgboost", "spark", "ray", "sparkmagic", "postgres", "s3", "test"),
    "all": ("spark", "ray", "sparkmagic", "sklearn", "numba", "xgboost", "postgres", "s3", "test"),
}
LARGER = (("base", "demo"), ("demo", "test"), ("test", "all"))
PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^ ;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?", re.MULTILINE)


def pins(text: str) -> dict[str, list[str]]:
    """Versions by normalized name; a name has several where they differ by Python version."""
    found: dict[str, list[str]] = {}
    for match in PIN.finditer(text):
        found.setdefault(normal(match["name"]), []).append(match["version"])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def text_faults(name: str, text: str) -> list[str]:
    """Lines a lock must not hold: addresses, pip's options, names without a hash."""
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        if "://" in line or line.startswith("-"):
            faults.append(f"{name}:{number}: an address or an option: {line.strip()}")
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    faults += [f"{name}: no hash: {e.splitlines()[0]}" for e in entries if e.strip() and "--hash=sha256:" not in e]
    return faults


def held_faults(name: str, locked: dict[str, list[str]], wanted: list[str]) -> list[str]:
    """Dependencies that the lock does not hold in a fitting version."""
    from packaging.requirements import Requirement

    faults = []
    for requirement in map(Requirement, wanted):
        versions = locked.get(normal(requirement.name))
        if versions is None:
            faults.append(f"{name}: {requirement.name} is not locked")
        elif not all(requirement.specifier.contains(version, prereleases=True) for version in versions):
            faults.append(f"{name}: {requirement.name} {', '.join(versions)} does not fit {requirement.specifier}")
    return faults


def main(arguments: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    faults: list[str] = []
    locked: dict[str, dict[str, list[str]]] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        faults += text_faults(f"requirements/{path.name}", path.read_text())
        locked[path.stem] = pins(path.read_text())
    for name, extras in SETS.items():
        wanted = [*project["dependencies"]]
        for extra in extras:
            wanted += project["optional-dependencies"][extra]
        if "--text-only" not in arguments:
            faults += held_faults(f"requirements/{name}.txt", locked[name], wanted)
    for small, large in LARGER:
        for package, versions in locked[small].items():
            if locked[large].get(package) != versions:
                faults.append(f"requirements/{large}.txt: {package} is not as in {small}.txt ({', '.join(versions)})")
    for fault in faults:
        print(fault)
    if faults:
        print("Fix: make lock")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
