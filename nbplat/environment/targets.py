"""Which settings each target needs: local Spark and Ray, clusters, gateways, a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbplat.environment.locations import is_shared_path, shared_path, spark_uri
from nbplat.environment.settings import Settings
from nbplat.environment.shipped import Shipped
from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import EnvironmentRef

__all__ = ["ALIAS", "TARGETS", "Asked", "settings_for", "target_named", "unpacks", "way_of"]

# What archives are unpacked as, in the working folder of an executor.
ALIAS = "environment"
_UNPACKED = f"./{ALIAS}/bin/python"
_NATIVE = ("tar.gz", "zip")


@dataclass(frozen=True, slots=True)
class Asked:
    """What settings are made for.

    Attributes:
        environment: Its `prefix` is empty when it is not built on this machine.
        target: A name of `TARGETS`.
        way: ``prefix``, ``archive`` or ``launcher``; empty takes what suits the target.
        archive: Where its archive lies; None when it was not packed.
        launcher: Path or URI of the launcher's script; empty: there is none.
        fetch_by_session: The launcher's archive is sent with each session, and not fetched by the node.
        node_cache: Folder that the launcher unpacks in.
        named: The caller said where the archive lies: workers are to get that, though a prefix is here.
    """

    environment: EnvironmentRef
    target: str
    way: str = ""
    archive: Shipped | None = None
    launcher: str = ""
    fetch_by_session: bool = False
    node_cache: str = ""
    named: bool = False


_Builder = Callable[[Asked, str], Settings]


def settings_for(asked: Asked) -> Settings:
    """The settings of one environment for one target.

    Raises:
        RequestError: ``env.target``: no such target; ``env.way``: the target cannot do it this way; ``env.format``: it
            cannot unpack the archive; ``env.unbuilt``, ``env.unshipped``: what the way needs is not there;
            ``env.location``: it cannot read where that lies.
    """
    name, way = target_named(asked.target), way_of(asked)
    return TARGETS[name][1](asked, way)


def target_named(name: str) -> str:
    """The target that a name means.

    Raises:
        RequestError: ``env.target``.
    """
    found = _ALIASES.get(name, name)
    if found not in TARGETS:
        raise RequestError("env.target", f"there is no target {name!r}", fix=did_you_mean(name, TARGETS))
    return found


def way_of(asked: Asked) -> str:
    """The way that is asked for, or the one that nobody has to think about.

    Raises:
        RequestError: ``env.target``, ``env.way``.
    """
    name = target_named(asked.target)
    ways = TARGETS[name][0]
    if asked.way and asked.way not in ways:
        raise RequestError(
            "env.way", f"{name} cannot run an environment by {asked.way!r}", fix=f"take one of: {', '.join(ways)}"
        )
    if asked.way:
        return asked.way
    here = ways[0] == "prefix" and (bool(asked.environment.prefix) or len(ways) == 1)
    if here and not asked.named and not asked.node_cache:
        return "prefix"
    if "launcher" in ways and (asked.node_cache or (_format(asked) and not unpacks(name, _format(asked)))):
        return "launcher"
    return next((one for one in ways if one != "prefix"), "prefix")


def unpacks(target: str, format: str) -> bool:
    """Whether the engine unpacks the archive by itself, links and all."""
    return format == "zip" if target == "ray" else format in _NATIVE


def _format(asked: Asked) -> str:
    return asked.archive.format if asked.archive is not None else ""


def _local(asked: Asked, way: str) -> Settings:
    python = _built(asked)
    return Settings(
        "local",
        way,
        conf={"spark.pyspark.python": python, "spark.pyspark.driver.python": python},
        env={"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python},
        driver=python,
        notes=("Local masters never use spark.archives: it is unpacked where no worker looks.",),
    )


def _client(name: str, archives: str = "spark.archives", files: str = "spark.files") -> _Builder:
    """Executors on the cluster, the driver in a process of the caller's."""

    def build(asked: Asked, way: str) -> Settings:
        driver = asked.environment.interpreter
        python, conf = (_built(asked), {}) if way == "prefix" else _sent(asked, way, archives, files)
        conf["spark.pyspark.python"] = python
        env = {"PYSPARK_PYTHON": python}
        if driver:
            conf["spark.pyspark.driver.python"] = env["PYSPARK_DRIVER_PYTHON"] = driver
        notes = _driver_notes(asked)
        if way != "prefix":
            notes = (*notes, *_sending_notes(_shipped(asked)))
        if way == "prefix":
            notes = (*notes, f"Every node must have {asked.environment.prefix}.")
        return Settings(name, way, conf=conf, env=env, driver=driver, notes=notes)

    return build


