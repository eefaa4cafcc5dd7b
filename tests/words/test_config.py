"""One configuration whose values know where they come from."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from nbplat.config import Config, load_config, redact_url
from nbplat.errors import RequestError


@pytest.fixture
def layers(tmp_path: Path) -> dict[str, Any]:
    """A user file, a project folder with a folder below it, and an empty environment."""
    (tmp_path / "project" / "deep").mkdir(parents=True)
    return {"user_file": tmp_path / "user.toml", "cwd": tmp_path / "project" / "deep", "environ": {}}


def shown(config: Config) -> dict[str, tuple[Any, str]]:
    return {setting.key: (setting.value, setting.source) for setting in config.settings()}


def test_later_layers_win(layers: dict[str, Any], tmp_path: Path) -> None:
    """Default, user file, project file, variable, option: each layer beats the ones before, and is named."""
    project = tmp_path / "project" / "nbplat.toml"
    key = "limits.threads"
    assert (0, "default") == shown(load_config(**layers))[key]
    layers["user_file"].write_text("[limits]\nthreads = 1\nmemory_bytes = 5\n")
    assert (1, str(layers["user_file"])) == shown(load_config(**layers))[key]
    project.write_text("[limits]\nthreads = 2\n")
    assert (2, str(project)) == shown(load_config(**layers))[key]
    layers["environ"]["NBPLAT_LIMITS_THREADS"] = "3"
    assert (3, "NBPLAT_LIMITS_THREADS") == shown(load_config(**layers))[key]
    config = load_config({key: 4, "catalog.name": None}, **layers)
    assert (4, "option") == shown(config)[key]
    assert (5, str(layers["user_file"])) == shown(config)["limits.memory_bytes"]
    assert ("", "default") == shown(config)["catalog.name"]


def test_the_nearest_project_file_counts(layers: dict[str, Any], tmp_path: Path) -> None:
    """The search goes upward and stops at the first."""
    (tmp_path / "nbplat.toml").write_text("limits.threads = 1\nprices.cpu_hour = 2.5\n")
    (tmp_path / "project" / "nbplat.toml").write_text("limits.threads = 2\n")
    config = load_config(**layers)
    assert (2, 0.0) == (config.threads, config.cpu_price_hour)


def test_spark_settings_are_a_table_whose_secrets_are_not_shown(layers: dict[str, Any], tmp_path: Path) -> None:
    """Each key of `[spark.conf]` is one of Spark's own, with dots, and a secret is hidden where settings are shown."""
    (tmp_path / "nbplat.toml").write_text(
        '[spark]\nmaster = "local[2]"\n[spark.conf]\n"spark.executor.memory" = "4g"\nspark.sql.ansi.enabled = true\n'
        '"spark.hadoop.fs.s3a.secret.key" = "hush"\n'
    )
    config = load_config(**layers)
    given = {"spark.executor.memory": "4g", "spark.sql.ansi.enabled": "true", "spark.hadoop.fs.s3a.secret.key": "hush"}
    assert given == config.spark_settings
    assert "hush" not in str(config.settings())


def test_spark_settings_that_are_no_table_are_refused(layers: dict[str, Any]) -> None:
    """Text that is no JSON object names the setting and shows how to write it."""
    with pytest.raises(RequestError, match=r"spark\.conf.*no table of Spark settings"):
        load_config(**{**layers, "environ": {"NBPLAT_SPARK_CONF": "executor=4g"}})


@pytest.mark.parametrize("field", [f for f in fields(Config) if "key" in f.metadata], ids=lambda f: f.metadata["key"])
def test_every_setting_can_be_set_by_its_variable(layers: dict[str, Any], field: Any) -> None:
    """Each value has a key, a help text and a variable, and takes its type from text."""
    [setting] = [s for s in load_config(**layers).settings() if s.key == field.metadata["key"]]
    assert setting.help
    assert setting.variable.startswith("NBPLAT_")
    text, value = {
        "bool": ("yes", True),
        "int": ("7", 7),
        "float": ("1.5", 1.5),
        "Path": ("/some/where", Path("/some/where")),
    }.get(str(field.type), ("text", "text"))
    if setting.key == "spark.conf":
        text = value = '{"spark.executor.memory": "4g"}'
    if setting.key == "service.oidc_client_secret":
        text, value = "the secret itself", "***"
    if setting.key == "profiles":
        text, value = '{"b": {}, "a": {}}', "a, b"
    config = load_config(**{**layers, "environ": {setting.variable: text}})
    assert (value, setting.variable) == shown(config)[setting.key]


