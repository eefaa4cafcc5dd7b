"""What a pack is asked for, what it is made from and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbplat.environment.built import Built
from nbplat.environment.definition import PackRules
from nbplat.environment.lock_record import PlatformLock
from nbplat.errors import RequestError, did_you_mean

__all__ = ["FORMATS", "LEVELS", "TARGETS", "Pack", "PackOptions", "PackSource"]

# The highest level of each format. Spark and Ray unpack the first two by themselves.
LEVELS = {"tar.gz": 12, "zip": 12, "tar.zst": 22}
FORMATS = tuple(LEVELS)
TARGETS = ("", "spark", "ray")


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How one archive is made.

    Attributes:
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
        level: Of the compressor; 0 takes what is good for most: less pains with machine code.
        slim: Leave out tests, headers, static libraries, sources of extensions, stubs and manuals.
        pyc: Ship compiled modules (unchecked-hash); tests stay uncompiled.
        keep: Globs that `slim` must not touch; ``*`` crosses slashes.
        drop: Globs left out as well, with `slim` or without.
        target: Who unpacks it: ``spark``, ``ray``, or empty for our launcher and ``env pull``. Decides about links.
        threads: Compressors at once; 0 takes one a core. The bytes are the same for any number.
    """

    format: str = "tar.gz"
    level: int = 0
    slim: bool = False
    pyc: bool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    target: str = ""
    threads: int = 0

    @classmethod
    def by(cls, rules: PackRules, **asked: Any) -> PackOptions:
        """The rules of a declaration, changed by what a call says; None says nothing."""
        said = {name: value for name, value in asked.items() if value is not None}
        base = cls(format=rules.format, slim=rules.slim, pyc=rules.pyc, keep=rules.keep, drop=rules.drop)
        return replace(base, **said)

    @property
    def links(self) -> bool:
        """Whether the archive may hold symbolic links: zip keeps none and Ray skips them."""
        return self.format != "zip" and self.target != "ray"

    def checked(self) -> PackOptions:
        """The same, held against what can be.

        Raises:
            RequestError: ``env.pack_format``, ``env.pack_level``, ``env.pack_target``, ``env.pack_threads``: a value
                that cannot be, or a format that the target does not unpack.
        """
        if self.format not in LEVELS:
            raise RequestError(
                "env.pack_format",
                f"archives are not made as {self.format!r}",
                fix=f"take one of {', '.join(FORMATS)}; {did_you_mean(self.format, FORMATS)}",
            )
        if self.target not in TARGETS:
            raise RequestError(
                "env.pack_target",
                f"archives are not made for {self.target!r}",
                fix=f"take spark or ray, or say nothing; {did_you_mean(self.target, TARGETS[1:])}",
            )
        if self.target and self.format == "tar.zst":
            raise RequestError(
                "env.pack_format",
                f"{self.target} does not unpack tar.zst by itself",
                fix="take tar.gz, or leave the target out and let the launcher unpack it",
            )
        highest = LEVELS[self.format]
        if not 0 <= self.level <= highest:
            raise RequestError(
                "env.pack_level",
                f"{self.format} has no level {self.level}",
                fix=f"take 1 (fast) to {highest} (small); 0 takes what is good for most",
            )
        if self.threads < 0:
            raise RequestError(
                "env.pack_threads", f"{self.threads} threads cannot be", fix="take 1 or more; 0 takes one a core"
            )
        return self


@dataclass(frozen=True, slots=True)
class PackSource:
    """A built environment, and the lock that says what is in it.

    Attributes:
        prefix: Where it is built.
        requested: Match specs and requirements as declared.
    """

    name: str
    key: str
    prefix: Path
    lock: PlatformLock
    lock_digest: str
    requested: tuple[str, ...] = ()

    @classmethod
    def of(cls, built: Built, name: str = "", lock_digest: str = "") -> PackSource:
        """What the store built; under another name or lock of the same content when they are given."""
        return cls(
            name=name or built.name,
            key=built.key,
            prefix=Path(built.prefix),
            lock=built.lock,
            lock_digest=lock_digest or built.lock_digest,
            requested=(*built.requested, *built.pip_requested),
        )

    @property
    def python(self) -> str:
        """``3.11``; empty without a Python."""
        return ".".join(self.lock.python.split(".")[:2])


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished archive.

    Attributes:
        archive: Its file, named by its hash.
        sha256: Of the whole file; 64 hex digits.
        size: Bytes.
        manifest: What the JSON file beside it holds.
        manifest_file: That file.
        layers: How many layers it is made of; `made` of them were compressed now, the others were kept.
        notes: What a person should know of it: files in the prefix that are of no package, modules that do not compile.
    """

    archive: Path
    sha256: str
    size: int
    manifest: Mapping[str, Any]
    manifest_file: Path
    layers: int = 0
    made: int = 0
    notes: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        """``tar.gz``, ``zip`` or ``tar.zst``."""
        return next((one for one in FORMATS if self.archive.name.endswith(f".{one}")), "")