def _yarn_cluster(asked: Asked, way: str) -> Settings:
    python, conf = _sent(asked, way, "spark.yarn.dist.archives", "spark.yarn.dist.files")
    conf |= {
        "spark.submit.deployMode": "cluster",
        "spark.pyspark.python": python,
        "spark.pyspark.driver.python": python,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python,
    }
    unset = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    return Settings("yarn-cluster", way, conf=conf, unset=unset, notes=_sending_notes(_shipped(asked)))


def _k8s_cluster(asked: Asked, way: str) -> Settings:
    archive = _shipped(asked)
    if is_shared_path(archive.uri):
        raise RequestError(
            "env.location",
            f"pods cannot read {archive.uri}",
            fix="push the archive where they can: nbplat env push NAME s3://bucket/envs",
        )
    python, conf = _sent(asked, way, "spark.archives", "spark.files")
    conf |= {
        "spark.submit.deployMode": "cluster",
        "spark.pyspark.python": python,
        "spark.pyspark.driver.python": python,
    }
    if way == "launcher" and asked.node_cache:
        for role in ("driver", "executor"):
            volume = f"spark.kubernetes.{role}.volumes.hostPath.nbplat-env"
            conf |= {
                f"{volume}.mount.path": asked.node_cache,
                f"{volume}.options.path": asked.node_cache,
                f"{volume}.options.type": "DirectoryOrCreate",
            }
    unset = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    return Settings("k8s-cluster", way, conf=conf, unset=unset, notes=_sending_notes(archive), tested=False)


def _connect(asked: Asked, way: str) -> Settings:
    archive = _native(asked)
    return Settings(
        "connect",
        way,
        conf={"spark.sql.execution.pyspark.python": f"{ALIAS}/bin/python"},
        artifacts=(f"{_path_here(archive)}#{ALIAS}",),
        driver=asked.environment.interpreter,
        notes=("Sent to the server for this session alone; the client needs the same minor version of Python.",),
    )


def _livy(asked: Asked, way: str) -> Settings:
    if way == "prefix":
        python = _built(asked)
        conf = {"spark.pyspark.python": python, "spark.pyspark.driver.python": python}
        body: dict[str, Any] = {"kind": "pyspark", "conf": conf}
        note = f"The gateway's host and every node must have {asked.environment.prefix}."
        return Settings("livy", way, body=body, notes=(note,), tested=False)
    if not asked.named:
        raise RequestError(
            "env.unshipped",
            "a gateway does not read this machine's archives",
            fix=f"push it: nbplat env push {asked.environment.name} URI, and name the place: --at URI",
        )
    python, conf = _sent(asked, way, "archives", "files")
    lists: dict[str, Any] = {name: conf.pop(name).split(",") for name in ("archives", "files") if name in conf}
    conf |= {
        "spark.pyspark.python": python,
        "spark.pyspark.driver.python": python,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python,
    }
    note = "For a gateway that runs its drivers on the cluster (deploy mode cluster), as Livy does on YARN."
    return Settings("livy", way, body={"kind": "pyspark", **lists, "conf": conf}, notes=(note,), tested=False)


def _ray(asked: Asked, way: str) -> Settings:
    if way == "prefix":
        python = _built(asked)
        note = f"Every node must have {asked.environment.prefix}, with Ray of the cluster's version in it."
        return Settings("ray", way, runtime_env={"py_executable": python}, driver=python, notes=(note,))
    driver = asked.environment.interpreter
    note = "The environment must hold Ray of the cluster's version, and Python of its patch version."
    if way == "archive":
        archive = _shipped(asked)
        if archive.format != "zip":
            raise RequestError(
                "env.format",
                f"Ray leaves out the links of a {archive.format} archive, and its workers would wait for ever",
                fix="pack it without links: nbplat env pack NAME --format zip, or take --way launcher",
            )
        runtime_env = {"working_dir": archive.uri, "py_executable": "./bin/python"}
        return Settings("ray", way, runtime_env=runtime_env, driver=driver, notes=(note,))
    launcher = _launcher(asked)
    if launcher.endswith(".zip"):
        script = launcher.rpartition("/")[2].removesuffix(".zip")
        runtime_env = {"working_dir": launcher, "py_executable": f"/bin/sh ./{script}"}
    elif is_shared_path(launcher):
        # By a shell: what a store has written may lack the mode of a program.
        runtime_env = {"py_executable": f"/bin/sh {shared_path(launcher)}"}
    else:
        raise RequestError(
            "env.location",
            f"Ray starts no program from {launcher}",
            fix="push the environment again, which puts a zip of the launcher there",
        )
    return Settings("ray", way, runtime_env=runtime_env, driver=driver, notes=(note,))


