"""The Iceberg runtime jar: where it lies, how it gets there, and that it is the right one.

pyspark brings no Iceberg. The jar is fetched once, by the Ivy inside pyspark's own jars (it obeys
``DEFAULT_ARTIFACT_REPOSITORY`` and an ivysettings file), by `mvn` (it obeys ``settings.xml``), or it is
copied from a path; every way ends in the same check of its hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from nbplat.config import Config
from nbplat.errors import RemoteError, SetupError

__all__ = [
    "ICEBERG",
    "Artifact",
    "check_java",
    "check_pyspark",
    "fetch_jars",
    "iceberg_jar",
    "jars_folder",
    "java_says",
]

FETCH_SECONDS = 600
JAVA_MINIMUM = 17


@dataclass(frozen=True, slots=True)
class Artifact:
    """One jar by its coordinates and content.

    Attributes:
        sha256: Of the file, lower-case hex.
        spark: The pyspark versions it fits, as ``major.minor``.
    """

    group: str
    name: str
    version: str
    sha256: str
    spark: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


ICEBERG = Artifact(
    group="org.apache.iceberg",
    name="iceberg-spark-runtime-4.1_2.13",
    version="1.12.0",
    sha256="3123c3798af642dd537230923548e013ef41cc28b6626e5225808cf5670a0f82",
    spark="4.1",
)


def jars_folder(config: Config, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the jars are kept: `jars` of the state folder, or the folder that `NBPLAT_JARS` names (shared by CI)."""
    shared = environ.get("NBPLAT_JARS")
    return Path(shared).expanduser().absolute() if shared else config.home / "jars"


def iceberg_jar(config: Config) -> Path:
    """The verified Iceberg jar of the installed pyspark.

    Raises:
        SetupError: pyspark is missing or has another version, or the jar is missing or damaged.
    """
    check_pyspark()
    path = jars_folder(config) / ICEBERG.file_name
    if not path.is_file():
        raise SetupError(
            "spark.jar_missing", f"Spark has no Iceberg jar yet: {path} does not exist", fix="run `nbplat jars fetch`"
        )
    _verify(path, ICEBERG, fix="run `nbplat jars fetch`, which replaces it")
    return path


