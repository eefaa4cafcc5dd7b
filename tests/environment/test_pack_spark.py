"""Spark's own code unpacks our archives into environments that run."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from pyspark import SparkContext

from nbplat.environment.build import BuildDone
from tests.fixtures.packs import output, packed, store_of
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = JVM_MARKS


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_spark_unpacks_what_runs(small_environment: BuildDone, spark: SparkLab, tmp_path: Path, kind: str) -> None:
    """What ``spark.archives`` does with an archive on a worker gives an environment that runs and knows its folder."""
    made = packed(small_environment, store_of(small_environment, tmp_path / "env"), format=kind)
    home = tmp_path / "environment"
    jvm: Any = spark.session._jvm
    jvm.org.apache.spark.util.Utils.unpack(jvm.java.io.File(str(made.archive)), jvm.java.io.File(str(home)))
    assert f"{home} 7.7.7\n" == output(
        home / "bin" / "python", "-c", "import sys, ssl, nbplat_marker as m; print(sys.prefix, m.__version__)"
    )
    assert f"{home}/etc/demo.conf\nroot={home}\n" == output(home / "bin" / "prefixdemo")
    assert f"hello from {home}\n" == output(home / "bin" / "greet")


def test_java_alone_reads_every_entry(small_environment: BuildDone, spark: SparkLab, tmp_path: Path) -> None:
    """Hadoop's own reader, for machines without tar, forgets modes and bends links; the files all arrive."""
    made = packed(small_environment, store_of(small_environment, tmp_path / "env"))
    home = tmp_path / "environment"
    jvm: Any = spark.session._jvm
    _untar_by_java(jvm, jvm.java.io.File(str(made.archive)), jvm.java.io.File(str(home)))
    with tarfile.open(made.archive) as tar:
        sizes = {one.name: one.size for one in tar if one.isreg()}
    assert sizes == {name: (home / name).stat().st_size for name in sizes}


def _untar_by_java(jvm: Any, archive: Any, folder: Any) -> None:
    methods = jvm.java.lang.Class.forName("org.apache.hadoop.fs.FileUtil").getDeclaredMethods()
    file = jvm.java.lang.Class.forName("java.io.File")
    [untar] = [
        one
        for one in methods
        if one.getName() == "unTarUsingJava"
        and one.getParameterCount() == 3
        and one.getParameterTypes()[0].equals(file)
    ]
    untar.setAccessible(True)
    arguments = SparkContext._gateway.new_array(jvm.java.lang.Object, 3)
    arguments[0], arguments[1], arguments[2] = archive, folder, True
    untar.invoke(None, arguments)
