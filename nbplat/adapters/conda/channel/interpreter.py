"""Asks an interpreter where it keeps its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from nbplat.environment.channel.interpreter import Interpreter
from nbplat.errors import SetupError

__all__ = ["ask_interpreter"]

# Runs in the interpreter itself, any Python 3; -I keeps the caller's variables and folder out of the answer.
_QUESTION = """
import json, os, platform, site, sys, sysconfig
get = sysconfig.get_config_var
base = {"base": sys.base_prefix, "installed_base": sys.base_prefix, "installed_platbase": sys.base_prefix}
info = sys.implementation.version
print(json.dumps({
    "version": platform.python_version(),
    "minor": "%d.%d" % sys.version_info[:2],
    "base": sys.base_prefix,
    "executable": sys.executable,
    "stdlib": sysconfig.get_path("stdlib", vars=base),
    "include": sysconfig.get_path("include", vars=base),
    "libdir": get("LIBDIR") or "",
    "library": (get("INSTSONAME") or "") if get("Py_ENABLE_SHARED") else "",
    "free_threaded": bool(get("Py_GIL_DISABLED")),
    "sites": [one for one in sys.path if os.path.basename(one) in ("site-packages", "dist-packages")],
    "platlibdir": sys.platlibdir,
    "debian": any("dist-packages" in one for one in site.getsitepackages()),
    "build": " ".join(sys.version.split()),
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": "%d.%d.%d" % (info.major, info.minor, info.micro),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": "%d.%d" % sys.version_info[:2],
        "sys_platform": sys.platform,
    },
}))
"""
_LIMIT_S = 60


def ask_interpreter(path: str = "") -> Interpreter:
    """Ask an interpreter; empty asks the one that runs this.

    Raises:
        SetupError: ``env.channel.python``: it does not run, is no CPython, or keeps its packages where no conda
            environment does.
    """
    program = path or sys.executable
    try:
        ran = subprocess.run(
            [program, "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
        told = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise _unfit(f"{program} does not answer as a Python interpreter ({type(exc).__name__})", program) from None
    if told["markers"]["implementation_name"] != "cpython" or told["free_threaded"]:
        raise _unfit(f"{program} is {told['build']}: only ordinary CPython is packaged", program)
    if told["debian"] or told["platlibdir"] != "lib":
        where = "dist-packages" if told["debian"] else told["platlibdir"]
        raise _unfit(
            f"{program} is the system's Python: it keeps packages in {where}, where no conda environment has them",
            program,
        )
    return Interpreter(
        version=told["version"],
        minor=told["minor"],
        base=Path(told["base"]),
        executable=Path(told["executable"]),
        subdir=_subdir(told["markers"]["sys_platform"], told["markers"]["platform_machine"]),
        stdlib=Path(told["stdlib"]),
        include=Path(told["include"]),
        libdir=Path(told["libdir"] or told["base"] + "/lib"),
        library=told["library"],
        build=told["build"],
        sites=tuple(Path(one) for one in told["sites"]),
        markers=told["markers"],
    )


def _subdir(system: str, machine: str) -> str:
    names = {
        ("linux", "x86_64"): "linux-64",
        ("linux", "aarch64"): "linux-aarch64",
        ("linux", "ppc64le"): "linux-ppc64le",
        ("darwin", "x86_64"): "osx-64",
        ("darwin", "arm64"): "osx-arm64",
    }
    try:
        return names[system, machine]
    except KeyError:
        raise SetupError(
            "env.channel.platform",
            f"no conda platform is known for {system} on {machine}",
            fix=f"make the channel on one of {', '.join(sorted(names.values()))}",
        ) from None


def _unfit(message: str, program: str) -> SetupError:
    return SetupError(
        "env.channel.python",
        message,
        fix="give another interpreter (uv python install 3.11, pyenv, python.org): "
        "nbplat env channel make FOLDER --python /path/to/bin/python",
        where=program,
    )
