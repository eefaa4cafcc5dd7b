from __future__ import annotations

from dataclasses import replace

from nbplat.ui.nouns.environment_options import (
    ARCHIVE,
    BUILT,
    CHANNEL,
    CHANNEL_MAKING,
    DECLARED,
    LOCAL,
    OFFLINE,
    PIP,
    PLATFORM,
    PLATFORMS,
    SPECS,
)
from nbplat.ui.options import DRY_RUN, JSON, OUT, WAIT, YES, Noun, Option, Verb

__all__ = ["ENVIRONMENT"]

_EXAMPLE = """%%environment ranker
channels: [conda-forge]
dependencies:
  - python=3.11
  - pandas>=2.2,<3
  - pip: [lightgbm==4.6.0]
nbplat:
  platforms: [linux-64, osx-arm64]
  local: [./ranker]
  targets: {spark: 4.1}"""

_NEW = Option("environment", help="name of the new environment", required=True, metavar="NAME")
_EDITED = Option("environment", help="the environment: its name in envs/, or its file", required=True, metavar="NAME")
_FOR = Option(
    "target",
    ("--for",),
    help="where it runs",
    required=True,
    choices=(
        "local",
        "local-cluster",
        "standalone",
        "yarn-client",
        "yarn-cluster",
        "k8s-cluster",
        "connect",
        "livy",
        "ray",
        "kernel",
    ),
)
_AT = Option("at", ("--at",), help="where it was pushed: the place, or the archive's URI", metavar="URI")

_EDITS = (
    Verb(
        "form",
        "Show a form that writes an environment's cell; it locks and builds nothing",
        (OUT, JSON),
        (Option("environment", help="its name", metavar="NAME"),),
        surfaces=("magic",),
    ),
    Verb(
        "init",
        "Write a new declaration, envs/NAME.yml",
        (PIP, CHANNEL, PLATFORMS, LOCAL, JSON),
        (_NEW, SPECS),
        example="nbplat env init ranker python=3.11 'pandas>=2.2,<3' --pip lightgbm",
    ),
    Verb(
        "add",
        "Add packages, channels or platforms to a declaration; comments and order stay",
        (PIP, CHANNEL, PLATFORMS, LOCAL, JSON),
        (_EDITED, SPECS),
        example="nbplat env add ranker 'numpy>=2' --pip polars",
    ),
    Verb(
        "remove",
        "Take packages, channels or platforms out of a declaration",
        (CHANNEL, PLATFORMS, LOCAL, JSON),
        (
            _EDITED,
            Option("specs", help="names of packages, of the pip: part as well", metavar="PACKAGE", repeatable=True),
        ),
        example="nbplat env remove ranker polars",
    ),
)

_LONG = (
    Verb(
        "lock",
        "Solve a declaration for each of its platforms into envs/NAME.lock, with every hash",
        (
            Option(
                "check", ("--check",), "flag", "only say whether the lock is up to date; exit code 2 when it is not"
            ),
            Option("upgrade", ("--upgrade", "-U"), "flag", "take the newest of everything, not what the old lock has"),
            Option(
                "upgrade_package",
                ("--upgrade-package", "-P"),
                help="take the newest of this package and of what it needs",
                metavar="PACKAGE",
                repeatable=True,
            ),
            Option(
                "platforms",
                ("--platform",),
                help="lock this platform of the declaration; the others stay as they are locked",
                metavar="PLATFORM",
                repeatable=True,
            ),
            OFFLINE,
            DRY_RUN,
            WAIT,
            OUT,
            JSON,
        ),
        (DECLARED,),
        body="yaml",
        body_required=False,
        example="nbplat env lock --check",
    ),
    Verb(
        "build",
        "Install what the lock says into the store; a cell is locked first",
        (
            Option("lock", ("--lock",), "flag", "lock first when the declaration has changed; a cell always does"),
            Option(
                "imports",
                ("--imports",),
                "flag",
                "try to import what the declaration names (the default)",
                default=True,
                off=("--no-imports",),
            ),
            PLATFORM,
            OFFLINE,
            WAIT,
            OUT,
            JSON,
        ),
        (DECLARED,),
        body="yaml",
        body_required=False,
        example=_EXAMPLE,
    ),
    Verb(
        "pack",
        "Make an archive of a built environment; equal content has equal bytes",
        (
            *ARCHIVE,
            Option("explain", ("--explain",), "flag", "show the size by package, and what could be left out"),
            PLATFORM,
            Option("to", ("--to",), "path", "put a copy of the archive there", metavar="FILE"),
            WAIT,
            OUT,
            JSON,
        ),
        (BUILT,),
        example="%environment pack ranker --slim --explain",
    ),
    Verb(
        "push",
        "Put the archive to a place under its hash, where it is verified; what is there already is not sent",
        (*ARCHIVE, PLATFORM, WAIT, OUT, JSON),
        (
            Option(
                "environment",
                help="the environment: its name, its file, or the start of its key",
                required=True,
                metavar="NAME",
            ),
            Option("uri", help="where: s3://bucket/envs, file:///shared/envs, hdfs://…", required=True, metavar="URI"),
        ),
        example="nbplat env push ranker s3://ml/envs",
    ),
    Verb(
        "pull",
        "Fetch an archive by its URI, verify it, and unpack it into the store",
        (Option("called", ("--as",), help="name to keep it under", metavar="NAME"), WAIT, OUT, JSON),
        (Option("uri", help="the URI that push printed", required=True, metavar="URI"),),
        example="nbplat env pull s3://ml/envs/3f6c….tar.gz",
    ),
)

