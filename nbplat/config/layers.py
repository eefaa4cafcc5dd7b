"""Reads the layers of a configuration; a later one wins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nbplat.config import files
from nbplat.config.settings import Config, variable_of
from nbplat.config.values import PROFILES, SPARK_CONF, convert, profile_table, spark_conf, spark_text
from nbplat.errors import RequestError, did_you_mean

__all__ = ["load_config"]


def load_config(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user_file: Path | None = None,
) -> Config:
    """Read every layer.

    Args:
        options: Values by file key (``{"home": …, "limits.threads": 4}``); None entries are unset.
        environ: Stands in for the process's environment in tests.
        cwd: Where the search for the project file starts.
        user_file: Stands in for the platform's user config file.

    Raises:
        RequestError: an unknown key or a value of another type, naming file, key and mend.
    """
    layers = _Layers()
    for path in (user_file or files.user_file(), files.project_file(cwd or Path.cwd())):
        if path is not None and path.is_file():
            layers.take_file(path)
    layers.take_variables(os.environ if environ is None else environ)
    for key, raw in (options or {}).items():
        if raw is not None:
            layers.take(key, raw, "option")
    return layers.config()


class _Layers:
    """Values so far, by field of `Config`, and where each came from."""

    def __init__(self) -> None:
        self._known = {one.metadata["key"]: one for one in fields(Config) if "key" in one.metadata}
        self._tables = {one.metadata["table"]: one.name for one in fields(Config) if "table" in one.metadata}
        self._values: dict[str, Any] = {}
        self._sources: dict[str, str] = {}

    def take(self, key: str, raw: Any, source: str) -> None:
        """Put a value in the place of an earlier layer's."""
        if key.startswith(SPARK_CONF + "."):
            # A table of the file: each of its keys is one of Spark's own.
            before = json.loads(self._values.get("spark_conf") or "{}")
            spark = {**before, key.removeprefix(SPARK_CONF + "."): spark_text(raw)}
            self._set("spark_conf", json.dumps(spark, sort_keys=True), source)
            return
        table, _, name = key.partition(".")
        if table in self._tables and name:
            self._values.setdefault(self._tables[table], {})[name] = spark_text(raw)
            self._sources[key] = source
            return
        if key not in self._known:
            fix = did_you_mean(key, self._known)
            raise RequestError("config.key", f"{source} sets {key!r}, which is no setting", fix=fix, where=source)
        one = self._known[key]
        if key == PROFILES:
            self._set(one.name, json.dumps(profile_table(raw, source), sort_keys=True, default=str), source)
        else:
            value = spark_conf(raw, source) if key == SPARK_CONF else convert(raw, one.type, key, source)
            self._set(one.name, value, source)

    def take_file(self, path: Path) -> None:
        """Take what a file sets."""
        data = files.read_toml(path)
        if PROFILES in data:
            # A profile of the nearer file stands in the place of the other's.
            before = json.loads(self._values.get(PROFILES) or "{}")
            self.take(PROFILES, before | profile_table(data.pop(PROFILES), str(path)), str(path))
        for key, raw in files.flat(data).items():
            self.take(key, raw, str(path))

    def take_variables(self, environ: Mapping[str, str]) -> None:
        """Take what the environment sets."""
        for key in self._known:
            if (raw := environ.get(variable_of(key))) is not None:
                self.take(key, raw, variable_of(key))
        for table in self._tables:
            prefix = variable_of(table) + "_"
            for variable in sorted(name for name in environ if name.startswith(prefix)):
                # The first word names the rule, what follows its threshold: AUDIT_NULLS_MAX_SHARE.
                first, _, rest = variable.removeprefix(prefix).lower().partition("_")
                self.take(f"{table}.{first}.{rest}" if rest else f"{table}.{first}", environ[variable], variable)

    def config(self) -> Config:
        """The whole, with the folder of its state made absolute."""
        home = self._values.get("home")
        if not home:
            import platformdirs

            home = platformdirs.user_data_dir("nbplat", appauthor=False)
            self._sources.setdefault("home", "default")
        return Config(**{**self._values, "home": Path(home).expanduser().absolute()}, sources=self._sources)

    def _set(self, name: str, value: Any, source: str) -> None:
        self._values[name], self._sources[name] = value, source
