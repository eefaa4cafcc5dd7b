"""Settings for small jobs, and how they and a user's own come together."""

from __future__ import annotations

from nbplat.session.conf import session_conf
from nbplat.session.small_jobs import SMALL_JOBS, small_job_conf

_JAVA = "spark.driver.extraJavaOptions"


def test_small_jobs_say_who_set_them() -> None:
    """Each setting for small jobs carries their name, and partitions follow the cores."""
    found = small_job_conf(4)
    assert {SMALL_JOBS} == {setting.origin for setting in found.values()}
    assert "8" == found["spark.sql.shuffle.partitions"].value
    assert "2" == small_job_conf(0)["spark.sql.shuffle.partitions"].value
    assert ("false", "true") == (found["spark.ui.enabled"].value, small_job_conf(1, ui=True)["spark.ui.enabled"].value)


def test_a_users_java_options_come_after_ours() -> None:
    """Java options of the site and of the request are joined to ours, the latest last; its origin is the last one's."""
    found = session_conf({_JAVA: "-Da=1"}, {_JAVA: "-Da=2"}, {"conf": {_JAVA: "-Da=3"}}, {})
    assert ("-Da=1 -Da=2 -Da=3", "request") == found[_JAVA]


def test_a_users_class_path_comes_before_ours() -> None:
    """A class path that a request gives stands before ours, which is still there."""
    key = "spark.driver.extraClassPath"
    found = session_conf({key: "/ours.jar"}, {}, {"conf": {key: "/theirs.jar"}}, {})
    assert "/theirs.jar:/ours.jar" == found[key].value