_USES = (
    Verb(
        "conf",
        "Print the exact settings that run an environment somewhere",
        (
            _FOR,
            _AT,
            Option("way", ("--way",), help="how the workers get it", choices=("prefix", "archive", "launcher")),
            Option(
                "form",
                ("--form",),
                help="how the settings are written; left out, what the target is used by",
                choices=("python", "submit", "properties", "json"),
            ),
            Option("node_cache", ("--node-cache",), help="folder that the launcher unpacks in", metavar="FOLDER"),
            Option(
                "fetch",
                ("--fetch",),
                help="how nodes get the archive: session (it comes along), or a command that copies $NBPLAT_URI to "
                "$NBPLAT_FILE; left out, by what the URI says",
                metavar="COMMAND",
            ),
            OUT,
            JSON,
        ),
        (BUILT,),
        example="nbplat env conf ranker --for standalone --at s3://ml/envs",
    ),
    Verb(
        "check",
        "Hold an environment against what it has to fit, before a job finds out",
        (
            Option(
                "against",
                ("--against",),
                help="an environment, an interpreter, an archive or its URI; left out, this Python and machine",
                metavar="OTHER",
            ),
            Option("spark", ("--spark",), help="version of the cluster's Spark", metavar="VERSION"),
            Option("ray", ("--ray",), help="version of the cluster's Ray", metavar="VERSION"),
            OUT,
            JSON,
        ),
        (BUILT,),
        example="nbplat env check ranker --against /opt/cluster/bin/python",
    ),
    Verb(
        "kernel",
        "Register a built environment as a Jupyter kernel: cells then run in what the workers run",
        (
            Option("shown", ("--display-name",), help="what JupyterLab shows", metavar="TEXT"),
            Option("kernel", ("--kernel-name",), help="name of the kernel; left out, nbplat-NAME", metavar="NAME"),
            Option(
                "prefix",
                ("--prefix",),
                "path",
                "for everybody who uses this installation (share/jupyter/kernels in it); left out, for you",
                metavar="FOLDER",
            ),
            Option("remove", ("--remove",), "flag", "take the kernel out again"),
            JSON,
        ),
        (BUILT,),
        example="nbplat env kernel ranker",
    ),
    Verb(
        "run",
        "Run a command in a built environment",
        (),
        (
            Option("environment", help="the environment", required=True, metavar="NAME"),
            Option("command", help="the command and its arguments, after --", metavar="COMMAND", repeatable=True),
        ),
        surfaces=("cli",),
        example="nbplat env run ranker -- python -c 'import sys; print(sys.prefix)'",
    ),
)

_STORE = (
    Verb("list", "List declared and built environments", (JSON, OUT)),
    Verb("ls", "List declared and built environments", (JSON, OUT)),
    Verb("show", "Show one: what is declared, locked, built and packed", (JSON, OUT), (BUILT,)),
    Verb(
        "diff",
        "Compare two locks, or a lock with the environment that is built: added, removed, changed",
        (JSON, OUT),
        (
            DECLARED,
            Option("other", help="another environment or lock file; left out, what is built", metavar="OTHER"),
        ),
        example="nbplat env diff ranker envs/ranker_old.lock",
    ),
    Verb("du", "Show what the store holds and what the disk gives for it", (JSON, OUT)),
    Verb(
        "gc",
        "Remove environments, packages and archives that nothing needs; without --yes only say which",
        (
            Option(
                "older_than",
                ("--older-than",),
                "age",
                "also what is only kept for its name and was not used for so long",
                metavar="AGE",
            ),
            YES,
            JSON,
        ),
    ),
    Verb(
        "verify",
        "Hold what is built against its lock, byte for byte",
        (Option("repair", ("--repair",), "flag", "mend what is wrong from the package cache and the channels"), JSON),
        (replace(BUILT, help="one environment; left out, all"),),
    ),
    Verb(
        "channel",
        "Make a conda channel of this Python, of installed packages and of wheels, for sites without a network",
        CHANNEL_MAKING,
        (
            Option(
                "action", help="make it or add to it, or verify every byte", required=True, choices=("make", "verify")
            ),
            Option("folder", help="the channel's folder", required=True, metavar="FOLDER"),
        ),
        example="nbplat env channel make ./channel --installed pandas --installed pyarrow --wheels ./wheels",
    ),
)

ENVIRONMENT = Noun(
    "environment",
    "Python environments: one declaration for kernel, driver, executors and Ray workers",
    cell_verb="build",
    line_verb="list",
    magic=True,
    word="env",
    verbs=(*_LONG[:2], *_EDITS, *_LONG[2:], *_USES, *_STORE),
)
