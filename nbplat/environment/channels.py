"""Where channels are reached: names to addresses, mirrors, and logins by reference. Nothing of it stands in a lock.

The channels file (`env.channels_file`, TOML) belongs to a person or a machine, not to a project:

    [channels]
    internal = "https://conda.corp.example/internal"

    [mirrors]
    conda-forge = ["file:///mnt/mirror/conda-forge", "https://mirror.corp.example/conda-forge"]

    [login."conda.corp.example"]
    kind = "bearer"              # or "basic" (with user), or "token" (conda's /t/TOKEN/ in the path)
    variable = "CORP_TOKEN"      # or file = "~/.secrets/corp", or netrc = true
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from nbplat.environment.channel_text import ChannelError, parse_channel
from nbplat.environment.ports import Channel
from nbplat.errors import RequestError, did_you_mean

__all__ = ["ChannelRules", "Login", "address_of", "is_folder", "login_of", "read_channel_rules", "resolve_channels"]

_PUBLIC = "https://conda.anaconda.org"
_KINDS = ("basic", "bearer", "token")


@dataclass(frozen=True, slots=True)
class Login:
    """Where the credential of a host is found when it is needed.

    Attributes:
        host: ``conda.corp.example``, or ``*.corp.example``.
        kind: ``bearer``, ``basic`` or ``token``.
        variable: Name of an environment variable that holds it; empty: another place.
        file: File whose first line is it.
        netrc: True: user and password stand in the netrc file.
        user: Of ``basic``.
    """

    host: str
    kind: str
    variable: str = ""
    file: str = ""
    netrc: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """What one machine knows of channels.

    Attributes:
        addresses: Name in declarations -> address.
        mirrors: Name or address of a channel -> addresses that are tried before it.
        logins: By host.
    """

    addresses: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    logins: Mapping[str, Login] = field(default_factory=lambda: MappingProxyType({}))


def resolve_channels(names: Sequence[str], rules: ChannelRules, folder: str | Path = "") -> tuple[Channel, ...]:
    """Channels as they are reached from here.

    Args:
        names: As declared.
        folder: Where relative paths start; empty: the working folder.
    """
    return tuple(_resolved(name, rules, Path(folder)) for name in names)


def address_of(name: str, rules: ChannelRules | None = None) -> str:
    """How a lock spells a channel: its public address, or a folder just as declared."""
    if is_folder(name) or "://" in name:
        return name
    return (rules.addresses.get(name) if rules else None) or f"{_PUBLIC}/{name}"


def is_folder(name: str) -> bool:
    """True for a channel that is named by a path."""
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..")


def read_channel_rules(path: Path | str) -> ChannelRules:
    """Read a channels file; an empty path gives rules without any.

    Raises:
        RequestError: ``env.channels_file``: there is none at that path, it is no TOML, an unknown key, or a secret
            stands in it.
    """
    if not str(path):
        return ChannelRules()
    path = Path(path).expanduser()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        fix = "name another with env.channels_file (NBPLAT_ENV_CHANNELS_FILE)"
        raise _fault(path, f"it cannot be read: {exc.strerror}", fix) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _fault(path, f"it is not TOML: {exc}", "mend that line") from None
    known = ("channels", "mirrors", "login")
    for key in found:
        if key not in known:
            raise _fault(path, f"it has no table {key!r}", did_you_mean(key, known))
    return ChannelRules(
        MappingProxyType({name: _address(path, "channels", text) for name, text in _table(path, found, "channels")}),
        MappingProxyType({name: _mirrors(path, name, texts) for name, texts in _table(path, found, "mirrors")}),
        MappingProxyType({host: _login(path, host, keys) for host, keys in _table(path, found, "login")}),
    )


def _resolved(name: str, rules: ChannelRules, folder: Path) -> Channel:
    address = address_of(name, rules)
    url = (folder / Path(address).expanduser()).resolve().as_uri() if is_folder(address) else address
    mirrors = tuple(dict.fromkeys((*rules.mirrors.get(name, ()), *rules.mirrors.get(url, ()))))
    return Channel(name, url, login_of(url, rules.logins), mirrors)


def login_of(url: str, logins: Mapping[str, Login]) -> str:
    """The login that fits an address, its host's own before one with a star; empty: none."""
    host = urlsplit(url).hostname or ""
    if host in logins:
        return host
    stars = [key for key in logins if key.startswith("*.") and host.endswith(key[1:])]
    return max(stars, key=len, default="")


def _table(path: Path, found: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    table = found.get(key, {})
    if not isinstance(table, Mapping):
        raise _fault(path, f"{key} is no table", f"write [{key}] and one line for each")
    return list(table.items())


def _address(path: Path, where: str, text: Any) -> str:
    if not isinstance(text, str):
        raise _fault(path, f"{where}: {text!r} is no address", "write https://…, or file:///… for a folder")
    try:
        address = parse_channel(text)
    except ChannelError as exc:
        raise _fault(path, f"{where}: {exc}", 'give the login by reference: [login."HOST"]') from None
    if "://" not in address:
        if not address.startswith(("/", "~")):
            raise _fault(path, f"{where}: {text!r} is no address", "write https://…, or an absolute folder")
        address = Path(address).expanduser().as_uri()
    return address


def _mirrors(path: Path, name: str, texts: Any) -> tuple[str, ...]:
    items = [texts] if isinstance(texts, str) else texts
    if not isinstance(items, list):
        raise _fault(path, f"mirrors: {name} is no list", f'write {name} = ["https://…"]')
    return tuple(_address(path, f"mirrors.{name}", text) for text in items)


def _login(path: Path, host: str, keys: Any) -> Login:
    where = f'[login."{host}"]'
    known = ("kind", "variable", "file", "netrc", "user")
    if not isinstance(keys, Mapping):
        raise _fault(path, f"{where} is no table", f'write {where} with kind = "bearer" and variable = "NAME"')
    for key in keys:
        if key in ("password", "token", "secret"):
            raise _fault(path, f"{where} holds a {key}", f'name where it is: variable = "{key.upper()}", or file = "…"')
        if key not in known:
            raise _fault(path, f"{where} has no key {key!r}", did_you_mean(key, known))
    if "://" in host or "/" in host:
        raise _fault(path, f"{where} names no host", "write the host alone, without https:// and path")
    kind = keys.get("kind", "basic" if keys.get("netrc") else "bearer")
    if kind not in _KINDS:
        raise _fault(path, f"{where}: {kind!r} is no kind", did_you_mean(str(kind), _KINDS))
    places = [key for key in ("variable", "file", "netrc") if keys.get(key)]
    if len(places) != 1:
        fix = 'give one of variable = "NAME", file = "…", netrc = true'
        raise _fault(path, f"{where} names {len(places)} places of the credential", fix)
    if kind == "basic" and places != ["netrc"] and not keys.get("user"):
        raise _fault(path, f"{where} is basic and has no user", 'add user = "NAME"')
    if places == ["netrc"] and kind != "basic":
        raise _fault(path, f"{where}: netrc holds user and password", 'write kind = "basic"')
    return Login(
        host,
        kind,
        str(keys.get("variable", "")),
        str(keys.get("file", "")),
        bool(keys.get("netrc")),
        str(keys.get("user", "")),
    )


def _fault(path: Path, message: str, fix: str) -> RequestError:
    return RequestError("env.channels_file", f"the channels file: {message}", fix=fix, where=str(path))
