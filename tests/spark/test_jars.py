"""The Iceberg jar: where it is looked for, what is refused, and what each refusal tells to do."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from nbplat.adapters.spark import jars
from nbplat.adapters.spark.conf import spark_conf
from nbplat.config import Config
from nbplat.errors import RemoteError, RequestError, SetupError

CONTENT = b"a jar of the tests"


@pytest.fixture
def small_jar(monkeypatch: pytest.MonkeyPatch) -> jars.Artifact:
    """The real coordinates with the hash of a few bytes."""
    monkeypatch.delenv("NBPLAT_JARS", raising=False)
    artifact = replace(jars.ICEBERG, sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(jars, "ICEBERG", artifact)
    return artifact


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def executable(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_missing_jar_names_the_command(service_config: Config, small_jar: jars.Artifact) -> None:
    """Without the jar the error says `nbplat jars fetch`."""
    with pytest.raises(SetupError, match="nbplat jars fetch") as raised:
        jars.iceberg_jar(service_config)
    assert "spark.jar_missing" == raised.value.code


def test_a_given_jar_is_copied_verified_and_kept(
    service_config: Config, small_jar: jars.Artifact, tmp_path: Path
) -> None:
    """A path as source is copied into the state folder and stays where it was; a second fetch keeps what is there."""
    given = tmp_path / "given.jar"
    given.write_bytes(CONTENT)
    said: list[str] = []
    assert [service_config.home / "jars" / small_jar.file_name] == jars.fetch_jars(service_config, source=given)
    assert given.exists()
    assert service_config.home / "jars" / small_jar.file_name == jars.iceberg_jar(service_config)
    jars.fetch_jars(service_config, source="mvn", say=said.append)
    assert ["is there"] == [line.split(": ")[0].split(" ", 1)[1] for line in said]
    assert [small_jar.file_name] == names_in(service_config.home / "jars")


def test_another_file_by_that_name_is_refused(service_config: Config, small_jar: jars.Artifact, tmp_path: Path) -> None:
    """Bytes with another hash never reach the folder, and damaged ones there are refused at use."""
    given = tmp_path / "given.jar"
    given.write_bytes(b"something else")
    with pytest.raises(SetupError, match="SHA-256"):
        jars.fetch_jars(service_config, source=given)
    assert [] == names_in(service_config.home / "jars")
    (service_config.home / "jars" / small_jar.file_name).write_bytes(b"cut short")
    with pytest.raises(SetupError, match="which replaces it"):
        jars.iceberg_jar(service_config)


def test_the_shared_folder_of_the_variable_wins(
    service_config: Config, small_jar: jars.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NBPLAT_JARS names a folder that many state folders share."""
    monkeypatch.setenv("NBPLAT_JARS", str(tmp_path / "shared"))
    assert tmp_path / "shared" == jars.jars_folder(service_config)


@pytest.mark.parametrize("found", ["4.0.2", "4.2.0", "4.3.0"])
def test_another_pyspark_is_refused_with_the_right_pair(
    service_config: Config, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iceberg has no runtime for it; the fix names the versions that go together."""
    monkeypatch.setattr(metadata, "version", lambda name: found)
    with pytest.raises(SetupError) as raised:
        jars.fetch_jars(service_config)
    assert "pyspark>=4.1.4,<4.2" in raised.value.fix
    assert found in raised.value.message


@pytest.mark.parametrize(
    ("said", "code"), [('openjdk version "11.0.2" 2019-01-15', "java.old"), (None, "java.missing")]
)
def test_no_java_or_an_old_one_gives_the_command(tmp_path: Path, said: str | None, code: str) -> None:
    """The fix is the exact command of this system's package manager."""
    if said:
        executable(tmp_path / "bin", "java", f"echo '{said}' >&2")
    with pytest.raises(SetupError) as raised:
        jars.check_java(environ={"PATH": str(tmp_path / "bin")})
    assert code == raised.value.code
    assert "openjdk" in raised.value.fix


def test_a_new_java_is_found_by_java_home_first(tmp_path: Path) -> None:
    """JAVA_HOME wins over the PATH, as it does for Spark."""
    executable(tmp_path / "bin", "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    found = jars.check_java(environ={"JAVA_HOME": str(tmp_path), "PATH": "/nowhere"})
    assert tmp_path / "bin" / "java" == found


def test_a_repository_that_gives_nothing_is_a_remote_error(
    service_config: Config, small_jar: jars.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the tool ends without a jar its last words are in the message and the other ways in the fix."""
    executable(tmp_path / "bin", "mvn", "echo 'could not resolve artifact'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(RemoteError, match="could not resolve artifact") as raised:
        jars.fetch_jars(service_config, source="mvn")
    assert "DEFAULT_ARTIFACT_REPOSITORY" in raised.value.fix
    assert [] == names_in(service_config.home / "jars")


def test_the_conf_points_at_the_service_and_hides_the_token(service_config: Config) -> None:
    """The catalog is `nbplat` over REST, uncached, and the token lies under a key that Spark redacts."""
    conf = spark_conf(service_config, "http://127.0.0.1:8765/", "scoped")
    assert "http://127.0.0.1:8765/iceberg" == conf["spark.sql.catalog.nbplat.uri"]
    assert "rest" == conf["spark.sql.catalog.nbplat.type"]
    assert "false" == conf["spark.sql.catalog.nbplat.cache-enabled"]
    assert ["spark.sql.catalog.nbplat.token"] == [key for key, value in conf.items() if value == "scoped"]
    with pytest.raises(RequestError, match="prod"):
        spark_conf(replace(service_config, catalog="prod"), "http://127.0.0.1:8765", "scoped")
