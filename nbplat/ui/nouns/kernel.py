from __future__ import annotations

from nbplat.ui.options import JSON, NAME, Noun, Option, Verb

__all__ = ["KERNEL"]

_PREFIX = Option(
    "prefix",
    ("--prefix",),
    "path",
    "an installation whose users get it (its share/jupyter/kernels), instead of this user alone",
    metavar="DIR",
)

KERNEL = Noun(
    "kernel",
    "Jupyter kernels whose cells run in sessions",
    verbs=(
        Verb(
            "install",
            "Register the nbplat-spark kernel with this Python, or set up stock sparkmagic for this service",
            (
                Option("user", ("--user",), "flag", "for this user (default)"),
                _PREFIX,
                NAME,
                Option("shown", ("--display-name",), help="how the launcher shows it", metavar="TEXT"),
                Option(
                    "sparkmagic",
                    ("--sparkmagic",),
                    "flag",
                    "set up stock sparkmagic instead: its config.json and its PySpark kernel",
                    group="sparkmagic",
                ),
                Option(
                    "folder",
                    ("--folder",),
                    "path",
                    "folder of config.json; left out, sparkmagic's own",
                    metavar="FOLDER",
                    group="sparkmagic",
                ),
                Option(
                    "force",
                    ("--force",),
                    "flag",
                    "replace settings that name another service; a copy is kept",
                    group="sparkmagic",
                ),
                JSON,
            ),
            example="nbplat kernel install --user",
            surfaces=("cli",),
        ),
        Verb("list", "List the kernels that nbplat has registered, environments' included", (JSON,)),
        Verb(
            "remove",
            "Take a registered kernel out again; an environment's stays built",
            (_PREFIX, JSON),
            (Option("kernel", help="its name", required=True, metavar="KERNEL"),),
            example="nbplat kernel remove nbplat-spark",
            surfaces=("cli",),
        ),
    ),
)
