"""The site's profiles: named settings of sessions, who may use them, and what a request may change of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nbplat.errors import Forbidden, RequestError, did_you_mean
from nbplat.session.access import EVERYBODY, Principal
from nbplat.session.conf import FIELD_SETTINGS
from nbplat.session.profile_rules import Rule
from nbplat.session.session_request import ENVIRONMENT, FIELDS

__all__ = ["KEYS", "LIFE", "PROFILE_KEY", "WORDS", "Fitted", "Profile", "Profiles"]

PROFILE_KEY = "nbplat.profile"
"""In a Livy request's conf: the name of a profile."""

LIFE = {"ttl": "ttl", "idle_timeout": "idleTimeout"}
"""Our names of limits of a session's life, and Livy's."""

_OURS = {ours: FIELD_SETTINGS[livys] for ours, livys in FIELDS.items() if livys in FIELD_SETTINGS}
KEYS = {**_OURS, **LIFE, "environment": ENVIRONMENT}
"""Each key as the site may write it besides Spark's, and the one that it is compared under."""

WORDS = {**{key: ours for ours, key in _OURS.items()}, "idleTimeout": "idle_timeout", ENVIRONMENT: "environment"}


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile.

    Attributes:
        conf: Spark's settings.
        life: ``ttl`` and ``idleTimeout`` of sessions whose request has none.
        allow: What a request may set, by key; a key without a rule may be set to anything, unless `only`.
        only: Whether a request may set nothing but what `allow` names.
        users: Who may use it: names, ``@group``, ``*``.
    """

    name: str
    about: str = ""
    conf: Mapping[str, str] = field(default_factory=dict)
    life: Mapping[str, str] = field(default_factory=dict)
    allow: Mapping[str, Rule] = field(default_factory=dict)
    only: bool = False
    users: frozenset[str] = frozenset({EVERYBODY})

    def is_for(self, who: Principal) -> bool:
        """Whether somebody may use it; admins may use every one."""
        named = {EVERYBODY, who.name, *(f"@{group}" for group in who.groups)}
        return who.admin or bool(self.users & named)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "about": self.about,
            "conf": dict(self.conf),
            "life": dict(self.life),
            "only": self.only,
            "allow": [{**rule.record(), "option": WORDS.get(key, key)} for key, rule in sorted(self.allow.items())],
        }


class Fitted(NamedTuple):
    """A request that a profile allows.

    Attributes:
        request: With the profile's ``ttl`` and ``idleTimeout`` where it had none, and without its name in the conf.
    """

    profile: Profile
    request: dict[str, Any]


class Profiles:
    """Every profile of a site.

    Args:
        default: Of a request that names none.
    """

    def __init__(self, profiles: Mapping[str, Profile], default: str) -> None:
        self._profiles = profiles
        self.default = default

    def for_user(self, who: Principal) -> list[Profile]:
        """Those that somebody may use, by name."""
        return [profile for _, profile in sorted(self._profiles.items()) if profile.is_for(who)]

    def admit(self, request: Mapping[str, Any], who: Principal) -> Profile:
        """The profile that a request names.

        Raises:
            RequestError: ``profile.unknown``.
            Forbidden: ``profile.users``: it is not for this user.
        """
        name = _named(request) or self.default
        profile = self._profiles.get(name)
        if profile is None:
            known = [each.name for each in self.for_user(who)]
            raise RequestError(
                "profile.unknown", f"there is no profile {name[:100]!r}", fix=did_you_mean(name, known), where="profile"
            )
        if not profile.is_for(who):
            raise Forbidden(
                "profile.users",
                f"profile {name} is not for {who.name or 'those without a name'}",
                fix="take one of yours: nbplat session profiles",
                where="profile",
            )
        return profile

    def fit(self, request: Mapping[str, Any]) -> Fitted:
        """Hold a request against its profile.

        Args:
            request: Fields in Livy's names, and ``profile`` or the conf key `PROFILE_KEY`.

        Raises:
            RequestError: as `admit`; ``profile.value``, ``profile.closed``: with key, value, range and profile.
        """
        profile = self.admit(request, Principal("", admin=True, how=""))
        conf = {key: value for key, value in request.get("conf", {}).items() if key != PROFILE_KEY}
        made = {**profile.life, **request, "conf": conf, "profile": profile.name}
        for said, key, value in _asked({**request, "conf": conf}):
            _check(profile, said, key, value)
        return Fitted(profile, made)


def _named(request: Mapping[str, Any]) -> str:
    by_field, by_conf = request.get("profile") or "", request.get("conf", {}).get(PROFILE_KEY, "")
    if by_field and by_conf and by_field != by_conf:
        raise RequestError(
            "profile.unknown", f"two profiles: {by_field} and {by_conf}", fix="give one of them", where="profile"
        )
    return str(by_field or by_conf)


def _asked(request: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What a request sets: as it says it, the key that it is compared under, and the value."""
    for livys, key in FIELD_SETTINGS.items():
        if (value := request.get(livys)) not in (None, "", []):
            yield WORDS[key], key, ",".join(value) if isinstance(value, list) else str(value)
    for ours, livys in LIFE.items():
        if request.get(livys):
            yield ours, livys, str(request[livys])
    for key, value in request.get("conf", {}).items():
        yield ("environment" if key == ENVIRONMENT else key), key, value


def _check(profile: Profile, said: str, key: str, value: str) -> None:
    rule = profile.allow.get(key)
    if rule is None:
        if not profile.only:
            return
        names = [WORDS.get(each, each) for each in profile.allow]
        raise RequestError(
            "profile.closed",
            f"profile {profile.name} does not let {said} be set (to {value[:100]})",
            fix=f"leave it out; it lets be set: {', '.join(sorted(names))}" if names else "leave it out",
            where=said,
        )
    if fault := rule.fault(value):
        raise RequestError(
            "profile.value",
            f"{said} {value[:100]} {fault}: profile {profile.name} allows {rule.said()}",
            fix=f"give {rule.said()}, or take another profile: nbplat session profiles",
            where=said,
        )
