"""The exact settings that have a target run an environment, and how they are written down."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbplat.errors import RequestError, did_you_mean

__all__ = ["FORMS", "Settings", "settings_text"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """What to set, and where.

    Attributes:
        target: ``standalone`` …; see `nbplat.environment.targets`.
        way: ``prefix`` (the folder on this machine), ``archive`` (the engine unpacks it) or ``launcher`` (unpacked
            once per node).
        conf: Spark's properties.
        env: Variables that must be set before the driver makes its session.
        unset: Variables that must not be set.
        driver: Interpreter that the driver is to run in; empty where the target starts the driver itself.
        runtime_env: Ray's; empty for others.
        artifacts: Archives that a Spark Connect session adds for itself, ``<path>#environment``.
        body: JSON body of a Livy session; empty for others.
        kernel: A ``kernel.json``; empty for others.
        notes: What a person has to know, one sentence each.
        tested: False where no test of nbplat runs such a target.
    """

    target: str
    way: str
    conf: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    unset: tuple[str, ...] = ()
    driver: str = ""
    runtime_env: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    artifacts: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    kernel: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    notes: tuple[str, ...] = ()
    tested: bool = True

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "target": self.target,
            "way": self.way,
            "conf": dict(self.conf),
            "env": dict(self.env),
            "unset": list(self.unset),
            "driver": self.driver,
            "runtime_env": dict(self.runtime_env),
            "artifacts": list(self.artifacts),
            "body": dict(self.body),
            "kernel": dict(self.kernel),
            "notes": list(self.notes),
            "tested": self.tested,
        }


def settings_text(settings: Settings, form: str = "") -> str:
    """The settings as text to paste.

    Args:
        form: ``python``, ``submit`` (a shell command), ``properties`` (spark-defaults.conf) or ``json``; empty takes
            the one that the target is used by.

    Raises:
        RequestError: ``env.form``: no such form, or not for this target.
    """
    form = form or _usual(settings)
    if form not in FORMS:
        raise RequestError("env.form", f"there is no form {form!r}", fix=did_you_mean(form, FORMS))
    if form in ("submit", "properties") and not settings.conf:
        raise RequestError(
            "env.form",
            f"settings for {settings.target} have no form {form!r}: they are no Spark properties",
            fix=f"take {_usual(settings)}",
        )
    text = FORMS[form](settings)
    if form == "json":
        return text
    notes = [
        *settings.notes,
        *(() if settings.tested else ("Checked against Spark's code; not run on such a cluster.",)),
    ]
    return "".join(f"# {note}\n" for note in notes) + text


def _usual(settings: Settings) -> str:
    return "json" if settings.body or settings.kernel else "python"


def _python(settings: Settings) -> str:
    lines = ["import os"] if settings.env or settings.unset else []
    lines += [f"os.environ[{name!r}] = {value!r}" for name, value in settings.env.items()]
    lines += [f"os.environ.pop({name!r}, None)" for name in settings.unset]
    if settings.driver:
        lines.insert(0, f"# Run this with {settings.driver}")
    if settings.artifacts:
        lines.insert(0, "# SPARK_REMOTE names the server: sc://host:15002")
    if settings.runtime_env:
        return "\n".join([*lines, "import ray", f"ray.init(runtime_env={dict(settings.runtime_env)!r})"]) + "\n"
    lines += ["from pyspark.sql import SparkSession", "spark = ("]
    lines += ["    SparkSession.builder"]
    lines += [f"    .config({key!r}, {value!r})" for key, value in settings.conf.items() if not settings.artifacts]
    lines += ["    .getOrCreate()", ")"]
    lines += [f"spark.addArtifacts({one!r}, archive=True)" for one in settings.artifacts]
    if settings.artifacts:
        lines += [f"spark.conf.set({key!r}, {value!r})" for key, value in settings.conf.items()]
    return "\n".join(lines) + "\n"


def _submit(settings: Settings) -> str:
    before = [" ".join(["env", *(f"-u {name}" for name in settings.unset)])] if settings.unset else []
    before += [f"{name}={shlex.quote(value)}" for name, value in settings.env.items()]
    conf = [f"--conf {shlex.quote(f'{key}={value}')}" for key, value in settings.conf.items()]
    return " \\\n  ".join([" ".join([*before, "spark-submit"]), *conf, "JOB.py"]) + "\n"


def _properties(settings: Settings) -> str:
    return "".join(f"{key} {value}\n" for key, value in settings.conf.items())


def _json(settings: Settings) -> str:
    chosen = settings.body or settings.kernel or settings.record()
    return json.dumps(chosen, indent=2) + "\n"


FORMS = {"python": _python, "submit": _submit, "properties": _properties, "json": _json}
