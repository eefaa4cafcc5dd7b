"""What must be equal between a driver and the Python workers of its engine, and what the engine asks of both."""

from __future__ import annotations

from dataclasses import replace

from nbplat.environment.check import ERROR, WARNING, Finding, change
from nbplat.environment.definition import Targets
from nbplat.environment.floors import RAY_PARTS, compare, floors_of_spark, minor
from nbplat.environment.sides import Side

__all__ = ["check_links", "check_ray", "check_ray_part", "check_same_python", "check_spark", "check_targets"]

_PATCH = "Spark takes it, Ray does not unless RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor is set everywhere"


def check_spark(
    driver: Side,
    workers: Side,
    *,
    spark: str,
    plain_driver: bool = True,
    pandas_udfs: bool = False,
) -> list[Finding]:
    """A driver and the Python workers of its session.

    Args:
        spark: Version of the cluster's Spark; empty when it is not known.
        plain_driver: The driver is an ordinary Python with a pyspark of its own; spark-submit would give it Spark's.
        pandas_udfs: The job runs pandas UDFs or Arrow functions, whose floors then stop it.
    """
    findings = []
    if driver.python and workers.python and minor(driver.python) != minor(workers.python):
        findings.append(
            Finding(
                "python",
                ERROR,
                f"{_runs(workers)} and {driver.who} runs {driver.python}: Spark refuses another minor version at "
                "the first task",
                ((driver.who, driver.python), (workers.who, workers.python)),
                change(workers, f"python={minor(driver.python)}"),
            )
        )
    pyspark = driver.version_of("pyspark")
    if plain_driver and spark and pyspark and pyspark != spark:
        findings.append(
            Finding(
                "pyspark",
                ERROR,
                f"{driver.who} has pyspark {pyspark}, and the cluster runs Spark {spark}: a plain driver needs the "
                "same version",
                ((driver.who, pyspark), ("the cluster", spark)),
                change(driver, f"pyspark=={spark}"),
                "pyspark",
            )
        )
    return [*findings, *_spark_floors(workers, spark or pyspark, pandas_udfs)]


def _spark_floors(workers: Side, spark: str, pandas_udfs: bool) -> list[Finding]:
    floors = floors_of_spark(spark)
    if floors is None:
        return []
    findings = []
    if workers.python and compare(workers.python, floors.python) < 0:
        findings.append(
            Finding(
                "floor",
                ERROR,
                f"{_runs(workers)}, and Spark {spark or floors.spark} needs {floors.python}",
                ((workers.who, workers.python), ("Spark", f">={floors.python}")),
                change(workers, f"python>={floors.python}"),
            )
        )
    for name, least in floors.packages.items():
        found = workers.version_of(name)
        missing = bool(workers.packages) and not found
        if missing and not pandas_udfs:
            # Without Arrow functions nobody asks for it.
            continue
        if missing or (found and compare(found, least) < 0):
            findings.append(
                Finding(
                    "floor",
                    ERROR if pandas_udfs else WARNING,
                    f"{_has(workers, name, found)}, and pandas UDFs of Spark {spark or floors.spark} need {least}",
                    ((workers.who, found or "none"), ("Spark", f">={least}")),
                    change(workers, f"{name}>={least}"),
                    name,
                )
            )
    return findings


def check_ray(driver: Side, workers: Side, *, match_level: str = "patch") -> list[Finding]:
    """A driver and the workers of a Ray cluster.

    Args:
        match_level: ``patch`` or ``minor``: Ray's own ``RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL``.
    """
    findings = []
    for name, here, there in (("driver", driver, workers), ("workers", workers, driver)):
        if here.packages and not here.version_of("ray"):
            findings.append(
                Finding(
                    "ray",
                    ERROR,
                    f"{here.who} has no ray, and Ray runs its {name} with its own package only",
                    ((here.who, "none"), (there.who, there.version_of("ray") or "none")),
                    change(here, f"ray=={there.version_of('ray')}" if there.version_of("ray") else "ray"),
                    "ray",
                )
            )
    mine, theirs = driver.version_of("ray"), workers.version_of("ray")
    if mine and theirs and mine != theirs:
        findings.append(
            Finding(
                "ray",
                ERROR,
                f"{driver.who} has ray {mine} and {_has(workers, 'ray', theirs)}: Ray refuses to join",
                ((driver.who, mine), (workers.who, theirs)),
                change(workers if workers.name else driver, f"ray=={mine if workers.name else theirs}"),
                "ray",
            )
        )
    if driver.python and workers.python and driver.python != workers.python:
        apart = minor(driver.python) != minor(workers.python)
        stops = apart or match_level != "minor"
        findings.append(
            Finding(
                "python",
                ERROR if stops else WARNING,
                f"{_runs(workers)} and {driver.who} runs {driver.python}: Ray "
                + ("refuses to join" if stops else "warns of it"),
                ((driver.who, driver.python), (workers.who, workers.python)),
                change(workers, f"python={driver.python}")
                + ("" if apart else "; or set RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor on every node and here"),
            )
        )
    return findings