def test_variables_are_distinct(layers: dict[str, Any]) -> None:
    """No two settings listen to one variable; the service's address is NBPLAT_URL."""
    variables = [setting.variable for setting in load_config(**layers).settings()]
    assert len(set(variables)) == len(variables)
    assert {"NBPLAT_HOME", "NBPLAT_URL", "NBPLAT_TOKEN_FILE"} <= set(variables)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"limits.thread": 1}, "config.key", "did you mean limits.threads"),
        ({"limits.threads": "many"}, "config.value", "limits.threads"),
        ({"limits.threads": True}, "config.value", "limits.threads"),
        ({"limits.lease_seconds": "soon"}, "config.value", "float"),
        ({"service.allow_plain": "maybe"}, "config.value", "bool"),
    ],
)
def test_a_wrong_option_is_refused(layers: dict[str, Any], options: dict[str, Any], code: str, says: str) -> None:
    """Unknown keys get their nearest, wrong values their type."""
    with pytest.raises(RequestError) as caught:
        load_config(options, **layers)
    assert (code, "option") == (caught.value.code, caught.value.where)
    assert says in caught.value.fix


def test_a_wrong_file_is_named(layers: dict[str, Any]) -> None:
    """Broken TOML, an unknown key or a wrong value name their file."""
    for text, code in (("limits = [", "config.syntax"), ("nope = 1", "config.key"), ("[limits]\nthreads = 'x'", None)):
        layers["user_file"].write_text(text)
        with pytest.raises(RequestError) as caught:
            load_config(**layers)
        assert (code or "config.value", str(layers["user_file"])) == (caught.value.code, caught.value.where)
    layers["user_file"].write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError):
        load_config(**layers)


def test_a_wrong_variable_is_named(layers: dict[str, Any]) -> None:
    """The error names the variable that holds the wrong value."""
    with pytest.raises(RequestError) as caught:
        load_config(**{**layers, "environ": {"NBPLAT_PORT": "http"}})
    assert ("config.value", "NBPLAT_PORT") == (caught.value.code, caught.value.where)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("YES", True), ("0", False), ("False", False), ("no", False)]
)
def test_booleans_are_read_as_people_write_them(layers: dict[str, Any], text: str, value: bool) -> None:
    """Words and digits alike."""
    assert value is load_config({"service.allow_plain": text}, **layers).service_allow_plain


def test_home_is_absolute(layers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative or ~ path becomes absolute; without any, the platform's data folder is taken."""
    monkeypatch.setenv("HOME", "/home/me")
    assert Path("/home/me/nb") == load_config({"home": "~/nb"}, **layers).home
    assert load_config({"home": "nb"}, **layers).home.is_absolute()
    default = load_config(**layers)
    assert default.home.is_absolute()
    assert "default" == shown(default)["home"][1]


def test_a_config_does_not_change(layers: dict[str, Any]) -> None:
    """It is a value; where values came from does not count in comparing."""
    config = load_config({"limits.threads": 3}, **layers)
    with pytest.raises(FrozenInstanceError):
        config.threads = 4  # type: ignore[misc]
    again = load_config(**{**layers, "environ": {"NBPLAT_LIMITS_THREADS": "3"}})
    assert config == again
    assert config.sqlite_store
    assert not load_config({"store.url": "postgresql://h/db"}, **layers).sqlite_store


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://me:hush@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:s3:c@host:5432/db?x=1", "postgresql+psycopg://me:***@host:5432/db?x=1"),
        ("postgresql://:hush@host/db", "postgresql://:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////tmp/store.db", "sqlite:////tmp/store.db"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000/api"),
        ("", ""),
    ],
)
def test_passwords_in_urls_are_hidden(url: str, safe: str, layers: dict[str, Any]) -> None:
    """What is shown holds no password; what is used does."""
    assert safe == redact_url(url)
    config = load_config({"store.url": url}, **layers)
    assert url == config.store_url
    assert safe == shown(config)["store.url"][0]
    assert "hush" not in repr(config.settings())
