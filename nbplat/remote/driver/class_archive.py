"""The JVM's class-data archive: Spark's classes as a JVM has loaded them once, mapped by those that start later.

A JVM takes an archive only when it is the very JVM that wrote it and its class path begins as it did then. So an
archive is named after both; one that is not there, is broken or does not fit costs the time it would have saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Archive", "archive_for", "sweep"]

JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_CLASS_PATH = "spark.driver.extraClassPath"
_KEEP_S = 14 * 86_400.0
_KEEP_COUNT = 4
# From here on a JVM keeps its pointers in another form, which an archive must share.
_WIDE_HEAP_BYTES = 32 << 30
# Options that say themselves what archive is used.
_THEIRS = ("-Xshare", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:SharedClassListFile")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Archive(NamedTuple):
    """A place for one.

    Attributes:
        path: Of the archive, which may not be there.
    """

    path: Path

    @property
    def about(self) -> Path:
        """What is known of it: ``bytes``, or ``failed``, why the JVM could not write it."""
        return self.path.with_suffix(".json")

    @property
    def whole(self) -> bool:
        """Whether it is there, as long as it was when it was written."""
        try:
            return bool(self.path.stat().st_size == json.loads(self.about.read_text())["bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def failed(self) -> str:
        """Why it could not be written when that was tried; empty: it was not tried, or went well."""
        try:
            return str(json.loads(self.about.read_text()).get("failed", ""))
        except (OSError, ValueError, AttributeError):
            return ""

    def reading(self) -> str:
        """Java's options for a start that uses it. Its sum is looked at: a byte that has changed would end the JVM."""
        return f"-XX:SharedArchiveFile={self.path} -Xshare:auto -XX:+VerifySharedSpaces -Xlog:cds=off"

    def writing(self) -> str:
        """Java's options for a start that writes it at its end, under the name `fresh`."""
        return f"-XX:ArchiveClassesAtExit={self.fresh} -Xlog:cds=off -Xlog:cds+dynamic=off"

    @property
    def fresh(self) -> Path:
        """Where it is written."""
        return self.path.with_suffix(f".{os.getpid()}.new")

    def keep(self) -> None:
        """Give the one at `fresh` its name. Raises OSError: it was not written."""
        size = self.fresh.stat().st_size
        # Before the archive: one without this is not used.
        self.note({"bytes": size})
        self.fresh.replace(self.path)

    def note(self, about: dict[str, object]) -> None:
        """Keep what is known of it."""
        fresh = self.about.with_suffix(f".{os.getpid()}.about")
        fresh.write_text(json.dumps(about))
        fresh.replace(self.about)

    def touch(self) -> None:
        """Note that it was used."""
        try:
            os.utime(self.path)
        except OSError:
            return  # swept meanwhile: the JVM starts without it

    def discard(self) -> None:
        """Delete it."""
        for path in (self.path, self.about, self.fresh):
            if path.exists():
                path.unlink()


def archive_for(folder: str, conf: dict[str, str], spark_home: str) -> Archive | None:
    """The archive of a JVM that is started with these settings; None when its options choose another.

    Args:
        folder: Holds the archives.
        conf: Spark's settings.
    """
    options = conf.get(JAVA_OPTIONS, "")
    words = _words(options)
    if any(word.startswith(_THEIRS) for word in words):
        return None
    facts = [
        *_jvm_facts(),
        *(word for word in words if _matters(word)),
        f"wide={_bytes_of(conf.get('spark.driver.memory', '1g')) >= _WIDE_HEAP_BYTES}",
        *_class_path_facts(conf.get(_CLASS_PATH, ""), spark_home),
    ]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
    return Archive(Path(folder) / f"{digest}.jsa")


def sweep(folder: str, now_s: float = 0.0) -> None:
    """Delete what a killed writer left, and archives that were not used for two weeks or are more than four."""
    now_s = now_s or time.time()
    home = Path(folder)
    aged = sorted(((_used_s(path), path) for path in home.glob("*.jsa")), reverse=True)
    for place, (used_s, path) in enumerate(aged):
        if place >= _KEEP_COUNT or now_s - used_s > _KEEP_S:
            Archive(path).discard()
    for path in [*home.glob("*.new"), *home.glob("*.about")]:
        if now_s - _used_s(path) > 3600:
            path.unlink()
    for path in home.glob("*.json"):
        # A failure is tried again some day: the JVM may have been given what it lacked.
        if not path.with_suffix(".jsa").exists() and now_s - _used_s(path) > _KEEP_S:
            path.unlink()


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _words(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError:
        return options.split()


def _matters(option: str) -> bool:
    """Whether an option can make one JVM's archive unfit for another: properties and sizes cannot."""
    return not option.startswith(("-D", "-Xms", "-Xmx", "-Xss", "-Xlog", "-XX:TieredStopAtLevel"))


def _jvm_facts() -> list[str]:
    home = os.environ.get("JAVA_HOME", "")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java") or ""
    root = Path(java).resolve().parent.parent
    return [str(root), *_file_facts([root / "lib" / "server" / "libjvm.so", root / "release"])]


def _class_path_facts(extra: str, spark_home: str) -> Iterator[str]:
    for entry in filter(None, extra.split(":")):
        path = Path(entry)
        yield from _file_facts(sorted(path.parent.glob("*.jar")) if path.name == "*" else [path])
    for name in ("SPARK_CONF_DIR", "SPARK_DIST_CLASSPATH", "HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        yield f"{name}={os.environ.get(name, '')}"
    yield from _file_facts(sorted(Path(spark_home, "jars").glob("*.jar")))


def _file_facts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            yield f"{path} missing"
        else:
            yield f"{path} {found.st_size} {found.st_mtime_ns}"


def _bytes_of(memory: str) -> int:
    text = memory.strip().lower().rstrip("b")
    unit = _UNITS.get(text[-1:], 1 << 20)
    digits = text.rstrip("kmgt")
    return int(digits) * unit if digits.isdigit() else 0