def check_ray_part(workers: Side, part: str) -> list[Finding]:
    """What workers need for a part of Ray: without it Ray Train starts them again and again, for ever.

    Args:
        part: ``data`` or ``train``; empty for none.
    """
    missing = [name for name in RAY_PARTS[part] if not workers.version_of(name)] if part and workers.packages else []
    if not missing:
        return []
    return [
        Finding(
            "ray",
            ERROR,
            f"{workers.who} has no {' and no '.join(missing)}, which ray.{part} imports",
            ((workers.who, "none"),),
            change(workers, *missing),
            missing[0],
        )
    ]


def check_same_python(driver: Side, workers: Side) -> list[Finding]:
    """Two interpreters that are to take part in one job, on whatever engine: Python, pyspark and ray."""
    findings = []
    if driver.python and workers.python and driver.python != workers.python:
        apart = minor(driver.python) != minor(workers.python)
        why = "functions and objects of one do not load in the other, and Spark refuses it" if apart else _PATCH
        findings.append(
            Finding(
                "python",
                ERROR if apart else WARNING,
                f"{workers.who} has Python {workers.python}, {driver.who} has {driver.python}: {why}",
                ((driver.who, driver.python), (workers.who, workers.python)),
                change(workers, f"python={minor(driver.python) if apart else driver.python}"),
            )
        )
    for name, why in (("pyspark", "a session needs the same"), ("ray", "Ray refuses to join")):
        mine, theirs = driver.version_of(name), workers.version_of(name)
        if mine and theirs and mine != theirs:
            findings.append(
                Finding(
                    name,
                    ERROR,
                    f"{workers.who} has {name} {theirs}, {driver.who} has {mine}: {why}",
                    ((driver.who, mine), (workers.who, theirs)),
                    change(workers, f"{name}=={mine}"),
                    name,
                )
            )
    return findings


def check_targets(side: Side, targets: Targets) -> list[Finding]:
    """Hold an environment against the Spark and Ray that it is declared for."""
    findings = []
    for name, wanted in (("pyspark", targets.spark), ("ray", targets.ray)):
        found = side.version_of(name)
        if wanted and found and not f"{found}.".startswith(f"{wanted}."):
            findings.append(
                Finding(
                    "target",
                    ERROR,
                    f"{side.who} is declared for {name.removeprefix('py')} {wanted} and holds {name} {found}",
                    ((side.who, found), ("declared", wanted)),
                    change(side, f"{name}={wanted}"),
                    name,
                )
            )
    if targets.ray and side.packages and not side.version_of("ray"):
        findings.append(
            Finding(
                "target",
                ERROR,
                f"{side.who} is declared for Ray {targets.ray} and holds no ray, without which no worker starts",
                ((side.who, "none"), ("declared", targets.ray)),
                change(side, f"ray={targets.ray}"),
                "ray",
            )
        )
    if targets.spark:
        findings += [replace(one, rule="target") for one in _spark_floors(side, targets.spark, pandas_udfs=False)]
    return findings


def check_links(side: Side, target: str) -> list[Finding]:
    """What the form of an archive means to what unpacks it.

    Args:
        target: ``spark`` or ``ray``.
    """
    form = side.archive
    if form is None or not form.links:
        return []
    if form.format == "zip":
        why = "Spark makes text files of links in a zip, and its workers hang"
    elif target == "ray":
        why = "Ray leaves links out when it unpacks, bin/python among them, and its tasks hang"
    else:
        return []
    return [
        Finding(
            "links",
            ERROR,
            f"{side.who} is a {form.format} with links: {why}",
            ((side.who, "links"), (target, "no links")),
            f"pack it again for its target: `nbplat env pack --target {target}`",
        )
    ]


def _runs(side: Side) -> str:
    return f"{side.who} {'run' if _several(side) else 'runs'} Python {side.python}"


def _has(side: Side, name: str, version: str) -> str:
    return f"{side.who} {'have' if _several(side) else 'has'} {f'{name} {version}' if version else f'no {name}'}"


def _several(side: Side) -> bool:
    return side.who.endswith("workers")
