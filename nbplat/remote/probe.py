"""What an interpreter and its machine have: run in any Python, answers as JSON. Standard library only.

As a file (``python -I probe.py '{"imports": ["pandas"]}'``) it prints one line; imported, `probe` gives the record:

    probe: `FORMAT`.
    python, implementation, soabi: ``3.11.7``, ``cpython``, ``cpython-311-x86_64-linux-gnu``.
    executable, prefix: Paths there.
    node: Name of the machine.
    platform: Conda's name of it, ``linux-64``; empty for one that conda does not know.
    kernel, glibc, macos, cuda: Versions; empty where there is none. `cuda` is the newest that the driver serves.
    cpu: ``x86_64``, ``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4``; empty on other processors.
    packages: Name -> ``[version, build, "conda" or "pip"]``; pip packages have no build.
    demands: Name -> what the package asks of the machine, as conda spells it: ``__glibc >=2.28``.
    limits: Likewise, but asked only where the machine has such a thing at all: ``__cuda >=12``.
    imports: Module asked for -> ``[distribution, version]``, both empty for the standard library and for modules of no
        distribution; null when it cannot be found.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "conda_platform", "cpu_level", "main", "normal_name", "probe", "probe_rows"]

FORMAT = 1

_PLATFORMS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "ppc64le"): "linux-ppc64le",
    ("linux", "riscv64"): "linux-riscv64",
    ("linux", "s390x"): "linux-s390x",
    ("darwin", "x86_64"): "osx-64",
    ("darwin", "arm64"): "osx-arm64",
    ("win32", "amd64"): "win-64",
    ("win32", "arm64"): "win-arm64",
}
# The x86-64 psABI's levels, by the names that Linux gives the flags; each level includes those below it.
_LEVELS = (
    ("x86_64_v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    ("x86_64_v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    ("x86_64_v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
)
_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
# Modules whose distribution has another name; others are found by what distributions say they install.
_OTHER_NAMES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def probe(imports: Iterable[str] = (), *, packages: bool = True) -> dict[str, Any]:
    """Look around.

    Args:
        imports: Top-level modules to look for; none is imported.
        packages: List packages and what they ask of the machine; without it the three mappings are empty.
    """
    wanted = sorted(set(imports))
    found = _distributions() if packages or wanted else {}
    conda = _conda_records() if packages else []
    listed = {}
    demands: dict[str, list[str]] = {}
    limits: dict[str, list[str]] = {}
    if packages:
        for name, (version, folder) in found.items():
            listed[name] = [version, "", "pip"]
            asked = _wheel_demand(folder)
            if asked:
                demands[name] = [asked]
    for record in conda:
        name = str(record.get("name", ""))
        plain = normal_name(name)
        # A distribution of the same name is what this package has installed: it is named once, with its build.
        listed.pop(plain, None)
        of_wheel = demands.pop(plain, [])
        listed[name] = [str(record.get("version", "")), str(record.get("build", "")), "conda"]
        asks = [str(each) for each in record.get("depends") or () if str(each).startswith("__")]
        allows = [str(each) for each in record.get("constrains") or () if str(each).startswith("__")]
        # One made from a wheel may say nothing itself.
        asks += [each for each in of_wheel if not any(one.startswith("__glibc") for one in asks)]
        if asks:
            demands[name] = asks
        if allows:
            limits[name] = allows
    return {
        "probe": FORMAT,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "node": platform.node(),
        "platform": conda_platform(sys.platform, platform.machine()),
        "kernel": platform.release() if sys.platform == "linux" else "",
        "glibc": _glibc(),
        "macos": platform.mac_ver()[0] if sys.platform == "darwin" else "",
        "cuda": _cuda(),
        "cpu": _cpu(),
        "packages": listed,
        "demands": demands,
        "limits": limits,
        "imports": {name: _provider(name, found) for name in wanted},
    }


def conda_platform(system: str, machine: str) -> str:
    """Conda's name of a platform; empty when it has none."""
    return _PLATFORMS.get((system, machine.lower()), "")


