"""Every key of a declaration, declared once: the parser's closed sets, the defaults it prints, the page of the docs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FOREIGN", "FORMATS", "KEYS", "Key", "keys_under"]

FORMATS = ("tar.gz", "zip", "tar.zst")


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        path: Dotted; ``<platform>`` stands for what the person names.
        takes: What its value is.
        default: What holds when it is not written, for people; None: it must be written.
        meaning: One or two sentences.
    """

    path: str
    takes: str
    default: str | None
    meaning: str


KEYS: tuple[Key, ...] = (
    Key("name", "letters, digits, `.`, `_`, `-`", "the name of the file", "What the environment is called."),
    Key(
        "channels",
        "a list of names, addresses or folders",
        "[conda-forge]",
        "Where packages come from, the first one first. A folder is relative to the file. Never with a password.",
    ),
    Key(
        "dependencies",
        "a list of conda match specs, and at most one mapping `pip:` with a list of requirements",
        None,
        "What must be in it: `numpy`, `python=3.11`, `pandas>=2.2,<3`, `conda-forge::pyarrow`.",
    ),
    Key("nbplat", "a mapping", "nothing of it", "What other tools do not know; they leave it alone."),
    Key(
        "nbplat.platforms",
        "a list of conda platforms, such as `linux-64`",
        "the platform of this machine",
        "For which it is solved.",
    ),
    Key(
        "nbplat.virtual",
        "a mapping of virtual packages to versions, or of platforms to such mappings",
        "what this machine offers; for another platform the usual least",
        "What the machines offer that it will run on: `{__glibc: 2.28, __cuda: 12.4}`.",
    ),
    Key(
        "nbplat.local",
        "a list of folders or wheels, `./ranker` or `{path: ./ranker, extras: [gpu]}`",
        "none",
        "Packages of your own, built to wheels as a layer that is keyed by the hash of its source.",
    ),
    Key("nbplat.local.path", "a folder with a `pyproject.toml`, or a wheel", None, "Relative to the file."),
    Key("nbplat.local.extras", "a list of names", "none", "Extras of it that are installed too."),
    Key("nbplat.targets", "a mapping", "nothing of it", "What it has to fit; `check` holds it against that."),
    Key("nbplat.targets.spark", "a version, `4.1` or `4.1.4`", "no Spark", "The cluster's Spark."),
    Key("nbplat.targets.ray", "a version", "no Ray", "The cluster's Ray."),
    Key("nbplat.pack", "a mapping", "the defaults below", "How archives are made where a call does not say."),
    Key("nbplat.pack.format", "`tar.gz`, `zip` or `tar.zst`", "tar.gz", "Spark unpacks tar.gz and zip by itself."),
    Key(
        "nbplat.pack.slim",
        "`true` or `false`",
        "false",
        "Leave out tests, headers, static libraries and sources of compiled modules.",
    ),
    Key(
        "nbplat.pack.pyc",
        "`true` or `false`",
        "true",
        "Ship compiled modules: the first import on a worker is three times faster.",
    ),
    Key("nbplat.pack.keep", "a list of globs", "none", "Files that `slim` must not touch."),
    Key("nbplat.pack.drop", "a list of globs", "none", "More files to leave out."),
)

FOREIGN = {
    "prefix": ("the store chooses where it is built", "take the line out; `nbplat env show` tells the folder"),
    "variables": ("variables belong to the job that runs in it", "set them in the session's or cluster's settings"),
    "platforms": ("platforms are a key of ours", "write nbplat: {platforms: [linux-64, …]}"),
    "category": ("categories are of conda-lock", "write one file an environment"),
    "pip": ("requirements for pip stand inside dependencies", "write dependencies: [python=3.11, {pip: [NAME]}]"),
    "pip-repositories": ("the index is chosen where it is locked", "set UV_INDEX_URL or UV_EXTRA_INDEX_URL"),
}
"""Keys that other tools put into such files: why they are refused, and what to do."""


def keys_under(declared: str) -> tuple[str, ...]:
    """The closed set of keys below a path; of the empty path those of the whole declaration."""
    prefix = f"{declared}." if declared else ""
    rest = (each.path.removeprefix(prefix) for each in KEYS if each.path.startswith(prefix))
    return tuple(name for name in rest if "." not in name)
