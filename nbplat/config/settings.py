"""The settings, each declared once: its default, its meaning and its key; a value knows its source."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nbplat.config.files import read_toml
from nbplat.config.values import PROFILES, shown
from nbplat.errors import RequestError

__all__ = ["Config", "Setting", "variable_of"]


def _setting(default: Any, help: str, *, key: str) -> Any:
    return field(default=default, metadata={"help": help, "key": key})


def _table(help: str, *, table: str) -> Any:
    """Settings whose names an area checks itself: ``[audit]`` in a file, ``NBPLAT_AUDIT_*`` as variables."""
    return field(default_factory=dict, metadata={"help": help, "table": table})


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from, as `%nbplat config` shows it."""

    key: str
    value: Any
    source: str
    help: str
    variable: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Each field's file key and help stand beside it."""

    home: Path = _setting(Path(), "state folder: store, warehouse, runs, logs", key="home")
    service_url: str = _setting("", "a team's service; empty starts one on this machine", key="service.url")
    service_token_file: str = _setting("", "file that holds the token of service.url", key="service.token_file")
    service_host: str = _setting("127.0.0.1", "address the service binds", key="service.host")
    service_port: int = _setting(0, "port of the service; 0 chooses one and keeps it", key="service.port")
    service_tls_cert: str = _setting("", "TLS certificate file (PEM)", key="service.tls_cert")
    service_tls_key: str = _setting("", "TLS key file (PEM)", key="service.tls_key")
    service_allow_plain: bool = _setting(
        False, "allow a bind other than loopback without TLS", key="service.allow_plain"
    )
    service_user: str = _setting(
        "", "your name at service.url: sent with the token as password; empty sends the token alone", key="service.user"
    )
    service_auth: str = _setting(
        "token",
        "ways to log in: token, basic, jupyterhub, oidc, kerberos, with ',' between; the token always does",
        key="service.auth",
    )
    service_admins: str = _setting(
        "", "names that may see and do everything, @GROUP for a group, with ',' between", key="service.admins"
    )
    service_users_file: str = _setting(
        "", "basic: file of names and hashed passwords (nbplat service user)", key="service.users_file"
    )
    service_hub_api_url: str = _setting("", "jupyterhub: http://HUB:8081/hub/api", key="service.hub_api_url")
    service_oidc_introspection_url: str = _setting(
        "", "oidc: the provider's introspection endpoint (RFC 7662)", key="service.oidc_introspection_url"
    )
    service_oidc_client_id: str = _setting("", "oidc: this service's own name there", key="service.oidc_client_id")
    service_oidc_client_secret: str = _setting(
        "", "oidc: file:PATH or env:NAME of its secret", key="service.oidc_client_secret"
    )
    service_oidc_name_claim: str = _setting(
        "username", "oidc: the claim that names the user", key="service.oidc_name_claim"
    )
    service_oidc_audience: str = _setting("", "oidc: audience that a token must have", key="service.oidc_audience")
    service_auth_scope: str = _setting("", "jupyterhub, oidc: scope that a token must have", key="service.auth_scope")
    service_auth_cache_seconds: float = _setting(
        60.0, "how long a login that was looked up holds; 0 asks each time", key="service.auth_cache_seconds"
    )
    service_kerberos_service: str = _setting(
        "", "kerberos: HTTP@this.host; empty: any key of the keytab", key="service.kerberos_service"
    )
    service_kerberos_realm: str = _setting(
        "", "kerberos: realm whose users are named without it", key="service.kerberos_realm"
    )
    store_url: str = _setting("", "job store; empty is SQLite in the state folder", key="store.url")
    catalog: str = _setting("", "pyiceberg catalog; empty is the embedded one", key="catalog.name")
    memory_bytes: int = _setting(2 << 30, "memory that one heavy step may use", key="limits.memory_bytes")
    threads: int = _setting(0, "threads of one heavy step; 0 takes every core", key="limits.threads")
    unit_attempts: int = _setting(3, "tries before a unit counts as failed", key="limits.unit_attempts")
    lease_seconds: float = _setting(20.0, "how long work stays with a silent worker", key="limits.lease_seconds")
    python_seconds: float = _setting(
        3600.0, "how long one call of a Python body may take; 0 is for ever", key="limits.python_seconds"
    )
    frame_bytes: int = _setting(
        256 << 20, "size of a DataFrame that a body may read, or that is sent to a session", key="limits.frame_bytes"
    )
    spark_master: str = _setting("local[*]", "where the spark engine runs", key="spark.master")
    spark_conf: str = _setting(
        "", "Spark's own settings: a table in the file, a JSON object in the variable", key="spark.conf"
    )
    session_idle_seconds: float = _setting(
        86_400.0, "ends a session unused for so long that has no idleTimeout; 0 is never", key="session.idle_seconds"
    )
    session_park_seconds: float = _setting(
        28_800.0, "how long a session lives on after its client's heartbeat was lost", key="session.park_seconds"
    )
    session_keep_seconds: float = _setting(
        600.0, "how long a session that has ended is still listed", key="session.keep_seconds"
    )
    session_alone_seconds: float = _setting(
        86_400.0, "a driver that no service spoke to for so long ends itself", key="session.alone_seconds"
    )
    session_warm_count: int = _setting(
        1, "drivers kept warm for the kinds of sessions that were asked for; 0 is none", key="session.warm_count"
    )
    session_warm_seconds: float = _setting(
        1800.0, "how long one is kept, and how long a kind of session is remembered", key="session.warm_seconds"
    )
    session_warm_free_bytes: int = _setting(
        4 << 30, "none is warmed up with less memory free", key="session.warm_free_bytes"
    )
    session_class_archive: bool = _setting(
        True, "write Spark's classes down once, so that JVMs start faster (about 180 MB)", key="session.class_archive"
    )
    session_result_bytes: int = _setting(
        1 << 30, "size of the rows of one statement, as Arrow", key="session.result_bytes"
    )
    session_kept_result_bytes: int = _setting(
        4 << 30, "size of the rows that a session keeps; the oldest make room", key="session.kept_result_bytes"
    )
    session_output_chars: int = _setting(
        8 << 20, "characters that a statement may print; of more the two ends are kept", key="session.output_chars"
    )
    session_keep_statements: int = _setting(
        1000, "statements that a session keeps; the oldest that have ended are forgotten", key="session.keep_statements"
    )
    session_max_processes: int = _setting(
        1000, "processes that a session may have while a statement runs; 0 sets no limit", key="session.max_processes"
    )
    session_batch_roots: str = _setting(
        "", "folders whose files may be run as batches whoever owns them, with ':' between", key="session.batch_roots"
    )
    session_keep_batch_seconds: float = _setting(
        86_400.0, "how long a batch that has ended is still listed", key="session.keep_batch_seconds"
    )
    session_master: str = _setting(
        "",
        "where sessions run: as spark.master, or sc://HOST, or livy+https://HOST; empty is spark.master",
        key="session.master",
    )
    session_deploy_mode: str = _setting(
        "client", "client runs drivers on the service's host, cluster on YARN or Kubernetes", key="session.deploy_mode"
    )
    session_dial_host: str = _setting(
        "",
        "address of this host by which drivers on a cluster reach the service; empty finds one",
        key="session.dial_host",
    )
    session_dial_port: int = _setting(
        0, "port for drivers on a cluster; 0 chooses one and keeps it", key="session.dial_port"
    )
    session_livy_user: str = _setting(
        "nbplat", "user name at the Livy server behind session.master", key="session.livy_user"
    )
    session_livy_password: str = _setting(
        "", "its password, by reference: file:PATH or env:NAME", key="session.livy_password"
    )
    session_profile: str = _setting("default", "profile of sessions whose request names none", key="session.profile")
    session_profiles_file: str = _setting(
        "", "TOML file of [profiles.NAME] tables, besides those of this file", key="session.profiles_file"
    )
    profiles: str = _setting(
        "", "profiles of sessions: [profiles.NAME] tables in the file, a JSON object in the variable", key="profiles"
    )
    session_most: int = _setting(0, "sessions that may live at a time; 0 sets no limit", key="session.most")
    session_most_each: int = _setting(
        0, "sessions of one owner that may live at a time; 0 sets no limit", key="session.most_each"
    )
    session_most_starting: int = _setting(
        100, "sessions that may start at a time; 0 sets no limit", key="session.most_starting"
    )
    session_upload_bytes: int = _setting(
        1 << 30, "size of all files uploaded to one session", key="session.upload_bytes"
    )
    session_impersonation: bool = _setting(
        False, "whether proxyUser and doAs of Livy requests are heard", key="session.impersonation"
    )
    session_superusers: str = _setting(
        "", "names that may start sessions for others besides admins, with ',' between", key="session.superusers"
    )
    session_csrf: bool = _setting(
        False, "Livy requests that change something must carry X-Requested-By", key="session.csrf"
    )
    kernel_on_exit: str = _setting(
        "stop",
        "the session that a kernel's cells started, when the kernel ends: stop it, or keep it",
        key="kernel.on_exit",
    )
    kernel_on_restart: str = _setting(
        "attach",
        "the session of a kernel that is restarted: attach to it again, or start another (new)",
        key="kernel.on_restart",
    )
    ray_address: str = _setting("", "a running Ray cluster; empty starts one on this machine", key="ray.address")
    env_archives: str = _setting(
        "", "place that clusters read archives of environments from: s3://bucket/envs", key="env.archives"
    )
    env_pull_hosts: str = _setting(
        "", "hosts that a team's service pulls archives from by http(s), with ',' between", key="env.pull_hosts"
    )
    env_channels_file: str = _setting(
        "", "TOML file of channels: their addresses, mirrors, logins by reference", key="env.channels_file"
    )
    ram_price_gb_hour: float = _setting(0.0, "price of memory; 0 shows no cost", key="prices.ram_gb_hour")
    cpu_price_hour: float = _setting(0.0, "price of a core hour; 0 shows no cost", key="prices.cpu_hour")
    storage_price_gb_month: float = _setting(0.0, "price of storage; 0 shows no cost", key="prices.storage_gb_month")
    currency: str = _setting("USD", "currency of the prices", key="prices.currency")
    audit: Mapping[str, str] = _table("level of an audit rule, or one of its thresholds", table="audit")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def settings(self) -> list[Setting]:
        """Every value with its source, passwords in URLs hidden."""
        tables = [
            Setting(key, value, self.sources[key], f.metadata["help"], variable_of(key))
            for f in fields(self)
            if (table := f.metadata.get("table"))
            for name, value in sorted(getattr(self, f.name).items())
            for key in (f"{table}.{name}",)
        ]
        return tables + [
            Setting(
                key=f.metadata["key"],
                value=shown(f.name, getattr(self, f.name)),
                source=self.sources.get(f.name, "default"),
                help=f.metadata["help"],
                variable=variable_of(f.metadata["key"]),
            )
            for f in fields(self)
            if "key" in f.metadata
        ]

    @property
    def cores(self) -> int:
        """Threads of one heavy step: `threads`, or every core of this machine."""
        return self.threads or os.cpu_count() or 1

    @property
    def spark_settings(self) -> dict[str, str]:
        """`spark.conf` as Spark's settings by name."""
        return dict(json.loads(self.spark_conf)) if self.spark_conf else {}

    def profile_tables(self) -> dict[str, Any]:
        """The site's profiles of sessions by name, as they were written; those of ``session.profiles_file`` win.

        Raises:
            RequestError: the file cannot be read, or holds something else.
        """
        found = dict(json.loads(self.profiles)) if self.profiles else {}
        if not self.session_profiles_file:
            return found
        path = Path(self.session_profiles_file).expanduser()
        try:
            data = read_toml(path)
        except OSError as exc:
            raise RequestError(
                "config.value",
                f"session.profiles_file cannot be read: {exc.strerror}",
                fix="set it to a TOML file",
                where=str(path),
            ) from exc
        if set(data) - {PROFILES} or not isinstance(data.get(PROFILES, {}), Mapping):
            raise RequestError(
                "config.value", f"{path} holds more than profiles", fix="write [profiles.NAME] tables", where=str(path)
            )
        return {**found, **json.loads(json.dumps(data.get(PROFILES, {}), default=str))}

    @property
    def sqlite_store(self) -> bool:
        """True when the job store is the state folder's own SQLite file."""
        return not self.store_url


def variable_of(key: str) -> str:
    """The environment variable of a setting or a table."""
    return "NBPLAT_" + key.removeprefix("service.").replace(".", "_").upper() if key != "service.url" else "NBPLAT_URL"
