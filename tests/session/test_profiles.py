"""Profiles of the site: what each sets, who may use it, and what a request may change of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.clock import SystemClock
from nbplat.compose import Platform
from nbplat.config import Config, load_config
from nbplat.errors import Forbidden, RequestError
from nbplat.service.discovery import environ_of
from nbplat.session.access import Principal
from nbplat.session.builtin_profiles import builtin_profiles
from nbplat.session.livy_request import read_session_request
from nbplat.session.profile_reading import read_profiles
from nbplat.session.profile_rules import Rule, read_rule
from nbplat.session.profiles import Profiles
from nbplat.session.session_request import read_start

ETL = """
[session]
profile = "etl"

[profiles.etl]
about = "nightly jobs"
queue = "etl"
driver_memory = "4g"
num_executors = 10
ttl = "8h"
users = ["ann", "@ml"]

[profiles.etl.conf]
spark.dynamicAllocation.enabled = true
"spark.executor.memoryOverhead" = "1g"

[profiles.etl.allow]
driver_memory = { least = "1g", most = "16g" }
num_executors = { most = 50 }
queue = ["etl", "adhoc"]
ttl = { most = "24h" }
environment = ["ranker"]
jars = ["hdfs:///a.jar", "hdfs:///b.jar"]
spark.sql.shuffle.partitions = { most = 2000 }

[profiles.fixed]
only = true
allow = { driver_memory = { most = "2g" } }
"""
ANN = Principal("ann", False, "test")


def config_of(folder: Path, text: str = ETL, **options: str) -> Config:
    (folder / "nbplat.toml").write_text(text)
    given = {"home": str(folder / "home"), **options}
    return load_config(given, environ={}, cwd=folder, user_file=folder / "none.toml")


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return read_profiles(config_of(tmp_path).profile_tables(), "etl", builtin=builtin_profiles(2))


def native(**data: Any) -> dict[str, Any]:
    return read_start(data)


def test_a_profile_stands_between_the_site_and_the_request(tmp_path: Path) -> None:
    """Each setting says who said it: the site, the profile by name, or the request's field or conf."""
    config = config_of(tmp_path, ETL + '\n[spark.conf]\n"spark.executor.memory" = "3g"\n"spark.yarn.queue" = "site"\n')
    platform = Platform(config, SystemClock())
    asked = native(driver_memory="2g", conf={"spark.sql.shuffle.partitions": "7"})
    draft = platform.session_draft(asked, "ann", "http://127.0.0.1:1", "t")
    origins = draft.request["origins"]
    expected = {
        "spark.yarn.queue": ("etl", "profile etl"),
        "spark.executor.memory": ("3g", "site"),
        "spark.driver.memory": ("2g", "request field driverMemory"),
        "spark.executor.instances": ("10", "profile etl"),
        "spark.dynamicAllocation.enabled": ("true", "profile etl"),
        "spark.executor.memoryOverhead": ("1g", "profile etl"),
        "spark.sql.shuffle.partitions": ("7", "request"),
        "spark.master": ("local[*]", "platform"),
    }
    assert expected == {key: (draft.conf[key], origins[key]) for key in expected}
    assert ("etl", "8h") == (draft.request["profile"], draft.request["ttl"])
    platform.close()