def cpu_level(flags: Iterable[str]) -> str:
    """The highest x86-64 level whose flags (and those of the levels below) are all there."""
    has = set(flags)
    level = "x86_64"
    for name, needed in _LEVELS:
        if not has.issuperset(needed.split()):
            break
        level = name
    return level


def normal_name(name: str) -> str:
    """A distribution's name as indexes compare it: ``Scikit_Learn`` is ``scikit-learn``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _cpu() -> str:
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "x86_64"
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return cpu_level(found[1].split() if found else ())


def _glibc() -> str:
    try:
        said = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""
    return said.partition(" ")[2]


def _cuda() -> str:
    """What conda calls ``__cuda``: asked of the driver's own library, which needs no toolkit and no device."""
    if sys.platform != "linux":
        return ""
    import ctypes

    try:
        number = ctypes.c_int()
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)) != 0:
            return ""
    except (OSError, AttributeError):
        return ""
    return f"{number.value // 1000}.{number.value % 1000 // 10}" if number.value else ""


def _conda_records() -> list[dict[str, Any]]:
    records = []
    for path in sorted(Path(sys.prefix, "conda-meta").glob("*.json")):
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # half-written or foreign: `env verify` is who judges files
    return records


def _distributions() -> dict[str, tuple[str, Path]]:
    """Normalised name -> version and metadata folder; the first on the path wins, as when importing.

    Names and versions are those of the folders: reading every METADATA would take a large environment a second.
    """
    found: dict[str, tuple[str, Path]] = {}
    for entry in sys.path:
        try:
            inside = sorted(Path(entry or ".").iterdir())
        except OSError:
            continue
        for folder in inside:
            if folder.suffix not in (".dist-info", ".egg-info"):
                continue
            name, _, version = folder.stem.partition("-")
            version = version.partition("-")[0]
            if name and version:
                found.setdefault(normal_name(name), (version, folder))
    return found


def _wheel_demand(folder: Path) -> str:
    """The glibc that a wheel was built for, as conda would ask for it; empty when its tags name none."""
    try:
        text = (folder / "WHEEL").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    least: tuple[int, int] | None = None
    for tag in re.findall(r"^Tag:\s*\S+-(\S+)$", text, re.MULTILINE):
        for one in tag.split("."):
            named = re.match(r"manylinux_(\d+)_(\d+)_", one)
            version = (int(named[1]), int(named[2])) if named else _MANYLINUX.get(one.partition("_")[0])
            if version is not None and (least is None or version < least):
                least = version
    return f"__glibc >={least[0]}.{least[1]}" if least else ""


def _provider(module: str, found: dict[str, tuple[str, Path]]) -> list[str] | None:
    import importlib.util

    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return None
    standard: Any = getattr(sys, "stdlib_module_names", ())
    if module in standard or module in sys.builtin_module_names:
        return ["", ""]
    for name in (normal_name(module), _OTHER_NAMES.get(module, "")):
        if name in found:
            return [name, found[name][0]]
    for name, (version, folder) in found.items():
        if _installs(folder, module):
            return [name, version]
    return ["", ""]


def _installs(folder: Path, module: str) -> bool:
    """Whether a distribution says that it brings this top-level module."""
    try:
        return module in (folder / "top_level.txt").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        pass
    try:
        listed = (folder / "RECORD").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(rf"^{re.escape(module)}(/|\.py,|\.[^/,]*\.(so|pyd),)", listed, re.MULTILINE) is not None


def probe_rows(rows: Iterable[Any]) -> Iterator[str]:
    """What a worker of a cluster answers, whatever it is given: one record as JSON text."""
    for _ in rows:
        pass
    yield json.dumps(probe())


def main() -> int:
    """Answer one question, given as JSON in the first argument."""
    asked = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    sys.stdout.write(json.dumps(probe(asked.get("imports", ()), packages=asked.get("packages", True))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
