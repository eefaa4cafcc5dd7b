"""`nbplat service …`: the service of this state folder."""

from __future__ import annotations

from typing import Any

from nbplat.config import load_config
from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text

__all__ = ["status", "stop"]


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


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    for key, each in value.items():
        if isinstance(each, dict):
            facts += _flat(each, f"{prefix}{key}.")
        else:
            facts.append((prefix + key, each))
    return facts