def test_livy_clients_name_a_profile_in_their_conf(tmp_path: Path) -> None:
    """``nbplat.profile`` chooses, is echoed as it was sent, and never reaches Spark; batches as well."""
    platform = Platform(config_of(tmp_path), SystemClock())
    asked = read_session_request({"kind": "pyspark", "conf": {"nbplat.profile": "small", "spark.x": "1"}})
    draft = platform.session_draft(asked, "ann", "http://127.0.0.1:1", "t")
    assert {"nbplat.profile": "small", "spark.x": "1"} == draft.request["conf"]
    assert "nbplat.profile" not in draft.conf
    assert "profile small" == draft.request["origins"]["spark.locality.wait"]
    batch = platform.batch_draft({"file": "/x", "conf": {}}, "ann", "http://127.0.0.1:1", "t")
    assert "etl" == batch.conf["spark.yarn.queue"]
    platform.close()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (native(driver_memory="32g"), ("driver_memory", "32g", "is over 16g", "1g to 16g", "etl")),
        (native(driver_memory="900m"), ("driver_memory", "900m", "is under 1g", "etl")),
        (native(conf={"spark.driver.memory": "17179869185b"}), ("spark.driver.memory", "is over 16g")),
        (native(conf={"spark.driver.memory": "16385"}), ("spark.driver.memory", "is over 16g")),
        (native(conf={"spark.driver.memory": "lots"}), ("lots", "cannot be held against 1g to 16g")),
        (native(num_executors=51), ("num_executors", "51", "is over 50")),
        (native(queue="root"), ("queue", "root", "is none of etl, adhoc")),
        (native(conf={"spark.yarn.queue": "root"}), ("spark.yarn.queue", "is none of etl, adhoc")),
        (native(ttl="2d"), ("ttl", "2d", "is over 24h")),
        (native(environment="mine"), ("environment", "mine", "is none of ranker")),
        (native(jars=["hdfs:///a.jar", "/x.jar"]), ("jars", "is none of hdfs:///a.jar, hdfs:///b.jar")),
        (native(conf={"spark.sql.shuffle.partitions": "2001"}), ("spark.sql.shuffle.partitions", "is over 2000")),
        (native(profile="fixed", driver_memory="3g"), ("driver_memory", "is over 2g", "fixed")),
        (native(profile="fixed", queue="x"), ("fixed", "does not let queue be set", "driver_memory")),
        (native(profile="fixed", conf={"spark.x": "1"}), ("does not let spark.x be set",)),
        (read_session_request({"ttl": "2d"}), ("ttl", "2d", "is over 24h")),
    ],
)
def test_a_value_outside_its_range_is_refused(
    profiles: Profiles, request_: dict[str, Any], said: tuple[str, ...]
) -> None:
    """By field or by conf, with key, value, range and profile."""
    with pytest.raises(RequestError) as caught:
        profiles.fit(request_)
    assert [] == [word for word in said if word not in f"{caught.value}"]


@pytest.mark.parametrize(
    "request_",
    [
        native(driver_memory="16g"),
        native(driver_memory="16384m"),
        native(conf={"spark.driver.memory": "1024"}),
        native(num_executors=50, queue="adhoc", ttl="24h", environment="ranker", jars=["hdfs:///b.jar"]),
        native(conf={"spark.anything": "else"}),
        native(profile="fixed", driver_memory="2048m"),
        native(profile="fixed", name="named", kind="sql"),
    ],
)
def test_a_value_inside_its_range_is_taken(profiles: Profiles, request_: dict[str, Any]) -> None:
    """Sizes are compared as sizes, and what no rule names is free unless the profile says ``only``."""
    assert profiles.fit(request_).profile.name == request_.get("profile", "etl")


def test_a_wrong_name_is_told_the_near_one(profiles: Profiles) -> None:
    """Among those that this user may use."""
    with pytest.raises(RequestError, match="no profile 'smal'") as caught:
        profiles.admit({"profile": "smal"}, ANN)
    assert "did you mean small?" == caught.value.fix
    with pytest.raises(RequestError, match="two profiles"):
        profiles.fit({"profile": "small", "conf": {"nbplat.profile": "etl"}})


def test_a_profile_is_for_its_users(profiles: Profiles) -> None:
    """By name, by group, and for admins; others do not see it."""
    eve = Principal("eve", False, "test")
    for who in (ANN, Principal("bob", False, "test", frozenset({"ml"})), Principal("root", True, "test")):
        assert "etl" == profiles.admit({}, who).name
        assert ["default", "etl", "fixed", "small"] == [one.name for one in profiles.for_user(who)]
    with pytest.raises(Forbidden, match="profile etl is not for eve"):
        profiles.admit({}, eve)
    assert ["default", "fixed", "small"] == [one.name for one in profiles.for_user(eve)]


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"driver_memry": "1g"}, "profiles.x.driver_memry"),
        ({"driver_memory": ["1g"]}, "profiles.x.driver_memory"),
        ({"conf": {"spark.master": "yarn"}}, "profiles.x.conf.spark.master"),
        ({"conf": []}, "profiles.x.conf"),
        ({"users": "ann"}, "profiles.x.users"),
        ({"only": "yes"}, "profiles.x.only"),
        ({"allow": {"driver_memry": {"most": 1}}}, "profiles.x.allow.driver_memry"),
        ({"allow": {"driver_memory": {"most": "much"}}}, "profiles.x.allow.driver_memory"),
        ({"allow": {"driver_memory": {"least": "2g", "most": "1g"}}}, "profiles.x.allow.driver_memory"),
        ({"allow": {"queue": {"choices": ["a"], "most": 1}}}, "profiles.x.allow.queue"),
        ({"driver_memory": "4g", "allow": {"driver_memory": {"most": "2g"}}}, "profiles.x.allow.driver_memory"),
        (5, "profiles.x"),
    ],
)
def test_a_profile_that_is_not_understood_stops_the_start(table: Any, where: str) -> None:
    """With its place; a profile whose own value breaks its own rule as well."""
    with pytest.raises(RequestError) as caught:
        read_profiles({"x": table}, "default", builtin=builtin_profiles(2))
    assert ("profile.declaration", where) == (caught.value.code, caught.value.where)


