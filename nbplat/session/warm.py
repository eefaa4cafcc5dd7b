"""Drivers that are started before a session asks for one: which fit a session, and how many are worth their memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from nbplat.remote.driver.spark_host import LAUNCH

__all__ = ["Kept", "Recipe", "Steps", "WarmLimits", "key_of", "recipe_of", "steps"]

# What a driver's process takes over at its start, beside what its JVM does.
_PROCESS = ("spark.pyspark.python", "spark.pyspark.driver.python")
_PROCESS_PREFIX = "spark.nbplat.environment"
# Whose driver needs more than a JVM: links to another Spark, a server elsewhere.
_OTHER_MASTERS = ("local-cluster", "sc://", "yarn", "k8s:", "http")
# A JVM settles who it is with its first look at a file system; settings that come later say nothing to it any more.
_BARRED = ("spark.kerberos.", "spark.yarn.principal", "spark.yarn.keytab", "spark.hadoop.hadoop.security.")
# Costs nothing to know early, and is no part of the key.
_HINTS = ("spark.sql.extensions",)


@dataclass(frozen=True, slots=True)
class WarmLimits:
    """How much may be kept warm.

    Attributes:
        count: Drivers at once; 0 is none.
        keep_s: A kind of driver that no session asked for so long is not kept, and none is kept longer.
        free_bytes: None is started with less memory free; with less than half of it free those there are end.
    """

    count: int = 1
    keep_s: float = 1800.0
    free_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a driver that can serve any session of a kind.

    Attributes:
        conf: What its process and JVM read at their start; nothing of a session besides.
        hints: What helps to load the right classes; sessions that differ in it can share a driver.
    """

    interpreter: str
    conf: Mapping[str, str]
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A warm driver, or one that is getting warm. `age_s` counts from its start."""

    name: str
    key: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do now: names to end, and the key of one to start (None: none)."""

    end: Sequence[str]
    start: str | None


def recipe_of(interpreter: str, conf: Mapping[str, str]) -> Recipe | None:
    """What a session's driver must be started with; None when no other session may have touched its JVM before.

    Args:
        conf: All of the session's settings.
    """
    master = conf.get("spark.master", "local")
    if any(key.startswith(_BARRED) for key in conf) or master.startswith(_OTHER_MASTERS):
        return None
    fixed = {
        key: value for key, value in conf.items() if key in LAUNCH or key in _PROCESS or key.startswith(_PROCESS_PREFIX)
    }
    if master.startswith("local"):
        # The process is told to keep to the loopback, whatever the number of threads.
        fixed["spark.master"] = "local"
    return Recipe(interpreter, fixed, {key: conf[key] for key in _HINTS if key in conf})


def key_of(recipe: Recipe, facts: Sequence[str]) -> str:
    """Names all drivers that can stand for each other.

    Args:
        facts: Of the machine: variables, sizes and times of the files that a driver reads at its start.
    """
    text = json.dumps([recipe.interpreter, sorted(recipe.conf.items()), list(facts)])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def steps(
    kept: Sequence[Kept], unused_s: Mapping[str, float], limits: WarmLimits, *, free_bytes: int, busy: bool
) -> Steps:
    """Decide what to end and what to start.

    Args:
        unused_s: By key: since when no session asked for it. The most recent ones are kept.
        free_bytes: Memory that the machine has left.
        busy: Whether a start now would take time from somebody who waits.
    """
    if free_bytes < limits.free_bytes // 2:
        return Steps([one.name for one in kept], None)
    recent = sorted((age, key) for key, age in unused_s.items() if age < limits.keep_s)
    wanted = list(islice(cycle([key for _, key in recent]), limits.count)) if recent else []
    end = []
    for one in sorted(kept, key=lambda each: each.age_s):
        if one.key in wanted and one.age_s < limits.keep_s:
            wanted.remove(one.key)
        else:
            end.append(one.name)
    room = free_bytes >= limits.free_bytes and not busy
    return Steps(end, wanted[0] if wanted and room else None)
