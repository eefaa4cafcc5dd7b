"""What a checked request of a session or a batch comes to here: profile, defaults, forced settings, environment."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground
from nbplat.job import asked_from

if TYPE_CHECKING:
    from nbplat.compose.session_environments import SessionEnvironments
    from nbplat.session.batch import BatchDraft
    from nbplat.session.conf import Setting
    from nbplat.session.masters import Master
    from nbplat.session.profiles import Profile, Profiles
    from nbplat.session.records import SessionDraft

__all__ = ["SessionRequests"]


class SessionRequests:
    """Makes drafts of requests.

    Args:
        environments: Settles the environment that a conf names.
    """

    def __init__(self, ground: Ground, environments: Callable[[], SessionEnvironments]) -> None:
        self._ground = ground
        self._environments = environments

    @functools.cached_property
    def profiles(self) -> Profiles:
        """The site's profiles of sessions; see `nbplat.session.profile_reading.read_profiles`."""
        from nbplat.session.builtin_profiles import builtin_profiles
        from nbplat.session.profile_reading import read_profiles

        config = self._ground.config
        return read_profiles(config.profile_tables(), config.session_profile, builtin=builtin_profiles(config.cores))

    @property
    def master(self) -> Master:
        """Where sessions run; raises SetupError for a setting that is none."""
        from nbplat.session.masters import master_of

        config = self._ground.config
        return master_of(config.session_master or config.spark_master, config.session_deploy_mode)

    def session(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> SessionDraft:
        """See `nbplat.compose.platform.Platform.session_draft`."""
        from nbplat.session.records import SessionDraft

        fitted = self.profiles.fit(fields)
        master = self.master
        settings = self._settings(fitted.profile, fitted.request, service_url, token, master)
        conf = self._environments().settled(_values(settings), master)
        return SessionDraft(
            kind=fields["kind"],
            name=fields.get("name", ""),
            owner=owner,
            proxy_user="",
            request={
                **fitted.request,
                "conf": fields["conf"],
                "notebook": asked_from(),
                "origins": {key: settings[key].origin if key in settings else "environment" for key in conf},
            },
            conf=conf,
        )

    def batch(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> BatchDraft:
        """As `session`; batches run at ``spark.master``, with the driver here."""
        from nbplat.session.batch import BatchDraft

        fitted = self.profiles.fit(fields)
        settings = self._settings(fitted.profile, fitted.request, service_url, token)
        conf = self._environments().settled(_values(settings))
        return BatchDraft(name=fields.get("name", ""), owner=owner, request=fields, conf=conf)

    def bare_conf(self, environment: str) -> dict[str, str]:
        """The conf of a session that nobody asked anything of, in an environment; no catalog answers it."""
        from nbplat.compose.session_environments import SETTING

        master = self.master
        fitted = self.profiles.fit({"conf": {SETTING: environment} if environment else {}})
        settings = self._settings(fitted.profile, fitted.request, "http://127.0.0.1:1", "none", master)
        return self._environments().settled(_values(settings), master)

    def _settings(
        self, profile: Profile, fields: dict[str, Any], service_url: str, token: str, master: Master | None = None
    ) -> dict[str, Setting]:
        from nbplat.adapters.driver.processes import FOLDER
        from nbplat.adapters.spark.session_conf import default_conf
        from nbplat.session.conf import session_conf
        from nbplat.session.masters import CLUSTER, DEPLOY_MODE, MASTER

        config = self._ground.config
        log_settings = config.home / "sessions" / "log4j2.properties"
        defaults = default_conf(config, FOLDER, log_settings, service_url, token, master)
        forced = {MASTER: defaults.pop(MASTER)}
        if master is not None and master.cluster:
            forced[DEPLOY_MODE] = CLUSTER
        return session_conf(defaults, config.spark_settings, fields, forced, (profile.name, profile.conf))


def _values(settings: dict[str, Setting]) -> dict[str, str]:
    return {key: setting.value for key, setting in settings.items()}
