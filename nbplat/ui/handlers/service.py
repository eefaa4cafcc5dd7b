"""`nbplat service …`: the service of this state folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbplat.config import load_config
from nbplat.errors import RequestError, SetupError
from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text

__all__ = ["status", "stop", "user"]


def status(_call: Call) -> Result:
    """Whether it runs, where, and what it does; starts nothing."""
    from nbplat.service.discovery import service_lock
    from nbplat.service.lock import holder_of
    from nbplat.ui.client import find_or_start

    config = load_config()
    if not config.service_url and holder_of(service_lock(config)) is None:
        return Result(f"service stopped {config.home}", data={"running": False, "home": str(config.home)})
    client = find_or_start(config)
    told: dict[str, Any] = client.get("/api/v1/status")
    facts = [("service", f"running at {client.url}"), *_flat(told)]
    return Result(f"service running {client.url}\n{fields_text(facts)}", fields_html(facts), value=told, data=told)


def stop(_call: Call) -> Result:
    """Stop it in good order; jobs go on at the next start."""
    from nbplat.ui.client import stop_service

    config = load_config()
    stopped = stop_service(config)
    word = "stopped" if stopped else "was not running"
    return Result(f"service {word} {config.home}", data={"stopped": stopped})


def user(call: Call) -> Result:
    """Set a user's password; a service that runs takes it at once."""
    import getpass
    import sys

    from nbplat.service.logins.passwords import with_user

    config, name = load_config(), call.options.name
    if not config.service_users_file:
        raise SetupError("service.users_file", "no file of users is set", fix="set service.users_file")
    path = Path(config.service_users_file).expanduser()
    read = getpass.getpass(f"password of {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not read:
        raise RequestError("service.password", "an empty password lets everybody in", fix="give one")
    text = with_user(path.read_text() if path.exists() else "", name, read)
    # Whole or not at all, and never readable by others.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    fresh.replace(path)
    return Result(f"password of {name} set in {path}", data={"user": name, "file": str(path)})


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    for key, each in value.items():
        if isinstance(each, dict):
            facts += _flat(each, f"{prefix}{key}.")
        else:
            # A process is known by its digits: 5,927 is none.
            facts.append((prefix + key, str(each) if key == "pid" else each))
    return facts