def _kernel(asked: Asked, way: str) -> Settings:
    python = _built(asked)
    kernel = {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"{asked.environment.name} (Python {asked.environment.python})",
        "language": "python",
        "metadata": {"nbplat": {"environment": asked.environment.name, "key": asked.environment.key}},
    }
    return Settings("kernel", way, kernel=kernel, driver=python)


def _sent(asked: Asked, way: str, archives: str, files: str) -> tuple[str, dict[str, str]]:
    """The interpreter as an executor sees it, and the properties that bring it there."""
    if way == "archive":
        return _UNPACKED, {archives: f"{spark_uri(_native(asked).uri)}#{ALIAS}"}
    launcher = spark_uri(_launcher(asked))
    sent = [launcher]
    if asked.fetch_by_session:
        sent.append(spark_uri(_shipped(asked).uri))
    return f"./{launcher.rpartition('/')[2]}", {files: ",".join(sent)}


def _built(asked: Asked) -> str:
    if not asked.environment.prefix:
        raise RequestError(
            "env.unbuilt",
            f"{asked.environment.name} is not built on this machine",
            fix=f"nbplat env build {asked.environment.name}",
        )
    return asked.environment.interpreter


def _shipped(asked: Asked) -> Shipped:
    if asked.archive is None:
        name = asked.environment.name
        raise RequestError(
            "env.unshipped",
            f"{name} has no archive",
            fix=f"nbplat env pack {name}, or nbplat env push {name} URI where the cluster's nodes read it",
        )
    return asked.archive


def _native(asked: Asked) -> Shipped:
    """The archive, in a format that Spark unpacks."""
    archive = _shipped(asked)
    if archive.format not in _NATIVE:
        raise RequestError(
            "env.format",
            f"Spark does not unpack {archive.format}: it would lie there as a plain file",
            fix="pack it as tar.gz, or take --way launcher",
        )
    return archive


def _launcher(asked: Asked) -> str:
    _shipped(asked)
    if not asked.launcher:
        raise RequestError("env.unshipped", "there is no launcher", fix="push the environment again: nbplat env push")
    return asked.launcher


def _path_here(archive: Shipped) -> str:
    """Connect clients send files of their own disk."""
    if not is_shared_path(archive.uri):
        raise RequestError(
            "env.location",
            f"a Spark Connect client sends a file of its own disk, and not {archive.uri}",
            fix="pull it first: nbplat env pull URI, or pack it here: nbplat env pack NAME",
        )
    return shared_path(archive.uri)


def _sending_notes(archive: Shipped) -> tuple[str, ...]:
    """What a person has to know of files that Spark sends."""
    notes = ("Where you set files or archives of your own already, join the values by a comma.",)
    if not spark_uri(archive.uri).startswith("s3a:"):
        return notes
    return (
        *notes,
        "s3a: needs the jar hadoop-aws of Spark's Hadoop version on the submitting host and in the cluster.",
    )


def _driver_notes(asked: Asked) -> tuple[str, ...]:
    if asked.environment.prefix:
        return ()
    minor = ".".join(asked.environment.python.split(".")[:2])
    return (f"The driver must run Python {minor}; build the environment here to have the same packages in it.",)


TARGETS: dict[str, tuple[tuple[str, ...], _Builder]] = {
    "local": (("prefix",), _local),
    "local-cluster": (("prefix", "archive", "launcher"), _client("local-cluster")),
    "standalone": (("archive", "launcher", "prefix"), _client("standalone")),
    "yarn-client": (
        ("archive", "launcher", "prefix"),
        _client("yarn-client", "spark.yarn.dist.archives", "spark.yarn.dist.files"),
    ),
    "yarn-cluster": (("archive", "launcher"), _yarn_cluster),
    "k8s-cluster": (("archive", "launcher"), _k8s_cluster),
    "connect": (("archive",), _connect),
    "livy": (("archive", "launcher", "prefix"), _livy),
    "ray": (("prefix", "archive", "launcher"), _ray),
    "kernel": (("prefix",), _kernel),
}
"""Target -> the ways it knows, what suits it first, and what makes its settings."""

_ALIASES = {"spark-local": "local", "yarn": "yarn-cluster", "k8s": "k8s-cluster", "kubernetes": "k8s-cluster"}