def test_the_default_must_be_there(tmp_path: Path) -> None:
    """A default that is none stops the start."""
    with pytest.raises(RequestError, match=r"session\.profile names 'smll'") as caught:
        read_profiles({}, "smll", builtin=builtin_profiles(2))
    assert "did you mean small?" == caught.value.fix


def test_profiles_come_from_project_file_own_file_and_variable(tmp_path: Path) -> None:
    """The nearer stands in the other's place, profile by profile, and a started service gets the same."""
    own = tmp_path / "site.toml"
    own.write_text('[profiles.etl]\nqueue = "own"\n[profiles.more]\n')
    config = config_of(tmp_path, **{"session.profiles_file": str(own)})
    assert {"queue": "own"} == config.profile_tables()["etl"]
    assert {"etl", "fixed", "more"} == set(config.profile_tables())
    environ = environ_of(config)
    again = load_config(environ=environ, cwd=tmp_path / "elsewhere", user_file=tmp_path / "none.toml")
    assert config.profile_tables() == again.profile_tables()
    shown = {setting.key: setting.value for setting in config.settings()}
    assert "etl, fixed" == shown["profiles"]
    by_variable = {"NBPLAT_PROFILES": json.dumps({"v": {"queue": "q"}})}
    only = load_config(environ=by_variable, cwd=tmp_path / "elsewhere", user_file=tmp_path / "none.toml")
    assert {"v": {"queue": "q"}} == only.profile_tables()


@pytest.mark.parametrize("text", ["profiles = 5", "[profiles]\nx = 5"])
def test_profiles_that_are_no_tables_are_refused(tmp_path: Path, text: str) -> None:
    """Before anything starts."""
    with pytest.raises(RequestError, match="no table of profiles"):
        config_of(tmp_path, text)


def test_a_profiles_file_holds_nothing_else(tmp_path: Path) -> None:
    """Other settings in it would be lost in silence."""
    own = tmp_path / "site.toml"
    own.write_text('[sesion]\nprofile = "x"\n')
    with pytest.raises(RequestError, match="holds more than profiles"):
        config_of(tmp_path, **{"session.profiles_file": str(own)}).profile_tables()
    with pytest.raises(RequestError, match="cannot be read"):
        config_of(tmp_path, **{"session.profiles_file": str(tmp_path / "no.toml")}).profile_tables()


_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@given(
    st.tuples(st.integers(1, 5000), st.sampled_from("kmgt")), st.tuples(st.integers(1, 5000), st.sampled_from("kmgt"))
)
def test_sizes_are_compared_by_their_bytes(value: tuple[int, str], most: tuple[int, str]) -> None:
    """Whatever the units of value and limit."""
    fits = value[0] * _UNITS[value[1]] <= most[0] * _UNITS[most[1]]
    rule = read_rule("spark.executor.memory", {"most": f"{most[0]}{most[1]}"})
    for spelt in (f"{value[0]}{value[1]}", f"{value[0]}{value[1].upper()}B", f" {value[0]} {value[1]} "):
        assert fits == (rule.fault(spelt) == "")


@given(st.text(max_size=12))
def test_no_value_breaks_a_rule(text: str) -> None:
    """Any text is inside, outside, or said to be no such thing."""
    for rule in (
        read_rule("spark.executor.memory", {"least": "1g", "most": "2g"}),
        read_rule("spark.executor.cores", {"least": 1, "most": 4}),
        read_rule("ttl", {"most": "1h"}),
        Rule("queue", choices=("a",)),
    ):
        assert isinstance(rule.fault(text), str)


def test_settings_of_tables_reach_a_started_service(tmp_path: Path) -> None:
    """Rules of the audit as well, which have no field of their own."""
    config = config_of(tmp_path, '[audit]\nnulls = "warn"\n')
    again = load_config(environ=environ_of(config), cwd=tmp_path / "elsewhere", user_file=tmp_path / "none.toml")
    assert {"nulls": "warn"} == again.audit
