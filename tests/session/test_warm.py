"""Which sessions may share a warm driver, and how many are kept."""

from __future__ import annotations

import pytest

from nbplat.session.warm import Kept, WarmLimits, key_of, recipe_of, steps

LIMITS = WarmLimits(count=2, keep_s=100.0, free_bytes=1000)


def key(interpreter: str = "python", facts: tuple[str, ...] = (), **conf: str) -> str:
    recipe = recipe_of(interpreter, {name.replace("__", "."): value for name, value in conf.items()})
    assert recipe is not None
    return key_of(recipe, facts)


def test_what_comes_with_the_context_makes_no_other_driver() -> None:
    """Sessions that differ in master, name or queries share a driver."""
    assert key() == key(spark__master="local[4]", spark__app__name="x", spark__sql__extensions="y")


@pytest.mark.parametrize(
    "other",
    [
        {"interpreter": "other"},
        {"facts": ("a jar has changed",)},
        {"spark__driver__memory": "2g"},
        {"spark__driver__extraJavaOptions": "-Da=b"},
        {"spark__driver__extraClassPath": "/a.jar"},
        {"spark__jars": "/a.jar"},
        {"spark__submit__pyFiles": "/a.py"},
        {"spark__pyspark__python": "/env/bin/python"},
        {"spark__nbplat__environment__key": "abc"},
    ],
)
def test_what_cannot_change_after_the_start_makes_another(other: dict[str, str]) -> None:
    """Each thing that process and JVM read once is a part of the key."""
    assert key() != key(**other)  # type: ignore[arg-type]


def test_a_session_with_an_identity_of_its_own_gets_a_fresh_jvm() -> None:
    """Settings of Kerberos and of Hadoop's security are read once for all: no warm driver serves them."""
    assert recipe_of("python", {"spark.kerberos.principal": "ann"}) is None
    assert recipe_of("python", {"spark.hadoop.hadoop.security.authentication": "kerberos"}) is None


def test_masters_whose_drivers_need_more_are_started_for_their_session() -> None:
    """Sessions of local and standalone masters may be served warm, those of other masters not; the two are apart."""
    for master in ("local-cluster[2,1,1024]", "yarn", "sc://host:15002"):
        assert recipe_of("python", {"spark.master": master}) is None
    assert key(spark__master="spark://host:7077") != key(spark__master="local[2]")


def test_a_recipe_holds_nothing_of_its_session() -> None:
    """The settings of a context, secrets among them, are not kept with a warm driver."""
    recipe = recipe_of("python", {"spark.sql.catalog.nb.token": "secret", "spark.driver.memory": "1g"})
    assert recipe is not None
    assert {"spark.driver.memory": "1g", "spark.master": "local"} == recipe.conf
    assert {} == recipe.hints


def test_the_most_recent_kinds_are_kept() -> None:
    """Of three kinds the two that were used last get a driver; a kind alone gets all of them."""
    found = steps([], {"a": 30.0, "b": 10.0, "c": 20.0}, LIMITS, free_bytes=1000, busy=False)
    assert ([], "b") == (found.end, found.start)
    kept = [Kept("1", "b", 1.0), Kept("2", "a", 1.0)]
    found = steps(kept, {"a": 30.0, "b": 10.0, "c": 20.0}, LIMITS, free_bytes=1000, busy=False)
    assert (["2"], "c") == (found.end, found.start)
    found = steps([Kept("1", "a", 1.0)], {"a": 0.0}, LIMITS, free_bytes=1000, busy=False)
    assert ([], "a") == (found.end, found.start)


def test_nothing_is_kept_for_ever() -> None:
    """A driver that is too old ends, and so does one whose kind nobody asked for."""
    found = steps([Kept("1", "a", 101.0)], {"a": 1.0}, LIMITS, free_bytes=1000, busy=False)
    assert (["1"], "a") == (found.end, found.start)
    found = steps([Kept("1", "a", 50.0)], {"a": 101.0}, LIMITS, free_bytes=1000, busy=False)
    assert (["1"], None) == (found.end, found.start)
    found = steps([Kept("1", "a", 50.0)], {"a": 1.0}, WarmLimits(count=0), free_bytes=1 << 40, busy=False)
    assert (["1"], None) == (found.end, found.start)


def test_memory_comes_first() -> None:
    """With little memory none is started; with very little, those there are end."""
    assert steps([], {"a": 1.0}, LIMITS, free_bytes=999, busy=False).start is None
    kept = [Kept("1", "a", 1.0)]
    assert [] == steps(kept, {"a": 1.0}, LIMITS, free_bytes=999, busy=False).end
    assert ["1"] == steps(kept, {"a": 1.0}, LIMITS, free_bytes=499, busy=False).end


def test_nobody_waits_for_a_warm_up() -> None:
    """While a session starts no driver is warmed up."""
    assert steps([], {"a": 1.0}, LIMITS, free_bytes=1000, busy=True).start is None