def fetch_jars(
    config: Config,
    *,
    source: str | Path = "ivy",
    settings: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Bring the jars into `jars_folder`; one that lies there verified is kept.

    Args:
        source: ``ivy`` (with mvn as the second try), ``mvn``, or the path of a jar to copy.
        settings: An ivysettings file (with ``ivy``) or a settings.xml (with ``mvn``) of the user's.
        say: Takes one line of progress at a time.

    Raises:
        SetupError: Java or mvn is missing, pyspark does not fit, or the file has another hash.
        RemoteError: no repository gave the jar.
    """
    check_pyspark()
    target = jars_folder(config) / ICEBERG.file_name
    if target.is_file() and _sha256(target) == ICEBERG.sha256:
        say(f"{ICEBERG} is there: {target}")
        return [target]
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
        found = _obtain(ICEBERG, source, settings, Path(folder), say)
        _verify(found, ICEBERG, fix="fetch it from another repository: the one asked has another file by that name")
        # Not a move of the user's own file: a path given as source stays where it is.
        if found.parent != Path(folder):
            found = Path(shutil.copyfile(found, Path(folder) / ICEBERG.file_name))
        found.replace(target)
    say(f"{ICEBERG}: {target.stat().st_size / 1e6:.0f} MB in {target}")
    return [target]


def check_pyspark() -> None:
    """Return when pyspark is one that the jar fits.

    Raises:
        SetupError: naming the pair that goes together.
    """
    from importlib.metadata import PackageNotFoundError, version

    fix = f'install the right pair: pip install "pyspark>={ICEBERG.spark}.4,<{_next_minor(ICEBERG.spark)}"'
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        raise SetupError("spark.missing", "pyspark is not installed", fix='pip install "nbplat[spark]"') from None
    if not found.startswith(ICEBERG.spark + "."):
        raise SetupError(
            "spark.version",
            f"pyspark {found} has no Iceberg runtime; {ICEBERG.name} {ICEBERG.version} goes with {ICEBERG.spark}.x",
            fix=fix,
        )


def check_java(*, environ: Mapping[str, str] = os.environ) -> Path:
    """The `java` that Spark would start, new enough for it.

    Raises:
        SetupError: with the command that installs one.
    """
    home = environ.get("JAVA_HOME")
    java = (
        shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java", path=environ.get("PATH"))
    )
    install = (
        "brew install openjdk@17"
        if sys.platform == "darwin"
        else "sudo apt-get install -y openjdk-17-jre-headless (or your system's Java 17 package)"
    )
    where = f"JAVA_HOME={home}" if home else "PATH"
    if java is None:
        raise SetupError("java.missing", f"Spark needs Java {JAVA_MINIMUM}, and {where} has none", fix=install)
    said = java_says(Path(java))
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None or int(match[1]) < JAVA_MINIMUM:
        found = said or "something that does not say its version"
        raise SetupError("java.old", f"Spark needs Java {JAVA_MINIMUM} or newer; {java} is {found}", fix=install)
    return Path(java)


def java_says(java: Path) -> str:
    """The line in which a `java` tells its version; empty when it tells none."""
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    return next((line for line in said.splitlines() if " version " in line), said.partition("\n")[0])


def _obtain(
    artifact: Artifact, source: str | Path, settings: Path | None, folder: Path, say: Callable[[str], None]
) -> Path:
    if source == "ivy":
        try:
            return _by_ivy(artifact, settings, folder, say)
        except RemoteError:
            if shutil.which("mvn") is None or settings is not None:
                raise
            say("Ivy could not get it; trying mvn")
            return _by_mvn(artifact, None, folder, say)
    if source == "mvn":
        return _by_mvn(artifact, settings, folder, say)
    path = Path(source).expanduser()
    if not path.is_file():
        raise SetupError(
            "spark.jar_source", f"there is no file {path}", fix="give ivy, mvn, or the path of a jar", where=str(path)
        )
    return path


def _by_ivy(artifact: Artifact, settings: Path | None, folder: Path, say: Callable[[str], None]) -> Path:
    java = check_java()
    if settings is None and (repository := os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")):
        settings = folder / "ivysettings.xml"
        settings.write_text(_ivy_settings(repository))
    command = [str(java), "-cp", str(_pyspark_jars() / "*"), "org.apache.ivy.Main"]
    command += ["-cache", str(folder / "cache")]
    command += ["-settings", str(settings)] if settings else []
    command += ["-dependency", artifact.group, artifact.name, artifact.version, "-confs", "default", "-notransitive"]
    # Its own pattern, without the type: Ivy also knows a pom and maybe sources of the same name.
    command += ["-types", "jar", "-retrieve", str(folder / "[artifact]-[revision].[ext]"), "-warn"]
    say(f"fetching {artifact} with Ivy")
    return _run(command, folder / artifact.file_name, artifact, tool="Ivy")


def _by_mvn(artifact: Artifact, settings: Path | None, folder: Path, say: Callable[[str], None]) -> Path:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise SetupError("maven.missing", "mvn is not on the PATH", fix="install Maven, or fetch with `--source ivy`")
    command = [mvn, "-q", "-B", *(["-s", str(settings)] if settings else [])]
    command += ["org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"]
    command += [f"-Dartifact={artifact}:jar", f"-DoutputDirectory={folder}", "-Dmdep.useBaseVersion=true"]
    say(f"fetching {artifact} with mvn")
    return _run(command, folder / artifact.file_name, artifact, tool="mvn", cwd=folder)


def _run(command: list[str], expected: Path, artifact: Artifact, *, tool: str, cwd: Path | None = None) -> Path:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, cwd=cwd, check=False)
        said = done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        said = f"it took longer than {FETCH_SECONDS} s"
    if not expected.is_file():
        raise RemoteError(
            "spark.jar_fetch",
            f"{tool} could not get {artifact}: {_last_lines(said)}",
            fix="set DEFAULT_ARTIFACT_REPOSITORY to a repository this machine reaches, try `nbplat jars fetch --source "
            f"mvn`, or copy {artifact.file_name} here and give its path as --source",
        )
    return expected


def _last_lines(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip(" .\t")]
    return " / ".join(lines[-3:])[-600:] or "it said nothing"


def _ivy_settings(repository: str) -> str:
    root = quoteattr(repository.rstrip("/") + "/")
    return (
        '<ivysettings><settings defaultResolver="main"/><resolvers>'
        f'<ibiblio name="main" m2compatible="true" root={root}/></resolvers></ivysettings>'
    )


def _pyspark_jars() -> Path:
    import importlib.util

    # Found, not imported: importing pyspark takes a quarter of a second and is of no use here.
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SetupError("spark.missing", "pyspark is not installed", fix='pip install "nbplat[spark]"')
    return Path(spec.origin).parent / "jars"


def _verify(path: Path, artifact: Artifact, *, fix: str) -> None:
    found = _sha256(path)
    if found != artifact.sha256:
        raise SetupError(
            "spark.jar_hash",
            f"{path.name} is not {artifact}: its SHA-256 is {found}, expected {artifact.sha256}",
            fix=fix,
            where=str(path),
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _next_minor(version: str) -> str:
    major, minor = version.split(".")
    return f"{major}.{int(minor) + 1}"
