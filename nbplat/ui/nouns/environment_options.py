"""Options that several verbs of environments share."""

from __future__ import annotations

from dataclasses import replace

from nbplat.ui.options import JSON, Option

__all__ = [
    "ARCHIVE",
    "BUILT",
    "CHANNEL",
    "CHANNEL_MAKING",
    "DECLARED",
    "LOCAL",
    "OFFLINE",
    "PIP",
    "PLATFORM",
    "PLATFORMS",
    "SPECS",
]

DECLARED = Option(
    "environment",
    help="the environment: its name in envs/, or its file; left out, the only one of envs/",
    metavar="NAME",
)
BUILT = replace(
    DECLARED, help="the environment: its name, its file, or the start of its key; left out, the only one of envs/"
)
SPECS = Option("specs", help="conda match specs: numpy, 'pandas>=2.2,<3'", metavar="SPEC", repeatable=True)
PIP = Option("pip", ("--pip",), help="a requirement of the pip: part", metavar="REQUIREMENT", repeatable=True)
CHANNEL = Option("channel", ("--channel", "-c"), help="a channel: a name, an address, a folder", repeatable=True)
PLATFORMS = Option("platform", ("--platform",), help="a platform, such as linux-64", repeatable=True)
LOCAL = Option(
    "local", ("--local",), help="a package of your own: a folder or a wheel", metavar="PATH", repeatable=True
)
PLATFORM = Option(
    "platform",
    ("--platform",),
    help="for this platform of the lock; left out, that of this machine",
    metavar="PLATFORM",
)
OFFLINE = Option("offline", ("--offline",), "flag", "use nothing but what lies on this machine")

ARCHIVE = (
    Option(
        "format",
        ("--format",),
        help="of the archive; left out, what the declaration says",
        choices=("tar.gz", "zip", "tar.zst"),
    ),
    Option(
        "target",
        ("--target",),
        help="who unpacks it; Ray skips links, so an archive for it has none",
        choices=("spark", "ray"),
    ),
    Option("slim", ("--slim",), "flag", "leave out tests, headers, static libraries and sources of compiled modules"),
    Option("fast", ("--fast",), "flag", "compress quickly: a bigger archive"),
    Option("no_pyc", ("--no-pyc",), "flag", "ship no compiled modules"),
)

CHANNEL_MAKING = (
    Option(
        "interpreter",
        ("--python",),
        help="the interpreter to package, whose installed packages are meant; left out, the one that runs this",
        metavar="PYTHON",
    ),
    Option("no_python", ("--no-python",), "flag", "do not package the interpreter itself"),
    Option(
        "installed",
        ("--installed",),
        help="an installed package to take, with all that it needs: pandas, 'ray[data]'",
        metavar="NAME",
        repeatable=True,
    ),
    Option("wheels", ("--wheels",), "path", "a folder of wheels, or a wheel", metavar="PATH", repeatable=True),
    Option(
        "requirements",
        ("--requirements",),
        "path",
        "take only what this file names, with all that it needs, from the wheels and what is installed",
        metavar="FILE",
    ),
    Option(
        "without",
        ("--without",),
        help="leave this need out of every package",
        metavar="NAME",
        repeatable=True,
    ),
    Option(
        "remove",
        ("--remove",),
        help="take a package out first: NAME or NAME=VERSION",
        metavar="PACKAGE",
        repeatable=True,
    ),
    JSON,
)
